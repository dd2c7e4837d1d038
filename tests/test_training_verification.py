"""Pairs of crops, against a loop written from the definitions."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.training.verification import (
    FARS,
    equal_error_rate,
    pair_scores,
    rates_at,
    roc,
    tar_at_far,
)

# Vectors of unit length whose cosines are multiples of a quarter, which float32 and the histogram have exactly.
VECTOR = st.lists(st.sampled_from([-0.25, 0.25]), min_size=16, max_size=16)
ROWS = st.lists(st.tuples(VECTOR, st.integers(0, 3), st.sampled_from([None, 1, 2])), min_size=0, max_size=10)


def columns_of(rows):
    features = np.array([vector for vector, _, _ in rows], np.float32).reshape(len(rows), 16)
    return features, [person for _, person, _ in rows], [camera for _, _, camera in rows]


def slow_pairs(rows, other_cameras):
    """The cosines of genuine and of impostor pairs."""
    genuine, impostor = [], []
    for second in range(len(rows)):
        for first in range(second):
            (one, person, camera), (other, its_person, its_camera) = rows[first], rows[second]
            if other_cameras and camera is not None and camera == its_camera:
                continue
            cosine = sum(a * b for a, b in zip(one, other, strict=True))
            (genuine if person == its_person else impostor).append(cosine)
    return genuine, impostor


def fraction(numbers):
    numbers = list(numbers)
    return sum(numbers) / len(numbers)


def slow_curve(genuine, impostor, beyond):
    """(threshold, false accept rate, false refuse rate) at every cosine, and above them all."""
    thresholds = sorted({*genuine, *impostor})
    return [
        (threshold, fraction(s >= threshold for s in impostor), fraction(s < threshold for s in genuine))
        for threshold in [*thresholds, thresholds[-1] + beyond]
    ]


def slow_eer(curve):
    for (below, far, frr), (above, next_far, next_frr) in pairwise(curve):
        if next_frr >= next_far:
            part = (far - frr) / ((far - frr) + (next_frr - next_far))
            return frr + part * (next_frr - frr), below + part * (above - below)
    raise AssertionError("the rates cross, always")


def slow_tar(curve, far):
    """The largest true accept rate that is allowed; the curve's thresholds rise, and with them it falls."""
    return next((1 - frr, threshold) for threshold, accepted, frr in curve if accepted <= far)


@given(ROWS, st.booleans(), st.booleans(), st.sampled_from([None, 1, 3]))
def test_rates_and_thresholds_are_what_the_definitions_say(rows, is_exact, other_cameras, block):
    features, people, cameras = columns_of(rows)
    exact_rows = 100 if is_exact else -1
    scores = pair_scores(
        features, people, cameras, other_cameras=other_cameras, exact_rows=exact_rows, block=block
    )
    genuine, impostor = slow_pairs(rows, other_cameras)
    assert (scores.genuine.pairs, scores.impostor.pairs, scores.is_exact) == (
        len(genuine),
        len(impostor),
        is_exact,
    )
    if not genuine or not impostor:
        assert scores.reason is not None
        assert all(map(math.isnan, (*equal_error_rate(scores), *tar_at_far(scores, 0.1))))
        assert roc(scores).shape == (0, 2)
        return
    curve = slow_curve(genuine, impostor, 1e-7 if is_exact else 1 / 32768)
    np.testing.assert_allclose(equal_error_rate(scores), slow_eer(curve), atol=1e-6)
    for far in (0, *FARS, 0.5, 1):
        np.testing.assert_allclose(tar_at_far(scores, far), slow_tar(curve, far), atol=1e-6)
    for threshold, far, frr in curve:
        np.testing.assert_allclose(rates_at(scores, threshold), (far, 1 - frr), atol=1e-6)


@given(st.integers(0, 10**6), st.integers(4, 60))
def test_a_histogram_is_off_by_less_than_its_bins(seed, count):
    generator = np.random.default_rng(seed)
    people = np.arange(count) % 3
    features = generator.standard_normal((count, 8)) + 2 * np.eye(8)[people]
    exact, binned = (pair_scores(features, people, exact_rows=rows) for rows in (count, -1))
    bin_pairs = 1 / min(exact.genuine.pairs, exact.impostor.pairs)
    assert equal_error_rate(binned)[0] == pytest.approx(equal_error_rate(exact)[0], abs=2 * bin_pairs)
    for far in FARS:
        tar, threshold = tar_at_far(binned, far)
        assert rates_at(exact, threshold)[0] <= far
        assert tar == pytest.approx(tar_at_far(exact, far)[0], abs=2 * bin_pairs)


def test_people_well_apart_are_told_apart_without_error():
    scores = pair_scores([[1, 0], [1, 0], [0, 1], [0, 1]], ["a", "a", "b", "b"])
    assert equal_error_rate(scores) == (0, 1)
    assert tar_at_far(scores, 0.001) == (1, 1)


def test_features_that_tell_nothing_have_an_equal_error_rate_of_one_half():
    rate, threshold = equal_error_rate(pair_scores(np.ones((6, 3)), [0, 0, 0, 1, 1, 1]))
    assert rate == pytest.approx(0.5)
    assert threshold == pytest.approx(1)


@pytest.mark.parametrize(
    ("people", "reason"),
    [(["a", "b"], "no two crops are of one person"), (["a", "a"], "all crops are of one person")],
)
def test_where_there_is_nothing_to_compare_it_is_said_why(people, reason):
    assert pair_scores(np.eye(2), people).reason == reason


def test_the_curve_rises_from_one_false_accept_to_all():
    generator = np.random.default_rng(0)
    curve = roc(pair_scores(generator.standard_normal((40, 4)), np.arange(40) % 4), points=30)
    assert curve.shape == (30, 2)
    assert (np.diff(curve, axis=0) >= 0).all()
    assert curve[-1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((np.eye(2), ["a"]), {}, "features of 2 rows, identities of 1"),
        ((np.eye(2), ["a", None]), {}, "row 1 has no identity"),
        (
            (np.eye(2), ["a", "b"]),
            {"other_cameras": True},
            "only pairs from two cameras are asked for, and no cameras are given",
        ),
        ((np.eye(2), ["a", "b"], [1]), {"other_cameras": True}, "features of 2 rows, cameras of 1"),
        (([[np.inf, 1]], ["a"]), {}, "the features of row 0 are not finite"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(arguments, options, message):
    with pytest.raises(ValueError) as caught:
        pair_scores(*arguments, **options)
    assert str(caught.value) == message
