"""The fuzz targets hold for their seeds and for a few bytes changed in them; tests/fuzz looks for more."""

import importlib
import random

import pytest

from source import ROOT

TARGETS = ("crop_cells", "feature_cells", "image_cells", "table_files", "weight_files")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pyarrow's, of an error it raises
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_holds_for_its_seeds_and_for_seeds_with_a_few_bytes_changed(name):
    target = importlib.import_module(f"fuzz.{name}")
    chance = random.Random(0)
    target.check(b"")
    for seed in target.seeds():
        target.check(seed)
        for _ in range(5):
            data = bytearray(seed)
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(1, len(data))] = chance.randrange(256)
            target.check(bytes(data))


def test_every_target_is_run_here_and_explained():
    folder = ROOT / "tests" / "fuzz"
    assert {path.stem for path in folder.glob("*.py")} - {"__main__"} == set(TARGETS)
    for page in ("__main__.py", "README.md"):
        text = (folder / page).read_text(encoding="utf-8")
        assert [name for name in TARGETS if name not in text] == []
