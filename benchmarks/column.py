"""A column in memory, crop strings to feature strings: our encoder against what others do."""

from functools import partial

import pandas as pd

from osnet_encoder.features import stack_features

from .agreement import Agreement, compare, worst
from .baselines import LoaderLoop, one_at_a_time, open_network
from .cases import Absent, Case, Settings, cases, open_encoder, pinned
from .pairs import Contender, ratio, run_in_turn, spread
from .subject import Subject, rows_of_cases

__all__ = ["LOADER", "ORIGINAL", "measure"]

# The baselines, in the place of an engine.
ORIGINAL = Case("original", "fp32")
LOADER = Case("loader", "fp32")


def measure(subject: Subject, settings: Settings) -> list[dict]:
    """Time both baselines and every case in turn.

    Parameters
    ----------
    subject : Subject
    settings : Settings

    Returns
    -------
    rows : list of dict
        One a contender, the baselines first.
    """
    works, absent = _open(subject, settings)
    agreements: dict[Case, list[Agreement]] = {case: [] for case in works}

    def check(case, answer):
        agreements[case].append(compare(stack_features(answer), subject.reference, case.precision))

    contenders = {
        case: Contender(pinned(settings.threads, work), partial(check, case)) for case, work in works.items()
    }
    seconds = run_in_turn(contenders, settings.rounds)
    crops = len(subject.cells)

    def report(case):
        if case in absent:
            raise Absent(absent[case])
        return {
            "crops": crops,
            "seconds": seconds[case],
            "crops_per_second": spread([crops / spent for spent in seconds[case]]).as_dict(),
            "against_original": ratio(seconds[ORIGINAL], seconds[case]).as_dict(),
            "against_loader": ratio(seconds[LOADER], seconds[case]).as_dict(),
            "agreement": worst(agreements[case]).as_dict(),
        }

    return rows_of_cases(subject, [ORIGINAL, LOADER, *cases(settings)], report)


def _open(subject, settings):
    """What to time, by case, and why the other cases cannot be."""
    column = pd.Series(subject.cells, name="crop")
    network = open_network(subject.weights, settings.device)
    loader = LoaderLoop(network, subject.cells, subject.spec, settings.threads, settings.device)
    works = {
        ORIGINAL: partial(one_at_a_time, network, subject.cells, subject.spec, settings.device),
        LOADER: loader.run,
    }
    absent = {}
    for case in cases(settings):
        try:
            encoder = open_encoder(subject.name, case, settings)
        except Absent as reason:
            absent[case] = str(reason)
        else:
            works[case] = partial(encoder.get_features, column)
    return works, absent
