"""Batches encoded by processes: the same answers, the same errors, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import numpy as np
import pandas as pd
import pytest

from osnet_encoder import CropError, EngineError, OsNetEncoder, WeightsError
from osnet_encoder.crops import encode_crop
from osnet_encoder.patches import PatchSpec
from osnet_encoder.processes import map_in_processes
from osnet_encoder.weights import load, save
from pictures import draw_crop

UNTRAINED = "untrained:osnet_x0_25"
CROPS = [draw_crop(number, 30 + number, 20) for number in range(9)]
CELLS = [encode_crop(crop) for crop in CROPS]
CELLS[2], CELLS[5] = "", "broken"


def encoder(parallel, weights=UNTRAINED, **settings):
    settings = {"device": "cpu", "patch_size": (32, 16), "batch_size": 2, "threads": 2, **settings}
    return OsNetEncoder(weights, parallel=parallel, **settings)


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_processes_give_what_threads_give(engine):
    column = pd.Series(CELLS, dtype="string")
    by = {
        parallel: encoder(parallel, engine=engine, on_error="null", normalize=True)
        for parallel in ("threads", "processes")
    }
    found = {parallel: one.encode(column) for parallel, one in by.items()}
    assert np.array_equal(found["processes"], found["threads"], equal_nan=True)
    reports = [one.last_report for one in by.values()]
    assert reports[0].broken.keys() == reports[1].broken.keys() == {5}
    assert str(reports[0].broken[5]) == str(reports[1].broken[5])
    assert [report.missing for report in reports] == [1, 1]


def test_crops_and_paths_travel_too(tmp_path):
    from PIL import Image

    Image.fromarray(CROPS[0]).save(tmp_path / "one.png")
    settings = {"cells": "path", "root": tmp_path}
    column = ["one.png", CROPS[1]]
    found = encoder("processes", **settings).encode(column)
    assert np.array_equal(found, encoder("threads", **settings).encode(column))


def test_a_broken_cell_is_raised_with_its_row():
    with pytest.raises(CropError, match=r"^row 5: not_a_dict: ") as error:
        encoder("processes").encode(CELLS)
    assert error.value.row == 5


def test_weights_that_changed_meanwhile_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    tensors = dict(load(UNTRAINED).tensors)
    write = partial(save, path, spec=PatchSpec(32, 16), normalize=False)
    write(tensors)
    one = encoder("processes", path)
    name = "fc.1.bias"
    write({**tensors, name: tensors[name] + 1})
    with pytest.raises(WeightsError, match="changed after the encoder was made of it"):
        one.encode([CELLS[0]])


def test_processes_are_for_the_cpu():
    class Elsewhere:
        device = "cuda:0"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("osnet_encoder.encoder.open_engine", lambda *_, **__: Elsewhere())
        with pytest.raises(ValueError, match=r'^parallel="processes" is for the CPU, found the device cuda:0$'):
            encoder("processes")


def negative():
    return np.negative


def death():
    return lambda _: os._exit(9)


def test_results_come_in_order_and_only_so_many_items_are_drawn_ahead():
    drawn = []

    def items():
        for number in range(20):
            drawn.append(number)
            yield number

    results = map_in_processes(negative, items(), processes=2, ahead=4)
    assert next(results) == 0
    assert len(drawn) == 4
    assert list(results) == [-number for number in range(1, 20)]


def test_a_process_that_dies_is_an_error_and_no_hang():
    with pytest.raises(EngineError, match=r"^a worker process died; "):
        list(map_in_processes(death, range(8), processes=2, ahead=4))


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks for processes in /proc")  # noqa: PTH112
def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, time\n"
        "from osnet_encoder.processes import map_in_processes\n"
        "def make():\n"
        "    return lambda _: os.getpid()\n"
        "results = map_in_processes(make, range(10**9), processes=2, ahead=4)\n"
        "print(next(results), flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(child)


def is_running(number):
    with suppress(OSError), open(f"/proc/{number}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] != "Z"
    return False
