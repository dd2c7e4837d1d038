"""Tensors -> ONNX graph, without torch: batch-norms folded, preprocessing inside, any batch size.

The graph is written node by node from the tensors, not traced: it is ready in a fraction of a second, and it
holds nothing but the network. It follows `osnet.py` line for line; a test compares what the two answer.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .metadata import METADATA_KEY
from .variants import FEATURE_DIM, NECK, find_variant

__all__ = ["INPUT", "OUTPUT", "build_graph", "build_preprocessing"]

INPUT = "patches"
OUTPUT = "features"

# Old enough for every runtime in use, new enough for all that is needed; onnx's own default is newer than
# what ONNX Runtime reads.
_OPSET = 17
_IR_VERSION = 8

_EPSILON = 1e-5  # of every norm in OSNet


def build_graph(variant, tensors, spec, metadata=None):
    """Write a variant with its weights as an ONNX graph.

    Parameters
    ----------
    variant : str
        One of `variants.VARIANTS`.
    tensors : mapping of str to array
        As of `variants.tensor_shapes`; a classifier is left out, a BN-neck is taken along.
    spec : PatchSpec
        The patch's size is fixed in the graph, and its scaling is part of it.
    metadata : dict, optional
        Kept in the file as JSON: `metadata.describe_network`.

    Returns
    -------
    model : onnx.ModelProto
        `patches` uint8 (N, H, W, 3), RGB -> `features` float32 (N, 512).

    Raises
    ------
    ValueError
        There is no such variant.
    """
    graph = _Graph(tensors)
    x = graph.preprocess(INPUT, spec)
    v = find_variant(variant)
    x = _osnet(graph, v, x)
    if f"{NECK}.weight" in tensors:
        scale, shift = graph.norm_as_affine(NECK)
        x = graph.node("Mul", x, graph.constant(f"{NECK}.scale", scale))
        x = graph.node("Add", x, graph.constant(f"{NECK}.shift", shift))
    graph.node("Identity", x, output=OUTPUT)
    patches = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", spec.height, spec.width, 3])
    features = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", FEATURE_DIM])
    return graph.model(variant, patches, features, metadata)


def build_preprocessing(spec, dtype=np.float32):
    """Write the scaling alone as an ONNX graph, to stand in front of a network from elsewhere.

    Parameters
    ----------
    spec : PatchSpec
    dtype : numpy.float32 or numpy.float16
        What the network takes.

    Returns
    -------
    model : onnx.ModelProto
        `patches` uint8 (N, H, W, 3), RGB -> `features` of `dtype` (N, 3, H, W), scaled, in the network's
        colour order.
    """
    graph = _Graph({})
    x = graph.preprocess(INPUT, spec)
    if spec.color_order == "bgr":
        x = graph.node("Gather", x, graph.constant("bgr", np.array([2, 1, 0])), axis=1)
    elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph.node("Cast", x, output=OUTPUT, to=elem_type)
    patches = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", spec.height, spec.width, 3])
    scaled = helper.make_tensor_value_info(OUTPUT, elem_type, ["batch", 3, spec.height, spec.width])
    return graph.model("preprocessing", patches, scaled)


def _osnet(graph, v, x):
    instance_stem = v.family != "plain"
    x = graph.conv(x, "conv1.conv", "conv1.bn", stride=2, relu=not instance_stem, instance=instance_stem)
    if instance_stem:
        x = graph.node("Relu", x)
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, blocks in v.stages():
        for block, c_in, c_out, has_in in blocks:
            x = _block(graph, v, x, block, c_in != c_out, has_in)
        if stage != "conv4":
            name = v.transition(stage)
            x = graph.conv(x, f"{name}.conv", f"{name}.bn", relu=True)
            x = graph.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = graph.conv(x, "conv5.conv", "conv5.bn", relu=True)
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    weight, bias = graph.fold("fc.0", "fc.1")
    x = graph.node("Gemm", x, graph.constant("fc.weight", weight), graph.constant("fc.bias", bias), transB=1)
    return graph.node("Relu", x)


def _block(graph, v, x, name, downsample, has_in):
    inside = has_in and v.family == "ain"
    identity = graph.conv(x, f"{name}.downsample.conv", f"{name}.downsample.bn") if downsample else x
    x = graph.conv(x, f"{name}.conv1.conv", f"{name}.conv1.bn", relu=True)
    total = None
    for stream in v.light_convs(name):
        y = x
        for light in stream:
            y = graph.conv(y, f"{light}.conv1")
            y = graph.conv(y, f"{light}.conv2", f"{light}.bn", relu=True)
        y = graph.node("Mul", y, _gate(graph, y, f"{name}.gate"))
        total = y if total is None else graph.node("Add", total, y)
    x = graph.conv(total, f"{name}.conv3.conv", None if inside else f"{name}.conv3.bn")
    if inside:
        x = graph.instance_norm(x, f"{name}.IN")
    x = graph.node("Add", x, identity)
    if has_in and not inside:
        x = graph.instance_norm(x, f"{name}.IN")
    return graph.node("Relu", x)


def _gate(graph, x, name):
    x = graph.node("GlobalAveragePool", x)
    x = graph.conv(x, f"{name}.fc1", relu=True)
    return graph.node("Sigmoid", graph.conv(x, f"{name}.fc2"))


class _Graph:
    """The nodes and constants written so far; each method adds some and returns the name of its output."""

    def __init__(self, tensors):
        self.tensors = tensors
        self.nodes = []
        self.constants = {}
        self.flip_stem = False

    def node(self, op, *inputs, output=None, **attributes):
        output = output or f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, name, array):
        # Named after the tensor, so that the gate which four streams share is stored once.
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def preprocess(self, patches, spec):
        # The scale could be folded into the first convolution, the shift could not: the padding is of zeros.
        scale, shift = spec.scale_and_shift()
        x = self.node("Transpose", patches, perm=[0, 3, 1, 2])
        x = self.node("Cast", x, to=TensorProto.FLOAT)
        x = self.node("Mul", x, self.constant("scale", scale.reshape(1, 3, 1, 1)))
        x = self.node("Add", x, self.constant("shift", shift.reshape(1, 3, 1, 1)))
        self.flip_stem = spec.color_order == "bgr"
        return x

    def conv(self, x, name, norm=None, stride=1, relu=False, instance=False):
        weight, bias = self.fold(name, None if instance else norm)
        if name == "conv1.conv" and self.flip_stem:
            weight = weight[:, ::-1]
        kernel = weight.shape[2]
        inputs = [x, self.constant(f"{name}.weight", weight)]
        if bias is not None:
            inputs.append(self.constant(f"{name}.bias", bias))
        depthwise = weight.shape[1] == 1 and kernel == 3
        x = self.node(
            "Conv",
            *inputs,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=weight.shape[0] if depthwise else 1,
        )
        if instance:
            x = self.instance_norm(x, norm)
        return self.node("Relu", x) if relu else x

    def instance_norm(self, x, name):
        weight, bias = (
            self.constant(f"{name}.{part}", self.tensors[f"{name}.{part}"]) for part in ("weight", "bias")
        )
        return self.node("InstanceNormalization", x, weight, bias, epsilon=_EPSILON)

    def norm_as_affine(self, name):
        """A batch-norm at inference is one multiplication and one addition: float32, (C,) each."""
        gain, bias, mean, var = (
            self.tensors[f"{name}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(var + _EPSILON)
        return scale.astype(np.float32), (bias - mean * scale).astype(np.float32)

    def fold(self, name, norm):
        """Weight and bias of a layer with the batch-norm behind it folded in; bias None where there is none."""
        weight, bias = self.tensors[f"{name}.weight"], self.tensors.get(f"{name}.bias")
        if norm is None:
            return weight, bias
        scale, shift = self.norm_as_affine(norm)
        folded = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        return folded, shift if bias is None else bias * scale + shift

    def model(self, name, source, target, metadata=None):
        graph = helper.make_graph(self.nodes, name, [source], [target], list(self.constants.values()))
        model = helper.make_model(
            graph,
            producer_name="osnet-encoder",
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
        )
        if metadata is not None:
            helper.set_model_props(model, {METADATA_KEY: json.dumps(metadata, sort_keys=True)})
        onnx.checker.check_model(model)
        return model
