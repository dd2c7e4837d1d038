"""The benchmark of finding people: draws repeat, the histogram finds colours, and every figure is a share."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks import draws
from examples.make_crops import draw_rows, write_table
from osnet_encoder.crops import encode_crop

IDENTITIES = np.repeat(np.array(["a", "b", "c", "d"], object), 4)
CAMERAS = np.tile(np.array(["1", "1", "2", "2"], object), 4)


def test_a_draw_takes_people_whole_and_once_more_with_a_crop_before_each_camera():
    all_rows, two_rows = draws.draw_people(IDENTITIES, CAMERAS, "1", "2", 2, seed=0)
    assert len(all_rows) == 8 and len(set(IDENTITIES[all_rows])) == 2
    assert set(two_rows) <= set(all_rows)
    assert sorted(CAMERAS[two_rows]) == ["1", "1", "2", "2"]
    again, _ = draws.draw_people(IDENTITIES, CAMERAS, "1", "2", 2, seed=0)
    assert np.array_equal(again, all_rows)
    chosen = {tuple(draws.draw_people(IDENTITIES, CAMERAS, "1", "2", 2, seed)[0]) for seed in range(9)}
    assert len(chosen) > 1


def test_too_few_people_are_refused():
    with pytest.raises(ValueError, match=r"^4 people are before both cameras, wanted 5$"):
        draws.draw_people(IDENTITIES, CAMERAS, "1", "2", 5, seed=0)


def test_the_histogram_tells_colours_apart_and_where_they_are():
    red, blue = np.array([200, 20, 20], np.uint8), np.array([20, 20, 200], np.uint8)
    crops = []
    for top, bottom in ((red, red), (red, blue), (blue, red), (red, blue)):
        crop = np.empty((60, 30, 3), np.uint8)
        crop[:30], crop[30:] = top, bottom
        crops.append(encode_crop(crop))
    features = draws.striped_histograms(pd.Series(crops), size=(60, 30))
    roots = draws.striped_histograms(pd.Series(crops), roots=True, size=(60, 30))
    assert np.allclose(roots @ roots.T, features @ features.T)  # shares of 0 and 1 are their own roots
    assert features.shape == (4, 6 * 8**3) and features.dtype == np.float32
    assert np.allclose(features @ features.T, [[1, 0.5, 0.5, 0.5], [0.5, 1, 0, 1], [0.5, 0, 1, 0], [0.5, 1, 0, 1]])


def test_the_command_measures_everybody_and_draws(tmp_path):
    write_table(tmp_path / "people.parquet", draw_rows(identities=5, crops=2, missing=0))
    command = ["--labels", str(tmp_path / "people.parquet"), "--people", "3", "--draws", "2"]
    done = CliRunner().invoke(
        draws.main, [*command, "--weights", "histogram", "--weights", "untrained:osnet_x0_25"]
    )
    assert done.exit_code == 0, done.output
    heading, line, *rows = [text for text in done.stdout.splitlines() if text.startswith("|")]
    assert heading.count("|") == line.count("|") == 8
    assert [row.split("|")[1].strip() for row in rows] == ["histogram", "untrained:osnet_x0_25"]
    assert all(0 <= float(cell) <= 1 for row in rows for cell in row.split("|")[2:-1])


def test_the_command_says_what_is_wrong(tmp_path):
    write_table(tmp_path / "people.csv", draw_rows(identities=2, crops=2, missing=0))
    done = CliRunner().invoke(draws.main, ["--labels", str(tmp_path / "people.csv"), "--weights", "histogram"])
    assert done.exit_code == 1
    assert done.stderr.endswith("Error: 2 people are before both cameras, wanted 50\n")
