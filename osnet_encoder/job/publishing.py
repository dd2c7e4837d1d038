"""Finished parts and the table -> the whole output, staged beside its place and put there by one rename."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ..errors import JobError
from ..tables import Survey, Table, open_writer, output_kind
from .known import Known, joined
from .layout import Layout
from .parts import Outcome, Part, read_outcomes

__all__ = ["STAGED", "stage"]

# The whole output, before it is in its place; the output's own suffixes follow.
STAGED = "staged"

# Rows read and written at a time.
_ROWS = 1024


def stage(
    table: Table,
    survey: Survey,
    parts: list[Part],
    folder: Path,
    staged: Path,
    layout: Layout,
    *,
    limit: int | None,
    dim: int,
    metadata: dict[str, str],
    known: Known | None = None,
) -> bytes:
    """Write the whole output under another name.

    Parameters
    ----------
    table : Table
    survey : Survey
    parts : list of Part
        All, in order.
    folder : Path
        Where they are.
    staged : Path
        The file to write, of the output's suffixes.
    layout : Layout
    limit : int or None
        Rows to take of the table.
    dim : int
        D, the length of a feature vector.
    metadata : dict of str to str
        Kept in a Parquet file.
    known : Known, optional
        The rows of the output that this one is to replace.

    Returns
    -------
    digests : bytes
        What tells the crop of each of the output's rows, if `known` goes by crops.

    Raises
    ------
    TableError
        The table cannot be read, or the output not written.
    JobError
        A part is gone or damaged (`damaged`), or the table does not have the rows that were encoded
        (`input_changed`).
    """
    typed = output_kind(staged) == "parquet"
    schema = layout.schema(survey.typed_schema if typed else table.schema, dim)
    numeric = survey.numeric - {layout.column} if table.kind == "csv" else frozenset()
    digests = bytearray()
    outcomes = _Outcomes(read_outcomes(folder, parts))
    with open_writer(staged, schema, numeric=numeric, metadata=metadata) as writer:
        unwanted = None if layout.keep_crops else layout.column
        for batch in table.batches(_ROWS, limit=limit, typed=typed, without=unwanted):
            for outcome in outcomes.take(batch.num_rows):
                rows, batch = batch.slice(0, len(outcome.absent)), batch.slice(len(outcome.absent))
                writer.write(layout.rows(rows, outcome, schema))
                if known is not None:
                    known.meet(rows, outcome.digest)
                    digests += joined(_kept(outcome, layout)) if known.by_digest else b""
        outcomes.check_used_up()
    return bytes(digests)


class _Outcomes:
    """The outcomes of all parts as one run of rows, of which any number can be taken."""

    def __init__(self, parts: Iterator[tuple[Part, Outcome]]):
        self._parts = parts
        self._held: deque[Outcome] = deque()

    def take(self, rows: int) -> Iterator[Outcome]:
        while rows:
            outcome = self._held.popleft() if self._held else self._next()
            if outcome is None:
                raise JobError("input_changed", "the input has more rows than were encoded")
            yield outcome.slice(0, rows)
            if len(outcome.absent) > rows:
                self._held.append(outcome.slice(rows, len(outcome.absent)))
            rows -= min(rows, len(outcome.absent))

    def check_used_up(self):
        if self._held or self._next() is not None:
            raise JobError("input_changed", "the input has fewer rows than were encoded")

    def _next(self):
        return next((outcome for _, outcome in self._parts), None)


def _kept(outcome, layout):
    if layout.on_error != "drop":
        return outcome.digest
    return outcome.digest.filter(outcome.reason.is_null())
