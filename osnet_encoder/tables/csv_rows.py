"""A CSV's bytes -> pieces of whole rows; and the watch over its quotes.

CSV parsers, pyarrow's and pandas' among them, make the best of a quote that is out of place: one that is left
open swallows rows up to the next quote or to the end of the file, and nothing is said. Here the quotes are found
first, and rows are handed on only where each quote is in its place:

    ,"text ""quoted"" text",        opens after a separator and closes before one; a doubled quote is a character
    ,5" pipe,                       in a bare cell a quote is a character like any other
    ,"text"text,                    refused: nothing can follow the end of a cell but a separator
"""

from collections.abc import Iterable, Iterator

import numpy as np

__all__ = ["MAX_ROW_BYTES", "QuoteFault", "first_row_end", "last_row_end", "whole_rows"]

# A row has to be held in memory whole. Cells may have 32 MiB, so this is room for eight of them.
MAX_ROW_BYTES = 256 << 20

_QUOTE = ord('"')
_SEPARATORS = b",\n\r"
_MAY_STAND_BESIDE = np.zeros(256, bool)
_MAY_STAND_BESIDE[list(_SEPARATORS + b'"')] = True

_LEFT_OPEN = "a quote is opened and never closed"
_MISPLACED = "text follows a closing quote, so a quote is missing or one too many"


class QuoteFault(Exception):
    """A quote is out of place in the row after those handed out; the text says how."""


def whole_rows(blocks: Iterable[bytes], max_row_bytes: int = MAX_ROW_BYTES) -> Iterator[memoryview]:
    """Cut a CSV's bytes where rows end.

    Parameters
    ----------
    blocks : iterable of bytes
        The file from its beginning, in pieces of any size.
    max_row_bytes : int
        The search for the end of a row is given up past as many bytes.

    Yields
    ------
    rows : memoryview of uint8
        One or more whole rows, line ends included; only the last row of the file may lack its own.

    Raises
    ------
    QuoteFault
        If a quote is out of place. Every row before the one at fault has been handed out.
    """
    held: list[bytes] = []
    held_bytes = wanted = 0
    for block in blocks:
        held.append(block)
        held_bytes += len(block)
        if held_bytes < wanted:
            continue
        text = b"".join(held)
        end, fault = _look(text)
        if end:
            yield memoryview(text)[:end]
        if fault == _MISPLACED:
            raise QuoteFault(fault)
        if not end and held_bytes > max_row_bytes:
            raise QuoteFault(f"the row does not end within {max_row_bytes:,} bytes; is a quote left open?")
        held, held_bytes = [text[end:]], len(text) - end
        # Doubling before the next look keeps the work on a huge row linear in its size.
        wanted = 0 if end else 2 * held_bytes
    text = b"".join(held)
    end, fault = _look(text)
    if fault is None:
        end = len(text)
    if end:
        yield memoryview(text)[:end]
    if fault is not None:
        raise QuoteFault(fault)


def first_row_end(text: memoryview) -> int:
    """Find the end of the first row.

    Parameters
    ----------
    text : memoryview of uint8
        Whole rows, as `whole_rows` hands them out.

    Returns
    -------
    end : int
        Position after the first line end that is not within quotes; the length of `text` if there is none.
    """
    data = bytes(text)
    opens, closes, _ = _quotes(data)
    for start, stop in zip([0, *(closes + 1)], [*opens, len(data)], strict=True):
        places = data.find(b"\n", start, stop), data.find(b"\r", start, stop)
        if max(places) >= 0:
            return min(place for place in places if place >= 0) + 1
    return len(data)


def last_row_end(text: memoryview) -> int:
    """Find the end of the last row that is whole.

    Parameters
    ----------
    text : memoryview of uint8
        Begins where a row begins, and may break off anywhere.

    Returns
    -------
    end : int
        Position after the last line end that is not within quotes; 0 if there is none.
    """
    return _look(bytes(text))[0]


def _look(text: bytes) -> tuple[int, str | None]:
    """Find where the last whole row ends, and what is wrong with the quotes after it."""
    opens, closes, fault = _quotes(text)
    starts = np.concatenate(([0], closes + 1))
    stops = opens if fault else np.append(opens, len(text))
    for gap in np.flatnonzero(stops > starts)[::-1]:
        start, stop = int(starts[gap]), int(stops[gap])
        end = max(text.rfind(b"\n", start, stop), text.rfind(b"\r", start, stop)) + 1
        if end:
            return end, fault
    return 0, fault


def _quotes(text: bytes) -> tuple[np.ndarray, np.ndarray, str | None]:
    """Find the quotes that open and close, each an int64 array of positions, and the first fault.

    With a fault, the last quote that opens has none that closes it.
    """
    data = np.frombuffer(text, np.uint8)
    places = np.flatnonzero(data == _QUOTE)
    # In a table without quotes in bare cells every other quote opens. That holds if and only if each has a
    # separator on its outer side, or is half of a doubled quote, which closes and opens again.
    opens, closes = places[0::2], places[1::2]
    before = data[opens[opens > 0] - 1]
    after = data[closes[closes < len(data) - 1] + 1]
    if _MAY_STAND_BESIDE[before].all() and _MAY_STAND_BESIDE[after].all():
        return opens, closes, _LEFT_OPEN if len(opens) > len(closes) else None
    return _walked_quotes(text, places.tolist())


def _walked_quotes(text, places):
    """The same as `_quotes`, one quote at a time."""
    opens: list[int] = []
    closes: list[int] = []
    fault = None
    doubled = -1
    for place in places:
        if place == doubled:
            continue
        if len(opens) == len(closes):
            if place == 0 or text[place - 1] in _SEPARATORS:
                opens.append(place)
        elif place + 1 == len(text) or text[place + 1] in _SEPARATORS:
            closes.append(place)
        elif text[place + 1] == _QUOTE:
            doubled = place + 1
        else:
            fault = _MISPLACED
            break
    if fault is None and len(opens) > len(closes):
        fault = _LEFT_OPEN
    return np.array(opens, np.int64), np.array(closes, np.int64), fault
