"""How far training has come: a bar of batches on a terminal; the log has a line an epoch anyway."""

import sys

__all__ = ["Epochs"]


class Epochs:
    """Called after each batch, as `training.train` does with its `progress`."""

    def __init__(self):
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._close()

    def __call__(self, epoch, epochs, batch, batches, loss):
        """Show that `batch` of `batches` in an epoch are done, at such a loss so far."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=batches, desc=f"epoch {epoch}/{epochs}", unit="batch", dynamic_ncols=True, leave=False
            )
        self._bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self._bar.update(batch - self._bar.n)
        if batch == batches:
            self._close()

    def _close(self):
        if self._bar is not None:
            self._bar.close()
            self._bar = None
