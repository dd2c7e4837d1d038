"""How far a job has come: a bar on a terminal, a log line now and then elsewhere."""

import logging
import sys
from time import monotonic

__all__ = ["Progress"]

log = logging.getLogger(__name__)

# Seconds between two log lines.
INTERVAL = 30


class Progress:
    """Called after each batch, as `job.encode_table` does with its `progress`."""

    def __init__(self):
        self._bar = None
        self._started = self._told = monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._bar is not None:
            self._bar.close()

    def __call__(self, report, rows):
        """Show `report` (an `EncodeReport`) of `rows` rows."""
        if sys.stderr.isatty():
            self._show(report, rows)
        elif monotonic() - self._told >= INTERVAL:
            self._tell(report, rows)

    def _show(self, report, rows):
        if self._bar is not None and report.rows < self._bar.n:  # another table
            self._bar.close()
            self._bar = None
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=rows, unit="rows", dynamic_ncols=True, smoothing=0.1)
        self._bar.set_postfix_str(f"{self._speed(report):.0f} crops/s", refresh=False)
        self._bar.update(report.rows - self._bar.n)

    def _tell(self, report, rows):
        self._told = monotonic()
        left = (rows - report.rows) * (self._told - self._started) / max(report.rows, 1)
        log.info("%d of %d rows, %.1f crops/s, %.0f s left", report.rows, rows, self._speed(report), left)

    def _speed(self, report):
        return report.encoded / max(monotonic() - self._started, 1e-9)
