"""The most that these cores could do: forward alone on ready batches, and decoding spread over all of them."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import thread_time

import numpy as np

from osnet_encoder.engines import Engine

from .agreement import Agreement, Disagreement, compare, worst
from .cases import Case, Settings, cases, open_lanes, pinned
from .pairs import Contender, run_in_turn, spread
from .subject import Subject, decode_all, rows_of_cases

__all__ = ["ceiling_rate", "contenders", "forward_together", "measure", "rates", "repeats", "report_ceiling"]


def ceiling_rate(forward: float, decode: float, threads: int, device: str = "cpu") -> float:
    """Say how many crops a second could be encoded at most.

    Parameters
    ----------
    forward : float
        Crops a second, with nothing else to do.
    decode : float
        Seconds of one core for each crop.
    threads : int
        Cores that decode.
    device : str

    Returns
    -------
    float
        Crops a second. On the CPU every crop needs its share of the same cores twice, `1 / (1 / F + d / cores)`;
        beside another device the cores have nothing else to do, and the slower of the two sets the pace.
    """
    decoded = threads / decode
    return 1 / (1 / forward + 1 / decoded) if device == "cpu" else min(forward, decoded)


def forward_together(lanes: list[Engine], patches: np.ndarray, times: int) -> np.ndarray:
    """Run ready batches, as many at once as there are lanes.

    Parameters
    ----------
    lanes : list of Engine
        As of `cases.open_lanes`.
    patches : uint8, (N, height, width, 3)
    times : int
        How often to go through the patches.

    Returns
    -------
    features : float32, (times * N, D)
    """
    size = lanes[0].batch_size
    starts = [*range(0, len(patches), size)] * times
    waiting: SimpleQueue = SimpleQueue()
    for place in enumerate(starts):
        waiting.put(place)
    answers: dict[int, np.ndarray] = {}

    def run(engine):
        with suppress(Empty):
            while True:
                at, start = waiting.get_nowait()
                answers[at] = engine.run(patches[start : start + size])

    with ThreadPoolExecutor(len(lanes)) as pool:
        list(pool.map(run, lanes))  # raises what a lane raised
    return np.concatenate([answers[at] for at in range(len(starts))])


def repeats(settings: Settings) -> int:
    """Say how often the crops are gone through to make the rows asked for.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    int
        At least 1.
    """
    return max(1, settings.rows // settings.crops)


def contenders(subject: Subject, case: Case, settings: Settings, seen: list[Agreement]) -> dict[str, Contender]:
    """Give what the ceiling is made of: `forward` by the clock, `decode` in seconds of one core.

    Parameters
    ----------
    subject : Subject
    case : Case
    settings : Settings
    seen : list of Agreement
        Appended to after each run.

    Returns
    -------
    dict of str to Contender

    Raises
    ------
    Absent
        As of `cases.open_lanes`.
    """
    lanes = open_lanes(subject.weights, case, settings, settings.threads)
    times = repeats(settings)
    wanted = np.tile(subject.reference, (times, 1))
    patches = np.empty_like(subject.patches)

    def check_decode(answer):
        if not np.array_equal(answer, subject.patches):
            raise Disagreement("decoding the same crops twice gave two different answers")

    return {
        "forward": Contender(
            pinned(1, forward_together, lanes, subject.patches, times),
            lambda answer: seen.append(compare(answer, wanted, case.precision)),
        ),
        "decode": Contender(partial(decode_all, subject.cells, patches), check_decode, thread_time),
    }


def rates(seconds: dict[str, list[float]], subject: Subject, settings: Settings) -> list[float]:
    """Work out the ceiling of each round.

    Parameters
    ----------
    seconds : dict of str to list of float
        Of the contenders above; others may be with them.
    subject : Subject
    settings : Settings

    Returns
    -------
    list of float
        Crops a second.
    """
    crops = len(subject.cells)
    return [
        ceiling_rate(repeats(settings) * crops / forward, decode / crops, settings.threads, settings.device)
        for forward, decode in zip(seconds["forward"], seconds["decode"], strict=True)
    ]


def report_ceiling(seconds: dict[str, list[float]], subject: Subject, settings: Settings) -> dict:
    """Turn seconds into the fields of a row.

    Parameters
    ----------
    seconds, subject, settings
        As of `rates`.

    Returns
    -------
    dict
    """
    crops = len(subject.cells)
    rows = repeats(settings) * crops
    return {
        "rows": rows,
        "seconds": seconds,
        "forward_per_second": spread([rows / spent for spent in seconds["forward"]]).as_dict(),
        "decode_microseconds": spread([1e6 * spent / crops for spent in seconds["decode"]]).as_dict(),
        "ceiling_per_second": spread(rates(seconds, subject, settings)).as_dict(),
    }


def measure(subject: Subject, settings: Settings) -> list[dict]:
    """Measure the ceiling of every case.

    Parameters
    ----------
    subject : Subject
    settings : Settings

    Returns
    -------
    rows : list of dict
        One a case.
    """

    def measure_case(case):
        seen: list[Agreement] = []
        seconds = run_in_turn(contenders(subject, case, settings, seen), settings.rounds)
        return {**report_ceiling(seconds, subject, settings), "agreement": worst(seen).as_dict()}

    return rows_of_cases(subject, cases(settings), measure_case)
