"""Retrieval, against a loop written from the definitions."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.training.matches import factorise
from osnet_encoder.training.metrics import RANKS, retrieval, single_shot
from osnet_encoder.training.similarity import blocks, cosine, unit_features

NAN = float("nan")

# Unit vectors, and their cosines, that float32 has exactly: equal cosines are equal to the bit.
GRID = st.lists(st.sampled_from([-0.5, 0.5]), min_size=4, max_size=4)


@st.composite
def cases(draw):
    """Rows of a table (who, camera, which row): which are queries, and which the gallery; and similarities."""
    count = draw(st.integers(1, 12))
    people = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    cameras = draw(st.lists(st.sampled_from([None, 1, 2, 3]), min_size=count, max_size=count))
    rows = [(person, camera, row) for row, (person, camera) in enumerate(zip(people, cameras, strict=True))]
    either = st.lists(st.sampled_from(["query", "gallery", "both"]), min_size=count, max_size=count)
    sides = draw(st.one_of(st.just(["both"] * count), either))
    queries = [row for row, side in zip(rows, sides, strict=True) if side != "gallery"]
    gallery = [row for row, side in zip(rows, sides, strict=True) if side != "query"]
    some = st.integers(-3, 3) if draw(st.booleans()) else st.integers(-1000, 1000)
    size = len(queries) * len(gallery)
    numbers = draw(st.lists(some, min_size=size, max_size=size))
    return queries, gallery, np.array(numbers, np.float32).reshape(len(queries), len(gallery))


def seen(query, gallery):
    """Where those crops of the gallery stand that a query may see."""
    person, camera, row = query
    return [
        column
        for column, (other, its_camera, its_row) in enumerate(gallery)
        if its_row != row and not (other == person and camera is not None and its_camera == camera)
    ]


def slow_ranks(query, gallery, similarities, columns):
    """The ranks, from 1, of a query's matches among some crops."""
    order = sorted(columns, key=lambda column: (-similarities[column], column))
    return [rank for rank, column in enumerate(order, 1) if gallery[column][0] == query[0]]


def mean(numbers):
    return sum(numbers) / len(numbers) if numbers else NAN


def slow_retrieval(queries, gallery, similarity, shots=None):
    firsts, precisions, inverses, without_match, same_camera = [], [], [], 0, 0
    for query, similarities in zip(queries, similarity, strict=True):
        columns = seen(query, gallery)
        ranks = slow_ranks(query, gallery, similarities, columns)
        if not ranks:
            others = [crop for crop in gallery if crop[0] == query[0] and crop[2] != query[2]]
            same_camera += bool(others)
            without_match += not others
            continue
        for order in shots or ():
            shown = {}
            for column in order:
                if column in columns:
                    shown.setdefault(gallery[column][0], column)
            firsts += slow_ranks(query, gallery, similarities, shown.values())
        if shots is None:
            firsts.append(ranks[0])
        precisions.append(mean([hit / rank for hit, rank in enumerate(ranks, 1)]))
        inverses.append(len(ranks) / ranks[-1])
    cmc = [mean([rank <= k for rank in firsts]) for k in range(1, RANKS + 1)]
    return cmc, mean(precisions), mean(inverses), len(precisions), without_match, same_camera


def columns_of(queries, gallery):
    """As `retrieval` wants them: identities, cameras, rows."""
    (people, cameras, rows), (others, places, numbers) = (
        [[row[at] for row in side] for at in range(3)] for side in (queries, gallery)
    )
    return (people, others, cameras, places), {"query_rows": rows, "gallery_rows": numbers}


def assert_same(found, wanted):
    cmc, mean_precision, mean_inverse, queries, without_match, same_camera = wanted
    np.testing.assert_allclose(found.cmc, cmc, atol=1e-9)
    np.testing.assert_allclose((found.mAP, found.mINP), (mean_precision, mean_inverse), atol=1e-9)
    assert (found.queries, found.without_match, found.same_camera) == (queries, without_match, same_camera)
    assert found.skipped == without_match + same_camera


@given(cases(), st.sampled_from([None, 1, 3]))
def test_retrieval_is_what_the_definitions_say(case, block):
    queries, gallery, similarity = case
    people, rows = columns_of(queries, gallery)
    found = retrieval(None, None, *people, **rows, similarity=similarity, block=block)
    assert_same(found, slow_retrieval(*case))


@given(cases(), st.integers(0, 9), st.integers(1, 3))
def test_single_shots_are_what_the_definitions_say(case, seed, repeats):
    queries, gallery, similarity = case
    people, rows = columns_of(queries, gallery)
    generator = np.random.default_rng(seed)
    shots = [generator.permutation(len(gallery)).tolist() for _ in range(repeats)]
    found = single_shot(None, None, *people, **rows, similarity=similarity, repeats=repeats, seed=seed)
    assert_same(found, slow_retrieval(*case, shots))


@given(st.lists(st.tuples(GRID, st.integers(0, 3), st.sampled_from([None, "a", "b"])), min_size=1, max_size=12))
def test_features_are_ranked_by_their_cosine_and_ties_by_their_row(rows):
    features = np.array([vector for vector, _, _ in rows], np.float32) * np.arange(1, len(rows) + 1)[:, None]
    crops = [(person, camera, row) for row, (_, person, camera) in enumerate(rows)]
    similarity = [
        [sum(a * b for a, b in zip(one, other, strict=True)) for other, _, _ in rows] for one, _, _ in rows
    ]
    people, numbers = columns_of(crops, crops)
    assert_same(retrieval(features, features, *people, **numbers), slow_retrieval(crops, crops, similarity))


@pytest.mark.parametrize("levels", [1, 3, 10**6])
def test_a_person_with_very_many_crops_is_ranked_by_the_same_rule(levels):
    generator = np.random.default_rng(0)
    gallery = [(int(person), None, row) for row, person in enumerate(generator.integers(0, 2, 700))]
    queries = [(0, None, -1), gallery[5]]
    similarity = generator.integers(0, levels, (2, 700)).astype(np.float32)
    people, rows = columns_of(queries, gallery)
    found = retrieval(None, None, *people, **rows, similarity=similarity)
    assert_same(found, slow_retrieval(queries, gallery, similarity))


def test_a_query_that_finds_its_person_first_and_third():
    found = retrieval([[1, 0]], [[1, 0.1], [1, 0.2], [1, 0.3]], ["a"], ["a", "b", "a"])
    assert found.mAP == pytest.approx((1 + 2 / 3) / 2)
    assert found.mINP == pytest.approx(2 / 3)
    assert found.cmc.tolist() == [1] * RANKS


def test_without_cameras_only_the_query_itself_is_dropped():
    features, rows = np.eye(3, dtype=np.float32), np.arange(3)
    found = retrieval(features, features, [1, 1, 2], [1, 1, 2], query_rows=rows, gallery_rows=rows)
    assert (found.queries, found.without_match, found.same_camera) == (2, 1, 0)


def test_a_constant_camera_loses_every_query():
    found = retrieval(np.eye(2), np.eye(2), ["a", "b"], ["a", "b"], [1, 1], [1, 1])
    assert (found.queries, found.without_match, found.same_camera) == (0, 0, 2)
    assert math.isnan(found.mAP) and math.isnan(found.mINP) and np.isnan(found.cmc).all()


@pytest.mark.parametrize("camera", [None, NAN, pd.NA, "", -1, -7])
def test_a_camera_that_is_not_known_is_no_other_s_equal(camera):
    found = retrieval(np.eye(2), np.eye(2), [1, 2], [1, 2], [camera, 3], [camera, 3])
    assert (found.queries, found.same_camera) == (1, 1)


def test_nobody_is_looked_for_and_nothing_is_found():
    found = retrieval(np.empty((0, 4)), np.empty((0, 4)), [], [])
    assert (found.queries, found.skipped) == (0, 0)
    assert math.isnan(found.mAP)


@pytest.mark.parametrize("to_column", [list, np.array, pd.Series])
def test_identities_and_cameras_may_be_texts_or_numbers_in_columns_of_any_kind(to_column):
    people, others = to_column(["0001", "1"]), to_column(["1", "0001"])
    found = retrieval(np.eye(2), np.eye(2), people, others, to_column([1, 2]), to_column([3, 4]))
    assert (found.queries, found.cmc[0], found.cmc[1]) == (2, 0, 1)


def test_equal_vectors_are_equally_similar_wherever_they_stand():
    generator = np.random.default_rng(0)
    queries, crops = (generator.standard_normal((5, 67), dtype=np.float32) for _ in range(2))
    which = generator.integers(0, 5, 997)
    similarity = cosine(queries, crops[which])(0, 5)
    for crop in range(5):
        assert (np.ptp(similarity[:, which == crop], axis=1) == 0).all()


def test_zero_and_minus_zero_are_equal_vectors():
    crops = np.array([[1, 0.0], [1, -0.0]] * 50, np.float32)
    assert np.ptp(cosine(np.array([[0.3, 0.7]]), crops)(0, 1)) == 0


def test_a_vector_of_zeros_is_similar_to_nothing():
    assert cosine(np.zeros((1, 3)), np.eye(3))(0, 1).tolist() == [[0, 0, 0]]


def test_unit_features_leaves_the_caller_s_array_as_it_is():
    features = np.full((2, 2), 3, np.float32)
    np.testing.assert_allclose(unit_features(features), np.sqrt(0.5))
    assert (features == 3).all()


def test_blocks_hold_as_many_rows_as_make_16_mib():
    assert list(blocks(5, 1 << 21)) == [(0, 2), (2, 4), (4, 5)]
    assert list(blocks(2, 1 << 30)) == [(0, 1), (1, 2)]
    assert list(blocks(0, 0)) == []


def test_values_are_numbered_in_the_order_in_which_they_occur():
    codes = factorise(["b", None, "a"], pd.Series(["a", "c", None]))
    assert [column.tolist() for column in codes] == [[0, -1, 1], [1, 2, -1]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_identities": ["a", None]}, "query 1 has no identity"),
        ({"gallery_identities": ["", "b"]}, "crop of the gallery 0 has no identity"),
        ({"query_identities": ["a"]}, "features of (2, 2) queries and crops of the gallery, identities of (1, 2)"),
        ({"query_cameras": [1, 2]}, "cameras of the queries only, wanted both or none"),
        ({"gallery_rows": [1, 2]}, "rows of the gallery only, wanted both or none"),
        (
            {"query_cameras": [1, 2], "gallery_cameras": [1]},
            "2 queries with 2 cameras, 2 crops of the gallery with 1",
        ),
        (
            {"query_rows": [0, 1], "gallery_rows": [1, 2]},
            "row 1 has one identity as a query, and another in the gallery",
        ),
        ({"query_features": [[1, NAN], [0, 1]]}, "the features of row 0 are not finite"),
        ({"query_features": np.eye(2)[0]}, "features have the shape (2,), wanted (N, D)"),
        ({"query_features": np.ones((2, 3))}, "queries have 3 numbers, the gallery has 2"),
        (
            {"similarity": np.ones((2, 3))},
            "features of (2, 3) queries and crops of the gallery, identities of (2, 2)",
        ),
        ({"similarity": np.full((2, 2), NAN)}, "similarities of queries 0 to 1 are not all numbers"),
        ({"block": 0}, "block is 0, wanted at least 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_the_arguments_is_said(change, message):
    arguments = {
        "query_features": np.eye(2),
        "gallery_features": np.eye(2),
        "query_identities": ["a", "b"],
        "gallery_identities": ["a", "b"],
    }
    with pytest.raises(ValueError) as caught:
        retrieval(**{**arguments, **change})
    assert str(caught.value) == message
