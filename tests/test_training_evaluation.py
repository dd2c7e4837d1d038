"""Everything that is measured, in one answer, and what is said of it."""

import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.training.evaluation import PROTOCOLS, Evaluation, evaluate_features
from osnet_encoder.training.metrics import RANKS, retrieval, single_shot
from osnet_encoder.training.reranking import reranked
from osnet_encoder.training.verification import FARS, equal_error_rate, pair_scores, tar_at_far

NAN = float("nan")

# Unit vectors whose cosines float32 has exactly.
GRID = st.lists(st.sampled_from([-0.5, 0.5]), min_size=4, max_size=4)
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), GRID),
        st.integers(0, 3),
        st.sampled_from([None, "a", "b"]),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def crowd(count=60, people=8):
    """Features that know something, people, and cameras."""
    generator = np.random.default_rng(0)
    who = np.arange(count) % people
    features = 1.2 * generator.standard_normal((people, 8))[who] + generator.standard_normal((count, 8))
    return features.astype(np.float32), who, generator.integers(0, 3, count)


def slow(rows):
    """Rank-1, mAP, mINP, queries, skipped queries and EER of rows with features, from the definitions."""
    present = [(at, row) for at, row in enumerate(rows) if row[0] is not None]
    firsts, precisions, inverses, skipped = [], [], [], 0
    for at, (vector, person, camera, is_query, _) in present:
        if not is_query:
            continue
        seen = [
            (-np.dot(vector, other), its_at, whose)
            for its_at, (other, whose, where, _, is_gallery) in present
            if is_gallery and its_at != at and not (whose == person and camera is not None and camera == where)
        ]
        hits = [rank for rank, (_, _, whose) in enumerate(sorted(seen), 1) if whose == person]
        if not hits:
            skipped += 1
            continue
        firsts.append(hits[0] == 1)
        precisions.append(np.mean([number / rank for number, rank in enumerate(hits, 1)]))
        inverses.append(len(hits) / hits[-1])
    pairs = [
        (float(np.dot(one[0], other[0])), one[1] == other[1])
        for (_, one), (_, other) in combinations([item for item in present if item[1][3] or item[1][4]], 2)
    ]
    means = [np.mean(numbers) if numbers else NAN for numbers in (firsts, precisions, inverses)]
    return (*means, len(firsts), skipped, slow_eer(pairs))


def slow_eer(pairs):
    genuine, impostor = ([cosine for cosine, same in pairs if same is wanted] for wanted in (True, False))
    if not genuine or not impostor:
        return NAN
    last = 0.0, 1.0
    for threshold in [*sorted({*genuine, *impostor}), 2]:
        refused = np.mean([cosine < threshold for cosine in genuine])
        accepted = np.mean([cosine >= threshold for cosine in impostor])
        if refused >= accepted:
            part = (last[1] - last[0]) / ((last[1] - last[0]) + (refused - accepted))
            return last[0] + part * (refused - last[0])
        last = refused, accepted
    raise AssertionError("the rates cross, always")


@given(ROWS)
def test_the_figures_are_what_the_definitions_say(rows):
    features = np.array([[NAN] * 4 if row[0] is None else row[0] for row in rows])
    _, people, cameras, query, gallery = zip(*rows, strict=True)
    found = evaluate_features(features, people, cameras, is_query=np.array(query), is_gallery=np.array(gallery))
    wanted = slow(rows)
    assert (found.queries, found.queries_skipped) == wanted[3:5]
    np.testing.assert_allclose((found.rank1, found.mAP, found.mINP), wanted[:3], atol=1e-6)
    np.testing.assert_allclose(found.eer, wanted[5], atol=1e-6)
    assert found.rows_without_features == sum(row[0] is None for row in rows)


def test_every_figure_is_that_of_the_function_it_is_named_after():
    features, people, cameras = crowd()
    found = evaluate_features(features, people, cameras)
    rows = {"query_rows": np.arange(60), "gallery_rows": np.arange(60)}
    ranked = retrieval(features, features, people, people, cameras, cameras, **rows)
    scores = pair_scores(features, people)
    assert (found.rank1, found.rank5, found.rank10, found.rank20) == tuple(ranked.cmc[[0, 4, 9, 19]])
    assert (found.mAP, found.mINP, found.queries) == (ranked.mAP, ranked.mINP, ranked.queries)
    assert (found.eer, found.eer_threshold) == equal_error_rate(scores)
    for far in FARS:
        assert (found.tar_at_far[far], found.threshold_at_far[far]) == tar_at_far(scores, far)
    assert found.cmc.shape == (RANKS,)
    assert (found.rows, found.gallery, found.identities, found.cameras) == (60, 60, 8, 3)
    assert found.genuine_pairs + found.impostor_pairs == 60 * 59 / 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("rerank", [False, True])
def test_each_protocol_and_re_ranking_go_together(protocol, rerank):
    features, people, _ = crowd()
    found = evaluate_features(features, people, protocol=protocol, rerank=rerank, seed=3)
    measure, options = (retrieval, {}) if protocol == "market" else (single_shot, {"seed": 3})
    everything = np.arange(60)
    wanted = measure(
        features,
        features,
        people,
        people,
        query_rows=everything,
        gallery_rows=everything,
        similarity=reranked(features) if rerank else None,
        **options,
    )
    assert (found.rank1, found.mAP) == (wanted.cmc[0], wanted.mAP)
    assert (found.protocol, found.reranked) == (protocol, rerank)


def test_a_threshold_found_elsewhere_is_tried():
    found = evaluate_features([[1, 0], [1, 0], [0, 1], [1, 1]], list("aabb"), thresholds={"ours": 0.5})
    assert found.at_thresholds == {"ours": {"threshold": 0.5, "far": 0.5, "tar": 1.0}}


def test_pairs_may_be_of_two_cameras_only():
    features, people, cameras = crowd()
    found = evaluate_features(features, people, cameras, other_cameras=True)
    assert (found.eer, found.eer_threshold) == equal_error_rate(
        pair_scores(features, people, cameras, other_cameras=True)
    )


def test_a_row_that_is_neither_query_nor_gallery_is_not_looked_at():
    features, people, _ = crowd()
    marks = {"is_query": np.arange(60) < 20, "is_gallery": (np.arange(60) >= 20) & (np.arange(60) < 50)}
    found = evaluate_features(features, people, **marks)
    fewer = evaluate_features(features[:50], people[:50], **{name: mark[:50] for name, mark in marks.items()})
    assert (found.mAP, found.eer, found.gallery) == (fewer.mAP, fewer.eer, 30)


@pytest.mark.parametrize(
    ("features", "people", "cameras", "notes"),
    [
        (
            np.eye(3),
            list("aab"),
            [1, 1, 1],
            [
                "all queries lost: camera_id is constant, so that every match is dropped as from the query's own "
                "camera; the gallery has no other crop of the person of 1",
                "2 impostor pairs are too few",
            ],
        ),
        (
            np.eye(5),
            list("aabbc"),
            [1, 2, 1, 1, 2],
            [
                "3 of 5 queries skipped: all matches of 2 are from the query's own camera; the gallery has no "
                "other crop of the person of 1"
            ],
        ),
        (
            np.eye(3),
            list("aab"),
            [1, 2, None],
            [
                "1 of 3 queries skipped: the gallery has no other crop of the person of 1",
                "1 rows have no camera_id: they count as from a camera of their own",
            ],
        ),
        (
            np.eye(2),
            list("aa"),
            None,
            [
                "cameras are not heeded: a match may be from the query's own camera, and then is an easy one",
                "no EER, no TAR@FAR: all crops are of one person",
            ],
        ),
        (
            np.eye(2),
            list("ab"),
            [1, 2],
            ["all queries lost: the gallery has no other crop of the person of 2", "no EER, no TAR@FAR: no two"],
        ),
        (
            [[1, 0], *[[NAN, NAN]] * 12, [0, 1]],
            ["a"] * 14,
            list(range(14)),
            ["12 rows have no feature vector and are left out: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"],
        ),
        ([[NAN, NAN]], ["a"], [1], ["there are no queries"]),
    ],
    ids=["constant", "own camera", "unknown", "none", "alone", "missing", "nothing"],
)
def test_what_a_reader_should_know_is_said(features, people, cameras, notes):
    said = evaluate_features(features, people, cameras).notes
    for note in notes:
        assert any(note in one for one in said), said


def test_figures_that_rest_on_little_are_said_to():
    features, people, _ = crowd()
    notes = evaluate_features(features, people, exact_rows=10, rerank=True, protocol="single-shot").notes
    assert notes[1:] == (
        "EER and TAR@FAR are from a histogram of cosines, with bins of 1/32768",
        "CMC, mAP and mINP are after re-ranking; EER and TAR@FAR are of the cosines as they are",
        "CMC is the mean over ten galleries of one random crop a person; mAP and mINP are of all crops",
    )
    notes = evaluate_features(features[:20], people[:20]).notes
    assert notes[1] == "174 impostor pairs are too few for a FAR of 0.001: none of them is accepted there"


def test_the_figures_go_into_json_unrounded_and_what_is_not_known_is_null():
    features, people, cameras = crowd()
    found = evaluate_features(features, people, cameras, thresholds={"ours": 0.5})
    read = json.loads(json.dumps(found.as_dict()))
    asked = {
        "rank1",
        "rank5",
        "rank10",
        "rank20",
        "mAP",
        "mINP",
        "eer",
        "tar_at_far",
        "queries",
        "queries_skipped",
    }
    assert asked <= read.keys()
    assert (read["mAP"], read["queries"]) == (found.mAP, found.queries)
    assert read["tar_at_far"] == {"0.1": found.tar_at_far[0.1], "0.01": found.tar_at_far[0.01],
                                  "0.001": found.tar_at_far[0.001]}  # fmt: skip
    assert read["at_thresholds"]["ours"]["threshold"] == 0.5
    lost = json.loads(json.dumps(evaluate_features(np.eye(2), ["a", "b"]).as_dict(), allow_nan=False))
    assert lost["mAP"] is None and lost["eer"] is None and lost["tar_at_far"]["0.1"] is None
    assert lost["queries_skipped"] == 2


def test_the_figures_are_told_in_words():
    features = [[1, 0], [1, 0], [0, 1], [0, 1], [1, 1]]
    found = evaluate_features(features, list("aabbc"), list("12123"), thresholds={"ours": 0.8})
    assert found.in_words().splitlines() == [
        "rows       5, 0 without features; 3 identities, 3 cameras",
        "queries    4, 1 skipped; gallery 5",
        "CMC        100.00% at 1, 100.00% at 5, 100.00% at 10, 100.00% at 20",
        "mAP        100.00%, mINP 100.00%",
        "EER        0.00% at cosine 1.0000; 2 genuine pairs, 8 impostor",
        "TAR        100.00% at FAR 0.1, from cosine 1.0000 on",
        "TAR        100.00% at FAR 0.01, from cosine 1.0000 on",
        "TAR        100.00% at FAR 0.001, from cosine 1.0000 on",
        "threshold  TAR 100.00%, FAR 0.00% from cosine 0.8000 on: ours",
        "note       1 of 5 queries skipped: the gallery has no other crop of the person of 1",
        "note       8 impostor pairs are too few for a FAR of 0.1 or 0.01 or 0.001: none of them is accepted "
        "there",
    ]
    lines = evaluate_features(np.eye(2), ["a", "b"]).in_words().splitlines()
    assert lines[2:5] == [
        "CMC        unknown at 1, unknown at 5, unknown at 10, unknown at 20",
        "mAP        unknown, mINP unknown",
        "EER        unknown; 0 genuine pairs, 1 impostor",
    ]
    assert lines[5].startswith("note ")


def test_the_features_given_are_left_as_they_are():
    features, people, cameras = crowd()
    before = features.copy()
    assert isinstance(evaluate_features(features, people, cameras, rerank=True), Evaluation)
    np.testing.assert_array_equal(features, before)
    assert not math.isnan(evaluate_features(features.tolist(), people).mAP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "duke"}, "protocol must be one of market, single-shot, found 'duke'"),
        ({"features": np.eye(2)[0]}, "features have the shape (2,), wanted (N, D)"),
        (
            {"features": [[1, NAN], [0, 1]], "row_numbers": [7, 8]},
            "row 7: the feature vector has numbers that are not finite",
        ),
        ({"identities": ["a"]}, "features of 2 rows, identities of 1"),
        ({"identities": ["a", None], "row_numbers": [7, 8]}, "row 8 has no identity"),
        ({"cameras": [1]}, "features of 2 rows, cameras of 1"),
        ({"row_numbers": [1]}, "features of 2 rows, row_numbers of 1"),
        ({"is_query": [1, 0]}, "is_query is int64 (2,), wanted bool (2,)"),
        ({"is_gallery": [True]}, "is_gallery is bool (1,), wanted bool (2,)"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_said(change, message):
    with pytest.raises(ValueError) as caught:
        evaluate_features(**{"features": np.eye(2), "identities": ["a", "b"], **change})
    assert str(caught.value) == message
