"""Record batches, cut and joined."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.tables import open_table
from osnet_encoder.tables.batches import regroup


def batch(values):
    return pa.record_batch({"a": pa.array(values, pa.int64())})


def batches_of(sizes):
    start = 0
    for size in sizes:
        yield batch(range(start, start + size))
        start += size


@given(st.lists(st.integers(0, 9), max_size=8), st.integers(1, 12), st.none() | st.integers(0, 60))
def test_rows_keep_their_order_and_every_batch_but_the_last_is_full(sizes, rows, limit):
    found = list(regroup(batches_of(sizes), rows, limit))
    count = sum(sizes) if limit is None else min(limit, sum(sizes))
    assert [value for one in found for value in one["a"].to_pylist()] == list(range(count))
    assert [one.num_rows for one in found] == [rows] * (count // rows) + [count % rows] * (count % rows > 0)


def test_no_more_is_drawn_than_the_limit_needs():
    source = batches_of([3, 3, 3])
    assert sum(one.num_rows for one in regroup(source, 2, limit=5)) == 5
    assert next(source)["a"].to_pylist() == [6, 7, 8]


def test_a_limit_of_none_draws_nothing():
    source = batches_of([3])
    assert list(regroup(source, 2, limit=0)) == []
    assert next(source).num_rows == 3


def test_a_batch_ends_early_where_it_has_bytes_enough():
    found = regroup(batches_of([4] * 4), 100, batch_bytes=64)
    assert [one.num_rows for one in found] == [8, 8]


def test_dictionaries_that_differ_are_joined():
    first = pa.record_batch({"a": pa.array(["x", "y"]).dictionary_encode()})
    second = pa.record_batch({"a": pa.array(["z", "x"]).dictionary_encode()})
    assert next(regroup([first, second], 4))["a"].to_pylist() == ["x", "y", "z", "x"]


@pytest.mark.parametrize(
    ("rows", "limit", "message"),
    [(0, None, "rows is 0, wanted at least 1"), (1, -1, "limit is -1, wanted at least 0")],
)
def test_senseless_sizes_are_refused_at_once(rows, limit, message):
    with pytest.raises(ValueError) as caught:
        regroup([], rows, limit)
    assert str(caught.value) == message


def test_a_column_that_nobody_wants_comes_as_nulls_and_all_others_as_they_are(folder_of_tables):
    for path in folder_of_tables:
        table = open_table(path)
        for typed in (False, True):
            for size in (1, 3, 100):
                whole = pa.Table.from_batches(table.batches(size, typed=typed))
                found = pa.Table.from_batches(table.batches(size, typed=typed, without="text"))
                assert found.schema == whole.schema
                assert found.column("text").null_count == len(whole) == 7
                assert found.drop_columns("text").equals(whole.drop_columns("text"))
        assert sum(batch.num_rows for batch in table.batches(4, limit=5, without="text")) == 5


@pytest.fixture
def folder_of_tables(tmp_path):
    rows = {"number": list(range(7)), "text": list("abcdefg"), "text.more": [{"text": at} for at in range(7)]}
    table = pa.table(rows)
    pq.write_table(table, tmp_path / "in.parquet")
    pq.write_table(table.set_column(1, "text", table["text"].dictionary_encode()), tmp_path / "words.parquet")
    lines = "".join(f"{at},{letter},x{at}\n" for at, letter in enumerate(rows["text"]))
    (tmp_path / "in.csv").write_text(f"number,text,text.more\n{lines}")
    return [tmp_path / name for name in ("in.parquet", "words.parquet", "in.csv")]


def test_rows_are_counted_where_the_only_column_is_one_that_nobody_wants(tmp_path):
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "in.parquet")
    assert [batch.num_rows for batch in open_table(tmp_path / "in.parquet").batches(9, without="text")] == [2]
