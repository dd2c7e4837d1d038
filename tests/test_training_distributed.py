"""Two processes, started by torchrun, that train one network."""

import json
import os
import subprocess
import sys

import pytest
from torch import distributed

from labelled import tiny, write_people
from osnet_encoder.training.checkpoint import read_checkpoint
from osnet_encoder.training.config_files import to_toml
from osnet_encoder.training.run_folder import RunFolder
from osnet_encoder.weights import load
from source import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not distributed.is_gloo_available(), reason="torch is built without gloo"),
]

# What each process does: an epoch, and then a look at what the others have.
AGREE = """
import sys
import torch
from torch import distributed
from osnet_encoder import PatchSpec
from osnet_encoder.training.config_files import from_toml
from osnet_encoder.training.distributed import joined
from osnet_encoder.training.epoch import train_epoch
from osnet_encoder.training.network import build_network
from osnet_encoder.training.people import find_people, gather_patches
from osnet_encoder.training.presets import resolve
from osnet_encoder.training.state import TrainingState

config = resolve(from_toml(open(sys.argv[1]).read()))
spec = PatchSpec(config.patch_height, config.patch_width)
with joined(config.device) as (ranks, device):
    torch.set_num_threads(1)
    assert ranks.world == 2
    torch.manual_seed(ranks.rank)  # the leading process's network is the one that counts
    people = find_people(config)
    patches = gather_patches(people, config, spec, ranks)
    state = TrainingState(build_network("osnet_x0_25", people.classes), config, device)
    row = train_epoch(state, people, patches, spec, config, ranks)
    assert row["images"] == 32, row
    for name, parameter in state.network.named_parameters():
        found = [torch.empty_like(parameter) for _ in range(2)]
        distributed.all_gather(found, parameter.detach())
        assert torch.equal(*found), name
    assert ranks.tell(f"from {ranks.rank}") == "from 0"
    ranks.wait()
"""


def torchrun(folder, *arguments):
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            *map(str, arguments),
        ],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_processes_have_the_same_numbers_after_an_epoch(tmp_path):
    labels = write_people(tmp_path)
    config = tmp_path / "config.toml"
    config.write_text(to_toml(tiny(labels, loss="triplet", batch_size=16, erase=0.5)))
    (tmp_path / "agree.py").write_text(AGREE)
    done = torchrun(tmp_path, "agree.py", config)
    assert done.returncode == 0, done.stderr


def test_a_run_of_two_processes_is_one_run(tmp_path):
    labels = write_people(tmp_path)
    config = tmp_path / "train.toml"
    config.write_text(to_toml(tiny(labels, batch_size=16, epochs=2, ema=0.5, patience=1)))
    done = torchrun(tmp_path, "-m", "osnet_encoder.cli.train", "--config", config, "--json")
    assert done.returncode == 0, done.stderr
    (found,) = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    run = RunFolder(labels.parent / "runs" / "osnet")
    assert [path.name for path in (labels.parent / "runs").iterdir()] == ["osnet"]
    assert found["run"] == str(run.path)
    assert read_checkpoint(run.checkpoint).world == 2
    assert load(run.best).metadata["metrics"]["mAP"] == found["mAP"]
    assert done.stderr.count("epoch 1 of 2") == 1
