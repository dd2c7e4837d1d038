"""Several tables, each evaluated by itself; what thresholds found on some of them do on the others.

A threshold is chosen where the answers are known, and used where they are not. What it accepts there is often not
what it accepted at home, and only people of another place can tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .evaluation import Evaluation
from .table_evaluation import evaluate_table

__all__ = ["CrossEvaluation", "evaluate_across"]


@dataclass(frozen=True)
class CrossEvaluation:
    """What was measured on several tables.

    Parameters
    ----------
    targets : dict of str to Evaluation
        By table; with `at_thresholds` for every threshold of the sources.
    sources : dict of str to Evaluation
        By table; empty where there are none.
    """

    targets: dict[str, Evaluation]
    sources: dict[str, Evaluation]

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """dict of str to Evaluation: of all tables, the sources first."""
        return {**self.sources, **self.targets}

    def as_dict(self) -> dict:
        """dict, fit for JSON: of one target its figures themselves, of several `targets` by table; `sources`."""
        targets = {table: found.as_dict() for table, found in self.targets.items()}
        figures = next(iter(targets.values())) if len(targets) == 1 else {"targets": targets}
        if self.sources:
            figures["sources"] = {table: found.as_dict() for table, found in self.sources.items()}
        return figures

    def in_words(self) -> str:
        """str: some lines for people to read, the tables' names above them where there are several."""
        found = [("source", *item) for item in self.sources.items()]
        found += [("target", *item) for item in self.targets.items()]
        if len(found) == 1:
            return found[0][2].in_words()
        return "\n\n".join(f"{side:<10} {table}\n{one.in_words()}" for side, table, one in found)


def evaluate_across(
    targets: Sequence[str | Path],
    sources: Sequence[str | Path] = (),
    **options,
) -> CrossEvaluation:
    """Evaluate tables one by one, the thresholds of the sources tried on each target.

    Parameters
    ----------
    targets : sequence of str or Path
        Tables of people that the network was not made for.
    sources : sequence of str or Path, optional
        Tables of the kind that thresholds are chosen on. The cosine at their EER, and those of their TAR@FAR, are
        tried on all targets.
    **options
        As of `table_evaluation.evaluate_table`, for all tables alike.

    Returns
    -------
    CrossEvaluation

    Raises
    ------
    OsNetError, ValueError
        As of `evaluate_table`; ValueError also where there is no target, or a table is named twice.
    """
    names = [str(path) for path in (*sources, *targets)]
    if not targets:
        raise ValueError("no table to evaluate, wanted one at least")
    for at, name in enumerate(names):
        if name in names[:at]:
            raise ValueError(f"{name} is named twice")
    given = dict(options.pop("thresholds", None) or {})
    at_home = {str(path): evaluate_table(path, thresholds=given, **options) for path in sources}
    thresholds = {**given, **_thresholds(at_home)}
    away = {str(path): evaluate_table(path, thresholds=thresholds, **options) for path in targets}
    return CrossEvaluation(away, at_home)


def _thresholds(sources):
    """Every threshold of some evaluations that is known, by a name that says where it is from."""
    found: dict[str, float] = {}
    for table, one in sources.items():
        named = {"EER": one.eer_threshold, **{f"FAR {far:g}": at for far, at in one.threshold_at_far.items()}}
        found |= {f"{name} of {table}": at for name, at in named.items() if at == at}  # NaN is not known
    return found
