"""Feature vectors <-> cells."""

import json
import struct
import tracemalloc
import zlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from osnet_encoder.errors import FeatureError
from osnet_encoder.features import (
    FEATURE_FORMATS,
    decode_feature,
    decode_feature_string,
    encode_feature_string,
    stack_features,
    to_cells,
    unit_length,
)

vectors = hnp.arrays(np.float32, st.integers(1, 600), elements=st.floats(-(2.0**100), 2.0**100, width=32))


@given(vectors)
def test_a_feature_string_is_what_the_original_wrote(vector):
    cell = encode_feature_string(vector)
    assert zlib.decompress(bytes.fromhex(cell)) == struct.pack(f"<{len(vector)}f", *vector)
    assert np.array_equal(decode_feature_string(cell), vector)


@given(
    hnp.arrays(np.float32, (3, 5), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    st.sampled_from(FEATURE_FORMATS),
)
def test_cells_of_every_format_read_back_as_the_same_floats(features, feature_format):
    cells = to_cells(features, np.array([False, True, False]), feature_format)
    assert cells[1] is None
    stacked = stack_features(cells)
    assert stacked.dtype == np.float32
    assert np.array_equal(stacked[[0, 2]], features[[0, 2]])
    assert np.isnan(stacked[1]).all()


def test_json_cells_are_short_and_valid():
    cell = to_cells(np.array([[0.1, 2, 1e-20]], np.float32), np.array([False]), "json")[0]
    assert cell == "[0.1, 2.0, 1e-20]"
    assert json.loads(cell) == [0.1, 2.0, 1e-20]


def test_unit_length_leaves_zeros_alone():
    features = unit_length(np.array([[3, 4], [0, 0]], np.float32))
    assert features.dtype == np.float32
    assert np.allclose(features, [[0.6, 0.8], [0, 0]])


NO_FEATURES = [
    "",
    "zz",
    "789c",
    "abcd",
    zlib.compress(b"abc").hex(),
    zlib.compress(b"").hex(),
    zlib.compress(bytes(4)).hex() + "00",
    zlib.compress(bytes(4 * 70_000)).hex(),
    "[1, 'a']",
    "[[1, 2]]",
    "[]",
    "[" * 100_000,
    "[1e39]",
    f"[1{'0' * 400}]",
    f"[1{'0' * 5000}]",
    "[1, \x00]",
    "\ud800",
    7,
    [10**400],
    [1j],
    b"[1]",
    {"a": 1},
]


@pytest.mark.parametrize("cell", NO_FEATURES, ids=lambda cell: str(cell)[:20])
def test_what_is_no_feature_cell_is_a_feature_error(cell):
    with pytest.raises(FeatureError, match="not a feature"):
        decode_feature(cell)


@given(
    st.text()
    | st.binary()
    | st.text('[]{},:"-.0123456789eEINnulltrf \x00').map("[{}".format)
    | st.text("0123456789abcdefx\x00").map(f"{zlib.compress(bytes(8)).hex()[:12]}{{}}".format)
    | st.recursive(st.none() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4))
    | st.dictionaries(st.text(), st.integers(), max_size=3)
)
def test_nothing_but_a_feature_error_comes_out(anything):
    try:
        vector = decode_feature(anything)
    except FeatureError:
        return
    assert vector.dtype == np.float32
    assert vector.ndim == 1 and vector.size


def test_a_bomb_of_a_feature_string_costs_no_memory():
    cell = zlib.compress(bytes(2**26)).hex()
    tracemalloc.start()
    with pytest.raises(FeatureError, match="not a feature string"):
        decode_feature(cell)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**21


def test_a_column_with_a_broken_cell_says_its_row():
    good = encode_feature_string(np.ones(4, np.float32))
    with pytest.raises(FeatureError, match="row 2: not a feature string"):
        stack_features([good, None, "zz"])
    with pytest.raises(FeatureError, match="row 1: 3 numbers, where the rows before have 4"):
        stack_features([good, encode_feature_string(np.ones(3, np.float32))])


def test_columns_of_pandas_can_be_stacked():
    cells = to_cells(np.eye(3, dtype=np.float32), np.array([False, True, False]))
    assert np.isnan(stack_features(pd.Series(cells))[1]).all()
    assert stack_features([None, float("nan"), pd.NA]).shape == (3, 0)
