"""Jobs that stop and go on: what is kept, what counts, and what is refused."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from osnet_encoder import CropError, EngineError, JobError, OsNetEncoder, TableError, encode_table, stack_features
from osnet_encoder.crops import encode_crop
from osnet_encoder.job.manifest import Work, read_manifest, write_manifest
from pictures import draw_crop

ROWS = 11
PART_ROWS = 3
TARGETS = ("out.csv", "out.csv.gz", "out.csv.zst", "out.parquet")


class Stop(BaseException):
    """What a signal raises, where the test wants it."""


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder(
        "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", batch_size=2, patch_size=(32, 16)
    )


@pytest.fixture
def table(tmp_path):
    cells = [encode_crop(draw_crop(number)) for number in range(ROWS)]
    cells[2], cells[7] = "", "broken"
    pd.DataFrame({"id": range(ROWS), "crop": cells}).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def stop_after(rows):
    """A `progress` that ends the run once so many rows are done."""

    def progress(tally, _):
        if tally.rows >= rows:
            raise Stop

    return progress


def manifest_of(target):
    return json.loads((target.with_name(f"{target.name}.job") / "manifest.json").read_text())


def stopped(table, target, encoder, rows, **options):
    with pytest.raises(Stop):
        encode_table(table, target, encoder, part_rows=PART_ROWS, progress=stop_after(rows), **options)


def features_of(target):
    frame = pd.read_parquet(target) if target.suffix == ".parquet" else pd.read_csv(target)
    return stack_features(frame["feature_vector"])


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("rows", [2, 3, 6, 10, 11])
def test_a_job_that_was_stopped_gives_the_bytes_of_one_that_was_not(encoder, table, name, rows):
    whole, target = table.with_name(f"whole_{name}"), table.with_name(name)
    encode_table(table, whole, encoder, part_rows=PART_ROWS)
    stopped(table, target, encoder, rows)
    assert not target.exists()
    summary = encode_table(table, target, encoder, part_rows=PART_ROWS)
    assert target.read_bytes() == whole.read_bytes()
    # rows of whole parts are kept; all parts are there once the last row is done
    assert summary.resumed == (rows if rows == ROWS else rows // PART_ROWS * PART_ROWS)
    assert (summary.rows, summary.encoded, summary.missing, summary.broken) == (11, 9, 1, 1)
    assert summary.reasons == {"not_a_dict": 1}
    assert summary.parts == 4


def test_a_part_has_just_as_many_rows_as_it_was_told_to_have(encoder, table):
    target = table.with_name("out.csv")
    stopped(table, target, encoder, 8)
    parts = manifest_of(target)["work"]["parts"]
    assert [(part["first_row"], part["rows"]) for part in parts] == [(0, 3), (3, 3)]
    assert [part["missing"] for part in parts] == [1, 0]


def test_a_finished_job_run_again_does_nothing(encoder, table):
    target = table.with_name("out.parquet")
    first = encode_table(table, target, encoder)
    before = target.stat()
    again = encode_table(table, target, encoder)
    assert target.stat() == before
    assert (first.state, again.state) == ("published", "unchanged")
    for name in ("rows", "encoded", "missing", "broken", "reasons", "sha256", "made_by"):
        assert json.dumps(getattr(first, name)) == json.dumps(getattr(again, name))
    assert again.crops_per_second == 0


def test_nothing_is_left_beside_the_output_but_the_manifest_and_the_rejects(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder)
    assert sorted(path.name for path in table.parent.iterdir()) == [
        ".out.parquet.lock", "in.csv", "out.parquet", "out.parquet.job",
    ]  # fmt: skip
    found = sorted(path.name for path in (table.parent / "out.parquet.job").iterdir())
    assert found == ["manifest.json", "rejects.csv"]


def test_an_input_is_the_same_under_another_name_and_time(encoder, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder)
    copy = table.rename(table.with_name("moved.csv"))
    os.utime(copy, (1, 1))
    assert encode_table(copy, target, encoder).state == "unchanged"


def test_an_output_that_was_edited_is_no_longer_the_job_s_own(encoder, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder)
    target.write_bytes(target.read_bytes() + b"\n")
    with pytest.raises(JobError) as caught:
        encode_table(table, target, encoder)
    assert caught.value.reason == "exists"
    assert str(caught.value) == f"{target} exists and was not made by this job; --overwrite replaces it"
    assert encode_table(table, target, encoder, overwrite=True).state == "published"


def test_an_output_that_was_deleted_is_made_again(encoder, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder)
    target.unlink()
    assert encode_table(table, target, encoder).state == "published"
    assert target.exists()


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"feature_format": "json"}, "feature_format: zlib-hex -> json"),
        ({"keep_crops": True}, "keep_crops: false -> true"),
        ({"error_column": None}, "error_column: feature_vector_error -> null"),
        ({"limit": 5}, "limit: null -> 5"),
        ({"part_rows": 4}, "part_rows: 3 -> 4"),
    ],
)
def test_a_job_that_was_begun_otherwise_is_refused_with_the_differences(encoder, table, options, difference):
    target = table.with_name("out.csv")
    stopped(table, target, encoder, 6)
    options = {"part_rows": PART_ROWS, **options}
    with pytest.raises(JobError) as caught:
        encode_table(table, target, encoder, **options)
    assert caught.value.reason == "changed"
    assert str(caught.value) == (
        f"an unfinished job in {target}.job was begun otherwise; --overwrite keeps what of it still holds, "
        f"--fresh discards it: {difference}"
    )
    encode_table(table, target, encoder, part_rows=PART_ROWS)
    with pytest.raises(JobError) as caught:
        encode_table(table, target, encoder, **options)
    assert caught.value.reason == "changed"
    assert str(caught.value) == f"{target} was made otherwise; --overwrite replaces it: {difference}"


def test_parts_outlive_options_that_only_the_output_depends_on(encoder, table):
    target = table.with_name("out.csv")
    stopped(table, target, encoder, 6)
    options = {"feature_format": "json", "keep_crops": True, "error_column": "why", "overwrite": True}
    assert encode_table(table, target, encoder, part_rows=PART_ROWS, **options).resumed == 6
    assert list(pd.read_csv(target).columns) == ["id", "crop", "feature_vector", "why"]


def test_parts_of_another_input_are_discarded_with_overwrite(encoder, table):
    target = table.with_name("out.csv")
    stopped(table, target, encoder, 6)
    frame = pd.read_csv(table)
    frame.loc[0, "crop"] = frame.loc[1, "crop"]
    frame.to_csv(table, index=False)
    with pytest.raises(JobError, match=r"input: [\d,]+ bytes of sha256 \w{12} -> [\d,]+ bytes of sha256 \w{12}$"):
        encode_table(table, target, encoder, part_rows=PART_ROWS)
    assert encode_table(table, target, encoder, part_rows=PART_ROWS, overwrite=True).resumed == 0
    found = features_of(target)
    assert np.array_equal(found[0], found[1])


def test_fresh_goes_on_with_nothing(encoder, table):
    target = table.with_name("out.csv")
    stopped(table, target, encoder, 6)
    assert encode_table(table, target, encoder, part_rows=PART_ROWS, fresh=True).resumed == 0
    summary = encode_table(table, target, encoder, part_rows=PART_ROWS, fresh=True)
    assert summary.state == "published"


def test_fresh_alone_does_not_replace_what_others_made(encoder, table):
    target = table.with_name("out.csv")
    target.write_text("old")
    with pytest.raises(JobError, match="exists and was not made by this job"):
        encode_table(table, target, encoder, fresh=True)
    assert target.read_text() == "old"


@pytest.mark.parametrize("harm", ["flip", "cut", "delete"])
def test_a_damaged_part_is_made_anew_and_the_others_are_kept(encoder, table, harm):
    whole, target = table.with_name("whole.parquet"), table.with_name("out.parquet")
    encode_table(table, whole, encoder, part_rows=PART_ROWS)
    stopped(table, target, encoder, 9)
    part = target.with_name("out.parquet.job") / "part-00001.arrows"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    {"flip": lambda: part.write_bytes(data), "cut": lambda: part.write_bytes(data[:-9]), "delete": part.unlink}[
        harm
    ]()
    assert encode_table(table, target, encoder, part_rows=PART_ROWS).resumed == 6
    assert target.read_bytes() == whole.read_bytes()


def test_a_run_that_was_killed_between_rename_and_note_knows_its_output(encoder, table):
    target = table.with_name("out.csv")
    folder = target.with_name("out.csv.job")
    encode_table(table, target, encoder)
    manifest = read_manifest(folder)
    work = Work(manifest.published.fingerprint, staged=manifest.published)
    write_manifest(folder, replace(manifest, work=work, published=None))
    assert encode_table(table, target, encoder).state == "unchanged"
    assert read_manifest(folder) == manifest


def test_what_a_killed_run_left_behind_is_cleared_and_nothing_else(encoder, table):
    target = table.with_name("out.csv")
    folder = target.with_name("out.csv.job")
    folder.mkdir()
    for name in (".osnet-encoder-0badcafe.partial", "part-00007.arrows", "staged.csv", "known.f32", "mine.txt"):
        (folder / name).write_text("x")
    encode_table(table, target, encoder)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "mine.txt", "rejects.csv"]


def test_a_manifest_that_cannot_be_read_stops_the_job_until_it_is_told_to_begin_afresh(encoder, table):
    target = table.with_name("out.csv")
    stopped(table, target, encoder, 6)
    path = target.with_name("out.csv.job") / "manifest.json"
    for text, reason in [
        ("{", "Expecting"),
        ('{"format": 2}', "format 2, wanted 1"),
        ("[]", "list indices"),
        ("{}", "'format'"),
    ]:
        path.write_text(text)
        with pytest.raises(JobError, match=f"cannot read .*manifest.json: {reason}.*; --fresh starts without it$"):
            encode_table(table, target, encoder, part_rows=PART_ROWS)
    assert encode_table(table, target, encoder, part_rows=PART_ROWS, fresh=True).resumed == 0


@pytest.mark.parametrize("rows", [2, 6, 11])
def test_an_input_that_changes_during_the_run_is_noticed_and_nothing_is_published(encoder, table, rows):
    target = table.with_name("out.csv")

    def change(tally, _):
        if tally.rows == rows:
            with table.open("a") as file:
                file.write('11,""\n')

    with pytest.raises(JobError) as caught:
        encode_table(table, target, encoder, part_rows=PART_ROWS, progress=change)
    assert caught.value.reason == "input_changed"
    assert not target.exists()
    encode_table(table, target, encoder, part_rows=PART_ROWS, overwrite=True)
    assert len(pd.read_csv(target)) == 12


def test_an_engine_that_gives_other_numbers_than_before_ends_the_job_before_it_begins(encoder, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder)
    table.write_text(table.read_text() + '11,""\n')

    class Broken:
        def __getattr__(self, name):
            return getattr(encoder.engine, name)

        def run(self, patches):
            return 1.01 * encoder.engine.run(patches)

    strange = OsNetEncoder(
        "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", batch_size=2, patch_size=(32, 16)
    )
    strange.engine = Broken()
    before = target.read_bytes()
    with pytest.raises(EngineError, match=r"^the onnx engine on cpu answers the built-in patch 1.0e-02 off what"):
        encode_table(table, target, strange, overwrite=True)
    assert target.read_bytes() == before
    assert encode_table(table, target, strange, overwrite=True, fresh=True).state == "published"


def test_the_input_is_never_the_output(encoder, table):
    before = table.read_bytes()
    with pytest.raises(JobError) as caught:
        encode_table(table, table, encoder, overwrite=True)
    assert caught.value.reason == "same_file"
    with pytest.raises(JobError, match="is the input, and would be replaced$"):
        encode_table(table, table.with_name("out.csv"), encoder, rejects=table)
    with pytest.raises(JobError, match="was given for the rejects, and is the output or in it$"):
        encode_table(table, table.with_name("out.csv"), encoder, rejects=table.with_name("out.csv"))
    assert table.read_bytes() == before


def test_a_link_leads_to_the_file_it_points_to(encoder, table):
    (table.parent / "far").mkdir()
    real, link = table.parent / "far" / "out.csv", table.with_name("out.csv")
    link.symlink_to(real)
    encode_table(table, link, encoder)
    assert link.is_symlink() and real.exists()
    assert real.with_name("out.csv.job").is_dir()


def test_a_folder_or_a_place_without_permission_is_refused_before_any_work(encoder, table):
    (table.parent / "out.parquet").mkdir()
    with pytest.raises(TableError, match="out.parquet is a folder, wanted the name of a file to write$"):
        encode_table(table, table.parent / "out.parquet", encoder)
    (table.parent / "out.csv.job").write_text("in the way")
    with pytest.raises(TableError, match="cannot make the folder '.*out.csv.job': "):
        encode_table(table, table.parent / "out.csv", encoder)


def test_a_broken_cell_in_a_part_that_is_there_ends_a_strict_job_too(encoder, table):
    target = table.with_name("out.csv")
    stopped(table, target, encoder, 9)
    with pytest.raises(CropError, match="^row 7: not_a_dict"):
        encode_table(table, target, encoder, part_rows=PART_ROWS, on_error="raise", overwrite=True)
    shutil.rmtree(target.with_name("out.csv.job"))
    with pytest.raises(CropError, match="^row 7: not_a_dict"):
        encode_table(table, target, encoder, part_rows=PART_ROWS, on_error="raise")
    assert not target.exists()
