"""The fields of a settings dataclass as options of a command, so that each is written down once."""

from dataclasses import fields

import click

from osnet_encoder.training.config import value_kind
from osnet_encoder.training.config_files import read_config

__all__ = ["Grouped", "Numbers", "read_settings", "settings_of"]

# So many choices are listed in the help.
_FEW = 6


class Grouped(click.Command):
    """A command whose help lists the options of each group of settings under a heading of their own."""

    def format_options(self, ctx, formatter):
        """Write the options, those of no group first."""
        groups: dict[str, list] = {"": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                groups.setdefault(getattr(param, "group", ""), []).append(record)
        for group, records in groups.items():
            with formatter.section(group.capitalize() or "Options"):
                formatter.write_dl(records)


class Numbers(click.ParamType):
    """`20,40`: whole numbers with commas between."""

    name = "N,..."

    def convert(self, value, param, ctx):
        """A tuple of int from the text, or from a list in the configuration file."""
        if isinstance(value, (list, tuple)):
            return tuple(value)
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not whole numbers with commas between", param, ctx)


class _Setting(click.Option):
    """An option for a field of a dataclass."""

    def __init__(self, *words, group, **options):
        super().__init__(*words, **options)
        self.group = group


def settings_of(config, apart_from=()):
    """Give a command an option for every field of a dataclass, in the fields' order; None where it is not given.

    Parameters
    ----------
    config : type
        A dataclass as `training.config.TrainConfig` is.
    apart_from : collection of str
        Fields that get none.

    Returns
    -------
    callable
        To decorate a command with.
    """

    def decorate(command):
        for one in reversed(fields(config)):
            if one.name not in apart_from:
                command = _option(one)(command)
        return command

    return decorate


def read_settings(ctx, param, value):
    """Take the options' defaults from a TOML or YAML file.

    Parameters
    ----------
    ctx, param, value
        As click gives them to an option's callback.

    Raises
    ------
    click.BadParameter
        The file cannot be read, or sets what cannot be set.
    """
    if value is None:
        return
    try:
        ctx.default_map = read_config(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _option(one):
    kind, is_list, _ = value_kind(one.name)
    flag = one.name.replace("_", "-")
    text = one.metadata["help"]
    if not text.startswith("auto,"):  # words to be given as they are
        text = text[0].upper() + text[1:]
    shown = {"cls": _Setting, "group": one.metadata["group"], "help": f"{text}.{_default(one.default)}"}
    if kind is bool:
        return click.option(f"--{flag}/--no-{flag}", one.name, default=None, **shown)
    choices = one.metadata.get("choices")
    type_ = click.Choice(choices) if choices else Numbers() if is_list else kind
    return click.option(f"--{flag}", one.name, type=type_, metavar=_metavar(choices), **shown)


def _metavar(choices):
    """Many names would push the texts out of sight; --list-models and a wrong one list them."""
    return "NAME" if choices and len(choices) > _FEW else None


def _default(value):
    if value is None or value == ():
        return ""
    return f"  [default: {str(value).lower() if isinstance(value, bool) else value}]"
