"""Columns of labels as text -> numbers: who, which camera, and marks such as `train` or `true`."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import TableError
from ..tables import Table, text_of
from ..tables.csv_text import is_bare, is_text
from .labels import Labels, Source

__all__ = ["MARKS", "SPLITS", "TRUTHS", "join_columns", "read_texts"]

# What may stand in a column `split`, in any case. Market-1501 and its like call what is not trained on query and
# gallery, or test.
SPLITS = {
    "train": "train",
    **dict.fromkeys(("val", "valid", "validation", "test"), "val"),
    "query": "query",
    "gallery": "gallery",
}

# What may stand in `is_query` and `is_gallery`; 1.0 is what pandas makes of 1 in a column with empty cells.
TRUTHS = {**dict.fromkeys(("", "false", "0", "0.0"), "false"), **dict.fromkeys(("true", "1", "1.0"), "true")}

# Columns of marks, by these names and no others.
MARKS = ("split", "is_query", "is_gallery")

_ROWS = 4096


def read_texts(table: Table, path, columns: list[str], without: str | None) -> dict[str, pa.Array]:
    """Read some columns of a table whole, as text.

    Parameters
    ----------
    table : as of `tables.open_table`
    path : str or Path
        Its name, for messages.
    columns : list of str
    without : str, optional
        A column that need not be unpacked.

    Returns
    -------
    texts : dict of str to pyarrow.LargeStringArray
        One cell a row, empty where the table's is null or NaN; numbers and booleans as Python writes them.

    Raises
    ------
    TableError
        A column holds neither text, nor numbers, nor booleans, or the file is damaged.
    """
    for name in columns:
        kind = table.schema.field(name).type
        if not (is_text(kind) or is_bare(kind) or pa.types.is_null(kind)):
            raise TableError(f"column {name!r} of {path} is {kind}, wanted text or numbers")
    read: dict[str, list] = {name: [pa.array([], pa.large_string())] for name in columns}
    for batch in table.batches(_ROWS, without=without):
        for name, texts in read.items():
            texts.append(pc.fill_null(text_of(batch.column(name)), ""))
    return {name: pa.concat_arrays(texts) for name, texts in read.items()}


def join_columns(sources: list[Source], texts: list[dict[str, pa.Array]]) -> tuple[Labels, list[tuple[int, str]]]:
    """Make labels of the columns of all sources.

    Parameters
    ----------
    sources : list of Source
    texts : list of dict of str to pyarrow.LargeStringArray
        Of each source, as of `read_texts`: `identity`, and where they are there `camera`, `path` and `MARKS`,
        which all sources have or none.

    Returns
    -------
    labels : Labels
    faults : list of (int, str)
        Position in the labels, and what is wrong with a cell there. Such rows are in the labels, but what stands
        for that cell means nothing.
    """
    counts = [len(columns["identity"]) for columns in texts]
    starts = np.cumsum([0, *counts])

    def joined(name):
        """A column of all sources, empty where a source does not have it."""
        empty = [pa.array([""], pa.large_string()).take(pa.array(np.zeros(count, np.int64))) for count in counts]
        return [columns.get(name, lacking) for columns, lacking in zip(texts, empty, strict=True)]

    names, identities = _number_apart(joined("identity"))
    camera_names, cameras = _number_apart(joined("camera"))
    unknown = _among(cameras, [number for number, (_, text) in enumerate(camera_names) if not text])
    paths = pa.concat_arrays(
        [
            columns.get("path", pa.nulls(count, pa.large_string()))
            for columns, count in zip(texts, counts, strict=True)
        ]
    )
    nobody = _among(identities, [number for number, (_, text) in enumerate(names) if not text])
    faults = [(row, "no identity") for row in np.flatnonzero(nobody).tolist()]
    pathless = pc.fill_null(pc.equal(paths, ""), False).to_numpy(zero_copy_only=False)
    faults += [(row, "no image path") for row in np.flatnonzero(pathless).tolist()]
    marks = {name: pa.concat_arrays(joined(name)) for name in MARKS if name in texts[0]}
    labels = Labels(
        sources=tuple(sources),
        source=np.repeat(np.arange(len(sources)), counts),
        row=np.arange(starts[-1]) - np.repeat(starts[:-1], counts),
        names=names,
        identities=identities,
        camera_names=camera_names,
        cameras=np.where(unknown, -1 - np.arange(len(cameras)), cameras),
        paths=paths,
        **_marks(marks, faults),
    )
    return labels, faults


def _number_apart(columns):
    """Number the distinct texts of each column, those of two columns apart."""
    names: list[tuple[int, str]] = []
    numbers = []
    for which, texts in enumerate(columns):
        mine, distinct = _number(texts)
        numbers.append(mine + len(names))
        names += [(which, text) for text in distinct]
    return tuple(names), np.concatenate(numbers)


def _number(texts):
    """Number the distinct texts of a column in the order in which they first occur."""
    coded = texts.dictionary_encode()
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int64), coded.dictionary.to_pylist()


def _among(numbers, chosen):
    return np.isin(numbers, np.array(chosen, np.int64))


def _marks(texts, faults):
    """The marks as masks; cells that hold no such word become faults."""
    found = {}
    if "split" in texts:
        split = _look_up(texts["split"], SPLITS, "split", "train, val, test, query or gallery", faults)
        found["is_val"] = split != "train"
        if not {"is_query", "is_gallery"} & texts.keys() and np.isin(split, ("query", "gallery")).any():
            found["is_query"], found["is_gallery"] = split == "query", split == "gallery"
    for name in ("is_query", "is_gallery"):
        if name in texts:
            found[name] = _look_up(texts[name], TRUTHS, name, "true or false", faults) == "true"
    return found


def _look_up(texts, words, column, wanted, faults):
    """What each word of a column means; faults are added where it is no such word."""
    numbers, distinct = _number(texts)
    meaning = np.array([words.get(text.lower(), "") for text in distinct], str)
    for row in np.flatnonzero(_among(numbers, np.flatnonzero(meaning == ""))).tolist():
        faults.append((row, f"{column} is {distinct[numbers[row]]!r:.60}, wanted {wanted}"))
    return meaning[numbers]
