"""Pieces of a table -> what became of their crops; equal crops of a piece are encoded once."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..errors import CropError
from ..missing import is_missing
from ..reports import Encoded
from ..tables import cells
from .known import Known, digest_of
from .parts import Outcome, Piece

__all__ = ["EXCERPT_CHARACTERS", "encode_pieces"]

# How much of a broken cell is kept for whoever looks into it.
EXCERPT_CHARACTERS = 80


@dataclass(frozen=True)
class _Asked:
    """A piece, and what of it the encoder is asked for.

    `which` has one number a row: the position of its crop among `distinct`, or -1 where the feature vector is
    known already. `offset` counts what the encoder was asked before, as its errors do.
    """

    piece: Piece
    column: list
    distinct: list
    which: np.ndarray
    known: np.ndarray | None
    digests: list | None
    offset: int


def encode_pieces(
    pieces: Iterable[Piece], encoder, column: str, known: Known | None = None
) -> Iterator[tuple[Piece, Outcome, Encoded, int]]:
    """Encode pieces, in order, several under way at once.

    Parameters
    ----------
    pieces : iterable of Piece
        Drawn from the caller's thread.
    encoder : OsNetEncoder
    column : str
        Where the crops are.
    known : Known, optional
        Feature vectors that need not be made.

    Yields
    ------
    piece : Piece
    outcome : Outcome
    encoded : Encoded
        As the encoder gave it: of distinct crops that were not known.
    reused : int
        Rows whose feature vectors were known.

    Raises
    ------
    CropError
        A cell is broken, and the encoder's `on_error` is "raise"; with its row in the table.
    EngineError
        The engine failed.
    """
    under_way: deque[_Asked] = deque()

    def questions():
        offset = 0
        for piece in pieces:
            asked = _ask(piece, column, known, offset)
            offset += len(asked.distinct)
            under_way.append(asked)
            yield asked.distinct

    try:
        for encoded in encoder.encode_batches(questions()):
            asked = under_way.popleft()
            outcome = _answer(asked, encoded, known)
            yield asked.piece, outcome, encoded, int((asked.which < 0).sum())
    except CropError as error:
        # results come in order, so it is of the piece asked for first; the encoder counts distinct cells only
        asked = under_way[0]
        at = int(np.argmax(asked.which == error.row - asked.offset))
        raise CropError(error.reason, error.detail, asked.piece.first_row + at) from error


def _ask(piece, column, known, offset):
    column_cells = cells(piece.rows.column(column))
    rows = digests = None
    if known is not None:
        if known.by_digest:
            digests = [None if is_missing(cell) else digest_of(cell) for cell in column_cells]
        rows = known.find(piece.rows, digests)
    distinct: list = []
    which = np.empty(len(column_cells), np.int64)
    seen: dict = {}
    for at, cell in enumerate(column_cells):
        if rows is not None and rows[at] >= 0 and not is_missing(cell):
            which[at] = -1
            continue
        which[at] = _place(cell, distinct, seen)
    return _Asked(piece, column_cells, distinct, which, rows, digests, offset)


def _place(cell, distinct, seen):
    """Where a cell stands among the distinct ones; a new one is added.

    Most cells differ in length or in their last bytes, a checksum, so that few are ever compared whole.
    """
    if is_missing(cell):
        key: object = None
    elif isinstance(cell, memoryview):
        key = (len(cell), bytes(cell[-32:]))
    else:
        key = cell if isinstance(cell, (str, bytes, int, float)) else id(cell)
    for place in seen.get(key, ()):
        if key is None or distinct[place] == cell:
            return place
    seen.setdefault(key, []).append(len(distinct))
    distinct.append(cell)
    return len(distinct) - 1


def _answer(asked, encoded, known):
    fresh = asked.which >= 0
    features = np.zeros((len(asked.which), encoded.features.shape[1]), np.float32)
    absent = np.zeros(len(asked.which), bool)
    features[fresh] = encoded.features[asked.which[fresh]]
    absent[fresh] = encoded.absent[asked.which[fresh]]
    if not fresh.all():
        features[~fresh] = known.features[asked.known[~fresh]]
    errors = [encoded.broken.get(place) for place in asked.which.tolist()]
    # a broken cell is no crop that an update could take up again
    digests = [None if error else digest for error, digest in zip(errors, asked.digests or errors, strict=True)]
    return Outcome(
        features=features,
        absent=absent,
        reason=pa.array([error and error.reason for error in errors], pa.string()),
        detail=pa.array([error and error.detail for error in errors], pa.string()),
        excerpt=pa.array(
            [error and _excerpt(cell) for error, cell in zip(errors, asked.column, strict=True)], pa.string()
        ),
        digest=pa.array(digests, pa.binary(16)),
    )


def _excerpt(cell):
    """How a cell begins, in one line of text that can be printed."""
    if isinstance(cell, memoryview):
        # a character of UTF-8 has four bytes at most
        cell = bytes(cell[: 4 * EXCERPT_CHARACTERS]).decode("utf-8", "replace")
    return "".join(one if one.isprintable() else "\ufffd" for one in str(cell)[:EXCERPT_CHARACTERS])
