"""Series.osnet: the encoder's and the features' functions as methods of a column."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import osnet_encoder.accessor  # noqa: F401, for what importing it does
from osnet_encoder import CropError, FeatureError, Limits, OsNetEncoder
from osnet_encoder.crops import encode_crop
from osnet_encoder.features import encode_feature_string
from pictures import draw_crop

CROPS = [draw_crop(number, 30 + number, 20) for number in range(3)]
CELLS = [encode_crop(crop) for crop in CROPS]
FRAME = pd.DataFrame({"crop": [CELLS[0], None, CELLS[1], CELLS[2]]}, index=["b", "a", "b", "c"])


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder("untrained:osnet_x0_25", device="cpu")


def test_a_series_has_the_accessor_only_once_it_is_imported():
    code = (
        "import osnet_encoder.crops, pandas; assert not hasattr(pandas.Series, 'osnet');"
        "import osnet_encoder.accessor; assert hasattr(pandas.Series, 'osnet')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("feature_format", ["zlib-hex", "json", "list"])
def test_features_are_the_encoder_s_and_stack_to_its_array(encoder, feature_format):
    found = FRAME["crop"].osnet.features(encoder, feature_format)
    assert found.index.equals(FRAME.index)
    assert found.name == "crop"
    assert found.isna().tolist() == [False, True, False, False]
    stacked = found.osnet.stack()
    assert stacked.dtype == np.float32
    assert np.allclose(stacked, encoder.encode(FRAME["crop"]), rtol=1e-5, atol=1e-5, equal_nan=True)


def test_features_are_feature_strings_unless_asked_otherwise(encoder):
    strings = FRAME["crop"].osnet.features(encoder)
    assert strings.dropna().str.fullmatch("789c[0-9a-f]+").all()


def test_encode_gives_an_array_with_nan_where_the_crop_is_missing(encoder):
    found = FRAME["crop"].osnet.encode(encoder)
    assert found.shape == (4, 512)
    assert found.dtype == np.float32
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False, False]


def test_a_broken_crop_is_raised_by_every_method_that_decodes(encoder):
    column = pd.Series([CELLS[0], None, "broken"], index=[7, 7, 7])
    message = "row 2: not_a_dict: neither Python nor JSON near character 0: 'broken'"
    for method, arguments in (("features", [encoder]), ("encode", [encoder]), ("decode", [])):
        with pytest.raises(CropError) as caught:
            getattr(column.osnet, method)(*arguments)
        assert str(caught.value) == message
        assert caught.value.row == 2


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.none()
        | arrays.arrays(
            np.uint8,
            st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)),
            elements=st.integers(0, 255),
        )
    )
)
def test_decode_gives_back_the_pixels_that_were_encoded(crops):
    cells = [None if crop is None else encode_crop(crop) for crop in crops]
    column = pd.Series(cells, dtype="str", name="crop")
    decoded = column.osnet.decode()
    assert decoded.name == "crop"
    assert decoded.dtype == object
    assert len(decoded) == len(crops)
    for found, wanted in zip(decoded, crops, strict=True):
        assert found is None if wanted is None else np.array_equal(found, wanted)


@pytest.mark.parametrize(
    "dtype",
    ["str", object, "string", "category", pd.ArrowDtype(pa.large_string()), pd.ArrowDtype(pa.binary())],
    ids=str,
)
def test_decode_takes_every_dtype_that_holds_crop_strings(dtype):
    column = FRAME["crop"].map(str.encode, na_action="ignore") if "binary" in str(dtype) else FRAME["crop"]
    decoded = column.astype(dtype).osnet.decode()
    assert decoded.index.equals(FRAME.index)
    assert decoded.iloc[1] is None
    assert all(np.array_equal(found, crop) for found, crop in zip(decoded.dropna(), CROPS, strict=True))


def test_decode_keeps_to_the_limits():
    with pytest.raises(CropError, match="row 0: too_large: 20x30 pixels, limit 100"):
        FRAME["crop"].osnet.decode(Limits(max_pixels=100))


def test_a_column_of_nothing_but_missing_cells_has_any_dtype(encoder):
    for column in (pd.Series([np.nan, np.nan]), pd.Series([None, None]), pd.Series([pd.NaT])):
        assert np.isnan(column.osnet.encode(encoder)).all()
        assert column.osnet.features(encoder).isna().all()
        assert column.osnet.decode().isna().all()
        assert column.osnet.stack().shape == (len(column), 0)


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.large_list(pa.float64())], ids=str
)
def test_stack_reads_lists_that_arrow_keeps(type_):
    column = pd.Series([[1.5, -2.0], None], dtype=pd.ArrowDtype(type_))
    assert np.array_equal(column.osnet.stack(), np.array([[1.5, -2], [np.nan, np.nan]]), equal_nan=True)


def test_stack_says_which_row_is_no_feature_vector():
    column = pd.Series([encode_feature_string([1, 2]), None, encode_feature_string([1, 2, 3])])
    with pytest.raises(FeatureError, match="^row 2: 3 numbers, where the rows before have 2$"):
        column.osnet.stack()


def test_the_column_is_not_changed(encoder):
    before = FRAME.copy(deep=True)
    FRAME["crop"].osnet.features(encoder)
    FRAME["crop"].osnet.decode()
    pd.testing.assert_frame_equal(FRAME, before)
