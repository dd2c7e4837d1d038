"""Record batches -> a Parquet file, in row groups that fit in memory."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

__all__ = ["ROW_GROUP_BYTES", "ROW_GROUP_ROWS", "ParquetWriter"]

ROW_GROUP_ROWS = 65_536

# A row group is held in memory until it is written.
ROW_GROUP_BYTES = 16 << 20


class ParquetWriter:
    """A Parquet file being written: zstd, checksums on its pages, pyarrow's own row-group sizes not relied upon.

    Parameters
    ----------
    path : Path
    schema : pyarrow.Schema
        Of the batches to come; its metadata is kept.
    metadata : dict of str to str, optional
        Joined to the schema's metadata.
    """

    def __init__(self, path: Path, schema: pa.Schema, metadata: dict[str, str] | None = None):
        added = {key.encode(): value.encode() for key, value in (metadata or {}).items()}
        self._schema = schema.with_metadata({**(schema.metadata or {}), **added})
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = 0
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=[leaf for field in self._schema for leaf in _repeating(field, field.name)],
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows; they are gathered until they make a row group.

        Parameters
        ----------
        batch : pyarrow.RecordBatch
            Of the writer's schema, of any number of rows.
        """
        if self._held_rows + batch.num_rows > ROW_GROUP_ROWS:
            self._flush()
        self._held.append(batch)
        self._held_rows += batch.num_rows
        self._held_bytes += batch.nbytes
        if self._held_rows >= ROW_GROUP_ROWS or self._held_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is held back and the footer, and close the file."""
        self._flush()
        self._writer.close()

    def _flush(self):
        if self._held_rows:
            # a single batch may be larger than a row group
            rows = min(ROW_GROUP_ROWS, max(1, self._held_rows * ROW_GROUP_BYTES // max(1, self._held_bytes)))
            table = pa.Table.from_batches(self._held).replace_schema_metadata(self._schema.metadata)
            self._writer.write_table(table, row_group_size=rows)
        self._held = []
        self._held_rows = self._held_bytes = 0


def _repeating(field, path):
    """The paths of the leaves whose values may repeat; a dictionary of feature vectors would hold every number."""
    kind = field.type
    if types.is_struct(kind):
        for child in kind.fields:
            yield from _repeating(child, f"{path}.{child.name}")
    elif types.is_map(kind):
        yield from _repeating(kind.key_field, f"{path}.key_value.key")
        yield from _repeating(kind.item_field, f"{path}.key_value.value")
    elif types.is_nested(kind) and hasattr(kind, "value_field"):
        if not (types.is_fixed_size_list(kind) and types.is_floating(kind.value_type)):
            yield from _repeating(kind.value_field, f"{path}.list.element")
    else:
        yield path
