"""Where the rows of a CSV end, and whether its quotes are in their places."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from osnet_encoder.tables.csv_rows import QuoteFault, first_row_end, last_row_end, whole_rows

LEFT_OPEN = "a quote is opened and never closed"
MISPLACED = "text follows a closing quote, so a quote is missing or one too many"

# Few characters, so that every way in which they can stand together turns up.
soup = st.text('a",\r\n', max_size=30)
tables = st.lists(st.lists(st.text('a",\r\né', max_size=6), min_size=2, max_size=2), min_size=1, max_size=8)


OUT_OF_PLACE = {
    "in the last cell": ('a,b\n1,"x\n', LEFT_OPEN),
    "in the last cell, the end cut off": ('a,b\n1,"x', LEFT_OPEN),
    "after a doubled quote": ('a,b\n1,"x""\n', LEFT_OPEN),
    "in a middle row, before a quoted cell": ('a,b\n1,"x\n2,"y"\n', MISPLACED),
    "in a middle cell, before a quoted cell": ('a,b,c\n1,"x,"y"\n', MISPLACED),
    "spaces behind a closing quote": ('a,b\n"1" ,2\n', MISPLACED),
}


def read_slowly(text):
    """The truth, one character at a time: (end of each row, fault or None)."""
    ends, inside, fault = [], False, None
    at = 0
    while at < len(text) and fault is None:
        before = text[at - 1] if at else "\n"
        after = text[at + 1] if at + 1 < len(text) else "\n"
        if inside:
            if text[at] == '"' and after == '"':
                at += 1
            elif text[at] == '"':
                inside = False
                fault = None if after in ",\r\n" else MISPLACED
        elif text[at] == '"' and before in ",\r\n":
            inside = True
        elif text[at] in "\r\n":
            ends.append(at + 1)
        at += 1
    return ends, fault or (LEFT_OPEN if inside else None)


def cut(text, block):
    """What whole_rows makes of a text that arrives in blocks: (the pieces, fault or None)."""
    data = text.encode()
    pieces = []
    try:
        for piece in whole_rows(data[start : start + block] for start in range(0, len(data), block)):
            pieces.append(bytes(piece))
    except QuoteFault as fault:
        return pieces, str(fault)
    return pieces, None


@given(soup, st.integers(1, 12))
@example('a,"b""', 1)
@example('a"a,"a"\n"a', 3)
@example('"""\n",a\n', 2)
def test_rows_end_where_a_slow_reader_finds_their_ends(text, block):
    ends, fault = read_slowly(text)
    pieces, found = cut(text, block)
    assert found == fault
    whole = ends[-1] if ends else 0
    assert "".join(map(bytes.decode, pieces)) == (text if fault is None else text[:whole])
    at = 0
    for piece in pieces[:-1]:
        at += len(piece)
        assert at in ends


@given(soup)
def test_the_first_and_the_last_row_end_where_a_slow_reader_finds_their_ends(text):
    ends, fault = read_slowly(text)
    assert last_row_end(memoryview(text.encode())) == (ends[-1] if ends else 0)
    if fault is None:
        assert first_row_end(memoryview(text.encode())) == (ends[0] if ends else len(text))


@given(tables, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.integers(1, 40))
def test_whatever_the_standard_library_writes_has_its_quotes_in_their_places(table, quoting, block):
    written = io.StringIO(newline="")
    csv.writer(written, quoting=quoting).writerows(table)
    pieces, fault = cut(written.getvalue(), block)
    assert fault is None
    assert b"".join(pieces).decode() == written.getvalue()


@pytest.mark.parametrize(("text", "fault"), OUT_OF_PLACE.values(), ids=OUT_OF_PLACE)
def test_a_quote_out_of_place_is_a_fault(text, fault):
    pieces, found = cut(text, 5)
    assert found == fault
    assert b"".join(pieces) == text[: text.index("\n") + 1].encode()


def test_a_quote_in_a_bare_cell_is_a_character_like_any_other():
    text = 'a,b\n5" pipe,x\n"5"" pipe",6"\n'
    assert cut(text, 1000) == ([text.encode()], None)


def test_a_row_without_an_end_is_given_up():
    blocks = [b'a,b\n1,"', *[b"x" * 100] * 50]
    with pytest.raises(QuoteFault) as caught:
        list(whole_rows(blocks, max_row_bytes=1000))
    assert str(caught.value) == "the row does not end within 1,000 bytes; is a quote left open?"
