"""Fresh Python processes, for what only a fresh process can show: start-up, and peak memory."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["ProcessFailed", "run_python"]

_CHECKOUT = Path(__file__).resolve().parents[1]


class ProcessFailed(Exception):
    """A process ended with an error; the message has its last words."""


def run_python(*arguments: str | Path) -> str:
    """Run Python, and wait for it.

    Parameters
    ----------
    *arguments : str or Path
        Behind `python`. This checkout's packages are found from anywhere.

    Returns
    -------
    str
        What it printed.

    Raises
    ------
    ProcessFailed
        It ended with another code than 0.
    """
    command = [sys.executable, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_words = "\n".join(done.stderr.splitlines()[-5:])
        raise ProcessFailed(f"{' '.join(command[1:])} ended with code {done.returncode}: {last_words}")
    return done.stdout
