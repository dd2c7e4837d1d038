"""Disks that fail: the k-th write, fsync, rename or deletion, for every k; and one that is really full."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from kill import check_place, contents, put_old
from osnet_encoder import OsNetEncoder, TableError, encode_table
from osnet_encoder.crops import encode_crop
from pictures import draw_crop

ROWS, PART_ROWS = 5, 3


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder(
        "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", batch_size=4, patch_size=(32, 16)
    )


@pytest.fixture
def table(tmp_path):
    cells = [encode_crop(draw_crop(number)) for number in range(ROWS)]
    cells[1] = "broken"
    pd.DataFrame({"id": range(ROWS), "crop": cells}).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


class FaultyDisk:
    """Lets the k-th write, fsync, rename, or deletion of a published file fail, and counts them."""

    def __init__(self, patch, fails_at=None, number=errno.ENOSPC):
        self.calls = 0
        self.fails_at, self.number = fails_at, number
        for name in ("fsync", "replace", "rename"):
            patch.setattr(os, name, self._wrap(getattr(os, name)))
        unlink, faulty_unlink = os.unlink, self._wrap(os.unlink)
        # what else is deleted is in nobody's way, and may as well stay
        patch.setattr(
            os, "unlink", lambda path, **more: (faulty_unlink if _is_published(path) else unlink)(path, **more)
        )
        really_open = io.open
        patch.setattr(io, "open", lambda *words, **more: self._file(really_open(*words, **more)))

    def _wrap(self, call):
        def wrapped(*words, **more):
            self.calls += 1
            if self.calls == self.fails_at:
                raise OSError(self.number, os.strerror(self.number))
            return call(*words, **more)

        return wrapped

    def _file(self, file):
        if isinstance(file, io.BufferedWriter):
            return FaultyFile(file, self._wrap(file.write))
        return file


def _is_published(path):
    path = Path(path)
    return path.parent.name.endswith("_out") and path.name.startswith(("_SUCCESS", "part-"))


class FaultyFile:
    """A file whose `write` is another one."""

    def __init__(self, file, write):
        self._file, self.write = file, write

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet", "out/"])
@pytest.mark.parametrize("there", [False, True])
def test_whichever_write_fsync_rename_or_deletion_fails_nothing_is_lost(encoder, table, name, there, monkeypatch):
    whole = f"{table.parent}/whole_{name}"
    words = {"part_rows": PART_ROWS, "overwrite": True}
    if there:
        put_old(whole)
    with monkeypatch.context() as patch:
        disk = FaultyDisk(patch)
        encode_table(table, whole, encoder, **words)
    wanted = contents(whole)
    assert disk.calls > 30
    for k in range(1, disk.calls + 1):
        target = f"{table.parent}/{k}_{name}"
        before = put_old(target) if there else None
        number = errno.ENOSPC if k % 3 else errno.EIO
        with monkeypatch.context() as patch:
            FaultyDisk(patch, k, number)
            with pytest.raises(TableError, match=f"^cannot write .*: {os.strerror(number)}$"):
                encode_table(table, target, encoder, **words)
        check_place(target, before, wanted)
        assert not list(table.parent.glob(".*.partial")), k
        summary = encode_table(table, target, encoder, **words)
        assert summary.rows == ROWS
        assert contents(target) == wanted, k


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_disk_that_is_really_full_is_an_error_with_nothing_published(table, name):
    # as the parts fit and the output does not, all of them are kept
    code = (
        "import resource, sys\n"
        "from osnet_encoder.cli.encode import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (12_500, 12_500))\n"
        "main(sys.argv[1:])\n"
    )
    words = [str(table), str(table.with_name(name)), "--weights", "untrained:osnet_x0_25", "--patch-size", "32x16"]
    words += ["--part-rows", str(PART_ROWS), "--keep-crops"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "error: cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert not Path(table.with_name(name)).exists()
    folder = table.with_name(f"{name}.job")
    assert not list(folder.glob("staged*"))
    assert not list(folder.glob(".*.partial"))
    assert len(list(folder.glob("part-*"))) == 2
