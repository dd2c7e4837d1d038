"""A column in, a column out."""

import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from osnet_encoder import CropError, EngineError, OsNetEncoder
from osnet_encoder.built_in import DEFAULT_WEIGHTS
from osnet_encoder.crops import encode_crop
from osnet_encoder.engines.devices import count_cuda_devices
from osnet_encoder.features import stack_features
from pictures import draw_crop

UNTRAINED = "untrained:osnet_x0_25"
CROPS = [draw_crop(number, 30 + number, 20) for number in range(7)]
CELLS = [encode_crop(crop) for crop in CROPS]


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder(UNTRAINED, device="cpu", on_error="null")


@pytest.fixture(scope="module")
def features(encoder):
    return encoder.encode(CELLS)


def same(found, wanted):
    scale = np.abs(wanted).max(axis=-1, keepdims=True)
    return np.allclose(found / scale, wanted / scale, atol=1e-5, equal_nan=True)


def test_a_list_becomes_an_array(encoder, features):
    assert features.shape == (7, encoder.feature_dim) == (7, 512)
    assert features.dtype == np.float32
    assert len(np.unique(features, axis=0)) == 7


@pytest.mark.parametrize(
    "column",
    [
        CELLS,
        tuple(CELLS),
        iter(CELLS),
        np.array(CELLS),
        np.array(CELLS, object),
        pd.Series(CELLS),
        pd.Series(CELLS, dtype=object),
        pd.Series(CELLS, dtype="string"),
        pd.Series(CELLS, dtype="string[python]"),
        pd.Series(CELLS, dtype="category"),
        pd.Series(CELLS, dtype=pd.ArrowDtype(pa.large_string())),
        pd.Series([cell.encode() for cell in CELLS], dtype=pd.ArrowDtype(pa.binary())),
        pa.array(CELLS),
        pa.chunked_array([CELLS[:3], CELLS[3:]]),
        pd.array(CELLS),
        CROPS,
        pd.Series(CROPS),
    ],
    ids=lambda column: f"{type(column).__name__}-{getattr(column, 'dtype', '')}",
)
def test_every_kind_of_column_gives_the_same_features(encoder, features, column):
    assert same(encoder.encode(column), features)


def test_an_array_of_crops_of_one_size_is_a_column(encoder):
    crops = np.stack([draw_crop(number) for number in range(3)])
    assert same(encoder.encode(crops), encoder.encode(list(crops)))


def test_missing_cells_stay_missing_and_the_others_are_as_without_them(encoder, features):
    column = [None, CELLS[0], float("nan"), pd.NA, CELLS[1], "", pd.NaT]
    found = encoder.encode(column)
    assert np.isnan(found).all(axis=1).tolist() == [True, False, True, True, False, True, True]
    assert same(found[[1, 4]], features[:2])
    report = encoder.last_report
    assert (report.rows, report.encoded, report.missing, report.broken) == (7, 2, 5, {})


def test_a_series_keeps_its_index_name_order_and_length(encoder, features):
    series = pd.Series([CELLS[0], None, CELLS[1]], index=["b", "a", "b"], name="crop")
    found = encoder.get_features(series)
    assert found.index.equals(series.index)
    assert found.name == "crop"
    assert found.isna().tolist() == [False, True, False]
    assert same(stack_features(found)[[0, 2]], features[:2])


def test_the_caller_s_frame_is_not_changed(encoder):
    frame = pd.DataFrame({"crop": [CELLS[0], None]}, index=[5, 5])
    before = frame.copy(deep=True)
    encoder.get_features(frame["crop"])
    pd.testing.assert_frame_equal(frame, before)


def test_a_list_gives_a_list_and_every_format_the_same_vectors(encoder, features):
    for feature_format in ("zlib-hex", "json", "list"):
        cells = encoder.get_features([CELLS[0], None], feature_format)
        assert isinstance(cells, list)
        assert cells[1] is None
        assert same(stack_features(cells)[0], features[0])
        series = encoder.get_features(pd.Series([CELLS[0], None]), feature_format)
        assert same(stack_features(series)[0], features[0])


@pytest.mark.parametrize("column", [[], pd.Series([], dtype=object), pd.Series([], dtype="str"), np.array([])])
def test_an_empty_column_gives_an_empty_column(encoder, column):
    assert encoder.encode(column).shape == (0, 512)
    assert len(encoder.get_features(column)) == 0


def test_a_column_without_one_crop_gives_nothing_but_missing(encoder):
    assert encoder.get_features(pd.Series([None, None])).isna().all()
    assert np.isnan(encoder.encode([None, ""])).all()


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
@pytest.mark.parametrize("threads", [1, 3])
def test_features_do_not_depend_on_batches_or_threads(features, batch_size, threads):
    encoder = OsNetEncoder(UNTRAINED, device="cpu", batch_size=batch_size, threads=threads)
    assert same(encoder.encode(CELLS), features)
    assert same(encoder.encode(CELLS[::-1])[::-1], features)


def test_the_first_broken_cell_is_raised_with_its_row():
    encoder = OsNetEncoder(UNTRAINED, device="cpu", batch_size=2)
    with pytest.raises(CropError) as caught:
        encoder.encode([*CELLS[:4], None, "broken", *CELLS, 7])
    assert caught.value.row == 5
    assert str(caught.value) == "row 5: not_a_dict: neither Python nor JSON near character 0: 'broken'"
    assert encoder.last_report.encoded <= 4


def test_broken_cells_can_become_missing_and_are_reported(encoder, features):
    found = encoder.encode([CELLS[0], "broken", None, CELLS[1], 7, "{}"])
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, False, True, True]
    assert same(found[[0, 3]], features[:2])
    report = encoder.last_report
    assert {row: error.reason for row, error in report.broken.items()} == {
        1: "not_a_dict",
        4: "not_text",
        5: "missing_key",
    }
    assert report.reasons == {"not_a_dict": 1, "not_text": 1, "missing_key": 1}
    assert (report.rows, report.encoded, report.missing) == (6, 2, 1)
    assert set(report.seconds) == {"decode", "infer"}


def test_crops_stored_as_bgr_give_the_same_features(features):
    encoder = OsNetEncoder(UNTRAINED, device="cpu", color_order="bgr")
    assert same(encoder.encode([crop[:, :, ::-1].copy() for crop in CROPS]), features)


def test_features_can_be_scaled_to_unit_length(features):
    found = OsNetEncoder(UNTRAINED, device="cpu", normalize=True).encode(CELLS)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert same(found, features / np.linalg.norm(features, axis=1, keepdims=True))


def test_cells_can_be_paths_or_the_bytes_of_files(tmp_path, features):
    from PIL import Image

    for number, crop in enumerate(CROPS):
        Image.fromarray(crop).save(tmp_path / f"{number}.png")
    paths = OsNetEncoder(UNTRAINED, device="cpu", cells="path", root=tmp_path)
    assert same(paths.encode([f"{number}.png" for number in range(7)]), features)
    files = OsNetEncoder(UNTRAINED, device="cpu", cells="image")
    assert same(files.encode([path.read_bytes() for path in sorted(tmp_path.iterdir())]), features)


def test_the_original_s_five_steps_run_by_a_changed_import(tmp_path, features):
    import csv

    from osnet_encoder import uncompress_string_image

    pd.DataFrame({"id": ["0001", "0002"], "feature_vector": [CELLS[0], None]}).to_csv(
        tmp_path / "in.csv", index=False
    )

    frame = pd.read_csv(tmp_path / "in.csv", dtype={"id": str})
    frame["crop"] = frame.apply(
        lambda row: uncompress_string_image(compresed_cropped_image=row["feature_vector"]), axis=1
    )
    encoder = OsNetEncoder(
        input_width=704,
        input_height=480,
        weight_filepath=UNTRAINED,
        batch_size=32,
        num_classes=2022,
        patch_height=256,
        patch_width=128,
        norm_mean=[0.485, 0.456, 0.406],
        norm_std=[0.229, 0.224, 0.225],
        GPU=False,
    )
    frame["feature_vector"] = encoder.get_features(list(frame["crop"]))
    frame = frame.drop("crop", axis=1)
    frame.to_csv(tmp_path / "out.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)

    back = pd.read_csv(tmp_path / "out.csv", dtype={"id": str})
    assert back["id"].tolist() == ["0001", "0002"]
    stacked = stack_features(back["feature_vector"])
    assert same(stacked[0], features[0])
    assert np.isnan(stacked[1]).all()


@pytest.mark.skipif(count_cuda_devices() > 0, reason="a CUDA device is here")
def test_a_gpu_asked_for_and_absent_is_an_error():
    with pytest.raises(EngineError, match="the torch engine finds no device 'cuda'; it finds cpu"):
        OsNetEncoder(UNTRAINED, GPU=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cells": "url"}, "cells must be one of crop, path, image, found 'url'"),
        ({"on_error": "drop"}, "on_error must be one of raise, null, found 'drop'"),
        ({"color_order": "hsv"}, "color_order must be one of rgb, bgr, found 'hsv'"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"GPU": False, "device": "cuda"}, "device='cuda' and GPU='cpu' say different things"),
        ({"weight_filepath": "other.pth"}, "weights='untrained:osnet_x0_25' and weight_filepath='other.pth' say"),
        ({"patch_size": (9, 9), "patch_height": 8}, "patch_size=9 and patch_height=8 say different things"),
        ({"patch_size": (0, 9)}, "patch size must be at least 1x1, found 0x9"),
        ({"norm_std": (1, 1)}, "std must be 3 finite numbers"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        OsNetEncoder(**{"weights": UNTRAINED, **wrong})


def test_leaving_the_weights_out_takes_those_of_the_package_and_says_so(caplog):
    with caplog.at_level("INFO"):
        encoder = OsNetEncoder(device="cpu")
    assert encoder.weights.source == DEFAULT_WEIGHTS
    assert "built-in weights, trained on drawn people; better ones for real people are " in caplog.text


@pytest.mark.parametrize("column", [CELLS[0], CELLS[0].encode(), CROPS[0], pd.DataFrame({"crop": CELLS})])
def test_what_is_no_column_is_a_type_error(encoder, column):
    with pytest.raises(TypeError, match="wanted"):
        encoder.encode(column)


def test_a_network_that_gives_nan_is_an_engine_error():
    encoder = OsNetEncoder(UNTRAINED, device="cpu")
    encoder.engine.run = lambda patches: np.full((len(patches), 512), np.nan, np.float32)
    with pytest.raises(EngineError, match="numbers that are not finite, in the batch from row 0"):
        encoder.encode(CELLS)


def test_no_thread_is_left_behind(encoder):
    before = threading.active_count()
    encoder.encode(CELLS)
    with pytest.raises(CropError):
        OsNetEncoder(UNTRAINED, device="cpu").encode(["broken", *CELLS])
    assert threading.active_count() == before


def test_a_description_says_what_made_the_features(encoder):
    description = encoder.describe()
    assert description["variant"] == "osnet_x0_25"
    assert description["patch"]["height"] == 256
    assert len(description["weights_sha256"]) == 64
    assert (description["engine"], description["device"], description["precision"]) == ("onnx", "cpu", "fp32")
