"""Optimiser, learning rates, freezing, and the moving average of the weights."""

import copy
import math
from dataclasses import asdict
from itertools import pairwise

import pytest
import torch

from osnet_encoder.training.averaging import ExponentialAverage
from osnet_encoder.training.config import TrainConfig
from osnet_encoder.training.network import build_network, export_tensors
from osnet_encoder.training.optimise import freeze, make_optimizer, parameter_groups, set_rates
from osnet_encoder.training.schedule import Plateau, learning_rate, margin_share

SMALL = "osnet_x0_25"


@pytest.fixture(autouse=True)
def _one_thread():
    """Pictures this small are not worth dividing: two threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def config(**settings):
    return TrainConfig(
        **{"labels": ("some.csv",), "lr": 0.01, "backbone_lr": 0.001, "warmup_epochs": 5.0, **settings}
    )


def small_network():
    torch.manual_seed(0)
    return build_network(SMALL, 3)


def gradients(network, seed=0):
    x = torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(seed))
    features, necked = network(x)
    network.zero_grad(set_to_none=True)
    (network.classifier(necked).square().mean() + features.square().mean()).backward()


def step(network, optimizer, seed=0):
    gradients(network, seed)
    optimizer.step()


def numbers(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before, module):
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


# Rates.


def test_rates_rise_from_a_hundredth_to_all_over_the_warm_up_and_fall_to_nothing():
    cosine = config(epochs=60)
    assert learning_rate(cosine, 0) == pytest.approx(0.01)
    assert learning_rate(cosine, 2.5) == pytest.approx(0.505)
    assert learning_rate(cosine, 5) == 1
    assert learning_rate(cosine, 32.5) == pytest.approx(0.5)
    assert learning_rate(cosine, 5 + 55 / 3) == pytest.approx(0.75)
    assert learning_rate(cosine, 60) == learning_rate(cosine, 61) == 0


def test_rates_have_no_jumps():
    for schedule in ("cosine", "constant", "plateau"):
        run = config(epochs=10, schedule=schedule)
        rates = [learning_rate(run, i / 1000) for i in range(10_001)]
        assert max(abs(after - before) for before, after in pairwise(rates)) < 0.001
        assert min(rates) >= 0
        assert max(rates) == 1


def test_steps_lower_the_rates_after_each_milestone():
    steps = config(schedule="steps", milestones=(20, 40), gamma=0.1)
    found = [learning_rate(steps, progress) for progress in (5, 19.99, 20, 39.99, 40, 59)]
    assert found == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_arcface_s_margin_rises_between_a_tenth_and_six_tenths_of_a_run():
    run = config(epochs=20)
    found = [margin_share(run, progress) for progress in (0, 2, 7, 12, 20)]
    assert found == pytest.approx([0, 0, 0.5, 1, 1])


def test_without_a_warm_up_the_first_step_has_all_of_the_rate():
    assert learning_rate(config(warmup_epochs=0.0), 0) == 1
    assert learning_rate(config(warmup_epochs=0.0, schedule="constant"), 0) == 1


def test_a_run_that_is_all_warm_up_ends_there():
    short = config(epochs=1, warmup_epochs=1.0)
    assert learning_rate(short, 0.5) == pytest.approx(0.505)
    assert learning_rate(short, 1) == 0


def test_a_plateau_lowers_the_rates_when_no_evaluation_was_better_for_long_enough():
    waits_two = config(schedule="plateau", plateau_patience=2, gamma=0.5)
    state, factors = Plateau(), []
    for value in (0.1, 0.2, 0.2, 0.1, 0.15, 0.3, math.nan, 0.3):
        state = state.after(value, waits_two)
        factors.append(state.factor)
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]
    assert state == Plateau(0.25, 0.3, 0)
    assert Plateau(**asdict(state)) == state


# Groups.


def test_every_number_that_is_trained_is_in_one_group_and_no_other():
    network = small_network()
    backbone, head = parameter_groups(network, config(weight_decay=0.1))
    assert {id(p) for p in backbone["params"]} == {id(p) for p in network.backbone.parameters()}
    trained = [id(parameter) for parameter in network.parameters() if parameter.requires_grad]
    assert sorted(trained) == sorted(id(p) for group in (backbone, head) for p in group["params"])
    assert [(group["name"], group["lr"], group["weight_decay"]) for group in (backbone, head)] == [
        ("backbone", 0.001, 0.1),
        ("head", 0.01, 0.1),
    ]


def test_rates_are_parts_of_each_group_s_own():
    optimizer = make_optimizer(small_network(), config())
    set_rates(optimizer, 0.5)
    set_rates(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0001, 0.001])


@pytest.mark.parametrize(
    ("settings", "kind", "wanted"),
    [
        ({"optimizer": "adam", "amsgrad": True}, torch.optim.Adam, {"amsgrad": True}),
        ({"optimizer": "adamw"}, torch.optim.AdamW, {"amsgrad": False, "weight_decay": 0.0005}),
        ({"optimizer": "sgd", "momentum": 0.8}, torch.optim.SGD, {"momentum": 0.8, "nesterov": False}),
    ],
)
def test_each_optimiser_has_its_settings_and_changes_everything_but_the_neck_s_bias(settings, kind, wanted):
    network = small_network()
    optimizer = make_optimizer(network, config(**settings))
    assert type(optimizer) is kind
    assert all(group[name] == value for group in optimizer.param_groups for name, value in wanted.items())
    before = numbers(network)
    step(network, optimizer)
    still = set(before) - changed(before, network)
    # A gate's hidden layer is one number wide here: where its ReLU is shut, nothing below it learns.
    assert {name for name in still if ".gate." not in name} == {"neck.bias"}


@pytest.mark.parametrize("settings", [{}, {"amsgrad": True}, {"optimizer": "adamw", "weight_decay": 0.1}])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_steps_are_those_of_the_definition_however_pixels_are_laid_out(settings, layout):
    """With torch's plain loop over tensors as the slow truth."""
    network, slow = (small_network().to(memory_format=layout) for _ in range(2))
    run = config(**settings)
    optimizer = make_optimizer(network, run)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[run.optimizer]
    loop = kind(parameter_groups(slow, run), amsgrad=run.amsgrad, foreach=False)
    for seed in range(3):
        gradients(network, seed)
        for ours, theirs in zip(network.parameters(), slow.parameters(), strict=True):
            theirs.grad = None if ours.grad is None else ours.grad.clone()
        optimizer.step()
        loop.step()
    for ours, theirs in zip(network.parameters(), slow.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_an_optimiser_goes_on_from_a_checkpoint_to_the_bit(tmp_path):
    whole = small_network()
    optimizer = make_optimizer(whole, config(amsgrad=True))
    step(whole, optimizer, 1)
    torch.save([whole.state_dict(), optimizer.state_dict()], tmp_path / "checkpoint.pt")
    step(whole, optimizer, 2)

    resumed = build_network(SMALL, 3)
    again = make_optimizer(resumed, config(amsgrad=True))
    network_state, optimizer_state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    resumed.load_state_dict(network_state)
    again.load_state_dict(optimizer_state)
    assert [group["name"] for group in again.param_groups] == ["backbone", "head"]
    step(resumed, again, 2)
    assert not changed(numbers(whole), resumed)


# Freezing.


def test_a_frozen_backbone_keeps_every_number_and_the_head_learns():
    network = small_network()
    optimizer = make_optimizer(network, config())
    step(network, optimizer)
    freeze(network, True)
    network.train()
    before = numbers(network)
    step(network, optimizer)
    assert changed(before, network) == {
        "neck.weight", "neck.running_mean", "neck.running_var", "neck.num_batches_tracked", "classifier.weight",
    }  # fmt: skip
    assert network.training
    assert not network.backbone.training


def test_a_thawed_backbone_learns_again():
    network = small_network()
    optimizer = make_optimizer(network, config())
    freeze(network, True)
    freeze(network, False)
    before = numbers(network)
    step(network, optimizer)
    assert network.backbone.training
    assert "backbone.conv1.conv.weight" in changed(before, network)
    assert "backbone.conv1.bn.running_mean" in changed(before, network)


def test_freezing_leaves_eval_mode_as_it_is():
    network = small_network().eval()
    freeze(network, True)
    freeze(network, False)
    assert not any(module.training for module in network.modules())


# The average.


def test_the_average_is_that_of_a_loop_with_the_batch_norms_counted_in():
    network = small_network()
    optimizer = make_optimizer(network, config())
    average = ExponentialAverage(network, 0.5)
    slow = {name: tensor.double() for name, tensor in network.state_dict().items()}
    for n in range(1, 12):
        step(network, optimizer, n)
        average.update(network)
        kept = min(0.5, (1 + n) / (10 + n))
        slow = {name: kept * slow[name] + (1 - kept) * tensor for name, tensor in network.state_dict().items()}
    found = average.state_dict()["tensors"]
    assert set(found) == {name for name in slow if not name.endswith("num_batches_tracked")}
    assert all(torch.allclose(tensor.double(), slow[name], atol=1e-6) for name, tensor in found.items())


def test_the_network_has_the_average_s_numbers_for_a_while_and_then_its_own_to_the_bit():
    network = small_network()
    optimizer = make_optimizer(network, config())
    average = ExponentialAverage(network, 0.9)
    step(network, optimizer)
    average.update(network)
    own, held = numbers(network), average.state_dict()["tensors"]
    with average.applied(network):
        assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in held.items())
        exported = export_tensors(network)
        assert (exported["conv1.conv.weight"] == held["backbone.conv1.conv.weight"].numpy()).all()
        assert changed(own, network)
    assert not changed(own, network)
    step(network, optimizer)  # its gradients still reach it


def test_the_network_gets_its_own_numbers_back_whatever_happens():
    network = small_network()
    average = ExponentialAverage(network, 0.9)
    step(network, make_optimizer(network, config()))
    own = numbers(network)
    with pytest.raises(KeyboardInterrupt), average.applied(network):
        raise KeyboardInterrupt
    assert not changed(own, network)


def test_an_average_goes_on_from_a_checkpoint_to_the_bit(tmp_path):
    network = small_network()
    optimizer = make_optimizer(network, config())
    average = ExponentialAverage(network, 0.99)
    step(network, optimizer, 1)
    average.update(network)
    torch.save(average.state_dict(), tmp_path / "average.pt")
    resumed = ExponentialAverage(copy.deepcopy(network), 0.99)
    resumed.load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    step(network, optimizer, 2)
    average.update(network)
    resumed.update(network)
    theirs, ours = average.state_dict(), resumed.state_dict()
    assert theirs["updates"] == ours["updates"] == 2
    assert all(torch.equal(tensor, ours["tensors"][name]) for name, tensor in theirs["tensors"].items())
