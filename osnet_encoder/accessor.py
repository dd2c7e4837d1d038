"""`Series.osnet`: crops and features as methods of a pandas column, there once this module is imported.

    import osnet_encoder.accessor

    frame["feature_vector"] = frame["crop"].osnet.features(encoder)
    features = frame["feature_vector"].osnet.stack()

Every method is a function of this package under a name that reads well after a dot; none changes the column.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas

from .crops import LIMITS, Limits, decode_crop
from .errors import CropError
from .features import stack_features
from .missing import is_missing

if TYPE_CHECKING:
    from .encoder import OsNetEncoder

__all__ = ["OsNetAccessor"]


# Any dtype is let in: a column in which every cell is missing has whichever one its reader chose.
@pandas.api.extensions.register_series_accessor("osnet")
class OsNetAccessor:
    """What can be done with a column of crops, or of features.

    Parameters
    ----------
    series : Series
        Of any dtype that pandas keeps crops or features in.
    """

    def __init__(self, series: pandas.Series):
        self._series = series

    def features(
        self, encoder: "OsNetEncoder", feature_format: Literal["zlib-hex", "json", "list"] = "zlib-hex"
    ) -> pandas.Series:
        """Encode the crops into a column of features.

        Parameters
        ----------
        encoder : OsNetEncoder
        feature_format : "zlib-hex", "json" or "list"
            Feature strings, JSON texts, or float32 arrays of (D,).

        Returns
        -------
        features : Series
            With this one's index, name and order; None where there is no feature vector.

        Raises
        ------
        CropError, EngineError
            As of `OsNetEncoder.get_features`.
        ValueError
            There is no such format.
        """
        return encoder.get_features(self._series, feature_format)

    def encode(self, encoder: "OsNetEncoder") -> np.ndarray:
        """Encode the crops into an array.

        Parameters
        ----------
        encoder : OsNetEncoder

        Returns
        -------
        features : float32, (N, D)
            Rows of NaN where there is no feature vector.

        Raises
        ------
        CropError, EngineError
            As of `OsNetEncoder.encode`.
        """
        return encoder.encode(self._series)

    def decode(self, limits: Limits = LIMITS) -> pandas.Series:
        """Decode the crop strings into pixels, to look at them.

        All of them are in memory at once: take a few rows of a large frame first.

        Parameters
        ----------
        limits : Limits
            How large a cell may be.

        Returns
        -------
        crops : Series of uint8, (H, W, 3)
            With this one's index and name; None where the crop is missing. See `decode_crop`.

        Raises
        ------
        CropError
            A cell is broken; with its row, counted from 0 whatever the index says.
        """
        crops = [_decode(row, cell, limits) for row, cell in enumerate(self._series)]
        return pandas.Series(crops, index=self._series.index, name=self._series.name, dtype=object)

    def stack(self) -> np.ndarray:
        """Read a column of features, in any of the feature formats, into an array.

        Returns
        -------
        features : float32, (N, D)
            Rows of NaN where the cell is missing; (N, 0) if all are.

        Raises
        ------
        FeatureError
            A cell cannot be read, or differs in length from those before it; with its row.
        """
        return stack_features(self._series)


def _decode(row, cell, limits):
    try:
        return None if is_missing(cell) else decode_crop(cell, limits)
    except CropError as error:
        error.row = row
        raise
