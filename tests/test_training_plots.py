"""Curves as pictures: that they are drawn, what stands in them, and what they want."""

import builtins
import math

import numpy as np
import pytest
from PIL import Image

from osnet_encoder import TableError
from osnet_encoder.training.evaluation import evaluate_features
from osnet_encoder.training.plots import check_matplotlib, plot_cmc, plot_evaluations, plot_history, plot_roc

RISING = np.linspace(0.2, 0.9, 50)


def colours(path):
    """The colours of a picture, and that it is a PNG."""
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}


def hex_colours(path):
    return {"#{:02x}{:02x}{:02x}".format(*colour) for colour in colours(path)}


def test_each_curve_has_a_colour_of_its_own(tmp_path):
    pytest.importorskip("matplotlib")
    plot_cmc({"plain": RISING, "re-ranked": RISING + 0.05}, tmp_path / "cmc.png")
    assert {"#4c78a8", "#f58518"} <= hex_colours(tmp_path / "cmc.png")
    curve = np.stack([np.geomspace(1e-5, 1, 50), RISING], axis=1)
    plot_roc({"one": curve}, tmp_path / "roc.png")
    assert "#4c78a8" in hex_colours(tmp_path / "roc.png")
    assert "#f58518" not in hex_colours(tmp_path / "roc.png")


@pytest.mark.parametrize("name", ["_hidden.csv", "$a$b.csv", "a_$.csv", "\N{SNOWMAN} $\\frac$.csv"])
def test_a_table_may_have_any_name(tmp_path, name):
    pytest.importorskip("matplotlib")
    plot_cmc({name: RISING}, tmp_path / "cmc.png")
    plot_roc({name: np.array([[0.1, 0.2], [1, 1]])}, tmp_path / "roc.png")


def test_curves_that_are_not_known_leave_the_picture_empty(tmp_path):
    pytest.importorskip("matplotlib")
    plot_cmc({"lost": np.full(50, math.nan)}, tmp_path / "cmc.png")
    plot_roc({"lost": np.empty((0, 2))}, tmp_path / "roc.png")
    assert colours(tmp_path / "cmc.png") and colours(tmp_path / "roc.png")


def test_evaluations_are_drawn_side_by_side_in_a_folder(tmp_path):
    pytest.importorskip("matplotlib")
    features = np.random.default_rng(0).standard_normal((20, 4))
    found = evaluate_features(features, np.arange(20) % 5)
    plot_evaluations({"a/b.csv": found, "c/b.csv": found}, tmp_path / "new" / "plots")
    assert sorted(path.name for path in (tmp_path / "new" / "plots").iterdir()) == ["cmc.png", "roc.png"]
    (tmp_path / "file").write_text("")
    with pytest.raises(TableError, match=r"^cannot write .*file: File exists$"):
        plot_evaluations({"b.csv": found}, tmp_path / "file")


def test_a_run_is_drawn_with_what_its_history_has(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        {"epoch": epoch, "loss": 3 / epoch, "mAP": 0.1 * epoch if epoch % 2 else "", "eer": math.nan}
        for epoch in range(1, 6)
    ]
    plot_history(rows, tmp_path / "both.png")
    plot_history([{"epoch": 1, "loss": "2.5"}], tmp_path / "loss.png")
    plot_history([], tmp_path / "none.png")
    heights = {}
    for name in ("both", "loss", "none"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            heights[name] = picture.size[1]
    assert heights["both"] > heights["loss"] == heights["none"]


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch, tmp_path):
    load = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for draw in (check_matplotlib, lambda: plot_cmc({"a": RISING}, tmp_path / "cmc.png")):
        with pytest.raises(ValueError) as caught:
            draw()
        assert str(caught.value) == "plots want matplotlib: pip install 'osnet-encoder[plot]'"
