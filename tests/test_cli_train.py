"""`osnet-train`, run as a user runs it: what it is told, what it says, and how it ends."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from labelled import tiny, write_people
from osnet_encoder.built_in import DEFAULT_WEIGHTS
from osnet_encoder.cli import train as command
from osnet_encoder.cli.epochs import Epochs
from osnet_encoder.training.config import TrainConfig
from osnet_encoder.training.config_files import from_toml, to_toml
from osnet_encoder.training.run_folder import RunFolder
from osnet_encoder.variants import VARIANTS
from osnet_encoder.zoo import ZOO

WORDS = (
    "--arch", "osnet_x0_25", "--weights", "none", "--patch-height", "32", "--patch-width", "16", "--epochs", "1",
    "--batch-size", "8", "--val-fraction", "0.3", "--threads", "1", "--device", "cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people"))


def command_line(*arguments):
    return [sys.executable, "-m", "osnet_encoder.cli.train", *map(str, arguments)]


def osnet_train(*arguments, **options):
    return subprocess.run(
        command_line(*arguments), capture_output=True, text=True, timeout=200, check=False, **options
    )


def told(*arguments, **options):
    """What a wrong command line is answered, in this process; exit code and text."""
    done = CliRunner().invoke(command.main, [str(argument) for argument in arguments], **options)
    return done.exit_code, done.output


def failed(capsys, resume=None, as_json=True, **given):
    """What a run that cannot be is answered, in this process; exit code, the error stream, and the JSON."""
    code = command._run(given, resume, as_json, None)
    said = capsys.readouterr()
    return code, said.err, json.loads(said.out.splitlines()[-1])


# what it is told


def test_every_setting_is_an_option_and_its_help_is_the_setting_s():
    options = {param.name: param for param in command.main.params if isinstance(param, click.Option)}
    names = [one.name for one in fields(TrainConfig) if one.name != "labels"]
    assert set(names) < set(options)
    _, text = told("--help")
    squeezed = " ".join(text.split())
    for name in names:
        assert f"--{name.replace('_', '-')}" in text
        assert " ".join(options[name].help.split()) in squeezed
    groups = dict.fromkeys(one.metadata["group"] for one in fields(TrainConfig))
    assert re.findall(r"^([A-Z]\w+):$", text, re.MULTILINE)[-len(groups) :] == [
        name.capitalize() for name in groups
    ]


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from osnet_encoder.cli.train import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'pandas', 'pyarrow', 'numpy', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_models_are_listed():
    code, text = told("--list-models")
    assert code == 0
    assert {line.strip() for line in text.splitlines()} > {*VARIANTS, *ZOO, DEFAULT_WEIGHTS}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name at least one table of labels, or --resume RUN"),
        (["labels.csv", "--lr", "fast"], "'fast' is not a valid float"),
        (["labels.csv", "--loss", "hinge"], "'hinge' is not one of"),
        (["labels.csv", "--arch", "resnet"], "'resnet' is not one of 'osnet_x1_0'"),
        (["labels.csv", "--schedule", "steps", "--milestones", "2;3"], "'2;3' is not whole numbers with commas"),
        (["labels.csv", "--learning-rate", "1"], "No such option"),
        (["labels.csv", "--config", "none.toml"], "cannot read none.toml"),
        (["labels.csv", "--config", "train.json"], "wanted a file that ends in .toml, .yaml or .yml"),
    ],
)
def test_a_wrong_command_line_is_exit_2(arguments, message):
    code, text = told(*arguments)
    assert code == 2
    assert message in " ".join(text.split())


def test_a_configuration_that_sets_what_is_no_setting_is_exit_2(tmp_path):
    (tmp_path / "train.toml").write_text("epoch = 3\n")
    code, text = told("labels.csv", "--config", tmp_path / "train.toml")
    assert code == 2
    assert "sets 'epoch', which is no setting (did you mean 'epochs'?)" in " ".join(text.split())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lr": -1.0}, "lr must be above 0, found -1.0"),
        (
            {"batch_size": 6, "loss": "triplet"},
            "batch_size must be a multiple of crops_per_identity (4), twice that at least, found 6",
        ),
        ({"device": "gpu"}, "no device 'gpu'; there are cpu, cuda, cuda:N, mps, and auto"),
        ({"freeze_epochs": 1}, "freeze_epochs is 1, but there are no weights worth freezing"),
    ],
)
def test_settings_that_cannot_be_are_a_usage_error(labels, given, message):
    settings = {"labels": [str(labels)], "arch": "osnet_x0_25", "weights": "none", **given}
    with pytest.raises(click.UsageError) as caught:
        command._run(settings, None, False, None)
    assert message in caught.value.message


def test_settings_come_from_the_command_line_then_the_environment_then_the_file(labels, tmp_path):
    text = to_toml(tiny(labels, epochs=1, lr=0.01, weight_decay=0.01, seed=3))
    for name in ("labels", "epochs"):  # both ways of writing a name
        assert f"{name} = " in text
    text = text.replace("weight_decay", "weight-decay")
    (tmp_path / "train.toml").write_text(text)
    environment = {**os.environ, "OSNET_TRAIN_WEIGHT_DECAY": "0.02", "OSNET_TRAIN_SEED": "4"}
    done = osnet_train("--config", "train.toml", "--seed", "5", "--name", "x", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    found = from_toml((labels.parent / "runs" / "x" / "config.toml").read_text())
    assert (found.lr, found.weight_decay, found.seed, found.labels) == (0.01, 0.02, 5, (str(labels),))


def test_a_configuration_may_be_yaml(labels, tmp_path):
    pytest.importorskip("yaml")
    path = tmp_path / "train.yaml"
    path.write_text(
        f"labels: [{labels}]\nruns: {tmp_path}\narch: osnet_x0_25\nweights: none\nlr: 0.01\nepochs: 1\n"
        "schedule: steps\nmilestones: [1]\nbatch-size: 8\n"
    )
    code, text = told("--config", path, "--epochs", "1")
    assert code == 2
    assert "milestones must be below epochs (1), found 1" in text


# what it says


def test_a_run_says_an_epoch_a_line_and_what_it_came_to(labels, tmp_path):
    done = osnet_train(labels, *WORDS, "--runs", tmp_path / "runs", "--json")
    assert done.returncode == 0, done.stderr
    run = RunFolder(tmp_path / "runs" / "osnet")
    lines = [line.split(" INFO ")[-1] for line in done.stderr.splitlines()]
    assert lines[0] == "osnet_x0_25 from scratch, all of it at learning rate 0.006"
    assert lines[1] == "training on 24 crops of 6 identities, validating on 8 of 2"
    assert f"run {run.path}" in lines
    assert sum(line.startswith("epoch 1 of 1: loss ") for line in lines) == 1
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["run"] == str(run.path)
    assert {"rank1", "mAP", "mINP", "eer", "tar_at_far", "epochs", "images_per_second"} < found.keys()


def test_what_is_wrong_with_labels_is_exit_1_with_rows(labels, tmp_path, capsys):
    (tmp_path / "crops").symlink_to(labels.parent / "crops")
    frame = pd.read_csv(labels, dtype=str)
    frame.loc[3, "img_path"] = "crops/gone.png"
    frame.loc[7, "img_path"] = "crops/0000_0.png"
    frame.to_csv(tmp_path / "labels.csv", index=False)
    path = str(tmp_path / "labels.csv")
    code, said, found = failed(capsys, labels=[path], arch="osnet_x0_25", weights="none")
    assert said == (
        f"error: 2 faults in the labels:\n"
        f"  {path}, row 3: no file 'crops/gone.png' under {str(tmp_path)!r}\n"
        f"  {path}, row 7: the image of {path}, row 0 again, there as '0000' and here as '0001'\n"
    )
    assert (code, found["state"], found["exit_code"]) == (1, "failed", 1)
    code, said, _ = failed(capsys, labels=["gone.csv"], arch="osnet_x0_25", weights="none")
    assert code == 1
    assert said.startswith("error: ") and "gone.csv" in said


def test_weights_that_are_not_there_are_exit_1(labels, capsys):
    code, said, _ = failed(capsys, labels=[str(labels)], weights="gone.pth")
    assert (code, said) == (1, "error: no file 'gone.pth'\n")


def test_a_loss_that_is_no_number_any_more_is_exit_1_with_its_reason(labels, capsys):
    settings = {**vars(tiny(labels, name="diverged", optimizer="sgd", lr=1e30, warmup_epochs=0))}
    code, said, found = failed(capsys, **settings)
    assert (code, found["state"]) == (1, "diverged")
    assert re.search(r"^error: the loss is (nan|inf) by batch \d of epoch \d; a lower lr may help$", said, re.M)


def test_a_run_that_cannot_be_resumed_is_told_apart(labels, tmp_path, capsys):
    assert failed(capsys, str(tmp_path))[0] == 1
    settings = vars(tiny(labels, epochs=1, name="done"))
    assert command._run(settings, None, True, None) == 0
    found = json.loads(capsys.readouterr().out)
    assert command._run({}, found["run"], False, None) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"weights: {found['weights']}"
    code, said, answer = failed(capsys, found["run"], lr=0.5, epochs=1)
    assert (code, answer["state"]) == (2, "changed")
    assert said == f"error: {found['run']} was begun with other settings: lr: 0.006 -> 0.5\n"
    with RunFolder(labels.parent / "runs" / "done").held():
        code, said, answer = failed(capsys, found["run"])
    assert (code, answer["state"]) == (75, "locked")


class Terminal(io.StringIO):
    """What says that it is a terminal."""

    def isatty(self):
        return True


def test_a_terminal_has_a_bar_of_batches_and_nothing_else_has(monkeypatch):
    with Epochs() as progress:
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        progress(1, 2, 1, 2, 3.5)
        assert sys.stderr.getvalue() == ""
        monkeypatch.setattr(sys, "stderr", Terminal())
        for batch in (1, 2):
            progress(1, 2, batch, 2, 3.5)
        progress(2, 2, 1, 2, 3.25)
        assert "epoch 1/2" in sys.stderr.getvalue()
        assert "epoch 2/2" in sys.stderr.getvalue()


# how it ends


def rows_of(run):
    try:
        return len(run.read_history())
    except FileNotFoundError:
        return 0


def stopped(number, run, rows, *arguments):
    """Start a run, and send it a signal once its history has so many rows; exit code and what it said."""
    process = subprocess.Popen(command_line(*arguments), stderr=subprocess.PIPE, text=True)
    while rows_of(run) < rows:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.slow
def test_a_run_that_is_killed_and_interrupted_ends_with_the_very_same_weights(labels, tmp_path):
    words = (
        labels, *WORDS, "--epochs", "8", "--ema", "0.9", "--erase", "0.5", "--jitter", "0.3", "--amsgrad",
        "--loss", "circle", "--schedule", "plateau", "--plateau-patience", "1", "--runs", tmp_path,
    )  # fmt: skip
    done = osnet_train(*words, "--name", "whole")
    assert done.returncode == 0, done.stderr
    run, whole = RunFolder(tmp_path / "broken"), RunFolder(tmp_path / "whole")

    code, _ = stopped(signal.SIGKILL, run, 1, *words, "--name", "broken")
    assert code == -signal.SIGKILL
    code, said = stopped(signal.SIGINT, run, rows_of(run) + 1, "--resume", run.path)
    assert code == 130, said
    assert "Traceback" not in said
    assert f"interrupted; osnet-train --resume {run.path} goes on after its last finished epoch\n" in said
    assert said.endswith("interrupted\n")
    code, said = stopped(signal.SIGTERM, run, rows_of(run) + 1, "--resume", run.path, "--json")
    assert code == 143, said
    done = osnet_train("--resume", run.path, "--json")
    assert done.returncode == 0, done.stderr

    for kind in ("best", "last"):
        found, wanted = (load_file(getattr(one, kind)) for one in (run, whole))
        assert found.keys() == wanted.keys()
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert json.loads(run.metrics.read_text()) == json.loads(whole.metrics.read_text())
    assert [row["loss"] for row in run.read_history()] == [row["loss"] for row in whole.read_history()]
