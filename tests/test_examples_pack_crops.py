"""Packing images into crop strings: pixels and other columns unharmed, and nothing half-written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from examples import pack_crops as script
from examples.pack_crops import pack_crops
from osnet_encoder.crops import decode_crop
from osnet_encoder.errors import CropError, TableError

CROP = np.random.default_rng(0).integers(0, 256, (12, 7, 3), np.uint8)


@pytest.fixture
def labels(tmp_path):
    """Write a labels table (text) beside one picture, `a.png`; gives its path."""
    Image.fromarray(CROP).save(tmp_path / "a.png")

    def write(text, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def read(path):
    """Header and rows, all as text."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return [list(frame), *frame.to_numpy().tolist()]


def test_pixels_come_through_as_they_are(labels, tmp_path):
    assert pack_crops(labels("img_path,person_id\na.png,0001\n"), tmp_path / "out.csv") == (1, 0)
    header, row = read(tmp_path / "out.csv")
    assert header == ["img_path", "person_id", "crop"]
    assert row[:2] == ["a.png", "0001"]
    assert np.array_equal(decode_crop(row[2]), CROP)


def test_other_columns_keep_their_text_and_their_order(labels, tmp_path):
    before, after = ["0001", "1.10", "NA"], ["", 'two\n"lines"', "ä,b"]
    text = 'c0,c1,c2,img_path,c3,c4,c5\r\n0001,1.10,NA,a.png,,"two\n""lines""","ä,b"\r\n'
    pack_crops(labels(text), tmp_path / "out.csv")
    header, row = read(tmp_path / "out.csv")
    assert header == ["c0", "c1", "c2", "img_path", "c3", "c4", "c5", "crop"]
    assert row[:7] == [*before, "a.png", *after]


def test_a_parquet_table_holds_the_same_as_text(labels, tmp_path):
    pack_crops(labels("person_id,img_path,note\n0001,a.png,\n0002,,x\n"), tmp_path / "out.parquet")
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert list(frame["person_id"]) == ["0001", "0002"]
    assert list(frame["note"].isna()) == [True, False]
    assert list(frame["crop"].isna()) == [False, True]
    assert np.array_equal(decode_crop(frame["crop"][0]), CROP)


def test_a_row_without_a_path_has_a_missing_crop(labels, tmp_path):
    assert pack_crops(labels("img_path,person_id\n,0001\na.png,0002\n"), tmp_path / "out.csv") == (2, 1)
    assert read(tmp_path / "out.csv")[1] == ["", "0001", ""]


def test_a_grey_picture_has_three_channels(labels, tmp_path):
    Image.fromarray(CROP[..., 0]).save(tmp_path / "grey.png")
    pack_crops(labels("img_path\ngrey.png\n"), tmp_path / "out.csv")
    crop = decode_crop(read(tmp_path / "out.csv")[1][1])
    assert np.array_equal(crop, np.repeat(CROP[..., :1], 3, axis=2))


def test_paths_are_relative_to_the_table_or_to_a_root(labels, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    path = labels("img_path\na.png\n")
    pack_crops(path, "here.csv")
    with pytest.raises(CropError):
        pack_crops(path, "there.csv", root=other)
    (other / "a.png").write_bytes((tmp_path / "a.png").read_bytes())
    pack_crops(path, "there.csv", root=other)
    assert read("here.csv") == read("there.csv")


def test_a_limit_stops_early_and_a_column_may_have_another_name(labels, tmp_path):
    path = labels("img_path\na.png\na.png\nnot there\n")
    assert pack_crops(path, tmp_path / "out.csv", limit=2, column="pixels") == (2, 0)
    assert read(tmp_path / "out.csv")[0] == ["img_path", "pixels"]


def test_a_byte_order_mark_is_no_part_of_a_name(labels, tmp_path):
    assert pack_crops(labels("img_path\na.png\n", "utf-8-sig"), tmp_path / "out.csv") == (1, 0)


def test_a_broken_picture_names_its_row_and_path_and_leaves_the_output_as_it_was(labels, tmp_path):
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "out.csv").write_text("before")
    with pytest.raises(CropError) as caught:
        pack_crops(labels("img_path\na.png\nb.png\n"), tmp_path / "out.csv")
    assert (caught.value.reason, caught.value.row) == ("bad_image", 1)
    assert str(caught.value).startswith("row 1: bad_image: b.png: not decoded: ")
    assert (tmp_path / "out.csv").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "labels.csv", "out.csv"]


def test_a_picture_that_is_not_there_names_its_row_and_path(labels, tmp_path):
    with pytest.raises(CropError) as caught:
        pack_crops(labels("img_path\nc.png\n"), tmp_path / "out.csv")
    assert (caught.value.reason, caught.value.row) == ("missing_file", 0)
    assert "c.png" in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,id\na.png,1\n", "{} has no column 'img_path', found path, id"),
        ("", "{} has no column 'img_path', found nothing"),
        ("img_path,crop\na.png,1\n", "{} already has a column 'crop', wanted another name for the crops"),
        ("img_path,id,id\na.png,1,2\n", "{} has two columns of one name: img_path, id, id"),
        ("img_path,id\na.png,1\na.png\n", "{}, line 3: found 1 cells, wanted 2"),
        ('img_path,id\na.png,"1\n', "cannot read {}: unexpected end of data"),
    ],
)
def test_a_damaged_table_is_refused(labels, tmp_path, text, message):
    path = labels(text)
    with pytest.raises(TableError) as caught:
        pack_crops(path, tmp_path / "out.csv")
    assert str(caught.value) == message.format(path)
    assert not (tmp_path / "out.csv").exists()


def test_a_table_in_another_encoding_is_refused(labels, tmp_path):
    with pytest.raises(TableError, match=r"cannot read .*labels\.csv: 'utf-8' codec"):
        pack_crops(labels("img_path,name\na.png,Zoë\n", "latin-1"), tmp_path / "out.csv")


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"cannot read .*none\.csv: .*No such file"):
        pack_crops(tmp_path / "none.csv", tmp_path / "out.csv")


def test_the_command_runs_as_a_file_from_anywhere(labels, tmp_path):
    labels("img_path,person_id\na.png,0001\n,0002\n")
    command = [sys.executable, script.__file__, "labels.csv", "out.parquet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out.parquet: 2 rows, 1 missing crops\n", "")


def test_the_command_fails_with_the_row_and_the_path(labels, tmp_path):
    path = labels("img_path\na.png\ngone.png\n")
    done = CliRunner().invoke(script.main, [str(path), str(tmp_path / "out.csv")])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: row 1: missing_file: no file 'gone.png' under ")


@pytest.mark.skipif("OSNET_REAL_DATA" not in os.environ, reason="OSNET_REAL_DATA is not set")
def test_real_crops_are_packed(tmp_path):
    source = Path(os.environ["OSNET_REAL_DATA"]) / "cuhk03" / "labels.csv"
    assert pack_crops(source, tmp_path / "out.csv", limit=20) == (20, 0)
    for row in read(tmp_path / "out.csv")[1:]:
        stored = np.asarray(Image.open(source.parent / row[0]).convert("RGB"))
        assert np.array_equal(decode_crop(row[-1]), stored)
