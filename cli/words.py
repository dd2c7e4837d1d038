"""Words of the shell -> values: sizes, triples, and the configuration file."""

import re
import tomllib
from pathlib import Path

import click

__all__ = ["Size", "Triple", "read_config"]


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
    """Take the options' defaults from a TOML file.

    Parameters
    ----------
    ctx, param, value
        As click gives them to an option's callback.

    Raises
    ------
    click.BadParameter
        The file cannot be read, or sets what is no option.
    """
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
