"""`python -m benchmarks.draws`: how often weights find the right person, among all and among a few at random."""

import logging
from pathlib import Path

import click
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from osnet_encoder.crops import decode_crop
from osnet_encoder.encoder import OsNetEncoder
from osnet_encoder.errors import OsNetError
from osnet_encoder.features import unit_length

from .precision import read_labelled, retrieval

__all__ = ["HISTOGRAMS", "draw_people", "main", "measure", "striped_histograms"]

# Stand among the weights; whether roots are taken of the shares, so that rare colours count for more.
HISTOGRAMS = {"histogram": False, "root-histogram": True}
STRIPES, BINS = 6, 8  # of a crop from head to foot; of each of red, green and blue


def striped_histograms(crops: pd.Series, roots: bool = False, size: tuple[int, int] = (128, 64)) -> np.ndarray:
    """Count the colours of each crop, stripe by stripe: what can be told without any network.

    Parameters
    ----------
    crops : Series of str
        Crop strings.
    roots : bool
        Take square roots, by which the cosine becomes Bhattacharyya's coefficient.
    size : tuple of 2 ints
        Height and width that each crop is brought to before.

    Returns
    -------
    features : float32, (N, 3072)
        Of unit length.
    """
    features = np.empty((len(crops), STRIPES * BINS**3), np.float32)
    for row, cell in enumerate(crops):
        picture = Image.fromarray(decode_crop(cell)).resize(size[::-1], Image.Resampling.BILINEAR)
        levels = np.asarray(picture, np.int64) * BINS // 256
        bins = (levels[..., 0] * BINS + levels[..., 1]) * BINS + levels[..., 2]
        stripes = np.array_split(bins, STRIPES)
        features[row] = np.concatenate([np.bincount(one.ravel(), minlength=BINS**3) / one.size for one in stripes])
    return unit_length(np.sqrt(features) if roots else features)


def draw_people(
    identities: np.ndarray, cameras: np.ndarray, query: str, gallery: str, people: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose some of those who are before both cameras.

    Parameters
    ----------
    identities, cameras : object, (N,)
    query, gallery : str
        Two cameras.
    people : int
        How many.
    seed : int

    Returns
    -------
    all_rows : int64, (M,)
        Every crop of theirs.
    two_rows : int64, (2 * people,)
        One of each before either camera.

    Raises
    ------
    ValueError
        Not so many are before both cameras.
    """
    both = np.intersect1d(identities[cameras == query], identities[cameras == gallery])
    if len(both) < people:
        raise ValueError(f"{len(both)} people are before both cameras, wanted {people}")
    rng = np.random.default_rng(seed)
    chosen = rng.choice(both, people, replace=False)
    two = [
        rng.choice(np.flatnonzero((identities == one) & (cameras == camera)))
        for one in chosen
        for camera in (query, gallery)
    ]
    return np.flatnonzero(np.isin(identities, chosen)), np.array(two)


def measure(
    labelled: pd.DataFrame,
    weights: tuple[str, ...],
    people: int = 50,
    draws: int = 20,
    query: str = "1",
    gallery: str = "2",
) -> list[dict]:
    """Look for the crops of one camera among those of the other.

    Parameters
    ----------
    labelled : DataFrame
        As of `precision.read_labelled`.
    weights : tuple of str
        What `OsNetEncoder` takes, or one of `HISTOGRAMS`.
    people, draws : int
        How many people are drawn, and how often; draw k has the seed k.
    query, gallery : str
        Two cameras.

    Returns
    -------
    rows : list of dict
        For each of `weights` rank-1 and mAP, 0 to 1: of everybody, and on average over the draws, once with all
        crops of those drawn and once with one before each camera.

    Raises
    ------
    OsNetError
        Weights cannot be opened, or a crop cannot be decoded.
    ValueError
        Too few people are before both cameras.
    """
    identities, cameras = labelled["person_id"].to_numpy(), labelled["camera_id"].to_numpy()
    chosen = [draw_people(identities, cameras, query, gallery, people, seed) for seed in range(draws)]
    table = []
    for name in tqdm(weights, unit="weights", disable=None):
        features = _features(labelled["crop"], name)
        every = np.arange(len(features))
        found = {
            "everybody": [every],
            "drawn": [all_rows for all_rows, _ in chosen],
            "drawn, two crops": [two_rows for _, two_rows in chosen],
        }
        row: dict = {"weights": Path(name).name}
        for what, groups in found.items():
            shares = [retrieval(features[g], identities[g], cameras[g], query, gallery) for g in groups]
            row[f"{what}: rank-1"], row[f"{what}: mAP"] = np.mean(shares, axis=0).tolist()
        table.append(row)
    return table


def _features(crops, name):
    if name in HISTOGRAMS:
        return striped_histograms(crops, HISTOGRAMS[name])
    return unit_length(OsNetEncoder(name, on_error="raise").encode(crops))


@click.command(context_settings={"show_default": True})
@click.option("--labels", required=True, type=click.Path(), help="Table of crop, person_id and camera_id.")
@click.option(
    "--weights",
    required=True,
    multiple=True,
    metavar="FILE|NAME",
    help=f"A checkpoint, {' or '.join(HISTOGRAMS)}.",
)
@click.option("--people", default=50, type=click.IntRange(2), help="How many people are drawn.")
@click.option("--draws", default=20, type=click.IntRange(1), help="How often; draw k has the seed k.")
@click.option("--query-camera", default="1", help="Whose crops are looked for.")
@click.option("--gallery-camera", default="2", help="Whose crops are looked among.")
def main(labels, weights, people, draws, query_camera, gallery_camera):
    """Measure rank-1 and mAP from one camera to another: of everybody, and of people drawn at random."""
    logging.basicConfig(level="ERROR")
    try:
        table = measure(read_labelled(labels), weights, people, draws, query_camera, gallery_camera)
    except (OsNetError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"| {' | '.join(table[0])} |\n|{'---|' * len(table[0])}")
    for row in table:
        click.echo(
            f"| {' | '.join(f'{cell:.4f}' if isinstance(cell, float) else cell for cell in row.values())} |"
        )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.draws")
