"""A table, from labels and weights or with features in it, to its figures; and several tables together."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from osnet_encoder import OsNetEncoder, TableError, encode_table
from osnet_encoder.crops import encode_crop
from osnet_encoder.training.cross_evaluation import evaluate_across
from osnet_encoder.training.evaluation import evaluate_features
from osnet_encoder.training.label_tables import read_labels
from osnet_encoder.training.table_evaluation import ask, evaluate_table
from pictures import draw_crop

UNTRAINED = "untrained:osnet_x0_25"
SMALL = {"engine": "onnx", "device": "cpu", "threads": 1, "patch_size": (32, 16)}

PEOPLE = np.array(list("aabbccdd") + ["aa"] * 4)
CAMERAS = np.array([1, 2] * 6)
FEATURES = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32) + np.eye(6)[np.unique(
    PEOPLE, return_inverse=True)[1]].astype(np.float32)  # fmt: skip


def write(path, features=FEATURES, **columns):
    """A table of twelve crops as osnet-encode writes it; columns that are None are left out."""
    columns = {"person_id": PEOPLE, "camera_id": CAMERAS, **columns, "feature_vector": list(features)}
    pq.write_table(pa.table({name: cells for name, cells in columns.items() if cells is not None}), path)
    return path


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "features.parquet")


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Labels of crop strings, one of them broken."""
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    cells = [encode_crop(draw_crop(number)) for number in range(12)]
    cells[3] = "broken"
    pd.DataFrame({"crop": cells, "person_id": PEOPLE, "camera_id": CAMERAS}).to_csv(path, index=False)
    return path


def as_json(found):
    return json.dumps(found.as_dict())


def refused(*arguments, error=TableError, **options):
    with pytest.raises(error) as caught:
        evaluate_table(*arguments, **options)
    return str(caught.value).replace(str(arguments[0]), "TABLE")


def test_an_encoded_table_is_evaluated_as_its_columns_are(table):
    assert as_json(evaluate_table(table)) == as_json(evaluate_features(FEATURES, PEOPLE, CAMERAS))
    options = {"protocol": "single-shot", "rerank": True, "seed": 5, "thresholds": {"ours": 0.3}}
    found = evaluate_table(table, **options)
    assert as_json(found) == as_json(evaluate_features(FEATURES, PEOPLE, CAMERAS, **options))


def test_weights_and_labels_give_what_encoding_and_evaluating_the_table_do(crops, tmp_path):
    encoder = OsNetEncoder(UNTRAINED, on_error="null", **SMALL)
    encode_table(crops, tmp_path / "encoded.parquet", encoder, max_error_rate=1)
    here = evaluate_table(crops, weights=UNTRAINED, encoder_options=SMALL)
    there = evaluate_table(tmp_path / "encoded.parquet")
    assert here.notes[0].startswith("1 crops are broken: row 3: not_a_dict: ")
    assert here.notes[1] == there.notes[0] == "1 rows have no feature vector and are left out: 3"
    assert {**here.as_dict(), "notes": there.as_dict()["notes"]} == there.as_dict()


def test_images_are_found_from_the_table_s_folder_or_the_root(tmp_path, monkeypatch):
    (tmp_path / "crops").mkdir()
    for number in range(4):
        Image.fromarray(draw_crop(number)).save(tmp_path / "crops" / f"{number}.png")
    frame = pd.DataFrame({"img_path": [f"{n}.png" for n in range(4)], "person_id": list("aabb")})
    frame.to_csv(tmp_path / "crops" / "here.csv", index=False)
    frame.to_csv(tmp_path / "elsewhere.csv", index=False)
    monkeypatch.chdir(tmp_path / "crops")
    words = {"weights": UNTRAINED, "encoder_options": SMALL}
    here = evaluate_table("here.csv", **words)
    assert as_json(here) == as_json(evaluate_table("../elsewhere.csv", root=tmp_path / "crops", **words))
    assert (here.queries, here.cameras) == (4, 0)


def test_a_broken_crop_ends_it_where_that_is_asked_for(crops):
    options = {**SMALL, "on_error": "raise"}
    assert "not_a_dict" in refused(crops, weights=UNTRAINED, encoder_options=options, error=ValueError)


def test_cameras_are_not_heeded_where_that_is_asked_for_or_none_are_known(table, tmp_path):
    wanted = as_json(evaluate_features(FEATURES, PEOPLE))
    assert as_json(evaluate_table(table, camera_column=None)) == wanted
    assert as_json(evaluate_table(write(tmp_path / "b.parquet", camera_id=None))) == wanted
    assert as_json(evaluate_table(write(tmp_path / "c.parquet", camera_id=pa.nulls(12, pa.string())))) == wanted


def test_a_camera_column_of_another_name_is_said_by_that_name(tmp_path):
    path = write(tmp_path / "a.parquet", camera_id=None, place=["x"] * 12)
    note = evaluate_table(path, camera_column="place").notes[0]
    assert note.startswith("all queries lost: place is constant")
    assert refused(path, camera_column="where").startswith("TABLE has no column 'where'; it has ")


def test_marks_of_queries_and_gallery_are_heeded(tmp_path):
    is_query, is_gallery = CAMERAS == 1, CAMERAS == 2
    wanted = as_json(evaluate_features(FEATURES, PEOPLE, CAMERAS, is_query=is_query, is_gallery=is_gallery))
    path = write(tmp_path / "a.parquet", is_query=is_query, is_gallery=is_gallery)
    assert as_json(evaluate_table(path)) == wanted
    path = write(tmp_path / "b.parquet", split=np.where(is_query, "query", "gallery"))
    assert as_json(evaluate_table(path)) == wanted
    found = evaluate_table(write(tmp_path / "c.parquet"), query=[("camera_id", "1")], gallery=[("camera_id", "2")])
    assert as_json(found) == wanted


def test_rows_that_are_trained_on_are_left_out_and_that_is_said(tmp_path):
    split = np.where(np.arange(12) < 4, "train", "test")
    found = evaluate_table(write(tmp_path / "a.parquet", split=split))
    assert found.notes[0] == "4 rows are left out: the column 'split' marks them as trained on"
    wanted = evaluate_features(FEATURES[4:], PEOPLE[4:], CAMERAS[4:])
    assert (found.mAP, found.eer, found.rows) == (wanted.mAP, wanted.eer, 8)
    trained = evaluate_table(write(tmp_path / "b.parquet", split=split), only=[("split", "train")])
    assert (trained.rows, trained.queries) == (4, 4)
    path = write(tmp_path / "c.parquet", split=["train"] * 12)
    assert refused(path) == ("the column 'split' of TABLE marks all rows as trained on; name those to evaluate")


def test_of_several_conditions_one_is_enough(table):
    found = evaluate_table(table, only=[("person_id", "a"), ("person_id", "b")])
    assert (found.rows, found.identities) == (4, 2)
    found = evaluate_table(table, query=[("person_id", "a"), ("person_id", "aa")])
    assert (found.queries, found.gallery) == (6, 12)


def test_rows_keep_their_numbers_when_others_are_left_out(tmp_path):
    features = FEATURES.copy()
    features[9] = np.nan
    path = write(tmp_path / "a.parquet", [None if np.isnan(row).any() else row for row in features])
    found = evaluate_table(path, only=[("person_id", "aa")])
    assert found.notes[0] == "1 rows have no feature vector and are left out: 9"


def test_the_rows_that_are_asked_for_are_known_by_their_place(table, crops):
    asked = ask(read_labels(crops), only=[("camera_id", "2")], query=[("person_id", "a")])
    assert asked.rows.tolist() == [1, 3, 5, 7, 9, 11]
    assert asked.labels.is_query.tolist() == [True, False, False, False, False, False]
    assert asked.labels.is_gallery is None and asked.notes == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"only": [("place", "x")]},
            "TABLE has no column 'place'; it has person_id, camera_id, feature_vector",
        ),
        (
            {"query": [("camera_id", "3")]},
            "no row to evaluate in TABLE has '3' in the column 'camera_id'; there are '1', '2'",
        ),
        (
            {"only": [("person_id", "a")], "gallery": [("person_id", "b")]},
            "no row to evaluate in TABLE has 'b' in the column 'person_id'; there are 'a'",
        ),
        ({"feature_column": "v"}, "TABLE has no column 'v'; it has person_id, camera_id, feature_vector: name the "
         "one with the features, or weights to encode the crops with"),
        ({"weights": UNTRAINED}, "TABLE: no column holds crop strings; name the one to encode, of "
         "person_id, camera_id, feature_vector"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_said(table, options, message):
    assert refused(table, **options) == message


def test_a_table_without_features_is_an_error_that_says_what_became_of_the_crops(tmp_path):
    path = write(tmp_path / "a.parquet", [None] * 12)
    assert refused(path) == "no row to evaluate in TABLE has a feature vector"
    cells = [encode_crop(draw_crop(0))[:-9], "b"]
    pd.DataFrame({"crop": cells, "person_id": ["a", "b"]}).to_csv(tmp_path / "b.csv", index=False)
    message = refused(tmp_path / "b.csv", weights=UNTRAINED, column="crop", encoder_options=SMALL)
    assert message.startswith("no row to evaluate in TABLE has a feature vector; 2 crops are broken: row 0: ")


def test_of_many_broken_crops_the_first_are_named(tmp_path):
    cells = [encode_crop(draw_crop(0)), *"bcdef"]
    pd.DataFrame({"crop": cells, "person_id": list("aabbcc")}).to_csv(tmp_path / "b.csv", index=False)
    note = evaluate_table(tmp_path / "b.csv", weights=UNTRAINED, encoder_options=SMALL).notes[0]
    assert note.startswith("5 crops are broken: row 1: not_a_dict: ")
    assert note.count("row ") == 3 and note.endswith("; and 2 more")


# several tables


@pytest.fixture
def tables(tmp_path, table):
    """One to choose thresholds on, and two to try them on."""
    others = [write(tmp_path / f"{name}.parquet", FEATURES[::-1] * 2) for name in ("b", "c")]
    return [str(path) for path in (table, *others)]


def test_thresholds_of_the_sources_are_tried_on_the_targets(tables):
    source, target, _ = tables
    found = evaluate_across([target], [source], thresholds={"ours": 0.5})
    at_home = evaluate_table(source, thresholds={"ours": 0.5})
    assert as_json(found.sources[source]) == as_json(at_home)
    tried = found.targets[target].at_thresholds
    assert list(tried) == [
        "ours",
        *(f"{name} of {source}" for name in ("EER", "FAR 0.1", "FAR 0.01", "FAR 0.001")),
    ]
    assert tried[f"EER of {source}"]["threshold"] == at_home.eer_threshold
    again = evaluate_features(FEATURES[::-1], PEOPLE, thresholds={"home": at_home.eer_threshold})
    assert tried[f"EER of {source}"] == again.at_thresholds["home"]
    assert list(found.evaluations) == [source, target]


def test_of_one_target_the_figures_stand_for_themselves_and_several_stand_side_by_side(tables):
    source, target, other = tables
    one = evaluate_across([target])
    assert one.as_dict() == evaluate_table(target).as_dict()
    assert one.in_words() == evaluate_table(target).in_words()
    read = evaluate_across([target], [source]).as_dict()
    assert read["mAP"] == one.targets[target].mAP
    assert list(read["sources"]) == [source]
    several = evaluate_across([target, other], [source])
    assert list(several.as_dict()) == ["targets", "sources"]
    assert list(several.as_dict()["targets"]) == [target, other]
    heads = [line for line in several.in_words().splitlines() if line.startswith(("source", "target"))]
    assert heads == [f"source     {source}", f"target     {target}", f"target     {other}"]


def test_a_source_without_pairs_has_no_thresholds_to_try(tmp_path, table):
    alone = write(tmp_path / "alone.parquet", person_id=list("abcdefghijkl"))
    assert evaluate_across([table], [alone]).targets[str(table)].at_thresholds == {}


def test_tables_are_named_and_named_once(table):
    with pytest.raises(ValueError, match=r"^no table to evaluate, wanted one at least$"):
        evaluate_across([])
    with pytest.raises(ValueError, match=r"features.parquet is named twice$"):
        evaluate_across([table], [str(table)])
