"""Parquet files <-> tables."""

import datetime
import decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from osnet_encoder.errors import TableError
from osnet_encoder.tables import features_array, open_table, open_writer
from osnet_encoder.tables.parquet_writer import ROW_GROUP_BYTES, ROW_GROUP_ROWS

RICH = pa.table(
    {
        "text": pa.array(["a", None, "", "é"]),
        "large": pa.array(["a", None, "", "é"], pa.large_string()),
        "photo": pa.array([b"\x00", None, b"", b"\xff"]),
        "count": pa.array([1, None, 3, 4], pa.int16()),
        "tags": pa.array([["x", None], None, [], ["y"]]),
        "box": pa.array([{"x": 1, "y": [0.5]}, None, {"x": None, "y": None}, {"x": 2, "y": []}]),
        "pairs": pa.array([[("a", 1)], None, [], [("b", None)]], pa.map_(pa.string(), pa.int64())),
        "price": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("-0.05"), None]),
        "berlin": pa.array([datetime.datetime(2024, 1, 1), None] * 2, pa.timestamp("ns", "Europe/Berlin")),
        "day": pa.array([datetime.date(2024, 1, 31), None] * 2),
        "spell": pa.array([datetime.timedelta(hours=1), None] * 2, pa.duration("ms")),
        "camera": pa.array(["front", None, "back", "front"]).dictionary_encode(),
        "nothing": pa.nulls(4),
    }
)


def read(path, rows=3, **options):
    table = open_table(path)
    return pa.Table.from_batches(table.batches(rows, **options), table.schema)


def copied(source, target, metadata=None):
    table = open_table(source)
    with open_writer(target, table.schema, metadata=metadata) as writer:
        for batch in table.batches(3):
            writer.write(batch)
    return target


def refusal(path, act=open_table):
    with pytest.raises(TableError) as caught:
        act(path)
    return str(caught.value)


def test_a_table_reads_as_pyarrow_reads_it(tmp_path):
    path = tmp_path / "people.parquet"
    pq.write_table(RICH, path, row_group_size=3)
    table = open_table(path)
    assert (table.kind, table.names) == ("parquet", RICH.column_names)
    assert table.schema.equals(RICH.schema)
    assert read(path).to_pylist() == RICH.to_pylist()
    assert read(path, rows=1, limit=2, typed=True).to_pylist() == RICH.to_pylist()[:2]


def test_a_survey_is_what_the_file_says(tmp_path):
    path = tmp_path / "people.pq"
    pq.write_table(RICH, path)
    table = open_table(path)
    survey = table.survey()
    assert (survey.rows, survey.typed_schema, survey.numeric) == (4, table.schema, frozenset())
    assert table.survey(limit=2).rows == 2
    assert table.survey(limit=9).rows == 4


def test_every_kind_of_column_comes_through(tmp_path):
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(RICH, source)
    copied(source, target)
    assert pq.read_table(target).equals(pq.read_table(source))


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3),
        pd.RangeIndex(10, 40, 10, name="step"),
        pd.Index(["x", "y", "z"], name="key"),
        pd.MultiIndex.from_tuples([(1, "a"), (1, "b"), (2, "a")], names=["one", None]),
        pd.date_range("2024-01-01", periods=3, tz="UTC"),
    ],
    ids=lambda index: type(index).__name__,
)
def test_the_index_of_a_pandas_frame_comes_through(tmp_path, index):
    frame = pd.DataFrame({"a": [1, 2, 3], "b": pd.Categorical(["x", "y", "x"])}, index=index)
    frame.to_parquet(tmp_path / "in.parquet")
    found = pd.read_parquet(copied(tmp_path / "in.parquet", tmp_path / "out.parquet"))
    pd.testing.assert_frame_equal(found, frame, check_freq=False)


@pytest.mark.parametrize("dropped", ["a", "__index_level_0__"])
def test_a_frame_whose_column_or_index_was_dropped_still_reads(tmp_path, dropped):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=["p", "q"])
    table = pa.Table.from_pandas(frame).drop_columns([dropped])
    with open_writer(tmp_path / "out.parquet", table.schema) as writer:
        for batch in table.to_batches():
            writer.write(batch)
    assert pd.read_parquet(tmp_path / "out.parquet")["b"].tolist() == ["x", "y"]


@pytest.fixture
def features_file(tmp_path):
    """A pandas table to which a column of features was added, and the features."""
    features = np.random.default_rng(0).random((5, 512), np.float32)
    missing = np.array([False, True, False, False, True])
    table = pa.Table.from_pandas(pd.DataFrame({"id": [f"{number:04}" for number in range(5)]}))
    table = table.append_column("feature_vector", [features_array(features, missing)])
    path = tmp_path / "out.parquet"
    with open_writer(path, table.schema, metadata={"made_by": "a test"}) as writer:
        for batch in table.to_batches(max_chunksize=2):
            writer.write(batch)
    return path, [None if gone else row for row, gone in zip(features.tolist(), missing, strict=True)]


def test_pandas_reads_the_features(features_file):
    path, expected = features_file
    frame = pd.read_parquet(path)
    assert frame["id"].tolist() == ["0000", "0001", "0002", "0003", "0004"]
    assert [None if cell is None else cell.tolist() for cell in frame["feature_vector"]] == expected


def test_polars_reads_the_features(features_file):
    path, expected = features_file
    column = pl.read_parquet(path)["feature_vector"]
    assert column.dtype == pl.Array(pl.Float32, 512)
    assert column.to_list() == expected


def test_duckdb_reads_the_features(features_file):
    path, expected = features_file
    rows = duckdb.sql(f"select feature_vector from '{path}'").fetchall()
    assert [None if cell is None else list(cell) for (cell,) in rows] == expected


def test_pages_are_packed_and_checked_and_metadata_is_added(features_file):
    path, _ = features_file
    schema = open_table(path).schema
    assert schema.metadata[b"made_by"] == b"a test"
    assert b"pandas" in schema.metadata
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_all_values_but_those_of_feature_vectors_are_put_into_dictionaries(tmp_path):
    kinds = {
        "id": pa.string(),
        "a.b": pa.int64(),
        "feature_vector": pa.list_(pa.float32(), 2),
        "list": pa.large_list(pa.string()),
        "struct": pa.struct({"x": pa.string(), "y": pa.list_(pa.float64())}),
        "map": pa.map_(pa.string(), pa.int32()),
    }
    row = {
        "id": "k", "a.b": 1, "feature_vector": [1, 2], "list": ["a"],
        "struct": {"x": "b", "y": [0.5]}, "map": [("c", 3)],
    }  # fmt: skip
    batch = pa.RecordBatch.from_pylist([row] * 5, pa.schema(kinds.items()))
    with open_writer(tmp_path / "out.parquet", batch.schema) as writer:
        writer.write(batch)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == batch.to_pylist()
    group = pq.read_metadata(tmp_path / "out.parquet").row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    plain = [column.path_in_schema for column in columns if "RLE_DICTIONARY" not in column.encodings]
    assert plain == ["feature_vector.list.element"]


def test_a_flipped_byte_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "people.parquet"
    noise = np.random.default_rng(0).integers(0, 2**62, 10_000)
    with open_writer(path, pa.schema([("a", pa.int64())])) as writer:
        writer.write(pa.record_batch({"a": noise}))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert refusal(path, read).startswith(f"cannot read {path}: ")


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"name": ["a"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"name", b"n\xffme"))
    message = refusal(path)
    assert message.startswith(f"cannot read {path}: 'utf-8' codec can't decode byte 0xff")


def test_a_file_that_is_wrong_about_its_rows_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "people.parquet"
    pq.write_table(pa.table({"id": [1, None, 3]}), path)
    data = path.read_bytes()
    found = set()
    for at in range(4, len(data)):
        if data[at] != 6:  # 3, as Parquet writes it
            continue
        path.write_bytes(data[:at] + b"\x04" + data[at + 1 :])
        try:
            table = open_table(path)
            assert sum(batch.num_rows for batch in table.batches(7)) == table.survey().rows
        except TableError as error:
            found.add(str(error).removeprefix(f"{path} "))
    assert found >= {
        "is damaged: the number of its rows is 3, and it says 2",
        "is damaged: the number of its rows is 2, and it says 3",
    }


def test_row_groups_are_bounded_by_rows(tmp_path):
    path = tmp_path / "people.parquet"
    with open_writer(path, pa.schema([("a", pa.int64())])) as writer:
        for start in range(0, 150_000, 50):
            writer.write(pa.record_batch({"a": np.arange(start, start + 50)}))
        writer.write(pa.record_batch({"a": np.arange(150_000, 300_000)}))
    metadata = pq.ParquetFile(path).metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert max(sizes) <= ROW_GROUP_ROWS
    assert sizes[:2] == [65_500, 65_500]
    assert read(path, rows=1000)["a"].to_pylist() == list(range(300_000))


def test_row_groups_are_bounded_by_bytes(tmp_path):
    path = tmp_path / "people.parquet"
    with open_writer(path, pa.schema([("a", pa.string())])) as writer:
        for _ in range(3):
            writer.write(pa.record_batch({"a": ["x" * (1 << 20)] * 50}))
        writer.write(pa.record_batch({"a": ["x" * (1 << 20)] * 150}))
    metadata = pq.ParquetFile(path).metadata
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert sum(sizes) == 300
    assert max(sizes) << 20 < 2 * ROW_GROUP_BYTES
    assert len(sizes) >= 4


def test_large_cells_are_read_a_few_rows_at_a_time(tmp_path):
    path = tmp_path / "people.parquet"
    values = [f"{number}" * (1 << 20) for number in range(9)] * 4
    pq.write_table(pa.table({"a": values}), path)
    assert read(path, rows=8)["a"].to_pylist() == values
    assert [batch.num_rows for batch in open_table(path).batches(8)] == [8, 8, 8, 8, 4]


def test_a_folder_is_read_by_name(tmp_path):
    for name in ["b.parquet", "a.pq", "c.parquet"]:
        pq.write_table(pa.table({"name": [name] * 2}), tmp_path / name)
    pq.write_table(pa.table({"other": [1]}), tmp_path / "_summary.parquet")
    (tmp_path / ".c.parquet.crc").touch()
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "README.md").touch()
    table = open_table(tmp_path)
    assert table.survey().rows == 6
    expected = ["a.pq", "a.pq", "b.parquet", "b.parquet", "c.parquet", "c.parquet"]
    assert read(tmp_path, rows=4)["name"].to_pylist() == expected
    assert read(tmp_path, limit=3)["name"].to_pylist() == expected[:3]
    assert read(tmp_path / "[bc].par*", rows=4)["name"].to_pylist() == expected[2:]


def test_a_pattern_reaches_into_folders(tmp_path):
    for name in ["one", "two"]:
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"name": [name]}), tmp_path / name / "part.parquet")
    assert read(tmp_path / "**" / "*.parquet")["name"].to_pylist() == ["one", "two"]


def test_metadata_of_files_need_not_agree(tmp_path):
    for number in range(2):
        pd.DataFrame({"a": [number] * 2}, index=[5, 6]).to_parquet(tmp_path / f"{number}.parquet")
    pq.write_table(pa.table({"a": [2], "__index_level_0__": [7]}), tmp_path / "2.parquet")
    copied(tmp_path, tmp_path / "out.parquet")
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert frame["a"].to_dict() == {5: 1, 6: 1, 7: 2}


def test_files_with_other_columns_are_refused(tmp_path):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(pa.table({"id": [1], "name": ["x"]}), first)
    for columns, found in [
        ({"id": [1]}, "no column 'name'"),
        ({"id": [1], "name": ["x"], "age": [1]}, "a column 'age'"),
        ({"name": ["x"], "id": [1]}, "another order"),
    ]:
        pq.write_table(pa.table(columns), second)
        assert refusal(tmp_path) == f"the columns of {second} are not those of {first}: it has {found}"
    pq.write_table(pa.table({"id": [1.5], "name": ["x"]}), second)
    assert refusal(tmp_path) == f"column 'id' is double in {second} and int64 in {first}"


def test_folders_and_patterns_without_tables_are_refused(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path} holds no Parquet file (.parquet, .pq)"
    assert refusal(tmp_path / "*.parquet") == f"{tmp_path}/*.parquet names no file"
    (tmp_path / "people.csv").write_text("a\n")
    assert refusal(tmp_path / "*") == (
        f"{tmp_path}/* names {tmp_path}/people.csv, wanted Parquet files only (.parquet, .pq)"
    )


def test_a_folder_of_folders_is_refused_as_their_rows_would_be_lost(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    (tmp_path / "camera=1").mkdir()
    assert refusal(tmp_path) == (
        f"{tmp_path} holds the folder 'camera=1', wanted Parquet files only; "
        f"name the files by a pattern such as '{tmp_path}/*/*.parquet'"
    )


def test_a_name_with_brackets_is_a_name_before_it_is_a_pattern(tmp_path):
    path = tmp_path / "people[1].parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    assert read(path)["a"].to_pylist() == [1]


def test_a_table_without_rows_comes_through(tmp_path):
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(RICH.slice(0, 0), source)
    assert open_table(source).survey().rows == 0
    copied(source, target)
    assert pq.read_table(target).schema.equals(RICH.schema)
    assert pd.read_parquet(target).shape == (0, RICH.num_columns)


def test_a_table_cut_short_is_refused(tmp_path):
    path = tmp_path / "people.parquet"
    pq.write_table(RICH, path)
    path.write_bytes(path.read_bytes()[:-9])
    assert refusal(path).startswith(f"cannot read {path}: Parquet magic bytes not found in footer")
    path.write_bytes(b"")
    assert refusal(path) == f"cannot read {path}: Parquet file size is 0 bytes"


def test_a_name_twice_is_refused(tmp_path):
    path = tmp_path / "people.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), path)
    assert refusal(path) == f"{path} has more than one column named 'a'"


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "people.csv"
    assert refusal(path) == f"cannot read {path}: there is no such file"
    path = tmp_path / "people.xlsx"
    path.touch()
    assert refusal(path) == (
        f"cannot read {path}: wanted a file that ends in .csv, .csv.gz, .csv.zst, .parquet, .pq"
    )
    (tmp_path / "folder.csv").mkdir()
    assert refusal(tmp_path / "folder.csv") == f"{tmp_path}/folder.csv holds no Parquet file (.parquet, .pq)"
