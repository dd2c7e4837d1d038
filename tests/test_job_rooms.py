"""The rooms of `job`, each on its own: what no whole job, run in order, would come to."""

import hashlib
import json
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from osnet_encoder import CropError, EngineError, JobError, OsNetEncoder, TableError, encode_table, verify_table
from osnet_encoder.built_in import BUILT_IN
from osnet_encoder.crops import encode_crop
from osnet_encoder.job.encoding import encode_pieces
from osnet_encoder.job.fingerprint import read_input
from osnet_encoder.job.finish import publish
from osnet_encoder.job.golden import check_engine, golden_patch
from osnet_encoder.job.hold import hold
from osnet_encoder.job.layout import choose_format
from osnet_encoder.job.making import make_parts
from osnet_encoder.job.manifest import Manifest, Work
from osnet_encoder.job.options import Options
from osnet_encoder.job.parts import cut
from osnet_encoder.job.run import _settled
from osnet_encoder.job.state import open_job
from osnet_encoder.job.summary import JobSummary
from osnet_encoder.variants import VARIANTS
from pictures import draw_crop

CELLS = [encode_crop(draw_crop(number)) for number in range(5)]


def make_encoder(**options):
    words = {"device": "cpu", "engine": "onnx", "on_error": "null", "batch_size": 2, "patch_size": (32, 16)}
    return OsNetEncoder("untrained:osnet_x0_25", **{**words, **options})


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture
def table(tmp_path):
    pd.DataFrame({"crop": CELLS}).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


@pytest.fixture
def made(table, encoder):
    """A job whose parts are made and whose output is not: (job, input, survey)."""
    job = open_job(table, table.with_name("out.csv"), encoder, Options(part_rows=2))
    job.folder.mkdir()
    found, survey = read_input(job.table.files), job.table.survey()
    job.manifest = _settled(job, Manifest(), found)
    make_parts(job, found, survey, None)
    return job, found, survey


def test_every_byte_of_every_file_of_an_input_counts_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("osnet_encoder.job.fingerprint._BLOCK", 8)
    monkeypatch.setattr("osnet_encoder.job.fingerprint._PIECE", 3)
    texts = [bytes(range(20)), b"", b"12345678"]
    files = [tmp_path / f"{number}.csv" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_bytes(text)
    contents = read_input(files).contents
    for text, told in zip(texts, contents, strict=True):
        blocks = (hashlib.sha256(text[start : start + 8]).digest() for start in range(0, len(text), 8))
        assert told == {"bytes": len(text), "sha256_of_blocks": hashlib.sha256(b"".join(blocks)).hexdigest()}
    for at in range(20):
        files[0].write_bytes(texts[0][:at] + b"\xff" + texts[0][at + 1 :])
        assert read_input(files).contents[0] != contents[0]


def test_parts_are_cut_at_the_same_rows_whatever_the_batches():
    rows = pa.RecordBatch.from_arrays([pa.array(range(23))], ["row"])
    for part_rows in (1, 2, 5, 8, 23, 100):
        for size in (1, 3, 8, 50):
            pieces = list(cut((rows.slice(start, size) for start in range(0, 23, size)), part_rows))
            told = [(piece.part, piece.first_row + at) for piece in pieces for at in range(piece.rows.num_rows)]
            assert told == [(row // part_rows, row) for row in range(23)]
            values = [row for piece in pieces for row in piece.rows.column(0).to_pylist()]
            assert values == list(range(23))


def test_cells_that_look_alike_at_their_ends_are_told_apart(encoder):
    # of equal length, and with the last 32 bytes in common
    cells = [cell.replace("789c", mark, 1) for cell in CELLS[:1] for mark in ("789c", "78zz", "789c", "78yy")]
    rows = pa.RecordBatch.from_arrays([pa.array(cells)], ["crop"])
    ((_, outcome, _, _),) = encode_pieces(cut([rows], 100), encoder, "crop")
    assert outcome.absent.tolist() == [False, True, False, True]
    assert outcome.excerpt.to_pylist()[1].startswith("{'width'")


def test_cells_that_are_no_text_are_broken_each_with_its_own_excerpt(encoder):
    rows = pa.RecordBatch.from_arrays([pa.array([1.5, None, 1.5, 2.5, float("nan")])], ["crop"])
    ((_, outcome, encoded, _),) = encode_pieces(cut([rows], 100), encoder, "crop")
    assert len(encoded.missing) == 3
    assert outcome.reason.to_pylist() == ["not_text", None, "not_text", "not_text", None]
    assert outcome.excerpt.to_pylist() == ["1.5", None, "1.5", "2.5", None]
    rows = pa.RecordBatch.from_arrays([pa.array([[1], [1]])], ["crop"])
    ((_, outcome, _, _),) = encode_pieces(cut([rows], 100), encoder, "crop")
    assert outcome.excerpt.to_pylist() == ["[1]", "[1]"]


def test_bytes_of_images_are_told_by_how_they_begin(encoder):
    images = make_encoder(cells="image")
    rows = pa.RecordBatch.from_arrays([pa.array([b"\xff\xd8\x00broken"])], ["crop"])
    ((_, outcome, _, _),) = encode_pieces(cut([rows], 100), images, "crop")
    assert outcome.reason.to_pylist() == ["bad_image"]
    assert outcome.excerpt.to_pylist() == ["\ufffd\ufffd\ufffdbroken"]


def test_an_output_of_fewer_or_more_rows_than_were_encoded_is_never_made(made):
    job, found, survey = made
    with pytest.raises(JobError, match="^5 rows were encoded of 6 in the input$"):
        publish(job, found, replace(survey, rows=6), None)
    parts = job.manifest.work.parts
    job.manifest = Manifest(Work(job.manifest.work.fingerprint, parts[:-1]))
    with pytest.raises(JobError, match="^the input has more rows than were encoded$"):
        publish(job, found, survey, None)
    job.manifest = Manifest(Work(job.manifest.work.fingerprint, [*parts, parts[-1]]))
    with pytest.raises(JobError, match="^the input has fewer rows than were encoded$"):
        publish(job, found, survey, None)
    job.manifest = Manifest(Work(job.manifest.work.fingerprint, [replace(parts[0], rows=1), *parts[1:]]))
    with pytest.raises(JobError, match="^the input has more rows than were encoded$"):
        publish(job, found, survey, None)
    assert not job.target.exists()


def test_a_part_that_is_spoiled_before_it_is_published_is_noticed(made):
    job, found, survey = made
    (job.folder / job.manifest.work.parts[1].name).write_bytes(b"")
    with pytest.raises(JobError) as caught:
        publish(job, found, survey, None)
    assert caught.value.reason == "damaged"
    assert str(caught.value).endswith("part-00001.arrows is gone or damaged; run again to make it anew")
    assert not job.target.exists()


def test_the_built_in_patch_is_the_same_everywhere_and_has_all_kinds_of_pixels():
    patch = golden_patch(256, 128)
    assert (patch.shape, patch.dtype) == ((1, 256, 128, 3), np.uint8)
    assert patch[0, :2, :2].tolist() == [[[255, 255, 255], [252, 255, 245]], [[248, 255, 250], [245, 254, 250]]]
    assert patch.min() == 0 and patch.max() == 255


class Engine:
    """An engine that answers as it is told."""

    def __init__(self, engine, answer):
        self._engine, self._answer = engine, answer

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def run(self, patches):
        return self._answer(self._engine.run(patches))


def test_an_engine_is_held_to_what_it_answered_before(encoder):
    golden = check_engine(encoder, {})
    assert check_engine(encoder, golden) == golden
    (network,) = golden
    strange = make_encoder()
    for answer, message in [
        (lambda features: features * np.nan, "the onnx engine answers the built-in patch with numbers not f"),
        (
            lambda features: features[:, :8],
            "the onnx engine on cpu answers the built-in patch inf off",
        ),
        (
            lambda features: features * 1.002,
            "patch 2.0e-03 off what it was, wanted 1e-03 at most",
        ),
    ]:
        strange.engine = Engine(encoder.engine, answer)
        with pytest.raises(EngineError, match=message):
            check_engine(strange, golden)
    strange.engine = Engine(encoder.engine, lambda features: features * 1.0005)
    check_engine(strange, golden)
    with pytest.raises(EngineError, match="^the golden vector of the manifest cannot be read: not a feature"):
        check_engine(encoder, {network: "78"})


@pytest.mark.parametrize("weights", [*map("builtin:{}".format, BUILT_IN), *map("untrained:{}".format, VARIANTS)])
def test_the_answers_of_weights_that_come_with_the_package_are_known(weights):
    encoder = OsNetEncoder(weights, device="cpu", engine="onnx")
    check_engine(encoder, {})
    right = encoder.engine
    encoder.engine = Engine(right, lambda features: features * 1.1)
    message = r"answers the built-in patch 1.0e-01 off what these weights give, wanted 1e-03 at most; a driver"
    with pytest.raises(EngineError, match=message):
        check_engine(encoder, {})
    encoder.engine = Engine(right, lambda features: features[:, ::-1])
    with pytest.raises(EngineError, match="off what these weights give"):
        check_engine(encoder, {})


def test_another_network_has_an_answer_of_its_own(encoder):
    golden = check_engine(make_encoder(patch_size=(64, 32)), check_engine(encoder, {}))
    assert len(golden) == 2


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / ".out.csv.lock").mkdir()
    wrong = pytest.raises(TableError, match=r"^cannot write into '.*': ")
    with wrong, hold(tmp_path / "out.csv", tmp_path / "out.csv.job"):
        pass


def test_a_format_that_there_is_not_is_a_plain_value_error():
    with pytest.raises(ValueError, match="^feature_format must be one of zlib-hex, json, list, found 'pickle'$"):
        choose_format("pickle", "out.csv")


def test_a_strict_job_without_a_broken_cell_is_published(table):
    strict = make_encoder(on_error="raise")
    assert encode_table(table, table.with_name("out.csv"), strict).state == "published"


def test_a_strict_encoder_s_error_has_the_row_of_the_table(tmp_path):
    pd.DataFrame({"crop": [*CELLS[:1] * 3, *CELLS, "broken"]}).to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(CropError, match="^row 8: not_a_dict"):
        encode_table(tmp_path / "in.csv", tmp_path / "out.csv", make_encoder(on_error="raise"))


def test_images_have_the_folder_they_start_from_in_the_fingerprint(tmp_path):
    from PIL import Image

    Image.fromarray(draw_crop(1)).save(tmp_path / "a.png")
    pd.DataFrame({"img": ["a.png"]}).to_csv(tmp_path / "in.csv", index=False)
    target = tmp_path / "out.csv"
    encode_table(tmp_path / "in.csv", target, make_encoder(cells="path", root=tmp_path), column="img")
    told = json.loads((tmp_path / "out.csv.job" / "manifest.json").read_text())["published"]["fingerprint"]
    assert told["encoding"]["root"] == os.path.realpath(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(JobError, match="was made otherwise; --overwrite replaces it: root: "):
        encode_table(tmp_path / "in.csv", target, make_encoder(cells="path", root=tmp_path / "b"), column="img")


def test_what_was_done_is_fit_for_json(encoder, table):
    made = encode_table(table, table.with_name("out.csv"), encoder)
    assert JobSummary(**json.loads(json.dumps(made.as_dict()))).rows == 5
    assert json.loads(json.dumps(verify_table(table, table.with_name("out.csv"), encoder).as_dict()))["rows"] == 5
