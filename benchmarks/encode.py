"""`python -m benchmarks.encode`: time the encoder, check what it gives, print tables, write JSON."""

import importlib
import logging
import sys

import click

from osnet_encoder.engines import PRECISIONS, count_cpus
from osnet_encoder.errors import OsNetError
from osnet_encoder.variants import VARIANTS
from osnet_encoder.weights import UNTRAINED

from .agreement import Disagreement
from .cases import NAMED_ENGINES, USUAL_PRECISIONS, Settings
from .crop_strings import parse_size
from .layout import render, render_others
from .machine import Busyness
from .processes import ProcessFailed
from .results import PARTS, describe_run, disagreements, write

__all__ = ["main", "run"]

# Measured once for each weights and crop size; the other parts once for all.
OF_A_SUBJECT = ("column", "table", "ceiling", "stages")
OF_A_PROCESS = ("memory", "startup")
# The ceiling is within `table`, and memory wants minutes: both only when asked for.
USUAL = ("column", "table", "stages", "startup")


def run(settings: Settings, parts: tuple[str, ...], say=lambda text: None) -> dict:
    """Measure.

    Parameters
    ----------
    settings : Settings
    parts : tuple of str
        Of `results.PARTS`, without `precision`.
    say : callable
        Told what is being measured.

    Returns
    -------
    results : dict
        As README.md describes.

    Raises
    ------
    OsNetError
        The weights or the crops are not there, or not fit.
    Disagreement
        A step gave another answer than before.
    ProcessFailed
        A command that is measured failed.
    """
    from .subject import load_osnet, open_subject  # loads torch

    for name in settings.weights:
        load_osnet(name)  # what does not fit is said before an hour has been spent on the others
    busy = Busyness()
    results = describe_run(settings)
    for part in parts:
        results[part] = []
    asked = [part for part in OF_A_SUBJECT if part in parts]
    subjects = [(name, size) for name in settings.weights for size in settings.sizes] if asked else []
    for name, size in subjects:
        subject = open_subject(name, size, settings)
        for part in asked:
            say(f"{part}: {name}, crops {size}")
            results[part] += _module(part).measure(subject, settings)
    for part in OF_A_PROCESS:
        if part in parts:
            say(part)
            results[part] += _module(part).measure(settings)
    results["others_share"] = busy.others_share()
    return results


def _module(part):
    return importlib.import_module(f".{part}", __package__)


def _check_sizes(ctx, param, value):
    try:
        for size in value if isinstance(value, tuple) else (value,):
            parse_size(size)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


@click.command(context_settings={"show_default": True})
@click.option(
    "--variant", "variants", multiple=True, type=click.Choice(tuple(VARIANTS)),
    help="Weights by formula.  [default: osnet_x1_0, osnet_ibn_x1_0, osnet_x0_25, unless --weights is given]",
)  # fmt: skip
@click.option("--weights", multiple=True, metavar="FILE|NAME", help="A checkpoint of OSNet.")
@click.option(
    "--engine", "engines", multiple=True, type=click.Choice(NAMED_ENGINES), default=NAMED_ENGINES,
    help="What runs the network.",
)  # fmt: skip
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(PRECISIONS), default=USUAL_PRECISIONS,
    help="Of the arithmetic.",
)  # fmt: skip
@click.option(
    "--size", "sizes", multiple=True, metavar="HxW|varied", default=("256x128",), callback=_check_sizes,
    help="Of the crops; varied is what was drawn or packed.",
)  # fmt: skip
@click.option("--crops", default=256, type=click.IntRange(1), help="How many different ones.")
@click.option("--rows", default=2048, type=click.IntRange(1), help="Of a table on disk; it repeats the crops.")
@click.option("--rounds", default=5, type=click.IntRange(1), help="Timed ones; one more comes first.")
@click.option("--threads", type=click.IntRange(1), help="Processors.  [default: all that the process may use]")
@click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")
@click.option("--batch-size", type=click.IntRange(1), help="Of our encoder.  [default: the engine's]")
@click.option("--labels", type=click.Path(), help="A table of crop strings.  [default: crops are drawn]")
@click.option("--memory-size", default="16x8", callback=_check_sizes, help="Of the crops whose memory is taken.")
@click.option(
    "--memory-rows", multiple=True, default=(10_000, 100_000), type=click.IntRange(1),
    help="Lengths of the tables whose memory is taken.",
)  # fmt: skip
@click.option(
    "--only", "parts", multiple=True, type=click.Choice(OF_A_SUBJECT + OF_A_PROCESS), default=USUAL,
    help="What to measure.",
)  # fmt: skip
@click.option("--json", "target", type=click.Path(), required=True, help="Where the results go.")
def main(variants, weights, threads, parts, target, **options):
    """Time the encoder against what others do and against what the machine allows.

    Every answer that is timed is compared with the reference; the exit code is 1 if one differs.
    """
    logging.basicConfig(level="ERROR")  # that weights by formula mean nothing is known here
    if not weights:
        variants = variants or ("osnet_x1_0", "osnet_ibn_x1_0", "osnet_x0_25")
    named = tuple(f"{UNTRAINED}{variant}" for variant in variants) + weights
    settings = Settings(weights=named, threads=threads or count_cpus(), **options)
    try:
        results = run(settings, parts, lambda text: click.echo(text, err=True))
        write(results, target)
    except (OsNetError, OSError, Disagreement, ProcessFailed) as error:
        raise click.ClickException(str(error)) from error
    for part in PARTS:
        if results.get(part):
            click.echo(f"\n{part}\n\n{render(part, results[part])}")
    click.echo(f"\n{render_others(results['others_share'])}")
    wrong = disagreements(results)
    for line in wrong:
        click.echo(f"differs: {line}", err=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.encode")
