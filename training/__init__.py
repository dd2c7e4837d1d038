"""Retraining and evaluation on labelled people.

    from osnet_encoder.training import TrainConfig, evaluate_table, train

    outcome = train(TrainConfig(labels=("labels.csv",), epochs=20))
    found = evaluate_table("test.csv", weights=outcome.weights)

Names are found when they are first asked for, so that evaluating features loads no torch.
"""

import importlib

__all__ = [
    "CrossEvaluation",
    "Evaluation",
    "Outcome",
    "TrainConfig",
    "evaluate_across",
    "evaluate_features",
    "evaluate_table",
    "resume_run",
    "train",
]

_HOMES = {
    "config": ("TrainConfig",),
    "cross_evaluation": ("CrossEvaluation", "evaluate_across"),
    "evaluation": ("Evaluation", "evaluate_features"),
    "loop": ("resume_run", "train"),
    "outcome": ("Outcome",),
    "table_evaluation": ("evaluate_table",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
