"""What others do, re-implemented: one crop at a time as the first encoder did, and the usual batch loop."""

import ast
import struct
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from osnet_encoder.osnet import build
from osnet_encoder.patches import PatchSpec
from osnet_encoder.weights import Weights

__all__ = ["LoaderLoop", "one_at_a_time", "open_network"]

LOADER_BATCH = 32


def open_network(weights: Weights, device: str = "cpu") -> nn.Module:
    """Make the network as training left it: eager, NCHW, fp32, no batch-norm folded.

    Parameters
    ----------
    weights : Weights
        Without a BN-neck.
    device : str

    Returns
    -------
    torch.nn.Module
        In eval mode.
    """
    network = build(weights.variant, weights.num_classes)
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.tensors.items()})
    return network.eval().to(device)


@torch.no_grad()
def one_at_a_time(network: nn.Module, cells: Sequence[str], spec: PatchSpec, device: str = "cpu") -> list[str]:
    """Do as the first OSNet dataframe encoder does: parse, inflate, resize, run, pack, one crop after another.

    Parameters
    ----------
    network : torch.nn.Module
    cells : sequence of str
        Crop strings of three colours, none missing.
    spec : PatchSpec
    device : str

    Returns
    -------
    list of str
        Feature strings.
    """
    strings = []
    for cell in cells:
        patch = _as_tensor(_unpack(cell), spec)
        vector = network(patch.unsqueeze(0).to(device))[0].cpu().tolist()
        strings.append(_pack(vector))
    return strings


class LoaderLoop:
    """The usual batch loop: a DataLoader whose workers decode, and an eager network on batches of 32.

    The workers start once and stay, so that no run pays for starting them.

    Parameters
    ----------
    network : torch.nn.Module
    cells : sequence of str
        As of `one_at_a_time`.
    spec : PatchSpec
    workers : int
    device : str
    """

    def __init__(
        self, network: nn.Module, cells: Sequence[str], spec: PatchSpec, workers: int, device: str = "cpu"
    ):
        self._network, self._device = network, device
        self._loader: DataLoader = DataLoader(
            _Crops(cells, spec),
            batch_size=LOADER_BATCH,
            num_workers=workers,
            persistent_workers=True,
            pin_memory=device != "cpu",
            multiprocessing_context="spawn",  # this process has threads by now, which a fork would tear apart
        )

    @torch.no_grad()
    def run(self) -> list[str]:
        """Encode all cells once.

        Returns
        -------
        list of str
            Feature strings.
        """
        strings = []
        for batch in self._loader:
            vectors = self._network(batch.to(self._device)).cpu().tolist()
            strings += [_pack(vector) for vector in vectors]
        return strings


class _Crops(Dataset):
    """Crop strings as a dataset of torch's."""

    def __init__(self, cells, spec):
        self.cells, self.spec = list(cells), spec

    def __len__(self):
        return len(self.cells)

    def __getitem__(self, at):
        return _as_tensor(_unpack(self.cells[at]), self.spec)


def _unpack(cell):
    values = ast.literal_eval(cell)
    pixels = zlib.decompress(bytes.fromhex(values["image"]))
    return np.frombuffer(pixels, np.uint8).reshape(values["height"], values["width"], values["colors"])


def _as_tensor(crop, spec):
    image = Image.fromarray(crop).resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
    mean = torch.tensor(spec.mean).reshape(3, 1, 1)
    std = torch.tensor(spec.std).reshape(3, 1, 1)
    return pixels.sub_(mean).div_(std)


def _pack(vector):
    return zlib.compress(struct.pack(f"<{len(vector)}f", *vector)).hex()
