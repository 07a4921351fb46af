"""What the chapter on depth shows: what BP, FA and DFA make of more hidden layers."""

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from dfa_lib.experiments.tuning import tune
from dfa_lib.training import Run

from ..chapter import Settings
from ..depth import HELD_LAYERS, Case, layers_table

DEPTHS = {"digits": (1, 2, 4), "mnist": (1, 2, 4), "class": (1, 2), "smoke": (1, 2)}
"""Numbers of hidden layers by profile. The runs of the MNIST edition are on the bundled digits, too."""
METHODS = ("bp", "fa", "dfa")


class Studied(NamedTuple):
    """A table as from ``layers_table``, the scores of the rates, and a run of one hidden layer."""

    table: pd.DataFrame
    scores: pd.DataFrame
    like: Run


def studied(settings: Settings) -> Studied:
    """Tune each method at each depth and train the repeats, or read them from this edition's results."""
    scale = replace(settings, profile="digits") if settings.profile == "mnist" else settings
    like = scale.run(method="bp", optimizer="rmsprop", k=3)
    runs = [
        scale.run(method=method, optimizer="rmsprop", k=3, hidden=like.hidden_widths * depth)
        for depth in DEPTHS[settings.profile]
        for method in METHODS
        if depth > 1 or method != "fa"  # with one hidden layer, FA is DFA
    ]
    chosen, scores = tune(
        runs,
        seeds=scale.tuning_seeds,
        results=settings.csv("depth_tuning"),
        reuse=scale.kept("depth_tuning"),
        jobs=settings.jobs,
    )
    cases = [Case(run) for run in chosen] + [
        Case(run, held)
        for run in chosen
        for held in HELD_LAYERS
        if len(run.hidden_widths) == 2 and run.method != "fa" and held != "none"
    ]
    table = layers_table(cases, settings.seeds, results=settings.csv("depth"), jobs=settings.jobs)
    return Studied(table, scores, like)
