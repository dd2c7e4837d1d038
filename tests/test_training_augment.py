"""What happens to patches in training: drawn for each crop, and done as a plain loop over crops would do it."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osnet_encoder.patches import PatchSpec
from osnet_encoder.training.augment import apply_choices, augment
from osnet_encoder.training.choices import Augmentation, Choices, draw_choices
from osnet_encoder.training.network import normalise_patches
from osnet_encoder.training.presets import AUGMENTATION
from pictures import draw_patches

HEIGHT, WIDTH = 20, 14

# Each step alone, as strongly as it shows.
STEPS = {
    "flip": 0.5, "pad": 4, "erase": 0.7, "random_patch": 0.7,
    "jitter": 0.6, "blur": 0.7, "grey": 0.5, "rotate": 30.0,
}  # fmt: skip
each_step = pytest.mark.parametrize("step", STEPS)


def chance(seed=0):
    return torch.Generator().manual_seed(seed)


def some_patches(count=6, height=HEIGHT, width=WIDTH):
    return torch.from_numpy(draw_patches(count, height, width))


def draw(augmentation, count=6, seed=0, height=HEIGHT, width=WIDTH):
    return draw_choices(augmentation, count, height, width, chance(seed))


# The slow truth: one crop after the other, one step after the other.


def slow_batch(patches, spec, choices):
    moved = [slow_place(crop.numpy(), choices, n) for n, crop in enumerate(patches)]
    crops = [crop.copy() for crop in moved]
    for n, crop in enumerate(crops):
        if choices.patch is not None:
            top, bottom, left, right = choices.patch[n].tolist()
            crop[top:bottom, left:right] = moved[choices.partner[n]][top:bottom, left:right]
    crops = [slow_colors(crop.astype(np.float64), choices, n) for n, crop in enumerate(crops)]
    step = 1 if spec.color_order == "rgb" else -1
    batch = (np.stack(crops)[..., ::step] / 255 - spec.mean) / spec.std
    for n, crop in enumerate(batch):
        if choices.erase is not None:
            top, bottom, left, right = choices.erase[n].tolist()
            crop[top:bottom, left:right] = 0
    return batch.transpose(0, 3, 1, 2)


def slow_place(crop, choices, n):
    if choices.flip is not None and choices.flip[n]:
        crop = crop[:, ::-1]
    if choices.shift is not None:
        rows, columns = choices.shift[n].tolist()
        moved = np.zeros_like(crop)
        for y in range(len(crop)):
            for x in range(len(crop[0])):
                if 0 <= y + rows < len(crop) and 0 <= x + columns < len(crop[0]):
                    moved[y, x] = crop[y + rows, x + columns]
        crop = moved
    return crop


def slow_colors(crop, choices, n):
    if choices.angle is not None:
        crop = slow_turn(crop, math.radians(choices.angle[n]))
    if choices.color is not None:
        brightness, contrast, saturation = choices.color[n].tolist()
        crop = crop * brightness
        crop = (crop - grey_of(crop).mean()) * contrast + grey_of(crop).mean()
        crop = np.clip((crop - grey_of(crop)) * saturation + grey_of(crop), 0, 255)
    if choices.sigma is not None and choices.sigma[n]:
        crop = slow_blur(crop, choices.sigma[n].item())
    return crop


def grey_of(crop):
    return (crop @ [0.299, 0.587, 0.114])[..., None]


def slow_turn(crop, angle):
    """Look from each pixel of the result back to where it was, and mix the four pixels around that place."""
    height, width, _ = crop.shape
    turned = np.zeros_like(crop)
    for row in range(height):
        for column in range(width):
            right, down = column - (width - 1) / 2, row - (height - 1) / 2
            x = math.cos(angle) * right - math.sin(angle) * down + (width - 1) / 2
            y = math.sin(angle) * right + math.cos(angle) * down + (height - 1) / 2
            for near_y in (math.floor(y), math.floor(y) + 1):
                for near_x in (math.floor(x), math.floor(x) + 1):
                    if 0 <= near_y < height and 0 <= near_x < width:
                        share = (1 - abs(y - near_y)) * (1 - abs(x - near_x))
                        turned[row, column] += share * crop[near_y, near_x]
    return turned


def slow_blur(crop, sigma):
    steps = np.arange(-6, 7)
    bell = np.exp(-(steps**2) / (2 * sigma**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    wide = np.pad(crop, ((6, 6), (6, 6), (0, 0)), mode="edge")
    blurred = np.zeros_like(crop)
    for y in range(13):
        for x in range(13):
            blurred += weights[y, x] * wide[y : y + len(crop), x : x + len(crop[0])]
    return blurred


@each_step
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_each_step_alone_does_what_a_loop_over_crops_does(step, order):
    spec = PatchSpec(HEIGHT, WIDTH, mean=(0.4, 0.5, 0.6), color_order=order)
    patches, choices = some_patches(), draw(Augmentation(**{step: STEPS[step]}))
    x = apply_choices(patches, spec, choices)
    assert np.allclose(x, slow_batch(patches, spec, choices), atol=2e-4)
    assert not torch.equal(x, normalise_patches(patches, spec))


@settings(max_examples=25)
@given(
    st.sets(st.sampled_from(sorted(STEPS))),
    st.tuples(st.integers(1, 5), st.integers(1, 24), st.integers(1, 12)),
    st.integers(0, 99),
)
def test_any_steps_together_do_what_a_loop_over_crops_does(steps, shape, seed):
    spec, patches = PatchSpec(), some_patches(*shape)
    choices = draw_choices(Augmentation(**{step: STEPS[step] for step in steps}), *shape, chance(seed))
    x = apply_choices(patches, spec, choices)
    assert np.allclose(x, slow_batch(patches, spec, choices), atol=2e-4)


@pytest.mark.parametrize("channels_last", [False, True])
def test_no_strength_is_plain_normalisation_bit_for_bit_and_draws_nothing(channels_last):
    patches, spec, generator = some_patches(), PatchSpec(), chance()
    before = generator.get_state()
    x = augment(patches, spec, Augmentation(), generator, channels_last)
    assert torch.equal(x, normalise_patches(patches, spec, channels_last))
    assert torch.equal(generator.get_state(), before)


@each_step
def test_the_patches_handed_in_stay_as_they_are(step):
    patches = some_patches()
    kept = patches.clone()
    augment(patches, PatchSpec(), Augmentation(**{step: STEPS[step]}), chance())
    assert torch.equal(patches, kept)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_result_lies_in_memory_as_asked_and_is_the_same_either_way(channels_last):
    every = Augmentation(**STEPS)
    x = augment(some_patches(), PatchSpec(), every, chance(), channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert x.is_contiguous(memory_format=layout)
    assert x.dtype == torch.float32
    assert torch.equal(x, augment(some_patches(), PatchSpec(), every, chance(), not channels_last))


def test_the_same_generator_draws_the_same_and_another_something_else():
    every, patches = Augmentation(**STEPS), some_patches()
    x = augment(patches, PatchSpec(), every, chance(5))
    assert torch.equal(x, augment(patches, PatchSpec(), every, chance(5)))
    assert not torch.equal(x, augment(patches, PatchSpec(), every, chance(6)))


def test_torch_s_own_generator_is_left_alone():
    before = torch.get_rng_state()
    augment(some_patches(), PatchSpec(), Augmentation(**STEPS), chance())
    assert torch.equal(torch.get_rng_state(), before)


def test_autocast_changes_nothing():
    every, patches = Augmentation(**STEPS), some_patches()
    x = augment(patches, PatchSpec(), every, chance())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(patches, PatchSpec(), every, chance()), x)


def test_steps_happen_as_often_as_their_probability_says():
    choices = draw(Augmentation(flip=0.3, erase=0.4, random_patch=0.6, blur=0.2, grey=0.1), 20_000)
    assert choices.flip.double().mean().item() == pytest.approx(0.3, abs=0.02)
    assert (choices.erase[:, 1] > 0).double().mean().item() == pytest.approx(0.4, abs=0.03)
    assert (choices.patch[:, 1] > 0).double().mean().item() == pytest.approx(0.6, abs=0.03)
    assert (choices.sigma > 0).double().mean().item() == pytest.approx(0.2, abs=0.02)
    assert (choices.color[:, 2] == 0).double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert (choices.color[:, :2] == 1).all()


def test_everything_drawn_is_within_its_range_and_fills_it():
    choices = draw(replace(Augmentation(**STEPS), grey=0.0), 20_000)
    assert choices.shift.aminmax() == (-4, 4)
    counts = [(choices.shift[:, 0] == far).sum().item() for far in range(-4, 5)]
    assert counts == pytest.approx([20_000 / 9] * 9, rel=0.1)
    for drawn, low, high in ((choices.angle, -30, 30), (choices.color, 0.4, 1.6)):
        assert low <= drawn.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < drawn.max() <= high
    blurred = choices.sigma[choices.sigma > 0]
    assert 0.1 <= blurred.min() < 0.2
    assert 1.9 < blurred.max() <= 2.0
    assert ((choices.partner >= 0) & (choices.partner < 20_000)).all()
    assert (choices.partner != torch.arange(20_000)).all()


@pytest.mark.parametrize(("height", "width"), [(256, 128), (112, 112), (40, 200)])
def test_rectangles_lie_inside_and_have_the_sizes_and_shapes_of_the_paper(height, width):
    boxes = draw(Augmentation(erase=1.0), 20_000, height=height, width=width).erase
    top, bottom, left, right = boxes[boxes[:, 1] > 0].double().unbind(1)
    assert len(top) > 19_000
    assert top.min() == left.min() == 0
    assert (bottom.max(), right.max()) == (height, width)
    tall, wide = bottom - top, right - left
    assert (tall < height).all()
    assert (wide < width).all()
    area, aspect = tall * wide / (height * width), tall / wide
    # Sides are whole pixels, so that both are met but for rounding.
    slack = (1 + 0.5 / tall) * (1 + 0.5 / wide)
    assert ((area > 0.02 / slack) & (area < 0.4 * slack)).all()
    assert ((aspect > 0.3 / slack) & (aspect < slack / 0.3)).all()


def test_a_crop_that_no_rectangle_fits_goes_without():
    choices = draw(Augmentation(erase=1.0, random_patch=1.0), 50, height=300, width=1)
    assert not choices.erase.any()
    assert not choices.patch.any()


def test_a_lone_crop_is_its_own_partner_and_stays_as_it_is():
    patches = some_patches(1)
    x = augment(patches, PatchSpec(), Augmentation(random_patch=1.0), chance())
    assert torch.equal(x, normalise_patches(patches, PatchSpec()))


def test_an_empty_batch_stays_empty():
    nobody = torch.zeros(0, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    assert augment(nobody, PatchSpec(), Augmentation(**STEPS), chance()).shape == (0, 3, HEIGHT, WIDTH)


def test_what_was_drawn_can_be_done_again():
    patches, choices = some_patches(), draw(Augmentation(**STEPS))
    assert torch.equal(apply_choices(patches, PatchSpec(), choices), apply_choices(patches, PatchSpec(), choices))
    assert Choices().flip is None


def test_the_presets_are_augmentations():
    for preset in AUGMENTATION.values():
        assert asdict(Augmentation(**preset)) == preset


@pytest.mark.parametrize(
    ("strengths", "message"),
    [
        ({"flip": 1.5}, "flip must be from 0 to 1, found 1.5"),
        ({"pad": -1}, "pad must be from 0 to inf, found -1"),
        ({"rotate": 181}, "rotate must be from 0 to 180, found 181"),
        ({"jitter": math.nan}, "jitter must be from 0 to 1, found nan"),
    ],
)
def test_a_strength_outside_its_range_is_refused(strengths, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Augmentation(**strengths)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@each_step
def test_a_gpu_does_the_same(step):
    patches, choices = some_patches(), draw(Augmentation(**{step: STEPS[step]}))
    there = apply_choices(patches.cuda(), PatchSpec(), choices)
    assert there.is_cuda
    assert torch.allclose(there.cpu(), apply_choices(patches, PatchSpec(), choices), atol=1e-4)
