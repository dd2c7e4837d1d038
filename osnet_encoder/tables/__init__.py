"""CSV and Parquet files <-> record batches, streaming both ways, whatever the size of the table.

    open_table(path)    -> a table: its names, schema, survey, and batches(rows)
    cells(column)       -> the cells of a column as bytes, in place
    features_array(...) -> feature vectors as a column
    open_writer(path)   -> a writer; the file appears when it is whole

Errors are `TableError`s, and say which file, and which row or column.
"""

from .columns import cells, features_array
from .csv_text import column_text as text_of
from .kinds import names_folder, output_kind
from .opening import Writer, open_table, open_writer
from .publish import check_folder, check_target, published, put_bytes, put_in_place, sync_folder
from .table import Survey, Table

__all__ = [
    "Survey",
    "Table",
    "Writer",
    "cells",
    "check_folder",
    "check_target",
    "features_array",
    "names_folder",
    "open_table",
    "open_writer",
    "output_kind",
    "published",
    "put_bytes",
    "put_in_place",
    "sync_folder",
    "text_of",
]
