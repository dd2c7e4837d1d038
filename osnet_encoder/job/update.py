"""Updating an output: what of it may be kept, and what refuses it."""

import json
from pathlib import Path

from ..errors import JobError
from ..metadata import METADATA_KEY
from ..tables import open_table
from .folder import KNOWN
from .known import Known, read_known
from .manifest import Published

__all__ = ["check_provenance", "open_known"]

# What must be the same for feature vectors to be compared with each other.
_MATTERS = (
    "weights_sha256", "variant", "patch", "network_color_order", "color_order", "normalize", "feature_dim",
    "precision",
)  # fmt: skip


def check_provenance(output: Path, published: Published | None, encoder) -> None:
    """Refuse features that were made by other weights or another preprocessing.

    Parameters
    ----------
    output : Path
    published : Published or None
        What the manifest says of it; else a Parquet file says it itself.
    encoder : OsNetEncoder

    Raises
    ------
    JobError
        They were, or nothing says what made them (`provenance`).
    """
    made_by = published.made_by if published is not None else _told_by(output)
    if made_by is None:
        raise JobError("provenance", f"nothing says what made the features of {output}; --overwrite starts over")
    now = json.loads(json.dumps(encoder.describe()))
    differences = [
        f"{name}: {made_by.get(name)} -> {now[name]}" for name in _MATTERS if made_by.get(name) != now[name]
    ]
    if differences:
        raise JobError(
            "provenance",
            f"{output} was made by other weights or another preprocessing: {'; '.join(differences)}",
        )


def open_known(
    output: Path, published: Published | None, folder: Path, encoder, feature_column: str, key: str | None
) -> Known:
    """Read what need not be encoded again.

    Parameters
    ----------
    output : Path
    published : Published or None
    folder : Path
        `OUTPUT.job`.
    encoder : OsNetEncoder
    feature_column : str
    key : str or None
        The column that tells rows apart; None to tell them apart by their crops.

    Returns
    -------
    known : Known

    Raises
    ------
    JobError
        See `check_provenance`; or there is no key, and no note of the crops (`provenance`).
    TableError
        See `read_known`.
    """
    check_provenance(output, published, encoder)
    digests = None
    if key is None:
        if published is None or published.digests is None:
            raise JobError(
                "provenance",
                f"nothing says which crops {output} was made from; name a --key column, or replace it once with "
                "--update --overwrite, which takes note of them",
            )
        digests = folder / published.digests
    return read_known(output, feature_column, encoder.feature_dim, key, digests, folder / KNOWN)


def _told_by(output):
    text = (open_table(output).schema.metadata or {}).get(METADATA_KEY.encode())
    try:
        told = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
