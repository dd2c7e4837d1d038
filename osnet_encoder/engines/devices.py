"""Which processors there are, asked of the system itself so that no engine need be imported to know."""

import ctypes
import re

import joblib

from ..errors import EngineError

__all__ = ["count_cpus", "count_cuda_devices", "parse_device"]

_DEVICE = re.compile(r"(?P<kind>cpu|cuda|mps)(?::(?P<index>\d+))?\Z")


def count_cpus():
    """The processors that this process may use: affinity and the container's quota counted in.

    Returns
    -------
    int
        At least 1.
    """
    return joblib.cpu_count()


def count_cuda_devices():
    """The CUDA devices that the driver offers, without importing torch (which takes seconds).

    Returns
    -------
    int
        0 where there is no driver; CUDA_VISIBLE_DEVICES counts.
    """
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


def parse_device(name):
    """Take a device's name apart.

    Parameters
    ----------
    name : str
        `cpu`, `mps`, `cuda` or `cuda:1`.

    Returns
    -------
    kind : str
    index : int
        0 if not given.

    Raises
    ------
    ValueError
        Another name.
    """
    match = _DEVICE.match(name)
    if match is None:
        raise ValueError(f"no device {name!r}; there are cpu, cuda, cuda:N, mps, and auto")
    return match["kind"], int(match["index"] or 0)


def absent_device(device, engine, found):
    """The error for a device that was asked for and is not there."""
    return EngineError(f"the {engine} engine finds no device {device!r}; it finds {found}")
