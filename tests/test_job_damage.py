"""Inputs that are damaged, places that cannot be written to: a clear message, exit code 1, nothing published."""

import gzip
import os
import subprocess
import sys

import pandas as pd
import pytest

from osnet_encoder.crops import encode_crop
from pictures import draw_crop

FRAME = pd.DataFrame({"id": range(40), "crop": [encode_crop(draw_crop(number)) for number in range(40)]})


def csv_bytes():
    return FRAME.to_csv(index=False).encode()


def write_csv(change):
    def write(folder):
        (folder / "in.csv").write_bytes(change(csv_bytes()))
        return "in.csv"

    return write


def cut_gzip(folder):
    (folder / "in.csv.gz").write_bytes(gzip.compress(csv_bytes())[:-500])
    return "in.csv.gz"


def cut_parquet(folder):
    FRAME.to_parquet(folder / "in.parquet")
    data = (folder / "in.parquet").read_bytes()
    (folder / "in.parquet").write_bytes(data[: len(data) // 2])
    return "in.parquet"


def flipped_parquet(folder):
    FRAME.to_parquet(folder / "in.parquet", write_page_checksum=True)
    data = bytearray((folder / "in.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "in.parquet").write_bytes(data)
    return "in.parquet"


DAMAGE = {
    "a CSV that ends within quotes": (
        write_csv(lambda data: data[: data.rindex(b"}") - 20]),
        "is damaged in row 39: a quote is opened and never closed",
    ),
    "a CSV that ends within a row": (
        write_csv(lambda data: data + b"40"),
        "is damaged in row 40: it has 1 cell where",
    ),
    "a quote that is never closed": (
        write_csv(lambda data: data.replace(b'"\n5,', b"\n5,", 1)),
        "is damaged in row 4: text follows a closing quote",
    ),
    "a compressed CSV that breaks off": (cut_gzip, "cannot read in.csv.gz: "),
    "UTF-16": (write_csv(lambda data: data.decode().encode("utf-16")), "is UTF-16 text, wanted UTF-8"),
    "Latin-1": (write_csv(lambda data: data + b'40,"M\xfcller"\n'), "is not UTF-8 text: byte 0xfc"),
    "two columns of one name": (
        write_csv(lambda data: data.replace(b"id,", b"crop,", 1)),
        "has more than one column named 'crop'",
    ),
    "a column that is not there": (
        write_csv(lambda data: data.replace(b",crop", b",image", 1)),
        "no column 'crop' in the table; it has id, image",
    ),
    "an empty file": (write_csv(lambda data: b""), "in.csv is empty, wanted a header at least"),
    "a Parquet file that breaks off": (cut_parquet, "cannot read in.parquet: "),
    "a flipped bit in a Parquet file": (flipped_parquet, "cannot read in.parquet: "),
}


def run(folder, *words):
    command = [sys.executable, "-m", "osnet_encoder.cli.encode", *words, "--weights", "untrained:osnet_x0_25"]
    command += ["--column", "crop", "--patch-size", "32x16", "--log-level", "error"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_input_is_named_and_the_old_output_stays(tmp_path, damage):
    write, message = DAMAGE[damage]
    source = write(tmp_path)
    (tmp_path / "out.csv").write_text("old")
    done = run(tmp_path, source, "out.csv", "--overwrite")
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert (tmp_path / "out.csv").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} <= {source, "out.csv", ".out.csv.lock"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_named(tmp_path):
    write_csv(lambda data: data)(tmp_path)
    (tmp_path / "shut").mkdir(mode=0o500)
    done = run(tmp_path, "in.csv", "shut/out.csv")
    assert done.returncode == 1
    assert "error: cannot write shut/out.csv: the folder" in done.stderr


def test_an_output_that_is_a_folder_is_named(tmp_path):
    write_csv(lambda data: data)(tmp_path)
    (tmp_path / "out.parquet").mkdir()
    done = run(tmp_path, "in.csv", "out.parquet", "--overwrite")
    assert done.returncode == 1
    assert done.stderr == "error: out.parquet is a folder, wanted the name of a file to write\n"
