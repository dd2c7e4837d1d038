"""A table on disk, Parquet to Parquet: our job against the ceiling of the same cores in the same run."""

import tempfile
from pathlib import Path

import numpy as np
from pyarrow import parquet

from osnet_encoder.job import encode_table

from . import ceiling
from .agreement import Agreement, compare, worst
from .cases import Case, Settings, cases, open_encoder, pinned
from .crop_strings import write_repeated
from .pairs import Contender, ratio, run_in_turn, spread
from .subject import Subject, rows_of_cases

__all__ = ["measure"]


def measure(subject: Subject, settings: Settings) -> list[dict]:
    """Time every case in turn with what its ceiling is made of.

    Parameters
    ----------
    subject : Subject
    settings : Settings

    Returns
    -------
    rows : list of dict
        One a case.
    """
    with tempfile.TemporaryDirectory(prefix="osnet-benchmark-") as folder:
        source, target = Path(folder, "crops.parquet"), Path(folder, "features.parquet")
        rows = len(subject.cells) * ceiling.repeats(settings)
        write_repeated(source, subject.cells, rows)
        return rows_of_cases(
            subject, cases(settings), lambda case: _measure(subject, case, settings, source, target)
        )


def _measure(subject: Subject, case: Case, settings: Settings, source: Path, target: Path) -> dict:
    seen: list[Agreement] = []
    encoder = open_encoder(subject.name, case, settings)
    wanted = np.tile(subject.reference, (ceiling.repeats(settings), 1))

    def encode():
        encode_table(source, target, encoder, column="crop", overwrite=True, fresh=True)

    def check(_):
        seen.append(compare(_read_features(target), wanted, case.precision))

    table = Contender(pinned(settings.threads, encode), check)
    contenders = {"table": table, **ceiling.contenders(subject, case, settings, seen)}
    seconds = run_in_turn(contenders, settings.rounds)
    speeds = [len(wanted) / spent for spent in seconds["table"]]
    return {
        **ceiling.report_ceiling(seconds, subject, settings),
        "crops_per_second": spread(speeds).as_dict(),
        "share_of_ceiling": ratio(speeds, ceiling.rates(seconds, subject, settings)).as_dict(),
        "agreement": worst(seen).as_dict(),
    }


def _read_features(path):
    column = parquet.read_table(path, columns=["feature_vector"]).column(0).combine_chunks()
    return column.values.to_numpy().reshape(len(column), -1)
