"""Outputs that are folders of part files: whole with `_SUCCESS`, and never old and new ones together."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from kill import stop_at_move
from osnet_encoder import JobError, OsNetEncoder, TableError, encode_table, stack_features, verify_table
from osnet_encoder.crops import encode_crop
from osnet_encoder.job.part_files import part_file
from osnet_encoder.tables import open_table
from pictures import draw_crop

ROWS, PART_ROWS = 8, 3
CELLS = [encode_crop(draw_crop(number)) for number in range(12)]
NAMES = ["_SUCCESS", "part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]


class Stop(BaseException):
    """What ends a run in the middle."""


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder(
        "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", batch_size=2, patch_size=(32, 16)
    )


@pytest.fixture
def write(tmp_path):
    def write(numbers):
        cells = {2: "", 7: "broken"}
        frame = {"id": [f"k{at}" for at in numbers], "crop": [cells.get(at, CELLS[at]) for at in numbers]}
        pd.DataFrame(frame).to_csv(tmp_path / "in.csv", index=False)
        return tmp_path / "in.csv"

    return write


@pytest.fixture
def table(write):
    return write(range(ROWS))


def encode(table, encoder, name="out/", **options):
    return encode_table(table, f"{table.parent}/{name}", encoder, part_rows=PART_ROWS, **options)


def files_of(folder):
    """What a folder holds, by name; None where there is none."""
    if not folder.exists():
        return None
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_folder_has_a_file_for_each_part_and_is_read_as_one_table_by_all(encoder, table):
    import duckdb
    import polars

    folder, one = table.with_name("out"), table.with_name("one.parquet")
    assert encode(table, encoder).parts == 3
    encode(table, encoder, "one.parquet")
    assert sorted(files_of(folder)) == NAMES
    wanted = pd.read_parquet(one)
    pd.testing.assert_frame_equal(pd.read_parquet(folder), wanted)
    pd.testing.assert_frame_equal(ds.dataset(folder).to_table().to_pandas(), wanted)
    pd.testing.assert_frame_equal(pq.read_table(folder).to_pandas(), wanted)
    batches = list(open_table(folder).batches(100))
    assert [batch.num_rows for batch in batches] == [8]
    assert batches[0].column("id").to_pylist() == wanted["id"].tolist()
    assert polars.read_parquet(f"{folder}/*.parquet")["id"].to_list() == wanted["id"].tolist()
    assert duckdb.sql(f"select id from '{folder}/*.parquet'").df()["id"].tolist() == wanted["id"].tolist()


def test_every_part_file_says_what_made_it(encoder, table):
    encode(table, encoder)
    for name in NAMES[1:]:
        note = pq.read_schema(table.with_name("out") / name).metadata[b"osnet_encoder"]
        assert json.loads(note)["weights_sha256"] == encoder.weights.sha256


def test_success_lists_rows_and_files(encoder, table):
    import hashlib

    summary = encode(table, encoder)
    files = files_of(table.with_name("out"))
    told = json.loads(files["_SUCCESS"])
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    assert told == {"rows": 8, "sha256": {name: hashes[name] for name in NAMES[1:]}}
    lines = "".join(f"{hashes[name]}  {name}\n" for name in NAMES)
    assert summary.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_names_of_part_files_are_in_the_order_of_the_parts():
    for count in (1, 99_999, 100_000, 100_001, 1_234_567):
        numbers = {0, 1, count // 2, count - 2, count - 1} & set(range(count))
        names = [part_file(number, count) for number in sorted(numbers)]
        assert names == sorted(names)
    assert part_file(0, 100_000) == "part-00000.parquet"
    assert part_file(0, 100_001) == "part-000000.parquet"


def test_a_table_without_rows_is_a_folder_with_one_file_without_rows(encoder, write):
    encode(write([]), encoder, column="crop")
    folder = write([]).with_name("out")
    assert sorted(files_of(folder)) == NAMES[:2]
    assert pd.read_parquet(folder).columns.tolist() == ["id", "feature_vector", "feature_vector_error"]


def test_a_part_whose_rows_are_all_left_out_has_a_file_without_rows(encoder, write):
    table = write([0, 1, 3, 7, 7, 7, 4, 5])
    assert encode(table, encoder, on_error="drop").dropped == 3
    assert pq.read_metadata(table.with_name("out") / NAMES[2]).num_rows == 0
    assert pd.read_parquet(table.with_name("out"))["id"].tolist() == ["k0", "k1", "k3", "k4", "k5"]


def test_the_same_command_again_does_nothing(encoder, table):
    made = encode(table, encoder)
    before = {path.name: path.stat() for path in table.with_name("out").iterdir()}
    again = encode(table, encoder)
    assert (made.state, again.state) == ("published", "unchanged")
    assert {path.name: path.stat() for path in table.with_name("out").iterdir()} == before
    assert sorted(files_of(table.with_name("out.job"))) == ["manifest.json", "rejects.csv"]


@pytest.mark.parametrize("harm", ["edit", "delete", "success", "another"])
def test_a_folder_that_was_changed_is_no_longer_the_job_s_own(encoder, table, harm):
    folder = table.with_name("out")
    encode(table, encoder)
    wanted = files_of(folder)
    {
        "edit": lambda: (folder / NAMES[1]).write_bytes(wanted[NAMES[2]]),
        "delete": (folder / NAMES[3]).unlink,
        "success": (folder / "_SUCCESS").unlink,
        "another": lambda: (folder / "part-00003.parquet").write_bytes(wanted[NAMES[3]]),
    }[harm]()
    before = files_of(folder)
    with pytest.raises(
        JobError, match="out exists and was not made by this job; --overwrite replaces it$"
    ) as caught:
        encode(table, encoder)
    assert caught.value.reason == "exists"
    assert files_of(folder) == before
    assert encode(table, encoder, overwrite=True).state == "published"
    assert files_of(folder) == wanted


def test_a_folder_that_was_deleted_or_emptied_is_made_again(encoder, table):
    encode(table, encoder)
    wanted = files_of(table.with_name("out"))
    shutil.rmtree(table.with_name("out"))
    assert encode(table, encoder).state == "published"
    for path in table.with_name("out").iterdir():
        path.unlink()
    assert encode(table, encoder).state == "published"
    assert files_of(table.with_name("out")) == wanted


def test_files_that_no_job_made_are_never_deleted(encoder, table):
    folder = table.with_name("out")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "part-00000-1b2c.snappy.parquet").write_text("theirs")
    before = files_of(folder)
    for options in ({}, {"overwrite": True}, {"fresh": True, "overwrite": True}):
        with pytest.raises(JobError) as caught:
            encode(table, encoder, **options)
        assert caught.value.reason == "exists"
        assert str(caught.value) == (
            f"{folder} holds 'notes.txt' and 1 more, which no job has put there and none deletes; move it away, "
            "or name another folder"
        )
    assert files_of(folder) == before
    shutil.rmtree(folder)
    (folder / "part-00000.parquet").mkdir(parents=True)
    with pytest.raises(JobError, match=r"out holds 'part-00000.parquet', which no job"):
        encode(table, encoder, overwrite=True)


def test_a_file_that_comes_while_the_job_runs_is_not_deleted_either(encoder, table):
    folder = table.with_name("out")
    encode(table, encoder, limit=4)

    def put(tally, _):
        (folder / "notes.txt").write_text("mine")

    with pytest.raises(JobError, match="out holds 'notes.txt', which no job has put there"):
        encode(table, encoder, overwrite=True, progress=put)
    assert len(pd.read_parquet(folder / NAMES[1])) == 3
    (folder / "notes.txt").unlink()
    assert encode(table, encoder, overwrite=True).resumed == ROWS
    assert sorted(files_of(folder)) == NAMES


def test_hidden_files_are_nobody_s_business(encoder, table):
    folder = table.with_name("out")
    folder.mkdir()
    (folder / ".DS_Store").write_text("x")
    assert encode(table, encoder).state == "published"
    assert encode(table, encoder).state == "unchanged"
    assert sorted(files_of(folder)) == [".DS_Store", *NAMES]


def test_fewer_part_files_than_before_leave_none_behind(encoder, table):
    encode(table, encoder)
    encode(table, encoder, limit=4, overwrite=True)
    assert sorted(files_of(table.with_name("out"))) == NAMES[:3]
    assert pd.read_parquet(table.with_name("out"))["id"].tolist() == ["k0", "k1", "k2", "k3"]


@pytest.mark.parametrize("rows", [2, 4, 6, 8])
def test_a_job_that_was_stopped_goes_on(encoder, table, rows):
    encode(table, encoder, "whole/")

    def stop(tally, _):
        if tally.rows >= rows:
            raise Stop

    with pytest.raises(Stop):
        encode(table, encoder, progress=stop)
    assert not table.with_name("out").exists()
    assert encode(table, encoder).resumed == (8 if rows == 8 else rows // 3 * 3)
    assert files_of(table.with_name("out")) == files_of(table.with_name("whole"))


def interrupted(table, encoder, monkeypatch, k, **options):
    """Whether there was a k-th such moment."""
    with monkeypatch.context() as patch:
        stop_at_move(patch, table.with_name("out"), k, Stop)
        try:
            encode(table, encoder, **options)
        except Stop:
            return True
    return False


@pytest.mark.parametrize("words", [{"overwrite": True}, {"update": True, "key": "id"}, {"update": True}])
def test_a_run_that_was_stopped_while_it_filled_the_folder_is_ended_by_the_next(
    encoder, write, monkeypatch, words
):
    update = words.get("update", False)
    folder = write([]).with_name("out")
    encode(write(range(5)), encoder, update=update, key=words.get("key"))
    old = files_of(folder)
    for name in ("out", "out.job"):
        shutil.copytree(folder.with_name(name), folder.with_name(f"old.{name}"))
    assert encode(write(range(ROWS)), encoder, **words).reused == (4 if update else 0)
    new = files_of(folder)
    k = 0
    while True:
        for name in ("out", "out.job"):
            shutil.rmtree(folder.with_name(name))
            shutil.copytree(folder.with_name(f"old.{name}"), folder.with_name(name))
        k += 1
        if not interrupted(write(range(ROWS)), encoder, monkeypatch, k, **words):
            break
        found = files_of(folder)
        if "_SUCCESS" in found:
            assert found == old
        else:
            assert found.items() < old.items() or found.items() < new.items()
        # the next run does what was begun even where it is not allowed to replace anything itself
        begun = "_SUCCESS" not in found
        again = encode(write(range(ROWS)), encoder, **({} if begun and not update else words))
        assert again.state == ("unchanged" if begun else "published")
        assert files_of(folder) == new
        assert verify_table(write(range(ROWS)), f"{folder}/", encoder).proved
    assert k == 8  # _SUCCESS and two files go, three files and _SUCCESS come


def test_what_was_begun_is_ended_before_another_job_is_refused(encoder, table, monkeypatch):
    encode(table, encoder, "whole/")
    assert interrupted(table, encoder, monkeypatch, 2)
    with pytest.raises(
        JobError, match="out was made otherwise; --overwrite replaces it: keep_crops: false -> true"
    ):
        encode(table, encoder, keep_crops=True)
    assert files_of(table.with_name("out")) == files_of(table.with_name("whole"))


@pytest.mark.parametrize("harm", ["staged", "folder"])
def test_what_was_begun_and_cannot_be_ended_is_not_taken_for_an_output(encoder, table, monkeypatch, harm):
    encode(table, encoder, "whole/")
    assert interrupted(table, encoder, monkeypatch, 3)
    if harm == "staged":
        (table.with_name("out.job") / "staged" / NAMES[2]).unlink()
    else:
        (table.with_name("out") / NAMES[3]).write_text("x")
    with pytest.raises(JobError, match="out exists and was not made by this job"):
        encode(table, encoder)
    assert encode(table, encoder, overwrite=True).resumed == ROWS
    assert files_of(table.with_name("out")) == files_of(table.with_name("whole"))


@pytest.mark.parametrize("key", [None, "id"])
def test_a_folder_can_be_updated(encoder, write, key):
    words = {"update": True, "key": key}
    encode(write(range(5)), encoder, **words)
    assert encode(write([9, *range(6)]), encoder, **words).reused == 4
    found = pd.read_parquet(write([0]).with_name("out"))
    assert found["id"].tolist() == ["k9", *(f"k{at}" for at in range(6))]
    features = stack_features(found["feature_vector"])
    wanted = encoder.encode([CELLS[9], CELLS[0], CELLS[1], None, *CELLS[3:6]])
    assert np.nanmax(np.abs(features - wanted)) <= 2e-5 * np.nanmax(wanted)
    shutil.rmtree(write([0]).with_name("out.job"))
    if key is not None:  # the files say themselves what made them
        assert encode(write([9, *range(7)]), encoder, **words).reused == 6


def swap(folder, one, other):
    one, other = folder / one, folder / other
    one.rename(folder / "swap")
    other.rename(one)
    (folder / "swap").rename(other)


def test_a_folder_is_verified_with_its_manifest_and_without(encoder, table):
    folder = table.with_name("out")
    encode(table, encoder)
    assert verify_table(table, f"{folder}/", encoder).proved
    swap(folder, NAMES[1], NAMES[2])
    with pytest.raises(JobError, match=r"out/ is not what was made: found [\d,]+ bytes of sha256"):
        verify_table(table, f"{folder}/", encoder)
    shutil.rmtree(table.with_name("out.job"))
    with pytest.raises(JobError) as caught:
        verify_table(table, f"{folder}/", encoder)
    assert caught.value.reason == "unverified"
    assert str(caught.value) == f"{folder} is not what its _SUCCESS says: {NAMES[1]} is another file"
    swap(folder, NAMES[1], NAMES[2])
    found = verify_table(table, f"{folder}/", encoder)
    assert (found.rows, found.features, found.proved) == (8, 6, True)


def test_a_folder_that_is_not_what_its_success_says_is_named(encoder, table):
    folder = table.with_name("out")
    encode(table, encoder)
    shutil.rmtree(table.with_name("out.job"))
    for name, text, message in [
        (NAMES[2], None, f"out is not what its _SUCCESS says: {NAMES[2]} is gone"),
        ("part-00003.parquet", "x", "out is not what its _SUCCESS says: part-00003.parquet is not in it"),
        ("_SUCCESS", None, "out has no _SUCCESS, so that it is not finished"),
        ("_SUCCESS", "", "out/_SUCCESS is damaged: Expecting value"),
        ("_SUCCESS", "{}", "out/_SUCCESS is damaged: 'sha256'"),
        ("_SUCCESS", "[]", "out/_SUCCESS is damaged: list indices must be"),
        ("_SUCCESS", '{"sha256": [[1, 2]]}', "out/_SUCCESS is damaged: 'list' object is not a mapping"),
        ("_SUCCESS", "[" * 100_000, "out/_SUCCESS is damaged: maximum recursion depth"),
    ]:
        path = folder / name
        before = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(JobError, match=message) as caught:
            verify_table(table, f"{folder}/", encoder)
        assert caught.value.reason == "unverified"
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
    assert verify_table(table, f"{folder}/", encoder).rows == ROWS


def test_the_slash_alone_tells_a_folder_from_a_file(encoder, table):
    def refusal(name):
        with pytest.raises(TableError) as caught:
            encode(table, encoder, name)
        return str(caught.value).removeprefix(f"{table.parent}/")

    assert refusal("out") == (
        "out has no known suffix; wanted one of .csv, .csv.gz, .csv.zst, .parquet, .pq, or a slash at the end for "
        "a folder of part files"
    )
    assert refusal("out.csv.gz/") == "out.csv.gz/ is a folder of Parquet files, wanted a name that is not a CSV's"
    assert refusal("none/out/") == f"cannot write {table.parent}/none/out/: there is no folder {table.parent}/none"
    encode(table, encoder, "out.parquet/")
    assert sorted(files_of(table.with_name("out.parquet"))) == NAMES
    assert refusal("out.parquet") == "out.parquet is a folder, wanted the name of a file to write"
    table.with_name("out").write_text("x")
    assert refusal("out/") == "out/ is a file, wanted a folder or a new name"
    assert refusal("/../" * 50).endswith("it is the root of a file system, wanted a folder within it")


def test_a_folder_that_may_not_be_written_to_is_named(encoder, table, monkeypatch):
    table.with_name("out").mkdir()
    # root may write everywhere
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "out")
    with pytest.raises(TableError, match=r"^cannot write .*/out/: the folder .*/out may not be written to$"):
        encode(table, encoder)


def test_neither_the_input_nor_the_rejects_may_be_in_the_folder(encoder, table):
    folder = table.with_name("data")
    folder.mkdir()
    inner = Path(shutil.copy(table, folder))
    with pytest.raises(JobError, match="data/in.csv is the input, and would be replaced$") as caught:
        encode_table(inner, f"{folder}/", encoder, overwrite=True)
    assert caught.value.reason == "same_file"
    with pytest.raises(JobError, match="data/bad.csv was given for the rejects, and is the output or in it$"):
        encode(table, encoder, "data/", rejects=folder / "bad.csv")
    assert sorted(files_of(folder)) == ["in.csv"]


def test_a_link_leads_to_the_folder_it_points_to(encoder, table):
    (table.parent / "far").mkdir()
    table.with_name("out").symlink_to(table.parent / "far" / "real", target_is_directory=True)
    encode(table, encoder)
    assert table.with_name("out").is_symlink()
    assert sorted(files_of(table.parent / "far" / "real")) == NAMES
    assert (table.parent / "far" / "real.job").is_dir()
