"""Broken cells: where they are told, what becomes of their rows, and when there are too many."""

import csv
import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from osnet_encoder import CropError, JobError, OsNetEncoder, TableError, encode_table
from osnet_encoder.crops import encode_crop
from pictures import draw_crop

GOOD = [encode_crop(draw_crop(number)) for number in range(4)]
ERROR = "not_a_dict: neither Python nor JSON near character 0: 'broken'"


def make_encoder(on_error="null"):
    return OsNetEncoder(
        "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error=on_error, batch_size=4, patch_size=(32, 16)
    )


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


def write_table(folder, cells):
    pd.DataFrame({"id": range(len(cells)), "crop": cells}).to_csv(folder / "in.csv", index=False)
    return folder / "in.csv"


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path, [GOOD[0], "broken", "", GOOD[1], "{'width': 3,\n" + "x" * 90, GOOD[2]])


def test_the_error_column_is_there_and_empty_where_all_is_well(encoder, tmp_path):
    table = write_table(tmp_path, [GOOD[0], ""])
    encode_table(table, tmp_path / "out.csv", encoder)
    encode_table(table, tmp_path / "out.parquet", encoder)
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["feature_vector_error"] for row in csv.DictReader(file)] == ["", ""]
    column = pq.read_table(tmp_path / "out.parquet").column("feature_vector_error")
    assert (str(column.type), column.to_pylist()) == ("string", [None, None])


def test_the_error_column_is_called_after_the_feature_column_or_as_wanted_or_left_out(encoder, table):
    target = table.with_name("out.csv")

    def columns(**options):
        encode_table(table, target, encoder, overwrite=True, **options)
        return pd.read_csv(target).columns.tolist()

    assert columns(feature_column="osnet") == ["id", "osnet", "osnet_error"]
    assert columns(error_column="why") == ["id", "feature_vector", "why"]
    assert columns(error_column=None) == ["id", "feature_vector"]
    for name in ("id", "feature_vector"):
        with pytest.raises(
            TableError, match=f"the output has a column '{name}' already; name another for the errors"
        ):
            columns(error_column=name)


def test_broken_rows_can_be_left_out(encoder, table):
    for name in ("out.csv", "out.parquet"):
        target = table.with_name(name)
        summary = encode_table(table, target, encoder, on_error="drop")
        frame = pd.read_csv(target) if name == "out.csv" else pd.read_parquet(target)
        assert frame["id"].tolist() == [0, 2, 3, 5]
        assert frame["feature_vector_error"].isna().all()
        assert (summary.rows, summary.broken, summary.dropped) == (6, 2, 2)


def test_a_strict_job_names_the_first_broken_row_whichever_batch_and_crop_it_is(tmp_path):
    # equal crops and missing ones come before it, so that the encoder counts otherwise than the table
    table = write_table(tmp_path, [GOOD[0]] * 5 + ["", "", GOOD[1], GOOD[1], "broken"])
    for encoder, options in [(make_encoder("raise"), {}), (make_encoder("null"), {"on_error": "raise"})]:
        with pytest.raises(CropError) as caught:
            encode_table(table, tmp_path / "out.csv", encoder, **options)
        assert str(caught.value) == f"row 9: {ERROR}"


def test_an_encoder_that_raises_cannot_be_told_to_let_pass(table):
    with pytest.raises(ValueError, match="^on_error='drop' wants an encoder with on_error='null', found 'raise'$"):
        encode_table(table, table.with_name("out.csv"), make_encoder("raise"), on_error="drop")


def test_rejects_have_row_reason_detail_and_the_cell_s_beginning(encoder, table):
    rejects = table.with_name("rejects.csv")
    summary = encode_table(table, table.with_name("out.csv"), encoder, rejects=rejects)
    with rejects.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [(row["row"], row["reason"]) for row in found] == [("1", "not_a_dict"), ("4", "not_a_dict")]
    assert f"{found[0]['reason']}: {found[0]['detail']}" == ERROR
    assert [row["excerpt"] for row in found] == ["broken", "{'width': 3,\ufffd" + "x" * 67]
    assert summary.rejects == str(rejects)


def test_rejects_are_complete_after_a_resume(encoder, tmp_path):
    table = write_table(tmp_path, ["broken", GOOD[0], GOOD[1], "", GOOD[2], "broken", GOOD[3], "broken"])

    class Stop(BaseException):
        pass

    def stop(tally, _):
        if tally.rows == 4:
            raise Stop

    target, rejects = tmp_path / "out.csv", tmp_path / "rejects.csv"
    with pytest.raises(Stop):
        encode_table(table, target, encoder, part_rows=4, rejects=rejects, progress=stop)
    assert not rejects.exists()
    encode_table(table, target, encoder, part_rows=4, rejects=rejects)
    assert pd.read_csv(rejects)["row"].tolist() == [0, 5, 7]
    rejects.unlink()
    assert encode_table(table, target, encoder, part_rows=4, rejects=rejects).state == "unchanged"
    assert pd.read_csv(rejects)["row"].tolist() == [0, 5, 7]


@pytest.mark.parametrize(
    ("broken", "good", "rate", "refused"),
    [
        (9, 1, None, False),  # few
        (10, 989, None, True),
        (10, 990, None, False),
        (1, 9, 0.09, True),  # few, but asked for
        (1, 9, 0.1, False),
        (1, 9, 0.0, True),
        (0, 9, 0.0, False),
        (9, 1, 1.0, False),
    ],
)
def test_too_many_broken_cells_publish_nothing(encoder, tmp_path, broken, good, rate, refused):
    table = write_table(tmp_path, ["broken"] * broken + [""] * 3 + GOOD[:1] * good)
    target, rejects = tmp_path / "out.csv", tmp_path / "rejects.csv"
    target.write_text("old")
    words = {"max_error_rate": rate, "rejects": rejects, "overwrite": True}
    if not refused:
        assert encode_table(table, target, encoder, **words).broken == broken
        return
    with pytest.raises(JobError) as caught:
        encode_table(table, target, encoder, **words)
    assert caught.value.reason == "rejects"
    limit = 0.01 if rate is None else rate
    assert str(caught.value) == (
        f"{broken} of {broken + good} crops are broken ({broken} not_a_dict), above the rate of {limit:g} "
        f"that is allowed; nothing is published, they are listed in {rejects}"
    )
    assert target.read_text() == "old"
    assert len(pd.read_csv(rejects)) == broken
    again = encode_table(table, target, encoder, **{**words, "max_error_rate": 1})
    assert again.resumed == again.rows  # nothing was encoded anew


def test_a_table_of_which_no_crop_can_be_encoded_is_a_failure(encoder, tmp_path):
    table = write_table(tmp_path, ["broken"] * 3 + [""])
    with pytest.raises(JobError) as caught:
        encode_table(table, tmp_path / "out.csv", encoder, column="crop")
    assert caught.value.reason == "nothing_encoded"
    assert str(caught.value) == (
        "3 of 3 crops are broken (3 not_a_dict), so that there is nothing to publish; is it the right column? "
        f"they are listed in {tmp_path / 'out.csv.job' / 'rejects.csv'}"
    )


@pytest.mark.parametrize("cells", [[], ["", ""]])
def test_a_table_without_rows_or_without_crops_is_published(encoder, tmp_path, cells):
    table = write_table(tmp_path, cells)
    for name in ("out.csv", "out.parquet"):
        summary = encode_table(table, tmp_path / name, encoder, column="crop")
        assert (summary.rows, summary.encoded, summary.parts) == (len(cells), 0, min(len(cells), 1))
        assert (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "skip"}, "on_error must be one of null, drop, raise, found 'skip'"),
        ({"part_rows": 0}, "part_rows must be from 1 to 65,536, found 0"),
        ({"max_error_rate": 1.5}, "max_error_rate must be from 0 to 1, found 1.5"),
        ({"limit": -1}, "limit must be at least 0, found -1"),
        ({"key": "id"}, "a key is for update, which was not asked for"),
        ({"update": True, "fresh": True}, "update keeps what is there and fresh discards it; ask for one of them"),
    ],
)
def test_an_option_that_cannot_be_is_an_error_before_anything_is_read(encoder, options, message):
    with pytest.raises(ValueError) as caught:
        encode_table("nowhere.csv", "out.csv", encoder, **options)
    assert str(caught.value) == message


def test_equal_crops_of_a_batch_are_encoded_once(encoder, tmp_path):
    table = write_table(tmp_path, [GOOD[0], GOOD[0], "broken", "broken", GOOD[1], "", "", GOOD[1]])
    seen = []

    class Counting:
        def __getattr__(self, name):
            return getattr(encoder, name)

        def encode_batches(self, batches):
            def watched():
                for batch in batches:
                    seen.append(len(batch))
                    yield batch

            return encoder.encode_batches(watched())

    summary = encode_table(table, tmp_path / "out.parquet", Counting())
    assert seen == [2, 2]
    assert (summary.encoded, summary.missing, summary.broken) == (4, 2, 2)
    frame = pd.read_parquet(tmp_path / "out.parquet")
    wanted = encoder.encode(frame_of(table)["crop"])
    for row in (0, 1, 4, 7):
        assert abs(frame["feature_vector"][row] - wanted[row]).max() <= 2e-5 * wanted[row].max()
    assert frame["feature_vector_error"].tolist()[2:4] == [ERROR, ERROR]


def frame_of(table):
    return pd.read_csv(table, keep_default_na=False)


def test_the_manifest_counts_what_became_of_the_cells_of_each_part(encoder, table):
    class Stop(BaseException):
        pass

    def stop(tally, _):
        raise Stop

    with pytest.raises(Stop):
        encode_table(table, table.with_name("out.csv"), encoder, part_rows=4, progress=stop)
    manifest = json.loads(table.with_name("out.csv.job").joinpath("manifest.json").read_text())
    (part,) = manifest["work"]["parts"]
    assert (part["rows"], part["encoded"], part["missing"], part["broken"]) == (4, 2, 1, 1)
    assert part["reasons"] == {"not_a_dict": 1}
