"""Tables of labelled crops, what is wrong with them, and how they are divided."""

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from osnet_encoder import TableError
from osnet_encoder.crops import decode_crop, encode_crop
from osnet_encoder.training.label_cells import decode_cells, iter_cells
from osnet_encoder.training.label_faults import check_labels, warn_labels
from osnet_encoder.training.label_tables import read_labels
from osnet_encoder.training.labels import data_hash, select, to_table
from osnet_encoder.training.splits import mark_split, split_labels
from pictures import draw_crop

PEOPLE = ("0001", "0001", "0002", "0002", "7", "7")
CAMERAS = ("1", "2", "1", "2", "1", "2")


def write_images(folder, count):
    """So many PNG files; their paths within the folder."""
    (folder / "crops").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(draw_crop(number)).save(folder / "crops" / f"{number}.png")
    return [f"crops/{number}.png" for number in range(count)]


def write_csv(path, **columns):
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.fixture
def table(tmp_path):
    """Six images of three people."""
    paths = write_images(tmp_path, 6)
    return write_csv(tmp_path / "labels.csv", img_path=paths, person_id=PEOPLE, camera_id=CAMERAS)


def changed(table, **columns):
    """The same table with other columns, or without those that are None."""
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    for name, cells in columns.items():
        frame = frame.drop(columns=name) if cells is None else frame.assign(**{name: cells})
    frame.to_csv(table, index=False)
    return table


def refused(*arguments, **options):
    with pytest.raises(TableError) as caught:
        read_labels(*arguments, **options)
    return str(caught.value)


# reading


def test_labels_are_what_the_table_says_and_identities_stay_text(table):
    labels = read_labels(table)
    assert labels.names == ((0, "0001"), (0, "0002"), (0, "7"))
    assert labels.identities.tolist() == [0, 0, 1, 1, 2, 2]
    assert [labels.camera_names[camera] for camera in labels.cameras] == [(0, camera) for camera in CAMERAS]
    assert labels.row.tolist() == [0, 1, 2, 3, 4, 5]
    assert labels.paths.to_pylist() == [f"crops/{number}.png" for number in range(6)]
    assert (labels.is_val, labels.is_query, labels.is_gallery) == (None, None, None)
    assert {array.dtype for array in (labels.identities, labels.cameras, labels.row, labels.source)} == {
        np.dtype(np.int64)
    }
    assert (labels.sources[0].cells, labels.sources[0].column, len(labels)) == ("path", "img_path", 6)


def test_paths_start_at_the_table_s_folder_or_at_the_root(table, tmp_path):
    expected = [str(tmp_path / "crops" / f"{number}.png") for number in range(6)]
    assert list(iter_cells(read_labels(table))) == expected
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = table.rename(elsewhere / "labels.csv")
    assert list(iter_cells(read_labels(moved, root=tmp_path))) == expected
    assert refused(moved).startswith("6 faults in the labels:")


@pytest.mark.parametrize("identities", [PEOPLE, [1, 1, 2, 2, 3, 3], pd.Categorical(PEOPLE)])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_crop_strings_are_found_by_looking_and_read_in_order(tmp_path, identities, suffix):
    crops = [encode_crop(draw_crop(number)) for number in range(6)]
    path = tmp_path / f"people{suffix}"
    frame = pd.DataFrame({"note": "x", "person_id": identities, "crop": crops})
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False)
    labels = read_labels(path)
    assert (labels.sources[0].cells, labels.sources[0].column) == ("crop", "crop")
    assert [text for _, text in labels.names] == list(dict.fromkeys(map(str, identities)))
    assert labels.paths.null_count == 6
    assert (labels.cameras < 0).all()
    assert [bytes(cell).decode() for cell in iter_cells(labels)] == crops
    assert [bytes(cell).decode() for cell in iter_cells(labels, np.array([1, 4]))] == [crops[1], crops[4]]


def test_bytes_of_images_are_told_by_their_type(tmp_path, table):
    cells = [(tmp_path / "crops" / f"{number}.png").read_bytes() for number in range(6)]
    pd.DataFrame({"picture": cells, "person_id": PEOPLE}).to_parquet(tmp_path / "people.parquet")
    labels = read_labels(tmp_path / "people.parquet", column="picture")
    assert labels.sources[0].cells == "image"
    crops = {}
    assert decode_cells(labels, crops.__setitem__, threads=2) == []
    assert all((crops[number] == draw_crop(number)).all() for number in range(6))


def test_a_named_column_is_what_its_first_cell_is(tmp_path, table):
    changed(table, file=[f"crops/{number}.png" for number in range(6)], img_path=None)
    assert read_labels(table, column="file").sources[0].cells == "path"
    changed(table, file=[encode_crop(draw_crop(number)) for number in range(6)])
    assert read_labels(table, column="file").sources[0].cells == "crop"
    assert "no file \"{'width': 20" in refused(table, column="file", cells="path")


def test_people_and_cameras_of_two_tables_are_never_the_same(table, tmp_path):
    other = tmp_path / "other"
    paths = write_images(other, 2)
    second = write_csv(other / "labels.csv", img_path=paths, person_id=["0001", "0001"], camera_id=["1", "2"])
    labels = read_labels([table, second])
    assert labels.source.tolist() == [0] * 6 + [1] * 2
    assert labels.row.tolist() == [0, 1, 2, 3, 4, 5, 0, 1]
    assert labels.names[-1] == (1, "0001")
    assert labels.identities.tolist()[-2:] == [3, 3]
    assert len(set(labels.cameras.tolist())) == 4
    assert list(iter_cells(labels))[-1] == str(other / "crops" / "1.png")
    assert labels.where(7) == f"{second}, row 1"


def test_paths_and_crop_strings_go_together(table, tmp_path):
    crops = [encode_crop(draw_crop(number)) for number in (10, 11)]
    second = write_csv(tmp_path / "packed.csv", crop=crops, person_id=["a", "a"])
    labels = read_labels([second, table])
    assert labels.paths.to_pylist()[:3] == [None, None, "crops/0.png"]
    crops = {}
    assert decode_cells(labels, crops.__setitem__) == []
    expected = [10, 11, 0, 1, 2, 3, 4, 5]
    assert all((crops[at] == draw_crop(number)).all() for at, number in enumerate(expected))


def test_an_unknown_camera_is_no_camera_and_no_two_of_them_are_the_same(table):
    changed(table, camera_id=["1", "", "2", "", "", "1"])
    labels = read_labels(table)
    assert (labels.cameras < 0).tolist() == [False, True, False, True, True, False]
    assert len(set(labels.cameras[labels.cameras < 0].tolist())) == 3


def test_marks_are_read_in_any_spelling(table):
    changed(
        table,
        split=["train", "Train", "val", "test", "validation", "VALID"],
        is_query=["", "0", "1", "true", "False", "1.0"],
        is_gallery=["", "", "True", "0.0", "1", "false"],
    )
    labels = read_labels(table)
    assert labels.is_val.tolist() == [False, False, True, True, True, True]
    assert labels.is_query.tolist() == [False, False, True, True, False, True]
    assert labels.is_gallery.tolist() == [False, False, True, False, True, False]


def test_booleans_of_parquet_are_marks(tmp_path, table):
    frame = pd.read_csv(table, dtype=str).assign(is_query=[True, False, None, True, False, True])
    frame.to_parquet(tmp_path / "labels.parquet")
    assert read_labels(tmp_path / "labels.parquet").is_query.tolist() == [True, False, False, True, False, True]


def test_the_words_query_and_gallery_in_split_are_marks_too(table):
    changed(table, split=["train", "train", "query", "gallery", "gallery", "query"])
    labels = read_labels(table)
    assert labels.is_val.tolist() == [False, False, True, True, True, True]
    assert labels.is_query.tolist() == [False, False, True, False, False, True]
    assert labels.is_gallery.tolist() == [False, False, False, True, True, False]


# faults


def test_every_fault_is_named_with_its_row(table, tmp_path):
    (tmp_path / "crops" / "3.png").unlink()
    changed(
        table,
        img_path=["crops/0.png", "", "crops/2.png", "crops/3.png", "./crops/2.png", "crops/0.png"],
        person_id=["", *PEOPLE[1:]],
        split=["train", "val", "trian", "train", "train", ""],
    )
    assert refused(table).splitlines() == [
        "7 faults in the labels:",
        f"  {table}, row 0: no identity",
        f"  {table}, row 1: no image path",
        f"  {table}, row 2: split is 'trian', wanted train, val, test, query or gallery",
        f"  {table}, row 3: no file 'crops/3.png' under '{tmp_path}'",
        f"  {table}, row 4: the image of {table}, row 2 again, there as '0002' and here as '7'",
        f"  {table}, row 5: split is '', wanted train, val, test, query or gallery",
        f"  {table}, row 5: the image of {table}, row 0 again, there as '' and here as '7'",
    ]


def test_an_image_stands_in_one_row_only(table, tmp_path):
    changed(table, img_path=["crops/0.png", "crops/../crops/0.png", *(f"crops/{row}.png" for row in range(2, 6))])
    assert refused(table) == f"{table}, row 1: the image of {table}, row 0 again"
    second = write_csv(tmp_path / "second.csv", img_path=["crops/5.png"], person_id=["x"])
    first = changed(table, img_path=[f"crops/{row}.png" for row in range(6)])
    expected = f"{second}, row 0: the image of {first}, row 5 again, there as '7' and here as 'x'"
    assert refused([first, second]) == expected


def test_one_fault_is_said_in_one_line(table):
    changed(table, is_query=["no", *"010101"[1:]])
    assert refused(table) == f"{table}, row 0: is_query is 'no', wanted true or false"


def test_ten_faults_are_told_and_the_others_counted(tmp_path):
    table = write_csv(tmp_path / "labels.csv", img_path=[f"{row}.jpg" for row in range(1234)], person_id=1)
    lines = refused(table).splitlines()
    assert lines[0] == "1,234 faults in the labels:"
    assert lines[10] == f"  {table}, row 9: no file '9.jpg' under '{tmp_path}'"
    assert lines[11:] == ["  and 1,224 more"]


def test_an_identity_on_both_sides_is_refused_but_not_that_of_another_table(table, tmp_path):
    changed(table, split=["train", "val", "train", "train", "val", "val"])
    assert refused(table) == f"{table}, row 1: '0001' is for validation here, and for training in row 0"
    changed(table, split="train")
    second = tmp_path / "other" / "labels.csv"
    paths = write_images(tmp_path / "other", 2)
    write_csv(second, img_path=paths, person_id=["0001", "0001"], split="val")
    assert read_labels([table, second]).is_val.tolist() == [False] * 6 + [True] * 2


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"person_id": None}, {}, "{0} has no column 'person_id' to say who is who; it has img_path, camera_id"),
        ({}, {"camera_column": "cam"}, "{0} has no column 'cam'; it has img_path, person_id, camera_id"),
        ({}, {"column": "crop"}, "{0}: no column 'crop' in the table; it has img_path, person_id, camera_id"),
        (
            {"img_path": None},
            {},
            "{0}: no column holds crop strings; name the one to encode, of person_id, camera_id",
        ),
    ],
)
def test_a_table_without_the_columns_is_refused(table, columns, options, message):
    changed(table, **columns)
    assert refused(table, **options) == message.format(table)


def test_tables_that_do_not_go_together_are_refused(table, tmp_path):
    assert refused([table, table]) == f"{os.path.realpath(table)} is read twice, as {table} and as {table}"
    other = write_csv(tmp_path / "other.csv", img_path=[], person_id=[])
    assert refused([table, other]) == f"{other} has no rows"
    other = write_csv(tmp_path / "other.csv", img_path=["a.png"], person_id=["1"], split=["train"])
    assert refused([table, other]) == f"{table} has no column 'split', which another table has; all or none must"


def test_columns_of_another_type_are_refused(tmp_path):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"img_path": ["a"], "person_id": [b"1"]}), path)
    assert refused(path) == f"column 'person_id' of {path} is binary, wanted text or numbers"
    pq.write_table(pa.table({"img_path": ["a"], "person_id": ["1"], "crop": [1]}), path)
    message = f"column 'crop' of {path} is int64, wanted paths, crop strings or images"
    assert refused(path, column="crop") == message


def test_arguments_that_cannot_be_are_refused(table):
    with pytest.raises(ValueError, match="^cells must be one of path, crop, image, found 'jpg'$"):
        read_labels(table, cells="jpg")
    with pytest.raises(ValueError, match="^bytes of images are not found by looking: name their column$"):
        read_labels(table, cells="image")
    with pytest.raises(ValueError, match="^no table of labels, wanted one at least$"):
        read_labels([])


def test_only_a_deep_look_opens_the_images(table, tmp_path):
    (tmp_path / "crops" / "1.png").write_bytes(b"no image")
    (tmp_path / "crops" / "4.png").write_bytes(b"")
    labels = read_labels(table)
    check_labels(labels)
    seen = []
    with pytest.raises(TableError) as caught:
        check_labels(labels, deep=True, threads=2, progress=lambda *counts: seen.append(counts))
    first, second, third = str(caught.value).splitlines()
    assert first == "2 faults in the labels:"
    assert second.startswith(f"  {table}, row 1: 'crops/1.png': bad_image: not decoded: no JPEG, PNG, ")
    assert third.startswith(f"  {table}, row 4: 'crops/4.png': bad_image: not decoded: ")
    assert seen == [(6, 6)]


def test_crops_that_are_missing_or_broken_are_found_by_a_deep_look(tmp_path):
    good = encode_crop(draw_crop(0))
    table = write_csv(tmp_path / "people.csv", person_id=[1, 1, 1, 1], crop=[good, None, good[:-9] + "'}", good])
    labels = read_labels(table)
    with pytest.raises(TableError) as caught:
        check_labels(labels, deep=True)
    first, second = str(caught.value).splitlines()[1:]
    assert first == f"  {table}, row 1: no crop"
    assert second.startswith(f"  {table}, row 2: bad_")


def test_a_table_that_changed_since_is_not_gone_on_with(tmp_path):
    cells = [encode_crop(draw_crop(number)) for number in range(3)]
    table = write_csv(tmp_path / "people.csv", person_id=[1, 1, 2], crop=cells)
    labels = read_labels(table)
    changed(table, crop=cells[::-1])
    os.utime(table, ns=(1, 1))
    with pytest.raises(TableError, match=r"people\.csv has changed since its labels were read$"):
        list(iter_cells(labels))
    with pytest.raises(TableError, match=r"people\.csv has changed since its labels were read$"):
        data_hash(labels)


# oddities


def test_what_is_odd_is_said_and_what_is_well_is_not(table):
    assert warn_labels(read_labels(table)) == check_labels(read_labels(table)) == []


@pytest.mark.parametrize(
    ("columns", "warning"),
    [
        (
            {"person_id": ["a", "b", "c", "d", "d", "d"]},
            "3 of 4 identities have one crop only, with nothing to be told alike: 'a', 'b', 'c'",
        ),
        ({"camera_id": None}, "no cameras; every crop is looked for among all others"),
        ({"camera_id": ""}, "no cameras; every crop is looked for among all others"),
        ({"camera_id": "3"}, "one camera saw all crops: nobody can be looked for in another camera"),
        ({"camera_id": ["1", "2", "1", "2", "1", ""]}, "1 of 6 rows have no camera"),
        (
            {"camera_id": ["1", "1", "1", "2", "2", "2"]},
            "2 of 3 identities were seen by one camera only: '0001', '7'",
        ),
    ],
)
def test_an_oddity_is_said_once_with_its_table(table, columns, warning):
    changed(table, **columns)
    assert warn_labels(read_labels(table)) == [f"{table}: {warning}"]


# what is made of labels


def test_some_of_the_rows_number_their_identities_anew(table):
    changed(table, is_query=[1, 0, 0, 1, 0, 0])
    labels = read_labels(table)
    some = select(labels, np.array([2, 3, 5]))
    assert some.names == ((0, "0002"), (0, "7"))
    assert some.identities.tolist() == [0, 0, 1]
    assert some.row.tolist() == [2, 3, 5]
    assert some.paths.to_pylist() == ["crops/2.png", "crops/3.png", "crops/5.png"]
    assert some.is_query.tolist() == [False, True, False]
    assert (some.cameras == labels.cameras[[2, 3, 5]]).all()
    assert to_table(select(labels, labels.identities == 1)).equals(to_table(labels).slice(2, 2))
    with pytest.raises(ValueError, match=r"^rows must rise: labels keep the order of their tables$"):
        select(labels, np.array([3, 2]))


def test_none_of_the_rows_are_labels_too(table):
    none = select(read_labels(changed(table, is_query="1")), np.array([], np.int64))
    assert (len(none), none.names, none.is_query.tolist(), len(to_table(none))) == (0, (), [], 0)


def test_labels_are_written_down_as_they_were_read(table, tmp_path):
    changed(table, camera_id=["1", "", "1", "2", "1", "2"], is_gallery=[1, 0, 1, 0, 1, 0])
    frame = to_table(mark_split(read_labels(table), np.array([4, 5]))).to_pandas()
    assert frame["source"].tolist() == [str(table)] * 6
    assert frame["row"].tolist() == list(range(6))
    assert frame["img_path"].tolist() == [f"crops/{number}.png" for number in range(6)]
    assert frame["person_id"].tolist() == list(PEOPLE)
    assert frame["camera_id"].isna().tolist() == [False, True, False, False, False, False]
    assert frame["split"].tolist() == ["train"] * 4 + ["val"] * 2
    assert frame["is_gallery"].tolist() == [True, False] * 3
    assert "is_query" not in frame


def test_the_hash_of_labels_is_that_of_their_contents(table, tmp_path):
    first = data_hash(read_labels(table))
    assert len(first) == 64
    labels = read_labels(table)
    assert data_hash(select(labels, labels.identities > 0)) != first
    assert data_hash(mark_split(labels, np.array([0, 1]))) != first
    assert data_hash(read_labels(table, camera_column="person_id")) != first
    moved = tmp_path / "moved.csv"
    table.rename(moved)
    assert data_hash(read_labels(moved)) == first
    assert data_hash(read_labels(changed(moved, camera_id="1"))) != first


# splits


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.floats(0.05, 0.9), st.integers(0, 99))
def test_a_split_is_by_identity_and_follows_from_its_seed(tmp_path, people, fraction, seed):
    crop = encode_crop(draw_crop(0, 2, 2))
    labels = read_labels(write_csv(tmp_path / "people.csv", person_id=people, crop=crop))
    wanted = max(2, round(fraction * len(labels.names)))
    if len(labels.names) - wanted < 2:
        with pytest.raises(TableError, match=r"^the labels have [01] identit(y|ies) for \w+, wanted 2 at least$"):
            split_labels(labels, fraction, seed)
        return
    train, val = split_labels(labels, fraction, seed)
    assert sorted([*train, *val]) == list(range(len(people)))
    assert (train == np.sort(train)).all() and (val == np.sort(val)).all()
    assert not set(labels.identities[train]) & set(labels.identities[val])
    assert len(set(labels.identities[val])) == wanted
    again = split_labels(labels, fraction, seed)
    assert (train == again[0]).all() and (val == again[1]).all()


def test_another_seed_divides_otherwise(tmp_path):
    crop = encode_crop(draw_crop(0, 2, 2))
    labels = read_labels(write_csv(tmp_path / "people.csv", person_id=range(100), crop=crop))
    splits = {tuple(split_labels(labels, 0.1, seed)[1]) for seed in range(5)}
    assert len(splits) == 5


def test_what_the_table_says_goes_before(table):
    changed(table, split=["train"] * 2 + ["val"] * 2 + ["train"] * 2)
    with pytest.raises(TableError, match="^the labels have 1 identity for validation, wanted 2 at least$"):
        split_labels(read_labels(table), 0.1, 0)
    changed(table, person_id=["a", "b", "c", "d", "e", "f"])
    train, val = split_labels(read_labels(table), 0.1, 0)
    assert (train.tolist(), val.tolist()) == ([0, 1, 4, 5], [2, 3])
    changed(table, split=None, is_query=[0, 0, 1, 1, 0, 0], is_gallery=[0, 0, 0, 1, 1, 1])
    train, val = split_labels(read_labels(table), 0.1, 0)
    assert (train.tolist(), val.tolist()) == ([0, 1], [2, 3, 4, 5])


def test_nothing_is_kept_for_validation_where_nothing_is_asked_for(table):
    train, val = split_labels(read_labels(table), 0, 0)
    assert (len(train), len(val), val.dtype) == (6, 0, np.int64)
    changed(table, split="val")
    with pytest.raises(TableError, match="^the labels have 0 identities for training, wanted 2 at least$"):
        split_labels(read_labels(table), 0, 0)
    with pytest.raises(ValueError, match=r"^val_fraction must be from 0 to below 1, found 1\.0$"):
        split_labels(read_labels(table), 1.0, 0)


def test_cells_of_a_large_table_are_read_where_they_are_wanted(tmp_path):
    cells = [encode_crop(draw_crop(number, 4, 4)) for number in range(300)]
    frame = pd.DataFrame({"person_id": np.arange(300) // 2, "crop": cells})
    frame.to_parquet(tmp_path / "people.parquet", row_group_size=37)
    labels = read_labels(tmp_path / "people.parquet")
    rows = np.flatnonzero(np.random.default_rng(0).random(300) < 0.2)
    found = [decode_crop(cell) for cell in iter_cells(labels, rows)]
    assert len(found) == len(rows)
    assert all((crop == draw_crop(number, 4, 4)).all() for crop, number in zip(found, rows.tolist(), strict=True))
