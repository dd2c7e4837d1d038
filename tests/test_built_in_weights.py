"""The weights that come with the package: small, whole, what their card says, and trained."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from benchmarks.precision import retrieval
from examples import make_crops
from examples.make_crops import draw_rows
from osnet_encoder import OsNetEncoder
from osnet_encoder.built_in import BUILT_IN, DEFAULT_WEIGHTS, built_in_file
from osnet_encoder.cli import train
from osnet_encoder.crops import encode_crop
from osnet_encoder.weights import load

UNSEEN = 987_654_321  # a seed that nobody was trained on


@pytest.mark.parametrize("variant", BUILT_IN)
def test_the_file_is_small_and_of_half_precision(variant):
    path = built_in_file(variant)
    assert path.stat().st_size < 600_000
    with safe_open(path, "numpy") as stored:
        types = {stored.get_slice(name).get_dtype() for name in stored.keys()}  # noqa: SIM118
    assert types == {"F16", "I64"}


@pytest.mark.parametrize("variant", BUILT_IN)
def test_the_file_says_how_it_is_used_and_how_it_was_made(variant):
    weights = load(f"builtin:{variant}")
    assert (weights.variant, weights.neck, weights.normalize) == (variant, True, True)
    assert all(array.dtype != np.float16 for array in weights.tensors.values())
    recipe = weights.metadata["recipe"]
    assert recipe["arch"] == variant
    assert (weights.spec.height, weights.spec.width) == (recipe["patch_height"], recipe["patch_width"])
    assert weights.metadata["epoch"] == recipe["epochs"], "the last epoch's, whatever was measured"


def test_the_card_tells_of_this_very_file():
    card = (Path(built_in_file(BUILT_IN[0])).parent / "README.md").read_text(encoding="utf-8")
    for variant in BUILT_IN:
        assert hashlib.sha256(built_in_file(variant).read_bytes()).hexdigest() in card


def test_people_never_trained_on_are_found_far_more_often_than_without_training():
    rows = list(draw_rows(identities=40, crops=4, cameras=2, seed=UNSEEN, missing=0))
    crops = [encode_crop(row.crop) for row in rows]
    identities = np.array([row.person_id for row in rows], object)
    cameras = np.array([str(row.camera_id) for row in rows], object)
    rank_1 = {
        name: retrieval(OsNetEncoder(name, normalize=True).encode(crops), identities, cameras, "1", "2")[0]
        for name in (DEFAULT_WEIGHTS, "untrained:osnet_x0_25")
    }
    assert rank_1[DEFAULT_WEIGHTS] > 0.2
    assert rank_1[DEFAULT_WEIGHTS] > 2 * rank_1["untrained:osnet_x0_25"]


def test_the_recipe_uses_options_that_there_are():
    script = (Path(make_crops.__file__).parent / "train_builtin.sh").read_text(encoding="utf-8")
    offered = {
        option
        for command in (make_crops.main, train.main)
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    used = set(re.findall(r"(?<= )--[a-z-]+", script))
    assert len(used) > 30 and used <= offered
