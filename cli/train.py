"""`osnet-train LABELS...`: shell words -> one call of `training.train`, errors -> exit codes."""

import json
import logging
import os
import sys

import click

from osnet_encoder.training.config import TrainConfig
from osnet_encoder.version import __version__

from .settings import Grouped, read_settings, settings_of
from .signals import listen

__all__ = ["main"]

# `JobError.reason` -> exit code; any other is 1.
EXIT_CODES = {"changed": 2, "locked": 75}

EPILOG = """\b
Exit codes:
  0    trained
  1    failed
  2    a wrong command line, or --resume with other settings or other labels
  75   another process is training in the run to resume
  130  interrupted (SIGINT); --resume goes on from the last finished epoch
  143  terminated (SIGTERM), likewise

Every option can also be set in the environment (OSNET_TRAIN_LR, OSNET_TRAIN_BATCH_SIZE, ...) or in the file of
--config; the command line wins over the environment, the environment over the file."""


@click.command(
    cls=Grouped, epilog=EPILOG, context_settings={"auto_envvar_prefix": "OSNET_TRAIN", "max_content_width": 100}
)
@click.argument("labels", nargs=-1, metavar="LABELS...")
@settings_of(TrainConfig, apart_from=["labels"])
@click.option(
    "--config",
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=read_settings,
    help="Read options from a TOML or YAML file, named as here.",
)
@click.option("--resume", metavar="RUN", help="Go on with the run in this folder, as if it had never stopped.")
@click.option("--list-models", is_flag=True, help="List variants and published weights, and do nothing else.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the outcome as one JSON object, the last line of output."
)
@click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    show_default=True,
    help="How much to tell, on the error stream.",
)
@click.version_option(__version__)
def main(labels, resume, list_models, as_json, log_level, **settings):
    """Train an OSNet to tell labelled people apart.

    LABELS are tables, CSV or Parquet: crops (an image's path in `img_path`, or crop strings), identities in
    `person_id` and, where known, cameras in `camera_id`. Of what comes out, weights/best.safetensors in the run's
    folder is what osnet-encode --weights takes.

    \b
    Examples:
      osnet-train labels.csv --weights osnet_x1_0_msmt17 --epochs 20
      osnet-train labels.csv --arch osnet_x0_25 --loss circle --val-fraction 0.2
      osnet-train --resume runs/train/osnet
    """
    if list_models:
        _list_models()
        return
    given = {name: value for name, value in settings.items() if value is not None}
    if labels:  # of the command line, or of the configuration file
        given["labels"] = labels
    elif resume is None:
        raise click.UsageError("name at least one table of labels, or --resume RUN")
    stop = listen()
    if int(os.environ.get("RANK", "0")):  # of several processes, the first one tells
        log_level = "error"
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", force=True)
    sys.exit(_run(given, resume, as_json, stop))


def _run(given, resume, as_json, stop):
    """Do the work; the exit code."""
    from osnet_encoder.errors import JobError, OsNetError

    try:
        outcome = _train(given, resume)
    except KeyboardInterrupt:
        return _failed(as_json, "interrupted", "interrupted", 128 + stop.number)
    except JobError as error:
        return _failed(as_json, error.reason, f"error: {error}", EXIT_CODES.get(error.reason, 1))
    except (OsNetError, OSError) as error:
        return _failed(as_json, "failed", f"error: {error}", 1)
    if outcome is not None:  # the leading process's, of several
        click.echo(json.dumps(outcome.as_dict()) if as_json else outcome.in_words())
    return 0


def _train(given, resume):
    from osnet_encoder.errors import OsNetError
    from osnet_encoder.training.loop import resume_run, train

    from .epochs import Epochs

    with Epochs() as progress:
        try:
            if resume is not None:
                return resume_run(resume, given, progress=progress)
            return train(TrainConfig(**given), progress=progress)
        except OsNetError:
            raise
        except ValueError as error:
            logging.debug("where that is from", exc_info=True)
            raise click.UsageError(str(error)) from error


def _failed(as_json, state, message, code):
    """Say what is wrong, to whoever reads it; the exit code."""
    click.echo(message, err=True)
    if as_json:
        click.echo(json.dumps({"state": state, "error": message, "exit_code": code}))
    return code


def _list_models():
    from osnet_encoder.built_in import BUILT_IN, PREFIX
    from osnet_encoder.variants import VARIANTS
    from osnet_encoder.zoo import ZOO

    click.echo("Variants (--arch):")
    for name in VARIANTS:
        click.echo(f"  {name}")
    click.echo("Weights that come with the package (--weights):")
    for name in BUILT_IN:
        click.echo(f"  {PREFIX}{name}")
    click.echo("Published weights (--weights):")
    for name in ZOO:
        click.echo(f"  {name}")


if __name__ == "__main__":
    main(prog_name="osnet-train")
