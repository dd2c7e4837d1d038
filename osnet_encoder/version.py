"""The version, as installed."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

try:
    __version__ = version("osnet-encoder")
except PackageNotFoundError:
    __version__ = "0+checkout"
