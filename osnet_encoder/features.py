"""Feature vectors <-> cells of a column: feature string, JSON, list.

Notes
-----
Source: the feature string is the first OSNet dataframe encoder's: little-endian float32, zlib, hex. The
compressed bytes depend on the zlib build, so compare what is decoded, never the strings.
"""

import binascii
import json
import zlib
from collections.abc import Callable

import numpy as np

from .errors import FeatureError
from .missing import is_missing

__all__ = [
    "FEATURE_FORMATS",
    "decode_feature",
    "decode_feature_string",
    "encode_feature_string",
    "stack_features",
    "to_cells",
    "unit_length",
]

FEATURE_FORMATS = ("zlib-hex", "json", "list")

# No network in use gives a longer vector; a cell that inflates to more is no feature string.
_MAX_DIM = 65_536


def unit_length(features):
    """Scale each vector to Euclidean length 1; a vector of zeros stays as it is.

    Parameters
    ----------
    features : float32, (N, D)

    Returns
    -------
    features : float32, (N, D)
        A new array.
    """
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def encode_feature_string(vector):
    """Turn a feature vector into a feature string.

    Parameters
    ----------
    vector : float32, (D,)

    Returns
    -------
    cell : str
    """
    return zlib.compress(np.ascontiguousarray(vector, "<f4").data).hex()


def decode_feature_string(cell):
    """Turn a feature string into a feature vector.

    Parameters
    ----------
    cell : str

    Returns
    -------
    vector : float32, (D,)

    Raises
    ------
    FeatureError
        The cell is not hex, not zlib, cut, or no whole number of float32.
    """
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(binascii.unhexlify(cell), 4 * _MAX_DIM + 1)
    except (ValueError, TypeError, zlib.error) as error:
        raise FeatureError(f"not a feature string: {str(error).lower()}") from error
    if not stream.eof or stream.unused_data or len(data) % 4 or not data:
        raise FeatureError(f"not a feature string: {len(data)} bytes, cut, overlong, or no whole float32s")
    return np.frombuffer(data, "<f4").astype(np.float32)


def decode_feature(cell):
    """Turn a feature cell of any format into a feature vector.

    Parameters
    ----------
    cell : str (feature string or JSON), list or array of floats

    Returns
    -------
    vector : float32, (D,)

    Raises
    ------
    FeatureError
        The cell is none of these.
    """
    try:
        with np.errstate(over="raise"):  # a number past float32's range
            if not isinstance(cell, str):
                vector = np.asarray(cell, np.float32)
            elif cell.lstrip().startswith("["):
                vector = np.array(json.loads(cell), np.float32)
            else:
                return decode_feature_string(cell)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        if isinstance(error, FeatureError):
            raise
        raise FeatureError(f"not a feature vector: {str(error)[:200]}") from error
    if vector.ndim != 1 or vector.size == 0:
        raise FeatureError(f"not a feature vector: found shape {vector.shape}, wanted (D,)")
    return vector


def to_cells(features, absent, feature_format="zlib-hex"):
    """Turn features into the cells of a column.

    Parameters
    ----------
    features : float32, (N, D)
    absent : bool, (N,)
        True where the crop was missing or broken: the cell becomes None.
    feature_format : "zlib-hex", "json" or "list"

    Returns
    -------
    cells : list of str, of float32 (D,), or of None
    """
    encoders: dict[str, Callable] = {"zlib-hex": encode_feature_string, "json": _encode_json, "list": np.array}
    encode = encoders[feature_format]
    return [None if gone else encode(vector) for vector, gone in zip(features, absent, strict=True)]


def stack_features(cells):
    """Read a column of feature cells, the inverse of `to_cells`.

    Parameters
    ----------
    cells : iterable of feature cells and missing ones

    Returns
    -------
    features : float32, (N, D)
        NaN rows where the cell is missing; (N, 0) if all are.

    Raises
    ------
    FeatureError
        A cell cannot be read, or differs in length from those before it; with its row.
    """
    vectors: list[np.ndarray | None] = []
    dim = 0
    for row, cell in enumerate(cells):
        if is_missing(cell):
            vectors.append(None)
            continue
        try:
            vector = decode_feature(cell)
        except FeatureError as error:
            raise FeatureError(f"row {row}: {error}") from error
        if dim and len(vector) != dim:
            raise FeatureError(f"row {row}: {len(vector)} numbers, where the rows before have {dim}")
        dim = len(vector)
        vectors.append(vector)
    features = np.full((len(vectors), dim), np.nan, np.float32)
    for row, vector in enumerate(vectors):
        if vector is not None:
            features[row] = vector
    return features


def _encode_json(vector):
    # NumPy's text is the shortest that reads back as the same float32; Python's would be the float64's.
    return f"[{', '.join(np.asarray(vector, np.float32).astype(str))}]"
