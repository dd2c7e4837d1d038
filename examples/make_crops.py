"""Draw a table of synthetic people crops, so that nothing needs downloading.

    python examples/make_crops.py people.csv
    python examples/make_crops.py people.parquet --identities 200 --crops 8 --cameras 4 --seed 7
    python examples/make_crops.py --images people/ --identities 1000 --missing 0

Crop k of identity i depends on the seed, on i, on k and on its camera, never on the other rows: a larger table
begins with the same people, and training can draw any crop on its own with `draw_nth_crop`.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":  # run as a file: the packages of this checkout are found from anywhere
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click
import numpy as np
from PIL import Image
from tqdm import tqdm

from examples.drawing import Camera, Person, draw_crop, random_camera, random_person
from examples.rows import open_rows
from osnet_encoder.crops import encode_crop
from osnet_encoder.errors import OsNetError, TableError

__all__ = [
    "Row",
    "draw_crop",
    "draw_nth_crop",
    "draw_rows",
    "main",
    "nth_camera",
    "nth_person",
    "random_camera",
    "random_person",
    "write_images",
    "write_table",
]

PEOPLE, CAMERAS, CROPS, ROWS, WAYS = range(5)  # streams of chance that never meet
START, FRAMES_A_SECOND, FRAMES_A_DAY = datetime(2024, 5, 6, 8), 25, 25 * 12 * 3600
COLUMNS = {
    "crop_id": "string",
    "person_id": "string",
    "camera_id": "int64",
    "frame": "int64",
    "timestamp": "timestamp[ms]",
    "crop": "string",
}


class Row(NamedTuple):
    """One row before its crop is encoded; `crop` is uint8 (H, W, 3), RGB, or None where it is missing."""

    crop_id: str
    person_id: str
    camera_id: int
    frame: int
    timestamp: datetime
    crop: np.ndarray | None


@lru_cache(maxsize=4096)
def nth_person(seed: int, identity: int, plain: float = 0.0) -> Person:
    """The person that an identity, counted from 0, is under a seed; `plain` is that of `random_person`."""
    return random_person(np.random.default_rng([seed, PEOPLE, identity]), plain)


@lru_cache(maxsize=256)
def nth_camera(seed: int, camera: int, spread: float = 1.0) -> Camera:
    """The camera that a number, counted from 0, is under a seed; `spread` is that of `random_camera`."""
    return random_camera(np.random.default_rng([seed, CAMERAS, camera]), spread)


def draw_nth_crop(
    seed: int, identity: int, crop: int, camera: int, plain: float = 0.0, spread: float = 1.0
) -> np.ndarray:
    """Draw one crop, whatever else is drawn.

    Parameters
    ----------
    seed, identity, crop, camera : int
        0 or more.
    plain : float
        As of `random_person`.
    spread : float
        As of `random_camera`.

    Returns
    -------
    crop : uint8, (H, W, 3)
        RGB.
    """
    rng = np.random.default_rng([seed, CROPS, identity, crop, camera])
    return draw_crop(nth_person(seed, identity, plain), nth_camera(seed, camera, spread), rng)


def draw_rows(
    identities: int = 20,
    crops: int = 4,
    cameras: int = 2,
    seed: int = 0,
    missing: float = 0.05,
    plain: float = 0.0,
    spread: float = 1.0,
) -> Iterator[Row]:
    """Draw the rows of a table, one at a time.

    Parameters
    ----------
    identities : int
    crops : int
        Of each identity; dealt to the cameras in turn. Where there are more cameras than that, each identity
        passes some of its own.
    cameras : int
    seed : int
    missing : float
        Share of rows without a crop, 0 to 1.
    plain : float
        Share of people in plain clothes, 0 to 1; see `random_person`.
    spread : float
        How far cameras lie apart in brightness and colour; see `random_camera`.

    Yields
    ------
    row : Row
    """
    for identity in range(identities):
        passed = _passed_cameras(seed, identity, crops, cameras)
        for crop in range(crops):
            camera = passed[crop % len(passed)]
            rng = np.random.default_rng([seed, ROWS, identity, crop])
            person_id, frame = f"{identity + 1:04d}", int(rng.integers(FRAMES_A_DAY))
            pixels = None if rng.random() < missing else draw_nth_crop(seed, identity, crop, camera, plain, spread)
            time = START + timedelta(milliseconds=frame * 1000 // FRAMES_A_SECOND)
            yield Row(f"{person_id}_c{camera + 1}_{crop:02d}", person_id, camera + 1, frame, time, pixels)


def _passed_cameras(seed, identity, crops, cameras):
    """All cameras, if there are crops for all; else as many as there are crops, drawn for this identity."""
    if cameras <= crops:
        return range(cameras)
    rng = np.random.default_rng([seed, WAYS, identity])
    return rng.choice(cameras, crops, replace=False).tolist()


def write_table(path: str | Path, rows: Iterable[Row]) -> tuple[int, int]:
    """Write rows as a table with crop strings.

    Parameters
    ----------
    path : str or Path
        Ends in `.csv` or `.parquet`.
    rows : iterable of Row

    Returns
    -------
    written, missing : int
        Rows in the table, and how many of them have no crop.

    Raises
    ------
    TableError
        The suffix is another, or the file cannot be written there.
    """
    written = missing = 0
    with open_rows(path, COLUMNS) as write:
        for row in rows:
            write((*row[:-1], None if row.crop is None else encode_crop(row.crop)))
            written, missing = written + 1, missing + (row.crop is None)
    return written, missing


def write_images(folder: str | Path, rows: Iterable[Row]) -> tuple[int, int]:
    """Write rows as JPEG files and a `labels.csv` of `img_path,person_id,camera_id`; missing crops are left out.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there; empty if it is.
    rows : iterable of Row

    Returns
    -------
    written, missing : int
        Files, and rows without a crop.

    Raises
    ------
    TableError
        The folder is not empty, or cannot be written to.
    """
    folder = Path(folder)
    pictures = folder / "crops"
    try:
        if folder.exists() and any(folder.iterdir()):
            raise TableError(f"{folder} is not empty, wanted a new or an empty folder")
        pictures.mkdir(parents=True)
    except OSError as error:
        raise TableError(f"cannot write images to {folder}: {error.strerror}") from error
    written = missing = 0
    with open_rows(
        folder / "labels.csv", dict.fromkeys(("img_path", "person_id", "camera_id"), "string")
    ) as write:
        for row in rows:
            if row.crop is None:
                missing += 1
                continue
            name = f"{row.crop_id}.jpg"
            Image.fromarray(row.crop).save(pictures / name, quality=92)
            write((f"crops/{name}", row.person_id, row.camera_id))
            written += 1
    return written, missing


@click.command(context_settings={"show_default": True})
@click.argument("output", type=click.Path(), required=False)
@click.option(
    "--images", metavar="FOLDER", type=click.Path(), help="Write JPEG files and labels.csv here instead."
)
@click.option("--identities", default=20, type=click.IntRange(1), help="How many people.")
@click.option("--crops", default=4, type=click.IntRange(1), help="Crops of each, dealt to the cameras in turn.")
@click.option("--cameras", default=2, type=click.IntRange(1), help="How many cameras.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Chooses people, cameras and all the rest.")
@click.option("--missing", default=0.05, type=click.FloatRange(0, 1), help="Share of rows without a crop.")
@click.option("--plain", default=0.0, type=click.FloatRange(0, 1), help="Share of people in plain, dark clothes.")
@click.option(
    "--spread", default=1.0, type=click.FloatRange(0, 2), help="How far cameras differ in brightness and colour."
)
def main(output, images, identities, crops, cameras, seed, missing, plain, spread):
    """Draw synthetic people crops into OUTPUT, a table that ends in .csv or .parquet.

    The table's columns are crop_id, person_id, camera_id, frame, timestamp and crop, a crop string. Equal options
    give equal tables.
    """
    if (output is None) == (images is None):
        raise click.UsageError("give either OUTPUT or --images FOLDER")
    rows = draw_rows(identities, crops, cameras, seed, missing, plain, spread)
    rows = tqdm(rows, total=identities * crops, unit="crop", disable=None)
    try:
        written, absent = write_table(output, rows) if images is None else write_images(images, rows)
    except (OsNetError, OSError) as error:
        raise click.ClickException(str(error)) from error
    what = "rows" if images is None else "images"
    click.echo(
        f"{output or images}: {written} {what}, {absent} missing crops, {identities} people, {cameras} cameras"
    )


if __name__ == "__main__":
    main()
