"""What a job did, and how far it has come."""

from collections import Counter
from dataclasses import asdict, dataclass, field

from .parts import Outcome, Part

__all__ = ["JobSummary", "Tally", "count_parts"]


@dataclass
class Tally:
    """Rows, counted.

    Parameters
    ----------
    rows, encoded, missing, broken : int
    reasons : Counter of str
        How many cells are broken for which reason.
    """

    rows: int = 0
    encoded: int = 0
    missing: int = 0
    broken: int = 0
    reasons: Counter = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count rows in."""
        rows = len(outcome.absent)
        broken = rows - outcome.reason.null_count
        absent = int(outcome.absent.sum())
        self.rows += rows
        self.encoded += rows - absent
        self.missing += absent - broken
        self.broken += broken
        self.reasons.update(outcome.reason.drop_null().to_pylist())


@dataclass
class JobSummary:
    """What a job did.

    Parameters
    ----------
    output : str
    column, feature_column : str
        Where the crops were, and where the features are.
    state : "published" or "unchanged"
        Unchanged: the output was there already, made from this input in this way, and nothing was done.
    rows, encoded, missing, broken : int
        Of the input, all runs of the job counted in.
    resumed, reused : int
        Rows of parts that an earlier run had finished; feature vectors taken from the output that was updated.
    dropped : int
        Broken rows left out of the output.
    parts : int
    reasons : dict of str to int
        How many cells are broken for which reason.
    rejects : str or None
        The file with all broken cells.
    crops_per_second : float
        Crops encoded by this run, by all its seconds, reading and writing counted in, opening the engine not.
    seconds : dict of str to float
        `read` and `write` of the main thread, `decode` and `infer` summed over threads, `total` by the clock.
    sha256 : str
        Of the output.
    made_by : dict
        As of `OsNetEncoder.describe`.
    """

    output: str
    column: str
    feature_column: str
    state: str = "published"
    rows: int = 0
    encoded: int = 0
    missing: int = 0
    broken: int = 0
    resumed: int = 0
    reused: int = 0
    dropped: int = 0
    parts: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rejects: str | None = None
    crops_per_second: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    sha256: str = ""
    made_by: dict = field(default_factory=dict)

    def as_dict(self):
        """dict, fit for JSON."""
        return asdict(self)


def count_parts(parts: list[Part]) -> Tally:
    """Add up finished parts.

    Parameters
    ----------
    parts : list of Part

    Returns
    -------
    tally : Tally
    """
    tally = Tally()
    for part in parts:
        tally.rows += part.rows
        tally.encoded += part.encoded
        tally.missing += part.missing
        tally.broken += part.broken
        tally.reasons.update(part.reasons)
    return tally
