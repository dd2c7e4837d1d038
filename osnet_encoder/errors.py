"""Every error this package raises on purpose.

    OsNetError                        catch this to catch us
    ├─ CropError      (ValueError)    a cell cannot be turned into pixels
    ├─ FeatureError   (ValueError)    a feature cell cannot be read
    ├─ TableError     (ValueError)    a column is missing, the file type is unknown, the file is damaged
    ├─ WeightsError   (ValueError)    a checkpoint cannot be found, trusted, or fitted
    ├─ EngineError    (RuntimeError)  an engine or its device cannot start, or answers nonsense
    └─ JobError       (RuntimeError)  a job cannot go on

A wrong argument in the caller's own code is a plain `ValueError` or `TypeError`.
"""

__all__ = [
    "CropError",
    "EngineError",
    "FeatureError",
    "JobError",
    "OsNetError",
    "TableError",
    "WeightsError",
]


class OsNetError(Exception):
    """The root of the tree: everything this package raises on purpose."""


class CropError(OsNetError, ValueError):
    """A cell cannot be turned into pixels.

    Parameters
    ----------
    reason : str
        One of `osnet_encoder.crops.REASONS`: short, fixed, fit for a column of a table.
    detail : str
        What was found and what was wanted.
    row : int, optional
        Position of the cell in its column, counted from 0.
    """

    def __init__(self, reason, detail, row=None):
        self.reason = reason
        self.detail = detail
        self.row = row
        super().__init__(reason, detail, row)

    def __str__(self):
        where = "" if self.row is None else f"row {self.row}: "
        return f"{where}{self.reason}: {self.detail}"


class FeatureError(OsNetError, ValueError):
    """A feature cell cannot be read."""


class TableError(OsNetError, ValueError):
    """A column is missing, the file type is unknown, or the file is damaged."""


class WeightsError(OsNetError, ValueError):
    """A checkpoint cannot be found, trusted, or fitted."""


class EngineError(OsNetError, RuntimeError):
    """An engine or its device cannot start, or answers nonsense."""


class JobError(OsNetError, RuntimeError):
    """A job cannot go on.

    Parameters
    ----------
    reason : str
        A short fixed code; the command line turns it into an exit code.
    detail : str
        What stopped the job, and what would let it go on.
    """

    def __init__(self, reason, detail):
        self.reason = reason
        self.detail = detail
        super().__init__(reason, detail)

    def __str__(self):
        return self.detail
