"""Updates: what an output has is kept, what is new is encoded, and nothing is mixed or lost."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from osnet_encoder import JobError, OsNetEncoder, TableError, encode_table, stack_features, verify_table
from osnet_encoder.crops import encode_crop
from osnet_encoder.job.manifest import read_manifest, write_manifest
from osnet_encoder.job.place import look_at
from pictures import draw_crop

CELLS = [encode_crop(draw_crop(number)) for number in range(12)]
NAMES = ("out.csv", "out.csv.gz", "out.parquet")


def make_encoder(weights="untrained:osnet_x0_25", **options):
    words = {"device": "cpu", "engine": "onnx", "on_error": "null", "batch_size": 4, "patch_size": (32, 16)}
    return OsNetEncoder(weights, **{**words, **options})


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture
def write(tmp_path):
    def write(numbers, name="in.csv", cells=CELLS):
        frame = pd.DataFrame({"id": [f"k{number}" for number in numbers], "crop": [cells[at] for at in numbers]})
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return write


def read(target):
    frame = pd.read_parquet(target) if target.suffix == ".parquet" else pd.read_csv(target)
    return frame["id"].tolist(), stack_features(frame["feature_vector"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", [None, "id"])
@pytest.mark.parametrize("feature_format", [None, "json"])
def test_only_what_is_new_is_encoded_and_the_output_is_as_from_the_beginning(
    encoder, write, name, key, feature_format
):
    words = {"update": True, "key": key, "feature_format": feature_format}
    target = write(range(5)).with_name(name)
    first = encode_table(write(range(5)), target, encoder, **words)
    assert (first.reused, first.encoded) == (0, 5)
    numbers = [7, 0, 1, 2, 8, 3, 4, 9]  # new rows anywhere
    second = encode_table(write(numbers), target, encoder, **words)
    assert (second.state, second.reused, second.encoded) == ("published", 5, 8)
    names, features = read(target)
    assert names == [f"k{number}" for number in numbers]
    wanted = encoder.encode([CELLS[number] for number in numbers])
    assert np.abs(features - wanted).max() <= 2e-5 * wanted.max()
    assert verify_table(write(numbers), target, encoder).proved
    assert encode_table(write(numbers), target, encoder, **words).state == "unchanged"
    third = encode_table(write([*numbers, 10]), target, encoder, **words)
    assert (third.reused, third.encoded) == (8, 9)


def test_missing_and_broken_rows_are_looked_at_again(encoder, write):
    cells = [*CELLS[:3], "", "broken"]
    for key in (None, "id"):
        target = write(range(5)).with_name(f"{key}.parquet")
        words = {"update": True, "key": key}
        encode_table(write(range(5), cells=cells), target, encoder, **words)
        found = encode_table(write(range(5)), target, encoder, **words)
        assert (found.reused, found.encoded) == (3, 5)


def test_a_crop_that_is_gone_has_no_features_whatever_its_key_had(encoder, write):
    target = write(range(3)).with_name("out.csv")
    encode_table(write(range(3)), target, encoder)
    table = write(range(3), cells=[CELLS[0], "", CELLS[2]])
    found = encode_table(table, target, encoder, update=True, key="id")
    assert (found.reused, found.missing) == (2, 1)
    assert np.isnan(read(target)[1][1]).all()


def test_with_a_key_an_output_of_any_job_with_these_weights_can_be_updated(encoder, write):
    target = write(range(3)).with_name("out.parquet")
    encode_table(write(range(3)), target, encoder)
    found = encode_table(write(range(5)), target, encoder, update=True, key="id")
    assert (found.reused, found.encoded) == (3, 5)


def test_a_parquet_output_says_itself_what_made_it_and_a_csv_does_not(encoder, write):
    for name in ("out.parquet", "out.csv"):
        target = write(range(3)).with_name(name)
        encode_table(write(range(3)), target, encoder)
        (target.with_name(f"{name}.job") / "manifest.json").unlink()
    found = encode_table(write(range(5)), target.with_name("out.parquet"), encoder, update=True, key="id")
    assert found.reused == 3
    with pytest.raises(JobError) as caught:
        encode_table(write(range(5)), target, encoder, update=True, key="id")
    assert caught.value.reason == "provenance"
    assert str(caught.value) == f"nothing says what made the features of {target}; --overwrite starts over"


def test_a_parquet_output_whose_note_cannot_be_read_says_nothing(encoder, write):
    target = write(range(3)).with_name("out.parquet")
    encode_table(write(range(3)), target, encoder)
    (target.with_name("out.parquet.job") / "manifest.json").unlink()
    for note in (b"{", b"[]", b"[" * 100_000, None):
        table = pq.read_table(target)
        table = table.replace_schema_metadata(note and {b"osnet_encoder": note})
        pq.write_table(table, target)
        with pytest.raises(JobError, match="nothing says what made the features"):
            encode_table(write(range(5)), target, encoder, update=True, key="id")


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"weights": "untrained:osnet_x0_5"}, "variant: osnet_x0_25 -> osnet_x0_5"),
        ({"color_order": "bgr"}, "color_order: rgb -> bgr"),
        ({"normalize": True}, "normalize: False -> True"),
        ({"patch_size": (64, 32)}, "'height': 32.*'height': 64"),
    ],
)
def test_features_of_other_weights_or_another_preprocessing_are_refused(encoder, write, options, difference):
    for name in ("out.parquet", "out.csv"):
        target = write(range(3)).with_name(name)
        encode_table(write(range(3)), target, encoder, update=True)
        before = target.read_bytes()
        message = f"was made by other weights or another preprocessing: .*{difference}"
        with pytest.raises(JobError, match=message) as caught:
            encode_table(write(range(5)), target, make_encoder(**options), update=True)
        assert caught.value.reason == "provenance"
        assert target.read_bytes() == before


def test_without_a_key_there_must_be_a_note_of_the_crops(encoder, write):
    target = write(range(3)).with_name("out.parquet")
    encode_table(write(range(3)), target, encoder)
    with pytest.raises(JobError) as caught:
        encode_table(write(range(5)), target, encoder, update=True)
    assert caught.value.reason == "provenance"
    assert str(caught.value) == (
        f"nothing says which crops {target} was made from; name a --key column, or replace it once with --update "
        "--overwrite, which takes note of them"
    )
    assert encode_table(write(range(5)), target, encoder, update=True, overwrite=True).reused == 0
    assert encode_table(write(range(6)), target, encoder, update=True).reused == 5


def test_a_key_that_is_not_utf8_is_refused(encoder, write, tmp_path):
    source, target = tmp_path / "in.parquet", write(range(3)).with_name("out.parquet")
    table = pa.table({"id": pa.array([b"\xff", b"k1"]).view(pa.string()), "crop": CELLS[:2]})
    pq.write_table(table, source)
    encode_table(source, target, encoder)
    message = f"the key column 'id' of {target} holds text that is not UTF-8: 'utf-8' codec can't decode byte 0xff"
    with pytest.raises(TableError, match=message):
        encode_table(source, target, encoder, update=True, key="id", limit=1)


@pytest.mark.parametrize(("key", "what"), [(None, "crops"), ("id", "keys")])
def test_rows_that_the_input_no_longer_has_are_not_lost_without_a_word(encoder, write, key, what):
    target = write(range(4)).with_name("out.csv")
    encode_table(write(range(4)), target, encoder, update=True, key=key)
    before = target.read_bytes()
    with pytest.raises(JobError) as caught:
        encode_table(write([2, 3, 4]), target, encoder, update=True, key=key)
    assert caught.value.reason == "lost"
    assert str(caught.value) == (
        f"2 of 4 {what} in the output are not in the input, and would be gone from it; --overwrite lets them go"
    )
    assert target.read_bytes() == before
    found = encode_table(write([2, 3, 4]), target, encoder, update=True, key=key, overwrite=True)
    assert (found.resumed, found.rows) == (3, 3)  # the parts were kept
    assert read(target)[0] == ["k2", "k3", "k4"]


def test_an_update_that_was_stopped_goes_on(encoder, write):
    class Stop(BaseException):
        pass

    def stop(tally, _):
        if tally.rows >= 8:
            raise Stop

    words = {"update": True, "part_rows": 4}
    target = write(range(3)).with_name("out.csv")
    encode_table(write(range(3)), target, encoder, **words)
    before = target.read_bytes()
    with pytest.raises(Stop):
        encode_table(write(range(12)), target, encoder, progress=stop, **words)
    assert target.read_bytes() == before
    assert not (target.with_name("out.csv.job") / "known.f32").exists()
    found = encode_table(write(range(12)), target, encoder, **words)
    assert (found.resumed, found.reused, found.rows) == (8, 3, 12)
    assert read(target)[0] == [f"k{number}" for number in range(12)]


def test_rows_left_out_have_no_note(encoder, write):
    cells = [CELLS[0], "broken", CELLS[2], CELLS[3]]
    target = write(range(4)).with_name("out.csv")
    words = {"update": True, "on_error": "drop"}
    encode_table(write(range(4), cells=cells), target, encoder, **words)
    found = encode_table(write(range(5)), target, encoder, **words)
    assert (found.reused, found.encoded) == (3, 5)


def test_a_key_must_tell_rows_apart(encoder, write):
    target = write(range(3)).with_name("out.csv")
    encode_table(write([0, 1, 1]), target, encoder)
    with pytest.raises(TableError, match="the key column 'id' of .*out.csv has 'k1' twice, wanted one key a row$"):
        encode_table(write([0, 1]), target, encoder, update=True, key="id")
    encode_table(write([0, 1]), target, encoder, overwrite=True)
    with pytest.raises(TableError, match="the key column 'id' of the input has 'k1' twice, wanted one key a row$"):
        encode_table(write([0, 1, 1]), target, encoder, update=True, key="id")
    table = write([0, 1, 2])
    table.write_text(table.read_text().replace("k2", ""))
    with pytest.raises(TableError, match="the key column 'id' of the input has an empty cell, wanted one key a"):
        encode_table(table, target, encoder, update=True, key="id")
    with pytest.raises(TableError, match="no column 'name' in .*out.csv; it has id, feature_vector"):
        encode_table(table, target, encoder, update=True, key="name")


def test_what_stands_beside_the_output_must_fit_it(encoder, write):
    target = write(range(3)).with_name("out.csv")
    encode_table(write(range(3)), target, encoder, update=True)
    (digests,) = target.with_name("out.csv.job").glob("digests-*")
    digests.write_bytes(digests.read_bytes()[:-16])
    with pytest.raises(JobError, match="digests-.*bin does not tell the crops of .*out.csv; give a key, or start"):
        encode_table(write(range(4)), target, encoder, update=True)


def test_feature_cells_that_cannot_be_read_are_named(encoder, write):
    target = write(range(3)).with_name("out.csv")
    encode_table(write(range(3)), target, encoder)
    folder = target.with_name("out.csv.job")
    for text, reason, message in [
        ("broken", "damaged", "out.csv, from row 0 on: row 0: not a feature string"),
        ("[1, 2]", "provenance", "out.csv has feature vectors of 2 numbers, wanted 512"),
    ]:
        pd.DataFrame({"id": ["k0"], "feature_vector": [text]}).to_csv(target, index=False)
        manifest = read_manifest(folder)
        published = replace(manifest.published, output=look_at(target))
        write_manifest(folder, replace(manifest, published=published))
        with pytest.raises(JobError, match=message) as caught:
            encode_table(write(range(3)), target, encoder, update=True, key="id", limit=2)
        assert caught.value.reason == reason


def test_feature_strings_that_are_not_utf8_are_named(encoder, write, tmp_path):
    target = tmp_path / "out.parquet"
    encode_table(write(range(1)), target, encoder, feature_format="zlib-hex")
    made = pq.read_table(target)
    spoiled = pa.array([b"\xff"]).view(pa.string())
    pq.write_table(made.set_column(1, "feature_vector", spoiled), target)
    (tmp_path / "out.parquet.job" / "manifest.json").unlink()
    with pytest.raises(JobError, match="out.parquet, from row 0 on: row 0: not a feature string"):
        encode_table(write(range(3)), target, encoder, update=True, key="id")


def test_paths_do_not_tell_whether_a_crop_is_the_same(write):
    with pytest.raises(
        ValueError, match="^paths do not tell whether a crop is the same; update wants a key here$"
    ):
        encode_table(write([0]), "out.csv", make_encoder(cells="path"), column="crop", update=True)
