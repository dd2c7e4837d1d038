"""The benchmark of training: both contenders do the same work, and what it writes is documented."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks import train
from benchmarks.agreement import Disagreement
from benchmarks.lesson import Plan, open_lesson, take_groups
from benchmarks.our_training import OurLoop, gather
from benchmarks.plain_training import PlainLoop, open_picture
from benchmarks.processes import ProcessFailed
from benchmarks.trainee import Trainee
from examples.make_crops import draw_rows, write_table
from osnet_encoder.training.label_cells import iter_cells
from osnet_encoder.training.network import normalise_patches
from osnet_encoder.training.presets import AUGMENTATION
from test_benchmarks import check_keys

SMALL = {"height": 32, "width": 16, "batch_size": 8, "batches": 2}


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Two people, eight crops of each: two batches of eight."""
    return train.draw_people(tmp_path_factory.mktemp("people"), 2, 8)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def loss_of(make, lesson):
    torch.manual_seed(0)
    return make(lesson).run(0)


def test_both_contenders_have_the_same_loss_where_nothing_is_random(labels):
    lesson = open_lesson(Plan("osnet_x0_25", labels, **SMALL)).without_chance()
    patches, seconds = gather(lesson)
    ours = loss_of(lambda lesson: OurLoop(lesson, patches), lesson)
    # On patches this small, batch-norms make much of the last bits.
    assert ours == pytest.approx(loss_of(PlainLoop, lesson), rel=train.SAME_LOSS)
    assert seconds > 0


def test_both_contenders_see_the_same_pictures_where_nothing_is_random(labels):
    lesson = open_lesson(Plan("osnet_x0_25", labels, **SMALL)).without_chance()
    ours = normalise_patches(torch.from_numpy(gather(lesson)[0].take(np.arange(16))), lesson.spec)
    paths = iter_cells(lesson.people.labels)
    plain = torch.stack([open_picture(path, lesson.spec, lesson.config) for path in paths])
    assert torch.allclose(ours, plain, atol=1e-6)


def test_both_contenders_learn_and_change_their_pictures_otherwise(labels):
    lesson = open_lesson(Plan("osnet_x0_25", labels, **SMALL))
    assert {name: getattr(lesson.config, name) for name in AUGMENTATION["person"]} == AUGMENTATION["person"]
    patches, _ = gather(lesson)
    still = loss_of(PlainLoop, lesson.without_chance())
    for make in (PlainLoop, lambda lesson: OurLoop(lesson, patches)):
        torch.manual_seed(0)
        loop = make(lesson)
        losses = [loop.run(epoch) for epoch in range(2)]
        assert len({still, *losses}) == 3
        assert np.isfinite(losses).all()


def test_an_epoch_has_as_many_batches_as_planned(labels):
    lesson = open_lesson(Plan("osnet_x0_25", labels, **SMALL))
    batches = lesson.batches(0)
    assert [len(batch) for batch in batches] == [8, 8]
    assert sorted(np.concatenate(batches)) == list(range(16))


def test_groups_are_taken_from_one_identity_after_the_other():
    identities = np.array([0, 1, 1, 1, 0, 2, 1, 1, 2])
    # Two people in each of two batches, two crops of each: one group of 0, two of 1, one of 2.
    assert take_groups(identities, 2, 2, 2).tolist() == [0, 1, 2, 3, 4, 5, 6, 8]
    with pytest.raises(ValueError, match=r"^the labels have crops for 4 groups of 2, wanted 6$"):
        take_groups(identities, 3, 2, 2)


def test_what_is_measured_is_documented_and_agrees(labels, tmp_path):
    target = tmp_path / "results.json"
    options = ("--arch", "osnet_x0_25", "--size", "32x16", "--batch-size", "8", "--batches", "2", "--rounds", "1")
    command = [*options, "--threads", "1", "--labels", labels, "--json", str(target)]
    done = CliRunner().invoke(train.main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(target.read_text(encoding="utf-8"))
    check_keys("train", found["train"])
    (row,) = found["train"]
    assert (row["weights"], row["size"], row["images"], row["agreement"]["holds"]) == (
        "osnet_x0_25",
        "32x16",
        16,
        True,
    )
    assert {kind: len(seconds) for kind, seconds in row["seconds"].items()} == {"ours": 1, "plain": 1}
    assert found["settings"]["labels"] == "labels.csv"


def test_a_contender_that_cannot_begin_says_why(tmp_path):
    table = tmp_path / "packed.csv"
    write_table(table, draw_rows(2, 4, missing=0))
    with pytest.raises(
        ProcessFailed, match=r"^the process that trains stopped: .*packed.csv holds the crops themsel"
    ):
        Trainee("plain", Plan("osnet_x0_25", str(table), **SMALL))


def test_losses_that_differ_are_not_of_the_same_work():
    assert train.compare_losses(5.0001, 5.0).holds
    for ours in (5.001, float("nan")):
        with pytest.raises(Disagreement, match=rf"^the loss is {ours} here and 5.0 in the plain loop, and sho"):
            train.compare_losses(ours, 5.0)


def test_a_patch_has_one_size(tmp_path):
    for size, message in (("varied", "a patch has one size"), ("256", "crop size must be HEIGHTxWIDTH")):
        done = CliRunner().invoke(train.main, ["--size", size, "--json", str(tmp_path / "results.json")])
        assert done.exit_code == 2
        assert message in done.output
