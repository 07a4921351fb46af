"""Choosing a learning rate on validation digits (thesis, section 2.1, made fair and robust).

The score of a rate is the thesis's, the mean accuracy of the last ten epochs, but on validation digits
instead of test digits. A rate must also hold for seeds that did not choose it, so the search has two
passes:

1. *Coarse*: one seed, rates 1, 2, 5, 10, …, until both neighbours of the best have been tried.
2. *Fine*: several seeds, rates 1, 1.4, 2, 3, 5, 7, 10, … around the coarse pass's best.

A rate at which a run is *unsound* (unstable, not finite, or at the end more than 0.05 below its own
best epoch) is not chosen if there is one at which all runs are sound. Of the rates within one standard
error of the best, the smallest is chosen (Breiman et al., 1984, section 3.4.3). If all are at chance,
the lowest validation loss decides.
"""

import math
import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..methods import METHODS
from ..training import History, Run
from ..validation import InputError, whole_number
from .outcomes import NON_FINITE, UNSTABLE, above_chance, outcome_of
from .results import Histories
from .runner import MOST_SEEDS, Trainer, checked_runs

SCORED_EPOCHS = 10
# Tuning seeds, disjoint from those of the repeats, which are 0, 1, 2, …
FIRST_SEED = 1_000
# Methods with random matrices become unstable at a rate that depends on the matrix: use more seeds.
SEEDS_WITH_FEEDBACK, SEEDS = 10, 3
# How far a run may end below its own best epoch, in accuracy.
TOLERATED_LOSS = 0.05
LOWEST, HIGHEST = 1e-7, 1e4
# How far below the first fine rates a sound one is searched for: 6 half steps, a decade.
WAY_DOWN = 6

_SERIES = (1, 1.4, 2, 3, 5, 7)
_COARSE = 2  # half steps from one rate of 1, 2, 5, 10, … to the next


def tune(
    runs: Sequence[Run],
    *,
    seeds: int | None = None,
    results: str | os.PathLike[str] | None = None,
    reuse: Iterable[str | os.PathLike[str]] = (),
    jobs: int = 1,
    cluster: str | None = None,
) -> tuple[list[Run], pd.DataFrame]:
    """Choose the learning rate of each run.

    Parameters
    ----------
    runs
        The coarse pass starts at their learning rates: at the nearest of 1, 2, 5, 10, …, and one step
        on either side. For Adadelta it includes the rate 1, that is Adadelta as published, without a
        learning rate.
    seeds
        Seeds of the fine pass (default: 10 for methods with random matrices, 3 for others). With 0, the
        coarse pass alone decides.
    results
        A CSV for the tuning runs, which several experiments may share.
    reuse, jobs, cluster
        As for ``run_all``.

    Returns
    -------
    runs
        The same, at the chosen rates.
    scores
        One row per run and rate: the run's fields, ``learning_rate``, ``score`` (mean over the trained
        seeds, in [0, 1]; nan if a run is not finite), ``seeds``, ``unsound`` (how many of them),
        ``chosen``.

    Raises
    ------
    InputError
        If no run is finite at any rate.
    """
    if seeds is not None:
        seeds = whole_number("seeds", seeds, minimum=0, maximum=MOST_SEEDS)
    runs, done = checked_runs(runs), Histories()  # a list, because iterators can be read once
    searches = {run: _Search(run, seeds, done) for run in runs}
    steps = {run: search.steps() for run, search in searches.items()}
    with Trainer(runs, results, reuse=reuse, jobs=jobs, cluster=cluster, shared=True) as trainer:
        while steps:
            wanted: list[Run] = []
            for run in list(steps):
                trials = next(steps[run], None)
                if trials is None:
                    del steps[run]
                else:
                    wanted += trials
            done |= trainer.histories(dict.fromkeys(wanted))
    chosen = [replace(run, learning_rate=rate(searches[run].chosen)) for run in runs]
    return chosen, pd.DataFrame(row for run in runs for row in searches[run].rows())


def rate(step: int) -> float:
    """Return the rate at a step of the series …, 0.7, 1, 1.4, 2, 3, 5, 7, 10, …; step 0 is 1."""
    exponent, place = divmod(step, len(_SERIES))
    return float(f"{_SERIES[place]}e{exponent}")


def last_epochs_score(history: History) -> float:
    """Return the mean held-out accuracy of the last ten epochs (of all, if fewer); nan if not finite."""
    return float(np.mean(history.test_accuracy[-SCORED_EPOCHS:]))


def is_sound(history: History) -> bool:
    """Return whether a run ends stable, and at most 0.05 below the accuracy of its own best epoch."""
    if outcome_of(history) in (UNSTABLE, NON_FINITE):
        return False
    return max(history.test_accuracy) - history.test_accuracy[-1] <= TOLERATED_LOSS


@dataclass
class _Search:
    """The search for one run's rate. Rates are steps of the series; ``done`` has the trials."""

    run: Run
    seeds: int | None
    done: Histories
    chosen: int = 0

    def steps(self) -> Generator[list[Run], None, None]:
        """Yield the next trials; the caller trains them before it asks for more."""
        self.chosen = yield from self._coarse()
        if self.seeds != 0:
            yield from self._fine(self.chosen)

    def rows(self) -> list[dict[str, object]]:
        """Return a row of the table of scores for each rate tried."""
        tuned = {
            name: getattr(self.run, name) for name in ("dataset", "k", "method", "feedback", "optimizer")
        }
        trials: dict[float, list[History]] = {}
        for history in self.done.values():
            if replace(history.run, learning_rate=self.run.learning_rate, seed=0) == self._own():
                trials.setdefault(history.run.learning_rate, []).append(history)
        return [
            tuned
            | {
                "learning_rate": tried,
                "score": float(np.mean([last_epochs_score(h) for h in histories])),
                "seeds": len(histories),
                "unsound": sum(not is_sound(h) for h in histories),
                "chosen": tried == rate(self.chosen),
            }
            for tried, histories in sorted(trials.items())
        ]

    def _coarse(self) -> Generator[list[Run], None, int]:
        """Try rates with one seed until the best has neighbours on both sides; return the best."""
        centre = min(
            range(-60, 61, _COARSE), key=lambda i: abs(math.log(rate(i) / self.run.learning_rate))
        )
        tried = {centre - _COARSE, centre, centre + _COARSE}
        if self.run.optimizer == "adadelta":
            tried.add(0)
        while True:
            yield [self._trial(i, 0) for i in sorted(tried)]
            sound = [i for i in tried if self._sound(i, 1)]
            best = self._best(sound, 1) if sound else min(tried)  # the most stable
            missing = self._new([best - _COARSE, best + _COARSE], tried)
            if not missing:
                break
            tried |= missing
        if all(outcome_of(self._history(i, 0)) == NON_FINITE for i in tried):
            low, high = rate(min(tried)), rate(max(tried))
            raise InputError(
                f"{self.run.method} with {self.run.optimizer} on {self.run.dataset} diverged at every "
                f"learning rate from {low:g} to {high:g}, so none can be chosen: look at its other "
                f"settings."
            )
        return best

    def _fine(self, start: int) -> Generator[list[Run], None, None]:
        """Compare rates around ``start`` with several seeds, and choose one."""
        feedback = METHODS[self.run.method].direct_feedback is not None
        seeds = self.seeds or (SEEDS_WITH_FEEDBACK if feedback else SEEDS)
        window = {start} | self._new([start - 1, start + 1], {start})
        lowest = min(window) - WAY_DOWN
        while True:
            for seed in range(seeds):
                # An unsound rate will not be chosen: spend no more seeds on it.
                yield [self._trial(i, seed) for i in sorted(window) if self._sound(i, seed)]
            sound = [i for i in window if self._sound(i, seeds)]
            lower = self._new([min(window) - 1], window) if not sound else set()
            if lower and min(window) > lowest:
                window |= lower
                continue
            if not sound:
                yield [self._trial(i, seed) for i in sorted(window) for seed in range(seeds)]
            best = self._best(sound or list(window), seeds)
            self.chosen = self._smallest_as_good(best, sound or list(window), seeds)
            missing = self._new([self.chosen - 1, best + 1], window)
            if not missing:
                break
            window |= missing
        # Both neighbours with all seeds, sound or not: they show the sensitivity to the rate.
        compared = {self.chosen - 1, self.chosen + 1} & window
        if self.run.optimizer == "adadelta":  # its published rate 1: it shows what tuning gains
            compared.add(0)
        yield [self._trial(i, seed) for i in sorted(compared) for seed in range(seeds)]

    def _new(self, steps: Sequence[int], tried: set[int]) -> set[int]:
        return {i for i in steps if i not in tried and LOWEST <= rate(i) <= HIGHEST}

    def _best(self, steps: Sequence[int], seeds: int) -> int:
        """Return the step of the highest score, or of the lowest loss if all are at chance."""
        if any(self._learned(i, seeds) for i in steps):
            return max(sorted(steps), key=lambda i: self._mean_score(i, seeds))
        return min(sorted(steps), key=lambda i: self._loss(i, seeds))

    def _smallest_as_good(self, best: int, steps: Sequence[int], seeds: int) -> int:
        if seeds == 1 or not any(self._learned(i, seeds) for i in steps):
            return best
        error = float(np.std(self._scores(best, seeds), ddof=1)) / math.sqrt(seeds)
        least = self._mean_score(best, seeds) - error
        return min((i for i in steps if self._mean_score(i, seeds) >= least), default=best)

    def _own(self) -> Run:
        return replace(self.run, evaluate_on="validation", seed=0)

    def _trial(self, step: int, seed: int) -> Run:
        return replace(self._own(), learning_rate=rate(step), seed=FIRST_SEED + seed)

    def _history(self, step: int, seed: int) -> History:
        return self.done[self._trial(step, seed)]

    def _sound(self, step: int, seeds: int) -> bool:
        """Return whether the first ``seeds`` trials at a rate are all trained and sound."""
        trials = [self._trial(step, seed) for seed in range(seeds)]
        return all(trial in self.done and is_sound(self.done[trial]) for trial in trials)

    def _learned(self, step: int, seeds: int) -> bool:
        assert self.run.test_samples is not None
        return above_chance(self._mean_score(step, seeds), self.run.test_samples)

    def _scores(self, step: int, seeds: int) -> list[float]:
        return [last_epochs_score(self._history(step, seed)) for seed in range(seeds)]

    def _mean_score(self, step: int, seeds: int) -> float:
        score = float(np.mean(self._scores(step, seeds)))
        return -math.inf if math.isnan(score) else score

    def _loss(self, step: int, seeds: int) -> float:
        losses = [self._history(step, s).test_loss[-SCORED_EPOCHS:] for s in range(seeds)]
        loss = float(np.mean(losses))
        return math.inf if math.isnan(loss) else loss
