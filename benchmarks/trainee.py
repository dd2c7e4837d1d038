"""A contender of `benchmarks.train`, in a process of its own: how memory is kept, a whole process decides."""

import itertools
import multiprocessing
from time import perf_counter

import torch

from .lesson import Plan, open_lesson
from .our_training import OurLoop, gather
from .plain_training import PlainLoop
from .processes import ProcessFailed

__all__ = ["KINDS", "Trainee"]

KINDS = ("ours", "plain")


class Trainee:
    """A process that trains when it is told to; a context manager that ends it.

    Parameters
    ----------
    kind : "ours" or "plain"
    plan : Plan

    Attributes
    ----------
    decode_seconds : float
        What it took to decode every crop once, before training; 0 for `plain`.
    still_loss : float
        Mean over the batches, without augmentation and without anything learnt.

    Raises
    ------
    ProcessFailed
        The labels or the crops are not there, or not fit.
    """

    def __init__(self, kind: str, plan: Plan):
        context = multiprocessing.get_context("spawn")  # a fork would tear torch's threads apart
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, kind, plan), daemon=True)
        self._process.start()
        there.close()
        try:
            self.decode_seconds, self.still_loss = self._answer()
        except ProcessFailed:
            self._process.join()
            raise

    def train(self) -> float:
        """Train for as many batches as the plan says.

        Returns
        -------
        seconds : float

        Raises
        ------
        ProcessFailed
            It ended.
        """
        self._here.send(True)
        return self._answer()

    def __enter__(self) -> "Trainee":
        return self

    def __exit__(self, *_) -> None:
        self._here.close()
        self._process.join()

    def _answer(self):
        try:
            fault, answer = self._here.recv()
        except EOFError:
            self._process.join()
            fault = f"ended with code {self._process.exitcode}"
        if fault:
            raise ProcessFailed(f"the process that trains {fault}")
        return answer


def _serve(end, kind: str, plan: Plan) -> None:
    """Answer until the other end is closed: a fault or None, and what was asked for."""
    try:
        decode_seconds, still, loop = _open(kind, plan)
        end.send((None, (decode_seconds, still.run(0))))
        for epoch in itertools.count():
            end.recv()
            started = perf_counter()
            loop.run(epoch)
            end.send((None, perf_counter() - started))
    except EOFError:
        return
    except Exception as error:  # whatever it is, the other end must hear of it
        end.send((f"stopped: {error}", None))


def _open(kind, plan):
    """The seconds that decoding took, the loop that learns nothing, and the one that is timed."""
    torch.set_num_threads(plan.threads)
    lesson = open_lesson(plan)
    patches, seconds = gather(lesson) if kind == "ours" else (None, 0.0)
    loops = []
    for one in (lesson.without_chance(), lesson):
        torch.manual_seed(0)
        loops.append(PlainLoop(one) if patches is None else OurLoop(one, patches))
    return seconds, *loops
