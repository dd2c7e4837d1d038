"""`osnet-evaluate TABLE...`: shell words -> one call of `training.evaluate_across`, errors -> exit codes."""

import json
import logging
import sys

import click

from osnet_encoder.version import __version__

from . import encode
from .signals import listen

__all__ = ["main"]

# What the library would tell is written out here, so that --help need not load it; a test holds them equal.
PROTOCOLS = ("market", "single-shot")
IDENTITY_COLUMN, CAMERA_COLUMN, FEATURE_COLUMN = "person_id", "camera_id", "feature_vector"

# Options that osnet-encode has too, and explains: of the encoder, all but what is asked for in another way here or
# is no matter to a cosine; and the last ones of every command.
ENCODER_OPTIONS = tuple(name for name in encode.ENCODER_OPTIONS if name not in ("weights", "cells", "normalize"))
LAST_OPTIONS = ("config", "as_json", "log_level")

# What crops are found by; without --weights nothing is looked for.
CROP_OPTIONS = ("column", "root")
TABLE_OPTIONS = (
    "column",
    "root",
    "feature_column",
    "identity_column",
    "camera_column",
    "only",
    "query",
    "gallery",
)
MEASURES = ("protocol", "rerank", "other_cameras", "seed")

EPILOG = """\b
Exit codes:
  0    evaluated
  1    failed
  2    a wrong command line
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)

Every option can also be set in the environment (OSNET_EVALUATE_WEIGHTS, OSNET_EVALUATE_DEVICE, ...) or in the file
of --config; the command line wins over the environment, the environment over the file."""


class Condition(click.ParamType):
    """`camera_id=1`: a column, and the text that stands in it."""

    name = "COLUMN=TEXT"

    def convert(self, value, param, ctx):
        """(column, text) from the text."""
        if isinstance(value, (tuple, list)):
            return tuple(value)
        column, sign, text = value.partition("=")
        if not column or not sign:
            self.fail(f"{value!r} is not COLUMN=TEXT, as camera_id=1 is", param, ctx)
        return column, text


def _with_encode_s_options(command):
    """Give a command those options of osnet-encode, the very same ones."""
    theirs = {option.name: option for option in encode.main.params}
    own = list(command.params)
    command.params = [*own[:-1], *(theirs[name] for name in ENCODER_OPTIONS + LAST_OPTIONS), own[-1]]
    return command


@_with_encode_s_options
@click.command(epilog=EPILOG, context_settings={"auto_envvar_prefix": "OSNET_EVALUATE", "max_content_width": 100})
@click.argument("tables", nargs=-1, metavar="TABLE...")
@click.option(
    "--weights",
    metavar="FILE|NAME",
    help="Encode the crops with these, as osnet-encode does.  [default: the features are in the table]",
)
@click.option(
    "--targets", multiple=True, metavar="TABLE", help="One more table to evaluate; may be given several times."
)
@click.option(
    "--sources",
    multiple=True,
    metavar="TABLE",
    help="A table whose thresholds are tried on all others; may be given several times.",
)
@click.option(
    "--column", metavar="NAME", help="Column of the crops.  [default: img_path, else that of crop strings]"
)
@click.option("--root", metavar="FOLDER", help="Where relative paths start.  [default: the folder of TABLE]")
@click.option(
    "--feature-column",
    metavar="NAME",
    default=FEATURE_COLUMN,
    show_default=True,
    help="Column of the features, where there are no --weights.",
)
@click.option(
    "--identity-column", metavar="NAME", default=IDENTITY_COLUMN, show_default=True, help="Which person."
)
@click.option(
    "--camera-column",
    metavar="NAME|none",
    default=CAMERA_COLUMN,
    show_default=True,
    help="Which camera, if the column is there. none: matches of the query's own camera count too.",
)
@click.option(
    "--only",
    type=Condition(),
    multiple=True,
    help="Rows to take; of several conditions one is enough.  [default: those that `split` does not train on]",
)
@click.option(
    "--query", type=Condition(), multiple=True, help="Rows to look for.  [default: what `is_query` says, else all]"
)
@click.option(
    "--gallery",
    type=Condition(),
    multiple=True,
    help="Rows to search.  [default: what `is_gallery` says, else all]",
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    default="market",
    show_default=True,
    help="The whole gallery, or ten random ones with one crop a person (CUHK03).",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random galleries.")
@click.option("--rerank", is_flag=True, help="Rank by k-reciprocal neighbours; up to 100,000 rows.")
@click.option("--other-cameras", is_flag=True, help="EER and TAR@FAR from pairs of two cameras only.")
@click.option(
    "--threshold",
    type=click.FloatRange(-1, 1),
    multiple=True,
    metavar="COSINE",
    help="Say what is accepted from this cosine on; may be given several times.",
)
@click.option("--plots", metavar="FOLDER", help="Draw cmc.png and roc.png into it; wants the extra `plot`.")
@click.version_option(__version__)
@click.pass_context
def main(ctx, **options):
    """Measure how well features tell people apart.

    TABLE is CSV or Parquet, with identities in `person_id` and, where known, cameras in `camera_id`: either what
    osnet-encode wrote, or with --weights a table of crops (an image's path in `img_path`, or crop strings). Every
    row is looked for among all others, unless `is_query`, `is_gallery` or `split` say otherwise.

    \b
    Examples:
      osnet-evaluate features.parquet
      osnet-evaluate labels.csv --weights runs/train/osnet/weights/best.safetensors --rerank --json
      osnet-evaluate labels.csv --weights market.pth --query camera_id=1 --gallery camera_id=2
      osnet-evaluate --sources ours.parquet --targets theirs.parquet --plots plots
    """
    targets = (*options["tables"], *options["targets"])
    if not targets:
        raise click.UsageError("name at least one table to evaluate")
    if options["weights"] is None:
        for name in (*ENCODER_OPTIONS, *CROP_OPTIONS):
            if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name.replace('_', '-')} is about encoding: it wants --weights")
    stop = listen()
    logging.basicConfig(
        level=options["log_level"].upper(), format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    sys.exit(_run(targets, options, stop))


def _run(targets, options, stop):
    """Do the work; the exit code."""
    from osnet_encoder.errors import OsNetError

    try:
        found = _evaluate(targets, options)
    except KeyboardInterrupt:
        return _failed(options, "interrupted", "interrupted", 128 + stop.number)
    except (OsNetError, OSError) as error:
        return _failed(options, "failed", f"error: {error}", 1)
    if options["as_json"]:
        for table, one in found.evaluations.items():
            for note in one.notes:
                click.echo(f"{table}: {note}", err=True)
    click.echo(json.dumps(found.as_dict()) if options["as_json"] else found.in_words())
    return 0


def _evaluate(targets, options):
    from osnet_encoder.errors import OsNetError
    from osnet_encoder.training.cross_evaluation import evaluate_across
    from osnet_encoder.training.plots import check_matplotlib, plot_evaluations

    from .progress import Progress

    words = {name: options[name] for name in (*TABLE_OPTIONS, *MEASURES)}
    if options["camera_column"] == "none":
        words["camera_column"] = None
    words["thresholds"] = {f"--threshold {one:g}": one for one in options["threshold"]}
    try:
        if options["plots"] is not None:
            check_matplotlib()
        with Progress() as progress:
            found = evaluate_across(
                targets,
                options["sources"],
                weights=options["weights"],
                encoder_options={name: options[name] for name in ENCODER_OPTIONS},
                progress=progress,
                **words,
            )
    except OsNetError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if options["plots"] is not None:
        plot_evaluations(found.evaluations, options["plots"])
    return found


def _failed(options, state, message, code):
    """Say what is wrong, to whoever reads it; the exit code."""
    click.echo(message, err=True)
    if options["as_json"]:
        click.echo(json.dumps({"state": state, "error": message, "exit_code": code}))
    return code


if __name__ == "__main__":
    main(prog_name="osnet-evaluate")
