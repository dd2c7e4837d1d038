"""Record batches, cut and joined."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
