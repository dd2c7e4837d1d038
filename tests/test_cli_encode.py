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
        (["in.csv", "none/out.csv", "--weights", UNTRAINED], 1, "error: cannot write none/out.csv: there is no"),
        (["in.csv", "out.txt", "--weights", UNTRAINED], 1, "error: "),
        (["in.csv", "out.csv", "--weights", "none.pth"], 1, "error: no file 'none.pth'"),
        (["in.csv", "out.csv", "--weights", "osnet_x9"], 1, "error: no weights 'osnet_x9'"),
        (
            ["in.csv", "out.csv", "--weights", UNTRAINED, "--column", "face"],
            1,
            "error: no column 'face'",
        ),
        (["in.csv", "new.csv", "--weights", UNTRAINED, "--on-error", "raise"], 1, "error: row 2: not_a_dict"),
        (
            ["in.csv", "new.csv", "--weights", UNTRAINED, "--key", "id"],
            2,
            "a key is for update, which was not asked",
        ),
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
        words = ("--config", config, "--overwrite", *arguments)
        done = osnet_encode(table, target, *words, env={**os.environ, **environment})
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
def test_an_interrupted_job_keeps_its_finished_parts_and_nothing_else(tmp_path, number, code):
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
        "--part-rows",
        "8",
        "--patch-size",
        "64x32",
    ]
    process = subprocess.Popen(command_line, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "out.parquet.job"
    while not (folder / "manifest.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=5)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert "interrupted; finished parts are kept in out.parquet.job, the same command goes on from them" in said
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", ".out.parquet.lock", folder.name}
    parts = {part["name"] for part in json.loads((folder / "manifest.json").read_text())["work"]["parts"]}
    assert {path.name for path in folder.iterdir()} == {"manifest.json", *parts}


def test_the_same_command_again_does_nothing_and_says_so(table):
    words = (table, table.with_name("again.parquet"), "--weights", UNTRAINED, "--patch-size", "32x16")
    assert osnet_encode(*words).returncode == 0
    done = osnet_encode(*words, "--json")
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])["state"]) == (0, "unchanged")
    assert "nothing to do: " in osnet_encode(*words).stdout


def test_an_output_made_otherwise_is_left_alone_with_exit_code_2(table):
    target = table.with_name("otherwise.csv")
    words = (table, target, "--weights", UNTRAINED, "--patch-size", "32x16")
    assert osnet_encode(*words).returncode == 0
    before = target.read_bytes()
    done = osnet_encode(*words, "--feature-format", "json", "--json")
    assert done.returncode == 2
    assert (
        "otherwise.csv was made otherwise; --overwrite replaces it: feature_format: zlib-hex -> json"
        in done.stderr
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["state"], told["exit_code"]) == ("changed", 2)
    assert target.read_bytes() == before


def test_too_many_broken_cells_end_with_exit_code_3_and_a_list_of_them(table):
    target, rejects = table.with_name("strict.csv"), table.with_name("strict_rejects.csv")
    words = (table, target, "--weights", UNTRAINED, "--patch-size", "32x16", "--rejects", rejects)
    done = osnet_encode(*words, "--max-error-rate", "0.1")
    assert done.returncode == 3
    assert "error: 1 of 4 crops are broken (1 not_a_dict), above the rate of 0.1 that is allowed" in done.stderr
    assert pd.read_csv(rejects)["row"].tolist() == [2]
    assert not target.exists()
    done = osnet_encode(*words, "--error-column", "none", "--overwrite", "--on-error", "drop")
    assert "5: 3 encoded, 1 missing, 1 broken (1 not_a_dict), 5 from an earlier run, 1 left out" in done.stdout
    assert pd.read_csv(target).columns.tolist() == ["id", "feature_vector"]


def test_a_second_job_for_one_output_ends_with_exit_code_75(table):
    from filelock import FileLock

    with FileLock(table.with_name(".held.csv.lock")):
        done = osnet_encode(table, table.with_name("held.csv"), "--weights", UNTRAINED)
    assert done.returncode == 75
    assert "error: another job is writing " in done.stderr


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM)])
def test_a_process_that_hears_nothing_ends_all_the_same(signals):
    code = (
        "import time\n"
        "from osnet_encoder.cli import signals\n"
        "signals.GRACE = 0.2 if not %r else 100\n"
        "signals.listen()\n"
        "while True:\n"
        "    try:\n"
        "        print(flush=True)\n"
        "        time.sleep(100)\n"
        "    except KeyboardInterrupt: pass\n"
    ) % (len(signals) > 1)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for number in signals:
        process.stdout.readline()
        process.send_signal(number)
    assert process.wait(timeout=10) == 128 + signals[-1]
    process.stdout.close()


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
    from osnet_encoder.job import layout, options, verify

    assert command.ENGINES == engines.ENGINES
    assert command.PRECISIONS == engines.PRECISIONS
    assert command.CELLS == encoder.CELLS
    assert command.FORMATS == features.FEATURE_FORMATS
    assert command.COLOR_ORDERS == patches.COLOR_ORDERS
    assert command.PARALLEL == encoder.PARALLEL
    assert command.ON_ERROR == layout.ON_ERROR
    assert command.ERROR_COLUMN == layout.ERROR_COLUMN
    assert command.PART_ROWS == options.PART_ROWS
    assert command.SAMPLE == verify.SAMPLE
