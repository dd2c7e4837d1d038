"""Encoded images -> pixels: the other kinds of cell."""

import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from osnet_encoder.crops import Limits
from osnet_encoder.errors import CropError
from osnet_encoder.images import decode_image, read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 7, 3), np.uint8)


def encoded(image_format, mode="RGB", pixels=PIXELS):
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, image_format)
    return file.getvalue()


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "PPM"])
def test_a_lossless_file_decodes_to_its_pixels(image_format):
    assert np.array_equal(decode_image(encoded(image_format)), PIXELS)


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_a_lossy_file_decodes_as_pillow_decodes_it(image_format):
    data = encoded(image_format)
    assert np.array_equal(decode_image(memoryview(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_grey_is_repeated_and_alpha_dropped():
    grey = decode_image(encoded("PPM", "L"))
    assert np.array_equal(grey[:, :, 0], grey[:, :, 2])
    alpha = np.dstack([PIXELS, np.zeros((12, 7), np.uint8)])
    assert np.array_equal(decode_image(encoded("PNG", "RGBA", alpha)), PIXELS)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("not bytes", "not_text"),
        (b"no image", "bad_image"),
        (encoded("JPEG")[:-200], "bad_image"),
        (encoded("PNG")[:60], "bad_image"),
        (encoded("GIF"), "bad_image"),
        (encoded("PNG", "I;16"), "bad_image"),
        (bytes(10_001), "too_large"),
        (encoded("PNG", pixels=np.zeros((60, 60, 3), np.uint8)), "too_large"),
    ],
    ids=["text", "nonsense", "cut JPEG", "cut PNG", "GIF", "16 bits", "many bytes", "many pixels"],
)
def test_a_broken_image_has_its_reason(cell, reason):
    with pytest.raises(CropError) as caught:
        decode_image(cell, Limits(max_hex=10_000, max_pixels=3000))
    assert caught.value.reason == reason
    assert " at 0x" not in caught.value.detail


def test_a_picture_too_large_for_pillow_itself_is_too_large():
    header = (
        encoded("BMP")[:18] + (60_000).to_bytes(4, "little") + (60_000).to_bytes(4, "little") + encoded("BMP")[26:]
    )
    with pytest.raises(CropError, match="too_large"):
        decode_image(header)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=8)), max_size=4), st.integers(0, 400)
)
def test_nothing_but_a_crop_error_comes_out_of_a_damaged_file(edits, cut):
    for image_format in ("JPEG", "PNG", "WEBP", "BMP", "PPM"):
        data = bytearray(encoded(image_format))
        for at, change in edits:
            data[at : at + len(change)] = change
        try:
            decode_image(bytes(data[: len(data) - cut]))
        except CropError as error:
            assert error.reason in ("bad_image", "too_large")


def test_a_path_is_read_relative_to_its_root(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "é.png").write_bytes(encoded("PNG"))
    assert np.array_equal(read_image("a/é.png", tmp_path), PIXELS)
    assert np.array_equal(read_image("a/é.png".encode(), tmp_path), PIXELS)
    assert np.array_equal(read_image(str(tmp_path / "a" / "é.png")), PIXELS)


@pytest.mark.parametrize("cell", ["none.png", "", "a\0b", "x" * 5000, "folder", "pipe"])
def test_what_is_no_file_is_missing(tmp_path, cell):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CropError) as caught:
        read_image(cell, tmp_path)
    assert caught.value.reason == "missing_file"


def test_a_path_must_be_text_and_its_file_not_too_large(tmp_path):
    with pytest.raises(CropError, match="not_text: found int, wanted a path"):
        read_image(7, tmp_path)
    (tmp_path / "big.png").write_bytes(bytes(11))
    with pytest.raises(CropError, match="too_large: 'big.png' has 11 bytes, limit 10"):
        read_image("big.png", tmp_path, Limits(max_hex=10))
