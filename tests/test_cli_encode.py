"""`osnet-encode`, run as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from osnet_encoder.cli import encode as command

from osnet_encoder.crops import encode_crop
from osnet_encoder.features import stack_features
from pictures import draw_crop

UNTRAINED = "untrained:osnet_x0_25"


def osnet_encode(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "osnet_encoder.cli.encode", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "in.csv"
    cells = [encode_crop(draw_crop(number)) for number in range(3)]
    pd.DataFrame({"id": range(5), "crop": [cells[0], None, "broken", *cells[1:]]}).to_csv(path, index=False)
    return path


def test_a_table_is_encoded_and_summed_up(table):
    target = table.with_name("out.parquet")
    done = osnet_encode(table, target, "--weights", UNTRAINED)
    assert done.returncode == 0, done.stderr
    assert "rows       5: 3 encoded, 1 missing, 1 broken (1 not_a_dict)" in done.stdout
    assert "engine     onnx on cpu, fp32" in done.stdout
    assert "weights by formula" in done.stderr
    assert stack_features(pd.read_parquet(target)["feature_vector"]).shape == (5, 512)


def test_the_summary_as_json_is_the_last_line_of_output(table):
    done = osnet_encode(table, table.with_name("out.csv"), "--weights", UNTRAINED, "--json")
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["rows"], summary["encoded"], summary["missing"], summary["broken"]) == (5, 3, 1, 1)
    assert summary["made_by"]["variant"] == "osnet_x0_25"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["in.csv", "out.csv"], 2, "no --weights given; name a checkpoint"),
        (["in.csv"], 2, "Missing argument 'OUTPUT'"),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--batch-size", "0"], 2, "0 is not in the range x>=1"),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--patch-size", "256"], 2, "'256' is not HEIGHTxWIDTH"),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--norm-mean", "1,2"], 2, "'1,2' is not three numbers"),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--norm-std", "1,2,0"], 2, "std must be above 0"),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--device", "gpu"], 2, "no device 'gpu'; there are cpu"),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--feature-format", "list"], 2, "CSV cannot hold lists"),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--cells", "path"], 2, "--cells path needs --column"),
        (["in.csv", "out.csv", "--config", "none.toml"], 2, "cannot read 'none.toml'"),
        (["none.csv", "out.csv", "--weights", UNTRAINED], 1, "error: "),
        (["in.csv", "none/out.csv", "--weights", UNTRAINED], 1, "error: no folder"),
        (["in.csv", "out.txt", "--weights", UNTRAINED], 1, "error: "),
        (["in.csv", "out.csv", "--weights", "none.pth"], 1, "error: no file 'none.pth'"),
        (["in.csv", "out.csv", "--weights", "osnet_x9"], 1, "error: no weights 'osnet_x9'"),
        (
            ["in.csv", "out.csv", "--weights", UNTRAINED, "--column", "face"],
            1,
            "error: no column 'face'",
        ),
        (["in.csv", "out.csv", "--weights", UNTRAINED, "--on-error", "raise"], 1, "error: row 2: not_a_dict"),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, list) else None,
)
def test_what_goes_wrong_is_said_in_one_line_with_its_exit_code(table, arguments, code, message):
    before = {path.name for path in table.parent.iterdir()}
    done = osnet_encode(*arguments, cwd=table.parent)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    visible = {path.name for path in table.parent.iterdir() if not path.name.endswith(".lock")}
    assert visible <= before


def test_options_come_from_the_command_line_then_the_environment_then_the_file(table, tmp_path):
    config = tmp_path / "job.toml"
    config.write_text(
        f'weights = "{UNTRAINED}"\nfeature-column = "from_file"\nbatch_size = 2\nnorm-mean = [0.5, 0.5, 0.5]\n'
    )
    target = tmp_path / "out.parquet"

    def column(*arguments, **environment):
        done = osnet_encode(table, target, "--config", config, *arguments, env={**os.environ, **environment})
        assert done.returncode == 0, done.stderr
        return pd.read_parquet(target).columns[1]

    assert column() == "from_file"
    assert column(OSNET_FEATURE_COLUMN="from_environment") == "from_environment"
    assert column("--feature-column", "from_line", OSNET_FEATURE_COLUMN="from_environment") == "from_line"


def test_a_name_that_the_file_should_not_have_is_a_usage_error(table, tmp_path):
    config = tmp_path / "job.toml"
    config.write_text("wieghts = 'x'\n")
    done = osnet_encode(table, tmp_path / "out.csv", "--config", config)
    assert done.returncode == 2
    assert "sets wieghts; there is only as_json, batch_size" in done.stderr.replace("\n", " ")


def test_paths_are_relative_to_the_table(tmp_path):
    from PIL import Image

    (tmp_path / "crops").mkdir()
    Image.fromarray(draw_crop(1)).save(tmp_path / "crops" / "a.png")
    pd.DataFrame({"img": ["crops/a.png", "crops/b.png"]}).to_csv(tmp_path / "labels.csv", index=False)
    target = tmp_path / "out.parquet"
    done = osnet_encode(
        tmp_path / "labels.csv", target, "--weights", UNTRAINED, "--cells", "path", "--column", "img"
    )
    assert "1 encoded, 0 missing, 1 broken (1 missing_file)" in done.stdout
    assert pd.read_parquet(target)["feature_vector"].isna().tolist() == [False, True]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_job_leaves_nothing_behind(tmp_path, number, code):
    cell = encode_crop(draw_crop(1))
    pd.DataFrame({"crop": [cell] * 20_000}).to_csv(tmp_path / "in.csv", index=False)
    command_line = [
        sys.executable,
        "-m",
        "osnet_encoder.cli.encode",
        "in.csv",
        "out.parquet",
        "--weights",
        UNTRAINED,
    ]
    process = subprocess.Popen(command_line, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob(".*.partial")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir()} <= {"in.csv", ".out.parquet.lock"}


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from osnet_encoder.cli.encode import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'pandas', 'pyarrow', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Encode a table's column of person crops" in done.stdout


def test_the_choices_on_the_command_line_are_the_library_s():
    from osnet_encoder import encoder, engines, features, patches

    assert command.ENGINES == engines.ENGINES
    assert command.PRECISIONS == engines.PRECISIONS
    assert command.CELLS == encoder.CELLS
    assert command.FORMATS == features.FEATURE_FORMATS
    assert command.COLOR_ORDERS == patches.COLOR_ORDERS
