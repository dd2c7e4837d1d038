"""`osnet-encode INPUT OUTPUT`: shell words -> one call of `job.encode_table`, errors -> exit codes."""

import json
import logging
import sys
from pathlib import Path

import click

from osnet_encoder.version import __version__

from .signals import listen
from .summary import in_words
from .words import Size, Triple, read_config

__all__ = ["main"]

# What the library would tell is written out here, so that --help need not load it; a test holds them equal.
ENGINES = ("auto", "onnx", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "fp16")
CELLS = ("crop", "path", "image")
FORMATS = ("zlib-hex", "json", "list")
COLOR_ORDERS = ("rgb", "bgr")
PARALLEL = ("threads", "processes")

# Which options go where, under their own names.
ENCODER_OPTIONS = (
    "weights", "engine", "device", "precision", "batch_size", "threads", "parallel", "cells", "color_order",
    "patch_size", "norm_mean", "norm_std", "network_color_order", "network_output", "normalize",
)  # fmt: skip
JOB_OPTIONS = (
    "column", "feature_column", "keep_crops", "feature_format", "limit", "on_error", "error_column", "rejects",
    "max_error_rate", "part_rows", "overwrite", "fresh", "update", "key",
)  # fmt: skip
VERIFY_OPTIONS = (
    "column", "feature_column", "keep_crops", "feature_format", "limit", "on_error", "error_column", "sample",
)  # fmt: skip
ON_ERROR = ("null", "drop", "raise")
ERROR_COLUMN = "{}_error"
PART_ROWS = 4096
SAMPLE = 64

# `JobError.reason` -> exit code; any other is 1.
EXIT_CODES = {
    "rejects": 3,
    "locked": 75,
    **dict.fromkeys(("changed", "exists", "lost", "provenance", "same_file"), 2),
}

EPILOG = """\b
Exit codes:
  0    published, or nothing to do
  1    failed
  2    a wrong command line, or one that does not fit what is there
  3    too many broken cells; nothing was published
  75   another job is writing the same output
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)

Every option can also be set in the environment (OSNET_WEIGHTS, OSNET_BATCH_SIZE, ...) or in the file of
--config; the command line wins over the environment, the environment over the file."""


@click.command(epilog=EPILOG, context_settings={"auto_envvar_prefix": "OSNET", "max_content_width": 100})
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option(
    "--weights",
    metavar="FILE|NAME",
    help="Checkpoint (.pth, .pth.tar-N, .safetensors, .onnx), the name of "
    "a published one (osnet_x1_0_msmt17, ...), or untrained:osnet_x0_25.  [default: those of the package]",
)
@click.option("--column", metavar="NAME", help="Column of the crops.  [default: the one that holds crop strings]")
@click.option(
    "--feature-column",
    metavar="NAME",
    default="feature_vector",
    show_default=True,
    help="Column for the features; may be the crop column itself.",
)
@click.option("--keep-crops", is_flag=True, help="Keep the crop column; features go to the end.")
@click.option(
    "--feature-format",
    type=click.Choice(FORMATS),
    help="How a feature vector is written.  [default: list in Parquet, zlib-hex in CSV]",
)
@click.option(
    "--normalize/--no-normalize",
    default=None,
    help="Scale feature vectors to unit length, or not.  [default: what the weights say]",
)
@click.option(
    "--cells",
    type=click.Choice(CELLS),
    default="crop",
    show_default=True,
    help="What a cell holds: a crop string, an image file's path, or an image file's bytes.",
)
@click.option("--root", metavar="FOLDER", help="Where relative paths start.  [default: the folder of INPUT]")
@click.option(
    "--color-order",
    type=click.Choice(COLOR_ORDERS),
    default="rgb",
    show_default=True,
    help="How the crops are stored.",
)
@click.option("--patch-size", type=Size(), help="Size of a patch.  [default: what the weights say, else 256x128]")
@click.option(
    "--norm-mean",
    type=Triple(),
    help="Means, of pixels from 0 to 1.  [default: the weights', else ImageNet's]",
)
@click.option("--norm-std", type=Triple(), help="Standard deviations, likewise.")
@click.option(
    "--network-color-order",
    type=click.Choice(COLOR_ORDERS),
    help="What the network wants.  [default: what the weights say, else rgb]",
)
@click.option("--network-output", metavar="NAME", help="Output of the features, in an ONNX file that has several.")
@click.option(
    "--engine", type=click.Choice(ENGINES), default="auto", show_default=True, help="What runs the network."
)
@click.option(
    "--device",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="auto, cpu, mps, cuda:N, several of these with commas, or cuda for all.",
)
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="Of the arithmetic."
)
@click.option("--threads", type=click.IntRange(1), help="Processors to use.  [default: all that the process may]")
@click.option(
    "--parallel",
    type=click.Choice(PARALLEL),
    default="threads",
    show_default=True,
    help="What works on the processors; processes are for the CPU of machines with dozens of them.",
)
@click.option(
    "--batch-size", type=click.IntRange(1), help="Patches a call of the network.  [default: the engine's]"
)
@click.option(
    "--on-error",
    type=click.Choice(ON_ERROR),
    default="null",
    show_default=True,
    help="What a broken cell does: become a missing feature vector, take its row with it, or end the job.",
)
@click.option(
    "--error-column",
    metavar="NAME|none",
    default=ERROR_COLUMN,
    show_default=True,
    help="Column that says why a cell is broken; {} stands for the feature column.",
)
@click.option("--rejects", metavar="FILE", help="List all broken cells in a CSV: row, reason, detail, excerpt.")
@click.option(
    "--max-error-rate",
    type=click.FloatRange(0, 1),
    metavar="RATE",
    help="Publish nothing if more of the crops are broken.  [default: 0.01, and never for fewer than 10]",
)
@click.option("--overwrite", is_flag=True, help="Replace an output that this very job did not make.")
@click.option("--fresh", is_flag=True, help="Begin from the beginning, whatever an earlier run has finished.")
@click.option("--update", is_flag=True, help="Encode only what OUTPUT does not have yet.")
@click.option(
    "--key", metavar="NAME", help="With --update: column that tells rows apart.  [default: the crops do]"
)
@click.option("--verify", is_flag=True, help="Read OUTPUT again, and hold it against INPUT; nothing is written.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="ROWS",
    default=SAMPLE,
    show_default=True,
    help="With --verify: rows to encode again.",
)
@click.option(
    "--part-rows",
    type=click.IntRange(1, 65_536),
    default=PART_ROWS,
    show_default=True,
    help="Rows between two points from which a job can go on, and of a file where OUTPUT is a folder.",
)
@click.option("--limit", type=click.IntRange(0), metavar="ROWS", help="Take only so many rows, from the start.")
@click.option(
    "--config",
    metavar="FILE.toml",
    is_eager=True,
    expose_value=False,
    callback=read_config,
    help="Read options from a TOML file, named as here.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the summary as one JSON object, the last line of output."
)
@click.option(
    "--log-level",
    type=click.Choice(("debug", "info", "warning", "error")),
    default="info",
    show_default=True,
    help="How much to tell, on the error stream.",
)
@click.version_option(__version__)
def main(**options):
    """Encode a table's column of person crops into feature vectors.

    INPUT is CSV (also .csv.gz, .csv.zst) or Parquet (a file, a folder or a glob). OUTPUT is CSV or Parquet, by
    its suffix, or with a slash at its end a folder of Parquet files: the same rows in the same order, the features
    in the crops' place.

    \b
    Examples:
      osnet-encode people.csv features.parquet --weights osnet_x1_0_msmt17.pth
      osnet-encode detections.parquet out.csv --column crop --keep-crops --weights market.pth.tar-60
      osnet-encode labels.csv features.parquet --cells path --column img_path --weights market.pth
      osnet-encode people.parquet features/ --weights market.pth --part-rows 65536
    """
    if options["cells"] != "crop" and options["column"] is None:
        raise click.UsageError(
            f"--cells {options['cells']} needs --column: only crop strings are found by looking"
        )
    stop = listen()
    logging.basicConfig(
        level=options["log_level"].upper(), format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    sys.exit(_run(options, stop))


def _run(options, stop):
    """Do the work; the exit code."""
    from osnet_encoder.errors import JobError, OsNetError

    try:
        summary = _encode(options)
    except KeyboardInterrupt:
        return _failed(options, "interrupted", _what_is_kept(options["target"]), 128 + stop.number)
    except JobError as error:
        return _failed(options, error.reason, f"error: {error}", EXIT_CODES.get(error.reason, 1))
    except (OsNetError, OSError) as error:
        return _failed(options, "failed", f"error: {error}", 1)
    click.echo(json.dumps(summary.as_dict()) if options["as_json"] else in_words(summary))
    return 0


def _failed(options, state, message, code):
    """Say what is wrong, to whoever reads it; the exit code."""
    click.echo(message, err=True)
    if options["as_json"]:
        click.echo(json.dumps({"state": state, "error": message, "exit_code": code}))
    return code


def _what_is_kept(target):
    folder = Path(f"{Path(target)}.job")
    if folder.is_dir():
        return f"interrupted; finished parts are kept in {folder}, the same command goes on from them"
    return "interrupted, nothing was written"


def _encode(options):
    from osnet_encoder.encoder import OsNetEncoder
    from osnet_encoder.errors import OsNetError
    from osnet_encoder.job import Options, choose_format, encode_table, verify_table

    from .progress import Progress

    root = options["root"] or _folder_of(options["source"])
    job_options = {name: options[name] for name in JOB_OPTIONS}
    if options["error_column"] == "none":
        job_options["error_column"] = None
    lenient = "raise" if options["on_error"] == "raise" else "null"
    try:
        Options(**job_options)
        choose_format(options["feature_format"], options["target"])
        encoder = OsNetEncoder(root=root, on_error=lenient, **{name: options[name] for name in ENCODER_OPTIONS})
    except OsNetError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if options["verify"]:
        given = {**options, **job_options}
        words = {name: given[name] for name in VERIFY_OPTIONS}
        return verify_table(options["source"], options["target"], encoder, **words)
    with Progress() as progress:
        return encode_table(options["source"], options["target"], encoder, progress=progress, **job_options)


def _folder_of(source):
    """Where a table stands: itself if it is a folder of files."""
    return source if Path(source).is_dir() else Path(source).parent


if __name__ == "__main__":
    main(prog_name="osnet-encode")
