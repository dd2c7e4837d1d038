"""Broken cells: all of them in a file, and whether there are too many."""

import csv
import shutil
from pathlib import Path

from ..errors import CropError, JobError
from ..tables import published, put_in_place
from ..tables.faults import write_errors
from .parts import Part, read_outcomes
from .summary import Tally

__all__ = ["MAX_ERROR_RATE", "REJECTS", "copy_rejects", "judge", "raise_first", "write_rejects"]

REJECTS = "rejects.csv"

# Unless told otherwise: at most one in a hundred, and so few are no reason to stop.
MAX_ERROR_RATE = 0.01
_FEW = 10


def write_rejects(folder: Path, parts: list[Part]) -> list[int]:
    """Gather the broken cells of all parts in `rejects.csv`: row, reason, detail, excerpt.

    Parameters
    ----------
    folder : Path
    parts : list of Part
        All, in order.

    Returns
    -------
    rows : list of int
        Those that are broken.

    Raises
    ------
    TableError
        The file cannot be written.
    JobError
        A part is gone or damaged (`damaged`).
    """
    broken: list[int] = []
    target = folder / REJECTS
    with (
        published(target) as partial,
        write_errors(target),
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        writer.writerow(["row", "reason", "detail", "excerpt"])
        for part, outcome in read_outcomes(folder, [part for part in parts if part.broken]):
            columns = (outcome.reason.to_pylist(), outcome.detail.to_pylist(), outcome.excerpt.to_pylist())
            for at, (reason, *rest) in enumerate(zip(*columns, strict=True)):
                if reason is not None:
                    broken.append(part.first_row + at)
                    writer.writerow([part.first_row + at, reason, *rest])
    return broken


def copy_rejects(folder: Path, target: Path) -> None:
    """Put `rejects.csv` where the user wants it, whole or not at all.

    Parameters
    ----------
    folder, target : Path

    Raises
    ------
    TableError
        It cannot be written.
    """
    # of one name always, so that what a killed run left there is written over
    partial = target.with_name(f".{target.name}.partial")
    try:
        with write_errors(target):
            shutil.copyfile(folder / REJECTS, partial)
        put_in_place(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def raise_first(folder: Path, parts: list[Part]) -> None:
    """Raise the first broken cell, if there is one.

    Parameters
    ----------
    folder : Path
    parts : list of Part

    Raises
    ------
    CropError
        With its row.
    """
    for part, outcome in read_outcomes(folder, [part for part in parts if part.broken]):
        at, reason = next(
            (at, reason) for at, reason in enumerate(outcome.reason.to_pylist()) if reason is not None
        )
        raise CropError(reason, outcome.detail[at].as_py(), part.first_row + at)


def judge(tally: Tally, max_error_rate: float | None, kept: Path) -> None:
    """Decide whether an output with so many broken cells may be published.

    Parameters
    ----------
    tally : Tally
        Of all rows.
    max_error_rate : float or None
        Broken cells to those not missing, at most; None is 0.01, and never for fewer than 10 broken cells.
    kept : Path
        Where the broken cells are listed, for the message.

    Raises
    ------
    JobError
        There are too many (`rejects`), or not a single cell could be encoded (`nothing_encoded`).
    """
    present = tally.encoded + tally.broken
    limit = MAX_ERROR_RATE if max_error_rate is None else max_error_rate
    counts = f"{tally.broken:,} of {present:,} crops are broken ({_in_words(tally)})"
    few = max_error_rate is None and tally.broken < _FEW
    if present and tally.broken / present > limit and not few:
        raise JobError(
            "rejects",
            f"{counts}, above the rate of {limit:g} that is allowed; nothing is published, they are listed in "
            f"{kept}",
        )
    if present and not tally.encoded:
        raise JobError(
            "nothing_encoded",
            f"{counts}, so that there is nothing to publish; is it the right column? they are listed in {kept}",
        )


def _in_words(tally):
    return ", ".join(f"{count} {reason}" for reason, count in tally.reasons.most_common())
