"""The labelled people of a run, and the batches that are made of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from labelled import tiny, write_people
from osnet_encoder import PatchSpec, TableError
from osnet_encoder.training.augment import augment
from osnet_encoder.training.batches import check_batches, draw_batches, prepare_batches
from osnet_encoder.training.choices import Augmentation
from osnet_encoder.training.distributed import Ranks
from osnet_encoder.training.network import normalise_patches
from osnet_encoder.training.people import find_people, gather_patches
from osnet_encoder.training.presets import resolve

SPEC = PatchSpec(32, 16)
NOTHING = {"flip": 0.0, "pad": 0, "erase": 0.0}


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def config(labels):
    return resolve(tiny(labels))


@pytest.fixture(scope="module")
def people(config):
    return find_people(config)


@pytest.fixture(scope="module")
def patches(people, config):
    return gather_patches(people, config, SPEC, Ranks())


def changed(folder, **columns):
    """A new table with other columns, or without those that are None; its path."""
    labels = write_people(folder)
    frame = pd.read_csv(labels, dtype=str)
    for name, cells in columns.items():
        frame = frame.drop(columns=name) if cells is None else frame.assign(**{name: cells})
    frame.to_csv(labels, index=False)
    return labels


# who is who


def test_people_are_divided_by_identity_and_numbered_on_each_side(people):
    assert (people.classes, len(people.train), len(people.val)) == (6, 24, 8)
    assert sorted([*people.train, *people.val]) == list(range(32))
    assert not set(people.train_labels.names) & set(people.val_labels.names)
    assert np.unique(people.train_labels.identities).tolist() == [0, 1, 2, 3, 4, 5]
    assert people.labels.is_val[people.val].all() and not people.labels.is_val[people.train].any()
    assert len(people.sha256) == 64


def test_what_is_odd_is_said_once(tmp_path, caplog):
    caplog.set_level("INFO", "osnet_encoder")
    labels = changed(tmp_path, camera_id=None)
    find_people(resolve(tiny(labels)))
    assert caplog.messages == [
        f"{labels}: no cameras; every crop is looked for among all others",
        "training on 24 crops of 6 identities, validating on 8 of 2",
    ]


def test_without_a_second_camera_there_is_nothing_to_validate_by(tmp_path):
    labels = changed(tmp_path, camera_id="1")
    with pytest.raises(TableError) as caught:
        find_people(resolve(tiny(labels)))
    assert str(caught.value) == (
        "nobody can be looked up among the 2 identities for validation: none has a query, and in the gallery a "
        "crop from another camera. Does camera_id say which camera it was? With val_fraction 0 there is no "
        "validation"
    )
    assert find_people(resolve(tiny(labels, val_fraction=0.0))).classes == 8


@pytest.mark.parametrize(
    ("query", "gallery", "cameras", "is_askable"),
    [
        ([1, 0, 0, 0], [0, 1, 1, 1], [0, 1, 0, 1], True),
        ([1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 1], False),  # of the query's own camera
        ([1, 0, 0, 0], [0, 0, 1, 0], [None, 1, None, 1], True),  # who knows
        ([1, 0, 0, 0], [1, 0, 0, 0], [None, 1, 0, 1], False),  # the very same crop
        ([1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1], False),
        ([0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 1], False),
    ],
)
def test_a_query_needs_a_crop_of_another_camera_in_the_gallery(tmp_path, query, gallery, cameras, is_askable):
    labels = changed(
        tmp_path, split=["val"] * 16 + ["train"] * 16,
        is_query=query * 8, is_gallery=gallery * 8, camera_id=pd.array(cameras * 8, "Int64"),
    )  # fmt: skip
    if is_askable:
        assert len(find_people(resolve(tiny(labels))).val) == 16
    else:
        with pytest.raises(TableError, match="^nobody can be looked up among the 4 identities for validation"):
            find_people(resolve(tiny(labels)))


def test_patches_are_those_of_all_crops_in_the_table_s_order(people, patches, caplog):
    assert (len(patches), patches.kind) == (32, "memory")
    assert patches.take(np.array([5])).shape == (1, 32, 16, 3)


def test_the_second_process_finds_what_the_first_one_kept(people, config, tmp_path, caplog):
    caplog.set_level("INFO", "osnet_encoder")
    on_disk = replace(config, cache="disk", cache_dir=str(tmp_path))
    first = gather_patches(people, on_disk, SPEC, Ranks())
    assert caplog.messages[-1] == "32 patches of 32x16, kept in a file on disk"
    caplog.clear()
    second = gather_patches(people, on_disk, SPEC, Ranks(rank=1))
    assert [message.partition(":")[0] for message in caplog.messages] == ["patches of an earlier run"]
    assert (first.take(np.arange(32)) == second.take(np.arange(32))).all()


# batches


def test_losses_that_compare_get_several_crops_of_each_identity(people, labels):
    for batch in draw_batches(people, resolve(tiny(labels, loss="triplet")), 0, 0, 1):
        identities = people.train_labels.identities[batch]
        assert (identities.reshape(2, 4) == identities.reshape(2, 4)[:, :1]).all()


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_processes_share_a_batch_out(people, labels, loss):
    config = resolve(tiny(labels, loss=loss, batch_size=16))
    check_batches(people, config, 2)
    shares = [draw_batches(people, config, 3, rank, 2) for rank in (0, 1)]
    assert {len(batch) for share in shares for batch in share} == {8}
    assert len(shares[0]) == len(shares[1])
    assert not any((one == other).all() for one in shares[0] for other in shares[1])


@pytest.mark.parametrize(
    ("settings", "world", "message"),
    [
        (
            {"batch_size": 16, "loss": "triplet"},
            3,
            "3 processes x crops_per_identity (4), twice that at least, found 16",
        ),
        (
            {"batch_size": 16, "loss": "circle"},
            4,
            "4 processes x crops_per_identity (4), twice that at least, found 16",
        ),
        ({"batch_size": 9, "loss": "softmax"}, 2, "2 processes, twice that at least, found 9"),
        ({"batch_size": 2, "loss": "arcface"}, 2, "2 processes, twice that at least, found 2"),
    ],
)
def test_batches_that_cannot_be_shared_out_are_refused(people, labels, settings, world, message):
    with pytest.raises(ValueError) as caught:
        check_batches(people, resolve(tiny(labels, **settings)), world)
    assert str(caught.value) == f"batch_size must be a multiple of {message}"


def test_every_process_needs_two_crops(people, labels):
    with pytest.raises(TableError, match=r"^24 crops to train on, wanted two at least for each of 16 processes$"):
        check_batches(people, resolve(tiny(labels, loss="softmax", batch_size=64)), 16)


def prepared(people, patches, config, epoch=0, rank=0):
    batches = draw_batches(people, config, epoch, 0, 1)
    return batches, list(prepare_batches(batches, people, patches, SPEC, config, epoch, rank))


def test_with_no_augmentation_a_batch_is_its_patches(people, patches, labels):
    config = resolve(tiny(labels, **NOTHING))
    for rows, (x, identities) in zip(*prepared(people, patches, config), strict=True):
        assert identities.tolist() == people.train_labels.identities[rows].tolist()
        assert torch.equal(x, normalise_patches(torch.from_numpy(patches.take(people.train[rows])), SPEC))


def test_what_is_drawn_follows_from_seed_epoch_batch_and_process_alone(people, patches, labels):
    settings = {"flip": 0.5, "pad": 3, "erase": 0.5, "jitter": 0.3}
    config = resolve(tiny(labels, workers=1, **settings))
    batches, first = prepared(people, patches, config)
    _, again = prepared(people, patches, resolve(tiny(labels, workers=3, **settings)))
    assert all(torch.equal(one, other) for (one, _), (other, _) in zip(first, again, strict=True))
    for other in (
        prepare_batches(batches, people, patches, SPEC, config, 1, 0),
        prepare_batches(batches, people, patches, SPEC, config, 0, 1),
        prepare_batches(batches, people, patches, SPEC, resolve(tiny(labels, seed=1, **settings)), 0, 0),
        prepare_batches(batches[1:], people, patches, SPEC, config, 0, 0),
    ):
        assert not torch.equal(next(other)[0], first[0][0])


def test_every_setting_of_augmentation_has_its_way(people, patches, labels):
    config = resolve(tiny(labels, flip=1.0, pad=0, erase=0.0, grey=1.0))
    batches, found = prepared(people, patches, config)
    raw = torch.from_numpy(patches.take(people.train[batches[0]]))
    wanted = augment(raw, SPEC, Augmentation(flip=1.0, grey=1.0), torch.Generator().manual_seed(0), True)
    assert torch.equal(found[0][0], wanted)
