"""Which processors there are, asked of the system itself so that no engine need be imported to know."""

import ctypes
import re

import joblib

from ..errors import EngineError

__all__ = ["absent_device", "count_cpus", "count_cuda_devices", "expand_devices", "parse_device", "parse_devices"]

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


def parse_devices(names):
    """Take a list of devices apart.

    Parameters
    ----------
    names : str
        Devices as of `parse_device`, with commas between.

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        A name that is none, one that stands twice, or several that are not all CUDA.
    """
    devices = [name.strip() for name in names.split(",")]
    kinds = {parse_device(device)[0] for device in devices}
    if len(set(devices)) < len(devices) or (len(devices) > 1 and (kinds != {"cuda"} or "cuda" in devices)):
        raise ValueError(f"several devices are CUDA's, each named once, as in cuda:0,cuda:1; found {names!r}")
    return devices


def expand_devices(names):
    """The single devices behind a name: `cuda` is all of them.

    Parameters
    ----------
    names : str
        As of `parse_devices`.

    Returns
    -------
    list of str
        At least one; `cuda` stays where there is no device, for the engine to refuse.
    """
    devices = parse_devices(names)
    count = count_cuda_devices() if devices == ["cuda"] else 0
    return [f"cuda:{index}" for index in range(count)] if count > 1 else devices


def absent_device(device, engine, found):
    """Word the error for a device that was asked for and is not there.

    Parameters
    ----------
    device, engine : str
    found : str
        What there is instead.

    Returns
    -------
    EngineError
    """
    return EngineError(f"the {engine} engine finds no device {device!r}; it finds {found}")
