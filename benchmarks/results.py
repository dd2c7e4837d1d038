"""Results as JSON: what was asked, on which machine, and a list of rows for each part; README.md has the keys."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from osnet_encoder.version import __version__

from .cases import Settings, shown_name
from .machine import describe_machine

__all__ = ["PARTS", "describe_run", "disagreements", "merge", "read", "write"]

# Every part that results can have, in the order in which they are shown.
PARTS = ("column", "table", "ceiling", "stages", "memory", "startup", "precision", "train")


def describe_run(settings: Settings) -> dict:
    """Say when, with what, and where a measurement is made.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    dict
        Fit for JSON; the parts are to be added.
    """
    labels = None if settings.labels is None else Path(settings.labels).name
    named = {"weights": [shown_name(weights) for weights in settings.weights], "labels": labels}
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "machine": describe_machine(settings.threads, settings.device),
        "settings": {**asdict(settings), **named},
    }


def disagreements(results: dict) -> list[str]:
    """List the rows whose answers were not those of the reference.

    Parameters
    ----------
    results : dict

    Returns
    -------
    list of str
        One line a row; empty where everything agreed.
    """
    lines = []
    for part in PARTS:
        for row in results.get(part, []):
            agreement = row.get("agreement", {"holds": True})
            if not agreement["holds"]:
                what = f"{row['weights']}, {row['size']}, {row['engine']} {row['precision']}"
                lines.append(
                    f"{part}: {what}: {agreement['found']} {agreement['measure']}, limit {agreement['limit']}"
                )
    return lines


def write(results: dict, path: str | Path) -> None:
    """Write results as JSON.

    Parameters
    ----------
    results : dict
    path : str or Path
    """
    Path(path).write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(path: str | Path) -> dict:
    """Read results that `write` wrote.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    results : dict

    Raises
    ------
    ValueError
        The file is no JSON, or holds no results.
    """
    results = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(results, dict) or "machine" not in results:
        raise ValueError(f"{path} holds no results of a benchmark")
    return results


def merge(several: Iterable[dict]) -> dict:
    """Put the rows of several measurements together.

    Parameters
    ----------
    several : iterable of dict
        At least one.

    Returns
    -------
    results : dict
        What stands beside the rows is of the first. `others_share` is one for each part, that of the worst.

    Raises
    ------
    ValueError
        They are from different machines: their figures do not belong in one table.
    """
    first, *others = several
    if any(other["machine"] != first["machine"] for other in others):
        raise ValueError("the results are from different machines or versions, wanted those of one")
    merged = {**first, "others_share": {}}
    for part in PARTS:
        having = [results for results in (first, *others) if part in results]
        if having:
            merged[part] = [row for results in having for row in results[part]]
            shares = [results["others_share"] for results in having]
            merged["others_share"][part] = None if None in shares else max(shares)
    return merged
