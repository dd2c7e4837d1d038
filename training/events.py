"""TensorBoard events of a run, where they are asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["events"]

# The tags under which TensorBoard draws its curves, and the columns of the history behind them.
_TAGS = {
    "loss/total": "loss",
    "loss/classification": "classification",
    "loss/metric": "metric",
    "rate/head": "lr",
    "rate/backbone": "backbone_lr",
    "validation/rank1": "rank1",
    "validation/mAP": "mAP",
    "validation/mINP": "mINP",
}


@contextmanager
def events(folder: Path, wanted: bool, epoch: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Open a writer of events.

    Parameters
    ----------
    folder : Path
    wanted : bool
        If not, nothing is written or even imported.
    epoch : int
        Epochs finished; what an interrupted run wrote of later ones no longer counts.

    Yields
    ------
    callable
        Takes a row of the history.

    Raises
    ------
    ValueError
        TensorBoard is not installed.
    """
    if not wanted:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("events want TensorBoard: pip install 'osnet-encoder[train]'") from error

    def write(row):
        for tag, column in _TAGS.items():
            if row[column] is not None:
                writer.add_scalar(tag, row[column], row["epoch"])
        writer.flush()

    with SummaryWriter(folder, purge_step=epoch + 1) as writer:
        yield write
