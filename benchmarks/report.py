"""`python -m benchmarks.report RESULTS.json ...`: put measured figures and plots into docs/performance.md."""

import re
from pathlib import Path

import click

from .layout import render, render_machine, render_others
from .results import PARTS, merge, read

__all__ = ["fill", "main"]

# `table` has the ceiling within.
SHOWN = tuple(part for part in PARTS if part != "ceiling")

# How quiet the machine was is no matter to memory, nor to how alike features are.
TIMED = tuple(part for part in SHOWN if part not in ("memory", "precision"))

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def fill(page: str, figures: dict[str, str]) -> str:
    """Put figures between the page's marks.

    Parameters
    ----------
    page : str
        Markdown with `<!-- figures: NAME -->` before and `<!-- end of NAME -->` behind each place.
    figures : dict of str to str
        Name -> Markdown. A place that is not among them stays as it is.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The page has no place of that name, or more than one.
    """
    for name, text in figures.items():
        places = re.findall(rf"<!-- figures: {name} -->\n.*?<!-- end of {name} -->", page, re.DOTALL)
        if len(places) != 1:
            raise ValueError(f"wanted one place for the figures of {name!r}, found {len(places)}")
        page = page.replace(places[0], f"<!-- figures: {name} -->\n\n{text}\n\n<!-- end of {name} -->")
    return page


def _figures(results, page):
    """Name -> Markdown; plots are saved beside the page."""
    from .plots import PLOTS, save_plot  # loads matplotlib

    figures = {"machine": render_machine(results)}
    for part in SHOWN:
        if not results.get(part):
            continue
        figures[part] = render(part, results[part])
        plot = page.with_name(f"{page.stem}_{part}.png")
        if part in PLOTS and save_plot(part, results[part], plot):
            figures[part] += f"\n\n![{part}]({plot.name})"
        if part in TIMED:
            figures[part] += f"\n\n{render_others(results['others_share'][part])}"
    return figures


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path())
@click.option(
    "--page", type=click.Path(path_type=Path), default=PAGE, help="Another page than docs/performance.md."
)
def main(results, page):
    """Put the figures of RESULTS into docs/performance.md, and plots beside it.

    Several results of one machine are put together. What they lack stays on the page as it is.
    """
    try:
        merged = merge(map(read, results))
        text = page.read_text(encoding="utf-8")
        page.write_text(fill(text, _figures(merged, page)), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        raise click.ClickException(f'{error.name} is not installed: pip install "osnet-encoder[plot]"') from error
    click.echo(f"{page}: {', '.join(part for part in SHOWN if merged.get(part))}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.report")
