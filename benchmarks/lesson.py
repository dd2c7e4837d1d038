"""What both contenders of `benchmarks.train` train on: the same crops, in the same batches, by the same recipe."""

from dataclasses import dataclass, field, replace

import numpy as np

from osnet_encoder.patches import PatchSpec
from osnet_encoder.training.batches import draw_batches
from osnet_encoder.training.config import FROM_SCRATCH, TrainConfig
from osnet_encoder.training.label_tables import read_labels
from osnet_encoder.training.labels import select
from osnet_encoder.training.network import ReidNetwork, build_network
from osnet_encoder.training.people import People
from osnet_encoder.training.presets import resolve

__all__ = ["Lesson", "Plan", "open_lesson", "take_groups"]

# A learning rate that leaves every number as it is.
_STILL = 1e-30


@dataclass(frozen=True)
class Plan:
    """What is trained, and how much of it is one timed run.

    Parameters
    ----------
    arch : str
        One of `variants.VARIANTS`, from scratch.
    labels : str
        A table of image paths with their identities.
    height, width : int
        Of a patch, in pixels.
    batch_size, batches : int
    threads : int
        Processors.
    device : str
    """

    arch: str
    labels: str
    height: int = 256
    width: int = 128
    batch_size: int = 64
    batches: int = 4
    threads: int = 1
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Lesson:
    """The plan with its crops.

    Parameters
    ----------
    config : TrainConfig
        Resolved: the defaults for people.
    people : People
        As many crops as fill the batches, all of them to be trained on.
    spec : PatchSpec
    """

    config: TrainConfig
    people: People = field(repr=False)
    spec: PatchSpec

    def network(self) -> ReidNetwork:
        """Make the network; the same numbers each time, if torch's generator is seeded alike."""
        return build_network(str(self.config.arch), self.people.classes)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """Positions in the people's labels, batch by batch."""
        return draw_batches(self.people, self.config, epoch, 0, 1)

    def without_chance(self) -> "Lesson":
        """The same without augmentation, and with a rate at which nothing is learnt: for comparing losses."""
        plain = dict.fromkeys(("flip", "erase", "random_patch", "jitter", "blur", "grey", "rotate"), 0.0)
        still = replace(self.config, lr=_STILL, backbone_lr=_STILL, weight_decay=0.0, pad=0, **plain)
        return replace(self, config=still)


def open_lesson(plan: Plan) -> Lesson:
    """Read the labels, and take as many crops as one timed run shows.

    Parameters
    ----------
    plan : Plan

    Returns
    -------
    Lesson

    Raises
    ------
    TableError
        The table cannot be read, or rows are wrong.
    ValueError
        It has too few crops, or holds them itself instead of naming image files.
    """
    config = resolve(
        TrainConfig(
            labels=(plan.labels,), arch=plan.arch, weights=FROM_SCRATCH, patch_height=plan.height,
            patch_width=plan.width, batch_size=plan.batch_size, threads=plan.threads, device=plan.device,
            warmup_epochs=0.0, schedule="constant",
        )
    )  # fmt: skip
    labels = read_labels(plan.labels)
    if any(source.cells != "path" for source in labels.sources):
        raise ValueError(f"{plan.labels} holds the crops themselves, wanted paths of image files")
    people = plan.batch_size // config.crops_per_identity
    labels = select(labels, take_groups(labels.identities, people, plan.batches, config.crops_per_identity))
    nobody = select(labels, np.zeros(len(labels), bool))
    people = People(labels, np.arange(len(labels)), np.arange(0), labels, nobody, "")
    return Lesson(config, people, PatchSpec(plan.height, plan.width))


def take_groups(identities: np.ndarray, people: int, batches: int, crops: int) -> np.ndarray:
    """Choose rows that the sampler will deal to an exact number of batches.

    Parameters
    ----------
    identities : int64, (N,)
    people : int
        In a batch.
    batches : int
    crops : int
        In a batch, of each of them.

    Returns
    -------
    rows : int64
        Positions, rising: of one identity after the other, so many at most that it stands once in each batch.

    Raises
    ------
    ValueError
        There are not so many.
    """
    taken: list[np.ndarray] = []
    wanted = lacking = people * batches
    for identity in range(int(identities.max(initial=-1)) + 1):
        rows = np.flatnonzero(identities == identity)[: min(lacking, batches) * crops]
        taken.append(rows)
        lacking -= -(-len(rows) // crops)
        if not lacking:
            return np.sort(np.concatenate(taken))
    raise ValueError(f"the labels have crops for {wanted - lacking} groups of {crops}, wanted {wanted}")
