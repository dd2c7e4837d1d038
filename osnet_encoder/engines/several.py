"""Several engines as one: a batch goes to whichever has room."""

import queue
from contextlib import contextmanager

__all__ = ["SeveralEngines"]


class SeveralEngines:
    """Engines for the same weights on different devices, behind the protocol of one.

    Parameters
    ----------
    engines : list of Engine
        At least one. Each gets as many callers at once as it wants; the batches' order is the caller's to keep.
    """

    def __init__(self, engines):
        first = engines[0]
        self.name, self.precision, self.variant = first.name, first.precision, first.variant
        self.spec, self.feature_dim, self.normalize = first.spec, first.feature_dim, first.normalize
        self.batch_size = first.batch_size
        self.device = ",".join(engine.device for engine in engines)
        self.callers = sum(engine.callers for engine in engines)
        self._free: queue.SimpleQueue = queue.SimpleQueue()
        # In turns, so that the first callers spread over the devices.
        for place in range(max(engine.callers for engine in engines)):
            for engine in engines:
                if place < engine.callers:
                    self._free.put(engine)

    def run(self, patches):
        """Turn patches into features; see `Engine.run`."""
        with self._one() as engine:
            return engine.run(patches)

    @contextmanager
    def _one(self):
        engine = self._free.get()
        try:
            yield engine
        finally:
            self._free.put(engine)
