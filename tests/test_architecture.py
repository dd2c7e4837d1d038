"""Who imports whom, and the other rules of the house that can be read off the source: docs/architecture.md."""

import ast
import graphlib
import importlib
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

import osnet_encoder
import osnet_encoder.training
from source import ROOT, modules, python_files


@dataclass(frozen=True)
class Room:
    """What a module may import: of ours anywhere; of others' at its top, and behind a function."""

    ours: str = ""
    top: str = ""
    inside: str = ""


# The rooms, the lowest first: each may name those above its own line, never one below. `tables`, `job`, `training`
# and `cli` are one room each, whose modules may import each other.
ROOMS = {
    "errors": Room(),
    "version": Room(),
    "pipeline": Room(),
    "missing": Room(top="numpy"),
    "variants": Room(),
    "patches": Room(top="numpy PIL"),
    "reports": Room("errors", top="numpy"),
    "crop_grammar": Room("errors"),
    "metadata": Room("errors patches"),
    "inflate": Room("errors", top="isal"),
    "crops": Room("errors missing crop_grammar inflate", top="numpy"),
    "images": Room("errors crops", top="numpy PIL"),
    "features": Room("errors missing", top="numpy"),
    "untrained": Room("variants", top="numpy"),
    "osnet": Room("variants", top="torch"),
    "graph": Room("metadata variants", top="numpy onnx"),
    "tables": Room("errors", top="numpy pyarrow"),
    "crop_column": Room("errors missing crops tables", top="pyarrow"),
    "columns": Room("tables", top="numpy", inside="pyarrow"),
    "weight_files": Room("errors", inside="onnx google"),
    "checkpoints": Room("errors metadata weight_files", top="numpy safetensors", inside="torch"),
    "fit": Room("errors variants", top="numpy"),
    "zoo": Room("errors weight_files", inside="huggingface_hub"),
    "built_in": Room(),
    "weights": Room(
        "errors metadata patches variants untrained weight_files checkpoints fit zoo built_in", top="numpy"
    ),
    "engines.devices": Room("errors", top="joblib"),
    "engines.several": Room(),
    "engines.torch": Room("errors variants osnet engines.devices", top="torch"),
    "engines.batch_size": Room("variants"),
    "engines.onnx": Room(
        "errors metadata patches graph engines.batch_size engines.devices", top="numpy onnxruntime"
    ),
    "engines.openvino": Room("errors patches graph engines.batch_size engines.devices", top="numpy openvino"),
    "engines": Room(
        "errors patches engines.devices engines.several engines.torch engines.onnx engines.openvino",
        inside="torch",
    ),
    "processes": Room("errors pipeline", inside="joblib"),
    "batches": Room("crops errors features missing patches reports", top="numpy"),
    "encoder": Room(
        "errors version batches crops images patches features columns pipeline processes reports built_in weights "
        "engines",
        top="numpy",
        inside="pandas",
    ),
    "job": Room(
        "errors metadata missing features pipeline reports engines.devices tables crop_column",
        top="numpy pyarrow filelock",
    ),
    "accessor": Room("errors missing crops features encoder", top="numpy pandas"),
    "transformer": Room("errors crops encoder", top="numpy sklearn"),
    "training": Room(
        "errors pipeline missing variants patches reports crops images features osnet tables crop_column fit "
        "built_in weights engines.devices engines encoder",
        top="numpy PIL pyarrow filelock torch",
        inside="matplotlib yaml",
    ),
    "cli": Room("errors version variants zoo built_in encoder job training", top="click", inside="tqdm"),
}

# Of `training`, what trains; labels, settings and figures are without torch.
WITH_TORCH = (
    "augment averaging batches checkpoint choices distributed epoch loop losses network objective optimise "
    "outcome people record state validation"
)

# What takes long to load, and the modules that load it when they are loaded themselves.
HEAVY = {
    "torch": {"osnet", "engines.torch"} | {f"training.{name}" for name in WITH_TORCH.split()},
    "onnxruntime": {"engines.onnx"},
    "onnx": {"graph", "engines.onnx", "engines.openvino"},
    "openvino": {"engines.openvino"},
    "pandas": {"accessor"},
    "sklearn": {"transformer"},
    "huggingface_hub": set(),
}

VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "misc", "core"}

MACHINE_PATH = re.compile(r"(?<![\w.<-])/(?:work|root|home|Users|mnt)/\w")
TEXTS = ("*.md", "*.txt", "*.cfg", "*.toml", "docs/*.md", "docker/*", ".ci/run")

each_module = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name or "osnet_encoder")


def room_of(name):
    return name if name in ROOMS else name.partition(".")[0]


def rooms_beside(module):
    """The other rooms that a module imports from."""
    return {room_of(name) for is_ours, name, _ in module.imports if is_ours} - {room_of(module.name)}


def packages(module, *, top):
    """The packages of others that it imports at its top, or behind a function."""
    return {name for is_ours, name, is_top in module.imports if not is_ours and is_top is top}


def words(*texts):
    return set(" ".join(texts).split())


def run_python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_module_has_its_place_in_the_table_and_the_table_has_no_other():
    assert {room_of(module.name) for module in modules()} - {""} == set(ROOMS)


def test_the_table_points_down_only():
    above = set()
    for name, room in ROOMS.items():
        assert words(room.ours) <= above, name
        above.add(name)


@each_module
def test_a_module_imports_what_the_table_lets_it_and_nothing_else(module):
    room = ROOMS.get(room_of(module.name), Room())
    assert rooms_beside(module) <= words(room.ours)
    assert packages(module, top=True) <= words(room.top)
    assert packages(module, top=False) <= words(room.top, room.inside)


def test_the_table_lets_nobody_import_what_nobody_does():
    for name, room in ROOMS.items():
        here = [module for module in modules() if room_of(module.name) == name]
        used = set().union(*(rooms_beside(module) for module in here))
        foreign = set().union(*(packages(module, top=top) for module in here for top in (True, False)))
        assert (name, used, foreign) == (name, words(room.ours), words(room.top, room.inside))


def test_no_two_modules_import_each_other_by_any_way_round():
    arrows = {module.name: {name for is_ours, name, _ in module.imports if is_ours} for module in modules()}
    graphlib.TopologicalSorter(arrows).prepare()


@pytest.mark.parametrize("package", HEAVY)
def test_a_heavy_package_is_loaded_by_its_own_rooms_alone(package):
    by_name = {module.name: module for module in modules()}

    def loaded(name, seen):
        """What loading a module loads, the packages around it and all that these load counted in."""
        if name in seen:
            return set()
        seen.add(name)
        parts = name.split(".")
        ours = {".".join(parts[:end]) for end in range(1, len(parts))}
        ours |= {other for is_ours, other, is_top in by_name[name].imports if is_ours and is_top}
        return packages(by_name[name], top=True).union(*(loaded(other, seen) for other in ours))

    assert {name for name in by_name if package in loaded(name, set())} == HEAVY[package]


def test_importing_the_package_loads_nothing_heavy():
    run_python(
        "import sys, osnet_encoder, osnet_encoder.training\n"
        "dir(osnet_encoder)\n"
        "loaded = {'torch', 'onnx', 'onnxruntime', 'openvino', 'pandas', 'pyarrow', 'numpy', 'PIL', 'joblib',\n"
        "          'safetensors', 'click', 'tqdm'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )


def test_encoding_with_safetensors_never_loads_torch(tmp_path):
    from osnet_encoder.patches import PatchSpec
    from osnet_encoder.untrained import formula_tensors
    from osnet_encoder.weights import save

    path = tmp_path / "some.safetensors"
    save(path, formula_tensors("osnet_x0_25"), spec=PatchSpec(), normalize=False)
    run_python(
        "import sys, numpy\n"
        "from osnet_encoder import OsNetEncoder\n"
        "encoder = OsNetEncoder(sys.argv[1], engine='onnx', device='cpu')\n"
        "assert encoder.encode([numpy.zeros((20, 10, 3), numpy.uint8), None]).shape == (2, 512)\n"
        "loaded = {'torch', 'openvino', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not loaded, loaded\n",
        path,
    )


def test_evaluating_features_never_loads_torch():
    run_python(
        "import sys, numpy\n"
        "from osnet_encoder.training import TrainConfig, evaluate_features, evaluate_table\n"
        "assert evaluate_features(numpy.eye(4), [1, 1, 2, 2]).queries == 4\n"
        "loaded = {'torch', 'onnxruntime', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )


@pytest.mark.parametrize("package", [osnet_encoder, osnet_encoder.training], ids=lambda package: package.__name__)
def test_every_public_name_of_a_package_is_there_and_public_at_home(package):
    homes = package._HOMES
    assert sorted(name for names in homes.values() for name in names) == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for home, names in homes.items():
        module = importlib.import_module(f"{package.__name__}.{home}")
        for name in names:
            assert getattr(package, name) is getattr(module, name)
            assert name in module.__all__


def test_an_unknown_name_of_a_package_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'osnet_encoder' has no attribute 'OsNetDecoder'$"):
        _ = osnet_encoder.OsNetDecoder
    with pytest.raises(AttributeError, match=r"^module 'osnet_encoder.training' has no attribute 'trains'$"):
        _ = osnet_encoder.training.trains


def test_no_file_has_a_name_that_says_nothing():
    assert [path for path in python_files() if path.stem in VAGUE_NAMES] == []


def test_the_subpackages_are_called_by_their_full_names_and_torchvision_not_at_all():
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            roots = {name.partition(".")[0] for name in names}
            assert not roots & {"cli", "training", "torchvision"}, path


@each_module
def test_the_library_neither_prints_nor_configures_logging(module):
    if room_of(module.name) != "cli":
        called = {ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
        assert not called & {"print", "logging.basicConfig"}


def test_nothing_names_a_place_on_somebody_s_machine():
    texts = [path for pattern in TEXTS for path in sorted(ROOT.glob(pattern))]
    for path in [*python_files(), *texts]:
        found = MACHINE_PATH.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(ROOT)}: {found[0]}"
