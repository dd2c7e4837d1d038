"""Peak memory of `osnet-encode` over tables of different length: it should not follow the rows."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from pyarrow import parquet

from .agreement import compare, worst
from .cases import Absent, Case, Settings, cases, open_encoder, shown_name
from .crop_strings import crop_strings, write_repeated
from .processes import run_python

__all__ = ["measure"]

# So few that drawing them takes no time; a table repeats them.
_CROPS = 16

_ROWS_AT_ONCE = 4096


def measure(settings: Settings) -> list[dict]:
    """Encode tables of `settings.memory_rows` rows, each in a process of its own.

    Parameters
    ----------
    settings : Settings

    Returns
    -------
    rows : list of dict
        One for each weights, case and length; `against_first` compares the peak with that of the first length.
    """
    strings = crop_strings(settings.memory_size, _CROPS, settings.labels)
    rows = []
    with tempfile.TemporaryDirectory(prefix="osnet-benchmark-") as folder:
        sources = {length: Path(folder, f"{length}.parquet") for length in settings.memory_rows}
        for length, source in sources.items():
            write_repeated(source, strings, length)
        for weights in settings.weights:
            for case in cases(settings):
                rows += _measure(weights, case, settings, strings, sources)
    return rows


def _measure(weights: str, case: Case, settings: Settings, strings, sources: dict[int, Path]) -> list[dict]:
    named = {"weights": shown_name(weights), "size": settings.memory_size, **case.as_dict()}
    try:
        wanted = open_encoder(weights, case, settings).encode(strings)
    except Absent as reason:
        return [{**named, "status": str(reason)}]
    rows: list[dict] = []
    for length, source in sources.items():
        target = source.with_name("features.parquet")
        found = _encode(weights, case, settings, source, target)
        first = rows[0]["peak_bytes"] if rows else found["peak_bytes"]
        rows.append(
            {
                **named,
                "status": "measured",
                "rows": length,
                **found,
                "against_first": found["peak_bytes"] / first,
                "agreement": _compare(target, length, wanted, case.precision).as_dict(),
            }
        )
    return rows


def _encode(weights, case, settings, source, target):
    """Run the command; its `seconds` and `peak_bytes`."""
    command = [sys.executable, "-m", "osnet_encoder.cli.encode", source, target]
    options = {
        "--weights": weights, "--engine": case.engine, "--precision": case.precision, "--device": settings.device,
        "--threads": settings.threads, "--batch-size": settings.batch_size, "--column": "crop",
        "--log-level": "error",
    }  # fmt: skip
    for name, value in options.items():
        command += [] if value is None else [name, str(value)]
    command += ["--no-normalize", "--overwrite", "--fresh"]
    return json.loads(run_python(Path(__file__).with_name("peak.py"), *command))


def _compare(path, length, wanted, precision):
    """Every row against those that this process makes of the same crops, a few thousand at a time."""
    table = parquet.ParquetFile(path)
    if table.metadata.num_rows != length:
        return compare(np.empty((0, 0)), wanted, precision)
    agreements = []
    first = 0
    for batch in table.iter_batches(_ROWS_AT_ONCE, columns=["feature_vector"]):
        features = batch.column(0).flatten().to_numpy().reshape(len(batch), -1)
        agreements.append(compare(features, wanted[np.arange(first, first + len(batch)) % len(wanted)], precision))
        first += len(batch)
    return worst(agreements)
