"""The network that is trained: backbone, neck, classifier; what goes in, and what is taken out."""

import numpy as np
import pytest
import torch

from osnet_encoder.engines import open_engine
from osnet_encoder.errors import WeightsError
from osnet_encoder.features import unit_length
from osnet_encoder.patches import PatchSpec
from osnet_encoder.training.network import ReidNetwork, build_network, export_tensors, normalise_patches
from osnet_encoder.untrained import formula_tensors
from osnet_encoder.variants import VARIANTS, tensor_shapes
from osnet_encoder.weights import load, save
from pictures import draw_patches

SMALL = "osnet_x0_25"


def inputs(count=2, height=32, width=16):
    return normalise_patches(torch.from_numpy(draw_patches(count, height, width)), PatchSpec(height, width))


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_taken_out_of_any_variant_is_what_a_file_of_it_holds(variant):
    tensors = export_tensors(ReidNetwork(variant, 5))
    assert [(name, array.shape) for name, array in tensors.items()] == list(
        tensor_shapes(variant, neck=True).items()
    )
    kinds = {name.endswith("num_batches_tracked"): array.dtype for name, array in tensors.items()}
    assert kinds == {False: np.float32, True: np.int64}


@pytest.mark.parametrize("neck", [False, True])
def test_a_network_begins_with_the_tensors_it_is_given_and_without_their_classifier(neck):
    given = formula_tensors(SMALL, num_classes=3, neck=neck)
    network = build_network(SMALL, 7, given)
    found = export_tensors(network)
    for name in tensor_shapes(SMALL, neck=neck):
        assert np.array_equal(found[name], given[name]), name
    assert network.classifier.weight.shape == (7, 512)
    assert network.variant == SMALL
    if not neck:
        assert not found["neck.bias"].any()
        assert (found["neck.weight"] == 1).all()


def test_tensors_of_another_variant_are_refused():
    with pytest.raises(WeightsError, match="^the network to begin with does not fit osnet_x0_5: "):
        build_network("osnet_x0_5", 2, formula_tensors(SMALL))
    with pytest.raises(ValueError, match="no OSNet variant 'osnet_x9'"):
        build_network("osnet_x9", 2)


def test_tensors_that_may_not_be_written_to_are_no_trouble():
    given = formula_tensors(SMALL)
    for array in given.values():
        array.flags.writeable = False
    build_network(SMALL, 2, given)


def test_a_network_from_scratch_is_drawn_from_torch_s_generator():
    torch.manual_seed(3)
    first, second = build_network(SMALL, 400), build_network(SMALL, 400)
    torch.manual_seed(3)
    again = build_network(SMALL, 400)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert torch.equal(first.backbone.conv1.conv.weight, again.backbone.conv1.conv.weight)
    assert not torch.equal(first.classifier.weight, second.classifier.weight)
    assert first.classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)
    assert first.classifier.bias is None


def test_features_stand_before_the_neck_and_the_necked_behind_it():
    network = build_network(SMALL, 2, formula_tensors(SMALL, neck=True)).eval()
    x = inputs()
    with torch.inference_mode():
        features, necked = network(x)
        assert torch.equal(features, network.backbone(x))
        assert torch.equal(necked, network.neck(features))
        assert torch.allclose(network.inference(x).norm(dim=1), torch.ones(2))
        assert torch.allclose(network.inference(x), necked / necked.norm(dim=1, keepdim=True))


def test_the_neck_s_bias_stays_where_it_is_while_its_weight_learns():
    network = build_network(SMALL, 2)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    features, necked = network(inputs())
    (network.classifier(necked)[:, 0] + features.sum(1) + necked[:, 5]).sum().backward()
    torch.optim.SGD(trained, lr=1.0, weight_decay=0.1).step()
    assert not network.neck.bias.any()
    assert network.neck.bias.grad is None
    assert (network.neck.weight != 1).any()


def test_both_outputs_are_float32_under_autocast_and_so_are_the_neck_s_statistics():
    network = build_network(SMALL, 2)
    with torch.autocast("cpu", torch.bfloat16):
        features, necked = network(inputs())
    assert features.dtype == necked.dtype == torch.float32
    mean = features.detach().mean(0)
    assert torch.allclose(network.neck.running_mean, 0.1 * mean, atol=1e-6)


def test_what_is_taken_out_does_not_change_with_further_training():
    network = build_network(SMALL, 2).to(memory_format=torch.channels_last)
    before = export_tensors(network)
    kept = {name: array.copy() for name, array in before.items()}
    assert all(array.flags.c_contiguous and array.flags.owndata for array in before.values())
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.add_(1)
    assert all(np.array_equal(before[name], kept[name]) for name in kept)


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_weights_written_after_training_give_the_same_features_to_those_who_use_them(tmp_path, engine):
    spec = PatchSpec(64, 32)
    network = build_network("osnet_ain_x0_25", 2, formula_tensors("osnet_ain_x0_25", neck=True)).eval()
    save(tmp_path / "best.safetensors", export_tensors(network), spec=spec, normalize=True)
    patches = draw_patches(3, 64, 32)
    with torch.inference_mode():
        here = network.inference(normalise_patches(torch.from_numpy(patches), spec)).numpy()
    opened = open_engine(load(tmp_path / "best.safetensors"), engine, "cpu", threads=1)
    assert opened.normalize
    assert np.allclose(here, unit_length(opened.run(patches)), atol=2e-5)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_normalised_patches_are_those_of_the_definition(order, channels_last, kind):
    spec = PatchSpec(7, 5, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), color_order=order)
    patches = torch.from_numpy(draw_patches(3, 7, 5)).to(kind)
    kept = patches.clone()
    x = normalise_patches(patches, spec, channels_last)
    step = 1 if order == "rgb" else -1
    wanted = (kept.double().numpy()[..., ::step] / 255 - spec.mean) / spec.std
    assert x.shape == (3, 3, 7, 5)
    assert np.allclose(x.permute(0, 2, 3, 1), wanted, atol=1e-6)
    assert torch.equal(patches, kept)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert x.is_contiguous(memory_format=layout)


def test_normalised_patches_may_be_had_in_half_precision():
    patches = torch.from_numpy(draw_patches(2, 8, 4))
    full = normalise_patches(patches, PatchSpec())
    assert torch.equal(normalise_patches(patches, PatchSpec(), dtype=torch.bfloat16), full.bfloat16())
