"""Rows of results -> Markdown tables, wide enough to be read as they are."""

from collections.abc import Callable

__all__ = ["LAYOUTS", "render", "render_machine", "render_others"]


def render(part: str, rows: list[dict]) -> str:
    """Lay one part of the results out as a table.

    Parameters
    ----------
    part : str
        One of `results.PARTS`.
    rows : list of dict
        Of that part.

    Returns
    -------
    str
        Markdown. A case that could not be measured stands below the table, with the reason.
    """
    layout = LAYOUTS[part]
    measured = [row for row in rows if row.get("status", "measured") == "measured"]
    lines = _table([list(layout), *([cell(row) for cell in layout.values()] for row in measured)])
    absent = [row for row in rows if row.get("status", "measured") != "measured"]
    reasons = dict.fromkeys(f"- {row['engine']} {row['precision']}: {row['status']}" for row in absent)
    return "\n".join([*lines, *([""] if reasons else []), *reasons])


def render_machine(results: dict) -> str:
    """Say in Markdown what the figures were measured on.

    Parameters
    ----------
    results : dict

    Returns
    -------
    str
    """
    machine, settings = results["machine"], results["settings"]
    memory = "" if machine["memory_bytes"] is None else f", {machine['memory_bytes'] / 2**30:.0f} GiB"
    packages = ", ".join(f"{name} {version or 'absent'}" for name, version in machine["packages"].items())
    crops = "drawn" if settings["labels"] is None else "real"
    return (
        f"Measured {results['made_at'][:10]} with version {results['version']}: {machine['processor']}, "
        f"{machine['processors_used']} of {machine['processors']} processors{memory}, device {machine['device']}; "
        f"{machine['system']}, Python {machine['python']}; {packages}. {settings['crops']} {crops} crops, "
        f"{settings['rounds']} rounds."
    )


def render_others(share: float | None) -> str:
    """Say how quiet the machine was.

    Parameters
    ----------
    share : float or None
        What other programs took of all processors, 0 to 1; None where that is not known.

    Returns
    -------
    str
    """
    if share is None:
        return "What other programs took meanwhile is not known."
    verdict = "" if share < 0.05 else ", which is too much for these figures to mean anything"
    return f"Other programs took {share:.0%} of the processors meanwhile{verdict}."


def _table(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    return [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines]


def _spread(key, digits=0, factor=1, unit=""):
    """A cell with the median, and the lowest and highest behind it."""

    def cell(row):
        values = (factor * row[key][part] for part in ("median", "low", "high"))
        middle, low, high = (f"{value:.{digits}f}" for value in values)
        return f"{middle}{unit} ({low} to {high})"

    return cell


def _agreement(row):
    agreement = row["agreement"]
    found = "not comparable" if agreement["found"] is None else f"{agreement['found']:.1e} {agreement['measure']}"
    return found if agreement["holds"] else f"DIFFERS: {found}"


def _stage(stage):
    return lambda row: f"{row['core_microseconds'][stage]['median']:.1f}"


def _plain(key, form="{}"):
    return lambda row: form.format(row[key])


_CASE: dict[str, Callable[[dict], str]] = {
    "weights": _plain("weights"),
    "crops": _plain("size"),
    "engine": _plain("engine"),
    "precision": _plain("precision"),
}

# Part -> heading -> cell of a row.
LAYOUTS: dict[str, dict[str, Callable[[dict], str]]] = {
    "column": {
        **_CASE,
        "crops/s": _spread("crops_per_second", 1),
        "against original": _spread("against_original", 2, unit="x"),
        "against loader": _spread("against_loader", 2, unit="x"),
        "difference": _agreement,
    },
    "table": {
        **_CASE,
        "crops/s": _spread("crops_per_second", 1),
        "ceiling": _spread("ceiling_per_second", 1),
        "of the ceiling": _spread("share_of_ceiling", 1, 100, " %"),
        "forward alone": _spread("forward_per_second", 1),
        "decode, us": _spread("decode_microseconds"),
        "difference": _agreement,
    },
    "ceiling": {
        **_CASE,
        "ceiling": _spread("ceiling_per_second", 1),
        "forward alone": _spread("forward_per_second", 1),
        "decode, us": _spread("decode_microseconds"),
        "difference": _agreement,
    },
    "stages": {
        **_CASE,
        "parse": _stage("parse"),
        "hex": _stage("hex"),
        "inflate": _stage("inflate"),
        "resize": _stage("resize"),
        "decode": _stage("decode"),
        "decode / (hex + inflate)": _spread("decode_over_hex_and_inflate", 2),
        "forward": _stage("forward"),
        "write list": _stage("write_list"),
        "write zlib-hex": _stage("write_zlib_hex"),
        "difference": _agreement,
    },
    "memory": {
        **_CASE,
        "rows": _plain("rows", "{:,}"),
        "peak, MB": lambda row: f"{row['peak_bytes'] / 1e6:.0f}",
        "against the first": _plain("against_first", "{:.3f}x"),
        "seconds": _plain("seconds", "{:.1f}"),
        "difference": _agreement,
    },
    "startup": {
        "what": _plain("what"),
        "ms": _spread("seconds", 0, 1000),
        "torch loaded": lambda row: {None: "", True: "yes", False: "no"}[row["torch_loaded"]],
    },
    "precision": {
        **_CASE,
        "lowest cosine": _plain("lowest_cosine", "{:.6f}"),
        "mean cosine": _plain("mean_cosine", "{:.6f}"),
        "rank-1": lambda row: f"{100 * row['rank_1']:.2f} %",
        "rank-1 change, points": lambda row: f"{100 * row['rank_1_change']:+.2f}",
        "mAP": lambda row: f"{100 * row['mean_average_precision']:.2f} %",
        "mAP change, points": lambda row: f"{100 * row['mean_average_precision_change']:+.2f}",
    },
    "train": {
        "variant": _plain("weights"),
        "patches": _plain("size"),
        "batch": _plain("batch_size"),
        "images/s": _spread("images_per_second", 1),
        "plain loop": _spread("plain_per_second", 1),
        "against plain loop": _spread("against_plain", 2, unit="x"),
        "difference": _agreement,
    },
}
