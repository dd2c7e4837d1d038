"""What is installed: the wheel's files against the tree, and the versions that the project names."""

import configparser
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from osnet_encoder.built_in import BUILT_IN
from source import CODE, ROOT, modules

SETTINGS = configparser.ConfigParser()
SETTINGS.read(ROOT / "setup.cfg", encoding="utf-8")

# What a build reads beside the code.
BUILT_FROM = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")

BUILD = "import sys\nfrom setuptools.build_meta import build_wheel\nbuild_wheel(sys.argv[1])\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("packaging")
    copy = folder / "checkout"
    copy.mkdir()
    # Tests and examples come along, so that a wheel that takes them up is seen.
    for name in (*CODE, "tests", "examples"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, copy)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder)], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def requirements(text):
    """Package -> Requirement, from lines of a requirements file or of setup.cfg."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def pins(file_name):
    """Package -> version of a requirements file, which must pin every one."""
    found = requirements((ROOT / file_name).read_text(encoding="utf-8"))
    for requirement in found.values():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
    return {name: str(requirement.specifier).removeprefix("==") for name, requirement in found.items()}


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    installed = {f"osnet_encoder/{module.path.relative_to(ROOT).as_posix()}" for module in modules()}
    installed = {name.replace("osnet_encoder/osnet_encoder/", "osnet_encoder/") for name in installed}
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    beside = {"py.typed", "builtin/README.md", *(f"builtin/{variant}.safetensors" for variant in BUILT_IN)}
    assert found == installed | {f"osnet_encoder/{name}" for name in beside}


def test_the_wheel_carries_its_licence_its_readme_and_its_commands(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    notes = metadata.removesuffix("METADATA")
    assert f"{notes}licenses/LICENSE" in wheel.namelist()
    text = wheel.read(metadata).decode()
    assert "\nName: osnet-encoder\n" in text
    assert (ROOT / "README.md").read_text(encoding="utf-8").strip() in text
    assert wheel.read(f"{notes}entry_points.txt").decode().split("\n") == [
        "[console_scripts]",
        "osnet-encode = osnet_encoder.cli.encode:main",
        "osnet-evaluate = osnet_encoder.cli.evaluate:main",
        "osnet-train = osnet_encoder.cli.train:main",
        "",
    ]


def test_requirements_pin_what_is_installed_and_nothing_else():
    wanted = requirements(SETTINGS["options"]["install_requires"])
    pinned = pins("requirements.txt")
    assert pinned.keys() == wanted.keys()
    for name, requirement in wanted.items():
        assert pinned[name] in requirement.specifier, requirement


def test_the_pins_for_developers_are_the_dev_extra():
    wanted = requirements(SETTINGS["options.extras_require"]["dev"])
    pinned = pins("requirements-dev.txt")
    assert pinned.keys() == wanted.keys()
    for name, requirement in wanted.items():
        assert pinned[name] in requirement.specifier, requirement


def test_every_package_that_is_required_is_imported_somewhere():
    imported = {name for module in modules() for is_ours, name, _ in module.imports if not is_ours}
    as_imported = {"pillow": "PIL"}
    required = requirements(SETTINGS["options"]["install_requires"])
    assert {as_imported.get(name, name) for name in required} <= imported


def test_every_package_that_is_imported_is_required_or_in_an_extra():
    extras = SETTINGS["options.extras_require"].values()
    known = requirements("\n".join([SETTINGS["options"]["install_requires"], *extras])).keys()
    as_required = {"PIL": "pillow", "sklearn": "scikit-learn", "google": "onnx", "yaml": "pyyaml"}
    imported = {name for module in modules() for is_ours, name, _ in module.imports if not is_ours}
    assert {canonicalize_name(as_required.get(name, name)) for name in imported} <= known


@pytest.mark.parametrize("name", ["cpu.dockerfile", "gpu.dockerfile"])
def test_an_image_takes_along_what_a_build_needs_and_runs_the_command_as_nobody_special(name):
    text = (ROOT / "docker" / name).read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()}
    assert copied == {*CODE, *BUILT_FROM, "requirements.txt", "requirements-dev.txt"}
    assert text.endswith('USER osnet\nWORKDIR /data\nENTRYPOINT ["osnet-encode"]\n')
    for package in re.findall(r"grep '\^([\w]+)==' (\S+?)\)", text):
        assert canonicalize_name(package[0]) in pins(package[1])
