"""The crops that labels are about: their cells, read in order, and decoded in threads."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ..crops import LIMITS, Limits, decode_crop
from ..engines import count_cpus
from ..errors import CropError
from ..images import decode_image, read_image
from ..missing import is_missing
from ..pipeline import ordered_map
from ..tables import cells, open_table
from .labels import Labels, Source, select

__all__ = ["Progress", "cell_decoder", "decode_cells", "iter_cells"]

Progress = Callable[[int, int], None]
"""Called now and then with (crops done, crops in all)."""

# So few that what is under way is small, so many that threads are worth it.
_BATCH = 32


def iter_cells(labels: Labels, rows: np.ndarray | None = None) -> Iterator[Any]:
    """Read the cells that hold the crops.

    Parameters
    ----------
    labels : Labels
    rows : bool, (N,), or int64, (M,), optional
        Which of them, as of `select`; all if left out.

    Yields
    ------
    cell : str, memoryview or None
        In the labels' order. Of image files, the path from the root of their source on.

    Raises
    ------
    TableError
        A table is damaged, or has changed since its labels were read.
    """
    for source, _, batch in _cell_batches(labels if rows is None else select(labels, rows)):
        for cell in batch:
            yield str(source.root / cell) if source.cells == "path" else cell


def cell_decoder(source: Source, limits: Limits = LIMITS) -> Callable[[Any], np.ndarray]:
    """What turns a cell of a source into a crop.

    Parameters
    ----------
    source : Source
    limits : Limits

    Returns
    -------
    decode : callable
        Of a cell; gives uint8, (H, W, 3), or raises `CropError`.
    """
    if source.cells == "path":
        return partial(read_image, root=source.root, limits=limits)
    return partial({"crop": decode_crop, "image": decode_image}[source.cells], limits=limits)


def decode_cells(
    labels: Labels,
    use: Callable[[int, np.ndarray], None],
    *,
    threads: int | None = None,
    limits: Limits = LIMITS,
    progress: Progress | None = None,
) -> list[tuple[int, str]]:
    """Decode every crop, and say what is wrong with those that cannot be.

    Parameters
    ----------
    labels : Labels
    use : callable
        `use(position, crop)`, called in several threads at once; the crop is uint8, (H, W, 3).
    threads : int, optional
        All processors that the process may use if left out.
    limits : Limits
    progress : callable, optional

    Returns
    -------
    faults : list of (int, str)
        Position in the labels, and what is wrong; in order.

    Raises
    ------
    TableError
        A table is damaged, or has changed since its labels were read.
    """

    def decode(job):
        source, first, batch = job
        decode_one = cell_decoder(source, limits)
        faults = []
        for position, cell in enumerate(batch, first):
            if is_missing(cell):
                faults.append((position, "no crop"))
                continue
            try:
                crop = decode_one(cell)
            except CropError as error:
                faults.append((position, f"{cell!r}: {error}" if source.cells == "path" else str(error)))
                continue
            use(position, crop)
        return first + len(batch), faults

    threads = threads or count_cpus()
    found: list[tuple[int, str]] = []
    for done, faults in ordered_map(decode, _cell_batches(labels), threads, 2 * threads):
        found += faults
        if progress is not None:
            progress(done, len(labels))
    return found


def _cell_batches(labels):
    """Source, position of the first, and cells, batch after batch; no batch has two sources."""
    for number, source in enumerate(labels.sources):
        first, end = np.searchsorted(labels.source, [number, number + 1]).tolist()
        if source.cells == "path":
            for start in range(first, end, _BATCH):
                yield source, start, labels.paths.slice(start, min(_BATCH, end - start)).to_pylist()
        elif first < end:
            yield from _table_batches(source, labels.row[first:end], first)


def _table_batches(source, rows, first):
    """The cells of some rows, rising, of a table that is read once and in order."""
    source.check_unchanged()
    taken = start = 0
    for batch in open_table(source.name).batches(_BATCH, limit=int(rows[-1]) + 1):
        end = int(np.searchsorted(rows, start + len(batch)))
        wanted = rows[taken:end] - start
        if len(wanted):
            column = cells(batch.column(source.column))
            yield source, first + taken, [column[row] for row in wanted]
        taken, start = end, start + len(batch)
    source.check_unchanged()
