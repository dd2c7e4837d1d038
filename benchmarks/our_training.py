"""This project's own epoch, as `osnet-train` runs it, without validation and without files."""

from time import perf_counter

import torch

from osnet_encoder.training.distributed import Ranks
from osnet_encoder.training.epoch import train_epoch
from osnet_encoder.training.malloc import keep_freed_memory
from osnet_encoder.training.patch_store import PatchStore, open_patches
from osnet_encoder.training.state import TrainingState

from .lesson import Lesson

__all__ = ["OurLoop", "gather"]


def gather(lesson: Lesson) -> tuple[PatchStore, float]:
    """Decode every crop once, as a run does before its first epoch.

    Parameters
    ----------
    lesson : Lesson

    Returns
    -------
    patches : PatchStore
    seconds : float
    """
    keep_freed_memory()
    started = perf_counter()
    patches = open_patches(lesson.people.labels, lesson.spec, cache="memory", threads=lesson.config.threads)
    return patches, perf_counter() - started


class OurLoop:
    """A training state, and the patches.

    Parameters
    ----------
    lesson : Lesson
    patches : PatchStore
    """

    def __init__(self, lesson: Lesson, patches: PatchStore):
        self._lesson, self._patches = lesson, patches
        self._state = TrainingState(lesson.network(), lesson.config, torch.device(lesson.config.device))

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
        lesson = self._lesson
        self._state.epoch = epoch
        row = train_epoch(self._state, lesson.people, self._patches, lesson.spec, lesson.config, Ranks())
        return row["loss"]
