"""`python -m benchmarks.train`: how fast training is, against the loop that one writes first."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from examples.make_crops import draw_rows, write_images
from osnet_encoder.engines import count_cpus
from osnet_encoder.errors import OsNetError
from osnet_encoder.variants import VARIANTS

from .agreement import Agreement, Disagreement
from .cases import Settings
from .crop_strings import parse_size
from .layout import render, render_others
from .lesson import Plan
from .machine import Busyness
from .pairs import Contender, Spread, ratio, run_in_turn, spread
from .processes import ProcessFailed
from .results import describe_run, write
from .trainee import KINDS, Trainee

__all__ = ["compare_losses", "draw_people", "main", "measure"]

# Nothing is random and nothing is learnt: the layout in memory, and with it the order of additions, differs alone.
SAME_LOSS = 1e-4

# As the default recipe has them.
_CROPS_IN_A_BATCH = 4


def measure(plan: Plan, rounds: int) -> dict:
    """Train in both ways, in turn, each in a process of its own.

    Parameters
    ----------
    plan : Plan
    rounds : int
        Timed ones; one more comes first.

    Returns
    -------
    row : dict
        As README.md describes.

    Raises
    ------
    Disagreement
        Where nothing is random the two had different losses: they do not do the same work.
    ProcessFailed
        The labels or the crops are not there, or not fit.
    """
    with ExitStack() as stack:
        trainees = {kind: stack.enter_context(Trainee(kind, plan)) for kind in KINDS}
        agreement = compare_losses(*(trainees[kind].still_loss for kind in KINDS))
        contenders = {kind: Contender(trainee.train, clock=None) for kind, trainee in trainees.items()}
        seconds = run_in_turn(contenders, rounds)
        decode_seconds = trainees["ours"].decode_seconds
    images = plan.batch_size * plan.batches
    return {
        "weights": plan.arch,
        "size": f"{plan.height}x{plan.width}",
        "engine": "torch",
        "precision": "fp32",
        "status": "measured",
        "batch_size": plan.batch_size,
        "images": images,
        "decode_seconds": decode_seconds,
        "seconds": seconds,
        "images_per_second": _rate(images, seconds["ours"]).as_dict(),
        "plain_per_second": _rate(images, seconds["plain"]).as_dict(),
        "against_plain": ratio(seconds["plain"], seconds["ours"]).as_dict(),
        "agreement": agreement.as_dict(),
    }


def compare_losses(ours: float, plain: float) -> Agreement:
    """Hold two losses of the same batches against each other.

    Parameters
    ----------
    ours, plain : float

    Returns
    -------
    Agreement

    Raises
    ------
    Disagreement
        They are not the same, or none at all.
    """
    agreement = Agreement("of the loss", abs(ours - plain) / plain, SAME_LOSS)
    if not agreement.holds:
        raise Disagreement(f"the loss is {ours} here and {plain} in the plain loop, and should be the same")
    return agreement


def draw_people(folder: Path, people: int, crops: int) -> str:
    """Draw synthetic people as image files.

    Parameters
    ----------
    folder : Path
        Empty, or not there.
    people : int
    crops : int
        Of each.

    Returns
    -------
    labels : str
        The path of their table.
    """
    write_images(folder, draw_rows(people, crops, missing=0))
    return str(folder / "labels.csv")


def _rate(images: int, seconds: list[float]) -> Spread:
    return spread([images / each for each in seconds])


def _check_size(ctx, param, value):
    try:
        size = parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if size is None:
        raise click.BadParameter(f"a patch has one size, as 256x128 is, found {value!r}")
    return size


@click.command(context_settings={"show_default": True})
@click.option(
    "--arch", "archs", multiple=True, type=click.Choice(tuple(VARIANTS)), default=("osnet_x0_25", "osnet_x1_0"),
    help="What is trained, from scratch.",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(), help="A table of img_path and person_id.  [default: people are drawn]"
)
@click.option("--size", metavar="HxW", default="256x128", callback=_check_size, help="Of a patch.")
@click.option("--batch-size", default=64, type=click.IntRange(8), help="A multiple of 4.")
@click.option("--batches", default=4, type=click.IntRange(1), help="Of one timed run.")
@click.option("--rounds", default=5, type=click.IntRange(1), help="Timed ones; one more comes first.")
@click.option("--threads", type=click.IntRange(1), help="Processors.  [default: all that the process may use]")
@click.option("--device", default="cpu", help="cpu, cuda or cuda:N.")
@click.option("--json", "target", type=click.Path(), required=True, help="Where the results go.")
def main(archs, labels, size, batch_size, batches, rounds, threads, device, target):
    """Time training against a plain loop: pictures opened in the loop, eager torch in NCHW.

    Both show the same crops in the same batches. Before anything is timed, both must have the same loss where
    nothing is random.
    """
    threads = threads or count_cpus()
    settings = Settings(
        weights=archs, engines=("torch",), precisions=("fp32",), sizes=("{}x{}".format(*size),),
        crops=batch_size * batches, rounds=rounds, threads=threads, device=device, batch_size=batch_size,
        labels=labels,
    )  # fmt: skip
    busy = Busyness()
    try:
        with TemporaryDirectory() as folder:
            table = labels or draw_people(
                Path(folder) / "people", batch_size // _CROPS_IN_A_BATCH, batches * _CROPS_IN_A_BATCH
            )
            results = describe_run(settings)
            results["train"] = []
            for arch in archs:
                click.echo(arch, err=True)
                plan = Plan(arch, table, *size, batch_size, batches, threads, device)
                results["train"].append(measure(plan, rounds))
        results["others_share"] = busy.others_share()
        write(results, target)
    except (OsNetError, OSError, ValueError, Disagreement, ProcessFailed) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"\n{render('train', results['train'])}\n\n{render_others(results['others_share'])}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.train")
