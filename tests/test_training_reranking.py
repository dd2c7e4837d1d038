"""k-reciprocal re-ranking, against a loop written from the paper."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.training.metrics import retrieval
from osnet_encoder.training.reranking import reranked

# Exact cosines, so that ties are ties in the loop too.
GRID = st.lists(st.sampled_from([-0.5, 0.5]), min_size=4, max_size=4)


def slow_rerank(features, queries, gallery, k1, k2, weight):
    """Row by row, with sets and dense matrices."""
    count = len(features)
    cosines = [[sum(a * b for a, b in zip(one, other, strict=True)) for other in features] for one in features]
    distance = [[2 - 2 * cosine for cosine in row] for row in cosines]
    distance = [[value / (max(row) or 1) for value in row] for row in distance]
    order = [sorted(range(count), key=lambda j: (j != i, -cosines[i][j], j)) for i in range(count)]

    def mutual(i, k):
        """The k nearest rows that have this one among their k nearest."""
        return {j for j in order[i][:k] if i in order[j][:k]}

    encoding = np.zeros((count, count))
    for i in range(count):
        expanded = near = mutual(i, k1 + 1)
        for j in near:
            theirs = mutual(j, round(k1 / 2) + 1)
            if len(theirs & near) > 2 / 3 * len(theirs):
                expanded = expanded | theirs
        for j in expanded:
            encoding[i, j] = math.exp(-distance[i][j])
        encoding[i] /= encoding[i].sum()
    encoding = np.array([encoding[order[i][:k2]].mean(axis=0) for i in range(count)])

    def final(i, j):
        jaccard = 1 - np.minimum(encoding[i], encoding[j]).sum() / np.maximum(encoding[i], encoding[j]).sum()
        return (1 - weight) * jaccard + weight * distance[i][j]

    return [[final(i, j) for j in gallery] for i in queries]


@given(st.data())
def test_the_distance_is_what_the_paper_says(data):
    features = data.draw(st.lists(GRID, min_size=1, max_size=16))
    some_rows = st.lists(st.sampled_from(range(len(features))), unique=True, min_size=1)
    queries, gallery = data.draw(some_rows), data.draw(some_rows)
    k1, k2 = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 8))
    weight = data.draw(st.sampled_from([0, 0.3, 1]))
    block = data.draw(st.sampled_from([None, 1, 5]))
    similarity = reranked(features, queries, gallery, k1=k1, k2=k2, weight=weight, block=block)
    found = np.concatenate([similarity(at, at + 1) for at in range(len(queries))])
    assert found.dtype == np.float32
    np.testing.assert_allclose(-found, slow_rerank(features, queries, gallery, k1, k2, weight), atol=1e-6)


def test_a_crowd_is_re_ranked_as_the_loop_does_it():
    generator = np.random.default_rng(0)
    features = generator.standard_normal((70, 6))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    queries, gallery = np.arange(20), np.arange(10, 70)
    found = reranked(features, queries, gallery, block=7)(0, 20)
    np.testing.assert_allclose(-found, slow_rerank(features, queries, gallery, 20, 6, 0.3), atol=1e-5)


def test_neighbours_of_neighbours_bring_a_person_s_crops_together():
    generator = np.random.default_rng(1)
    people = np.arange(240) % 12
    features = generator.standard_normal((12, 32))[people] + 1.6 * generator.standard_normal((240, 32))
    rows = {"query_rows": np.arange(240), "gallery_rows": np.arange(240)}
    plain = retrieval(features, features, people, people, **rows)
    better = retrieval(None, None, people, people, **rows, similarity=reranked(features))
    assert better.mAP > plain.mAP + 0.05


def test_the_features_given_are_left_as_they_are():
    features = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    before = features.copy()
    reranked(features)(0, 9)
    assert (features == before).all()


def test_a_table_without_rows_has_nothing_to_rank():
    assert reranked(np.empty((0, 4)))(0, 0).shape == (0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k1": 0}, "k1 is 0, wanted at least 1"),
        ({"k2": 0}, "k2 is 0, wanted at least 1"),
        ({"weight": 1.5}, "weight is 1.5, wanted 0 to 1"),
        (
            {"max_rows": 1},
            "re-ranking is for 1 rows at most, found 2: it would take up to 0.0 GB, and a time that grows with "
            "the square of the rows",
        ),
    ],
)
def test_what_cannot_be_done_is_said(options, message):
    with pytest.raises(ValueError) as caught:
        reranked(np.eye(2), **options)
    assert str(caught.value) == message
