"""Curves of training and evaluation -> PNG files; matplotlib, the extra `plot`, is loaded when they are drawn."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..tables import check_target, put_bytes
from ..tables.faults import write_errors
from .evaluation import Evaluation

__all__ = ["check_matplotlib", "plot_cmc", "plot_evaluations", "plot_history", "plot_roc"]

_COLORS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#eeca3b", "#72b7b2")

# From so many epochs on a curve needs no dots to be seen.
_MANY = 30

# Columns of a run's history, panel by panel, and what they are called there.
_PANELS = {
    "loss": {"loss": "total", "classification": "classification", "metric": "metric"},
    "on identities never trained on": {"mAP": "mAP", "rank1": "rank-1", "mINP": "mINP", "eer": "EER"},
}


def check_matplotlib() -> None:
    """Make sure that something can be drawn, before any work is done.

    Raises
    ------
    ValueError
        matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise ValueError("plots want matplotlib: pip install 'osnet-encoder[plot]'") from error


def plot_cmc(curves: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Draw how often a query's person is among the first k.

    Parameters
    ----------
    curves : mapping of str to float64, (K,)
        By name, as of `metrics.Retrieval.cmc`.
    path : str or Path
        A PNG file.

    Raises
    ------
    ValueError
        matplotlib is not installed.
    TableError
        The file cannot be written.
    """
    figure, (axes,) = _figure(1)
    for color, (name, cmc) in zip(_colors(len(curves)), curves.items(), strict=True):
        _draw(axes, range(1, len(cmc) + 1), cmc, f"{name} (rank-1 {_percent(cmc[0])})", color=color)
    axes.set(xlabel="rank", ylabel="queries with a match up to it", ylim=(0, 1.02))
    _save(figure, path)


def plot_roc(curves: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Draw how many genuine pairs are accepted where so many impostor ones are.

    Parameters
    ----------
    curves : mapping of str to float64, (P, 2)
        By name, as of `verification.roc`.
    path : str or Path
        A PNG file.

    Raises
    ------
    ValueError, TableError
        As of `plot_cmc`.
    """
    figure, (axes,) = _figure(1)
    for color, (name, curve) in zip(_colors(len(curves)), curves.items(), strict=True):
        _draw(axes, curve[:, 0], curve[:, 1], name, color=color)
    axes.set(xlabel="false accept rate", ylabel="true accept rate", xscale="log", ylim=(0, 1.02))
    _save(figure, path)


def plot_evaluations(evaluations: Mapping[str, Evaluation], folder: str | Path) -> None:
    """Draw evaluations side by side, as `cmc.png` and `roc.png`.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By table; of a path the file's name is shown.
    folder : str or Path
        Made where it is not there.

    Raises
    ------
    ValueError, TableError
        As of `plot_cmc`.
    """
    folder = Path(folder)
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    names = [Path(table).name for table in evaluations]
    if len(set(names)) < len(names):
        names = list(evaluations)
    found = dict(zip(names, evaluations.values(), strict=True))
    plot_cmc({name: one.cmc for name, one in found.items()}, folder / "cmc.png")
    plot_roc({name: one.roc for name, one in found.items()}, folder / "roc.png")


def plot_history(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw what became of a run, epoch by epoch: its losses, and what validation found.

    Parameters
    ----------
    rows : sequence of mapping
        A run's history: `epoch`, and whichever there are of `loss`, `classification`, `metric`, `mAP`, `rank1`,
        `mINP` and `eer`; None, empty or NaN in epochs without.
    path : str or Path
        A PNG file.

    Raises
    ------
    ValueError, TableError
        As of `plot_cmc`.
    """
    found = {}
    for title, columns in _PANELS.items():
        curves = {label: points for name, label in columns.items() if (points := _points(rows, name))}
        if curves:
            found[title] = curves
    figure, panels = _figure(max(1, len(found)))
    for axes, (title, curves) in zip(panels, found.items(), strict=False):
        for color, (label, points) in zip(_colors(len(curves)), curves.items(), strict=True):
            marker = "." if len(points) < _MANY else None
            epochs, values = zip(*points, strict=True)
            _draw(axes, epochs, values, label, color=color, marker=marker)
        axes.set_title(title, fontsize="medium")
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel("epoch")
    _save(figure, path)


def _points(rows, name):
    """(epoch, value), where there is a value."""
    cells = [(row["epoch"], row.get(name)) for row in rows]
    found = [(int(epoch), float(cell)) for epoch, cell in cells if cell not in (None, "")]
    return [(epoch, value) for epoch, value in found if math.isfinite(value)]


def _figure(panels):
    """An empty figure, and so many axes one above the other."""
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure((7, 1.2 + 3.2 * panels), dpi=120, layout="constrained")
    axes = list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])
    for one in axes:
        one.grid(color="#dddddd", linewidth=0.6)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _draw(axes, across, up, name, **style):
    """One curve. Its name may be a file's: what matplotlib reads into `_` and `$` is kept away from it."""
    axes.plot(across, up, gid=name, **style)


def _save(figure, path):
    for axes in figure.axes:
        legend = axes.legend(axes.lines, ["" for _ in axes.lines], frameon=False, fontsize="small")
        for text, line in zip(legend.get_texts(), axes.lines, strict=True):
            text.set_parse_math(False)
            text.set_text(line.get_gid())
    data = io.BytesIO()
    figure.savefig(data, format="png")
    put_bytes(check_target(path), data.getvalue())


def _colors(count):
    return [_COLORS[number % len(_COLORS)] for number in range(count)]


def _percent(fraction):
    return "unknown" if math.isnan(fraction) else f"{100 * fraction:.1f}%"
