"""The network and its list of tensors."""

import re

import numpy as np
import pytest
import torch

from osnet_encoder.osnet import build
from osnet_encoder.untrained import formula_tensors
from osnet_encoder.variants import VARIANTS, tensor_shapes

# Parameters without classifier and tensors with one, as published.
PUBLISHED = {
    "osnet_x1_0": (2_169_508, 567),
    "osnet_x0_75": (1_285_754, 567),
    "osnet_x0_5": (630_034, 567),
    "osnet_x0_25": (201_864, 567),
    "osnet_ibn_x1_0": (2_170_532, 568),
    "osnet_ain_x1_0": (2_169_508, 552),
    "osnet_ain_x0_75": (1_285_754, 552),
    "osnet_ain_x0_5": (630_034, 552),
    "osnet_ain_x0_25": (201_864, 552),
}

# Multiply-adds at 256x128, in millions, as published.
PUBLISHED_MMACS = {
    "osnet_x1_0": 979,
    "osnet_x0_75": 570,
    "osnet_x0_5": 270,
    "osnet_x0_25": 82,
    "osnet_ibn_x1_0": 979,
}


def test_the_variants_are_those_published():
    assert list(VARIANTS) == list(PUBLISHED)


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_and_tensors_are_as_many_as_published(variant):
    parameters, tensors = PUBLISHED[variant]
    network = build(variant)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    with_classifier = build(variant, num_classes=10)
    assert len(with_classifier.state_dict()) == tensors
    assert sum(parameter.numel() for parameter in with_classifier.parameters()) == parameters + 5130


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_list_of_tensors_is_the_network_s(variant):
    found = [(name, tuple(tensor.shape)) for name, tensor in build(variant, 7).state_dict().items()]
    assert found == list(tensor_shapes(variant, 7).items())


@pytest.mark.parametrize("variant", PUBLISHED_MMACS)
def test_multiply_adds_are_as_many_as_published(variant):
    counted = 0

    def count(module, inputs, output):
        nonlocal counted
        # One product for each weight of a filter, at each place of the output.
        counted += output.numel() * module.weight[0].numel()

    network = build(variant).eval()
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 256, 128))
    assert counted / 1e6 == pytest.approx(PUBLISHED_MMACS[variant], rel=0.02)


@pytest.mark.parametrize("variant", VARIANTS)
def test_features_are_512_numbers_none_below_zero_for_any_size_of_input(variant):
    network = build(variant).eval()
    with torch.inference_mode():
        for size in ((256, 128), (112, 112), (64, 33)):
            features = network(torch.rand(2, 3, *size))
            assert features.shape == (2, 512)
            assert (features >= 0).all()


def test_the_gate_is_shared_by_the_four_streams():
    names = [name for name in tensor_shapes("osnet_x1_0") if "gate" in name]
    assert len(names) == 6 * 4  # six blocks, two layers, weight and bias


def test_instance_norms_stand_where_the_papers_put_them():
    def norms(variant):
        return sorted({m[1] for name in tensor_shapes(variant) if (m := re.match(r"(.*)\.IN\.", name))})

    assert norms("osnet_x1_0") == []
    assert norms("osnet_ibn_x1_0") == ["conv2.0", "conv2.1"]
    assert norms("osnet_ain_x1_0") == ["conv2.0", "conv2.1", "conv3.1", "conv4.0"]
    assert "conv1.bn.running_mean" in tensor_shapes("osnet_x1_0")
    assert "conv1.bn.running_mean" not in tensor_shapes("osnet_ibn_x1_0")


def test_initial_weights_are_those_of_the_papers():
    torch.manual_seed(0)
    network = build("osnet_x1_0", 100)
    assert network.conv5.conv.weight.std().item() == pytest.approx(
        (2 / 512) ** 0.5, rel=0.02
    )  # Kaiming over 512 outputs
    assert network.fc[0].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not network.fc[0].bias.any()
    assert not network.conv2[0].gate.fc1.bias.any()


def test_an_unknown_variant_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="no OSNet variant 'osnet_x2_0'; there are osnet_x1_0, osnet_x0_75"):
        build("osnet_x2_0")


def test_weights_by_formula_fill_every_tensor_and_are_the_same_everywhere():
    tensors = formula_tensors("osnet_x0_25", num_classes=3, neck=True)
    assert {name: array.shape for name, array in tensors.items()} == tensor_shapes("osnet_x0_25", 3, neck=True)
    assert {array.dtype for array in tensors.values()} == {np.dtype("float32"), np.dtype("int64")}
    assert tensors["neck.running_var"].min() > 0
    assert tensors["fc.0.weight"].ravel()[:3] == pytest.approx([-0.107271805, 0.10370347, 0.14519632], abs=1e-7)
