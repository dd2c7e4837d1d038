"""OSNet, every variant, as a torch module whose tensor names are Torchreid's.

Read `OSBlock` first: four streams of one to four light 3x3 convolutions see four scales at once, and one gate,
shared by all, weighs their channels. The rest is a small residual network around it.

Notes
-----
Source: Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019 (arXiv 1905.00953);
AIN: Zhou et al., Learning Generalisable Omni-Scale Representations (arXiv 1910.06827).
"""

from collections.abc import Callable

from torch import nn

from .variants import FEATURE_DIM, find_variant

__all__ = ["OSNet", "build"]

# Makes a norm layer for so many channels.
Norm = Callable[[int], nn.Module]


class ConvLayer(nn.Module):
    """Convolution, norm, ReLU; the norm may be over the instance, or absent, and the ReLU may be left out."""

    def __init__(self, c_in, c_out, kernel=1, stride=1, norm: Norm | None = nn.BatchNorm2d, relu=True):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = norm(c_out) if norm else None
        self.relu = relu

    def forward(self, x):
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        return x.relu_() if self.relu else x


class LightConv3x3(nn.Module):
    """A 3x3 convolution in two cheap steps: across the channels, then each channel for itself."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False, groups=channels)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return self.bn(self.conv2(self.conv1(x))).relu_()


class LightConvStream(nn.Module):
    """Several light convolutions in a row, under the name that the AIN checkpoints give them."""

    def __init__(self, channels, depth):
        super().__init__()
        self.layers = nn.Sequential(*(LightConv3x3(channels) for _ in range(depth)))

    def forward(self, x):
        return self.layers(x)


class ChannelGate(nn.Module):
    """Weigh each channel by what the whole picture says of it."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 16, 1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x):
        pooled = x.mean((2, 3), keepdim=True)
        return x * self.fc2(self.fc1(pooled).relu()).sigmoid()


class OSBlock(nn.Module):
    """Four scales at once, weighed by one shared gate, around a residual.

    `family` decides where an instance norm `IN` stands: behind the sum (ibn), or on the branch before it
    (ain).
    """

    def __init__(self, c_in, c_out, family, has_in):
        super().__init__()
        middle = c_out // 4
        self.norm_inside = has_in and family == "ain"
        self.conv1 = ConvLayer(c_in, middle)
        if family == "ain":
            self.conv2 = nn.ModuleList(LightConvStream(middle, depth) for depth in (1, 2, 3, 4))
        else:
            self.conv2a = LightConv3x3(middle)
            self.conv2b = nn.Sequential(*(LightConv3x3(middle) for _ in range(2)))
            self.conv2c = nn.Sequential(*(LightConv3x3(middle) for _ in range(3)))
            self.conv2d = nn.Sequential(*(LightConv3x3(middle) for _ in range(4)))
        self.gate = ChannelGate(middle)
        self.conv3 = ConvLayer(middle, c_out, norm=None if self.norm_inside else nn.BatchNorm2d, relu=False)
        self.downsample = ConvLayer(c_in, c_out, relu=False) if c_in != c_out else None
        self.IN = _instance_norm(c_out) if has_in else None

    def streams(self):
        if hasattr(self, "conv2"):
            return list(self.conv2)
        return [self.conv2a, self.conv2b, self.conv2c, self.conv2d]

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        x = self.conv1(x)
        x = sum(self.gate(stream(x)) for stream in self.streams())
        x = self.conv3(x)
        if self.IN is not None and self.norm_inside:
            x = self.IN(x)
        x = x + identity
        if self.IN is not None and not self.norm_inside:
            x = self.IN(x)
        return x.relu_()


class OSNet(nn.Module):
    """The backbone; see `build`.

    The classifier is there so that checkpoints fit; `forward` never uses it.
    """

    def __init__(self, variant, num_classes=0):
        super().__init__()
        self.variant = find_variant(variant)
        c = self.variant.channels
        ain = self.variant.family == "ain"
        stem_norm: Norm = nn.BatchNorm2d if self.variant.family == "plain" else _instance_norm
        self.conv1 = ConvLayer(3, c[0], 7, stride=2, norm=stem_norm)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for stage, blocks in self.variant.stages():
            layers = [OSBlock(c_in, c_out, self.variant.family, has_in) for _, c_in, c_out, has_in in blocks]
            if stage == "conv4":
                self.add_module(stage, nn.Sequential(*layers))
                continue
            c_out = blocks[-1][2]
            transition = nn.Sequential(ConvLayer(c_out, c_out), nn.AvgPool2d(2, stride=2))
            if ain:
                self.add_module(stage, nn.Sequential(*layers))
                self.add_module(f"pool{stage[-1]}", transition)
            else:
                self.add_module(stage, nn.Sequential(*layers, transition))
        self.conv5 = ConvLayer(c[3], c[3])
        self.fc = nn.Sequential(nn.Linear(c[3], FEATURE_DIM), nn.BatchNorm1d(FEATURE_DIM), nn.ReLU())
        self.classifier = nn.Linear(FEATURE_DIM, num_classes) if num_classes else None
        self.apply(_initialise)

    def forward(self, x):
        """Turn normalised patches into features.

        Parameters
        ----------
        x : float32, (N, 3, H, W)
            `(pixel / 255 - mean) / std`, RGB.

        Returns
        -------
        features : float32, (N, 512)
            After the ReLU: not negative, not of unit length.
        """
        x = self.maxpool(self.conv1(x))
        for name in ("conv2", "pool2", "conv3", "pool3", "conv4", "conv5"):
            if hasattr(self, name):  # only AIN keeps its transitions under names of their own
                x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


def build(variant, num_classes=0):
    """Make one OSNet, initialised for training.

    Parameters
    ----------
    variant : str
        One of `variants.VARIANTS`.
    num_classes : int
        Outputs of the classifier; 0 for none.

    Returns
    -------
    OSNet
        In training mode, on the CPU.

    Raises
    ------
    ValueError
        There is no such variant.
    """
    return OSNet(variant, num_classes)


def _instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True)


def _initialise(module):
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
        nn.init.zeros_(module.bias)
