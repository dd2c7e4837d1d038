"""SIGINT and SIGTERM: stop in good order, soon; and at once when asked twice."""

import os
import select
import signal
import threading

__all__ = ["GRACE", "Stop", "listen"]

# Seconds for an orderly end; what it takes is the batches under way. After them the process ends as it stands,
# which loses no more than a kill does.
GRACE = 4.0

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Which signal came, if one did.

    Attributes
    ----------
    number : int or None
    """

    def __init__(self):
        self.number = None

    def __call__(self, number, frame):
        """Unwind the main thread, once; for later signals there is the listening thread."""
        if self.number is None:
            self.number = number
            raise KeyboardInterrupt


def listen() -> Stop:
    """Let both signals raise KeyboardInterrupt in the main thread, and see to it that the process ends.

    A thread of its own hears them too, since the main thread may be deep in a library and hear nothing for long.

    Returns
    -------
    stop : Stop
    """
    stop = Stop()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _NUMBERS:
        signal.signal(number, stop)
    threading.Thread(target=_hear, args=(reader,), name="osnet-signals", daemon=True).start()
    return stop


def _hear(reader):
    number = _next(reader)
    again, _, _ = select.select([reader], [], [], GRACE)
    os._exit(128 + (_next(reader) if again else number))


def _next(reader):
    """The next of our signals; others may wake the process too."""
    while True:
        number = os.read(reader, 1)[0]
        if number in _NUMBERS:
            return number
