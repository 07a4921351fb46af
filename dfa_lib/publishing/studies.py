"""The book's parity experiments as data: what each compares, tuned and trained by one function."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from ..experiments import repeats, run_all
from ..feedback import FEEDBACK
from ..optimizers import OPTIMIZERS
from ..training import Run
from ..tuning import tune
from .chapter import Settings

# The long runs of figure 3.2 have 50 epochs where the others have 20.
LONG = 2.5

REPRODUCED = (
    ("bp", "sgd"),
    ("bp", "adadelta"),
    ("ntk", "sgd"),
    ("glu", "sgd"),
    ("gaussian_features", "sgd"),
    ("relu_features", "sgd"),
    ("linear_features", "sgd"),
)
"""The methods of figure 2.1, with their optimizers."""


def _reproduction(settings: Settings) -> list[Run]:
    return [settings.run(method=m, optimizer=o, k=k) for k in (1, 3) for m, o in REPRODUCED]


def _sgd(settings: Settings) -> list[Run]:
    return [settings.run(method=method, k=k) for k in (1, 3) for method in ("bp", "dfa")]


def _alignment(settings: Settings) -> list[Run]:
    compared = (("dfa", "sgd"), ("dfa", "rmsprop"), ("bp", "sgd"))
    short = [settings.run(method=m, optimizer=o, k=3) for m, o in compared]
    return [replace(run, epochs=round(LONG * settings.epochs)) for run in short]


def _random_matrices(settings: Settings) -> list[Run]:
    return [settings.run(method="dfa", feedback=kind, k=3) for kind in FEEDBACK]


def _adaptive_methods(settings: Settings) -> list[Run]:
    return [settings.run(method=m, optimizer=o, k=3) for o in OPTIMIZERS for m in ("bp", "dfa")]


STUDIES: dict[str, Callable[[Settings], list[Run]]] = {
    "sgd": _sgd,
    "random_matrices": _random_matrices,
    "adaptive_methods": _adaptive_methods,
    "alignment": _alignment,
    "reproduction": _reproduction,
}
"""By the name of its results file, what an experiment compares, before its rates are tuned."""


class Study(NamedTuple):
    """An experiment that was run: its tuned runs, the table of all repeats, and the rates' scores."""

    tuned: list[Run]
    table: pd.DataFrame
    scores: pd.DataFrame


def study(experiment: str, settings: Settings) -> Study:
    """Tune the learning rates of an experiment of ``STUDIES``, and train its repeats.

    What the settings' results folder, its other experiments or the kept rates hold is not trained again.
    """
    tuned, scores = tune(
        STUDIES[experiment](settings),
        seeds=settings.tuning_seeds,
        results=settings.csv("tuning"),
        reuse=settings.kept("tuning"),
        jobs=settings.jobs,
    )
    table = run_all(
        repeats(tuned, settings.seeds),
        results=settings.csv(experiment),
        reuse=settings.finished(),
        jobs=settings.jobs,
    )
    return Study(tuned, table, scores)
