"""What the contenders of one run have in common: weights, crops, patches, and the features that are right."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from osnet_encoder.crops import decode_crop
from osnet_encoder.errors import WeightsError
from osnet_encoder.features import stack_features
from osnet_encoder.patches import PatchSpec, resize_into
from osnet_encoder.weights import Weights, load

from .cases import Absent, Case, Settings, pinned, shown_name
from .crop_strings import crop_strings

__all__ = ["Subject", "decode_all", "load_osnet", "open_subject", "rows_of_cases"]


@dataclass(frozen=True, eq=False)
class Subject:
    """Some weights and some crops.

    Parameters
    ----------
    name : str
        What the weights were called by.
    weights : Weights
    size : str
        Of the crops.
    cells : tuple of str
        Crop strings.
    patches : uint8, (N, height, width, 3)
        Of those crops, RGB.
    reference : float32, (N, D)
        Their features as the first encoder makes them, one crop at a time.
    """

    name: str
    weights: Weights
    size: str
    cells: tuple[str, ...] = field(repr=False)
    patches: np.ndarray = field(repr=False)
    reference: np.ndarray = field(repr=False)

    @property
    def spec(self) -> PatchSpec:
        """What the network wants to see."""
        return self.weights.spec


def open_subject(name: str, size: str, settings: Settings) -> Subject:
    """Load weights, make crops, and work out what is right.

    Parameters
    ----------
    name : str
        As `osnet_encoder.weights.load` takes it.
    size : str
        As of `crop_strings.parse_size`.
    settings : Settings

    Returns
    -------
    Subject

    Raises
    ------
    WeightsError, TableError, CropError
        The weights or the crops are not there, or not fit.
    """
    from .baselines import one_at_a_time, open_network  # loads torch

    weights = load_osnet(name)
    network = open_network(weights)
    cells = crop_strings(size, settings.crops, settings.labels)
    patches = np.empty((len(cells), weights.spec.height, weights.spec.width, 3), np.uint8)
    decode_all(cells, patches)
    reference = stack_features(pinned(settings.threads, one_at_a_time, network, cells, weights.spec)())
    return Subject(name, weights, size, cells, patches, reference)


def load_osnet(name: str) -> Weights:
    """Load weights that the baselines can run too.

    Parameters
    ----------
    name : str
        As `osnet_encoder.weights.load` takes it.

    Returns
    -------
    Weights

    Raises
    ------
    WeightsError
        They cannot be loaded, or are no OSNet without a BN-neck, which is all that the first encoder ran.
    """
    weights = load(name)
    if not isinstance(weights, Weights) or weights.neck:
        raise WeightsError(f"{name} is no OSNet without a BN-neck, which is what the baselines run")
    return weights


def decode_all(cells: Iterable[str | memoryview], patches: np.ndarray) -> np.ndarray:
    """Decode crops one after another, in this thread.

    Parameters
    ----------
    cells : iterable of str or memoryview
        Crop strings, one a patch; none missing, none broken.
    patches : uint8, (N, height, width, 3)
        Written to.

    Returns
    -------
    patches : uint8, (N, height, width, 3)
        The same array.
    """
    for cell, patch in zip(cells, patches, strict=True):
        resize_into(decode_crop(cell), patch)
    return patches


def rows_of_cases(subject: Subject, wanted: Iterable[Case], measure_case: Callable[[Case], dict]) -> list[dict]:
    """Make one row of results for each case, whether it can be measured here or not.

    Parameters
    ----------
    subject : Subject
    wanted : iterable of Case
    measure_case : callable
        Of a `Case`; gives what was measured, or raises `Absent`.

    Returns
    -------
    rows : list of dict
        `status` is `measured`, or why not.
    """
    rows = []
    for case in wanted:
        row = {"weights": shown_name(subject.name), "size": subject.size, **case.as_dict()}
        try:
            rows.append({**row, "status": "measured", **measure_case(case)})
        except Absent as reason:
            rows.append({**row, "status": str(reason)})
    return rows
