"""`osnet-evaluate`, run as a user runs it."""

import json
import subprocess
import sys

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from osnet_encoder.cli import evaluate as command
from osnet_encoder.crops import encode_crop
from osnet_encoder.training import encoded, labels
from osnet_encoder.training.evaluation import PROTOCOLS, evaluate_features
from pictures import draw_crop

UNTRAINED = "untrained:osnet_x0_25"
PEOPLE, CAMERAS = list("aabbccdd"), [1, 2] * 4
FEATURES = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)

# What a script may count on in the last line of output.
PROMISED = (
    "rank1", "rank5", "rank10", "rank20", "mAP", "mINP", "eer", "tar_at_far", "queries", "queries_skipped",
)  # fmt: skip


def osnet_evaluate(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "osnet_encoder.cli.evaluate", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **options,
    )


def last_line(done):
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoded table, one whose camera is constant, and labelled crops."""
    path = tmp_path_factory.mktemp("cli")
    columns = {"person_id": PEOPLE, "camera_id": CAMERAS, "feature_vector": FEATURES.tolist()}
    pq.write_table(pa.table(columns), path / "features.parquet")
    pq.write_table(pa.table({**columns, "camera_id": [1] * 8}), path / "constant.parquet")
    cells = [encode_crop(draw_crop(number)) for number in range(8)]
    pd.DataFrame({"crop": cells, "person_id": PEOPLE}).to_csv(path / "labels.csv", index=False)
    return path


def test_an_encoded_table_is_measured_and_the_figures_are_the_last_line(folder):
    done = osnet_evaluate("features.parquet", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = last_line(done)
    assert found == json.loads(json.dumps(evaluate_features(FEATURES, PEOPLE, CAMERAS).as_dict()))
    assert set(PROMISED) <= found.keys()
    assert "features.parquet: 24 impostor pairs are too few for a FAR of 0.01 or 0.001" in done.stderr


def test_every_option_of_what_is_measured_arrives(folder):
    done = osnet_evaluate(
        "features.parquet", "--json", "--query", "camera_id=1", "--gallery", "camera_id=2", "--rerank",
        "--protocol", "single-shot", "--seed", "4", "--other-cameras", "--threshold", "0.25", "--threshold", "0.5",
        cwd=folder,
    )  # fmt: skip
    wanted = evaluate_features(
        FEATURES,
        PEOPLE,
        CAMERAS,
        is_query=np.array(CAMERAS) == 1,
        is_gallery=np.array(CAMERAS) == 2,
        rerank=True,
        protocol="single-shot",
        seed=4,
        other_cameras=True,
        thresholds={"--threshold 0.25": 0.25, "--threshold 0.5": 0.5},
    )
    assert last_line(done) == json.loads(json.dumps(wanted.as_dict()))


def test_labels_are_encoded_with_the_weights_and_plots_are_drawn(folder):
    pytest.importorskip("matplotlib")
    words = ["labels.csv", "--weights", UNTRAINED, "--patch-size", "32x16", "--threads", "1", "--plots", "plots"]
    done = osnet_evaluate(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "rows       8, 0 without features; 4 identities, 0 cameras" in done.stdout
    assert "note       cameras are not heeded" in done.stdout
    assert "weights by formula" in done.stderr
    assert sorted(path.name for path in (folder / "plots").iterdir()) == ["cmc.png", "roc.png"]


def test_a_constant_camera_is_named(folder):
    done = osnet_evaluate("constant.parquet", "--json", cwd=folder)
    assert (done.returncode, last_line(done)["rank1"], last_line(done)["queries_skipped"]) == (0, None, 8)
    assert "all queries lost: camera_id is constant" in done.stderr


def test_sources_and_targets_are_told_apart(folder):
    done = osnet_evaluate("--sources", "features.parquet", "--targets", "constant.parquet", "--json", cwd=folder)
    found = last_line(done)
    assert found["sources"]["features.parquet"]["queries"] == 8
    tried = found["at_thresholds"]["EER of features.parquet"]
    assert tried["threshold"] == found["sources"]["features.parquet"]["eer_threshold"]


def test_options_come_from_a_file_too_and_cameras_may_be_left_out_of_account(folder):
    (folder / "words.toml").write_text('camera-column = "none"\nquery = ["person_id=a"]\n')
    done = osnet_evaluate("features.parquet", "--config", "words.toml", "--json", cwd=folder)
    assert (last_line(done)["queries"], last_line(done)["cameras"]) == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["features.parquet", "--targets", "features.parquet"], 2, "features.parquet is named twice"),
        (["labels.csv"], 1, "error: labels.csv has no column 'feature_vector'; it has crop, person_id: name the"),
        (["labels.csv", "--weights", "gone.pth"], 1, "error: no file 'gone.pth'"),
    ],
)
def test_what_went_wrong_is_said_in_one_line_and_told_by_the_exit_code(folder, arguments, code, message):
    done = osnet_evaluate(*arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one table to evaluate"),
        (["a.csv", "--query", "camera_id"], "'camera_id' is not COLUMN=TEXT, as camera_id=1 is"),
        (["a.csv", "--device", "cpu"], "--device is about encoding: it wants --weights"),
        (["a.csv", "--root", "."], "--root is about encoding: it wants --weights"),
        (["a.csv", "--threshold", "1.5"], "1.5 is not in the range -1<=x<=1"),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much_is_refused(arguments, message):
    done = CliRunner().invoke(command.main, arguments)
    assert done.exit_code == 2
    assert message in done.output


def test_an_error_is_json_too_where_that_is_asked_for(folder):
    done = osnet_evaluate("gone.csv", "--json", cwd=folder)
    assert last_line(done) == {
        "state": "failed",
        "error": "error: cannot read gone.csv: there is no such file",
        "exit_code": 1,
    }


def test_what_is_written_out_for_a_quick_help_is_the_library_s():
    assert command.PROTOCOLS == PROTOCOLS
    names = (command.IDENTITY_COLUMN, command.CAMERA_COLUMN, command.FEATURE_COLUMN)
    assert names == (labels.IDENTITY_COLUMN, labels.CAMERA_COLUMN, encoded.FEATURE_COLUMN)


def test_every_option_goes_somewhere():
    used = {*command.ENCODER_OPTIONS, *command.LAST_OPTIONS, *command.TABLE_OPTIONS, *command.MEASURES}
    used |= {"weights", "tables", "targets", "sources", "threshold", "plots", "version"}
    assert {parameter.name for parameter in command.main.params} == used


def test_help_loads_nothing_heavy():
    code = (
        "import sys, click.testing\nfrom osnet_encoder.cli.evaluate import main\n"
        "done = click.testing.CliRunner().invoke(main, ['--help'])\n"
        "assert done.exit_code == 0 and 'osnet-evaluate' in done.output\n"
        "assert not {'numpy', 'pyarrow', 'torch', 'onnxruntime', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert isinstance(command.main, click.Command)
