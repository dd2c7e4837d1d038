"""OsNetTransformer: the encoder as a step of a scikit-learn pipeline."""

import copy
import inspect
import pickle
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from osnet_encoder import CropError, OsNetEncoder, WeightsError
from osnet_encoder.crops import encode_crop
from osnet_encoder.transformer import OsNetTransformer
from pictures import draw_crop

UNTRAINED = "untrained:osnet_x0_25"
CELLS = [encode_crop(draw_crop(number)) for number in range(6)]
CELLS[2] = None
FRAME = pd.DataFrame({"crop": CELLS, "speed": np.arange(6.0)}, index=list("fedcba"))
LABELS = [0, 1, 0, 1, 0, 1]
NAMES = [f"crop_{number}" for number in range(512)]


@pytest.fixture(scope="module")
def features():
    return OsNetEncoder(UNTRAINED, device="cpu").encode(CELLS)


@pytest.fixture(scope="module")
def fitted():
    return new().fit(FRAME["crop"])


def new(**parameters):
    return OsNetTransformer(UNTRAINED, device="cpu", **parameters)


def same(found, wanted):
    return np.allclose(found, wanted, rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize(
    "column",
    [
        FRAME[["crop"]],
        FRAME["crop"],
        FRAME[["crop"]].set_axis([0], axis=1),
        FRAME[["crop"]].set_axis(pd.MultiIndex.from_tuples([("camera", "crop")]), axis=1),
        FRAME[["crop"]].to_numpy(),
        np.array(CELLS, object),
        CELLS,
        pl.DataFrame({"crop": CELLS}),
        pl.Series("crop", CELLS),
    ],
    ids=lambda column: f"{type(column).__module__}.{type(column).__name__}{getattr(column, 'shape', '')}",
)
def test_every_kind_of_column_gives_the_encoder_s_features(features, column):
    transformer = new()
    found = transformer.fit_transform(column)
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    assert same(found, features)
    assert transformer.n_features_in_ == 1
    assert transformer.feature_dim_ == len(transformer.get_feature_names_out()) == 512


def test_decoded_crops_of_one_size_are_a_column(fitted):
    crops = np.stack([draw_crop(number) for number in range(2)])
    assert same(fitted.transform(crops), fitted.encoder_.encode(list(crops)))


def test_parameters_and_their_defaults_are_the_encoder_s():
    legacy = {
        "weight_filepath",
        "patch_height",
        "patch_width",
        "GPU",
        "input_width",
        "input_height",
        "num_classes",
    }
    encoder_parameters = dict(inspect.signature(OsNetEncoder).parameters)
    assert legacy < set(encoder_parameters)
    for name in legacy:
        del encoder_parameters[name]
    assert dict(inspect.signature(OsNetTransformer).parameters) == encoder_parameters


def test_parameters_are_kept_as_given_and_cloned():
    given = {
        "norm_mean": [0.5, 0.5, 0.5],
        "patch_size": (128, 64),
        "normalize": True,
        "cells": "no such thing",
    }
    transformer = new(**given)
    assert all(getattr(transformer, name) is value for name, value in given.items())
    copied = clone(transformer)
    assert copied.get_params() == transformer.get_params()
    assert copied.set_params(cells="crop").cells == "crop"


def test_parameters_reach_the_encoder():
    transformer = new(patch_size=(64, 32), normalize=True, on_error="null").fit(CELLS)
    assert transformer.encoder_.describe()["patch"]["height"] == 64
    found = transformer.transform([CELLS[0], "broken"])
    assert np.allclose(np.linalg.norm(found[0]), 1)
    assert np.isnan(found[1]).all()
    assert transformer.encoder_.last_report.reasons == {"not_a_dict": 1}


def test_a_parameter_that_makes_no_sense_is_refused_by_fit():
    with pytest.raises(ValueError, match="cells must be one of crop, path, image, found 'url'"):
        new(cells="url").fit(CELLS)
    with pytest.raises(WeightsError, match="^no file 'gone.pth'"):
        OsNetTransformer("gone.pth").fit(CELLS)


def test_columns_are_named_after_the_column(fitted):
    assert fitted.feature_names_in_.tolist() == ["crop"]
    for given in (None, ["crop"], np.array(["crop"], object)):
        assert fitted.get_feature_names_out(given).tolist() == NAMES
    with pytest.raises(ValueError, match=re.escape("input_features is ['speed'], wanted ['crop']")):
        fitted.get_feature_names_out(["speed"])


def test_columns_without_a_name_are_named_after_the_network_or_the_caller():
    transformer = new().fit(FRAME["crop"]).fit(CELLS)
    assert not hasattr(transformer, "feature_names_in_")
    assert transformer.get_feature_names_out()[[0, -1]].tolist() == ["osnet_0", "osnet_511"]
    assert transformer.get_feature_names_out(["x0"])[[0, -1]].tolist() == ["x0_0", "x0_511"]
    with pytest.raises(ValueError, match=re.escape("input_features is ['x0', 'x1'], wanted one name")):
        transformer.get_feature_names_out(["x0", "x1"])


def test_output_can_be_a_pandas_frame(features):
    for column in (FRAME["crop"], FRAME[["crop"]]):
        found = new().set_output(transform="pandas").fit_transform(column)
        assert list(found.columns) == NAMES
        assert found.index.equals(FRAME.index)
        assert set(found.dtypes) == {np.dtype(np.float32)}
        assert same(found, features)


def test_output_can_be_a_polars_frame(features):
    found = new().set_output(transform="polars").fit_transform(pl.DataFrame({"crop": CELLS}))
    assert isinstance(found, pl.DataFrame)
    assert found.columns == NAMES
    assert set(found.dtypes) == {pl.Float32}
    assert same(found.to_numpy(), features)


@pytest.mark.parametrize("column", ["crop", ["crop"], 0, [0]], ids=str)
def test_a_column_transformer_puts_features_beside_other_columns(features, column):
    columns = ColumnTransformer([("person", new(), column)], remainder="passthrough")
    assert same(columns.fit_transform(FRAME), np.column_stack([features, FRAME["speed"]]))
    names = [*(f"person__{name}" for name in NAMES), "remainder__speed"]
    assert columns.get_feature_names_out().tolist() == names
    table = columns.set_output(transform="pandas").fit_transform(FRAME)
    assert list(table.columns) == names
    assert table.index.equals(FRAME.index)


def test_a_column_transformer_takes_polars(features):
    columns = ColumnTransformer([("person", new(), ["crop"])], verbose_feature_names_out=False)
    frame = pl.DataFrame({"crop": CELLS, "speed": range(6)})
    found = columns.set_output(transform="polars").fit_transform(frame)
    assert found.columns == NAMES
    assert same(found.to_numpy(), features)


def test_a_pipeline_learns_from_crops_and_fills_in_missing_ones(features):
    steps = [
        ("osnet", new()),
        ("fill", SimpleImputer()),
        ("scale", StandardScaler()),
        ("say", LogisticRegression()),
    ]
    pipeline = Pipeline(steps).fit(FRAME[["crop"]], LABELS)
    plain = Pipeline(steps[1:]).fit(features, LABELS)
    assert pipeline.predict(FRAME[["crop"]]).tolist() == plain.predict(features).tolist()
    assert pipeline[:1].get_feature_names_out().tolist() == NAMES


def test_a_broken_crop_is_raised_with_its_row(fitted):
    with pytest.raises(CropError, match="^row 3: not_a_dict: "):
        fitted.transform([*CELLS[:3], "broken"])


@pytest.mark.parametrize(
    "table", [FRAME, FRAME.to_numpy(), pl.DataFrame({"a": CELLS, "b": CELLS})], ids=lambda t: type(t)
)
def test_more_than_one_column_is_refused(fitted, table):
    message = "^found 2 columns, wanted one of crops; a ColumnTransformer can pick it$"
    with pytest.raises(ValueError, match=message):
        new().fit(table)
    with pytest.raises(ValueError, match=message):
        fitted.transform(table)


def test_nothing_can_be_asked_of_it_before_fit():
    transformer = new()
    for ask in (
        lambda: transformer.transform(CELLS),
        transformer.get_feature_names_out,
        lambda: transformer.encoder_,
    ):
        with pytest.raises(NotFittedError):
            ask()
    assert not hasattr(transformer, "encoder_")
    assert pickle.loads(pickle.dumps(transformer)).get_params() == transformer.get_params()


@pytest.mark.parametrize(
    "copied", [lambda made: pickle.loads(pickle.dumps(made)), copy.deepcopy], ids=["pickle", "copy"]
)
def test_a_copy_opens_the_encoder_again_and_gives_the_same_features(fitted, features, copied):
    before = fitted.encoder_
    again = copied(make_pipeline(fitted))
    assert again[0].get_feature_names_out().tolist() == NAMES
    assert same(again.transform(FRAME["crop"]), features)
    assert again[0].encoder_ is again[0].encoder_ is not before
    assert fitted.encoder_ is before


def test_a_pickle_holds_no_weights(fitted):
    assert len(pickle.dumps(fitted)) < 5000


def test_a_copy_keeps_to_the_parameters_of_its_fit():
    transformer = new(normalize=True).fit(CELLS).set_params(normalize=False)
    again = pickle.loads(pickle.dumps(transformer))
    assert np.allclose(np.linalg.norm(again.transform(CELLS[:1])), 1)
    assert again.normalize is False


def test_a_copy_refuses_other_weights_than_those_of_the_fit(tmp_path):
    from safetensors.numpy import save_file

    from osnet_encoder.untrained import formula_tensors

    path = tmp_path / "people.safetensors"
    tensors = formula_tensors("osnet_x0_25")
    save_file(tensors, path)
    transformer = OsNetTransformer(path, device="cpu").fit(CELLS)
    wanted = transformer.weights_sha256_
    pickled = pickle.dumps(transformer)
    assert same(pickle.loads(pickled).transform(CELLS), transformer.transform(CELLS))

    save_file({**tensors, "fc.0.bias": tensors["fc.0.bias"] + 1}, path)
    with pytest.raises(WeightsError) as caught:
        pickle.loads(pickled).transform(CELLS)
    found = OsNetTransformer(path, device="cpu").fit(CELLS).weights_sha256_
    assert str(caught.value) == (
        f"the weights {path} have changed since the fit: found sha256 {found}, wanted {wanted}"
    )

    path.unlink()
    with pytest.raises(WeightsError, match="people.safetensors"):
        pickle.loads(pickled).transform(CELLS)


def test_without_scikit_learn_the_import_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import osnet_encoder.transformer"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    wanted = 'ImportError: OsNetTransformer needs scikit-learn: pip install "osnet-encoder[sklearn]"'
    assert done.stderr.splitlines()[-1] == wanted
