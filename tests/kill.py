"""Kill a job again and again, at random moments, and look at what is there each time.

    python tests/kill.py --times 200

A run that is killed is followed by one that goes on, which may be killed too. One that ends is compared with a run
that nobody killed, byte for byte; then the next output is begun.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from osnet_encoder.crops import encode_crop
from pictures import draw_crop

__all__ = ["KINDS", "Killing", "check_place", "contents", "kill_jobs", "make_table", "put_old", "stop_at_move"]

KINDS = ("out.csv", "out.csv.gz", "out.csv.zst", "out.parquet", "out/")
ROWS = 480
OLD = b"what was there before"


@dataclass
class Killing:
    """What was done to jobs of one kind: `moments` counts kills by what they found in `OUTPUT.job`."""

    kills: int = 0
    outputs: int = 0
    moments: Counter = field(default_factory=Counter)


def make_table(folder):
    """A table with missing, broken and equal crops in it."""
    cells = [encode_crop(draw_crop(number % 97)) for number in range(ROWS)]
    cells[5::61] = ["broken"] * len(cells[5::61])
    cells[7::53] = [""] * len(cells[7::53])
    path = Path(folder, "in.csv")
    pd.DataFrame({"id": range(ROWS), "crop": cells}).to_csv(path, index=False)
    return path


def put_old(target):
    """Put something where an output will go, as another job might have; what it is, as `contents` tells it."""
    if target.endswith("/"):
        Path(target).mkdir()
        for name in ("_SUCCESS", "part-00000.parquet", "part-00099.parquet"):
            Path(target, name).write_bytes(OLD)
    else:
        Path(target).write_bytes(OLD)
    return contents(target)


def contents(target):
    """What is at an output's place: bytes, or bytes by name where it is a folder; None where nothing is."""
    place = Path(target)
    if place.is_dir():
        return {path.name: path.read_bytes() for path in place.iterdir()}
    return place.read_bytes() if place.exists() else None


def check_place(target, before, wanted):
    """The place holds what was there before, or the whole new output; a folder without `_SUCCESS` part of one."""
    found = contents(target)
    if isinstance(found, dict) and "_SUCCESS" not in found:
        assert found.items() <= wanted.items() or found.items() <= before.items(), f"{target} mixes them"
    else:
        assert found in (before, wanted), f"{target} is half written"


def stop_at_move(patch, folder, k, stop):
    """Raise `stop` instead of the k-th move of a file into a folder, or deletion of one in it."""
    calls = 0

    def wrap(call):
        def wrapped(*paths, **more):
            nonlocal calls
            if Path(paths[-1]).parent == folder:
                calls += 1
                if calls == k:
                    raise stop
            return call(*paths, **more)

        return wrapped

    for name in ("replace", "unlink"):
        patch.setattr(os, name, wrap(getattr(os, name)))


def kill_jobs(folder, name, times, chance):
    """Kill jobs that make `name` so many times; AssertionError where something is not as it should be."""
    table = make_table(folder)
    started = time.monotonic()
    whole = f"{folder}/whole_{name}"
    _start(table, whole).wait()
    lasts = time.monotonic() - started
    wanted = contents(whole)
    done = Killing()
    while done.kills < times or not done.outputs:
        target = f"{folder}/{done.outputs}_{name}"
        before = put_old(target) if done.outputs % 2 else None
        whole_run = True
        while True:
            started = time.monotonic()
            process = _start(table, target)
            try:
                code = process.wait(chance.uniform(0.3, 1.05) * lasts if done.kills < times else 100)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                done.kills += 1
                whole_run = False
                done.moments[_moment(target)] += 1
                check_place(target, before, wanted)
                continue
            assert code == 0, process.stderr
            # where the machine has become faster meanwhile, or no moment would be early enough
            lasts = min(lasts, time.monotonic() - started) if whole_run else lasts
            break
        assert contents(target) == wanted
        assert contents(_job_folder(target)).keys() == {"manifest.json", "rejects.csv"}
        done.outputs += 1
    return done


def _start(table, target):
    words = ["--weights", "untrained:osnet_x0_25", "--engine", "onnx", "--device", "cpu", "--patch-size", "32x16"]
    words += ["--batch-size", "4", "--part-rows", "12", "--max-error-rate", "0.1", "--overwrite"]
    words += ["--log-level", "error"]
    command = [sys.executable, "-m", "osnet_encoder.cli.encode", str(table), target, *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _job_folder(target):
    return Path(f"{Path(target)}.job")


def _moment(target):
    folder = _job_folder(target)
    if not folder.exists():
        return "before the job"
    names = {path.name for path in folder.iterdir()}
    if (
        target.endswith("/")
        and "staged" in names
        and '"staged": null' not in (folder / "manifest.json").read_text()
    ):
        return "while filling the folder"
    if any(name.startswith("staged") for name in names):
        return "while publishing"
    if any(name.endswith(".partial") for name in names):
        return "while writing a file"
    return "between parts" if any(name.startswith("part-") for name in names) else "without parts"


def main():
    """Kill, and print a line a kind."""
    parser = argparse.ArgumentParser(description="kill jobs at random moments, and look at what is there")
    parser.add_argument("--times", type=int, default=200, help="over all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    for name in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            done = kill_jobs(folder, name, -(-arguments.times // len(KINDS)), chance)
        sys.stdout.write(f"{name}: {done.kills} kills, {done.outputs} outputs, {dict(done.moments)}\n")


if __name__ == "__main__":
    main()
