"""Inflating, by the standard library and by the faster one."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.errors import CropError
from osnet_encoder.inflate import inflate

isal_zlib = pytest.importorskip("isal.isal_zlib", reason="the extra `fast` is not installed")

DATA = bytes(range(40)) * 3
STREAM = zlib.compress(DATA)


def outcome(packed, wanted, fastest):
    try:
        return inflate(packed, wanted, fastest)
    except CropError as error:
        return error.reason


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 9))
def test_both_give_the_same_bytes(data, level):
    packed = zlib.compress(data, level)
    assert inflate(packed, len(data), zlib) == inflate(packed, len(data), isal_zlib) == data


@given(
    st.lists(st.tuples(st.integers(0, len(STREAM)), st.integers(0, 2), st.binary(max_size=2)), max_size=3),
    st.integers(len(DATA) - 1, len(DATA) + 1),
)
def test_both_find_the_same_fault(edits, wanted):
    packed = STREAM
    for at, length, insert in edits:
        packed = packed[:at] + insert + packed[at + length :]
    assert outcome(packed, wanted, zlib) == outcome(packed, wanted, isal_zlib)


@pytest.mark.parametrize("library", [zlib, isal_zlib])
@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"", "bad_zlib"),
        (STREAM[:-1], "bad_zlib"),
        (STREAM[:-1] + b"\0", "bad_zlib"),
        (STREAM[2:], "bad_zlib"),
        (zlib.compress(DATA[1:]), "wrong_length"),
        (zlib.compress(DATA + b"x"), "wrong_length"),
        (zlib.compress(bytes(10**7)), "wrong_length"),
        (STREAM + b"x", "trailing_data"),
    ],
    ids=["nothing", "cut", "wrong checksum", "headless", "too few", "too many", "a bomb", "trailing"],
)
def test_a_fault_has_its_reason(library, packed, reason):
    assert outcome(packed, len(DATA), library) == reason
