"""`verify_table`: what is as it should be passes, and what is not is named with its row."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from osnet_encoder import JobError, OsNetEncoder, TableError, encode_feature_string, encode_table, verify_table
from osnet_encoder.crops import encode_crop
from pictures import draw_crop

ROWS = 9
NAMES = ("out.csv", "out.csv.gz", "out.parquet")


@pytest.fixture(scope="module")
def encoder():
    return OsNetEncoder(
        "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", batch_size=4, patch_size=(32, 16)
    )


@pytest.fixture
def table(tmp_path):
    cells = [encode_crop(draw_crop(number)) for number in range(ROWS)]
    cells[2], cells[6] = "", "broken"
    frame = pd.DataFrame({"id": range(ROWS), "score": [0.5] * 8 + [None], "crop": cells})
    frame.to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def fault(table, target, encoder, **options):
    with pytest.raises(JobError) as caught:
        verify_table(table, target, encoder, **options)
    assert caught.value.reason == "unverified"
    return str(caught.value).removeprefix(f"{target} is not what it should be: ")


def without_manifest(target):
    shutil.rmtree(target.with_name(f"{target.name}.job"))
    return target


def edit(target, change):
    """Read a Parquet file, change its columns, and write it with the metadata that it had."""
    found = pq.read_table(target)
    columns = found.to_pydict()
    change(columns)
    pq.write_table(pa.Table.from_pydict(columns, schema=found.schema), target)


def swap(column, one, other):
    column[one], column[other] = column[other], column[one]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "options", [{}, {"keep_crops": True}, {"on_error": "drop"}, {"error_column": None}, {"limit": 5}, {"limit": 0}]
)
def test_an_output_that_is_right_passes_with_its_manifest_and_without(encoder, table, name, options):
    target = table.with_name(name)
    made = encode_table(table, target, encoder, column="crop", **options)
    found = verify_table(table, target, encoder)
    assert (found.state, found.proved) == ("verified", True)
    assert (found.rows, found.features) == (made.rows - made.dropped, made.encoded)
    assert found.sampled == found.rows
    assert found.difference <= 2e-5
    if options.get("on_error") == "drop":
        without_manifest(target)
        with pytest.raises(JobError, match="has no manifest, which alone tells the rows that were left out$"):
            verify_table(table, target, encoder, column="crop", **options)
    else:
        found = verify_table(table, without_manifest(target), encoder, column="crop", **options)
        assert (found.rows, found.proved) == (made.rows, False)


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_is_caught_wherever_it_is(encoder, table, name):
    target = table.with_name(name)
    encode_table(table, target, encoder)
    whole = target.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 40).astype(int):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        target.write_bytes(data)
        with pytest.raises((JobError, TableError)):
            verify_table(table, target, encoder)
    target.write_bytes(whole)
    verify_table(table, target, encoder)


def test_a_flipped_bit_of_a_feature_vector_is_caught_without_a_manifest(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder)
    data = bytearray(target.read_bytes())
    # a byte in the middle of the largest column chunk: the feature vectors
    column = pq.ParquetFile(target).metadata.row_group(0).column(2)
    data[(column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size // 2] ^= 4
    without_manifest(target).write_bytes(data)
    with pytest.raises(TableError, match=r"^cannot read .*out.parquet: .*(CRC|checksum)"):
        verify_table(table, target, encoder)


def test_a_flipped_bit_of_a_feature_string_is_caught_without_a_manifest(encoder, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder)
    text = without_manifest(target).read_text()
    at = text.index("789c") + 200
    target.write_text(text[:at] + ("0" if text[at] == "1" else "1") + text[at + 1 :])
    assert fault(table, target, encoder).startswith("from row 0 on: row 0: not a feature string")


@pytest.mark.parametrize("nested", [False, True])
def test_text_that_is_not_utf8_is_compared_like_any_other(encoder, table, nested):
    source, target = table.with_name("in.parquet"), table.with_name("out.parquet")
    crops = pd.read_csv(table, keep_default_na=False)["crop"].tolist()[:2]

    def columns(texts):
        note = pa.array(texts).view(pa.string())
        return pa.ListArray.from_arrays([0, 1, 2], note) if nested else note

    pq.write_table(pa.table({"note": columns([b"a", b"\xff"]), "crop": crops}), source)
    encode_table(source, target, encoder)
    assert verify_table(source, target, encoder).rows == 2
    made = pq.read_table(without_manifest(target))
    pq.write_table(made.set_column(0, "note", columns([b"a", b"\xfe"])), target)
    assert fault(source, target, encoder) == "row 1: column 'note' is not as in the input"
    csv = table.with_name("out.csv")
    pd.DataFrame({"note": ["a", "b"], "feature_vector": "", "feature_vector_error": ""}).to_csv(csv, index=False)
    assert "column 'note' is not as in the input" in fault(source, csv, encoder)


@pytest.mark.parametrize("name", NAMES)
def test_a_swapped_row_is_caught_with_the_manifest(encoder, table, name):
    target = table.with_name(name)
    encode_table(table, target, encoder)
    frame = pd.read_parquet(target) if name == "out.parquet" else pd.read_csv(target)
    frame = frame.iloc[[0, 3, 2, 1, *range(4, ROWS)]]
    frame.to_parquet(target) if name == "out.parquet" else frame.to_csv(target, index=False)
    with pytest.raises(JobError, match="is not what was made: found .* bytes of sha256 .*, wanted"):
        verify_table(table, target, encoder)


def test_rows_that_changed_places_are_caught_without_a_manifest(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder)

    def change(columns):
        for column in columns.values():
            swap(column, 1, 3)

    edit(without_manifest(target), change)
    assert fault(table, target, encoder) == "row 1: column 'id' is not as in the input"


def test_feature_vectors_that_changed_places_are_caught_without_a_manifest(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder)
    edit(without_manifest(target), lambda columns: swap(columns["feature_vector"], 1, 3))
    assert "row 1: its crop encoded again is " in fault(table, target, encoder)
    # only the first and the last are encoded again, and only missing ones tell then
    assert verify_table(table, target, encoder, sample=2).sampled == 2
    edit(target, lambda columns: swap(columns["feature_vector"], 1, 2))
    found = fault(table, target, encoder, sample=2)
    assert found == "row 1: there is a crop, wanted either a feature vector or an error"


def test_every_way_of_being_wrong_is_named(encoder, table):
    target = table.with_name("out.parquet")
    encode_table(table, target, encoder)
    whole = without_manifest(target).read_bytes()
    vector = [1.0] * 512

    def put(name, row, value):
        def change(columns):
            columns[name][row] = value

        return change

    def drop_last(columns):
        for column in columns.values():
            column.pop()

    def repeat_last(columns):
        for column in columns.values():
            column.append(column[-1])

    for change, message in [
        (put("score", 8, 1.0), "row 8: column 'score' is not as in the input"),
        (put("feature_vector", 2, vector), "row 2: there is no crop, but a feature vector or an error"),
        (put("feature_vector_error", 2, "x"), "row 2: there is no crop, but a feature vector or an error"),
        (put("feature_vector", 6, vector), "row 6: there is a crop, wanted either a feature vector or an error"),
        (put("feature_vector", 4, None), "row 4: there is a crop, wanted either a feature vector or an error"),
        (drop_last, "it has fewer rows than the input"),
        (repeat_last, "it has more rows than the input"),
    ]:
        target.write_bytes(whole)
        edit(target, change)
        assert fault(table, target, encoder) == message
    target.write_bytes(whole)
    assert fault(table, target, encoder, error_column=None) == (
        "its columns are id, score, feature_vector, feature_vector_error, wanted id, score, feature_vector"
    )


def test_a_crop_that_gives_other_features_than_it_says_is_caught_both_ways(encoder, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder, error_column=None)
    frame = pd.read_csv(without_manifest(target))
    one = encode_feature_string(np.ones(512, np.float32))
    for row, cell, message in [(6, one, "no feature vector"), (4, None, "a feature vector")]:
        changed = frame["feature_vector"].where(frame.index != row, cell)
        frame.assign(feature_vector=changed).to_csv(target, index=False)
        found = fault(table, target, encoder, error_column=None)
        assert found == f"row {row}: encoded again, its crop has {message}"
    short = frame.assign(feature_vector=encode_feature_string(np.ones(3, np.float32)))
    short.to_csv(target, index=False)
    assert fault(table, target, encoder, error_column=None) == (
        "from row 0 on: feature vectors of 3 numbers, wanted 512"
    )


def test_another_input_and_other_weights_are_named(encoder, table):
    target = table.with_name("out.csv")
    encode_table(table, target, encoder)
    other = OsNetEncoder("untrained:osnet_x0_5", device="cpu", engine="onnx", on_error="null", patch_size=(32, 16))
    with pytest.raises(
        JobError, match="was made by other weights or another preprocessing: .*variant: osnet_x0_25 -> osnet"
    ):
        verify_table(table, target, other)
    table.write_text(table.read_text().replace("0.5", "0.6", 1))
    with pytest.raises(JobError, match="out.csv was made of another input than this one$"):
        verify_table(table, target, encoder)
    target.unlink()
    with pytest.raises(JobError, match="out.csv is not what was made: found nothing, wanted"):
        verify_table(table, target, encoder)


def test_wrong_arguments_are_plain_value_errors(encoder, table):
    with pytest.raises(ValueError, match="^sample must be at least 1, found 0$"):
        verify_table(table, table.with_name("out.csv"), encoder, sample=0)
    strict = OsNetEncoder("untrained:osnet_x0_25", device="cpu", engine="onnx", patch_size=(32, 16))
    with pytest.raises(ValueError, match="^verify wants an encoder with on_error='null', found 'raise'$"):
        verify_table(table, table.with_name("out.csv"), strict)


def test_types_of_all_kinds_are_compared(encoder, tmp_path):
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(list("abab")),
            "when": pd.to_datetime(["2026-01-01"] * 4),
            "tags": [[1], [], None, [2, 3]],
            "score": [1.0, float("nan"), None, 2.5],
            "crop": [encode_crop(draw_crop(number)) for number in range(4)],
        }
    )
    frame.to_parquet(tmp_path / "in.parquet")
    for name in NAMES:
        encode_table(tmp_path / "in.parquet", tmp_path / name, encoder)
        assert verify_table(tmp_path / "in.parquet", tmp_path / name, encoder).rows == 4


def test_the_command_verifies(table):
    import subprocess
    import sys

    words = [table, table.with_name("out.csv"), "--weights", "untrained:osnet_x0_25", "--patch-size", "32x16"]

    def run(*more):
        command = [sys.executable, "-m", "osnet_encoder.cli.encode", *map(str, [*words, *more])]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run().returncode == 0
    done = run("--verify")
    assert done.returncode == 0, done.stderr
    assert "rows       9: 7 feature vectors; all other columns as in the input" in done.stdout
    assert "sha256     as it was when it was made" in done.stdout
    assert json.loads(run("--verify", "--json").stdout)["state"] == "verified"
    words[1].write_text(words[1].read_text().replace("789c", "789d", 1))
    done = run("--verify")
    assert done.returncode == 1
    assert "error: " in done.stderr and "is not what was made" in done.stderr
