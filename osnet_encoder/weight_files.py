"""Files of weights: told apart by their first bytes, hashed, and found with the files that belong to them."""

import hashlib
import os
from pathlib import Path

from .errors import WeightsError

__all__ = ["file_kind", "file_sha256", "files_beside"]

# The safetensors library reads no longer header than this.
_MAX_HEADER = 100_000_000


def file_kind(path: Path) -> str:
    """Tell the format of a file of weights by its first bytes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    kind : "pickle", "safetensors", "onnx" or "openvino"

    Raises
    ------
    WeightsError
        The file cannot be read, is empty, a Git LFS pointer, a web page, an archive, or of no known format.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    if not head:
        raise WeightsError(f"{path} is empty")
    # First, since it begins with a length, which may look like the mark of any other format.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= _MAX_HEADER:
        return "safetensors"
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the file itself: `git lfs pull` fetches that")
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")) or head[257:262] == b"ustar":
        raise WeightsError(f"{path} is an archive: unpack it first")
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "pickle"
    markup = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if markup.startswith(b"<"):
        if b"<net" in markup and b"<html" not in markup:
            return "openvino"
        raise WeightsError(f"{path} looks like a web page: download the file itself, not the page about it")
    if head.startswith(b"\x08") or path.suffix.lower() == ".onnx":
        return "onnx"
    raise WeightsError(
        f"{path} is of no known format: it begins with {head[:8]!r}, "
        "wanted a torch checkpoint, safetensors, ONNX, or the .xml of OpenVINO"
    )


def file_sha256(*paths: Path) -> str:
    """Hash one file, or several as if they were one.

    Parameters
    ----------
    *paths : Path
        In this order: the same as `cat PATHS | sha256sum` gives.

    Returns
    -------
    sha256 : str
        64 lower-case hex digits.

    Raises
    ------
    WeightsError
        A file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
        except OSError as error:
            raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def files_beside(path: Path, kind: str) -> list[Path]:
    """Find the files that hold the numbers of a graph, where it does not hold them itself.

    Parameters
    ----------
    path : Path
        An ONNX graph, or the .xml of OpenVINO.
    kind : "onnx" or "openvino"

    Returns
    -------
    paths : list of Path
        Sorted by name; empty where an ONNX graph holds its numbers itself.

    Raises
    ------
    WeightsError
        The graph is damaged, a file is missing, or the graph names one outside its folder.
    """
    if kind == "openvino":
        return [_beside(path, path.with_suffix(".bin").name)]
    import onnx
    from google.protobuf.message import DecodeError

    try:
        network = onnx.load_model_from_string(path.read_bytes())
    except (DecodeError, OSError) as error:
        raise WeightsError(f"{path} is damaged (ONNX: {error})") from error
    if not network.graph.node:
        raise WeightsError(f"{path} is damaged (ONNX: there is no graph in it)")
    return [_beside(path, location) for location in sorted(set(_external_locations(network)))]


def _external_locations(message):
    """Names of the files that the tensors of an ONNX message lie in, wherever in it a tensor stands."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            if descriptor.name == "external_data" and part.key == "location":
                yield os.fsdecode(part.value)  # bytes, where they are no UTF-8
            yield from _external_locations(part)


def _beside(path, name):
    # Links are followed: whoever made the folder set them (the hub's cache is made of them), not the graph.
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise WeightsError(f"{path} has its numbers in {name!r:.200}, outside its own folder: not read")
    file = path.parent / name
    try:
        there = file.is_file()
    except OSError:  # a name that is too long
        there = False
    if not there:
        raise WeightsError(f"no file {name!r:.200} beside {path}, whose numbers it holds")
    return file
