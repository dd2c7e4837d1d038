"""Which crops stand together in a batch: P identities x K crops, or a plain shuffle.

Nothing is kept between epochs: the batches of an epoch follow from the seed and the epoch's number alone, so a run
that goes on where it stopped draws what it would have drawn.
"""

import numpy as np

__all__ = ["pk_batches", "plain_batches"]

# Set apart from each other, and from whatever else is drawn from the same seed.
_PK_DRAW, _PLAIN_DRAW = 1, 2


def pk_batches(
    identities: np.ndarray,
    batch_size: int,
    crops_per_identity: int,
    seed: int,
    epoch: int,
    rank: int = 0,
    world: int = 1,
) -> list[np.ndarray]:
    """Draw the batches of an epoch, each of P identities with K crops.

    Parameters
    ----------
    identities : int64, (N,)
        Of each crop; any numbers.
    batch_size : int
        P times K.
    crops_per_identity : int
        K.
    seed, epoch : int
        At least 0; what is drawn follows from them.
    rank, world : int
        Which of how many processes asks.

    Returns
    -------
    batches : list of int64, (batch_size,)
        Positions in `identities`, the K of one identity side by side. As many batches for every rank, and no batch
        for two of them.

    Raises
    ------
    ValueError
        There are no crops, `batch_size` is no multiple of K, or there is no such rank.

    Notes
    -----
    An identity of n crops is drawn ceil(n / K) times, so that every crop is seen in every epoch; what its last
    group of K lacks is filled with crops it has shown before, as evenly as can be. It stands twice in a batch only
    if it is drawn more often than there are batches. Where the last batches lack groups, identities are drawn once
    more, no two of them oftener than another.
    """
    identities = np.asarray(identities)
    _check_share(len(identities), rank, world)
    if crops_per_identity < 1 or batch_size < 1 or batch_size % crops_per_identity:
        raise ValueError(f"batch_size must be a multiple of {crops_per_identity} crops, found {batch_size}")
    rng = np.random.default_rng([seed, epoch, _PK_DRAW])
    order = np.lexsort((rng.random(len(identities)), identities))
    _, first, size = np.unique(identities[order], return_index=True, return_counts=True)

    drawn = -(-size // crops_per_identity)
    rows = batch_size // crops_per_identity
    columns = world * -(-int(drawn.sum()) // (rows * world))
    lacking = rows * columns - int(drawn.sum())
    drawn += lacking // len(size)
    drawn[rng.permutation(len(size))[: lacking % len(size)]] += 1

    turn = rng.permutation(len(size))
    owner = np.repeat(turn, drawn[turn])
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(drawn[turn]) - drawn[turn], drawn[turn])
    within = (nth[:, None] * crops_per_identity + np.arange(crops_per_identity)) % size[owner, None]
    crops = order[first[owner, None] + within]

    batch = _deal(owner.reshape(rows, columns), rng)
    dealt = crops[np.argsort(batch.reshape(-1), kind="stable")].reshape(columns, batch_size)
    return list(dealt[rank::world])


def plain_batches(
    count: int, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> list[np.ndarray]:
    """Draw the batches of an epoch by shuffling all crops.

    Parameters
    ----------
    count : int
        Crops there are.
    batch_size : int
    seed, epoch : int
        At least 0; what is drawn follows from them.
    rank, world : int
        Which of how many processes asks.

    Returns
    -------
    batches : list of int64, (batch_size,)
        Positions from 0 to `count`, none of them twice. As many batches for every rank, and no crop for two of
        them. What does not fill a batch for every rank is left to other epochs; where that is all there is, every
        rank has one batch that is smaller.

    Raises
    ------
    ValueError
        There are fewer crops than ranks, or no such rank.
    """
    _check_share(count, rank, world)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, found {batch_size}")
    order = np.random.default_rng([seed, epoch, _PLAIN_DRAW]).permutation(count)
    batch_size = min(batch_size, count // world)
    turns = count // (batch_size * world)
    dealt = order[: turns * world * batch_size].reshape(turns * world, batch_size)
    return list(dealt[rank::world])


def _deal(owner, rng):
    """Deal groups to batches: one of each row to each batch, equal owners to different batches.

    Parameters
    ----------
    owner : int64, (rows, batches)
        Of each group, in C order; all groups of an owner follow upon each other.
    rng : numpy.random.Generator

    Returns
    -------
    batch : int64, (rows, batches)
        Each row a permutation. Owners that run over from one row into the next stay clear of where they have been
        as long as there is elsewhere to go.
    """
    batch = np.empty(owner.shape, np.int64)
    been = np.zeros(owner.shape[1], np.int64)  # how often the owner that runs over stands in each batch
    last = None
    for row, owners in enumerate(owner):
        free = rng.permutation(len(owners))
        over = np.count_nonzero(owners == last)
        free = free[np.argsort(been[free], kind="stable")]
        batch[row] = np.concatenate([free[:over], rng.permutation(free[over:])])
        if owners[-1] != last:
            been[:], last = 0, owners[-1]
        been[batch[row, owners == last]] += 1
    return batch


def _check_share(count, rank, world):
    if not 0 <= rank < world:
        raise ValueError(f"rank must be from 0 to {world - 1}, found {rank}")
    if count < world:
        raise ValueError(f"{count} crops for {world} processes, wanted one for each at least")
