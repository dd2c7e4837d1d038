"""Tables of features and labels, read back; and labels, encoded."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from osnet_encoder import OsNetEncoder, TableError, encode_table
from osnet_encoder.crops import encode_crop
from osnet_encoder.errors import FeatureError
from osnet_encoder.features import to_cells
from osnet_encoder.training.encoded import encode_labels, read_encoded
from osnet_encoder.training.label_tables import read_labels
from pictures import draw_crop

PEOPLE = ["01", "1", "01", "a"]
FEATURES = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder(
        "untrained:osnet_x0_25", engine="onnx", device="cpu", threads=1, patch_size=(32, 16), on_error="null"
    )


def write(path, features, **columns):
    """A table of people with features, CSV or Parquet by its name."""
    columns = {"person_id": PEOPLE[: len(features)], **columns, "feature_vector": features}
    if path.suffix == ".csv":
        pd.DataFrame(columns).to_csv(path, index=False)
    else:
        pq.write_table(pa.table(columns), path)
    return path


def refused(path, *, error=FeatureError, **options):
    with pytest.raises(error) as caught:
        read_encoded(path, **options)
    return str(caught.value).replace(str(path), "TABLE")


@pytest.mark.parametrize(
    ("name", "feature_format"), [("a.csv", "zlib-hex"), ("a.csv", "json"), ("a.parquet", "zlib-hex")]
)
def test_features_are_read_from_text(tmp_path, name, feature_format):
    cells = to_cells(FEATURES, [False, True, False, False], feature_format)
    labels, features = read_encoded(write(tmp_path / name, list(cells)))
    np.testing.assert_array_equal(features[[0, 2, 3]], FEATURES[[0, 2, 3]])
    assert np.isnan(features[1]).all()
    assert [labels.names[number][1] for number in labels.identities] == PEOPLE


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32(), 6), pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.int32())]
)
def test_features_are_read_from_lists_of_any_kind(tmp_path, kind):
    whole = np.rint(8 * FEATURES)
    cells = pa.array([None, *whole[1:].tolist()], kind)
    _, features = read_encoded(write(tmp_path / "a.parquet", cells))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[1:], whole[1:])
    assert np.isnan(features[0]).all()


def test_marks_and_cameras_are_read_beside_them(tmp_path):
    marks = {"is_query": [True, False, False, True], "is_gallery": [0, 1, 1, 0], "split": ["val"] * 4}
    cameras = pa.array(["a", None, "a", "b"]).dictionary_encode()
    labels, _ = read_encoded(write(tmp_path / "a.parquet", FEATURES.tolist(), camera_id=cameras, **marks))
    assert labels.is_query.tolist() == [True, False, False, True]
    assert labels.is_gallery.tolist() == [False, True, True, False]
    assert labels.is_val.all()
    assert labels.cameras[0] == labels.cameras[2] != labels.cameras[3]
    assert labels.cameras[1] < 0


def test_columns_may_have_other_names(tmp_path):
    table = pa.table({"who": PEOPLE, "where": [1, 2, 1, 2], "crop": FEATURES.tolist()})
    pq.write_table(table, tmp_path / "a.parquet")
    labels, features = read_encoded(
        tmp_path / "a.parquet", feature_column="crop", identity_column="who", camera_column="where"
    )
    assert (len(labels), len(labels.camera_names)) == (4, 2)
    np.testing.assert_array_equal(features, FEATURES)


def test_a_table_without_a_single_feature_vector_has_features_of_no_length(tmp_path):
    _, features = read_encoded(write(tmp_path / "a.parquet", pa.nulls(4, pa.list_(pa.float32()))))
    assert features.shape == (4, 0)
    _, features = read_encoded(write(tmp_path / "a.csv", [None] * 4))
    assert features.shape == (4, 0)
    labels, features = read_encoded(write(tmp_path / "a.parquet", pa.array([], pa.list_(pa.float32()))))
    assert (len(labels), features.shape) == (0, (0, 0))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1.0, 2.0], None, [1.0]], "row 2: 1 numbers, where the rows before have 2"),
        ([[1.0], [2.0], []], "row 2: 0 numbers, where the rows before have 1"),
        ([[], [1.0]], "row 0: not a feature vector: it has no numbers"),
        ([[1.0], [float("nan")]], "row 1: the numbers are not all finite"),
        ([[1.0, None], [1.0, 2.0]], "row 0: the numbers are not all finite"),
        ([["a"]], "the column of features is list<element: string>, wanted lists of numbers"),
        (["[1, 2]", "[1]"], "row 1: 1 numbers, where the rows before have 2"),
        (["[]"], "row 0: not a feature vector: found shape (0,), wanted (D,)"),
        ([1.5], "row 0: not a feature vector: found shape (), wanted (D,)"),
    ],
)
def test_a_feature_cell_that_cannot_be_used_is_named(tmp_path, cells, message):
    assert refused(write(tmp_path / "a.parquet", cells)) == f"TABLE: {message}"


def test_a_feature_string_that_is_damaged_is_named(tmp_path):
    good = to_cells(FEATURES[:1], [False], "zlib-hex")[0]
    assert refused(write(tmp_path / "a.csv", [good, good[:-8]])).startswith("TABLE: row 1: ")


def test_lengths_agree_over_a_whole_long_table(tmp_path):
    for first in (8192, 8999):
        cells = [[1.0, 2.0]] * first + [[1.0]] * (9000 - first)
        path = write(tmp_path / "a.parquet", cells, person_id=["a"] * 9000)
        assert refused(path) == f"TABLE: row {first}: 1 numbers, where the rows before have 2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"feature_column": "v"},
            "TABLE has no column 'v'; it has person_id, feature_vector: name the one with the features, or "
            "weights to encode the crops with",
        ),
        (
            {"identity_column": "who"},
            "TABLE has no column 'who' to say who is who; it has person_id, feature_vector",
        ),
        ({"camera_column": "where"}, "TABLE has no column 'where'; it has person_id, feature_vector"),
    ],
)
def test_a_column_that_is_not_there_is_named(tmp_path, options, message):
    assert refused(write(tmp_path / "a.parquet", FEATURES.tolist()), error=TableError, **options) == message


def test_rows_that_say_nothing_of_who_it_is_are_named(tmp_path):
    path = write(tmp_path / "a.parquet", FEATURES.tolist(), person_id=["a", None, "b", ""])
    assert refused(path, error=TableError) == (
        "2 faults in the labels:\n  TABLE, row 1: no identity\n  TABLE, row 3: no identity"
    )


def test_labels_are_encoded_as_a_column_is_and_broken_crops_are_told(tmp_path, encoder):
    cells = [encode_crop(draw_crop(number)) for number in range(3)]
    cells.insert(2, "{'width': 1}")
    pd.DataFrame({"person_id": PEOPLE, "crop": cells}).to_csv(tmp_path / "a.csv", index=False)
    told = []
    features, report = encode_labels(
        read_labels(tmp_path / "a.csv", column="crop", cells="crop"),
        encoder,
        lambda report, rows: told.append((report.rows, rows)),
    )
    np.testing.assert_array_equal(features, encoder.encode(cells))
    assert np.isnan(features[2]).all()
    assert list(report.broken) == [2]
    assert told[-1] == (4, 4)


def test_what_osnet_encode_writes_is_what_encoding_the_labels_gives(tmp_path, encoder):
    cells = [encode_crop(draw_crop(number)) for number in range(4)]
    pd.DataFrame({"crop": cells, "person_id": PEOPLE}).to_csv(tmp_path / "a.csv", index=False)
    here, _ = encode_labels(read_labels(tmp_path / "a.csv"), encoder)
    for name in ("b.csv", "b.parquet"):
        encode_table(tmp_path / "a.csv", tmp_path / name, encoder)
        labels, features = read_encoded(tmp_path / name)
        np.testing.assert_array_equal(features, here)
        assert [labels.names[number][1] for number in labels.identities] == PEOPLE
