"""What a file's name says about it: CSV or Parquet, and how it is compressed."""

import os
from pathlib import Path

from ..errors import TableError

__all__ = ["KNOWN_SUFFIXES", "csv_codec", "file_kind", "names_folder", "output_kind"]

# Suffix of a CSV file -> the codec, by pyarrow's name, that it is compressed with.
CSV_CODECS = {".csv": None, ".csv.gz": "gzip", ".csv.zst": "zstd"}
PARQUET_SUFFIXES = (".parquet", ".pq")
KNOWN_SUFFIXES = (*CSV_CODECS, *PARQUET_SUFFIXES)


def file_kind(path: str | Path) -> str | None:
    """Tell a table's kind from its name.

    Parameters
    ----------
    path : str or Path
        Only the name is looked at, capitals or not; the file need not exist.

    Returns
    -------
    kind : "csv", "parquet" or None
        None where the suffix is none of `KNOWN_SUFFIXES`.
    """
    name = Path(path).name.lower()
    if name.endswith(PARQUET_SUFFIXES):
        return "parquet"
    if name.endswith(tuple(CSV_CODECS)):
        return "csv"
    return None


def csv_codec(path: str | Path) -> str | None:
    """Tell how a CSV file is compressed from its name.

    Parameters
    ----------
    path : str or Path
        A name whose `file_kind` is "csv".

    Returns
    -------
    codec : "gzip", "zstd" or None
        pyarrow's name of the codec, None for plain text.
    """
    name = Path(path).name.lower()
    return next(codec for suffix, codec in CSV_CODECS.items() if name.endswith(suffix))


def names_folder(path: str | Path) -> bool:
    """Tell whether a name asks for a folder of part files rather than for one file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    folder : bool
        It ends in a slash. That alone decides, whatever is there; a `Path` never ends in one.
    """
    return str(path).endswith(("/", os.sep))


def output_kind(path: str | Path) -> str:
    """Tell the kind of table that will be written under a name.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    kind : "csv" or "parquet"
        A folder's part files are Parquet.

    Raises
    ------
    TableError
        If the suffix is not a known one, or a folder has that of a CSV.
    """
    kind = file_kind(path)
    if names_folder(path):
        if kind == "csv":
            raise TableError(f"{path} is a folder of Parquet files, wanted a name that is not a CSV's")
        return "parquet"
    if kind is None:
        raise TableError(
            f"{path} has no known suffix; wanted one of {', '.join(KNOWN_SUFFIXES)}, or a slash at the end for a "
            "folder of part files"
        )
    return kind
