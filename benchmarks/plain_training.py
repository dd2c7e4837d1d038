"""The training loop that one writes first: each picture opened and changed in the loop, eager torch in NCHW."""

import random

import numpy as np
import torch
from PIL import Image, ImageOps

from osnet_encoder.patches import PatchSpec
from osnet_encoder.training.config import TrainConfig
from osnet_encoder.training.label_cells import iter_cells
from osnet_encoder.training.objective import batch_cost

from .lesson import Lesson

__all__ = ["PlainLoop", "open_picture"]


class PlainLoop:
    """A network, an optimiser, and the paths of the pictures.

    Parameters
    ----------
    lesson : Lesson
        Of whose recipe this knows the mirror image, the move, the erased rectangle, Adam and the losses: what the
        defaults for people ask for.
    """

    def __init__(self, lesson: Lesson):
        config = lesson.config
        self._lesson = lesson
        self._paths = list(iter_cells(lesson.people.labels))
        self._identities = torch.from_numpy(lesson.people.labels.identities)
        self._network = lesson.network().to(config.device).train()
        self._optimizer = torch.optim.Adam(
            [parameter for parameter in self._network.parameters() if parameter.requires_grad],
            lr=config.lr, weight_decay=config.weight_decay,
        )  # fmt: skip

    def run(self, epoch: int) -> float:
        """Show every batch of an epoch once.

        Parameters
        ----------
        epoch : int

        Returns
        -------
        loss : float
            Mean over the batches.
        """
        config, spec = self._lesson.config, self._lesson.spec
        total = 0.0
        batches = self._lesson.batches(epoch)
        for rows in batches:
            x = torch.stack([open_picture(self._paths[row], spec, config) for row in rows]).to(config.device)
            identities = self._identities[torch.from_numpy(rows)].to(config.device)
            features, necked = self._network(x)
            loss = batch_cost(config, features, necked, self._network.classifier.weight, identities).total
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            total += loss.item()
        return total / len(batches)


def open_picture(path: str, spec: PatchSpec, config: TrainConfig) -> torch.Tensor:
    """Open one picture, and change it at random.

    Parameters
    ----------
    path : str
    spec : PatchSpec
    config : TrainConfig
        Its `flip`, `pad` and `erase`.

    Returns
    -------
    x : float32, (3, H, W)
        Normalised.
    """
    with Image.open(path) as file:
        image = file.convert("RGB").resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    if random.random() < (config.flip or 0):
        image = ImageOps.mirror(image)
    if config.pad:
        top, left = random.randint(0, 2 * config.pad), random.randint(0, 2 * config.pad)
        image = ImageOps.expand(image, config.pad).crop((left, top, left + spec.width, top + spec.height))
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
    x = (x - torch.tensor(spec.mean).reshape(3, 1, 1)) / torch.tensor(spec.std).reshape(3, 1, 1)
    return _erase(x) if random.random() < (config.erase or 0) else x


def _erase(x):
    """Set a rectangle of 0.02 to 0.4 of the picture to the mean colour."""
    _, height, width = x.shape
    for _ in range(10):
        area, aspect = random.uniform(0.02, 0.4) * height * width, random.uniform(0.3, 1 / 0.3)
        tall, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if tall < height and wide < width:
            top, left = random.randint(0, height - tall), random.randint(0, width - wide)
            x[:, top : top + tall, left : left + wide] = 0
            break
    return x
