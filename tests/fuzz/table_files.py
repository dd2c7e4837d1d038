"""CSV and Parquet files: anything but a TableError, and other rows when they are read again, is a finding."""

import gzip
import io
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from osnet_encoder.errors import TableError
from osnet_encoder.tables import open_table

SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".parquet")
FOLDER = tempfile.TemporaryDirectory()


def seeds():
    """Tables of every kind; a first byte says which, and another whether it is compressed by `check`."""
    texts = [
        b'"id","crop"\n1,"a"\n2,""\n',
        b'id,crop\r\n"a ""b"" \r\n c","d"\r\n\r\n,\r\n',
        b"\xef\xbb\xbfa,b\r0001,1.5e3\rtrue,\xc3\xa9\r",
        b"a\n9223372036854775808\n-1\n",
    ]
    for text in texts:
        yield b"\0\0" + text
        yield b"\1\1" + text
        yield b"\2\1" + text
    yield b"\1\0" + gzip.compress(texts[0])
    yield b"\2\0" + pa.compress(texts[0], "zstd", asbytes=True)
    columns = {
        "id": pa.array([1, None, 3]),
        "crop": pa.array(["a", "", None]).dictionary_encode(),
        "box": pa.array([[1.5], [], None]),
    }
    for codec in ("none", "zstd"):
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, compression=codec, write_page_checksum=codec == "zstd")
        yield b"\3\0" + buffer.getvalue()


def check(data):
    """Read one table twice, as text and with types."""
    kind, compressed, rest = data[:1], data[1:2], data[2:]
    suffix = SUFFIXES[(kind or b"\0")[0] % len(SUFFIXES)]
    if compressed == b"\1" and suffix in (".csv.gz", ".csv.zst"):
        rest = gzip.compress(rest, 1) if suffix == ".csv.gz" else pa.compress(rest, "zstd", asbytes=True)
    path = Path(FOLDER.name, f"table{suffix}")
    path.write_bytes(rest)
    rows = []
    for typed in (False, True):
        try:
            table = open_table(path)
            survey = table.survey()
            # of very many rows in few bytes, some are enough
            batches = list(table.batches(7, limit=1000, typed=typed))
        except TableError:
            rows.append(None)
            continue
        rows.append(sum(batch.num_rows for batch in batches))
        wanted = survey.typed_schema if typed else table.schema
        assert all(batch.schema.equals(wanted) for batch in batches)
        assert rows[-1] == min(survey.rows, 1000)
    assert rows[0] == rows[1]
