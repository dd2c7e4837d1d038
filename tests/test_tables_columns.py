"""Arrow columns <-> cells and features."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.tables import cells, features_array

TEXT_TYPES = [pa.string(), pa.large_string(), pa.string_view()]
BINARY_TYPES = [pa.binary(), pa.large_binary(), pa.binary_view()]


def opened(array):
    return [None if cell is None else bytes(cell) for cell in cells(array)]


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=12),
    st.sampled_from(TEXT_TYPES),
    st.integers(0, 4),
    st.integers(0, 12),
)
def test_cells_of_text_are_its_bytes_whatever_the_type_and_the_slice(values, arrow_type, start, length):
    array = pa.array(values, arrow_type).slice(min(start, len(values)), length)
    expected = [None if value is None else value.encode() for value in values][start : start + length]
    assert opened(array) == expected


@pytest.mark.parametrize("arrow_type", BINARY_TYPES, ids=str)
def test_cells_of_binary_are_its_bytes(arrow_type):
    assert opened(pa.array([b"\x00\xff", None, b""], arrow_type)) == [b"\x00\xff", None, b""]


@given(st.lists(st.sampled_from(["a", "bb", None]), max_size=9), st.sampled_from([*TEXT_TYPES[:2], pa.binary()]))
def test_cells_of_a_dictionary_are_those_of_its_values(values, arrow_type):
    expected = [None if value is None else value.encode() for value in values]
    array = pa.array(expected, pa.binary()).cast(arrow_type).dictionary_encode()
    assert opened(array) == expected
    assert opened(array.slice(1)) == expected[1:]


def test_cells_of_a_dictionary_are_null_where_its_value_is():
    array = pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), pa.array(["x", None]))
    assert opened(array) == [None, b"x", None]


def test_cells_lie_in_the_columns_own_memory():
    array = pa.array(["one", "two"])
    first, second = cells(array)
    assert (first.format, first.readonly, first.nbytes) == ("B", True, 3)
    values = np.frombuffer(array.buffers()[2], np.uint8)
    assert np.shares_memory(np.frombuffer(second, np.uint8), values)
    del array
    assert bytes(second) == b"two"


def test_cells_of_any_other_type_are_python_values():
    assert cells(pa.array([1, None])) == [1, None]
    assert cells(pa.array([[1], None])) == [[1], None]
    assert cells(pa.nulls(2)) == [None, None]


def test_cells_of_an_extension_type_are_those_of_what_it_is_stored_as():
    array = pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "photo", "camera"), pa.array([b"x", None]))
    assert opened(array) == [b"x", None]


@given(st.lists(st.booleans(), max_size=9), st.integers(1, 5))
def test_features_become_lists_that_are_null_where_missing(missing, width):
    features = np.arange(len(missing) * width, dtype=np.float32).reshape(-1, width)
    features[missing] = np.nan
    column = features_array(features, np.array(missing, bool))
    assert column.type == pa.list_(pa.float32(), width)
    assert column.to_pylist() == [
        None if gone else vector for gone, vector in zip(missing, features.tolist(), strict=True)
    ]


def test_features_need_not_lie_in_one_piece():
    features = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
    assert features_array(features, np.zeros(3, bool)).to_pylist() == [[0, 2], [4, 6], [8, 10]]


@pytest.mark.parametrize(
    ("features", "missing", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2, bool), "features are float64 (2, 3), wanted float32 (N, D)"),
        (np.zeros(3, np.float32), np.zeros(3, bool), "features are float32 (3,), wanted float32 (N, D)"),
        (np.zeros((2, 3), np.float32), np.zeros(3, bool), "missing is bool (3,), wanted bool (2,)"),
        (np.zeros((2, 3), np.float32), np.zeros(2), "missing is float64 (2,), wanted bool (2,)"),
    ],
)
def test_other_arrays_are_refused(features, missing, message):
    with pytest.raises(ValueError) as caught:
        features_array(features, missing)
    assert str(caught.value) == message
