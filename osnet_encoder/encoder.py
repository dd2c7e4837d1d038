"""OsNetEncoder: a column of crops in, a column of feature vectors out."""

from functools import partial
from typing import Literal

import numpy as np

from .batches import BatchEncoder
from .built_in import DEFAULT_WEIGHTS
from .columns import cut, is_series, open_column
from .crops import LIMITS, decode_crop
from .engines import count_cpus, open_engine
from .errors import WeightsError
from .features import FEATURE_FORMATS, to_cells
from .images import decode_image, read_image
from .patches import COLOR_ORDERS
from .pipeline import ordered_map
from .processes import map_in_processes
from .reports import Encoded, EncodeReport
from .version import __version__
from .weights import load

__all__ = ["CELLS", "PARALLEL", "EncodeReport", "Encoded", "OsNetEncoder"]

CELLS = ("crop", "path", "image")

PARALLEL = ("threads", "processes")


class OsNetEncoder:
    """Encode columns of person crops into feature vectors.

    Parameters
    ----------
    weights : str or path, optional
        A checkpoint (.pth, .pth.tar-N, .safetensors, .onnx), a published one's name, or `untrained:VARIANT`; see
        `weights.load`. Left out, those that come with the package.
    engine : "auto", "onnx", "openvino" or "torch"
        Auto is torch on CUDA; on the CPU onnx, but openvino for bf16 and for OpenVINO's own files.
    device : str
        `cpu`, `mps`, `cuda:N`, several with commas between, `cuda` for all there are, or `auto`: CUDA where the
        driver and torch both offer it, else the CPU.
    precision : "fp32", "bf16" or "fp16"
        Of the arithmetic; never lowered unasked.
    batch_size : int, optional
        Patches a call of the network; the engine's own choice if left out. Features do not depend on it.
    threads : int, optional
        Processors to use; all that this process may use if left out.
    parallel : "threads" or "processes"
        What works on the processors. Threads share the weights and start at once. Processes, one for each
        processor and each with its own copy, are for the CPU of machines with dozens, which one Python does not
        keep busy. Features are the same.
    cells : "crop", "path" or "image"
        What a cell holds: a crop string, the path of an image file, the bytes of one.
    root : str or path, optional
        Where relative paths start; the working folder if left out.
    limits : Limits
        How large a cell may be.
    color_order : "rgb" or "bgr"
        How the crops are stored.
    patch_size : (int, int), optional
        Height and width in pixels; what the weights say, else 256 x 128, if left out.
    norm_mean, norm_std : 3 floats, optional
        In units of the full range; what the weights say, else ImageNet's, if left out.
    network_color_order : "rgb" or "bgr", optional
        What the network wants; what the weights say, else RGB, if left out.
    network_output : str, optional
        Which output of an ONNX file from elsewhere holds the features, where it has several.
    normalize : bool, optional
        Scale feature vectors to unit length; what the weights say if left out, which for Torchreid's is no.
    on_error : "raise" or "null"
        What a broken cell does: raise `CropError`, or give a missing feature vector and an entry in
        `last_report`.
    weight_filepath, patch_height, patch_width : optional
        The original's names of `weights` and of the two halves of `patch_size`.
    GPU : bool, optional
        The original's: True is `device="cuda"`, False is `device="cpu"`.
    input_width, input_height, num_classes : optional
        The original's, accepted and unused: crops have sizes of their own, and a classifier is never run.

    Attributes
    ----------
    last_report : EncodeReport or None
        Of the latest `encode` or `get_features`, also after an error.
    engine : Engine
    weights : Weights or NetworkFile
    normalize : bool
        As it came to be.
    parallel, cells, root, limits, network_output, color_order, on_error
        As they were given.

    Raises
    ------
    WeightsError
        The weights cannot be found, trusted, or fitted.
    EngineError
        The engine or the device is not there, or the network does not fit.
    ValueError
        An argument has a value that it cannot have.
    """

    def __init__(
        self,
        weights=None,
        *,
        engine="auto",
        device="auto",
        precision="fp32",
        batch_size=None,
        threads=None,
        parallel="threads",
        cells="crop",
        root=None,
        limits=LIMITS,
        color_order="rgb",
        patch_size=None,
        norm_mean=None,
        norm_std=None,
        network_color_order=None,
        network_output=None,
        normalize=None,
        on_error="raise",
        weight_filepath=None,
        patch_height=None,
        patch_width=None,
        GPU=None,
        input_width=None,
        input_height=None,
        num_classes=None,
    ):
        _check_choice("parallel", parallel, PARALLEL)
        _check_choice("cells", cells, CELLS)
        _check_choice("color_order", color_order, COLOR_ORDERS)
        _check_choice("on_error", on_error, ("raise", "null"))
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        weights = _same("weights", weights, "weight_filepath", weight_filepath)
        if weights is None:
            weights = DEFAULT_WEIGHTS
        if GPU is not None:
            device = _same("device", None if device == "auto" else device, "GPU", "cuda" if GPU else "cpu")
        height, width = patch_size or (None, None)
        spec = {
            "height": _same("patch_size", height, "patch_height", patch_height),
            "width": _same("patch_size", width, "patch_width", patch_width),
            "mean": norm_mean,
            "std": norm_std,
            "color_order": network_color_order,
        }
        self.cells, self.root, self.limits = cells, root, limits
        self.network_output = network_output
        self.color_order = color_order
        self.on_error = on_error
        self.weights = load(weights)
        decode = {
            "crop": partial(decode_crop, limits=limits),
            "path": partial(read_image, root=root, limits=limits),
            "image": partial(decode_image, limits=limits),
        }[cells]
        opening = {
            "engine": engine,
            "device": device,
            "threads": 1 if parallel == "processes" else threads,
            "precision": precision,
            "network_output": network_output,
            **{name: value for name, value in spec.items() if value is not None},
        }
        self.engine = open_engine(self.weights, **opening)
        if parallel == "processes" and self.engine.device != "cpu":
            raise ValueError(f'parallel="processes" is for the CPU, found the device {self.engine.device}')
        self.parallel = parallel
        self.batch_size = batch_size or self.engine.batch_size
        self.normalize = self.engine.normalize if normalize is None else bool(normalize)
        self.last_report: EncodeReport | None = None
        self._threads = threads or count_cpus()
        self._encode_batch = BatchEncoder(self.engine, decode, color_order, self.normalize)
        opening.update(engine=self.engine.name, device="cpu")
        self._open_worker = partial(
            _open_worker, weights, self.weights.sha256, opening, decode, color_order, self.normalize
        )

    @property
    def feature_dim(self):
        """Length of a feature vector, D: the network's own."""
        return self.engine.feature_dim

    def get_features(self, column, feature_format: Literal["zlib-hex", "json", "list"] = "zlib-hex"):
        """Encode a column into a column.

        Parameters
        ----------
        column : Series, list, array or any iterable of cells
            Cells are what `cells` says, or decoded crops (uint8, (H, W, 3)), or missing.
        feature_format : "zlib-hex", "json" or "list"
            Feature strings, JSON texts, or float32 arrays of (D,).

        Returns
        -------
        features : Series or list
            A Series with the same index and name for a Series, else a list; as long as the column, in its
            order, None where a crop is missing (or broken, with `on_error="null"`).

        Raises
        ------
        CropError
            A cell is broken, with `on_error="raise"`.
        EngineError
            The engine failed.
        TypeError
            One cell where a column was wanted.
        """
        _check_choice("feature_format", feature_format, FEATURE_FORMATS)
        features = self.encode(column)
        cells = to_cells(features, np.isnan(features[:, 0]), feature_format)
        if not is_series(column):
            return cells
        import pandas

        dtype = object if feature_format == "list" or all(cell is None for cell in cells) else None
        return pandas.Series(cells, index=column.index, name=column.name, dtype=dtype)

    def encode(self, column):
        """Encode a column into an array.

        Parameters
        ----------
        column : Series, list, array or any iterable of cells
            As of `get_features`.

        Returns
        -------
        features : float32, (N, D)
            Rows of NaN where a crop is missing (or broken, with `on_error="null"`).

        Raises
        ------
        CropError, EngineError, TypeError
            As of `get_features`.
        """
        self.last_report = report = EncodeReport()
        length, cells = open_column(column)
        features = np.empty((length, self.feature_dim), np.float32)
        batches = (cells(start, stop) for start, stop in cut(length, self.batch_size, self._threads))
        for encoded in self.encode_batches(batches):
            features[report.rows : report.rows + len(encoded.features)] = encoded.features
            report.add(encoded)
        return features

    def encode_batches(self, batches):
        """Encode batch after batch, in order, while later ones are decoded and run by other threads.

        Memory follows the batches under way, two for each thread.

        Parameters
        ----------
        batches : iterable of lists of cells
            Drawn from the caller's thread.

        Yields
        ------
        Encoded
            One a batch.

        Raises
        ------
        CropError, EngineError
            As of `get_features`.
        """
        for encoded in self._encoded(_with_rows(batches)):
            if encoded.broken and self.on_error == "raise":
                raise encoded.broken[min(encoded.broken)]
            yield encoded

    def describe(self):
        """What made the features, fit to be kept beside them.

        Returns
        -------
        dict
            Of text, numbers and dicts of these.
        """
        spec = self.engine.spec
        return {
            "version": __version__,
            "weights": str(self.weights.source),
            "weights_sha256": self.weights.sha256,
            "variant": self.engine.variant,
            "patch": {"height": spec.height, "width": spec.width, "mean": spec.mean, "std": spec.std},
            "network_color_order": spec.color_order,
            "color_order": self.color_order,
            "normalize": self.normalize,
            "feature_dim": self.feature_dim,
            "engine": self.engine.name,
            "device": self.engine.device,
            "precision": self.engine.precision,
        }

    def _encoded(self, numbered):
        """Batches with the number of their first row -> what became of them, in order."""
        if self.parallel == "threads":
            workers = max(self._threads, self.engine.callers)
            return ordered_map(self._encode_batch, numbered, workers, 2 * workers)
        return map_in_processes(self._open_worker, map(_sendable, numbered), self._threads, 2 * self._threads)


def _open_worker(source, sha256, opening, decode, color_order, normalize):
    """What a process of its own does with a batch."""
    weights = load(source)
    if weights.sha256 != sha256:
        raise WeightsError(f"{weights.source} changed after the encoder was made of it")
    return BatchEncoder(open_engine(weights, **opening), decode, color_order, normalize)


def _sendable(numbered):
    row, cells = numbered
    return row, [bytes(cell) if isinstance(cell, memoryview) else cell for cell in cells]


def _with_rows(batches):
    row = 0
    for cells in batches:
        yield row, cells
        row += len(cells)


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, found {value!r}")


def _same(name, value, other_name, other):
    """One value under two names."""
    if value is not None and other is not None and value != other:
        raise ValueError(f"{name}={value!r} and {other_name}={other!r} say different things")
    return other if value is None else value
