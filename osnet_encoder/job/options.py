"""What a caller can ask of a job, checked before anything is read."""

from dataclasses import dataclass
from pathlib import Path

from .layout import ERROR_COLUMN, ON_ERROR

__all__ = ["PART_ROWS", "ROWS_AT_ONCE", "Options"]

PART_ROWS = 4096

# Rows read at a time where nothing is encoded: few, as a crop may be kept, and take 100 kB.
ROWS_AT_ONCE = 128

# A part is gathered in memory before it is written.
_MOST_PART_ROWS = 65_536


@dataclass(frozen=True)
class Options:
    """The options of a job.

    Parameters
    ----------
    column, feature_column, keep_crops, feature_format, limit, on_error, error_column, rejects, max_error_rate
        See `encode_table`.
    part_rows, overwrite, fresh, update, key
        Likewise.

    Raises
    ------
    ValueError
        An option has a value that it cannot have, or two contradict each other.
    """

    column: str | None = None
    feature_column: str = "feature_vector"
    keep_crops: bool = False
    feature_format: str | None = None
    limit: int | None = None
    on_error: str | None = None
    error_column: str | None = ERROR_COLUMN
    rejects: str | Path | None = None
    max_error_rate: float | None = None
    part_rows: int = PART_ROWS
    overwrite: bool = False
    fresh: bool = False
    update: bool = False
    key: str | None = None

    def __post_init__(self):
        if self.on_error not in (None, *ON_ERROR):
            raise ValueError(f"on_error must be one of {', '.join(ON_ERROR)}, found {self.on_error!r}")
        if not 1 <= self.part_rows <= _MOST_PART_ROWS:
            raise ValueError(f"part_rows must be from 1 to {_MOST_PART_ROWS:,}, found {self.part_rows:,}")
        if self.max_error_rate is not None and not 0 <= self.max_error_rate <= 1:
            raise ValueError(f"max_error_rate must be from 0 to 1, found {self.max_error_rate}")
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"limit must be at least 0, found {self.limit}")
        if self.key is not None and not self.update:
            raise ValueError("a key is for update, which was not asked for")
        if self.update and self.fresh:
            raise ValueError("update keeps what is there and fresh discards it; ask for one of them")
