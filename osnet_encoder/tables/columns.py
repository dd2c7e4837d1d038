"""Arrow columns <-> what the encoder works on: cells as bytes in place, features as an array."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.types as types

__all__ = ["cells", "features_array"]


def cells(array: pa.Array) -> list:
    """Lay a column's cells open without copying them.

    Parameters
    ----------
    array : pyarrow.Array
        Of any type. Text and binary, dictionary-encoded or not, is read in place.

    Returns
    -------
    cells : list
        One entry a row: a read-only memoryview of uint8, UTF-8 where the column is text, or None where the
        cell is null. The views keep Arrow's buffer alive. A column of any other type gives its Python values.
    """
    if isinstance(array, pa.ExtensionArray):
        return cells(array.storage)
    if types.is_dictionary(array.type):
        distinct = cells(array.dictionary)
        return [None if index is None else distinct[index] for index in array.indices.to_pylist()]
    if types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    elif types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    if types.is_string(array.type) or types.is_binary(array.type):
        return _views(array, np.int32)
    if types.is_large_string(array.type) or types.is_large_binary(array.type):
        return _views(array, np.int64)
    return array.to_pylist()


def _views(array, offset_type):
    if len(array) == 0:
        return []
    _, offsets, values = array.buffers()
    ends = np.frombuffer(offsets, offset_type)[array.offset : array.offset + len(array) + 1].tolist()
    data = memoryview(b"" if values is None else values).cast("B").toreadonly()
    views: list = [data[start:end] for start, end in pairwise(ends)]
    if array.null_count:
        present = array.is_valid().to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(~present):
            views[row] = None
    return views


def features_array(features: np.ndarray, missing: np.ndarray) -> pa.FixedSizeListArray:
    """Turn feature vectors into a Parquet column.

    Parameters
    ----------
    features : float32, (N, D)
        What stands in the rows of missing cells is not kept.
    missing : bool, (N,)
        True where the row has no feature vector.

    Returns
    -------
    column : pyarrow.FixedSizeListArray, N cells of D float32
        Null where missing.

    Raises
    ------
    ValueError
        If the arrays have another dtype or shape, or do not have the same length.

    Notes
    -----
    In a Parquet file pyarrow writes and reads nulls among fixed-size lists from version 26 on (Apache Arrow,
    GH-35692); polars and duckdb, which have readers of their own, do too.
    """
    if features.dtype != np.float32 or features.ndim != 2:
        raise ValueError(f"features are {features.dtype} {features.shape}, wanted float32 (N, D)")
    if missing.dtype != np.bool_ or missing.shape != features.shape[:1]:
        raise ValueError(f"missing is {missing.dtype} {missing.shape}, wanted bool {features.shape[:1]}")
    values = pa.array(np.ascontiguousarray(features).reshape(-1))
    if not len(features):
        # pyarrow counts the lists by dividing, and refuses to divide nothing
        return pa.array([], pa.list_(pa.float32(), features.shape[1]))
    return pa.FixedSizeListArray.from_arrays(values, features.shape[1], mask=pa.array(missing))
