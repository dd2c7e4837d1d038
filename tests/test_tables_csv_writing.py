"""Tables -> CSV files, quoted as pandas' `to_csv(quoting=csv.QUOTE_NONNUMERIC)` does."""

import csv
import datetime
import decimal
import io
import json
import zoneinfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from osnet_encoder.errors import TableError
from osnet_encoder.tables import open_table, open_writer
from osnet_encoder.tables.csv_text import check_type, column_text

UTC = datetime.UTC
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def write(path, *batches, **options):
    with open_writer(path, batches[0].schema, **options) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def written(folder, *batches, **options):
    return write(folder / "out.csv", *batches, **options).read_bytes().decode()


def copied(source, target):
    """The way of a table through the job: text in, the same text out."""
    table = open_table(source)
    with open_writer(target, table.schema, numeric=table.survey().numeric) as writer:
        for batch in table.batches(3):
            writer.write(batch)
    return target


def test_text_is_quoted_and_numbers_are_bare_each_character_as_it_was(tmp_path):
    source = tmp_path / "in.csv"
    source.write_bytes(
        b'\xef\xbb\xbfid,price,code,note,ok,gap\r\n1,1.10,0001,NA,True,\r\n,+2e5, 7,"a ""b""\r\nc, d",FALSE,\r\n'
    )
    assert copied(source, tmp_path / "out.csv").read_bytes().decode() == (
        '"id","price","code","note","ok","gap"\n'
        '1,1.10,"0001","NA",True,""\n'
        '"",+2e5," 7","a ""b""\r\nc, d",FALSE,""\n'
    )


frames = st.integers(1, 3).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            "text": st.lists(st.text('a",\r\né0', max_size=5), min_size=n, max_size=n),
            "whole": st.lists(st.integers(-(2**63), 2**63 - 1), min_size=n, max_size=n),
            "float": st.lists(st.floats(), min_size=n, max_size=n),
            "ok": st.lists(st.booleans(), min_size=n, max_size=n),
        }
    )
)


@given(frames)
@example({"text": ["a"], "whole": [0], "float": [1e16], "ok": [True]})
@example({"text": ["a"], "whole": [0], "float": [0.0001], "ok": [True]})
@settings(max_examples=50)
def test_a_table_with_types_is_written_as_pandas_writes_it(folder, values):
    frame = pd.DataFrame(values)
    expected = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    assert written(folder, pa.RecordBatch.from_pandas(frame)) == expected


@given(frames)
@settings(max_examples=30)  # each waits for the disk twice
def test_what_is_written_reads_back_and_copies_without_a_change(folder, values):
    source = write(folder / "first.csv", pa.RecordBatch.from_pydict(values))
    target = copied(source, folder / "second.csv")
    rows = list(csv.reader(io.StringIO(target.read_bytes().decode(), newline="")))
    assert rows[0] == list(values)
    assert [row[rows[0].index("text")] for row in rows[1:]] == values["text"]
    # a column of text that holds nothing but numbers is one of numbers to the second reader
    assert list(csv.reader(io.StringIO(source.read_bytes().decode(), newline=""))) == rows


def texts(column):
    return column_text(column).to_pylist()


def test_floats_are_the_shortest_that_read_back_in_their_own_width():
    values = [1.0, 0.1, 1e-5, 1e16, 123456789.0, -0.0, float("inf"), float("nan"), None]
    assert texts(pa.array(values, pa.float64(), from_pandas=False)) == [
        *("1.0", "0.1", "1e-05", "1e+16", "123456789.0", "-0.0", "inf"),
        *(None, None),
    ]
    assert texts(pa.array([0.1, None], pa.float32())) == ["0.1", None]
    assert texts(pa.array([np.float16(0.1)])) == ["0.1"]


def test_booleans_decimals_and_whole_numbers_are_bare(tmp_path):
    batch = pa.record_batch(
        {
            "ok": pa.array([True, None]),
            "price": pa.array([decimal.Decimal("1.10"), None]),
            "count": pa.array([None, 2**64 - 1], pa.uint64()),
        }
    )
    assert written(tmp_path, batch) == '"ok","price","count"\nTrue,1.10,""\n"","",18446744073709551615\n'


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_are_written_as_pandas_writes_them(tmp_path, unit):
    moments = [datetime.datetime(2024, 1, 31, 12, 30, 1), datetime.datetime(2024, 7, 1), None]
    frame = pd.DataFrame({"plain": pd.Series(moments).astype(f"datetime64[{unit}]")})
    frame["utc"] = frame["plain"].dt.tz_localize(UTC)
    frame["berlin"] = frame["utc"].dt.tz_convert(BERLIN)
    frame["fixed"] = frame["utc"].dt.tz_convert("-03:30")
    expected = frame.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    assert written(tmp_path, pa.RecordBatch.from_pandas(frame, preserve_index=False)) == expected


def test_fractions_of_a_second_are_kept():
    moments = [datetime.datetime(2024, 1, 1, 12, 0, 0, 500_000), datetime.datetime(2024, 1, 1)]
    assert texts(pa.array(moments, pa.timestamp("us"))) == ["2024-01-01 12:00:00.500000", "2024-01-01 00:00:00"]
    assert texts(pa.array(moments[:1], pa.timestamp("ms", "UTC"))) == ["2024-01-01 12:00:00.500+00:00"]


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(TableError, match="cannot be written as text: "):
        texts(pa.array([0], pa.timestamp("s", "Mars/Olympus")))


def test_dates_times_and_durations_are_text():
    assert texts(pa.array([datetime.date(2024, 1, 31), None])) == ["2024-01-31", None]
    assert texts(pa.array([datetime.time(12, 30), datetime.time(0, 0, 0, 1)])) == ["12:30:00", "00:00:00.000001"]
    assert texts(pa.array([datetime.timedelta(hours=25), None])) == ["1 days 01:00:00", None]


def test_lists_structs_and_maps_are_json(tmp_path):
    batch = pa.record_batch(
        {
            "tags": pa.array([["é", None], None, []]),
            "box": pa.array([{"x": 1, "y": 0.5}] * 3),
            "vector": pa.array([[1.0, 2.0], None, [0.5, 0.25]], pa.list_(pa.float32(), 2)),
            "pairs": pa.array([[("a", 1)], [], None], pa.map_(pa.string(), pa.int64())),
            "day": pa.array([[datetime.date(2024, 1, 31)]] * 3),
        }
    )
    rows = list(csv.DictReader(io.StringIO(written(tmp_path, batch))))
    assert rows[0]["tags"] == '["é", null]'
    assert [rows[1]["tags"], rows[2]["tags"]] == ["", "[]"]
    assert json.loads(rows[0]["box"]) == {"x": 1, "y": 0.5}
    assert [row["vector"] for row in rows] == ["[1.0, 2.0]", "", "[0.5, 0.25]"]
    assert [row["pairs"] for row in rows] == ['[["a", 1]]', "[]", ""]
    assert rows[0]["day"] == '["2024-01-31"]'


def test_dictionaries_views_extensions_and_nulls_are_written_as_their_values(tmp_path):
    batch = pa.record_batch(
        {
            "camera": pa.array(["front", None, "back"]).dictionary_encode(),
            "count": pa.array([1, 1, None]).dictionary_encode(),
            "view": pa.array(["x", None, 'y"'], pa.string_view()),
            "large": pa.array(["", None, "z"], pa.large_string()),
            "nothing": pa.nulls(3),
        }
    )
    assert written(tmp_path, batch) == (
        '"camera","count","view","large","nothing"\n"front",1,"x","",""\n"",1,"","",""\n"back","","y""","z",""\n'
    )


@pytest.mark.parametrize(
    "arrow_type",
    [
        pa.binary(),
        pa.large_binary(),
        pa.binary(4),
        pa.list_(pa.binary()),
        pa.struct([("a", pa.list_(pa.binary_view()))]),
        pa.dictionary(pa.int32(), pa.binary()),
    ],
    ids=str,
)
def test_binary_columns_are_refused_before_anything_is_written(tmp_path, arrow_type):
    path = tmp_path / "out.csv"
    with pytest.raises(TableError) as caught:
        open_writer(path, pa.schema([("id", pa.int64()), ("photo", arrow_type)]))
    assert str(caught.value) == (
        f"column 'photo' is {arrow_type}: CSV has no form for it; write Parquet, or drop it"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arrow_type",
    [
        pa.string(),
        pa.float16(),
        pa.decimal256(40, 2),
        pa.duration("s"),
        pa.null(),
        pa.map_(pa.string(), pa.int8()),
    ],
    ids=str,
)
def test_other_types_have_a_form(arrow_type):
    check_type("column", arrow_type)


def test_an_extension_type_is_written_as_what_it_is_stored_as(tmp_path):
    notes = pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', None]))
    path = write(tmp_path / "out.csv", pa.record_batch({"note": notes}))
    assert path.read_text() == '"note"\n"{""a"": 1}"\n""\n'
    with pytest.raises(TableError, match="CSV has no form for it"):
        check_type("id", pa.uuid())


NO_UTF8 = pa.array([b"a", b"\xff\xfe"]).view(pa.string())


@pytest.mark.parametrize(
    "column",
    [NO_UTF8, NO_UTF8.dictionary_encode(), pa.ListArray.from_arrays([0, 1, 2], NO_UTF8)],
    ids=["text", "dictionary", "list"],
)
def test_text_that_is_none_is_refused_and_nothing_is_left(tmp_path, column):
    with pytest.raises(TableError) as caught:
        write(tmp_path / "out.csv", pa.record_batch({"note": column}))
    assert str(caught.value) == "column 'note' holds text that is not UTF-8: CSV has no form for it"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "codec"), [("gz", "gzip"), ("zst", "zstd")])
def test_packed_files_are_written(tmp_path, suffix, codec):
    path = write(tmp_path / f"out.csv.{suffix}", *[pa.record_batch({"a": [number, 2]}) for number in range(3)])
    with pa.CompressedInputStream(path, codec) as unpacked:
        assert unpacked.read() == b'"a"\n0\n2\n1\n2\n2\n2\n'
    assert [batch.num_rows for batch in open_table(path).batches(9)] == [6]


def test_a_table_without_rows_has_a_header(tmp_path):
    schema = pa.schema([("a", pa.int64()), ('say "b"', pa.string())])
    with open_writer(tmp_path / "out.csv", schema):
        pass
    assert (tmp_path / "out.csv").read_text() == '"a","say ""b"""\n'
    with open_writer(tmp_path / "out.csv", schema) as writer:
        writer.write(pa.RecordBatch.from_pylist([], schema))
    assert (tmp_path / "out.csv").read_text() == '"a","say ""b"""\n'


def test_slices_are_written_from_where_they_begin(tmp_path):
    batch = pa.record_batch({"a": ["x", "y", "z"], "b": [1, 2, 3]})
    assert written(tmp_path, batch.slice(1, 1), batch.slice(2)) == '"a","b"\n"y",2\n"z",3\n'


def test_empty_numbers_of_a_single_column_make_no_blank_line(tmp_path):
    batch = pa.record_batch({"a": ["1", "", "2"]})
    path = write(tmp_path / "out.csv", batch, numeric=frozenset({"a"}))
    assert path.read_text() == '"a"\n1\n""\n2\n'
    assert [row["a"] for row in next(open_table(path).batches(9)).to_pylist()] == ["1", "", "2"]
