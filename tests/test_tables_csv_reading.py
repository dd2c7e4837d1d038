"""CSV files -> tables of text."""

import csv
import gzip
import io
import re

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osnet_encoder.errors import TableError
from osnet_encoder.tables import open_table
from osnet_encoder.tables.csv_reader import read_text

COLUMNS = st.integers(1, 4)
cell_texts = st.text('a1",\r\né \ufeff', max_size=5)


@pytest.fixture
def put(tmp_path):
    """Write bytes or text to a file and give its path."""

    def write(data, name="people.csv"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def rows_of(path, **options):
    """Every row of a table as a tuple, read seven at a time."""
    table = open_table(path)
    return [tuple(row.values()) for batch in table.batches(7, **options) for row in batch.to_pylist()]


def refusal(path, read=rows_of):
    """What the table's error says, the path to the file taken out."""
    with pytest.raises(TableError) as caught:
        read(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def quoted(cell, always):
    return '"{}"'.format(cell.replace('"', '""')) if always or set(cell) & set(',"\r\n') else cell


@given(COLUMNS.flatmap(lambda n: st.lists(st.lists(cell_texts, min_size=n, max_size=n), max_size=9)), st.data())
def test_a_table_reads_as_it_was_written(folder, table, data):
    names = [f"c{number}" for number in range(len(table[0]) if table else 2)]
    # in a table of one column an empty cell has to be quoted, or its line is blank
    always, mark = len(names) == 1 or data.draw(st.booleans()), data.draw(st.sampled_from(["", "\ufeff"]))
    line_end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text = line_end.join(",".join(quoted(cell, always) for cell in row) for row in [names, *table])
    path = folder / "written.csv"
    path.write_bytes((mark + text + data.draw(st.sampled_from(["", line_end]))).encode())
    batches = read_text(path, None, block_bytes=data.draw(st.integers(1, 50)))
    assert [list(row.values()) for batch in batches for row in batch.to_pylist()] == table


@given(st.text('a",\r\n', max_size=25), st.integers(1, 30))
def test_a_broken_table_is_read_as_the_standard_library_reads_it_or_refused(folder, text, block):
    path = folder / "soup.csv"
    path.write_bytes(b"a,b\n" + text.encode())
    try:
        found = [list(row.values()) for batch in read_text(path, None, None, block) for row in batch.to_pylist()]
    except TableError:
        return
    assert found == [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def test_every_column_is_text_and_every_character_stays(put):
    path = put('id,price,note\n0001,1.10,NA\n-007,,""\n 1 ,1e5,"x"\n')
    table = open_table(path)
    assert (table.kind, table.names) == ("csv", ["id", "price", "note"])
    assert table.schema == pa.schema([("id", pa.string()), ("price", pa.string()), ("note", pa.string())])
    assert rows_of(path) == [("0001", "1.10", "NA"), ("-007", "", ""), (" 1 ", "1e5", "x")]


def test_line_ends_a_byte_order_mark_and_quoted_line_breaks_are_read(put):
    path = put(b'\xef\xbb\xbf"name","note"\r\n"J\xc3\xbcrgen","two\r\nlines, ""quoted"""\r\nAnn,\r\n')
    assert open_table(path).names == ["name", "note"]
    assert rows_of(path) == [("Jürgen", 'two\r\nlines, "quoted"'), ("Ann", "")]


def test_a_byte_order_mark_within_the_file_belongs_to_its_cell_wherever_a_block_begins(put):
    path = put("a\n\ufeffx\n\ufeff\n\ufeff1\n")
    for block in range(1, 20):
        batches = read_text(path, None, block_bytes=block)
        cells = [cell for batch in batches for cell in batch.column(0).to_pylist()]
        assert cells == ["\ufeffx", "\ufeff", "\ufeff1"]
    assert open_table(put("\ufeff\ufeffa,b\n")).names == ["\ufeffa", "b"]


def test_the_last_line_needs_no_end(put):
    assert rows_of(put("a,b\n1,2")) == [("1", "2")]
    assert rows_of(put("a,b")) == []


def test_blank_lines_are_no_rows(put):
    assert rows_of(put("\n\r\na,b\n\n1,2\n\r\n\n3,4\n\n")) == [("1", "2"), ("3", "4")]


def test_in_a_table_of_one_column_a_blank_line_is_no_row_and_empty_quotes_are_one(put, tmp_path):
    assert rows_of(put('a\n1\n\n2\n""\n \n')) == [("1",), ("2",), ("",), (" ",)]
    path = tmp_path / "one.csv"
    pd.DataFrame({"a": ["x", None, "y"]}).to_csv(path, index=False)
    assert rows_of(path) == [("x",), ("",), ("y",)]


def test_a_table_with_a_header_only_has_no_rows(put):
    table = open_table(put("a,b\n"))
    survey = table.survey()
    assert (survey.rows, survey.numeric) == (0, frozenset())
    assert survey.typed_schema == table.schema
    assert list(table.batches(5)) == list(table.batches(5, typed=True)) == []


def test_an_index_column_without_a_name_is_kept(put, tmp_path):
    path = tmp_path / "indexed.csv"
    pd.DataFrame({"a": [5, 6]}).to_csv(path)
    assert open_table(path).names == ["", "a"]
    assert rows_of(path) == [("0", "5"), ("1", "6")]


def test_a_survey_counts_rows_and_learns_types(put):
    path = put('id,ok,share,name,gap\n1,True,0.5,0001,\n2,false,1,x,""\n')
    survey = open_table(path).survey()
    assert survey.rows == 2
    assert survey.typed_schema == pa.schema(
        [
            ("id", pa.int64()),
            ("ok", pa.bool_()),
            ("share", pa.float64()),
            ("name", pa.string()),
            ("gap", pa.float64()),
        ]
    )
    assert survey.numeric == {"id", "ok", "share", "gap"}


def test_types_come_from_all_rows_wherever_the_file_is_cut(put):
    path = put("a,b\n" + "1,2\n" * 400_000 + "x,2.5\n")
    table = open_table(path)
    assert table.survey().typed_schema.types == [pa.string(), pa.float64()]
    assert table.survey().rows == 400_001
    assert table.survey(limit=400_000).typed_schema.types == [pa.int64(), pa.int64()]


def test_typed_batches_are_null_where_the_text_is_empty(put):
    path = put('id,name,share\n1,NA,0.5\n2,"",\n')
    batch = next(open_table(path).batches(10, typed=True))
    assert batch.to_pylist() == [{"id": 1, "name": "NA", "share": 0.5}, {"id": 2, "name": None, "share": None}]


def test_a_limit_bounds_the_survey_the_rows_and_their_types(put):
    path = put("a\n1\n2\nx\n")
    table = open_table(path)
    assert table.survey(limit=2).rows == 2
    assert table.survey(limit=9).rows == 3
    assert rows_of(path, limit=2, typed=True) == [(1,), (2,)]
    assert rows_of(path, limit=0) == []


def test_a_survey_is_kept(put):
    path = put("a\n1\n")
    table = open_table(path)
    first = table.survey()
    path.unlink()
    assert table.survey() is first


def test_a_survey_tells_how_far_it_is(put):
    path = put("a,b\n" + "1,2\n" * 600_000)
    calls = []
    open_table(path).survey(progress=lambda done, total: calls.append((done, total)))
    size = path.stat().st_size
    assert calls[-1] == (size, size)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_progress_counts_the_bytes_of_a_packed_file_as_it_lies_on_the_disk(put):
    path = put(gzip.compress(b"a,b\n" + b"1,2\n" * 600_000), "people.csv.gz")
    calls = []
    open_table(path).survey(progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (path.stat().st_size,) * 2


def test_batches_have_the_rows_asked_for_but_the_last(put):
    path = put("a\n" + "".join(f"{number}\n" for number in range(500_000)))
    batches = list(open_table(path).batches(64_000))
    assert [batch.num_rows for batch in batches] == [64_000] * 7 + [52_000]
    assert pa.Table.from_batches(batches)["a"].to_pylist() == [str(number) for number in range(500_000)]


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("zst", lambda data: pa.compress(data, "zstd", asbytes=True))]
)
class TestPackedFiles:
    def test_they_are_read(self, put, suffix, pack):
        assert rows_of(put(pack(b"a,b\n1,2\n"), f"people.CSV.{suffix}")) == [("1", "2")]

    def test_two_in_a_row_are_one(self, put, suffix, pack):
        assert rows_of(put(pack(b"a,b\n1,2") + pack(b"3\n4,5\n"), f"people.csv.{suffix}")) == [
            ("1", "23"),
            ("4", "5"),
        ]

    def test_one_cut_short_is_refused(self, put, suffix, pack):
        path = put(pack(b"a,b\n" + b"1,2\n" * 1000)[:-3], f"people.csv.{suffix}")
        assert refusal(path) == f"cannot read people.csv.{suffix}: Truncated compressed stream"

    def test_one_that_is_not_packed_is_refused(self, put, suffix, pack):
        assert refusal(put("a,b\n1,2\n", f"people.csv.{suffix}")).startswith(f"cannot read people.csv.{suffix}: ")

    def test_an_empty_one_is_refused(self, put, suffix, pack):
        path = put(pack(b""), f"people.csv.{suffix}")
        assert refusal(path) == f"people.csv.{suffix} is empty, wanted a header at least"


DAMAGED = {
    "a quote left open in the last cell": (
        'a,b\n1,2\n3,"4\n',
        "people.csv is damaged in row 1: a quote is opened and never closed",
    ),
    "a quote left open in a middle cell": (
        'a,b,c\n1,"2,3\n4,5,6\n7,8,9\n',
        "people.csv is damaged in row 0: a quote is opened and never closed",
    ),
    "a quote left open in a middle row": (
        'a,b\n1,"2"\n3,"4\n5,"6"\n',
        "people.csv is damaged in row 1: text follows a closing quote, so a quote is missing or one too many",
    ),
    "a quote left open in the header": (
        'a,"b\n1,2\n',
        "people.csv is damaged in its header: a quote is opened and never closed",
    ),
    "a row cut short": ("a,b\n1,2\n\n3", "people.csv is damaged in row 1: it has 1 cell where the header has 2"),
    "a row too long": ("a,b\n1,2,3\n", "people.csv is damaged in row 0: it has 3 cells where the header has 2"),
    "a line of spaces": ("a,b\n1,2\n  \n", "people.csv is damaged in row 1: it has 1 cell where the header has 2"),
    "Latin-1": (
        b'a,b\n1,2\n"x\ny",2\nJ\xfcrgen,1\n',
        "row 2 of people.csv is not UTF-8 text: byte 0xfc (invalid start byte)",
    ),
    "a Latin-1 header": (
        b"a,gr\xfc\xdfe\n1,2\n",
        "the header of people.csv is not UTF-8 text: byte 0xfc (invalid start byte)",
    ),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "people.csv is UTF-16 text, wanted UTF-8"),
    "UTF-16 without a mark": (
        "a,b\n1,2\n".encode("utf-16-le"),
        "the header of people.csv holds zero bytes; is it UTF-16 text? wanted UTF-8",
    ),
    "no byte": (b"", "people.csv is empty, wanted a header at least"),
    "nothing but line ends": ("\n\r\n\n", "people.csv has no header: it holds nothing but line ends"),
    "a name twice": ("a,b,a,b,c\n", "people.csv has more than one column named 'a', 'b'"),
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_table_is_refused(put, data, message):
    path = put(data)
    assert refusal(path) == message
    assert refusal(path, lambda path: open_table(path).survey()) == message


def test_a_row_is_named_however_far_into_the_file_it_is(put):
    rows = "".join(f'{number},"{"x" * number}"\n' for number in range(3000))
    path = put(f'a,b\n{rows}3000,"y\n')
    assert refusal(path) == "people.csv is damaged in row 3000: a quote is opened and never closed"
    path = put(f"a,b\n{rows}3000\n{rows}")
    assert refusal(path) == "people.csv is damaged in row 3000: it has 1 cell where the header has 2"
    path = put(f"a,b\n{rows}".encode() + b"\xff,1\n")
    assert refusal(path) == "row 3000 of people.csv is not UTF-8 text: byte 0xff (invalid start byte)"


def test_whatever_else_the_parser_finds_is_told_with_the_file_and_the_row(put, monkeypatch):
    path = put("a,b\n1,2\n")

    def fail(piece, names, ragged):
        raise pa.ArrowInvalid("something new")

    monkeypatch.setattr("osnet_encoder.tables.csv_reader._parse", fail)
    assert refusal(path) == "cannot read people.csv from row 0: something new"


def test_rows_before_the_damage_can_be_read(put):
    path = put('a,b\n1,2\n3,"4\n')
    batches = open_table(path).batches(1)
    assert next(batches).to_pylist() == [{"a": "1", "b": "2"}]
    with pytest.raises(TableError, match="row 1"):
        next(batches)


def test_a_message_does_not_hold_a_whole_row(put):
    path = put("a,b\n" + "x" * 100_000 + "\n")
    assert len(refusal(path)) < 200


def test_a_cell_of_30_mebibytes_is_read(put):
    cell = "0123456789abcdef" * (30 << 16)
    path = put(f'a,b\n1,"{cell}"\n2,x\n')
    table = open_table(path)
    assert table.survey().rows == 2
    batches = list(table.batches(1))
    assert batches[0].column(1)[0].as_py() == cell
    assert batches[1].to_pylist() == [{"a": "2", "b": "x"}]


def test_batches_of_large_cells_end_before_their_rows_are_full(put):
    cell = "x" * (30 << 20)
    path = put("a\n" + f'"{cell}"\n' * 4)
    assert [batch.num_rows for batch in open_table(path).batches(64)] == [3, 1]


def test_a_file_that_was_changed_after_its_survey_is_refused(put):
    path = put("a\n1\n")
    table = open_table(path)
    table.survey()
    path.write_text("a\nx\n")
    with pytest.raises(TableError, match=re.escape(f"{path} has changed since it was surveyed")):
        list(table.batches(1, typed=True))


def test_a_table_is_not_left_open_when_reading_stops_early(put):
    path = put("a\n" + "1\n" * 10)
    batches = open_table(path).batches(2)
    next(batches)
    del batches  # an open file would be a ResourceWarning, which is an error here
