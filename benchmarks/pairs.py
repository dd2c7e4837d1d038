"""Contenders timed in turn, A, B, A, B, ..., so that whatever else the machine does befalls all of them alike."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

__all__ = ["Contender", "Spread", "ratio", "run_in_turn", "spread"]

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Contender:
    """One way of doing the work.

    Parameters
    ----------
    work : callable
        Without arguments; what it returns goes to `check`.
    check : callable, optional
        Called with the answer of every run, outside the clock.
    clock : callable or None
        Gives seconds; None where the answer itself is the seconds.
    """

    work: Callable[[], Any]
    check: Callable[[Any], object] | None = None
    clock: Callable[[], float] | None = perf_counter


@dataclass(frozen=True)
class Spread:
    """A median between the lowest and the highest value."""

    median: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Give it as a dict, fit for JSON."""
        return asdict(self)


def run_in_turn(contenders: Mapping[Name, Contender], rounds: int) -> dict[Name, list[float]]:
    """Run every contender once a round.

    Parameters
    ----------
    contenders : mapping of names to Contender
    rounds : int
        At least 1. One more comes first and is not timed: it fills caches and starts threads.

    Returns
    -------
    seconds : dict of names to list of float
        One number a round.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, contender in contenders.items():
            spent, answer = _run(contender)
            if contender.check is not None:
                contender.check(answer)
            if turn > 0:
                seconds[name].append(spent)
    return seconds


def spread(values: Sequence[float]) -> Spread:
    """Summarise one number a round.

    Parameters
    ----------
    values : sequence of float
        At least one.

    Returns
    -------
    Spread
    """
    return Spread(median(values), min(values), max(values))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Compare two contenders of one run.

    Parameters
    ----------
    above, below : sequence of float
        One number a round, of the same rounds.

    Returns
    -------
    Spread
        The ratio of the medians, between the lowest and the highest ratio within a round or, where noise puts
        it outside, itself.
    """
    within = [a / b for a, b in zip(above, below, strict=True)]
    middle = median(above) / median(below)
    return Spread(middle, min(middle, *within), max(middle, *within))


def _run(contender):
    if contender.clock is None:
        spent = answer = contender.work()
        return spent, answer
    started = contender.clock()
    answer = contender.work()
    return contender.clock() - started, answer
