"""A table in, a table out."""

import csv
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from osnet_encoder import CropError, JobError, OsNetEncoder, TableError, encode_table, stack_features
from osnet_encoder.crops import encode_crop
from osnet_encoder.job import find_crop_column
from osnet_encoder.tables import open_table
from pictures import draw_crop

CELLS = [encode_crop(draw_crop(number)) for number in range(4)]
FRAME = pd.DataFrame(
    {
        "id": ["0001", "0002", "0003", "0004", "0005", "0006"],
        "score": ["1.10", "", "3", "4", "5", "6.5"],
        "crop": [CELLS[0], "", CELLS[1], "broken", CELLS[2], CELLS[3]],
        "note": ["NA", "a,b", 'say "hi"', "two\nlines", "", "ü"],
    }
)


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder("untrained:osnet_x0_25", device="cpu", on_error="null", batch_size=2)


@pytest.fixture(scope="module")
def features(encoder):
    return encoder.encode(FRAME["crop"])


@pytest.fixture
def table(tmp_path):
    FRAME.to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def test_csv_becomes_parquet_row_for_row(encoder, features, table):
    target = table.with_name("out.parquet")
    summary = encode_table(table, target, encoder)
    frame = pd.read_parquet(target)
    assert list(frame.columns) == ["id", "score", "feature_vector", "feature_vector_error", "note"]
    assert frame["id"].tolist() == FRAME["id"].tolist()
    assert frame["score"].tolist()[2:] == [3, 4, 5, 6.5]
    assert np.array_equal(stack_features(frame["feature_vector"]), features, equal_nan=True)
    assert (summary.rows, summary.encoded, summary.missing, summary.broken) == (6, 4, 1, 1)
    assert summary.reasons == {"not_a_dict": 1}
    assert frame["feature_vector_error"].dropna().to_dict() == {
        3: "not_a_dict: neither Python nor JSON near character 0: 'broken'"
    }
    assert summary.column == "crop"
    assert set(summary.seconds) == {"read", "decode", "infer", "write", "total"}


def test_parquet_features_are_a_fixed_size_list_and_say_what_made_them(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder)
    schema = pq.read_schema(target)
    assert schema.field("feature_vector").type.equals(pa.list_(pa.float32(), 512))
    made_by = json.loads(schema.metadata[b"osnet_encoder"])
    assert made_by["variant"] == "osnet_x0_25"
    assert made_by["weights_sha256"] == encoder.weights.sha256
    assert made_by["patch"] == {
        "height": 256,
        "width": 128,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


def test_csv_becomes_csv_with_every_value_as_it_was(encoder, features, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder)
    with target.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "score", "feature_vector", "feature_vector_error", "note"]
    for at in (0, 1, 4):
        assert [row[at] for row in rows] == FRAME[header[at]].tolist()
    found = stack_features([row[2] or None for row in rows])
    assert np.array_equal(found, features, equal_nan=True)
    assert target.read_text().startswith(
        '"id","score","feature_vector","feature_vector_error","note"\n"0001",1.10,"789c'
    )


def test_the_feature_column_may_take_the_crop_column_s_name(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder, feature_column="crop")
    assert pd.read_parquet(target).columns.tolist() == ["id", "score", "crop", "crop_error", "note"]


def test_crops_can_be_kept(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder, keep_crops=True)
    frame = pd.read_parquet(target)
    assert list(frame.columns) == ["id", "score", "crop", "note", "feature_vector", "feature_vector_error"]
    assert frame["crop"].fillna("").tolist() == FRAME["crop"].tolist()


def test_a_column_that_is_there_already_is_not_overwritten(encoder, table):
    with pytest.raises(TableError, match="the table has a column 'note' already; name another for the features$"):
        encode_table(table, table.with_name("out.csv"), encoder, feature_column="note")
    with pytest.raises(TableError, match="without keep_crops it may be the crop column itself"):
        encode_table(table, table.with_name("out.csv"), encoder, feature_column="crop", keep_crops=True)
    assert [path.name for path in table.parent.iterdir() if not path.name.startswith(".")] == ["in.csv"]


@pytest.mark.parametrize("feature_format", ["json", "zlib-hex", "list"])
def test_every_feature_format_reads_back_the_same(encoder, features, table, feature_format):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder, feature_format=feature_format)
    found = stack_features(pd.read_parquet(target)["feature_vector"])
    assert np.array_equal(found, features, equal_nan=True)


def test_csv_cannot_hold_lists(encoder, table):
    with pytest.raises(ValueError, match="CSV cannot hold lists; choose zlib-hex or json, or write Parquet"):
        encode_table(table, table.with_name("out.csv"), encoder, feature_format="list")


def test_a_limit_takes_rows_from_the_start(encoder, features, table):
    for limit in (0, 1, 3, 99):
        target = table.with_name(f"out{limit}.parquet")
        summary = encode_table(table, target, encoder, limit=limit)
        assert summary.rows == min(limit, 6)
        assert len(pd.read_parquet(target)) == min(limit, 6)


def test_parquet_keeps_its_types_and_its_pandas_index(encoder, features, tmp_path):
    frame = FRAME.assign(
        when=pd.to_datetime("2026-01-01", utc=True), kind=pd.Categorical(list("ababab")), tags=[[1, 2]] * 6
    )
    frame.index = pd.Index(list("uvwxyz"), name="key")
    frame.to_parquet(tmp_path / "in.parquet")
    encode_table(tmp_path / "in.parquet", tmp_path / "out.parquet", encoder)
    found = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(
        found.drop(columns=["feature_vector", "feature_vector_error", "tags"]),
        frame.drop(columns=["crop", "tags"]),
        check_categorical=False,
    )
    assert [list(tags) for tags in found["tags"]] == frame["tags"].tolist()
    assert np.array_equal(stack_features(found["feature_vector"]), features, equal_nan=True)


def test_a_broken_cell_can_end_the_job_with_nothing_written(table):
    strict = OsNetEncoder("untrained:osnet_x0_25", device="cpu", batch_size=2)
    target = table.with_name("out.parquet")
    with pytest.raises(CropError, match="row 3: not_a_dict"):
        encode_table(table, target, strict)
    assert not target.exists()
    assert not list(table.parent.glob(".*.partial"))


def test_a_job_that_fails_leaves_the_old_output_as_it_was(table):
    strict = OsNetEncoder("untrained:osnet_x0_25", device="cpu", batch_size=2)
    target = table.with_name("out.csv")
    target.write_text("old")
    with pytest.raises(CropError):
        encode_table(table, target, strict, overwrite=True)
    assert target.read_text() == "old"


def test_two_jobs_do_not_write_one_output(encoder, table):
    target = table.with_name("out.csv")
    with FileLock(target.with_name(".out.csv.lock")), pytest.raises(JobError) as caught:
        encode_table(table, target, encoder)
    assert caught.value.reason == "locked"
    assert str(caught.value).startswith(f"another job is writing {str(target)!r}")
    encode_table(table, target, encoder)


def test_the_folder_of_the_output_must_be_there(encoder, table):
    with pytest.raises(TableError, match="cannot write .*out.csv: there is no folder .*nowhere$"):
        encode_table(table, table.parent / "nowhere" / "out.csv", encoder)


def test_a_column_that_is_not_there_is_an_error_that_lists_those_that_are(encoder, table):
    with pytest.raises(TableError) as caught:
        encode_table(table, table.with_name("out.csv"), encoder, column="image")
    assert str(caught.value) == "no column 'image' in the table; it has id, score, crop, note"


def test_the_crop_column_is_found_behind_many_missing_and_broken_cells(tmp_path):
    column = [""] * 500 + ["broken"] * 100 + [CELLS[0]]
    pd.DataFrame({"a": "x", "b": column}).to_csv(tmp_path / "in.csv", index=False)
    assert find_crop_column(open_table(tmp_path / "in.csv")) == "b"


def test_no_crop_column_or_several_is_an_error_that_lists_the_columns(tmp_path):
    pd.DataFrame({"a": [1], "b": ["x"]}).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(TableError, match="^no column holds crop strings; name the one to encode, of a, b$"):
        find_crop_column(open_table(tmp_path / "none.csv"))
    pd.DataFrame({"a": CELLS[:1], "b": CELLS[:1], "c": ["x"]}).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(TableError, match="^columns a, b all hold crop strings; name the one .*, of a, b, c$"):
        find_crop_column(open_table(tmp_path / "two.csv"))


def test_progress_is_told_after_each_batch(encoder, table):
    told = []
    encode_table(
        table, table.with_name("out.csv"), encoder, progress=lambda report, rows: told.append((report.rows, rows))
    )
    assert told == [(2, 6), (4, 6), (6, 6)]
