"""The labelled people of a run: who is trained on, who is looked up in validation, and all of their patches."""

import logging
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from ..errors import TableError
from ..patches import PatchSpec
from .config import TrainConfig
from .distributed import Ranks
from .label_faults import warn_labels
from .label_tables import read_labels
from .labels import Labels, data_hash, select
from .patch_store import PatchStore, open_patches
from .splits import mark_split, split_labels

__all__ = ["People", "find_people", "gather_patches"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class People:
    """Labelled crops, divided by identity.

    Parameters
    ----------
    labels : Labels
        All of them, with the split marked.
    train, val : int64, (M,) and (N - M,)
        Positions in the labels, rising; `val` may be empty.
    train_labels, val_labels : Labels
        Of these positions. Identities count from 0 in each: in training they are the classes.
    sha256 : str
        As of `labels.data_hash`.
    """

    labels: Labels = field(repr=False)
    train: np.ndarray
    val: np.ndarray
    train_labels: Labels = field(repr=False)
    val_labels: Labels = field(repr=False)
    sha256: str

    @property
    def classes(self) -> int:
        """Identities to tell apart in training."""
        return len(self.train_labels.names)


def find_people(config: TrainConfig) -> People:
    """Read the labels and divide them; no crop is opened.

    Parameters
    ----------
    config : TrainConfig

    Returns
    -------
    People

    Raises
    ------
    TableError
        The tables cannot be read, rows are wrong, there are too few people on one side, or nobody of those for
        validation can be looked up: all crops of each are from one camera.
    """
    labels = read_labels(
        config.labels,
        root=config.root,
        column=config.column,
        identity_column=config.identity_column,
        camera_column=config.camera_column,
    )
    for warning in warn_labels(labels):
        log.warning("%s", warning)
    train, val = split_labels(labels, config.val_fraction, config.seed)
    labels = mark_split(labels, val)
    _check_askable(select(labels, val), config)
    people = People(labels, train, val, select(labels, train), select(labels, val), data_hash(labels))
    log.info(
        "training on %d crops of %d identities, validating on %d of %d",
        len(train), people.classes, len(val), len(people.val_labels.names),
    )  # fmt: skip
    return people


def gather_patches(people: People, config: TrainConfig, spec: PatchSpec, ranks: Ranks) -> PatchStore:
    """Decode every crop once, before any is trained on.

    Parameters
    ----------
    people : People
    config : TrainConfig
    spec : PatchSpec
    ranks : Ranks
        One process after the other where the patches are kept on disk, so that all but the first find them there.

    Returns
    -------
    patches : PatchStore
        As long as `people.labels`.

    Raises
    ------
    TableError
        As of `patch_store.open_patches`.
    """

    def gather():
        return open_patches(
            people.labels,
            spec,
            color_order=config.color_order,
            cache=config.cache,
            cache_dir=config.cache_dir,
            threads=config.threads,
        )

    if ranks.leads:
        patches = gather()
        log.info("%d patches of %dx%d, kept in %s", len(patches), spec.height, spec.width, _PLACES[patches.kind])
    ranks.wait()
    if not ranks.leads:
        patches = gather()
    return patches


def _check_askable(labels, config):
    """Refuse people for validation of whom there is no query with anything to find."""
    if not len(labels):
        return
    everybody = np.ones(len(labels), bool)
    query = everybody if labels.is_query is None else labels.is_query
    gallery = everybody if labels.is_gallery is None else labels.is_gallery
    seen = np.stack([labels.identities, labels.cameras], axis=1)
    cameras = defaultdict(set)
    for identity, camera in seen[gallery].tolist():
        cameras[identity].add(camera)
    if not any(cameras[identity] - {camera} for identity, camera in seen[query].tolist()):
        raise TableError(
            f"nobody can be looked up among the {len(labels.names)} identities for validation: none has a query, "
            f"and in the gallery a crop from another camera. Does {config.camera_column} say which camera it was? "
            "With val_fraction 0 there is no validation"
        )


_PLACES = {"memory": "memory", "disk": "a file on disk", "none": "no place: decoded anew in every epoch"}
