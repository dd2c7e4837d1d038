"""The losses: against loops, against another library, and where they could go wrong."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from osnet_encoder.training.config import LOSSES, TrainConfig
from osnet_encoder.training.losses import (
    arcface_logits,
    batch_hard_triplet_loss,
    circle_loss,
    cross_entropy_loss,
    multi_similarity_loss,
)
from osnet_encoder.training.objective import batch_cost
from osnet_encoder.training.presets import resolve

METRIC = {
    "triplet": batch_hard_triplet_loss,
    "soft-triplet": lambda features, identities: batch_hard_triplet_loss(features, identities, None),
    "circle": circle_loss,
    "multi-similarity": multi_similarity_loss,
}
each_metric_loss = pytest.mark.parametrize("loss", METRIC.values(), ids=METRIC)

batches = st.builds(
    lambda seed, identities: (np.random.default_rng(seed).normal(size=(len(identities), 4)), np.array(identities)),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 3), min_size=1, max_size=9),
)


def draw_batch(count=12, dim=6, identities=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, dim, generator=generator, dtype=torch.float64).to(dtype)
    return features.requires_grad_(), torch.arange(count) % identities


# Slow truths, each from its definition.


def mean_over_anchors(identities, cost):
    """`cost(anchor, positives, negatives)`, over the anchors that have both."""
    everybody = range(len(identities))
    costs = []
    for a in everybody:
        positives = [i for i in everybody if i != a and identities[i] == identities[a]]
        negatives = [i for i in everybody if identities[i] != identities[a]]
        if positives and negatives:
            costs.append(cost(a, positives, negatives))
    return sum(costs) / len(costs) if costs else 0.0


def slow_triplet(features, identities, margin):
    def cost(a, positives, negatives):
        furthest = max(math.dist(features[a], features[p]) for p in positives)
        nearest = min(math.dist(features[a], features[n]) for n in negatives)
        if margin is None:
            return math.log1p(math.exp(furthest - nearest))
        return max(0.0, furthest - nearest + margin)

    return mean_over_anchors(identities, cost)


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def slow_circle(features, identities, margin, scale):
    def cost(a, positives, negatives):
        total_p = total_n = 0.0
        for p in positives:
            s = cosine(features[a], features[p])
            total_p += math.exp(-scale * max(0.0, 1 + margin - s) * (s - (1 - margin)))
        for n in negatives:
            s = cosine(features[a], features[n])
            total_n += math.exp(scale * max(0.0, s + margin) * (s - margin))
        return math.log1p(total_p * total_n)

    return mean_over_anchors(identities, cost)


def slow_multi_similarity(features, identities, alpha, beta, base, margin):
    def cost(a, positives, negatives):
        near = [cosine(features[a], features[p]) for p in positives]
        far = [cosine(features[a], features[n]) for n in negatives]
        hard_near = [s for s in near if s < max(far) + margin]
        hard_far = [s for s in far if s > min(near) - margin]
        pull = math.log1p(sum(math.exp(-alpha * (s - base)) for s in hard_near)) / alpha
        push = math.log1p(sum(math.exp(beta * (s - base)) for s in hard_far)) / beta
        return pull + push

    return mean_over_anchors(identities, cost)


@given(batches, st.sampled_from([0.0, 0.3, 2.0, None]))
def test_the_triplet_loss_is_that_of_the_definition(batch, margin):
    fast = batch_hard_triplet_loss(*map(torch.from_numpy, batch), margin)
    assert fast.item() == pytest.approx(slow_triplet(*batch, margin), abs=1e-9)


@given(batches, st.sampled_from([0.1, 0.25]), st.sampled_from([1.0, 16.0, 64.0]))
def test_the_circle_loss_is_that_of_the_definition(batch, margin, scale):
    fast = circle_loss(*map(torch.from_numpy, batch), margin, scale)
    assert fast.item() == pytest.approx(slow_circle(*batch, margin, scale), rel=1e-6, abs=1e-8)


@given(batches, st.sampled_from([0.0, 0.1, 3.0]))
def test_the_multi_similarity_loss_is_that_of_the_definition(batch, margin):
    fast = multi_similarity_loss(*map(torch.from_numpy, batch), 2.0, 50.0, 0.5, margin)
    assert fast.item() == pytest.approx(slow_multi_similarity(*batch, 2.0, 50.0, 0.5, margin), rel=1e-6, abs=1e-8)


@given(st.floats(-1, 1), st.sampled_from([0.0, 0.3, 0.5, 1.5]))
def test_arcface_turns_the_right_identity_away_by_its_margin(right, margin):
    """One crop, two identities: the right one at cosine `right`, the other at -0.6."""
    crop = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
    weight = torch.tensor([[right, math.sqrt(1 - right**2), 0], [-0.6, 0, 0.8]], dtype=torch.float64)
    logits = arcface_logits(3 * crop, 5 * weight, torch.tensor([0]), margin, 64.0)
    angle = math.acos(right)
    turned = math.cos(angle + margin) if angle <= math.pi - margin else right - margin * math.sin(margin)
    # Near 0 and pi the sine has a floor, so that its gradient stays finite.
    near_an_end = 1e-3 * math.sin(margin) if 1 - right**2 < 1e-6 else 0
    assert logits[0, 0].item() / 64 == pytest.approx(turned, abs=1e-9 + near_an_end)
    assert logits[0, 1].item() / 64 == pytest.approx(-0.6)


def test_smoothed_cross_entropy_is_that_of_the_definition():
    logits, identities = draw_batch(5, 4, dtype=torch.float64)
    wanted = 0.0
    for row, identity in zip(logits.tolist(), identities.tolist(), strict=True):
        total = math.log(sum(map(math.exp, row)))
        target = [0.9 * (i == identity) + 0.1 / 4 for i in range(4)]
        wanted -= sum(part * (value - total) for part, value in zip(target, row, strict=True)) / 5
    assert cross_entropy_loss(logits, identities, 0.1).item() == pytest.approx(wanted)


# Another library.


@pytest.fixture(scope="module")
def metric_learning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pytorch_metric_learning", exc_type=ImportError)


def peer_value(metric_learning, name, features, identities):
    from pytorch_metric_learning import distances, losses, miners, reducers

    plain, mean = distances.LpDistance(normalize_embeddings=False), reducers.MeanReducer()
    if name == "triplet":
        loss = losses.TripletMarginLoss(margin=0.3, distance=plain, reducer=mean)
        return loss(features, identities, miners.BatchHardMiner(distance=plain)(features, identities))
    if name == "soft-triplet":
        loss = losses.TripletMarginLoss(margin=0, smooth_loss=True, distance=plain, reducer=mean)
        return loss(features, identities, miners.BatchHardMiner(distance=plain)(features, identities))
    if name == "circle":
        return losses.CircleLoss(m=0.25, gamma=64)(features, identities)
    loss = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)
    return loss(features, identities, miners.MultiSimilarityMiner(epsilon=0.1)(features, identities))


@pytest.mark.parametrize("name", METRIC)
def test_values_and_gradients_are_those_of_pytorch_metric_learning(metric_learning, name):
    for seed in range(3):
        features, identities = draw_batch(24, 16, 6, torch.float64, seed)
        ours = METRIC[name](features, identities)
        theirs = peer_value(metric_learning, name, features, identities)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
        (our_gradient,) = torch.autograd.grad(ours, features)
        (their_gradient,) = torch.autograd.grad(theirs, features)
        assert torch.allclose(our_gradient, their_gradient, rtol=1e-4, atol=1e-7)


def test_arcface_is_that_of_pytorch_metric_learning(metric_learning):
    from pytorch_metric_learning import losses

    features, identities = draw_batch(24, 16, 6, seed=1)
    peer = losses.ArcFaceLoss(6, 16, margin=math.degrees(0.5), scale=64)
    ours = cross_entropy_loss(arcface_logits(features, peer.W.T, identities), identities)
    theirs = peer(features, identities)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    (our_gradient,) = torch.autograd.grad(ours, features)
    (their_gradient,) = torch.autograd.grad(theirs, features)
    assert torch.allclose(our_gradient, their_gradient, rtol=1e-3, atol=1e-5)


# Where they could go wrong.


@each_metric_loss
@pytest.mark.parametrize(
    "identities", [[], [4], [4, 4, 4], [0, 1, 2, 3]], ids=["empty", "one crop", "one identity", "one crop each"]
)
def test_a_batch_with_nothing_to_compare_costs_nothing_and_changes_nothing(loss, identities):
    features = torch.ones(len(identities), 3, requires_grad=True)
    cost = loss(features, torch.tensor(identities, dtype=torch.int64))
    cost.backward()
    assert cost.shape == ()
    assert cost.item() == 0
    assert features.grad is not None
    assert not features.grad.any()


def test_no_crops_have_no_cross_entropy():
    logits = torch.zeros(0, 3, requires_grad=True)
    cost = cross_entropy_loss(logits, torch.zeros(0, dtype=torch.int64), 0.1)
    cost.backward()
    assert cost.item() == 0
    assert arcface_logits(logits, torch.ones(5, 3), torch.zeros(0, dtype=torch.int64)).shape == (0, 5)


@pytest.mark.parametrize("loss", [METRIC[name] for name in METRIC if name != "circle"])
def test_gradients_are_those_of_finite_differences(loss):
    features, identities = draw_batch(8, 4, 3, torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, identities), features)


def test_the_circle_loss_has_the_gradient_of_the_paper_which_holds_its_weights_constant():
    features, identities = draw_batch(8, 4, 3, torch.float64)
    fixed = features.detach().clone()

    def with_constant_weights(x):
        unit, still = F.normalize(x), F.normalize(fixed)
        s, w = unit @ unit.T, still @ still.T
        same = identities[:, None] == identities
        other = ~torch.eye(8, dtype=torch.bool)
        total = torch.zeros((), dtype=torch.float64)
        for a in range(8):
            p, n = same[a] & other[a], ~same[a]
            pull = torch.exp(-8 * F.relu(1.25 - w[a, p]) * (s[a, p] - 0.75)).sum()
            push = torch.exp(8 * F.relu(w[a, n] + 0.25) * (s[a, n] - 0.25)).sum()
            total = total + torch.log1p(pull * push) / 8
        return total

    assert torch.autograd.gradcheck(with_constant_weights, features)
    (wanted,) = torch.autograd.grad(with_constant_weights(features), features)
    (found,) = torch.autograd.grad(circle_loss(features, identities, 0.25, 8.0), features)
    assert torch.allclose(found, wanted)


def test_arcface_has_the_gradients_of_finite_differences():
    features, identities = draw_batch(8, 4, 3, torch.float64)
    weight, _ = draw_batch(3, 4, 3, torch.float64, seed=1)
    assert torch.autograd.gradcheck(lambda x, w: arcface_logits(x, w, identities), (features, weight))


@each_metric_loss
@pytest.mark.parametrize("value", [0.0, 1.0], ids=["zeros", "all the same"])
def test_equal_crops_have_a_finite_gradient(loss, value):
    features = torch.full((6, 4), value, requires_grad=True)
    cost = loss(features, torch.tensor([0, 0, 0, 1, 1, 1]))
    cost.backward()
    assert cost.isfinite()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("side", [1, -1], ids=["on it", "opposite"])
def test_arcface_has_a_finite_gradient_at_either_end(side):
    features = torch.tensor([[2.0, 0, 0]], requires_grad=True)
    weight = torch.tensor([[side * 1.0, 0, 0], [0, 1, 0]], requires_grad=True)
    arcface_logits(features, weight, torch.tensor([0])).sum().backward()
    assert features.grad.isfinite().all()
    assert weight.grad.isfinite().all()


@each_metric_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e3])
def test_half_precision_neither_overflows_nor_counts_otherwise(loss, dtype, size):
    drawn, identities = draw_batch(16, 64, 4)
    halves = (drawn.detach() * size).to(dtype).requires_grad_()
    cost = loss(halves, identities)
    cost.backward()
    assert cost.dtype == torch.float32
    assert cost.item() == loss(halves.detach().float(), identities).item()
    assert halves.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_in_half_precision_neither_overflow_nor_count_otherwise(dtype):
    features, identities = draw_batch(16, 64, 4)
    weight, _ = draw_batch(4, 64, seed=1)
    halves = (300 * features.detach()).to(dtype).requires_grad_()  # exp of these is beyond float16
    logits = arcface_logits(halves, weight.detach().to(dtype), identities)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, arcface_logits(halves.float(), weight.detach().to(dtype).float(), identities))
    cost = cross_entropy_loss(halves, identities, 0.1)
    assert cost.dtype == torch.float32
    assert cost.item() == cross_entropy_loss(halves.float(), identities, 0.1).item()
    (logits.sum() + cost).backward()
    assert halves.grad.isfinite().all()


@each_metric_loss
def test_autocast_changes_nothing(loss):
    features, identities = draw_batch(16, 64, 4)
    with torch.autocast("cpu", torch.bfloat16):
        cost = loss(features, identities)
    assert cost.item() == loss(features, identities).item()


def test_arguments_may_be_named():
    features, identities = draw_batch()
    named = circle_loss(identities=identities, features=features.half(), scale=8.0)
    assert named.item() == circle_loss(features.half(), identities, 0.25, 8.0).item()


@each_metric_loss
def test_a_loss_falls_where_its_gradient_leads(loss):
    drawn, identities = draw_batch(12, 8, 3)
    features = drawn.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([features], lr=0.05)
    first = loss(features, identities).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss(features, identities).backward()
        optimizer.step()
    assert loss(features, identities).item() < 0.5 * first


# All of them together.


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_costs_its_cross_entropy_and_its_weighted_metric_loss(name):
    settings = {"metric_weight": 0.25, "label_smoothing": 0.1, "arcface_scale": 64.0}
    config = resolve(TrainConfig(labels=("some.csv",), loss=name, **settings))
    features, identities = draw_batch(12, 6, 3)
    necked, weight = draw_batch(12, 6, seed=1)[0], draw_batch(3, 6, seed=2)[0]
    cost = batch_cost(config, features, necked, weight, identities)
    metric = METRIC[name](F.normalize(features), identities) if name in METRIC else torch.tensor(0.0)
    if name == "arcface":
        classification = F.cross_entropy(arcface_logits(necked, weight, identities), identities)
    else:
        classification = F.cross_entropy(necked @ weight.T, identities, label_smoothing=0.1)
    assert cost.classification.item() == pytest.approx(classification.item())
    assert cost.metric.item() == pytest.approx(metric.item())
    assert cost.total.item() == pytest.approx((classification + 0.25 * metric).item())
    with torch.autocast("cpu", torch.bfloat16):
        assert batch_cost(config, features, necked, weight, identities).total.item() == cost.total.item()
    cost.total.backward()
    assert weight.grad.any()


@pytest.mark.parametrize("name", METRIC)
def test_features_are_not_made_short_to_please_the_metric_loss(name):
    config = resolve(TrainConfig(labels=("some.csv",), loss=name))
    features, identities = draw_batch(12, 6, 3)
    necked, weight = draw_batch(12, 6, seed=1)[0], draw_batch(3, 6, seed=2)[0]
    costs = [
        batch_cost(config, length * features, necked, weight, identities).metric.item()
        for length in (0.01, 1, 100)
    ]
    assert costs == pytest.approx([costs[1]] * 3, rel=1e-4)


def test_the_settings_of_each_loss_reach_it():
    features, identities = draw_batch(12, 6, 3)
    necked, weight = draw_batch(12, 6, seed=1)[0], draw_batch(3, 6, seed=2)[0]

    def cost(**changed):
        config = resolve(TrainConfig(labels=("some.csv",), **changed))
        return batch_cost(config, features, necked, weight, identities)

    assert cost(loss="triplet", margin=1.5).metric == batch_hard_triplet_loss(
        F.normalize(features), identities, 1.5
    )
    circle = cost(loss="circle", circle_margin=0.4, circle_scale=9.0).metric
    assert circle == circle_loss(features, identities, 0.4, 9.0)
    arcface = cost(loss="arcface", arcface_margin=0.2, arcface_scale=9.0).total
    assert arcface == cross_entropy_loss(arcface_logits(necked, weight, identities, 0.2, 9.0), identities)


def test_arcface_asks_for_as_much_of_its_margin_as_it_is_told():
    features, identities = draw_batch(12, 6, 3)
    weight = draw_batch(3, 6, seed=2)[0]
    config = TrainConfig(labels=("some.csv",), loss="arcface", arcface_margin=0.4, arcface_scale=9.0)
    cost = batch_cost(config, features, features, weight, identities, 0.25).total
    assert cost == cross_entropy_loss(arcface_logits(features, weight, identities, 0.1, 9.0), identities)
