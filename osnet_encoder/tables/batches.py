"""Record batches of whatever size -> record batches of the size asked for."""

from collections.abc import Iterable, Iterator

import pyarrow as pa

__all__ = ["BATCH_BYTES", "regroup", "without_cells"]

# A batch that has come to this many bytes is handed on before it has all its rows: cells may hold 32 MiB
# each, and pyarrow's text arrays hold 2 GiB at most.
BATCH_BYTES = 64 << 20


def regroup(
    batches: Iterable[pa.RecordBatch], rows: int, limit: int | None = None, batch_bytes: int = BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """Cut and join record batches, in order.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        All of one schema. No more of them are drawn than the limit needs.
    rows : int
        Rows of every batch but the last, unless its bytes cut it short; at least 1.
    limit : int, optional
        Rows in all.
    batch_bytes : int
        A batch ends early once it holds as much.

    Returns
    -------
    batches : iterator of pyarrow.RecordBatch
        Of 1 to `rows` rows each. Slices of the batches given; only what lies across two of them is copied.

    Raises
    ------
    ValueError
        If `rows` is below 1 or `limit` below 0.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}, wanted at least 1")
    if limit is not None and limit < 0:
        raise ValueError(f"limit is {limit}, wanted at least 0")
    return _regrouped(batches, rows, limit, batch_bytes)


def without_cells(batch: pa.RecordBatch, name: str) -> pa.RecordBatch:
    """Let a column's cells go.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
    name : str

    Returns
    -------
    batch : pyarrow.RecordBatch
        Of the same schema, that column all null.
    """
    at = batch.schema.get_field_index(name)
    return batch.set_column(at, batch.schema.field(at), pa.nulls(len(batch), batch.schema.field(at).type))


def _regrouped(batches, rows, limit, batch_bytes):
    held: list[pa.RecordBatch] = []
    held_rows = held_bytes = 0
    if limit == 0:
        return
    for batch in batches:
        while batch.num_rows:
            wanted = rows - held_rows if limit is None else min(rows - held_rows, limit)
            piece, batch = batch.slice(0, wanted), batch.slice(wanted)
            held.append(piece)
            held_rows += piece.num_rows
            held_bytes += piece.nbytes
            if limit is not None:
                limit -= piece.num_rows
            if held_rows == rows or held_bytes >= batch_bytes or limit == 0:
                yield _joined(held)
                held, held_rows, held_bytes = [], 0, 0
            if limit == 0:
                return
    if held:
        yield _joined(held)


def _joined(held: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(held) == 1:
        return held[0]
    return pa.Table.from_batches(held).combine_chunks().to_batches()[0]
