"""Every variant of OSNet as tensor names and shapes, without torch.

`osnet.py` is the network itself; a test holds the two equal, name by name. Loading, detecting and building
ONNX graphs need only what stands here.

Notes
-----
Source: Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019; AIN: Zhou et al.,
Learning Generalisable Omni-Scale Representations, 2019. The tensor names are Torchreid's.
"""

from dataclasses import dataclass

__all__ = ["FEATURE_DIM", "NECK", "VARIANTS", "Variant", "find_variant", "tensor_shapes"]

FEATURE_DIM = 512

# Where weights trained here keep the batch-norm after which the feature vector is taken.
NECK = "neck"

# Which of the two blocks of conv2, conv3 and conv4 normalise inside (AIN only).
_AIN_INSIDE = ((True, True), (False, True), (True, False))


@dataclass(frozen=True)
class Variant:
    """One member of the family.

    Parameters
    ----------
    name : str
    channels : tuple of 4 ints
        Of the stem and of the three stages.
    family : "plain", "ibn" or "ain"
    """

    name: str
    channels: tuple[int, int, int, int]
    family: str

    def stages(self):
        """The three stages of two blocks each, in order.

        Yields
        ------
        stage : str
            `conv2`, `conv3` or `conv4`.
        blocks : list of (str, int, int, bool)
            Name, input channels, output channels, and whether the block has an instance norm `IN`.
        """
        for stage, (c_in, c_out) in enumerate(zip(self.channels, self.channels[1:], strict=False)):
            name = f"conv{stage + 2}"
            has_in = {"plain": (False,) * 2, "ibn": (stage == 0,) * 2, "ain": _AIN_INSIDE[stage]}[self.family]
            yield name, [(f"{name}.0", c_in, c_out, has_in[0]), (f"{name}.1", c_out, c_out, has_in[1])]

    def transition(self, stage):
        """Name of the 1x1 convolution that ends stage `conv2` or `conv3`."""
        return f"pool{stage[-1]}.0" if self.family == "ain" else f"{stage}.2.0"

    def light_convs(self, block):
        """The names of a block's four streams, each a list of 1 to 4 light convolutions."""
        if self.family == "ain":
            return [[f"{block}.conv2.{t}.layers.{i}" for i in range(t + 1)] for t in range(4)]
        return [
            [f"{block}.conv2a"],
            *([f"{block}.conv2{'abcd'[t]}.{i}" for i in range(t + 1)] for t in (1, 2, 3)),
        ]


_WIDTHS = {
    "x1_0": (64, 256, 384, 512),
    "x0_75": (48, 192, 288, 384),
    "x0_5": (32, 128, 192, 256),
    "x0_25": (16, 64, 96, 128),
}

VARIANTS = {
    variant.name: variant
    for variant in (
        *(Variant(f"osnet_{width}", channels, "plain") for width, channels in _WIDTHS.items()),
        Variant("osnet_ibn_x1_0", _WIDTHS["x1_0"], "ibn"),
        *(Variant(f"osnet_ain_{width}", channels, "ain") for width, channels in _WIDTHS.items()),
    )
}


def find_variant(name):
    """Look a variant up by name.

    Parameters
    ----------
    name : str
        One of `VARIANTS`.

    Returns
    -------
    Variant

    Raises
    ------
    ValueError
        With the names that there are.
    """
    if name not in VARIANTS:
        raise ValueError(f"no OSNet variant {name!r}; there are {', '.join(VARIANTS)}")
    return VARIANTS[name]


def tensor_shapes(variant, num_classes=0, neck=False):
    """Names and shapes of all tensors of a checkpoint, in the order of the network's `state_dict`.

    Parameters
    ----------
    variant : str
        One of `VARIANTS`.
    num_classes : int
        Outputs of the classifier; 0 for none.
    neck : bool
        Whether a BN-neck follows the feature vector.

    Returns
    -------
    shapes : dict of str to tuple of int
        All are float32 but `*.num_batches_tracked`, which are int64 scalars.

    Raises
    ------
    ValueError
        There is no such variant.
    """
    v = find_variant(variant)
    shapes: dict[str, tuple[int, ...]] = {}
    instance_stem = v.family != "plain"
    _conv(shapes, "conv1", 3, v.channels[0], 7, norm="instance" if instance_stem else "batch")
    for stage, blocks in v.stages():
        for block in blocks:
            _block(shapes, v, *block)
        if stage != "conv4":
            c_out = blocks[-1][2]
            _conv(shapes, v.transition(stage), c_out, c_out, 1)
    _conv(shapes, "conv5", v.channels[3], v.channels[3], 1)
    _linear(shapes, "fc.0", v.channels[3], FEATURE_DIM)
    _batch_norm(shapes, "fc.1", FEATURE_DIM)
    if neck:
        _batch_norm(shapes, NECK, FEATURE_DIM)
    if num_classes:
        _linear(shapes, "classifier", FEATURE_DIM, num_classes)
    return shapes


def _block(shapes, v, name, c_in, c_out, has_in):
    middle = c_out // 4
    _conv(shapes, f"{name}.conv1", c_in, middle, 1)
    for stream in v.light_convs(name):
        for light in stream:
            shapes[f"{light}.conv1.weight"] = (middle, middle, 1, 1)
            shapes[f"{light}.conv2.weight"] = (middle, 1, 3, 3)
            _batch_norm(shapes, f"{light}.bn", middle)
    hidden = max(middle // 16, 1)
    _linear(shapes, f"{name}.gate.fc1", middle, hidden, pointwise=True)
    _linear(shapes, f"{name}.gate.fc2", hidden, middle, pointwise=True)
    inside = has_in and v.family == "ain"
    _conv(shapes, f"{name}.conv3", middle, c_out, 1, norm=None if inside else "batch")
    if c_in != c_out:
        _conv(shapes, f"{name}.downsample", c_in, c_out, 1)
    if has_in:
        shapes[f"{name}.IN.weight"] = shapes[f"{name}.IN.bias"] = (c_out,)


def _conv(shapes, name, c_in, c_out, kernel, norm: str | None = "batch"):
    shapes[f"{name}.conv.weight"] = (c_out, c_in, kernel, kernel)
    if norm == "batch":
        _batch_norm(shapes, f"{name}.bn", c_out)
    elif norm == "instance":
        shapes[f"{name}.bn.weight"] = shapes[f"{name}.bn.bias"] = (c_out,)


def _batch_norm(shapes, name, channels):
    for tensor in ("weight", "bias", "running_mean", "running_var"):
        shapes[f"{name}.{tensor}"] = (channels,)
    shapes[f"{name}.num_batches_tracked"] = ()


def _linear(shapes, name, c_in, c_out, pointwise=False):
    shapes[f"{name}.weight"] = (c_out, c_in, 1, 1) if pointwise else (c_out, c_in)
    shapes[f"{name}.bias"] = (c_out,)
