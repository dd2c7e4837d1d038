"""The synthetic people: repeatable, varied, told apart by more than their colours, and written whole."""

import csv
import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from examples import make_crops
from examples.drawing.fabric import U, V, weave
from examples.drawing.person import Garment
from examples.drawing.wardrobe import PATTERNS
from osnet_encoder.crops import decode_crop
from osnet_encoder.errors import TableError

SCRIPT = Path(make_crops.__file__)
SMALL = ["--identities", "3", "--crops", "2"]


def striped_histogram(crop, stripes=6, bins=8):
    """The colours of a crop from head to foot: square roots of shares, so that Euclid compares them well."""
    pixels = np.asarray(Image.fromarray(crop).resize((64, 128), Image.Resampling.BILINEAR))
    counts = [
        np.histogram(stripe[..., channel], bins, (0, 256))[0]
        for stripe in np.array_split(pixels, stripes)
        for channel in range(3)
    ]
    return np.sqrt(np.concatenate(counts) / pixels.size)


def ranks_of_histograms(seed, identities):
    """Where each person of the first camera is found among those of the second, 0 the nearest."""
    first, second = (
        np.array([striped_histogram(make_crops.draw_nth_crop(seed, i, camera, camera)) for i in range(identities)])
        for camera in (0, 1)
    )
    squared_distance = ((first[:, None] - second[None]) ** 2).sum(axis=-1)
    return (squared_distance < np.diag(squared_distance)[:, None]).sum(axis=1)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32), identity=st.integers(0, 10**6), crop=st.integers(0, 99), camera=st.integers(0, 9)
)
def test_any_crop_is_a_picture_of_its_cameras_height(seed, identity, crop, camera):
    drawn = make_crops.draw_nth_crop(seed, identity, crop, camera)
    least, greatest = make_crops.nth_camera(seed, camera).heights
    assert drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3
    assert least <= drawn.shape[0] <= greatest
    assert 24 <= drawn.shape[1] < drawn.shape[0]
    assert drawn.std() > 5


def test_equal_seeds_draw_equal_crops_and_other_seeds_other_ones():
    once, again, other = (make_crops.draw_nth_crop(seed, 3, 1, 1) for seed in (5, 5, 6))
    assert np.array_equal(once, again)
    assert once.shape != other.shape or not np.array_equal(once, other)


def test_a_crop_does_not_depend_on_what_was_drawn_before():
    make_crops.draw_nth_crop(0, 8, 0, 0)
    alone = make_crops.draw_nth_crop(0, 1, 1, 1)
    in_a_table = list(make_crops.draw_rows(identities=2, crops=2, missing=0))[-1]
    assert in_a_table.crop_id == "0002_c2_01"
    assert np.array_equal(in_a_table.crop, alone)


def test_a_larger_table_begins_with_the_same_people():
    small, large = (list(make_crops.draw_rows(identities=n, crops=2, missing=0)) for n in (1, 2))
    for row, same in zip(small, large, strict=False):
        assert row[:-1] == same[:-1] and np.array_equal(row.crop, same.crop)


def test_missing_crops_leave_the_others_as_they_were():
    full, holes = (list(make_crops.draw_rows(identities=4, crops=3, missing=share)) for share in (0, 0.4))
    assert 0 < sum(row.crop is None for row in holes) < len(holes)
    for row, hole in zip(full, holes, strict=True):
        assert row[:-1] == hole[:-1]
        assert hole.crop is None or np.array_equal(row.crop, hole.crop)


def test_crops_are_dealt_to_the_cameras_in_turn():
    rows = make_crops.draw_rows(identities=2, crops=3, cameras=2, missing=1)
    assert [row.camera_id for row in rows] == [1, 2, 1, 1, 2, 1]


def test_with_more_cameras_than_crops_everybody_passes_some_of_their_own():
    rows = list(make_crops.draw_rows(identities=6, crops=3, cameras=20, missing=1))
    passed = [{row.camera_id for row in rows if row.person_id == f"{i:04d}"} for i in range(1, 7)]
    assert all(len(cameras) == 3 and cameras <= set(range(1, 21)) for cameras in passed)
    assert len({frozenset(cameras) for cameras in passed}) == 6
    fewer = make_crops.draw_rows(identities=2, crops=3, cameras=20, missing=1)
    assert [row.camera_id for row in fewer] == [row.camera_id for row in rows[:6]]


def test_crops_come_in_many_sizes():
    sizes = {row.crop.shape for row in make_crops.draw_rows(identities=6, missing=0)}
    assert len(sizes) > 20


def test_no_two_people_are_alike():
    people = [make_crops.nth_person(0, identity) for identity in range(400)]
    assert len(set(people)) == 400
    looks = Counter(
        (p.top.kind, p.top.pattern, p.top.color, p.bottom.kind, p.bottom.color, p.hair) for p in people
    )
    assert max(looks.values()) == 1


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_shows_both_colours(pattern):
    for seed in range(8):
        garment = Garment("shirt", (0.1, 0.1, 0.1), (0.9, 0.9, 0.9), pattern, 0.5, 0.0, seed)
        texture = weave(garment)
        assert texture.shape == (3, V, U) and texture.dtype == np.float32
        assert np.isclose(texture.min(), 0.1) and texture.max() < 0.901
        assert (texture.max() > 0.45) == (pattern not in ("plain", "logo"))  # a logo comes later, on the chest
        assert np.array_equal(texture, weave(garment))


def test_many_people_share_each_colour():
    people = [make_crops.nth_person(0, identity) for identity in range(400)]
    tops = Counter(tuple(np.round(np.array(person.top.color) * 3)) for person in people)
    common = [count for _, count in tops.most_common(4)]
    assert min(common) >= 20, "fewer than one in twenty share the fourth commonest colour"
    assert sum(common) > 200


def test_plain_people_are_darker_greyer_and_rarely_patterned():
    mixed, plain = ([make_crops.nth_person(0, identity, share) for identity in range(400)] for share in (0, 1))
    for more, less, reason in (
        (mixed, plain, lambda person: np.ptp(person.top.color)),
        (mixed, plain, lambda person: np.mean(person.top.color)),
        (plain, mixed, lambda person: person.top.pattern == "plain"),
    ):
        assert np.mean([reason(person) for person in more]) > 1.1 * np.mean([reason(person) for person in less])
    assert len(set(plain)) == 400


def test_a_share_of_the_people_is_plain():
    some, plain = ([make_crops.nth_person(1, identity, share) for identity in range(60)] for share in (0.5, 1))
    assert 15 < sum(one == other for one, other in zip(some, plain, strict=True)) < 45


def test_people_look_different_to_the_same_camera_at_the_same_moment():
    camera = make_crops.nth_camera(0, 0)
    seen = [
        Image.fromarray(make_crops.draw_crop(make_crops.nth_person(0, i), camera, np.random.default_rng(4)))
        for i in range(12)
    ]
    small = np.array([np.asarray(picture.resize((32, 64))) for picture in seen], float)
    for one, other in itertools.combinations(small, 2):
        assert np.abs(one - other).mean() > 4


def test_cameras_differ_as_much_as_is_asked_for():
    def colours(spread):
        cameras = [make_crops.nth_camera(0, number, spread) for number in range(40)]
        return np.std([(*one.gain, one.gamma, one.contrast, one.saturation, one.black) for one in cameras], axis=0)

    assert np.allclose(colours(0), 0)
    assert np.all(colours(0.5) < 0.6 * colours(1)) and np.all(colours(0.5) > 0.4 * colours(1))
    near, far = (make_crops.nth_camera(0, 3, spread) for spread in (0, 1))
    assert (near.path, near.scene_seed, near.noise) == (far.path, far.scene_seed, far.noise)


def test_a_person_seen_twice_has_the_same_clothes_in_another_pose():
    person, camera = make_crops.nth_person(2, 1), make_crops.nth_camera(2, 0)
    one, other = (make_crops.draw_crop(person, camera, np.random.default_rng(seed)) for seed in (0, 1))
    assert one.shape != other.shape or not np.array_equal(one, other)
    assert make_crops.nth_person(2, 1) == person


def test_a_striped_colour_histogram_finds_few_people_across_cameras_yet_more_than_chance_does():
    ranks = ranks_of_histograms(seed=1, identities=60)
    assert (ranks == 0).mean() < 0.5
    assert ranks.mean() < 0.4 * 60, "chance would be 0.5"


def test_a_csv_table_holds_crop_strings_and_empty_cells(tmp_path):
    path = tmp_path / "people.csv"
    rows = list(make_crops.draw_rows(identities=4, crops=3, missing=0.3))
    assert make_crops.write_table(path, rows) == (12, sum(row.crop is None for row in rows))
    frame = pd.read_csv(path, dtype={"person_id": str})
    assert list(frame) == ["crop_id", "person_id", "camera_id", "frame", "timestamp", "crop"]
    assert list(frame["person_id"][:4]) == ["0001", "0001", "0001", "0002"]
    for cell, row in zip(frame["crop"], rows, strict=True):
        assert pd.isna(cell) if row.crop is None else np.array_equal(decode_crop(cell), row.crop)


def test_a_csv_table_quotes_text_and_leaves_numbers_bare(tmp_path):
    path = tmp_path / "people.csv"
    make_crops.write_table(path, make_crops.draw_rows(identities=1, crops=1, missing=1))
    header, line = path.read_text().splitlines()
    assert header == '"crop_id","person_id","camera_id","frame","timestamp","crop"'
    assert line.startswith('"0001_c1_00","0001",1,')
    assert line.endswith(',""')


def test_a_parquet_table_holds_the_same_as_a_csv_table(tmp_path):
    rows = list(make_crops.draw_rows(identities=25, crops=4, missing=0.9))  # more than one batch
    for name in ("people.csv", "people.parquet"):
        make_crops.write_table(tmp_path / name, rows)
    frame = pd.read_parquet(tmp_path / "people.parquet")
    same = pd.read_csv(tmp_path / "people.csv", dtype={"person_id": str}, parse_dates=["timestamp"])
    assert frame["crop"].isna().sum() == same["crop"].isna().sum() == sum(row.crop is None for row in rows)
    pd.testing.assert_frame_equal(frame, same, check_dtype=False)
    assert frame["timestamp"].dtype.kind == "M"


def test_images_are_written_with_their_labels(tmp_path):
    folder = tmp_path / "people"
    rows = list(make_crops.draw_rows(identities=3, crops=2, missing=0.4))
    absent = sum(row.crop is None for row in rows)
    assert make_crops.write_images(folder, rows) == (6 - absent, absent)
    with (folder / "labels.csv").open(newline="") as file:
        labels = list(csv.DictReader(file))
    assert list(labels[0]) == ["img_path", "person_id", "camera_id"]
    assert len(labels) == 6 - absent == len(list((folder / "crops").iterdir()))
    drawn = [row for row in rows if row.crop is not None]
    for label, row in zip(labels, drawn, strict=True):
        assert (label["person_id"], label["camera_id"]) == (row.person_id, str(row.camera_id))
        stored = np.asarray(Image.open(folder / label["img_path"]), float)
        assert stored.shape == row.crop.shape and np.abs(stored - row.crop).mean() < 6


def test_images_are_not_written_among_other_files(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(TableError) as caught:
        make_crops.write_images(tmp_path, [])
    assert str(caught.value) == f"{tmp_path} is not empty, wanted a new or an empty folder"


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(TableError) as caught:
        make_crops.write_table(tmp_path / "people.xlsx", [])
    assert str(caught.value) == (
        f"cannot tell the format of {tmp_path / 'people.xlsx'}, wanted a name that ends in .csv or .parquet"
    )


@pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
def test_nothing_is_half_written(tmp_path, name):
    def rows():
        yield from make_crops.draw_rows(identities=1, missing=1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_crops.write_table(tmp_path / name, rows())
    assert list(tmp_path.iterdir()) == []


def test_the_command_runs_as_a_file_from_anywhere_and_draws_what_the_functions_draw(tmp_path):
    command = [sys.executable, str(SCRIPT), "people.csv", *SMALL]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "people.csv: 6 rows, 0 missing crops, 3 people, 2 cameras\n"
    make_crops.write_table(tmp_path / "same.csv", make_crops.draw_rows(identities=3, crops=2))
    assert (tmp_path / "people.csv").read_bytes() == (tmp_path / "same.csv").read_bytes()


def test_the_command_writes_images(tmp_path):
    folder = tmp_path / "people"
    done = CliRunner().invoke(make_crops.main, ["--images", str(folder), *SMALL, "--missing", "0"])
    assert done.exit_code == 0
    assert done.stdout == f"{folder}: 6 images, 0 missing crops, 3 people, 2 cameras\n"


@pytest.mark.parametrize("words", [[], ["people.csv", "--images", "people"]])
def test_a_command_line_names_one_place_to_write_to(words):
    done = CliRunner().invoke(make_crops.main, words)
    assert done.exit_code == 2
    assert done.stderr.endswith("Error: give either OUTPUT or --images FOLDER\n")


def test_the_command_fails_where_it_cannot_write(tmp_path):
    done = CliRunner().invoke(make_crops.main, [str(tmp_path / "nowhere" / "people.csv"), *SMALL])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ") and "nowhere" in done.stderr
