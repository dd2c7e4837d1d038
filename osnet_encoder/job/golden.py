"""The golden self-test: a built-in patch, encoded before any crop, must give the numbers that it gave before."""

import hashlib
import json

import numpy as np

from ..errors import EngineError, FeatureError
from ..features import decode_feature_string, encode_feature_string

__all__ = ["check_engine", "golden_patch"]

# Largest difference, in units of the largest number. A library's next version differs by 1e-5; one that computes
# something else by about 1.
_TOLERANCE = {"fp32": 1e-3}
_TOLERANCE_BELOW = 5e-2

# What is known without an earlier run: of the weights that come with the package and of those by formula, by the
# beginning of their sha256, the sums of the eight eighths of their answer, with patches as they want them.
_KNOWN = {
    "e33415120d6bd448": (-0.558, 2.400, -1.901, 2.238, -3.760, 0.797, -6.289, -5.790),  # builtin
    "32fe1ea3cd065bbc": (9.620, 11.005, 11.803, 10.358, 10.399, 5.702, 10.473, 9.205),  # osnet_x1_0
    "1c8f200a8a5359ac": (13.906, 10.412, 12.666, 12.348, 14.914, 8.688, 12.492, 13.271),  # osnet_x0_75
    "54f1308cc28112dc": (7.446, 7.913, 8.429, 9.367, 7.416, 8.695, 9.942, 10.404),  # osnet_x0_5
    "531d15fd31216acb": (17.527, 10.645, 18.477, 16.199, 16.149, 14.977, 14.032, 12.602),  # osnet_x0_25
    "2f431fd3b17ccdf1": (6.129, 8.076, 8.646, 7.070, 8.311, 4.013, 6.650, 6.543),  # osnet_ibn_x1_0
    "e34f3ae59bbc386a": (14.164, 11.536, 18.331, 13.882, 13.620, 11.505, 14.993, 15.017),  # osnet_ain_x1_0
    "ecebb256e1e2171a": (
        11.1623,
        16.0967,
        17.3520,
        18.1760,
        21.1389,
        13.3236,
        14.7592,
        16.7296,
    ),  # osnet_ain_x0_75
    "728b90e7a8fd7478": (11.259, 14.437, 15.453, 17.165, 11.277, 19.151, 17.720, 21.872),  # osnet_ain_x0_5
    "73848890d50d757a": (15.434, 10.431, 18.071, 15.205, 14.309, 13.743, 16.173, 9.157),  # osnet_ain_x0_25
}


def golden_patch(height: int, width: int) -> np.ndarray:
    """Draw the built-in patch.

    Parameters
    ----------
    height, width : int

    Returns
    -------
    patch : uint8, (1, height, width, 3)
        RGB: waves across and down, and their product. Whole numbers only, so that it is the same everywhere.
    """
    down, across = np.mgrid[:height, :width].astype(np.int64)
    waves = (down * 7 + across * 3, down * across, down * 5 - across * 11)
    return np.stack([np.abs(wave % 511 - 255) for wave in waves], axis=-1).astype(np.uint8)[None]


def check_engine(encoder, golden: dict[str, str]) -> dict[str, str]:
    """Encode the built-in patch, and compare.

    Parameters
    ----------
    encoder : OsNetEncoder
    golden : dict of str to str
        Network -> feature string: what earlier runs found.

    Returns
    -------
    golden : dict of str to str
        With this network's answer, if it was not known.

    Raises
    ------
    EngineError
        The answer is not finite, or not the one that is known.
    """
    spec = encoder.engine.spec
    answer = encoder.engine.run(golden_patch(spec.height, spec.width))[0]
    if not np.isfinite(answer).all():
        raise EngineError(f"the {encoder.engine.name} engine answers the built-in patch with numbers not finite")
    _check_known(encoder, answer)
    network = _network(encoder)
    if network not in golden:
        return {**golden, network: encode_feature_string(answer)}
    try:
        wanted = decode_feature_string(golden[network])
    except FeatureError as error:
        raise EngineError(f"the golden vector of the manifest cannot be read: {error}") from error
    _compare(encoder, answer, wanted, "what it was")
    return golden


def _check_known(encoder, answer):
    wanted = _KNOWN.get(encoder.weights.sha256[:16])
    if wanted is not None and encoder.engine.spec == encoder.weights.spec:
        _compare(encoder, answer.reshape(len(wanted), -1).sum(axis=1), np.array(wanted), "what these weights give")


def _compare(encoder, answer, wanted, name):
    off = np.inf
    if wanted.shape == answer.shape:
        off = float(np.abs(answer - wanted).max() / max(np.abs(wanted).max(), np.finfo(np.float32).tiny))
    tolerance = _TOLERANCE.get(encoder.engine.precision, _TOLERANCE_BELOW)
    if off > tolerance:
        raise EngineError(
            f"the {encoder.engine.name} engine on {encoder.engine.device} answers the built-in patch {off:.1e} "
            f"off {name}, wanted {tolerance:.0e} at most; a driver or a library is broken or has changed"
        )


def _network(encoder):
    """What must give the same answer: one network under one precision, whichever engine runs it."""
    made_by = encoder.describe()
    names = ("weights_sha256", "variant", "patch", "network_color_order", "feature_dim", "precision")
    told = {name: made_by[name] for name in names} | {"output": encoder.network_output}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
