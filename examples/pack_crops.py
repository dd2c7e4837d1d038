"""Pack the images that a labels table names into a column of crop strings.

    python examples/pack_crops.py labels.csv people.csv
    python examples/pack_crops.py labels.csv people.parquet --root images/ --limit 1000

The table has a column `img_path`; every column is kept, as text, and the crop strings are one more.
"""

import csv
import itertools
import sys
from pathlib import Path

if __name__ == "__main__":  # run as a file: the packages of this checkout are found from anywhere
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

from examples.rows import open_rows
from osnet_encoder.crops import encode_crop
from osnet_encoder.errors import CropError, OsNetError, TableError
from osnet_encoder.images import read_image

__all__ = ["main", "pack_crops"]

IMAGE_COLUMN = "img_path"


def pack_crops(
    labels: str | Path,
    output: str | Path,
    root: str | Path | None = None,
    limit: int | None = None,
    column: str = "crop",
) -> tuple[int, int]:
    """Write a labels table again, with the pixels of its images in it; one row at a time.

    Parameters
    ----------
    labels : str or Path
        CSV in UTF-8 with a column `img_path`. A row without a path gets no crop.
    output : str or Path
        Ends in `.csv` or `.parquet`; there when it is whole.
    root : str or Path, optional
        What the paths are relative to; the folder of `labels` if left out.
    limit : int, optional
        Stop after so many rows.
    column : str
        Name of the new column.

    Returns
    -------
    written, missing : int
        Rows in the table, and how many of them have no crop.

    Raises
    ------
    TableError
        The table has no such column, already has the new one, is damaged, or the output cannot be written.
    CropError
        An image is not there or cannot be decoded; with its row, counted from 0.
    """
    labels = Path(labels)
    root = labels.parent if root is None else root
    rows = _read_rows(labels)
    header = next(rows)
    if IMAGE_COLUMN not in header:
        raise TableError(f"{labels} has no column {IMAGE_COLUMN!r}, found {', '.join(header) or 'nothing'}")
    if column in header:
        raise TableError(f"{labels} already has a column {column!r}, wanted another name for the crops")
    at = header.index(IMAGE_COLUMN)
    written = missing = 0
    with open_rows(output, dict.fromkeys([*header, column], "string")) as write:
        for row in itertools.islice(rows, limit):
            cell = _pack(row[at], root, written) if row[at] else None
            write([*(value or None for value in row), cell])
            written, missing = written + 1, missing + (cell is None)
    return written, missing


def _read_rows(path):
    """The header, then the rows, each as long as the header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if len(set(header)) < len(header):
                raise TableError(f"{path} has two columns of one name: {', '.join(header)}")
            yield header
            for row in reader:
                if len(row) not in (0, len(header)):
                    raise TableError(
                        f"{path}, line {reader.line_num}: found {len(row)} cells, wanted {len(header)}"
                    )
                if row:  # an empty line is no row
                    yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"cannot read {path}: {error}") from error


def _pack(name, root, row):
    try:
        return encode_crop(read_image(name, root))
    except CropError as error:
        detail = error.detail if name in error.detail else f"{name}: {error.detail}"
        raise CropError(error.reason, detail, row) from error


@click.command(context_settings={"show_default": True})
@click.argument("labels", type=click.Path())
@click.argument("output", type=click.Path())
@click.option("--root", type=click.Path(), help="What the paths are relative to.  [default: the folder of LABELS]")
@click.option("--limit", type=click.IntRange(1), help="Stop after so many rows.")
@click.option("--column", default="crop", help="Name of the new column.")
def main(labels, output, root, limit, column):
    """Write LABELS.csv again as OUTPUT (.csv or .parquet), with the images that it names as crop strings.

    An image that cannot be read ends the run with its row and path, and nothing is written.
    """
    try:
        written, missing = pack_crops(labels, output, root, limit, column)
    except (OsNetError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {written} rows, {missing} missing crops")


if __name__ == "__main__":
    main()
