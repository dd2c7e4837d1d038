"""Crops -> patches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from osnet_encoder.patches import PatchSpec, resize_into

crops = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)))


@given(crops, st.sampled_from([(256, 128), (112, 112), (1, 1), (9, 5)]))
def test_a_patch_is_bit_for_bit_the_original_s(crop, size):
    batch = np.empty((2, *size, 3), np.uint8)
    resize_into(crop, batch[1])
    assert np.array_equal(batch[1], np.asarray(Image.fromarray(crop).resize(size[::-1], Image.BILINEAR)))


def test_a_crop_of_the_patch_s_size_stays_as_it_is():
    crop = np.random.default_rng(0).integers(0, 256, (256, 128, 3), np.uint8)
    patch = np.empty_like(crop)
    resize_into(crop, patch)
    assert np.array_equal(patch, crop)


@given(crops)
def test_a_bgr_crop_becomes_the_same_patch_as_its_rgb_twin(crop):
    patches = np.empty((2, 16, 8, 3), np.uint8)
    resize_into(crop, patches[0])
    resize_into(np.ascontiguousarray(crop[:, :, ::-1]), patches[1], "bgr")
    assert np.array_equal(patches[0], patches[1])


def test_scale_and_shift_are_the_usual_normalisation_in_rgb_order():
    pixels = np.array([0, 128, 255])
    scale, shift = PatchSpec().scale_and_shift()
    wanted = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(pixels * scale + shift, wanted, atol=1e-6)
    bgr = PatchSpec(color_order="bgr", mean=(0.1, 0.2, 0.3)).scale_and_shift()[1]
    assert np.allclose(bgr, [-0.3 / 0.225, -0.2 / 0.224, -0.1 / 0.229])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"height": 0}, "patch size must be at least 1x1, found 0x128"),
        ({"std": (1, 0, 1)}, r"std must be above 0, found \(1.0, 0.0, 1.0\)"),
        ({"mean": (1, 2)}, r"mean must be 3 finite numbers, found \(1.0, 2.0\)"),
        ({"mean": (1, 2, float("nan"))}, "mean must be 3 finite numbers"),
        ({"color_order": "hsv"}, "color order must be one of .*, found 'hsv'"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PatchSpec(**wrong)
