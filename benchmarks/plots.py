"""Results -> plots; matplotlib, the extra `plot`."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["PLOTS", "save_plot"]

# The steps that a crop of a table goes through, each once; what they do together is no bar of its own.
_STACKED = ("parse", "hex", "inflate", "resize", "forward", "write_list")
_COLORS = ("#4c78a8", "#72b7b2", "#54a24b", "#eeca3b", "#f58518", "#b279a2")
_HEIGHT_OF_A_BAR = 0.34  # inches


def save_plot(part: str, rows: list[dict], path: Path) -> bool:
    """Draw one part of the results as a PNG.

    Parameters
    ----------
    part : str
        One of `PLOTS`.
    rows : list of dict
        Of that part; those that were not measured are left out.
    path : Path
        Written to.

    Returns
    -------
    bool
        False where nothing was measured, and nothing is written.
    """
    measured = [row for row in rows if row["status"] == "measured"]
    if not measured:
        return False
    figure = Figure((9, 1.3 + _HEIGHT_OF_A_BAR * len(measured)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    PLOTS[part](axes, measured)
    axes.set_yticks(range(len(measured)), [_name(row) for row in measured])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Software": None})  # equal figures, equal files
    return True


def _column(axes: Axes, rows: list[dict]) -> None:
    _bars(
        axes,
        [row["crops_per_second"] for row in rows],
        [row["against_original"] for row in rows],
        "{:.1f}x",
        padding=6,
    )
    axes.set(title="A column in memory, crop strings to feature strings", xlabel="crops/s; times the original's")


def _table(axes: Axes, rows: list[dict]) -> None:
    _bars(
        axes,
        [row["crops_per_second"] for row in rows],
        [row["share_of_ceiling"] for row in rows],
        "{:.0%}",
        label_type="center",
        color="white",
    )
    ceilings = [row["ceiling_per_second"]["median"] for row in rows]
    axes.plot(ceilings, range(len(rows)), "|", color="black", markersize=16, label="ceiling")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set(title="A table on disk, Parquet to Parquet", xlabel="crops/s; share of the ceiling")


def _stages(axes: Axes, rows: list[dict]) -> None:
    left = [0.0] * len(rows)
    for stage, color in zip(_STACKED, _COLORS, strict=True):
        spent = [max(0.0, row["core_microseconds"][stage]["median"]) for row in rows]
        axes.barh(range(len(rows)), spent, left=left, color=color, label=stage.replace("_", " "))
        left = [sum(pair) for pair in zip(left, spent, strict=True)]
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    axes.set(title="What a crop costs, step by step", xlabel="core-microseconds a crop")


def _bars(axes, speeds, labels, form, **place):
    """Bars of the medians, whiskers from the lowest to the highest, and a number on or behind each."""
    middle = [speed["median"] for speed in speeds]
    whiskers = [
        [speed["median"] - speed["low"] for speed in speeds],
        [speed["high"] - speed["median"] for speed in speeds],
    ]
    bars = axes.barh(range(len(speeds)), middle, color=_COLORS[0], xerr=whiskers, ecolor="#666666")
    axes.bar_label(bars, [form.format(label["median"]) for label in labels], **place)
    axes.margins(x=0.12)


def _name(row):
    return f"{row['weights']}, {row['size']}, {row['engine']} {row['precision']}"


# Part -> what draws it.
PLOTS: dict[str, Callable[[Axes, list[dict]], None]] = {"column": _column, "table": _table, "stages": _stages}
