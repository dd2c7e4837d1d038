"""The pictures of a run, drawn from the files in its folder."""

import json
import logging

import numpy as np

from .plots import check_matplotlib, plot_cmc, plot_history, plot_roc
from .run_folder import RunFolder

__all__ = ["draw_run"]

_log = logging.getLogger(__name__)


def draw_run(run: RunFolder) -> None:
    """Draw losses and validation epoch by epoch, and the best epoch's CMC and ROC; a log line where nothing can.

    Parameters
    ----------
    run : RunFolder
        That has finished an epoch. Where it had no validation, there is only the history to draw.

    Raises
    ------
    TableError
        A file cannot be written.
    """
    try:
        check_matplotlib()
    except ValueError as error:
        _log.info("%s", error)
        return
    run.plots.mkdir(exist_ok=True)
    plot_history(run.read_history(), run.plots / "history.png")
    if not run.curves.is_file():
        return
    curves = json.loads(run.curves.read_text(encoding="utf-8"))
    plot_cmc({"validation": np.array(curves["cmc"])}, run.plots / "cmc.png")
    if curves["roc"]:
        plot_roc({"validation": np.array(curves["roc"])}, run.plots / "roc.png")
