"""`python -m benchmarks.precision`: what a lower precision costs, in cosine and in rank-1, on labelled crops."""

import logging

import click
import numpy as np
import pandas as pd

from osnet_encoder.engines import PRECISIONS, count_cpus
from osnet_encoder.errors import OsNetError, TableError
from osnet_encoder.features import unit_length
from osnet_encoder.tables import cells, open_table

from .cases import NAMED_ENGINES, USUAL_PRECISIONS, Absent, Case, Settings, cases, open_encoder, shown_name
from .crop_strings import VARIED
from .layout import render
from .machine import Busyness
from .results import describe_run, write

__all__ = ["main", "measure", "read_labelled", "retrieval"]

# What the others are compared with: exact, and there wherever this package is.
REFERENCE = Case("onnx", "fp32")


def measure(labelled: pd.DataFrame, settings: Settings, query: str = "1", gallery: str = "2") -> list[dict]:
    """Encode labelled crops in every case, and compare with fp32.

    Parameters
    ----------
    labelled : DataFrame
        As of `read_labelled`.
    settings : Settings
        Of which weights, engines, precisions, threads, device and batch size count.
    query, gallery : str
        The cameras whose crops are looked for, and looked among.

    Returns
    -------
    rows : list of dict
        One for each weights and case. Changes are against fp32.
    """
    rows: list[dict] = []
    identities, cameras = labelled["person_id"].to_numpy(), labelled["camera_id"].to_numpy()
    for weights in settings.weights:
        exact = unit_length(open_encoder(weights, REFERENCE, settings).encode(labelled["crop"]))
        exact_rank_1, exact_map = retrieval(exact, identities, cameras, query, gallery)
        for case in cases(settings):
            row: dict = {"weights": shown_name(weights), "size": VARIED, **case.as_dict()}
            try:
                encoder = open_encoder(weights, case, settings)
            except Absent as reason:
                rows.append({**row, "status": str(reason)})
                continue
            features = unit_length(encoder.encode(labelled["crop"]))
            cosines = np.einsum("nd,nd->n", features, exact, dtype=np.float64)
            rank_1, mean_average_precision = retrieval(features, identities, cameras, query, gallery)
            rows.append(
                {
                    **row,
                    "status": "measured",
                    "crops": len(labelled),
                    "lowest_cosine": float(cosines.min()),
                    "mean_cosine": float(cosines.mean()),
                    "rank_1": rank_1,
                    "rank_1_change": rank_1 - exact_rank_1,
                    "mean_average_precision": mean_average_precision,
                    "mean_average_precision_change": mean_average_precision - exact_map,
                }
            )
    return rows


def retrieval(
    features: np.ndarray, identities: np.ndarray, cameras: np.ndarray, query: str, gallery: str
) -> tuple[float, float]:
    """Look for the crops of one camera among those of another.

    Parameters
    ----------
    features : float32, (N, D)
        Of unit length.
    identities, cameras : object, (N,)
    query, gallery : str
        Two cameras.

    Returns
    -------
    rank_1, mean_average_precision : float
        0 to 1, over the queries whose person is in the gallery.

    Raises
    ------
    ValueError
        There is no such query.

    Notes
    -----
    Source: the protocol of Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015.
    """
    looked_for, looked_among = cameras == query, cameras == gallery
    similarity = features[looked_for] @ features[looked_among].T
    order = np.argsort(-similarity, axis=1, kind="stable")
    hits = identities[looked_among][order] == identities[looked_for][:, None]
    hits = hits[hits.any(axis=1)]
    if not len(hits):
        raise ValueError(f"nobody before camera {query!r} is also before camera {gallery!r}")
    precision_at = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    average = (precision_at * hits).sum(axis=1) / hits.sum(axis=1)
    return float(hits[:, 0].mean()), float(average.mean())


def read_labelled(path: str, limit: int | None = None) -> pd.DataFrame:
    """Read crops with their labels.

    Parameters
    ----------
    path : str
        A table with the columns crop, person_id and camera_id.
    limit : int, optional
        Rows to take from the start.

    Returns
    -------
    DataFrame
        Those three columns, as text; rows without a crop are left out.

    Raises
    ------
    TableError
        A column is not there, or the file is damaged.
    """
    table = open_table(path)
    wanted = ["crop", "person_id", "camera_id"]
    if absent := [name for name in wanted if name not in table.names]:
        raise TableError(f"{path} has no column {', '.join(absent)}; it has {', '.join(table.names)}")
    columns: dict[str, list] = {name: [] for name in wanted}
    for batch in table.batches(256, limit=limit):
        for name in wanted:
            columns[name] += [_text(cell) for cell in cells(batch.column(name))]
    return pd.DataFrame(columns).dropna(subset="crop").reset_index(drop=True)


def _text(cell):
    if cell is None or (isinstance(cell, memoryview) and not len(cell)):
        return None
    return str(cell, "utf-8") if isinstance(cell, memoryview) else str(cell)


@click.command(context_settings={"show_default": True})
@click.option("--labels", required=True, type=click.Path(), help="Table of crop, person_id and camera_id.")
@click.option("--weights", required=True, multiple=True, metavar="FILE|NAME", help="A checkpoint.")
@click.option(
    "--engine", "engines", multiple=True, type=click.Choice(NAMED_ENGINES), default=NAMED_ENGINES,
    help="What runs the network.",
)  # fmt: skip
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), default=USUAL_PRECISIONS,
    help="Of the arithmetic.",
)  # fmt: skip
@click.option("--query-camera", default="1", help="Whose crops are looked for.")
@click.option("--gallery-camera", default="2", help="Whose crops are looked among.")
@click.option("--limit", type=click.IntRange(1), metavar="ROWS", help="Take only so many rows.")
@click.option("--threads", type=click.IntRange(1), help="Processors.  [default: all that the process may use]")
@click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")
@click.option("--json", "target", type=click.Path(), required=True, help="Where the results go.")
def main(labels, weights, engines, precisions, query_camera, gallery_camera, limit, threads, device, target):
    """Measure what each precision costs: cosine to fp32, rank-1 and mAP from one camera to another."""
    logging.basicConfig(level="ERROR")
    try:
        labelled = read_labelled(labels, limit)
        settings = Settings(
            weights=weights, engines=engines, precisions=precisions, sizes=(VARIED,), crops=len(labelled),
            rounds=1, threads=threads or count_cpus(), device=device, labels=labels,
        )  # fmt: skip
        busy = Busyness()
        results = describe_run(settings)
        results["precision"] = measure(labelled, settings, query_camera, gallery_camera)
        results["others_share"] = busy.others_share()
        write(results, target)
    except (OsNetError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(render("precision", results["precision"]))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.precision")
