"""OsNetTransformer: a column of crops in, feature columns out, as one step of a scikit-learn pipeline."""

import numpy as np

from .crops import LIMITS
from .encoder import OsNetEncoder
from .errors import WeightsError

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ModuleNotFoundError as error:
    raise ImportError('OsNetTransformer needs scikit-learn: pip install "osnet-encoder[sklearn]"') from error

__all__ = ["OsNetTransformer"]


class OsNetTransformer(TransformerMixin, BaseEstimator):
    """Encode a column of person crops into feature vectors, wherever scikit-learn takes a transformer.

    Fitting learns nothing: it opens the encoder and notes the name of the column.

    Parameters
    ----------
    weights, engine, device, precision, batch_size, threads, parallel, cells, root, limits, color_order, \
patch_size, norm_mean, norm_std, network_color_order, network_output, normalize, on_error
        As of `OsNetEncoder`, which checks them when `fit` opens it.

    Attributes
    ----------
    encoder_ : OsNetEncoder
        Its `last_report` tells what became of the latest column.
    feature_dim_ : int
        Length of a feature vector, D.
    n_features_in_ : int
        1: the column of crops.
    feature_names_in_ : object, (1,)
        The name of that column; only there if it has one that is text.
    weights_sha256_ : str
        Of the weights that `fit` opened.

    Notes
    -----
    A pickle carries the parameters and no weights: the copy opens them again when first used, from where
    `weights` says, and refuses others than those that `fit` saw.
    """

    def __init__(
        self,
        weights=None,
        *,
        engine="auto",
        device="auto",
        precision="fp32",
        batch_size=None,
        threads=None,
        parallel="threads",
        cells="crop",
        root=None,
        limits=LIMITS,
        color_order="rgb",
        patch_size=None,
        norm_mean=None,
        norm_std=None,
        network_color_order=None,
        network_output=None,
        normalize=None,
        on_error="raise",
    ):
        self.weights = weights
        self.engine = engine
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.threads = threads
        self.parallel = parallel
        self.cells = cells
        self.root = root
        self.limits = limits
        self.color_order = color_order
        self.patch_size = patch_size
        self.norm_mean = norm_mean
        self.norm_std = norm_std
        self.network_color_order = network_color_order
        self.network_output = network_output
        self.normalize = normalize
        self.on_error = on_error

    def fit(self, X, y=None) -> "OsNetTransformer":
        """Open the encoder; no crop is decoded.

        Parameters
        ----------
        X : DataFrame of one column, Series, (N, 1) array, list or other column of cells
            Cells as of `OsNetEncoder.get_features`.
        y : object
            Not looked at.

        Returns
        -------
        self : OsNetTransformer

        Raises
        ------
        WeightsError, EngineError
            As of `OsNetEncoder`.
        ValueError
            X has not one column, or a parameter has a value that it cannot have.
        """
        _, name = _only_column(X)
        self._settings = self.get_params(deep=False)
        self._encoder = encoder = OsNetEncoder(**self._settings)
        self.weights_sha256_ = encoder.weights.sha256
        self.feature_dim_ = encoder.feature_dim
        self.n_features_in_ = 1
        if isinstance(name, str):
            self.feature_names_in_ = np.array([name], object)
        elif hasattr(self, "feature_names_in_"):  # of an earlier fit
            del self.feature_names_in_
        return self

    def transform(self, X):
        """Encode a column.

        Parameters
        ----------
        X : DataFrame of one column, Series, (N, 1) array, list or other column of cells
            As of `fit`, under any name.

        Returns
        -------
        features : float32, (N, D)
            Rows of NaN where a crop is missing (or broken, with `on_error="null"`). A frame of D columns
            after `set_output(transform="pandas")` or `"polars"`.

        Raises
        ------
        CropError
            A cell is broken, with `on_error="raise"`.
        EngineError
            The engine failed.
        WeightsError
            This is an unpickled copy, and its weights are gone or have changed.
        ValueError
            X has not one column, or `fit` was not called (`sklearn.exceptions.NotFittedError`).
        TypeError
            One cell where a column was wanted.
        """
        encoder = self.encoder_
        column, _ = _only_column(X)
        return encoder.encode(column)

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Name the D columns: `crop_0`, `crop_1`, ... after a column `crop`; `osnet_0`, ... without a name.

        Parameters
        ----------
        input_features : sequence of one str, optional
            The name of the column, for a transformer fitted on one without a name.

        Returns
        -------
        names : object, (D,)

        Raises
        ------
        ValueError
            Another name than in `fit`, or several, or `fit` was not called.
        """
        check_is_fitted(self)
        seen = list(getattr(self, "feature_names_in_", []))
        given = seen if input_features is None else list(input_features)
        if input_features is not None and (len(given) != 1 or seen not in ([], given)):
            raise ValueError(f"input_features is {given}, wanted {seen or 'one name'}")
        prefix = given[0] if given else "osnet"
        return np.array([f"{prefix}_{number}" for number in range(self.feature_dim_)], object)

    @property
    def encoder_(self) -> OsNetEncoder:
        """OsNetEncoder: opened by `fit`, and once more by a copy that came out of a pickle."""
        check_is_fitted(self)
        if self._encoder is None:
            encoder = OsNetEncoder(**self._settings)
            if encoder.weights.sha256 != self.weights_sha256_:
                raise WeightsError(
                    f"the weights {encoder.weights.source} have changed since the fit: found sha256 "
                    f"{encoder.weights.sha256}, wanted {self.weights_sha256_}"
                )
            self._encoder = encoder
        return self._encoder

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_encoder" in state:
            state["_encoder"] = None  # threads, locks and sessions stay in their process
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False  # of numbers, as scikit-learn means it
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []  # text in, float32 out
        return tags


def _only_column(X):
    """The one column of X, and its name or None."""
    is_frame = hasattr(X, "columns") and hasattr(X, "shape")  # of pandas or polars
    if not is_frame and getattr(X, "ndim", 1) != 2:
        return X, getattr(X, "name", None)
    if X.shape[1] != 1:
        raise ValueError(f"found {X.shape[1]} columns, wanted one of crops; a ColumnTransformer can pick it")
    if is_frame:
        return X[X.columns[0]], X.columns[0]
    return X[:, 0], None
