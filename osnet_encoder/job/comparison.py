"""An output beside its input, row by row."""

from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa

from ..errors import FeatureError, JobError
from ..features import stack_features
from ..missing import is_missing
from ..tables import cells, open_table, output_kind, text_of
from .options import ROWS_AT_ONCE
from .state import Job

__all__ = ["Comparison", "Verified"]

# Largest difference of two feature vectors of one crop, in units of the largest number in it: between engines,
# and in other batches.
_TOLERANCE = {"fp32": 2e-5}
_TOLERANCE_BELOW = 5e-2


@dataclass
class Verified:
    """What was looked at, and found to be as it should.

    Parameters
    ----------
    output : str
    state : "verified"
    proved : bool
        The manifest is there, or a folder's `_SUCCESS`, and the output has the sha256 that it says. Without one,
        two feature vectors that changed places between rows that are not in the sample would pass unseen.
    rows, features : int
        Of the output; how many have a feature vector.
    sampled : int
        Rows whose crops were encoded again.
    difference : float
        The largest found between the two feature vectors of a crop, in units of the largest number in it.
    made_by : dict
        As of `OsNetEncoder.describe`: what encoded the sample.
    """

    output: str
    state: str = "verified"
    proved: bool = False
    rows: int = 0
    features: int = 0
    sampled: int = 0
    difference: float = 0.0
    made_by: dict = field(default_factory=dict)

    def as_dict(self):
        """dict, fit for JSON."""
        return asdict(self)


class Comparison:
    """Input and output, read side by side.

    Parameters
    ----------
    job : Job
        Whose output is there.
    dropped : set of int
        Rows of the input that were left out.
    sample : int
        Rows to encode again.
    proved : bool
        Whether the files are known to be those that were made.
    """

    def __init__(self, job: Job, dropped: set[int], sample: int, proved: bool):
        self.job, self.dropped = job, dropped
        self.output = open_table(job.target)
        self.layout = job.layout
        self.verified = Verified(job.name, proved=proved, made_by=job.encoder.describe())
        survey = job.table.survey(limit=job.options.limit)
        self.typed = output_kind(job.name) == "parquet"
        schema = survey.typed_schema if self.typed else job.table.schema
        self.schema = self.layout.schema(schema, job.encoder.feature_dim)
        rows = survey.rows - len(dropped)
        self.sample = (
            set(np.linspace(0, rows - 1, min(sample, rows)).round().astype(int).tolist()) if rows else set()
        )
        self.sampled: list[tuple[int, object, np.ndarray]] = []

    def run(self) -> Verified:
        """Compare all of it.

        Returns
        -------
        verified : Verified

        Raises
        ------
        JobError
            Something is not as it should be (`unverified`).
        TableError
            A file is damaged.
        """
        self._check_columns()
        read = self.output.batches(ROWS_AT_ONCE)
        held = None
        for batch in self._input():
            while batch.num_rows:
                held = held or next(read, None)
                if held is None:
                    raise self._fault("it has fewer rows than the input")
                rows = min(batch.num_rows, held.num_rows)
                self._compare(batch.slice(0, rows), held.slice(0, rows))
                batch, held = batch.slice(rows), held.slice(rows) if held.num_rows > rows else None
        if held is not None or next(read, None) is not None:
            raise self._fault("it has more rows than the input")
        self._encode_again()
        return self.verified

    def _check_columns(self):
        if self.output.names != self.schema.names:
            raise self._fault(
                f"its columns are {', '.join(self.output.names)}, wanted {', '.join(self.schema.names)}"
            )

    def _input(self):
        """The input's rows, without those that were left out."""
        row = 0
        for batch in self.job.table.batches(ROWS_AT_ONCE, limit=self.job.options.limit, typed=self.typed):
            kept = [at for at in range(batch.num_rows) if row + at not in self.dropped]
            row += batch.num_rows
            yield batch if len(kept) == batch.num_rows else batch.take(pa.array(kept, pa.int64()))

    def _compare(self, wanted, found):
        first = self.verified.rows
        made = (self.layout.feature_column, self.layout.error_column)
        for name in self.output.names:
            # without keep_crops the features may have the crops' name
            if name not in made:
                at = _first_difference(wanted.column(name), found.column(name), self.typed)
                if at is not None:
                    raise self._fault(f"row {first + at}: column {name!r} is not as in the input")
        features = self._features(found, first)
        errors = None
        if self.layout.error_column is not None:
            errors = cells(found.column(self.layout.error_column))
        for at, cell in enumerate(cells(wanted.column(self.layout.column))):
            absent = bool(np.isnan(features[at]).any())
            told = errors is not None and not is_missing(errors[at])
            if is_missing(cell) and (not absent or told):
                raise self._fault(f"row {first + at}: there is no crop, but a feature vector or an error")
            if not is_missing(cell) and errors is not None and absent is not told:
                raise self._fault(f"row {first + at}: there is a crop, wanted either a feature vector or an error")
            if first + at in self.sample:
                self.sampled.append((first + at, _own(cell), features[at]))
        self.verified.rows += found.num_rows
        self.verified.features += int((~np.isnan(features[:, 0])).sum())

    def _features(self, found, first):
        texts = [_own(cell) for cell in cells(found.column(self.layout.feature_column))]
        try:
            features = stack_features(
                bytes(text).decode("utf-8", "replace") if isinstance(text, bytes) else text for text in texts
            )
        except FeatureError as error:
            raise self._fault(f"from row {first} on: {error}") from error
        dim = self.job.encoder.feature_dim
        if features.shape[1] not in (0, dim):
            raise self._fault(f"from row {first} on: feature vectors of {features.shape[1]} numbers, wanted {dim}")
        return features if features.shape[1] else np.full((len(texts), dim), np.nan, np.float32)

    def _encode_again(self):
        again = self.job.encoder.encode([cell for _, cell, _ in self.sampled])
        tolerance = _TOLERANCE.get(self.job.encoder.engine.precision, _TOLERANCE_BELOW)
        for (row, _, found), wanted in zip(self.sampled, again, strict=True):
            if np.isnan(found).any() != np.isnan(wanted).any():
                gone = "no feature vector" if np.isnan(wanted).any() else "a feature vector"
                raise self._fault(f"row {row}: encoded again, its crop has {gone}")
            if np.isnan(found).any():
                continue
            off = float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), np.finfo(np.float32).tiny))
            if not off <= tolerance:
                raise self._fault(
                    f"row {row}: its crop encoded again is {off:.1e} off its feature vector, "
                    f"wanted {tolerance:.0e} at most"
                )
            self.verified.difference = max(self.verified.difference, off)
        self.verified.sampled = len(self.sampled)

    def _fault(self, what):
        return JobError("unverified", f"{self.job.name} is not what it should be: {what}")


def _first_difference(wanted, found, typed):
    if typed and wanted.equals(found):
        return None
    try:
        if not typed:
            wanted, found = (text_of(column).fill_null("") for column in (wanted, found))
        # as text, for what differs from itself (NaN), and for dictionaries in another order
        old, new = ([repr(cell) for cell in column.to_pylist()] for column in (wanted, found))
    except UnicodeDecodeError:  # text that is none, as only Parquet can hold it
        old, new = list(wanted), list(found)
    return next((at for at, (one, other) in enumerate(zip(old, new, strict=True)) if one != other), None)


def _own(cell):
    """A cell that does not keep its batch alive."""
    return bytes(cell) if isinstance(cell, memoryview) else cell
