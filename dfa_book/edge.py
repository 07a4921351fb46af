"""Where training with SGD becomes unstable: the gain of BP's and DFA's steps along training.

The *gain* is ηλ: the learning rate times the largest eigenvalue of the Jacobian of the rule's update.
Above 2, small disturbances grow (``dfa_lib.experiments.stability``).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
import torch

from dfa_lib.data.examples import Examples
from dfa_lib.experiments.kept_table import (
    LOSS,
    NAME,
    REAL,
    SHARE,
    TEXT,
    WHOLE,
    Row,
    TablePath,
)
from dfa_lib.experiments.outcomes import NON_FINITE, UNSTABLE, UNSTABLE_ON_THE_WAY, outcome
from dfa_lib.experiments.runner import MOST_SEEDS
from dfa_lib.experiments.stability import Mode, leading_mode
from dfa_lib.learning_rules import gradients
from dfa_lib.methods import METHODS
from dfa_lib.training import Problem, Run, evaluate, initial_parameters, load_problem, using_threads
from dfa_lib.validation import choice, whole_number

from .claims.queries import Sample
from .followed import followed_table

EDGE = 2.0
# Training stacks of the epoch on which loss and Jacobian are measured.
MEASURED_ON = 1_000
# Steps from one measurement to the next: half an epoch of the bundled digits.
STRIDE = 60
# Products with the Jacobian: first, and later, from the last eigenvector on.
FIRST_PRODUCTS, PRODUCTS = 20, 5

COLUMNS = {
    **{"experiment": TEXT, "remedy": TEXT, "method": TEXT, "feedback": NAME, "learning_rate": REAL},
    **{"seed": WHOLE, "step": WHOLE, "gain": REAL, "loss": LOSS, "accuracy": SHARE},
    "test_samples": WHOLE,
}


class State(NamedTuple):
    """What a remedy may go by: the step, the length of the update, and the gain measured last."""

    step: int
    length: float
    gain: float


class Remedy(NamedTuple):
    """What may keep training stable: its name, what it does, and the factor by which it changes η."""

    label: str
    about: str
    factor: Callable[[State], float]
    stride: int = STRIDE  #: steps from one measurement to the next; a divisor of ``STRIDE``


# Held gain, longest update, and steps of warm-up: chosen by a pilot of seven runs.
HELD, LONGEST, WARM_UP = 1.2, 0.3, 600

REMEDIES = {
    "none": Remedy("no remedy", "the rate is as it is", lambda state: 1.0),
    "hold": Remedy(
        "gain held",
        f"the gain is measured every 20 steps, and the rate lowered where it is above {HELD:g}",
        lambda state: min(1.0, HELD / max(state.gain, 1e-9)),
        stride=20,
    ),
    "clip": Remedy(
        "updates clipped",
        f"an update is at most {LONGEST:g} long",
        lambda state: min(1.0, LONGEST / max(state.length, 1e-9)),
    ),
    "warm_up": Remedy(
        "warm-up",
        f"the rate rises over {WARM_UP} steps",
        lambda state: min(1.0, (state.step + 1) / WARM_UP),
    ),
}


def table_name(remedy: str) -> str:
    """Return the name of a remedy's results file."""
    return "edge" if remedy == "none" else f"edge_{remedy}"


def edge_table(
    runs: Sequence[Run],
    seeds: int,
    *,
    remedy: str = "none",
    results: TablePath = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Train runs with SGD; measure the gain twice an epoch while they are stable, and their ends.

    ``runs`` may differ in method, feedback and rate; each is trained with the seeds 0 to ``seeds - 1``,
    with a remedy of ``REMEDIES``. ``results`` is a CSV to read from and to save to.

    Returns
    -------
    pandas.DataFrame
        One row per run and measurement: ``step``, ``gain`` (with the run's own η), ``loss`` (nats, on
        the same 1,000 stacks), and ``accuracy`` on held-out stacks, in [0, 1]. The first loss above
        2 ln 2, where the gain is nan, is the last measurement but that of the end. ``test_samples`` is
        the number of held-out stacks.

    Raises
    ------
    InputError
        If a remedy is not known, the data cannot be loaded, or the CSV is damaged or belongs to another
        experiment.
    """
    choice("remedy", remedy, REMEDIES)
    by_key = {
        (run.method, run.feedback, run.learning_rate, seed): (replace(run, seed=seed), remedy)
        for seed in range(whole_number("seeds", seeds, maximum=MOST_SEEDS))
        for run in runs
    }

    shared = replace(runs[0], method="bp", feedback=None, learning_rate=1.0, seed=0)
    key = ("method", "feedback", "learning_rate", "seed")
    return followed_table(results, COLUMNS, key, follow, by_key, shared, jobs=jobs, remedy=remedy)


def follow(run: Run, remedy: str = "none") -> list[Row]:
    """Train a run by plain steps of SGD; return a row for each measurement, from ``step`` on."""
    with using_threads(1):
        return list(_follow(run, REMEDIES[remedy]))


def _follow(run: Run, remedy: Remedy) -> Iterator[Row]:
    problem, method = load_problem(run), METHODS[run.method]
    parameters = initial_parameters(run, problem.inputs)
    held_out = problem.held_out()
    gain, stable = math.nan, True
    mode: Mode | None = None
    for step, (examples, start) in enumerate(_batches(run, problem)):
        if start is None or (stable and step % remedy.stride == 0):
            seen = examples.head(MEASURED_ON)
            loss = float(evaluate(method, parameters, seen, run.activation)[0])
            stable = stable and loss <= UNSTABLE_ON_THE_WAY
            if stable:
                began, products = (mode.vector, PRODUCTS) if mode else (None, FIRST_PRODUCTS)
                batch = seen.batch(0, MEASURED_ON)
                mode = leading_mode(
                    method.rule, parameters, *batch, run.activation, start=began, iterations=products
                )
                gain = run.learning_rate * mode.value
            if start is None or not stable or step % STRIDE == 0:
                accuracy = float(evaluate(method, parameters, held_out, run.activation)[1])
                shown = loss if math.isfinite(loss) else math.nan
                yield step, gain if stable else math.nan, shown, accuracy, run.test_samples
        if start is None:
            return
        X, y = examples.batch(start, run.batch_size)
        update = gradients(method.rule(parameters, X, y, run.activation))
        length = float(torch.stack([value.norm() for value in update.values()]).norm())
        rate = run.learning_rate * remedy.factor(State(step, length, gain))
        for name, value in update.items():
            parameters[name] = parameters[name] - rate * value


def _batches(run: Run, problem: Problem) -> Iterator[tuple[Examples, int | None]]:
    """Yield for each step the epoch's examples and the batch's place in them; None after the last."""
    for _ in range(run.epochs):
        examples = problem.training()
        for start in range(0, len(examples), run.batch_size):
            yield examples, start
    yield examples, None


# ---- what became of the runs ----


def ended(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each run of a table of ``edge_table``.

    Columns: those that name the run; ``unstable``; ``exploded``, the first step with a loss above
    2 ln 2, and ``passed``, the first step after the start with a gain above 2, nan if there is none; and
    ``accuracy`` at the end.
    """

    def end(run: pd.DataFrame) -> pd.Series:
        run = run.sort_values("step")
        shown = int(run["test_samples"].iloc[0])
        became = outcome(run["loss"].tolist(), run["accuracy"].tolist(), shown)
        exploded = run["step"][~(run["loss"] <= UNSTABLE_ON_THE_WAY)]
        passed = run["step"][(run["gain"] > EDGE) & (run["step"] > 0)]
        return pd.Series(
            {
                "unstable": became in (UNSTABLE, NON_FINITE),
                "exploded": exploded.min(),
                "passed": passed.min(),
                "accuracy": run["accuracy"].iloc[-1],
            }
        )

    fields = ["method", "feedback", "learning_rate", "seed"]
    grouped = table.groupby(fields, dropna=False, sort=False)
    return grouped[list(table.columns[table.columns.get_loc("step") :])].apply(end).reset_index()


class Best(NamedTuple):
    """A best rate, and the accuracy at the end with it, by seed."""

    rate: float
    accuracy: Sample


def best_rate(runs: pd.DataFrame) -> Best:
    """Return the rate of the highest mean accuracy at which no run is unstable, or among all rates.

    ``runs`` are of one method and random matrix, as from ``ended``.
    """
    unsound = runs.groupby("learning_rate")["unstable"].transform("any")
    among = runs if unsound.all() else runs[~unsound]
    means = among.groupby("learning_rate")["accuracy"].mean()
    rate = float(means.index.to_numpy()[means.argmax()])
    at_best = runs[runs["learning_rate"] == rate].set_index("seed")
    unstable = frozenset(at_best.index[at_best["unstable"]])
    return Best(rate, Sample(at_best["accuracy"], unstable))
