"""How long it takes to begin: importing the package, the first feature vector, and the command's help."""

import json
import tempfile
from functools import partial
from pathlib import Path

from osnet_encoder.weights import save

from .cases import Settings, shown_name
from .crop_strings import crop_strings
from .pairs import Contender, run_in_turn, spread
from .processes import run_python
from .subject import load_osnet

__all__ = ["measure"]

# Seconds of an import, on top of what a user of pandas has loaded anyway.
_IMPORT = """
import numpy, pandas, time
started = time.perf_counter()
{statement}
print(time.perf_counter() - started)
"""

_FIRST_FEATURE = """
import json, pathlib, sys
from osnet_encoder import OsNetEncoder
encoder = OsNetEncoder(sys.argv[1], device="cpu")
features = encoder.encode([pathlib.Path(sys.argv[2]).read_text()])
print(json.dumps({"dim": features.shape[1], "torch_loaded": "torch" in sys.modules}))
"""


def measure(settings: Settings) -> list[dict]:
    """Start fresh processes in turn.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    rows : list of dict
        One for each thing to begin with; `torch_loaded` is None where no feature is made.
    """
    with tempfile.TemporaryDirectory(prefix="osnet-benchmark-") as folder:
        cell = Path(folder, "crop.txt")
        cell.write_text(crop_strings("256x128", 1)[0], encoding="utf-8")
        loaded: dict[str, bool] = {}
        contenders = {
            "python": Contender(partial(run_python, "-c", "pass")),
            "import numpy, pandas": Contender(partial(run_python, "-c", "import numpy, pandas")),
            "import osnet_encoder": _import("import osnet_encoder"),
            "from osnet_encoder import OsNetEncoder": _import("from osnet_encoder import OsNetEncoder"),
            "osnet-encode --help": Contender(partial(run_python, "-m", "osnet_encoder.cli.encode", "--help")),
        }
        for name in settings.weights:
            what = f"first feature, {shown_name(name)}"
            path = Path(folder, f"{len(contenders)}.safetensors")
            weights = load_osnet(name)
            save(path, weights.tensors, spec=weights.spec, normalize=weights.normalize)
            contenders[what] = _first_feature(what, path, cell, loaded)
        seconds = run_in_turn(contenders, settings.rounds)
    return [
        {"what": what, "seconds": spread(seconds[what]).as_dict(), "torch_loaded": loaded.get(what)}
        for what in contenders
    ]


def _import(statement):
    code = _IMPORT.format(statement=statement)
    return Contender(lambda: float(run_python("-c", code)), clock=None)


def _first_feature(what, path, cell, loaded):
    def check(answer):
        loaded[what] = json.loads(answer)["torch_loaded"]

    return Contender(partial(run_python, "-c", _FIRST_FEATURE, path, cell), check)
