"""One job an output, even after one that was killed; and what a worker's death looks like."""

import json
import os
import socket
import subprocess
import sys

import pandas as pd
import pytest
from filelock import FileLock

from osnet_encoder import JobError, OsNetEncoder, encode_table
from osnet_encoder.crops import encode_crop
from osnet_encoder.job.hold import hold
from pictures import draw_crop


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder("untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", patch_size=(32, 16))


@pytest.fixture
def table(tmp_path):
    pd.DataFrame({"crop": [encode_crop(draw_crop(1))]}).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def test_the_message_says_who_holds_the_output(tmp_path):
    target, folder = tmp_path / "out.csv", tmp_path / "out.csv.job"
    with hold(target, folder):
        since = json.loads((folder / "holder.json").read_text())["since"]
        with pytest.raises(JobError) as caught, hold(target, folder):
            pass
    assert caught.value.reason == "locked"
    assert str(caught.value) == (
        f"another job is writing {str(target)!r}: process {os.getpid()} on {socket.gethostname()}, since {since}"
    )
    assert not folder.exists()


@pytest.mark.parametrize("note", [None, "", "[]", "{}", "[" * 100_000])
def test_a_lock_without_a_note_that_can_be_read_is_a_lock(tmp_path, note):
    target = tmp_path / "out.csv"
    if note is not None:
        (tmp_path / "out.csv.job").mkdir()
        (tmp_path / "out.csv.job" / "holder.json").write_text(note)
    locked = pytest.raises(JobError, match="another job is writing '.*out.csv'$")
    with FileLock(tmp_path / ".out.csv.lock"), locked, hold(target, tmp_path / "out.csv.job"):
        pass


def test_what_a_killed_job_left_behind_locks_nothing(encoder, table):
    target = table.with_name("out.csv")
    code = (
        "import os, pathlib, sys\n"
        "from osnet_encoder.job.hold import hold\n"
        "target = pathlib.Path(sys.argv[1])\n"
        "with hold(target, target.with_name('out.csv.job')): os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == 9
    assert (table.parent / ".out.csv.lock").exists()
    assert (table.parent / "out.csv.job" / "holder.json").exists()
    assert encode_table(table, target, encoder).state == "published"


def test_a_worker_that_dies_ends_the_job_with_what_it_died_of(table, monkeypatch):
    dying = OsNetEncoder("untrained:osnet_x0_25", device="cpu", engine="onnx", patch_size=(32, 16))
    run, answers = dying.engine.run, []

    def die(patches):
        if answers:  # the first is the self-test's
            raise RuntimeError("the library died")
        answers.append(run(patches))
        return answers[0]

    monkeypatch.setattr(dying.engine, "run", die)
    with pytest.raises(RuntimeError, match="^the library died$"):
        encode_table(table, table.with_name("out.csv"), dying)
    assert [path.name for path in table.parent.iterdir() if not path.name.startswith(".")] == ["in.csv"]
