"""Choosing a learning rate on validation digits (thesis, section 2.1, made fair).

The score of a rate is the thesis's, the mean accuracy of the last ten epochs, but on digits that are
neither trained on nor reported on. A best rate on the edge of its grid is no best rate: the grid is
widened until the best lies inside.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from .experiments import Results, run_histories
from .training import History, Run
from .validation import InputError, whole_number

SCORED_EPOCHS = 10
# Tuning has seeds of its own, far from those of the repeats, which are 0, 1, 2, …
FIRST_SEED = 1_000
# How far a grid reaches at first, in steps of 1, 2, 5, 10, … on either side, and at most.
REACH = 1
LOWEST, HIGHEST = 1e-7, 1e4


def tune(
    runs: Sequence[Run],
    *,
    seeds: int = 1,
    results: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    cluster: str | None = None,
) -> tuple[list[Run], pd.DataFrame]:
    """Choose the learning rate of each run.

    Parameters
    ----------
    runs
        Their own learning rates are where the grids start: each at the nearest of 1, 2, 5, 10, …, with
        a step on either side. Adadelta's also has all rates up to 1, which is Adadelta as it was
        published, without a learning rate.
    seeds
        Seeds that a rate's score is averaged over.
    results
        A CSV that keeps the tuning runs of any number of experiments.
    jobs, cluster
        Where the runs are trained, as for ``run_all``.

    Returns
    -------
    runs
        The same, at the chosen rates; of equally good rates the smaller one.
    scores
        One row per run and rate: what was tuned, ``learning_rate``, ``score`` (in [0, 1]; nan if it
        diverged), ``chosen``.

    Raises
    ------
    InputError
        If a run diverges at every rate.
    """
    seeds = whole_number("seeds", seeds)
    grids = {run: _grid(run) for run in runs}
    done: Results = {}
    while True:
        trials = [t for run, grid in grids.items() for t in _trials(run, grid, seeds)]
        new = [trial for trial in trials if trial not in done]
        done |= run_histories(new, results, jobs=jobs, cluster=cluster, shared=True)
        scores = {run: {i: _score(run, i, seeds, done) for i in grids[run]} for run in runs}
        best = {run: _best(scores[run]) for run in runs}
        widened = [run for run in runs if _widen(grids[run], best[run])]
        if not widened:
            break
    for run in runs:
        if all(map(math.isnan, scores[run].values())):
            raise InputError(
                f"{run.method} with {run.optimizer} on {run.dataset} diverged at every learning rate "
                f"from {rate(min(grids[run])):g} to {rate(max(grids[run])):g}, so none can be chosen: "
                f"look at its other settings."
            )
    chosen = [replace(run, learning_rate=rate(best[run])) for run in runs]
    return chosen, _table(runs, scores, best)


def rate(step: int) -> float:
    """Return the rate at a step of the series …, 0.5, 1, 2, 5, 10, …; step 0 is 1."""
    exponent, place = divmod(step, 3)
    return float(f"{(1, 2, 5)[place]}e{exponent}")


def last_epochs_score(history: History) -> float:
    """Return the mean held-out accuracy of the last ten epochs (of all, if fewer); nan if diverged."""
    return float(np.mean(history.test_accuracy[-SCORED_EPOCHS:]))


def _grid(run: Run) -> set[int]:
    centre = min(range(-30, 31), key=lambda step: abs(math.log(rate(step) / run.learning_rate)))
    grid = set(range(centre - REACH, centre + REACH + 1))
    if run.optimizer == "adadelta":  # step 0 is rate 1; no gap up to there, for edges to be edges
        grid |= set(range(min(0, centre), max(0, centre) + 1))
    return grid


def _trials(run: Run, grid: set[int], seeds: int) -> list[Run]:
    return [
        replace(run, learning_rate=rate(i), evaluate_on="validation", seed=FIRST_SEED + s)
        for i in sorted(grid)
        for s in range(seeds)
    ]


def _score(run: Run, step: int, seeds: int, done: Results) -> float:
    return float(np.mean([last_epochs_score(done[t]) for t in _trials(run, {step}, seeds)]))


def _best(scores: dict[int, float]) -> int:
    return max(sorted(scores), key=lambda i: -math.inf if math.isnan(scores[i]) else scores[i])


def _widen(grid: set[int], best: int) -> bool:
    """Add the next rate beyond an edge that is best. Return whether one was added."""
    if best == max(grid) and rate(best + 1) <= HIGHEST:
        grid.add(best + 1)
    elif best == min(grid) and rate(best - 1) >= LOWEST:
        grid.add(best - 1)
    else:
        return False
    return True


def _table(
    runs: Sequence[Run], scores: dict[Run, dict[int, float]], best: dict[Run, int]
) -> pd.DataFrame:
    tuned = ("dataset", "k", "method", "feedback", "optimizer")
    return pd.DataFrame(
        {name: getattr(run, name) for name in tuned}
        | {"learning_rate": rate(i), "score": scores[run][i], "chosen": i == best[run]}
        for run in runs
        for i in sorted(scores[run])
    )
