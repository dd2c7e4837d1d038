"""Which machine, and which versions, a measurement was made with."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter

__all__ = ["Busyness", "describe_machine"]

_PACKAGES = (
    "osnet-encoder", "numpy", "pandas", "pyarrow", "pillow", "torch", "onnxruntime", "openvino", "isal",
)  # fmt: skip


def describe_machine(threads: int, device: str = "cpu") -> dict:
    """Say what the figures depend on.

    Parameters
    ----------
    threads : int
        Processors that the measurement uses.
    device : str

    Returns
    -------
    dict
        Fit for JSON; None where the system does not say, or a package is not installed.
    """
    return {
        "processor": _processor(),
        "processors": os.cpu_count(),
        "processors_used": threads,
        "memory_bytes": _memory(),
        "device": device if device == "cpu" else f"{device}: {_gpu(device)}",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


class Busyness:
    """Watches, from when it is made, how much of the processors goes to others.

    A second program on the same processors does not slow all contenders alike: threads that wait for each other,
    as torch's do, suffer most, and every ratio to them is then too good.
    """

    def __init__(self):
        self._started = perf_counter()
        self._all, self._own = _busy_seconds(), sum(os.times()[:4])

    def others_share(self) -> float | None:
        """Say how much others had so far.

        Returns
        -------
        float or None
            0 to 1, of all processors; this process and those that it has waited for are not counted. None where
            the system does not say.
        """
        if self._all is None:
            return None
        others = (_busy_seconds() - self._all) - (sum(os.times()[:4]) - self._own)
        return max(0.0, others / ((perf_counter() - self._started) * (os.cpu_count() or 1)))


def _busy_seconds():
    """Seconds that all processors together were not idle, stolen ones counted in; None where nobody counts."""
    try:
        line = Path("/proc/stat").read_text(encoding="utf-8").partition("\n")[0]
    except OSError:  # not Linux
        return None
    user, nice, system, _idle, _waiting, *others = map(int, line.split()[1:9])
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not every system counts them
        return None


def _gpu(device):
    import torch

    return torch.cuda.get_device_name(device)


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
