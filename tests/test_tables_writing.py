"""A table appears under its name when it is whole, or not at all."""

import os

import pyarrow as pa
import pytest

from osnet_encoder.errors import TableError
from osnet_encoder.tables import open_table, open_writer, output_kind
from osnet_encoder.tables.faults import write_errors

BATCH = pa.record_batch({"a": ["x", "y"]})
SUFFIXES = ["csv", "csv.gz", "csv.zst", "parquet", "pq", "CSV", "Parquet"]


def refusal(act, *arguments):
    with pytest.raises(TableError) as caught:
        act(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_there_when_the_block_has_ended(tmp_path, suffix):
    path = tmp_path / f"people.{suffix}"
    with open_writer(path, BATCH.schema) as writer:
        writer.write(BATCH)
        assert not path.exists()
        (partial,) = tmp_path.iterdir()
        assert partial.name.startswith(".osnet-encoder-")
    assert list(tmp_path.iterdir()) == [path]
    assert next(open_table(path).batches(9)).to_pylist() == BATCH.to_pylist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_after_an_error_nothing_has_changed(tmp_path, suffix, error):
    path = tmp_path / f"people.{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(error), open_writer(path, BATCH.schema) as writer:
        writer.write(BATCH)
        raise error
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_replaced(tmp_path, suffix):
    path = tmp_path / f"people.{suffix}"
    path.write_bytes(b"before")
    with open_writer(path, BATCH.schema) as writer:
        writer.write(BATCH)
    assert open_table(path).survey().rows == 2


def test_the_table_that_is_read_may_be_the_one_that_is_written(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("a\n" + "1\n" * 1000)
    table = open_table(path)
    with open_writer(path, table.schema) as writer:
        for batch in table.batches(100):
            writer.write(batch)
    assert path.read_text() == '"a"\n' + '"1"\n' * 1000


def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "inner").mkdir()
    target, link = tmp_path / "inner" / "people.csv", tmp_path / "link.csv"
    target.write_text("before")
    link.symlink_to(target)
    with open_writer(link, BATCH.schema) as writer:
        writer.write(BATCH)
    assert link.is_symlink()
    assert target.read_text() == '"a"\n"x"\n"y"\n'


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "other").touch()
    with open_writer(tmp_path / "people.csv", BATCH.schema):
        pass
    assert (tmp_path / "people.csv").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_rows_of_other_columns_are_refused(tmp_path, suffix):
    with (
        pytest.raises(ValueError, match="the batch has the columns b: string, wanted a: string"),
        open_writer(tmp_path / f"people.{suffix}", BATCH.schema) as writer,
    ):
        writer.write(BATCH.rename_columns(["b"]))


def test_the_kind_is_in_the_suffix():
    kinds = {suffix: output_kind(f"a.b/people.{suffix}") for suffix in SUFFIXES}
    assert set(kinds.values()) == {"csv", "parquet"}
    assert [suffix for suffix, kind in kinds.items() if kind == "parquet"] == ["parquet", "pq", "Parquet"]


@pytest.mark.parametrize("name", ["people.xlsx", "people", "people.gz", "csv", "people.csv.bz2"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    known = "wanted one of .csv, .csv.gz, .csv.zst, .parquet, .pq"
    known = f"{known}, or a slash at the end for a folder of part files"
    assert refusal(output_kind, name) == f"{name} has no known suffix; {known}"
    assert refusal(open_writer, tmp_path / name, BATCH.schema) == f"{tmp_path / name} has no known suffix; {known}"


def test_a_missing_folder_is_refused_at_once(tmp_path):
    path = tmp_path / "gone" / "people.csv"
    assert refusal(open_writer, path, BATCH.schema) == f"cannot write {path}: there is no folder {path.parent}"


def test_a_folder_is_refused_at_once(tmp_path):
    path = tmp_path / "people.parquet"
    wanted = "is a folder, wanted the name of a file to write"
    assert refusal(open_writer, f"{path}/", BATCH.schema) == f"{path}/ {wanted}"
    path.mkdir()
    assert refusal(open_writer, path, BATCH.schema) == f"{path} {wanted}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused_at_once(tmp_path):
    tmp_path.chmod(0o500)
    path = tmp_path / "people.csv"
    assert refusal(open_writer, path, BATCH.schema) == (
        f"cannot write {path}: the folder {tmp_path} may not be written to"
    )


def test_a_name_the_system_will_not_have_is_refused_at_once(tmp_path):
    path = tmp_path / f"{'x' * 300}.csv"
    assert refusal(open_writer, path, BATCH.schema) == f"cannot write {path}: File name too long"


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_a_file_that_cannot_be_made_is_a_table_error(tmp_path, suffix):
    folder = tmp_path / "folder"
    folder.mkdir()
    writing = open_writer(folder / f"people.{suffix}", BATCH.schema)
    folder.rmdir()
    with pytest.raises(TableError) as caught, writing:
        pass
    assert str(caught.value) == f"cannot write {folder}/people.{suffix}: No such file or directory"


def test_a_full_disk_is_a_table_error():
    with pytest.raises(TableError) as caught, write_errors("people.csv"):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == "cannot write people.csv: No space left on device"
