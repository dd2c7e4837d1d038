"""`osnet-encode INPUT OUTPUT`: shell words -> one call of `job.encode_table`, errors -> exit codes."""

import json
import logging
import re
import signal
import sys
import tomllib
from pathlib import Path

import click

from osnet_encoder.version import __version__

__all__ = ["main"]

# What the library would tell is written out here, so that --help need not load it; a test holds them equal.
ENGINES = ("auto", "onnx", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "fp16")
CELLS = ("crop", "path", "image")
FORMATS = ("zlib-hex", "json", "list")
COLOR_ORDERS = ("rgb", "bgr")

# Which options go where, under their own names.
ENCODER_OPTIONS = (
    "weights", "engine", "device", "precision", "batch_size", "threads", "cells", "color_order", "patch_size",
    "norm_mean", "norm_std", "network_color_order", "network_output", "normalize", "on_error",
)  # fmt: skip
JOB_OPTIONS = ("column", "feature_column", "keep_crops", "feature_format", "limit")

EPILOG = """\b
Exit codes:
  0    done
  1    failed
  2    a wrong command line
  75   another job is writing the same output
  130  interrupted (SIGINT)
  143  terminated (SIGTERM)

Every option can also be set in the environment (OSNET_WEIGHTS, OSNET_BATCH_SIZE, ...) or in the file of
--config; the command line wins over the environment, the environment over the file."""


class Size(click.ParamType):
    """`256x128`: height x width."""

    name = "HxW"

    def convert(self, value, param, ctx):
        """(int, int) from the text."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", value)
        if match is None:
            self.fail(f"{value!r} is not HEIGHTxWIDTH, as 256x128 is", param, ctx)
        return int(match[1]), int(match[2])


class Triple(click.ParamType):
    """`0.485,0.456,0.406`: one number a channel."""

    name = "A,B,C"

    def convert(self, value, param, ctx):
        """Three floats from the text, or from a list in the configuration file."""
        try:
            numbers = tuple(float(part) for part in (value.split(",") if isinstance(value, str) else value))
        except (TypeError, ValueError):
            numbers = ()
        if len(numbers) != 3:
            self.fail(f"{value!r} is not three numbers with commas between", param, ctx)
        return numbers


def read_config(ctx, param, value):
    """Take the options' defaults from a TOML file."""
    if value is None:
        return
    try:
        settings = tomllib.loads(Path(value).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.BadParameter(f"cannot read {value!r}: {error}") from error
    settings = {name.replace("-", "_"): setting for name, setting in settings.items()}
    known = {option.name for option in ctx.command.params if isinstance(option, click.Option)} - {"config"}
    if unknown := sorted(set(settings) - known):
        raise click.BadParameter(f"{value!r} sets {', '.join(unknown)}; there is only {', '.join(sorted(known))}")
    ctx.default_map = settings


@click.command(epilog=EPILOG, context_settings={"auto_envvar_prefix": "OSNET", "max_content_width": 100})
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option(
    "--weights",
    metavar="FILE|NAME",
    help="Checkpoint (.pth, .pth.tar-N, .safetensors, .onnx), the name of "
    "a published one (osnet_x1_0_msmt17, ...), or untrained:osnet_x0_25 to try things out.",
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
    "--device", metavar="NAME", default="auto", show_default=True, help="auto, cpu, mps, cuda:N, several of these with commas, or cuda for all."
)
@click.option(
    "--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True, help="Of the arithmetic."
)
@click.option("--threads", type=click.IntRange(1), help="Processors to use.  [default: all that the process may]")
@click.option(
    "--batch-size", type=click.IntRange(1), help="Patches a call of the network.  [default: the engine's]"
)
@click.option(
    "--on-error",
    type=click.Choice(("raise", "null")),
    default="null",
    show_default=True,
    help="What a broken cell does: end the job, or become a missing feature vector.",
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
    its suffix: the same rows in the same order, the features in the crops' place.

    \b
    Examples:
      osnet-encode people.csv features.parquet --weights osnet_x1_0_msmt17.pth
      osnet-encode detections.parquet out.csv --column crop --keep-crops --weights market.pth.tar-60
      osnet-encode labels.csv features.parquet --cells path --column img_path --weights market.pth
    """
    if options["weights"] is None:
        raise click.UsageError(
            "no --weights given; name a checkpoint (.pth, .pth.tar-N, .safetensors, .onnx), a published one "
            "such as osnet_x1_0_msmt17, or untrained:osnet_x0_25 to try things out"
        )
    if options["cells"] != "crop" and options["column"] is None:
        raise click.UsageError(
            f"--cells {options['cells']} needs --column: only crop strings are found by looking"
        )
    signal.signal(signal.SIGTERM, _terminate)
    logging.basicConfig(
        level=options["log_level"].upper(), format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    sys.exit(_run(options))


def _run(options):
    """Do the work; the exit code."""
    from osnet_encoder.errors import JobError, OsNetError

    try:
        summary = _encode(options)
    except KeyboardInterrupt:
        click.echo("interrupted, nothing was written", err=True)
        return 130
    except JobError as error:
        click.echo(f"error: {error}", err=True)
        return 75 if error.reason == "locked" else 1
    except (OsNetError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        return 1
    click.echo(json.dumps(summary.as_dict()) if options["as_json"] else _in_words(summary))
    return 0


def _encode(options):
    from osnet_encoder.encoder import OsNetEncoder
    from osnet_encoder.errors import OsNetError
    from osnet_encoder.job import choose_format, encode_table

    from .progress import Progress

    root = options["root"] or _folder_of(options["source"])
    try:
        choose_format(options["feature_format"], options["target"])
        encoder = OsNetEncoder(root=root, **{name: options[name] for name in ENCODER_OPTIONS})
    except OsNetError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with Progress() as progress:
        job_options = {name: options[name] for name in JOB_OPTIONS}
        return encode_table(options["source"], options["target"], encoder, progress=progress, **job_options)


def _folder_of(source):
    """Where a table stands: itself if it is a folder of files."""
    return source if Path(source).is_dir() else Path(source).parent


def _in_words(summary):
    made_by, seconds = summary.made_by, dict(summary.seconds)
    total = seconds.pop("total")
    reasons = ", ".join(f"{count} {reason}" for reason, count in summary.reasons.items())
    broken = f" ({reasons})" if reasons else ""
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds.items())
    return f"""\
wrote      {summary.output}: {summary.column} -> {summary.feature_column}
rows       {summary.rows}: {summary.encoded} encoded, {summary.missing} missing, {summary.broken} broken{broken}
speed      {summary.crops_per_second:.1f} crops/s, {total:.1f} s in all
seconds    {stages} (decode and infer summed over threads)
engine     {made_by["engine"]} on {made_by["device"]}, {made_by["precision"]}
weights    {made_by["variant"]} from {made_by["weights"]} (sha256 {made_by["weights_sha256"][:12]})"""


def _terminate(signum, frame):
    # Unwinds through the writer, which removes what it had begun.
    sys.exit(143)


if __name__ == "__main__":
    main(prog_name="osnet-encode")
