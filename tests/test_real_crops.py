"""The whole way on crops of real people, where they are at hand: OSNET_REAL_DATA names their folder.

It holds `cuhk03/labels.csv` (img_path, person_id, camera_id) with its pictures, and
`weights/osnet_x0_25_market1501.pth`, a checkpoint of Torchreid's model zoo. Neither is part of this project.
"""

import ast
import os
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from osnet_encoder import OsNetEncoder, encode_table, stack_features
from osnet_encoder.osnet import build
from source import ROOT

FOLDER = os.environ.get("OSNET_REAL_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="OSNET_REAL_DATA is not set")

# Identities taken; each has about ten crops, half of them by each camera.
IDENTITIES = 20


@pytest.fixture(scope="module")
def weights():
    return Path(FOLDER, "weights", "osnet_x0_25_market1501.pth")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    sys.path.insert(0, str(ROOT))
    from examples.pack_crops import pack_crops

    labels = pd.read_csv(Path(FOLDER, "cuhk03", "labels.csv"), dtype=str)
    folder = tmp_path_factory.mktemp("real")
    few = labels[labels["person_id"].isin(labels["person_id"].unique()[:IDENTITIES])]
    few.to_csv(folder / "labels.csv", index=False)
    pack_crops(folder / "labels.csv", folder / "crops.csv", root=Path(FOLDER, "cuhk03"))
    return folder / "crops.csv"


@pytest.fixture(scope="module")
def plain_features(table, weights):
    """The plain recipe, crop by crop: literal_eval, Pillow, torch, fp32."""
    network = build("osnet_x0_25", num_classes=751).eval()
    network.load_state_dict(torch.load(weights, weights_only=True), strict=True)
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    rows = []
    for cell in pd.read_csv(table)["crop"]:
        values = ast.literal_eval(cell)
        pixels = np.frombuffer(zlib.decompress(bytes.fromhex(values["image"])), np.uint8)
        picture = Image.fromarray(pixels.reshape(values["height"], values["width"], values["colors"]))
        patch = np.array(picture.resize((128, 256), Image.BILINEAR))
        with torch.inference_mode():
            rows.append(network(((torch.from_numpy(patch).permute(2, 0, 1).float() / 255 - mean) / std)[None]))
    return torch.cat(rows).numpy()


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_table_of_real_crops_gets_the_features_of_the_plain_recipe(
    table, weights, plain_features, engine, suffix
):
    target = table.with_name(f"{engine}{suffix}")
    summary = encode_table(table, target, OsNetEncoder(weights, engine=engine, device="cpu"))
    assert summary.rows == summary.encoded == len(plain_features)
    frame = pd.read_parquet(target) if suffix == ".parquet" else pd.read_csv(target)
    features = stack_features(frame["feature_vector"])
    scale = np.abs(plain_features).max(axis=1, keepdims=True)
    assert np.max(np.abs(features - plain_features) / scale) <= 2e-5
    cosine = np.sum(features * plain_features, 1) / np.linalg.norm(features, axis=1)
    assert np.min(cosine / np.linalg.norm(plain_features, axis=1)) >= 0.99999


def test_real_features_find_the_same_person_far_more_often_than_chance(table, plain_features):
    labels = pd.read_csv(table, dtype=str)
    unit = plain_features / np.linalg.norm(plain_features, axis=1, keepdims=True)
    query, gallery = (labels["camera_id"] == "1").to_numpy(), (labels["camera_id"] == "2").to_numpy()
    best = np.argmax(unit[query] @ unit[gallery].T, axis=1)
    person = labels["person_id"].to_numpy()
    rank1 = np.mean(person[gallery][best] == person[query])
    assert rank1 > 4 / IDENTITIES  # four times chance
