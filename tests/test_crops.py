"""Crop strings <-> pixels."""

import ast
import json
import tracemalloc
import zlib
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from osnet_encoder.crops import (
    REASONS,
    Limits,
    as_crop,
    compress_bytes_image,
    decode_crop,
    encode_crop,
    looks_like_crop_string,
    uncompress_string_image,
)
from osnet_encoder.errors import CropError
from osnet_encoder.missing import is_missing

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
HEX = zlib.compress(PIXELS.tobytes()).hex()
CELL = f"{{'width': 3, 'height': 2, 'colors': 3, 'image': '{HEX}'}}"

crops = hnp.arrays(
    np.uint8,
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4])),
)


def original_decode(cell):
    """What the original did with a cell, word for word in meaning."""
    values = ast.literal_eval(cell)
    pixels = zlib.decompress(bytes.fromhex(values["image"]))
    return np.frombuffer(pixels, np.uint8).reshape(values["height"], values["width"], values["colors"])


def cell(**changes):
    """The crop string of PIXELS with some values changed, or left out if None."""
    values = {"width": 3, "height": 2, "colors": 3, "image": HEX} | changes
    return str({key: value for key, value in values.items() if value is not None})


# Every way in which a cell was seen, or could be thought, to be broken.
BROKEN = {
    "a number": (7, "not_text"),
    "a list": ([CELL], "not_text"),
    "a dict": ({"width": 3}, "not_text"),
    "plain words": ("person at the door", "not_a_dict"),
    "the text of a null": ("None", "not_a_dict"),
    "a list of the values": ("[3, 2, 3]", "not_a_dict"),
    "an array": ("[[[0, 1, 2]]]", "not_a_dict"),
    "a cell cut short": (CELL[:-10], "not_a_dict"),
    "a cell cut in a key": (CELL[:20], "not_a_dict"),
    "two cells": (CELL + CELL, "not_a_dict"),
    "code": ("{'width': __import__('os').getpid()}", "not_a_dict"),
    "a sum": (cell().replace("'width': 3", "'width': 1+2"), "not_a_dict"),
    "a value in parentheses": (cell().replace("'width'", "'box': (1), 'width'"), "not_a_dict"),
    "two values without a comma": (cell().replace("'width'", "'box': [1 2], 'width'"), "not_a_dict"),
    "half Python, half JSON": (cell().replace("{", "{'seen': null, "), "not_a_dict"),
    "a lone surrogate": (CELL + "\ud800", "not_a_dict"),
    "bytes that are not UTF-8": (CELL.encode() + b"\xff", "not_a_dict"),
    "a NUL": (CELL.replace("width", "wi\0dth"), "not_a_dict"),
    "brackets without end": ("{'a': " + "[" * 100_000, "not_a_dict"),
    "values without end": ("{'a': [" + "1," * 100_000, "not_a_dict"),
    "an empty dict": ("{}", "missing_key"),
    "no width": (cell(width=None), "missing_key"),
    "no image": (cell(image=None), "missing_key"),
    "a width twice": (CELL.replace("{", "{'width': 3, "), "repeated_key"),
    "a width twice, once in disguise": (CELL.replace("{", r"{'\x77idth': 3, "), "repeated_key"),
    "a width of 0": (cell(width=0), "bad_size"),
    "a height below 0": (cell(height=-2), "bad_size"),
    "a width with a point": (cell(width=3.0), "bad_size"),
    "a width as text": (cell(width="3"), "bad_size"),
    "a width that is true": (cell(width=True), "bad_size"),
    "two colors": (cell(colors=2), "bad_colors"),
    "colors as text": (cell(colors="RGB"), "bad_colors"),
    "ten million pixels wide": (cell(width=10**7), "too_large"),
    "a width of forty digits": (cell(width=10**40), "too_large"),
    "hex with a blank": (cell(image=HEX[:4] + " " + HEX[4:]), "bad_hex"),
    "an odd digit": (cell(image=HEX + "0"), "bad_hex"),
    "base64": (cell(image="eJxjYGRiZmFlY+fg5OLm4eXjFxAUEhYRFQMABiEAlw=="), "bad_hex"),
    "an image of bytes": (cell(image=b"789c"), "not_a_dict"),
    "an image of numbers": (cell(image=[1, 2]), "bad_hex"),
    "hex in another alphabet": (cell(image="٣٤"), "bad_hex"),
    "no zlib": (cell(image=PIXELS.tobytes().hex()), "bad_zlib"),
    "no image at all": (cell(image=""), "bad_zlib"),
    "a stream cut short": (cell(image=HEX[:-6]), "bad_zlib"),
    "a stream cut at the checksum": (cell(image=HEX[:-2]), "bad_zlib"),
    "a wrong checksum": (cell(image=HEX[:-2] + "00"), "bad_zlib"),
    "gzip": (cell(image="1f8b0800" + HEX), "bad_zlib"),
    "a row too few": (cell(height=3), "wrong_length"),
    "a row too many": (cell(height=1), "wrong_length"),
    "grey said to be colour": (cell(image=zlib.compress(bytes(6)).hex()), "wrong_length"),
    "a byte behind the stream": (cell(image=HEX + "00"), "trailing_data"),
    "two streams": (cell(image=HEX + HEX), "trailing_data"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_cell_has_its_reason(name):
    broken, reason = BROKEN[name]
    with pytest.raises(CropError) as caught:
        decode_crop(broken)
    assert caught.value.reason == reason
    assert reason in REASONS
    assert len(str(caught.value)) < 300


def test_an_error_says_row_reason_and_what_was_found():
    with pytest.raises(CropError) as caught:
        decode_crop(cell(height=3))
    caught.value.row = 12
    assert str(caught.value) == "row 12: wrong_length: 18 of the 27 bytes that the sizes ask for"


@given(crops)
def test_what_is_encoded_decodes_to_the_same(crop):
    wanted = np.repeat(crop, 3, axis=2) if crop.shape[2] == 1 else crop[:, :, :3]
    assert np.array_equal(decode_crop(encode_crop(crop)), wanted)


@given(crops.filter(lambda crop: crop.shape[2] == 3))
def test_the_original_reads_what_is_written(crop):
    assert np.array_equal(original_decode(encode_crop(crop)), crop)


def test_the_text_is_the_original_s_to_the_letter():
    assert encode_crop(PIXELS) == CELL


@pytest.mark.parametrize(
    "text",
    [
        CELL,
        CELL.replace("'", '"'),
        "  \t" + CELL + " \n",
        CELL.replace(" ", ""),
        CELL.replace(" ", "\n"),
        CELL.replace(": 3", ": np.int64(3)"),
        CELL.replace("}", ",}"),
        f"{{'image': '{HEX}', 'colors': 3, 'height': 2, 'width': 3}}",
        CELL.replace("}", ", 'camera': 'gate 2', 'box': (1, 2.5, -3e4), 'seen': None}"),
        CELL.replace("'", '"').replace("}", ', "note": "caf\\u00e9 \\/", "box": [1, [2, {}]], "seen": null}'),
        cell(image=HEX.upper()),
        CELL.encode(),
        memoryview(CELL.encode()),
    ],
)
def test_every_spelling_of_a_cell_decodes_to_the_same(text):
    assert np.array_equal(decode_crop(text), PIXELS)


def test_grey_is_repeated_and_alpha_dropped():
    grey = decode_crop(encode_crop(PIXELS[:, :, 0]))
    assert grey.shape == (2, 3, 3)
    assert np.array_equal(grey[:, :, 0], grey[:, :, 2])
    alpha = np.dstack([PIXELS, PIXELS[:, :, :1]])
    assert np.array_equal(decode_crop(encode_crop(alpha)), PIXELS)


EDITS = st.lists(
    st.tuples(
        st.integers(0, len(CELL)),
        st.integers(0, 3),
        st.sampled_from(
            [*"{}[]()'\":, \\\n\t\r03a-.eN_#ux", "None", "null", "'width': 1, ", "True", "np.int64(2)"]
        ),
    ),
    min_size=1,
    max_size=4,
)


@given(st.integers(0, len(CELL)), st.text(max_size=4), st.binary(max_size=4))
def test_nothing_but_a_crop_error_comes_out_of_a_cell_with_anything_in_it(at, text, data):
    packed = CELL.encode()
    for cell in (CELL[:at] + text + CELL[at:], packed[:at] + data + packed[at:], packed[:at] + data):
        try:
            assert np.array_equal(decode_crop(cell), PIXELS)
        except CropError as error:
            assert error.reason in REASONS


@given(EDITS, st.booleans())
def test_a_cell_that_is_accepted_means_what_python_or_json_say_it_means(edits, as_json):
    text = CELL.replace("'", '"') if as_json else CELL
    for at, length, insert in edits:
        text = text[:at] + insert + text[at + length :]
    try:
        crop = decode_crop(text)
    except CropError:
        return
    values = meaning(text.replace("np.int64(2)", "2"))
    pixels = zlib.decompress(bytes.fromhex(values["image"]))
    assert crop.shape[:2] == (values["height"], values["width"])
    stored = np.frombuffer(pixels, np.uint8).reshape(*crop.shape[:2], values["colors"])
    assert np.array_equal(crop, np.broadcast_to(stored, crop.shape) if values["colors"] == 1 else stored[:, :, :3])


def meaning(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return json.loads(text)


# What stands in a detector's columns beside crops, and what could be made to look like one.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**400, 10**401) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["width", "height", "colors", "image", "\0", "é"]), inner, max_size=5)
    ),
)


@given(
    st.one_of(
        st.text(),
        st.binary(),
        VALUES,
        VALUES.map(str),
        VALUES.map(json.dumps),
        st.text("{}[]()'\":, \\\0\n-+.0123456789eEnpintu木").map("{{'width': {}".format),
        st.sampled_from(["[", "{'a':", "(", "\\", "9", "'"]).map(lambda text: f"{{'width': {text * 100_000}"),
    )
)
def test_nothing_but_a_crop_error_comes_out(anything):
    if is_missing(anything):
        return
    with pytest.raises(CropError):
        decode_crop(anything)


@pytest.mark.parametrize(
    "missing",
    [None, np.nan, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("NaN"), "", b""],
)
def test_every_null_and_every_empty_cell_is_missing(missing):
    assert is_missing(missing)
    assert uncompress_string_image(missing) is None


@pytest.mark.parametrize("present", [CELL, " ", 0, 0.0, False, [], PIXELS, pd.DataFrame({"a": [1]}), object()])
def test_what_is_neither_null_nor_empty_is_not_missing(present):
    assert not is_missing(present)


def test_the_original_s_functions_keep_their_argument_names():
    text = compress_bytes_image(cropped_image=PIXELS.tobytes(), image_width=3, image_height=2, colors=3)
    assert text == CELL
    assert np.array_equal(uncompress_string_image(compresed_cropped_image=text), PIXELS)
    with pytest.raises(CropError, match="not_a_dict"):
        uncompress_string_image(compresed_cropped_image="nonsense")


def test_bytes_that_do_not_fit_their_sizes_are_not_compressed():
    with pytest.raises(ValueError, match="17 bytes do not make 3x2 pixels of 3 colors"):
        compress_bytes_image(bytes(17), 3, 2, 3)


@pytest.mark.parametrize("array", [PIXELS.astype(np.float32), PIXELS[:, :, :2], PIXELS[0, 0], PIXELS[:0]])
def test_an_array_that_is_no_picture_is_refused(array):
    with pytest.raises(ValueError, match="wanted uint8"):
        encode_crop(array)
    with pytest.raises(CropError) as caught:
        as_crop(array)
    assert caught.value.reason == "bad_array"


def test_a_picture_has_three_channels_afterwards():
    assert np.array_equal(as_crop(PIXELS), PIXELS)
    assert as_crop(PIXELS[:, :, 0]).shape == as_crop(PIXELS[:, :, :1]).shape == (2, 3, 3)
    assert np.array_equal(as_crop(np.dstack([PIXELS, PIXELS[:, :, :1]])), PIXELS)


def test_a_zlib_bomb_costs_no_memory():
    bomb = cell(width=4, height=4, image=zlib.compress(bytes(200_000_000)).hex())
    tracemalloc.start()
    with pytest.raises(CropError) as caught:
        decode_crop(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.reason == "wrong_length"
    assert peak < 2_000_000


def test_limits_can_be_set():
    small = Limits(max_pixels=5)
    with pytest.raises(CropError, match="too_large: 3x2 pixels, limit 5"):
        decode_crop(CELL, small)
    with pytest.raises(CropError, match="too_large: 70051 characters, limit 65636"):
        decode_crop(cell(image="0" * 70_000), Limits(max_hex=100))


def test_columns_are_recognised_by_how_their_cells_open():
    assert looks_like_crop_string(CELL)
    assert looks_like_crop_string(memoryview(CELL.encode()))
    assert not looks_like_crop_string("{'name': 'width'}")
    assert not looks_like_crop_string("0001")
