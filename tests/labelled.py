"""Labelled people for the tests of training: few, small, easy to tell apart, and the same every time."""

import numpy as np
import pandas as pd
from PIL import Image

from osnet_encoder.training.config import TrainConfig
from pictures import draw_crop

__all__ = ["tiny", "write_people"]


def write_people(folder, identities=8, crops=4):
    """Write crops as PNG files, seen by two cameras in turn, and their `labels.csv`; its path."""
    (folder / "crops").mkdir(parents=True, exist_ok=True)
    rows = []
    for identity in range(identities):
        for number in range(crops):
            noise = np.random.default_rng([identity, number]).integers(-12, 13, (40, 20, 3))
            picture = (draw_crop(identity).astype(int) + noise).clip(0, 255).astype(np.uint8)
            path = f"crops/{identity:04}_{number}.png"
            Image.fromarray(picture).save(folder / path)
            rows.append((path, f"{identity:04}", number % 2))
    labels = folder / "labels.csv"
    pd.DataFrame(rows, columns=["img_path", "person_id", "camera_id"]).to_csv(labels, index=False)
    return labels


def tiny(labels, **settings):
    """A configuration that takes as little time as can be; its runs go beside the labels."""
    small = {
        "labels": (str(labels),),
        "arch": "osnet_x0_25",
        "weights": "none",
        "patch_height": 32,
        "patch_width": 16,
        "epochs": 2,
        "batch_size": 8,
        "val_fraction": 0.3,
        "threads": 1,
        "device": "cpu",
        "runs": str(labels.parent / "runs"),
    }
    return TrainConfig(**(small | settings))
