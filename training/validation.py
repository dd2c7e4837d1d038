"""How well the network tells people apart that it was never trained on."""

import numpy as np
import torch

from ..errors import JobError
from ..patches import PatchSpec
from .evaluation import Evaluation, evaluate_features
from .labels import Labels
from .network import ReidNetwork, normalise_patches
from .patch_store import PatchStore

__all__ = ["encode_patches", "validate"]

_BATCH = 64


def encode_patches(
    network: ReidNetwork, patches: PatchStore, rows: np.ndarray, spec: PatchSpec, device: torch.device
) -> np.ndarray:
    """Encode patches as `osnet-encode` would with these weights, in fp32.

    Parameters
    ----------
    network : ReidNetwork
        In eval mode afterwards.
    patches : PatchStore
    rows : int64, (N,)
        Which of them, in this order.
    spec : PatchSpec
    device : torch.device

    Returns
    -------
    features : float32, (N, D)
        Of unit length.

    Raises
    ------
    JobError
        They are no longer finite (`diverged`).
    """
    network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            batch = torch.from_numpy(patches.take(rows[start : start + _BATCH])).to(device)
            found.append(network.inference(normalise_patches(batch, spec)).cpu())
    features = torch.cat(found).numpy()
    if not np.isfinite(features).all():
        raise JobError("diverged", "the features are no longer finite; a lower lr may help")
    return features


def validate(
    network: ReidNetwork,
    patches: PatchStore,
    rows: np.ndarray,
    labels: Labels,
    spec: PatchSpec,
    device: torch.device,
) -> Evaluation:
    """Encode the validation crops, and look each up among the others.

    Parameters
    ----------
    network, patches, rows, spec, device
        As of `encode_patches`.
    labels : Labels
        Of these rows, in this order.

    Returns
    -------
    Evaluation

    Raises
    ------
    JobError
        As of `encode_patches`.
    """
    features = encode_patches(network, patches, rows, spec, device)
    cameras = None if (labels.cameras < 0).all() else labels.cameras
    return evaluate_features(
        features, labels.identities, cameras, is_query=labels.is_query, is_gallery=labels.is_gallery
    )
