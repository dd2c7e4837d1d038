"""Which crops stand together in a batch."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from osnet_encoder.training.sampler import pk_batches, plain_batches


@st.composite
def labelled_crops(draw):
    """Identities of crops, numbered as it comes, in any order."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=25))
    names = draw(st.lists(st.integers(-5, 10**12), min_size=len(sizes), max_size=len(sizes), unique=True))
    return np.array(draw(st.permutations(np.repeat(names, sizes).tolist())))


epochs = given(labelled_crops(), st.integers(1, 6), st.integers(1, 5), st.integers(0, 9), st.integers(1, 3))


def by_rank(identities, groups, crops, seed, world=1):
    world = min(world, len(identities))
    return [pk_batches(identities, groups * crops, crops, seed, 3, rank, world) for rank in range(world)]


def drawn(*arguments):
    """The batches of all ranks."""
    return [batch for batches in by_rank(*arguments) for batch in batches]


@epochs
def test_a_batch_has_p_identities_with_k_crops_each_side_by_side(identities, groups, crops, seed, world):
    for batch in drawn(identities, groups, crops, seed, world):
        assert (batch.dtype, batch.shape) == (np.int64, (groups * crops,))
        rows = identities[batch].reshape(groups, crops)
        assert (rows == rows[:, :1]).all()


@epochs
def test_every_rank_has_as_many_batches_and_every_crop_is_seen(identities, groups, crops, seed, world):
    ranks = by_rank(identities, groups, crops, seed, world)
    assert len({len(batches) for batches in ranks}) == 1
    assert set(np.concatenate(drawn(identities, groups, crops, seed, world))) == set(range(len(identities)))


@epochs
def test_no_crop_of_an_identity_comes_twice_in_a_group_that_has_others_to_show(
    identities, groups, crops, seed, world
):
    sizes = Counter(identities.tolist())
    for batch in drawn(identities, groups, crops, seed, world):
        for group in batch.reshape(groups, crops):
            shown = Counter(group.tolist())
            assert len(shown) == min(crops, sizes[identities[group[0]]])
            assert max(shown.values()) - min(shown.values()) <= 1


@epochs
@example(np.repeat([1, 2, 3], [20, 1, 1]), 2, 2, 0, 1)
@example(np.repeat([1, 2], [12, 12]), 4, 2, 0, 2)
def test_an_identity_stands_in_a_batch_as_seldom_as_can_be(identities, groups, crops, seed, world):
    batches = drawn(identities, groups, crops, seed, world)
    standing = [Counter(identities[batch[::crops]].tolist()) for batch in batches]
    for identity, draws in sum(standing, Counter()).items():
        times = [counter[identity] for counter in standing]
        assert max(times) - min(times) <= 1, (identity, draws, len(batches))


@epochs
def test_the_last_batches_are_filled_by_all_identities_alike(identities, groups, crops, seed, world):
    batches = drawn(identities, groups, crops, seed, world)
    draws = Counter(np.concatenate([identities[batch[::crops]] for batch in batches]).tolist())
    more = [draws[identity] - -(-size // crops) for identity, size in Counter(identities.tolist()).items()]
    assert min(more) >= 0
    assert max(more) - min(more) <= 1
    assert sum(more) < groups * world


def test_an_epoch_follows_from_its_seed_and_its_number():
    identities = np.arange(100) // 3

    def batches(seed, epoch):
        return np.concatenate(pk_batches(identities, 16, 4, seed, epoch)).tolist()

    assert batches(0, 5) == batches(0, 5)
    assert batches(0, 5) != batches(0, 6)
    assert batches(0, 5) != batches(1, 5)


def test_the_same_identities_do_not_keep_meeting():
    # 60 identities drawn twice each, in batches of 6: neighbours in one row must not be neighbours in the next
    identities = np.arange(60).repeat(8)
    meetings = Counter()
    for batch in pk_batches(identities, 24, 4, 0, 0):
        present = sorted(identities[batch[::4]].tolist())
        meetings.update((a, b) for a in present for b in present if a < b)
    assert np.mean([count == 2 for count in meetings.values()]) < 0.15


def test_a_literal_epoch():
    identities = np.array([7, 7, 7, 9, 5, 5])
    first, second = pk_batches(identities, 4, 2, seed=0, epoch=0)
    assert sorted(identities[first[::2]].tolist() + identities[second[::2]].tolist()) == [5, 7, 7, 9]
    nine = [group for batch in (first, second) for group in batch.reshape(2, 2).tolist() if 3 in group]
    assert nine == [[3, 3]]


@given(st.integers(1, 200), st.integers(1, 20), st.integers(0, 9), st.integers(1, 3))
def test_a_plain_epoch_shows_each_crop_once_but_for_what_fills_no_batch(count, batch_size, seed, world):
    world = min(world, count)
    ranks = [plain_batches(count, batch_size, seed, 2, rank, world) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    batches = [batch for of_rank in ranks for batch in of_rank]
    seen = np.concatenate(batches)
    assert len(set(seen)) == len(seen)
    assert {batch.shape for batch in batches} == {(min(batch_size, count // world),)}
    assert seen.min() >= 0 and seen.max() < count
    assert count - len(seen) < max(batch_size, 2) * world


def test_a_plain_epoch_follows_from_its_seed_and_its_number():
    def batches(seed, epoch):
        return np.concatenate(plain_batches(64, 8, seed, epoch)).tolist()

    assert batches(0, 5) == batches(0, 5)
    assert len({tuple(batches(*which)) for which in [(0, 5), (0, 6), (1, 5)]}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.arange(8), 6, 4, 0, 0), "batch_size must be a multiple of 4 crops, found 6"),
        ((np.arange(8), 0, 4, 0, 0), "batch_size must be a multiple of 4 crops, found 0"),
        ((np.arange(0), 8, 4, 0, 0), "0 crops for 1 processes, wanted one for each at least"),
        ((np.arange(8), 8, 4, 0, 0, 2, 2), "rank must be from 0 to 1, found 2"),
    ],
)
def test_batches_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        pk_batches(*arguments)


def test_plain_batches_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="^batch_size must be at least 1, found 0$"):
        plain_batches(5, 0, 0, 0)
    with pytest.raises(ValueError, match="^1 crops for 2 processes, wanted one for each at least$"):
        plain_batches(1, 4, 0, 0, 1, 2)
