"""What is trained: backbone, BN-neck, classifier.

The metric loss looks at the features before the neck, cross-entropy at the logits behind it, and whoever uses the
trained network takes the vector between the two, at unit length.

Notes
-----
Source: Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-Identification, CVPRW 2019.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from ..fit import fit_tensors
from ..osnet import build
from ..patches import PatchSpec
from ..variants import FEATURE_DIM, NECK

__all__ = ["ReidNetwork", "build_network", "export_tensors", "normalise_patches"]


class ReidNetwork(nn.Module):
    """An OSNet, a batch-norm behind its feature vector, and a classifier that only training needs.

    Parameters
    ----------
    variant : str
        One of `variants.VARIANTS`.
    classes : int
        Identities to tell apart in training, at least 1.

    Attributes
    ----------
    backbone : OSNet
    neck : BatchNorm1d
        Its bias is 0 and stays so.
    classifier : Linear
        Without bias.
    frozen : bool
        Whether the backbone stays as it is; set by `optimise.freeze`.

    Raises
    ------
    ValueError
        There is no such variant.
    """

    def __init__(self, variant: str, classes: int):
        super().__init__()
        self.backbone = build(variant)
        self.neck = nn.BatchNorm1d(FEATURE_DIM)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(FEATURE_DIM, classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)
        self.frozen = False

    @property
    def variant(self) -> str:
        """One of `variants.VARIANTS`."""
        return self.backbone.variant.name

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn normalised patches into features.

        Parameters
        ----------
        x : float, (N, 3, H, W)
            As of `normalise_patches`.

        Returns
        -------
        features : float32, (N, 512)
            Before the neck: not negative, of any length.
        necked : float32, (N, 512)
            Behind it. Both are float32 under autocast too.
        """
        features = self.backbone(x).float()
        with torch.autocast(features.device.type, enabled=False):
            return features, self.neck(features)

    def inference(self, x: torch.Tensor) -> torch.Tensor:
        """Turn normalised patches into what the trained weights will give to those who use them.

        Parameters
        ----------
        x : float, (N, 3, H, W)

        Returns
        -------
        features : float32, (N, 512)
            Of unit length; means what it says in eval mode only.
        """
        return nn.functional.normalize(self(x)[1])

    def train(self, mode: bool = True) -> "ReidNetwork":
        """Set training or eval mode; a frozen backbone stays in eval mode, or its batch-norms would move.

        Parameters
        ----------
        mode : bool

        Returns
        -------
        ReidNetwork
            This one.
        """
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self


def build_network(variant: str, classes: int, tensors: Mapping[str, np.ndarray] | None = None) -> ReidNetwork:
    """Make a network to train.

    Parameters
    ----------
    variant : str
        One of `variants.VARIANTS`.
    classes : int
        Identities to tell apart in training, at least 1.
    tensors : mapping of str to array, optional
        Where to begin, as of `weights.Weights.tensors`. Their neck is taken if they have one; their classifier
        is not, since it knows other people. Left out, torch's generator initialises everything.

    Returns
    -------
    ReidNetwork
        In training mode, on the CPU.

    Raises
    ------
    ValueError
        There is no such variant.
    WeightsError
        The tensors are of another variant.
    """
    network = ReidNetwork(variant, classes)
    if tensors is not None:
        kept = {name: array for name, array in tensors.items() if not name.startswith("classifier.")}
        prefix = f"{NECK}."
        has_neck = any(name.startswith(prefix) for name in kept)
        fitted = fit_tensors("the network to begin with", kept, variant, 0, has_neck)
        backbone = {name: torch.tensor(array) for name, array in fitted.items()}
        neck = {name.removeprefix(prefix): backbone.pop(name) for name in fitted if name.startswith(prefix)}
        network.backbone.load_state_dict(backbone, strict=True)
        if neck:
            network.neck.load_state_dict(neck, strict=True)
    return network


def export_tensors(network: ReidNetwork) -> dict[str, np.ndarray]:
    """Take out what is kept after training: backbone and neck, without the classifier.

    Parameters
    ----------
    network : ReidNetwork
        On any device, in any memory format.

    Returns
    -------
    tensors : dict of str to array
        As of `variants.tensor_shapes` with a neck, fit for `weights.save`: copies, on which further training
        leaves no mark.
    """
    tensors = {**network.backbone.state_dict(), **network.neck.state_dict(prefix=f"{NECK}.")}
    return {name: np.array(tensor.cpu().numpy(), order="C") for name, tensor in tensors.items()}


def normalise_patches(
    patches: torch.Tensor, spec: PatchSpec, channels_last: bool = True, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Turn patches into what the network wants to see.

    Parameters
    ----------
    patches : uint8 or float32, (N, H, W, 3)
        RGB, 0 to 255, on any device.
    spec : PatchSpec
        Its mean, std and colour order.
    channels_last : bool
        Whether the result lies in memory as the patches do; else channel by channel.
    dtype : torch.dtype
        Of the result; the arithmetic is float32.

    Returns
    -------
    x : (N, 3, H, W)
        `(pixel / 255 - mean) / std`, in the network's colour order.
    """
    # A row of pixels is one long vector here: on a CPU that is several times as fast as three channels at a time.
    width = patches.shape[2]
    scale, shift = (torch.from_numpy(np.tile(each, width)).to(patches.device) for each in spec.scale_and_shift())
    x = patches.flatten(2).to(torch.float32, copy=True)
    x = torch.addcmul(shift, x, scale, out=x).unflatten(2, (width, 3)).permute(0, 3, 1, 2)
    if spec.color_order == "bgr":
        x = x.flip(1)
    return x.to(dtype, memory_format=torch.channels_last if channels_last else torch.contiguous_format)
