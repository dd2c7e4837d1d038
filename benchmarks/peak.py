"""Run a command and say how much memory it took at most: `python peak.py COMMAND ...` prints a line of JSON.

A small program of its own, because the system counts a parent's memory as its child's until the child has loaded
its own program: a parent with torch in it would be what is measured.
"""

import json
import resource
import subprocess
import sys
from time import perf_counter

__all__ = ["main"]


def main(command: list[str]) -> None:
    """Run a command, wait for it, print `seconds` and `peak_bytes`, and end with its exit code.

    Parameters
    ----------
    command : list of str
        What it prints goes to the error stream.
    """
    started = perf_counter()
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    seconds = perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak * unit}))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
