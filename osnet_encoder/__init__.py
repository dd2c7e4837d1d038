"""Crops in, features out: batch-encode a column of person crops into OSNet feature vectors.

    import pandas as pd
    from osnet_encoder import OsNetEncoder

    frame = pd.read_csv("people.csv")
    encoder = OsNetEncoder("osnet_x1_0_msmt17.pth")
    frame["feature_vector"] = encoder.get_features(frame["crop"])

Names are found when they are first asked for, so that importing the package loads neither torch nor
onnxruntime.
"""

import importlib
from pathlib import Path

__all__ = [
    "CropError",
    "EncodeReport",
    "EngineError",
    "FeatureError",
    "JobError",
    "JobSummary",
    "Limits",
    "OsNetEncoder",
    "OsNetError",
    "PatchSpec",
    "TableError",
    "WeightsError",
    "__version__",
    "compress_bytes_image",
    "decode_crop",
    "decode_feature_string",
    "encode_crop",
    "encode_feature_string",
    "encode_table",
    "stack_features",
    "uncompress_string_image",
    "verify_table",
]

_HOMES = {
    "crops": ("Limits", "compress_bytes_image", "decode_crop", "encode_crop", "uncompress_string_image"),
    "encoder": ("OsNetEncoder",),
    "errors": (
        "CropError",
        "EngineError",
        "FeatureError",
        "JobError",
        "OsNetError",
        "TableError",
        "WeightsError",
    ),
    "features": ("decode_feature_string", "encode_feature_string", "stack_features"),
    "job": ("JobSummary", "encode_table", "verify_table"),
    "patches": ("PatchSpec",),
    "reports": ("EncodeReport",),
    "version": ("__version__",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

# `cli/` and `training/` install as subpackages. In a checkout they stand beside this folder, and these
# lines let `python -m pytest` find them there without an installation.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "setup.cfg").is_file() and (_checkout / "cli" / "__init__.py").is_file():
    __path__.append(str(_checkout))


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
