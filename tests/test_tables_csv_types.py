"""The types of a CSV's columns, held against pandas."""

import csv
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from osnet_encoder.tables.csv_types import ColumnKind, cast_text

TEXT, BOOL, INT, UINT, FLOAT = pa.string(), pa.bool_(), pa.int64(), pa.uint64(), pa.float64()

wholes = st.integers(-(2**53), 2**53).map(str)
floats = st.floats(allow_nan=False).map(repr)
spelled = st.sampled_from(["1.", ".5", "+7", "-0", "1E5", "1e-5", " 8", "9 ", "inf", "-Infinity", "+.5e+2", "0.0"])
booleans = st.sampled_from(["True", "true", "FALSE", "fAlse"])
words = st.sampled_from(
    ["NA", "nan", "null", "None", "-", ".", "+", "e5", "1e", "1 2", "1_0", "0x1f", "٣", "1..2", "yes", " "]
)
columns = st.one_of(
    st.lists(st.one_of(*kinds), min_size=1, max_size=6)
    for kinds in [
        (wholes,),
        (wholes, st.just("")),
        (wholes, floats, spelled, st.just("")),
        (booleans,),
        (booleans, wholes),
        (wholes, floats, spelled, booleans, words, st.just("")),
    ]
)


TYPES = {
    "zeros in front": (["0001", "2"], TEXT),
    "a negative number with zeros in front": (["-007"], TEXT),
    "a fraction with zeros in front": (["00.5"], TEXT),
    "a space and zeros in front": ([" 01"], TEXT),
    "a single zero": (["0", "-0"], INT),
    "a zero before the point": (["0.5", "0e1"], FLOAT),
    "whole numbers and a gap": (["1", ""], FLOAT),
    "the last whole number a float holds, and a gap": (["9007199254740992", ""], FLOAT),
    "the first that it does not hold, and a gap": (["9007199254740993", ""], INT),
    "the same below zero": (["-9007199254740993", ""], INT),
    "booleans and a gap": (["True", ""], BOOL),
    "booleans and numbers": (["True", "1"], TEXT),
    "the largest of 64 bits": (["18446744073709551615", "0"], UINT),
    "one past 64 bits": (["18446744073709551616"], TEXT),
    "one past 64 bits, and a fraction": (["18446744073709551616", "1.5"], FLOAT),
    "five thousand digits": (["9" * 5000], TEXT),
    "five thousand digits, and a fraction": (["9" * 5000, "1.5"], TEXT),
    "past the largest float": (["1e400", "1"], TEXT),
    "infinity": (["inf", "-Infinity", "1"], FLOAT),
    "a line break behind a number": (["1\n"], TEXT),
    "nothing but gaps": (["", ""], FLOAT),
    "no cell at all": ([], TEXT),
    "what pandas would take for missing": (["NA", "nan"], TEXT),
}


def learn(*blocks):
    kind = ColumnKind()
    for block in blocks:
        kind.learn(pa.array(block, pa.string()))
    return kind.arrow_type()


def read_with_pandas(cells):
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([["x"], *([cell] for cell in cells)])
    written.seek(0)
    return pd.read_csv(written, keep_default_na=False, na_values=[""], low_memory=False)["x"]


@given(columns, st.integers(0, 6))
@example(["9223372036854775808", "1"], 0)
@example(["9223372036854775808", "-1"], 0)
@example(["9223372036854775808", "-1"], 1)
@example(["9223372036854775808", ""], 0)
@example(["9223372036854775808", "1.5"], 1)
@example(["-9223372036854775808", "9223372036854775807"], 0)
@example(["", ""], 1)
def test_types_and_values_are_those_of_pandas(cells, first_block):
    column = read_with_pandas(cells)
    found = learn(cells[:first_block], cells[first_block:])
    if pd.api.types.is_bool_dtype(column):
        assert found == BOOL
    elif pd.api.types.is_numeric_dtype(column):
        assert str(found) == {"float64": "double"}.get(str(column.dtype), str(column.dtype))
    elif set(column.dropna().map(type)) <= {bool}:
        assert found == BOOL  # pandas has no booleans with a gap, and makes objects of them
    else:
        assert found == TEXT
    ours = cast_text(pa.array(cells, pa.string()), found).to_pylist()
    # a column that pandas gave up reading as numbers keeps its empty cells as they are
    theirs = [None if pd.isna(value) or value == "" else value for value in column.tolist()]
    if found == FLOAT:  # pandas' float of a text may be the next but one, Arrow's is the nearest
        assert [value is None for value in ours] == [value is None for value in theirs]
        assert ours == [None if value is None else pytest.approx(value, rel=1e-14) for value in theirs]
    else:
        assert ours == theirs


@pytest.mark.parametrize(("cells", "expected"), TYPES.values(), ids=TYPES)
def test_the_type_of_a_column_is(cells, expected):
    assert learn(cells) == expected
    assert learn(*([cell] for cell in cells)) == expected
    assert learn(*([cell] for cell in reversed(cells))) == expected


def test_large_whole_numbers_beside_a_gap_keep_every_digit():
    cells = ["9007199254740993", ""]
    assert cast_text(pa.array(cells), learn(cells)).to_pylist() == [9007199254740993, None]


def test_a_column_of_text_is_null_only_where_it_is_empty():
    cells = ["NA", "", "0001", " ", "nan"]
    assert cast_text(pa.array(cells), learn(cells)).to_pylist() == ["NA", None, "0001", " ", "nan"]


def test_a_block_of_numbers_does_not_change_a_column_that_was_text():
    assert learn(["x"], ["1", "2"], ["True"]) == TEXT


def test_values_of_floats_are_the_nearest_ones():
    cells = np.random.default_rng(0).random(1000).astype(str).tolist()
    assert cast_text(pa.array(cells), FLOAT).to_pylist() == [float(cell) for cell in cells]
