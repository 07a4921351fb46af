"""What the chapter on lazy and rich training shows."""

from typing import NamedTuple

import pandas as pd

from dfa_lib.experiments.tuning import FIRST_SEED, tune
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import Run

from ..chapter import Settings
from ..rich import COLUMNS, LINEAR, Case, at_best_rates, rich_table

METHODS = ("bp", "dfa")
LAZY = ("ntk", "relu_features")
FULL = ("0.25", "1", "4", "16", "64", "256")
SCALES = {"digits": FULL, "mnist": FULL, "class": ("1", "16", "256"), "smoke": ("1", "256")}
"""Values of α by profile. The runs of the MNIST edition are on the bundled digits, too."""
RATES = (0.02, 0.05, 0.1, 0.14, 0.2, 0.3, 0.5, 1.0, 2.0)
FEW_RATES = (0.05, 0.2, 0.5)
TUNING_SEEDS = 3
K, K_OF_OPTIMIZERS = 2, 3


class Scaled(NamedTuple):
    """The table of ``rich_table``, and a run of it."""

    table: pd.DataFrame
    like: Run


def trained(settings: Settings) -> Scaled:
    """Choose rates and train the repeats, or read them from this edition's results.

    Results that have more seeds than asked for are shown with all of them.
    """
    scale = settings.on_digits
    full = SCALES[settings.profile] == FULL
    like, jobs = scale.run(method="bp", k=K), settings.jobs
    trials = [
        Case(
            scale.run(method=method, k=K, learning_rate=rate, evaluate_on="validation"),
            (*SCALES[settings.profile], LINEAR) if method in METHODS else ("none",),
        )
        for method in (*METHODS, *LAZY)
        for rate in (RATES if full else FEW_RATES)
    ]
    chosen = range(FIRST_SEED, FIRST_SEED + (scale.tuning_seeds or TUNING_SEEDS))
    tuning = rich_table(trials, chosen, results=settings.csv("rich_tuning"), jobs=jobs)
    own, _ = tune(
        [
            scale.run(method=method, optimizer=optimizer, k=K_OF_OPTIMIZERS)
            for method in METHODS
            for optimizer in (OPTIMIZERS if full else ("sgd", "rmsprop"))
        ],
        seeds=scale.tuning_seeds,
        results=settings.csv("tuning") if scale is settings else None,
        reuse=scale.kept("tuning"),
        jobs=jobs,
    )
    cases = at_best_rates(tuning, like) + [Case(run) for run in own]
    seeds = settings.stored_seeds("rich", COLUMNS, settings.seeds)
    table = rich_table(cases, range(seeds), results=settings.csv("rich"), jobs=jobs)
    return Scaled(table, like)
