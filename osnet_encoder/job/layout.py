"""What the output looks like: which columns it has, in which order, and how a feature vector is written."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import TableError
from ..features import FEATURE_FORMATS, to_cells
from ..tables import features_array, output_kind
from .parts import Outcome

__all__ = ["ERROR_COLUMN", "ON_ERROR", "Layout", "choose_format"]

ON_ERROR = ("null", "drop", "raise")

# The braces stand for the feature column's name.
ERROR_COLUMN = "{}_error"


@dataclass(frozen=True)
class Layout:
    """Where the columns of the output come from.

    Parameters
    ----------
    column, feature_column : str
        Where the crops are, and where the features go.
    feature_format : "zlib-hex", "json" or "list"
    keep_crops : bool
        Keep the crops, and put the features at the end; else the features stand in the crops' place.
    error_column : str or None
        The column right behind the features that says why a crop is broken; None for no such column.
    on_error : "null", "drop" or "raise"
        Whether the row of a broken cell stays, goes, or should not be there.
    """

    column: str
    feature_column: str
    feature_format: str
    keep_crops: bool
    error_column: str | None
    on_error: str

    def check(self, names: list[str]) -> None:
        """Refuse names that the table has already.

        Parameters
        ----------
        names : list of str
            The table's columns.

        Raises
        ------
        TableError
            The output would have two columns of one name.
        """
        others = [name for name in names if self.keep_crops or name != self.column]
        if self.feature_column in others:
            own = self.feature_column == self.column
            hint = "; without keep_crops it may be the crop column itself" if own else ""
            raise TableError(
                f"the table has a column {self.feature_column!r} already; name another for the features{hint}"
            )
        if self.error_column in [*others, self.feature_column]:
            raise TableError(
                f"the output has a column {self.error_column!r} already; name another for the errors, or none"
            )

    def schema(self, schema: pa.Schema, dim: int) -> pa.Schema:
        """The output's schema.

        Parameters
        ----------
        schema : pyarrow.Schema
            The table's.
        dim : int
            D, the length of a feature vector.

        Returns
        -------
        schema : pyarrow.Schema
        """
        value = pa.list_(pa.float32(), dim) if self.feature_format == "list" else pa.string()
        at = schema.get_field_index(self.column)
        if self.keep_crops:
            at = len(schema)
            schema = schema.append(pa.field(self.feature_column, value))
        else:
            schema = schema.set(at, pa.field(self.feature_column, value))
        if self.error_column is not None:
            schema = schema.insert(at + 1, pa.field(self.error_column, pa.string()))
        return schema

    def rows(self, batch: pa.RecordBatch, outcome: Outcome, schema: pa.Schema) -> pa.RecordBatch:
        """One batch of the output.

        Parameters
        ----------
        batch : pyarrow.RecordBatch
            Rows of the table.
        outcome : Outcome
            What became of their crops.
        schema : pyarrow.Schema
            The output's.

        Returns
        -------
        rows : pyarrow.RecordBatch
            Fewer than there were, with `on_error="drop"` and a broken cell among them.
        """
        arrays = list(batch.columns)
        at = batch.schema.get_field_index(self.column)
        if self.keep_crops:
            at = len(arrays)
        new = [self._features(outcome)]
        if self.error_column is not None:
            new.append(outcome.errors())
        arrays[at : at + 1] = new
        rows = pa.RecordBatch.from_arrays(arrays, schema=schema)
        if self.on_error == "drop" and outcome.reason.null_count < len(outcome.reason):
            rows = rows.filter(pc.is_null(outcome.reason))
        return rows

    def as_dict(self) -> dict:
        """dict, fit for JSON."""
        return asdict(self)

    def _features(self, outcome):
        if self.feature_format == "list":
            return features_array(outcome.features, outcome.absent)
        return pa.array(to_cells(outcome.features, outcome.absent, self.feature_format), pa.string())


def choose_format(feature_format: str | None, target: str | Path) -> str:
    """Settle how feature vectors are written into a file.

    Parameters
    ----------
    feature_format : "zlib-hex", "json", "list" or None
    target : str or path

    Returns
    -------
    feature_format : str
        For None, `list` in Parquet and `zlib-hex` in CSV.

    Raises
    ------
    TableError
        The suffix is that of no known kind of file.
    ValueError
        The file cannot hold that format.
    """
    kind = output_kind(target)
    if feature_format is None:
        return "list" if kind == "parquet" else "zlib-hex"
    if feature_format not in FEATURE_FORMATS:
        raise ValueError(f"feature_format must be one of {', '.join(FEATURE_FORMATS)}, found {feature_format!r}")
    if feature_format == "list" and kind == "csv":
        raise ValueError("CSV cannot hold lists; choose zlib-hex or json, or write Parquet")
    return feature_format
