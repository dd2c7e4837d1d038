"""Damage of every kind to what a job reads: only our own errors come out, and nothing wrong is published."""

import copy
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osnet_encoder import JobError, OsNetEncoder, OsNetError, encode_table, stack_features
from osnet_encoder.crops import encode_crop
from osnet_encoder.job.manifest import read_manifest
from osnet_encoder.job.parts import load
from pictures import draw_crop

CELLS = [encode_crop(draw_crop(number, 8, 4)) for number in range(6)]
ENCODER = OsNetEncoder(
    "untrained:osnet_x0_25", device="cpu", engine="onnx", on_error="null", batch_size=2, patch_size=(32, 16)
)
FEATURES = ENCODER.encode(CELLS)
# More of them than in every run: OSNET_FUZZ=5000.
EXAMPLES = int(os.environ.get("OSNET_FUZZ", "60"))
# pyarrow cannot hand on a ragged row that is no UTF-8, and complains on the side; its error is ours all the same.
QUIET = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
FEW = settings(max_examples=EXAMPLES, deadline=None)


class Stop(BaseException):
    """What ends a run in the middle."""


def make(suffix):
    """A table as bytes, and the manifest and parts of a job that was stopped on it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"in{suffix}")
        frame = pd.DataFrame({"id": range(6), "crop": CELLS})
        if suffix == ".csv":
            frame.to_csv(source, index=False)
        else:
            frame.to_parquet(source, write_page_checksum=True)

        def stop(tally, _):
            if tally.rows == 4:
                raise Stop

        try:
            encode_table(source, Path(folder, "out.csv"), ENCODER, part_rows=2, progress=stop)
        except Stop:
            files = {path.name: path.read_bytes() for path in Path(folder, "out.csv.job").iterdir()}
        return source.read_bytes(), files


TABLES = {suffix: make(suffix) for suffix in (".csv", ".parquet")}
MANIFEST = TABLES[".csv"][1]["manifest.json"]
PART = TABLES[".csv"][1]["part-00000.arrows"]


@st.composite
def damaged(draw, data):
    """The bytes cut, or with some of them changed, doubled or left out."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(("flip", "cut", "insert", "drop")))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = draw(st.binary(max_size=20))
        else:
            del data[at : at + draw(st.integers(1, 200))]
    return bytes(data)


def run(suffix, table, files, **options):
    """Encode; the features and rows published, or None where one of our own errors came out."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, f"in{suffix}"), Path(folder, "out.csv")
        source.write_bytes(table)
        target.with_name("out.csv.job").mkdir()
        for name, data in files.items():
            Path(folder, "out.csv.job", name).write_bytes(data)
        try:
            encode_table(source, target, ENCODER, part_rows=2, column="crop", max_error_rate=1, **options)
        except OsNetError:
            assert not target.exists()
            return None
        frame = pd.read_csv(target)
        return frame, stack_features(frame["feature_vector"])


@st.composite
def changed(draw, value):
    """JSON with one of its values exchanged for another."""
    value = copy.deepcopy(value)
    at = value
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = draw(st.sampled_from(keys))
        if isinstance(at[key], (dict, list)) and at[key] and draw(st.booleans()):
            at = at[key]
            continue
        if draw(st.booleans()):
            del at[key]
        else:
            at[key] = draw(
                st.none() | st.integers() | st.text(max_size=9) | st.just([]) | st.just({}) | st.floats()
            )
        return value


@FEW
@given(st.data())
def test_a_damaged_manifest_is_one_of_our_errors_or_still_true(data):
    told = json.loads(MANIFEST)
    text = data.draw(damaged(MANIFEST) | changed(told).map(lambda value: json.dumps(value).encode()))
    table, files = TABLES[".csv"]
    found = run(".csv", table, {**files, "manifest.json": text})
    assert (found is None) is (json_of(text) != told)
    if found is not None:
        assert found[0]["id"].tolist() == list(range(6))
        assert np.abs(found[1] - FEATURES).max() <= 2e-5 * FEATURES.max()


def json_of(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


@FEW
@given(st.binary(max_size=60) | damaged(MANIFEST))
def test_a_manifest_of_any_bytes_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "manifest.json").write_bytes(data)
        try:
            read_manifest(Path(folder))
        except JobError as error:
            assert error.reason == "damaged"


@FEW
@given(damaged(PART))
def test_a_damaged_part_is_never_taken_for_one(data):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "manifest.json").write_bytes(MANIFEST)
        (part, *_) = read_manifest(Path(folder)).work.parts
        Path(folder, part.name).write_bytes(data)
        assert (load(Path(folder), part) is None) is (data != PART)


@QUIET
@FEW
@given(st.data(), st.sampled_from(sorted(TABLES)))
def test_a_damaged_table_is_one_of_our_errors_or_a_table_row_for_row(data, suffix):
    table, _ = TABLES[suffix]
    found = run(suffix, data.draw(damaged(table)), {})
    if found is not None and suffix == ".parquet":
        # what no checksum watches over is the file's own description of itself
        assert len(found[0]) <= 6


@QUIET
@FEW
@given(st.data())
def test_a_job_never_goes_on_with_parts_of_another_input(data):
    table, files = TABLES[".csv"]
    spoiled = data.draw(damaged(table))
    if spoiled != table:
        found = run(".csv", spoiled, files)
        assert found is None
