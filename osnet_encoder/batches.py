"""One batch of cells -> feature vectors: decoded into one buffer, then through the engine at once."""

import threading
from time import perf_counter

import numpy as np

from .crops import as_crop
from .errors import CropError, EngineError
from .features import unit_length
from .missing import is_missing
from .patches import resize_into
from .reports import Encoded

__all__ = ["BatchEncoder"]


class BatchEncoder:
    """What a thread does with a batch; any number of threads may.

    Parameters
    ----------
    engine : Engine
        Run by so many threads at once as it has gain from.
    decode : callable
        Cell -> crop, uint8, (H, W, 3); raises `CropError`.
    color_order : "rgb" or "bgr"
        How the crops are stored.
    normalize : bool
        Scale feature vectors to unit length.
    """

    def __init__(self, engine, decode, color_order, normalize):
        self._engine = engine
        self._decode = decode
        self._color_order = color_order
        self._normalize = normalize
        self._slots = threading.BoundedSemaphore(engine.callers)
        self._buffers = threading.local()

    def __call__(self, numbered):
        """Encode a batch.

        Parameters
        ----------
        numbered : (int, list of cells)
            The number of the first row, which errors count from, and the cells.

        Returns
        -------
        Encoded

        Raises
        ------
        EngineError
            The engine failed, or answers with numbers that are not finite.
        """
        first_row, cells = numbered
        started = perf_counter()
        patches = self._buffer(len(cells))
        missing = np.zeros(len(cells), bool)
        broken = {}
        kept: list[int] = []
        for at, cell in enumerate(cells):
            if is_missing(cell):
                missing[at] = True
                continue
            try:
                crop = as_crop(cell) if isinstance(cell, np.ndarray) else self._decode(cell)
            except CropError as error:
                error.row = first_row + at
                broken[at] = error
                continue
            resize_into(crop, patches[len(kept)], self._color_order)
            kept.append(at)
        decoded = perf_counter()
        features = np.full((len(cells), self._engine.feature_dim), np.nan, np.float32)
        if kept:
            with self._slots:
                features[kept] = self._run(patches[: len(kept)], first_row)
        return Encoded(features, missing, broken, {"decode": decoded - started, "infer": perf_counter() - decoded})

    def _run(self, patches, first_row):
        features = self._engine.run(patches)
        if not np.isfinite(features).all():
            raise EngineError(f"the network gave numbers that are not finite, in the batch from row {first_row}")
        return unit_length(features) if self._normalize else features

    def _buffer(self, size):
        """uint8, (size, height, width, 3): this thread's own, since fresh pages cost more than decoding."""
        buffer = getattr(self._buffers, "patches", None)
        if buffer is None or len(buffer) < size:
            spec = self._engine.spec
            buffer = self._buffers.patches = np.empty((size, spec.height, spec.width, 3), np.uint8)
        return buffer
