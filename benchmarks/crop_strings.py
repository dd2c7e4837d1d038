"""Crop strings to measure with: drawn, or real ones from a table; and tables of any length made of them."""

import itertools
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from examples.make_crops import draw_rows
from osnet_encoder.crops import decode_crop, encode_crop
from osnet_encoder.errors import TableError
from osnet_encoder.job import find_crop_column
from osnet_encoder.missing import is_missing
from osnet_encoder.patches import resize_into
from osnet_encoder.tables import cells, open_table

__all__ = ["VARIED", "crop_strings", "parse_size", "write_repeated"]

# The crops' own sizes, as they were drawn or packed.
VARIED = "varied"

_CROPS_OF_ONE_PERSON = 4
_ROWS_IN_A_BATCH = 64


def parse_size(size: str) -> tuple[int, int] | None:
    """Read a crop size.

    Parameters
    ----------
    size : str
        `HEIGHTxWIDTH` in pixels, or `varied`.

    Returns
    -------
    (height, width), or None for `varied`

    Raises
    ------
    ValueError
        Another text.
    """
    if size == VARIED:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size)
    if match is None:
        raise ValueError(f"crop size must be HEIGHTxWIDTH, as 256x128 is, or {VARIED}, found {size!r}")
    return int(match[1]), int(match[2])


@cache
def crop_strings(size: str, count: int, labels: str | None = None) -> tuple[str, ...]:
    """Make crop strings; the same ones are made once.

    Parameters
    ----------
    size : str
        As of `parse_size`.
    count : int
    labels : str, optional
        A table of crop strings, of which the first are taken; synthetic people are drawn if left out.

    Returns
    -------
    tuple of str
        As many as `count`.

    Raises
    ------
    TableError
        The table cannot be read or has too few crops.
    CropError
        One of its crops is broken.
    """
    wanted = parse_size(size)
    packed = _draw(count) if labels is None else _read(labels, count)
    if wanted is None:
        return packed
    resized = np.empty((*wanted, 3), np.uint8)
    strings = []
    for cell in packed:
        resize_into(decode_crop(cell), resized)
        strings.append(encode_crop(resized))
    return tuple(strings)


def write_repeated(path: Path, strings: Sequence[str], rows: int) -> None:
    """Write a Parquet table of crop strings, repeated until there are rows enough.

    Parameters
    ----------
    path : Path
    strings : sequence of str
    rows : int
        Row n holds `strings[n % len(strings)]` in its column `crop`, and n in `row`.
    """
    schema = pa.schema([("row", pa.int64()), ("crop", pa.string())])
    repeated = enumerate(itertools.islice(itertools.cycle(strings), rows))
    # Without a dictionary: it would store each crop once, and reading would be cheaper than of a real table.
    with parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        while batch := list(itertools.islice(repeated, _ROWS_IN_A_BATCH)):
            numbers, crops = zip(*batch, strict=True)
            writer.write_batch(pa.record_batch([pa.array(numbers), pa.array(crops)], schema=schema))


@cache
def _draw(count):
    people = -(-count // _CROPS_OF_ONE_PERSON)
    rows = draw_rows(people, _CROPS_OF_ONE_PERSON, missing=0)
    return tuple(encode_crop(row.crop) for row in itertools.islice(rows, count))


@cache
def _read(path, count):
    table = open_table(path)
    column = find_crop_column(table)
    found = (cell for batch in table.batches(_ROWS_IN_A_BATCH) for cell in cells(batch.column(column)))
    strings = tuple(itertools.islice((str(cell, "utf-8") for cell in found if not is_missing(cell)), count))
    if len(strings) < count:
        raise TableError(f"{path} has {len(strings)} crops in column {column!r}, wanted {count}")
    return strings
