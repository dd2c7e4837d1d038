"""Settings of a training run <-> the text of a file: TOML both ways, YAML to be read.

Files are flat: one line a setting, under the names of `TrainConfig`'s fields or of the options of `osnet-train`
(`batch_size` or `batch-size`). Relative paths in them start at the working folder, as they do on the command line.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .config import TrainConfig, check_value

__all__ = ["from_toml", "read_config", "to_toml"]

YAML_SUFFIXES = (".yaml", ".yml")


def read_config(path: str | Path) -> dict[str, Any]:
    """Read the settings that a file gives.

    Parameters
    ----------
    path : str or Path
        Ends in `.toml`, `.yaml` or `.yml`; the last two need PyYAML.

    Returns
    -------
    settings : dict
        Field of `TrainConfig` -> value, each within its limits; only what the file sets.

    Raises
    ------
    ValueError
        The file cannot be read, is no TOML or YAML, sets a thing twice, or sets what is no setting; or a value
        is of another type or outside its limits.
    """
    path = Path(path)
    parse = {".toml": _parse_toml, **dict.fromkeys(YAML_SUFFIXES, _parse_yaml)}.get(path.suffix.lower())
    if parse is None:
        raise ValueError(f"{path} is no configuration: wanted a file that ends in .toml, .yaml or .yml")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    return _settings(parse(text, path), path)


def from_toml(text: str, source: str | Path = "the configuration") -> TrainConfig:
    """Read a whole configuration, as `to_toml` writes it.

    Parameters
    ----------
    text : str
    source : str or Path
        Where it is from, for messages.

    Returns
    -------
    config : TrainConfig

    Raises
    ------
    ValueError
        As of `read_config`.
    """
    return TrainConfig(**_settings(_parse_toml(text, source), source))


def to_toml(config: TrainConfig) -> str:
    """Write a configuration down.

    Parameters
    ----------
    config : TrainConfig

    Returns
    -------
    text : str
        Every setting but those that are None, which TOML has no word for; `from_toml` gives the same config.

    Raises
    ------
    ValueError
        A text in it holds half a surrogate pair, which UTF-8 has no form for.
    """
    lines: list[str] = []
    group = None
    for one in fields(TrainConfig):
        if one.metadata["group"] != group:
            group = one.metadata["group"]
            lines += ["", f"# {group}"]
        value = getattr(config, one.name)
        if value is not None:
            lines.append(f"{one.name} = {_toml(one.name, value)}")
    return "\n".join(lines[1:]) + "\n"


def _parse_toml(text, source):
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is no TOML: {error}") from error


def _parse_yaml(text, source):
    try:
        import yaml
    except ImportError as error:
        raise ValueError(f'{source} is YAML, which needs PyYAML: pip install "osnet-encoder[train]"') from error

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice, of which YAML's own reader keeps the last."""

        def construct_mapping(self, node, deep=False):
            names = [key.value for key, _ in node.value]
            for key, _ in node.value:
                if names.count(key.value) > 1:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} stands twice", key.start_mark
                    )
            return super().construct_mapping(node, deep)

    try:
        found = yaml.load(text, Loader)  # a safe loader
    except yaml.YAMLError as error:
        raise ValueError(f"{source} is no YAML: {' '.join(str(error).split())}") from error
    if found is None:  # an empty file
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{source} must set names to values, found {type(found).__name__}")
    return found


def _settings(found: Mapping[Any, Any], source) -> dict[str, Any]:
    """The values that a file gives, under the fields' names and each checked."""
    known = [one.name for one in fields(TrainConfig)]
    settings: dict[str, Any] = {}
    for written, value in found.items():
        name = str(written).replace("-", "_")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(f"{source} sets {str(written)!r:.100}, which is no setting{meant}")
        if name in settings:
            raise ValueError(f"{source} sets {name!r} twice, as {name!r} and as {written!r}")
        try:
            settings[name] = check_value(name, value)
        except ValueError as error:
            raise ValueError(f"{source}: {error}{_hint(value)}") from error
    return settings


def _hint(value):
    """YAML takes a number for text where its power of ten comes without a point."""
    if isinstance(value, str) and "e" in value.lower() and "." not in value:
        try:
            return f"; in YAML write {float(value):.1e}"
        except ValueError:
            pass
    return ""


def _toml(name, value):
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(name, item) for item in value)}]"
    if not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else repr(value)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} cannot be written as UTF-8, found {value!r}") from error
    # JSON's quotes are TOML's, but for one character that JSON leaves as it is
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
