"""What is measured: settings, and the weights x engine x precision that they span."""

import importlib.util
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from osnet_encoder.encoder import OsNetEncoder
from osnet_encoder.engines import ENGINES, Engine, open_engine
from osnet_encoder.errors import EngineError
from osnet_encoder.weights import UNTRAINED, Weights

__all__ = [
    "NAMED_ENGINES",
    "USUAL_PRECISIONS",
    "Absent",
    "Case",
    "Settings",
    "cases",
    "open_encoder",
    "open_lanes",
    "pinned",
    "shown_name",
]

# fp16 is for GPUs: on the CPU torch alone has it, and crawls.
USUAL_PRECISIONS = ("fp32", "bf16")

NAMED_ENGINES = tuple(name for name in ENGINES if name != "auto")

# What must be installed for an engine, where that is not the engine's own name.
_PACKAGES = {"onnx": "onnxruntime"}


class Absent(Exception):
    """An engine or a precision that cannot be measured here; the message says why, for the table of results."""


@dataclass(frozen=True)
class Settings:
    """What is measured, and how long.

    Parameters
    ----------
    weights : tuple of str
        As `osnet_encoder.weights.load` takes them.
    engines, precisions : tuple of str
    sizes : tuple of str
        Of the crops: `HEIGHTxWIDTH`, or `varied` for what was drawn or packed.
    crops : int
        How many different ones.
    rows : int
        Of a table on disk; the crops are repeated.
    rounds : int
    threads : int
        Processors for every contender.
    device : str
    batch_size : int or None
        Of our encoder; the engine's own choice if None.
    labels : str or None
        A table of crop strings to use instead of drawn crops.
    memory_size : str
    memory_rows : tuple of int
    """

    weights: tuple[str, ...]
    engines: tuple[str, ...] = NAMED_ENGINES
    precisions: tuple[str, ...] = USUAL_PRECISIONS
    sizes: tuple[str, ...] = ("256x128",)
    crops: int = 256
    rows: int = 2048
    rounds: int = 5
    threads: int = 1
    device: str = "cpu"
    batch_size: int | None = None
    labels: str | None = None
    memory_size: str = "16x8"
    memory_rows: tuple[int, ...] = (10_000, 100_000)


@dataclass(frozen=True)
class Case:
    """One engine at one precision."""

    engine: str
    precision: str

    def as_dict(self) -> dict[str, str]:
        """Give it as a dict, fit for JSON."""
        return asdict(self)


def cases(settings: Settings) -> list[Case]:
    """List every engine at every precision.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    list of Case
    """
    return list(itertools.starmap(Case, itertools.product(settings.engines, settings.precisions)))


def open_encoder(weights: str, case: Case, settings: Settings) -> OsNetEncoder:
    """Open our encoder for one case.

    Parameters
    ----------
    weights : str
    case : Case
    settings : Settings

    Returns
    -------
    OsNetEncoder
        Not scaling to unit length, since the baselines do not.

    Raises
    ------
    Absent
        The engine is not installed, cannot start, or does not offer the precision.
    """
    with _absent_if_refused(case):
        return OsNetEncoder(
            weights,
            engine=case.engine,
            precision=case.precision,
            device=settings.device,
            threads=settings.threads,
            batch_size=settings.batch_size,
            normalize=False,
        )


def open_lanes(weights: Weights, case: Case, settings: Settings, threads: int) -> list[Engine]:
    """Open engines such that as many batches are run at once as there are threads, each by a single one.

    Parameters
    ----------
    weights : Weights
    case : Case
    settings : Settings
    threads : int

    Returns
    -------
    list of Engine
        One for each who may call at once. All the same engine where it takes so many callers, which is how
        OpenVINO wants it: engines that it opens one by one share the first processor. On a GPU always the same.

    Raises
    ------
    Absent
        As of `open_encoder`.
    """
    with _absent_if_refused(case):
        engine = open_engine(weights, case.engine, settings.device, threads, case.precision)
        if settings.device != "cpu" or engine.callers == threads:
            return [engine] * engine.callers
        return [open_engine(weights, case.engine, "cpu", 1, case.precision) for _ in range(threads)]


def pinned(threads: int, work: Callable, *arguments) -> Callable:
    """Bind a piece of work to its arguments and to a number of torch's threads.

    That number belongs to the whole process: whoever opened a torch engine last has set it for all.

    Parameters
    ----------
    threads : int
    work : callable
    *arguments
        Of `work`.

    Returns
    -------
    callable
        Without arguments.
    """
    import torch

    def run():
        torch.set_num_threads(threads)
        return work(*arguments)

    return run


def shown_name(weights: str) -> str:
    """Name weights in results: without folders, which are nobody else's business, and without `untrained:`.

    Parameters
    ----------
    weights : str
        As the user named them.

    Returns
    -------
    str
        A variant, or the name of a file.
    """
    return weights.removeprefix(UNTRAINED).replace("\\", "/").rpartition("/")[2]


@contextmanager
def _absent_if_refused(case) -> Iterator[None]:
    package = _PACKAGES.get(case.engine, case.engine)
    if importlib.util.find_spec(package) is None:
        raise Absent("not installed")
    try:
        yield
    except (EngineError, ValueError) as error:
        raise Absent(str(error)) from error
