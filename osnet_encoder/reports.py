"""What became of a batch, and of a column: counts, and every broken cell with its row and reason."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from .errors import CropError

__all__ = ["EncodeReport", "Encoded"]


@dataclass(frozen=True)
class Encoded:
    """What became of one batch of cells.

    Parameters
    ----------
    features : float32, (N, D)
        NaN rows where there is no feature vector.
    missing : bool, (N,)
        The cell is null or empty.
    broken : dict of int to CropError
        By position in the batch; the errors' own rows count from the start of the column.
    seconds : dict of str to float
        `decode` and `infer`, of the thread that did them.
    """

    features: np.ndarray
    missing: np.ndarray
    broken: dict[int, CropError]
    seconds: dict[str, float]

    @property
    def absent(self):
        """bool, (N,): no feature vector, for the one reason or the other."""
        absent = self.missing.copy()
        absent[list(self.broken)] = True
        return absent


@dataclass
class EncodeReport:
    """What became of a column.

    Parameters
    ----------
    rows, encoded, missing : int
    broken : dict of int to CropError
        By row, counted from 0.
    seconds : dict of str to float
        `decode` and `infer`, summed over threads.
    """

    rows: int = 0
    encoded: int = 0
    missing: int = 0
    broken: dict[int, CropError] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: {"decode": 0.0, "infer": 0.0})

    @property
    def reasons(self):
        """dict of str to int: how many cells are broken for which reason."""
        return dict(Counter(error.reason for error in self.broken.values()).most_common())

    def add(self, encoded):
        """Count one more batch in."""
        self.rows += len(encoded.missing)
        self.missing += int(encoded.missing.sum())
        self.encoded += int((~encoded.absent).sum())
        self.broken.update((error.row, error) for error in encoded.broken.values())
        for stage, spent in encoded.seconds.items():
            self.seconds[stage] += spent
