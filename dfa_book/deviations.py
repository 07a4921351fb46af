"""The effect of known deviations of the thesis's code from its text, in small experiments on digits.

Each experiment trains many small networks of one shape side by side (``train_together``); its ``table``
is kept in a CSV. The size of an effect holds at this scale only.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy.typing import ArrayLike
from torch import Tensor

from dfa_lib.data.digits import load_digits
from dfa_lib.data.examples import Examples, stack
from dfa_lib.data.images import Digits, take
from dfa_lib.data.parity import draw_stacks
from dfa_lib.engine import Engine
from dfa_lib.experiments.kept_table import (
    REAL,
    SHARE,
    TEXT,
    WHOLE,
    Column,
    Row,
    TablePath,
    kept_table,
    plan_digest,
)
from dfa_lib.experiments.orphans import tied
from dfa_lib.experiments.outcomes import UNSTABLE, outcome
from dfa_lib.experiments.statistics import Interval, mean_interval
from dfa_lib.methods import METHODS
from dfa_lib.optimizers import OPTIMIZERS, Optimizer, Rate, State, adam
from dfa_lib.randomness import generator
from dfa_lib.training import (
    Run,
    initial_parameters,
    load_problem,
    measure,
    train_epoch,
    using_threads,
)

Source = Callable[[], Examples]


@dataclass(frozen=True)
class Scale:
    """Size of the experiments."""

    epochs: int = 10
    samples: int = 2_000  #: stacks per epoch
    adam_samples: int = 6_000  #: the same for Adam: the number of updates per epoch matters
    seeds: int = 5
    tuning_seeds: int = 2
    matrices: int = 12
    repeats: int = 8  #: runs with each matrix
    chains: int = 8  #: chains of three repeats
    splits: int = 20

    def run(self, method: str = "dfa", **fields: Any) -> Run:
        """Return a run at this scale, on the parity of two of the bundled digits."""
        small: dict[str, Any] = {
            **{"k": 2, "samples": self.samples, "test_samples": 500, "hidden": 64, "batch_size": 50},
            **{"method": method, "epochs": self.epochs, "learning_rate": 0.2},
        }
        return Run(**(small | fields))


FULL = Scale()
SMOKE = Scale(
    epochs=2, samples=200, adam_samples=200, seeds=2, tuning_seeds=1, matrices=3, repeats=3, chains=2,
    splits=2,
)  # fmt: skip
"""Quick enough for a test; its numbers mean nothing."""


# ---- training ----


class Trained(NamedTuple):
    """Results of runs: accuracies on sets of held-out stacks, and stability by the first of these."""

    accuracies: np.ndarray  # (sets, epochs, runs)
    unstable: list[bool]


def train_together(
    runs: Sequence[Run],
    *,
    optimizer: Optimizer | None = None,
    matrices: Sequence[int] | None = None,
    state: State | None = None,
    after_epoch: Callable[[State], State] = lambda state: state,
    training: Sequence[Source] | None = None,
    held_out: Sequence[Sequence[Source]] | None = None,
) -> tuple[Trained, State]:
    """Train runs of one shape side by side as ``train_stack`` does, with these deviations.

    Parameters
    ----------
    runs
        Runs that differ in seed and learning rate only.
    optimizer, state
        Replace the runs' optimizer, and its initial state.
    matrices
        Seeds of the runs' random matrices.
    after_epoch
        Changes the optimizer's state after each epoch.
    training, held_out
        Sources of each run's training stacks, and of its stacks in each held-out set.

    Returns
    -------
    trained, state
        Results of the runs, and the final state of the optimizer.
    """
    run = runs[0]
    problems = [load_problem(each) for each in runs]
    training = training or [problem.training for problem in problems]
    held_out = held_out or [[problem.held_out for problem in problems]]
    seeds = matrices or [run.seed for run in runs]
    networks = [_network(each, problems[0].inputs, seed) for each, seed in zip(runs, seeds, strict=True)]
    engine = Engine(
        {name: torch.stack([network[name] for network in networks]) for name in networks[0]},
        METHODS[run.method].rule,
        optimizer or OPTIMIZERS[run.optimizer],
        learning_rate=torch.tensor([[each.learning_rate] for each in runs]),
        activation=run.activation,
    )
    if state is not None:
        engine.state = state
    accuracies, losses = [], []
    with using_threads(1):
        for _ in range(run.epochs):
            examples = stack([source() for source in training])
            train_epoch(engine, examples, run.batch_size)
            engine.state = after_epoch(engine.state)
            measured = [
                measure(run, engine, examples, stack([source() for source in of])) for of in held_out
            ]
            accuracies.append([values["test_accuracy"] for values in measured])
            losses.append(measured[0]["train_loss"])
    reached = np.array(accuracies).swapaxes(0, 1)
    assert run.test_samples is not None
    unstable = [
        outcome(loss, accuracy, run.test_samples) == UNSTABLE
        for loss, accuracy in zip(np.array(losses).T.tolist(), reached[0].T.tolist(), strict=True)
    ]
    return Trained(reached, unstable), engine.state


def _network(run: Run, inputs: int, matrix: int) -> dict[str, Tensor]:
    """Return the tensors of a run, with the random matrix of the seed ``matrix``."""
    parameters = initial_parameters(run, inputs)
    other = initial_parameters(replace(run, seed=matrix), inputs)
    return parameters | {name: other[name] for name in parameters if name.startswith("B")}


# ---- Adam ----

ADAM_RATES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
BETAS = (0.9, 0.999)


def adam_by_epochs(
    theta: Tensor, g: Tensor, state: State, *, learning_rate: Rate
) -> tuple[Tensor, State]:
    """Adam whose bias correction counts epochs: β₁ᵗ and β₂ᵗ are constant during an epoch."""
    theta, (m, v, *_) = adam(theta, g, state, learning_rate=learning_rate)
    return theta, (m, v, *state[2:])


def epoch_is_over(state: State) -> State:
    """Count an epoch."""
    m, v, beta1_t, beta2_t = state
    return m, v, beta1_t * BETAS[0], beta2_t * BETAS[1]


COUNTED: dict[str, dict[str, Any]] = {
    "updates": {},
    "epochs": {
        "optimizer": Optimizer(adam_by_epochs, OPTIMIZERS["adam"].initial_state),
        "after_epoch": epoch_is_over,
    },
}
"""Arguments of ``train_together``, by what Adam's bias correction counts."""


def step_factor(updates_per_epoch: int, epochs: int) -> np.ndarray:
    """Return the step length of each update if epochs are counted, relative to the right one.

    This holds in exact arithmetic, with ε = 0 and the same gradients.
    """
    t = np.arange(1, updates_per_epoch * epochs + 1)
    epoch = (t - 1) // updates_per_epoch + 1

    def correction(count: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(1 - BETAS[1] ** count) / (1 - BETAS[0] ** count))

    return np.asarray(correction(epoch) / correction(t))


def _adam(scale: Scale, method: str, counted: str) -> list[dict[str, Any]]:
    """Train with Adam that counts updates or epochs, at the best of its rates on validation digits.

    A rate's score is the mean accuracy of the last half of the epochs.
    """
    run = scale.run(method, optimizer="adam", samples=scale.adam_samples)
    tried = [
        replace(run, learning_rate=rate, seed=1_000 + seed, evaluate_on="validation")
        for rate in ADAM_RATES
        for seed in range(scale.tuning_seeds)
    ]
    (accuracies, _), _ = train_together(tried, **COUNTED[counted])
    scores = accuracies[0, scale.epochs // 2 :].mean(0).reshape(len(ADAM_RATES), -1).mean(1)
    best = ADAM_RATES[int(np.argmax(scores))]
    runs = [replace(run, learning_rate=best, seed=seed) for seed in range(scale.seeds)]
    (accuracies, unstable), _ = train_together(runs, **COUNTED[counted])
    return [
        {"method": method, "counted": counted, "learning_rate": best, "seed": seed}
        | {"unstable": int(unstable[seed])}
        | {"epoch": epoch, "test_accuracy": accuracies[0, epoch - 1, seed]}
        for seed in range(scale.seeds)
        for epoch in range(1, scale.epochs + 1)
    ]


# ---- repeats that share a matrix or a state ----


def _with_matrix(scale: Scale, matrix: int) -> list[dict[str, Any]]:
    """Train DFA many times with one random matrix; all else is drawn anew for every run."""
    first = 10_000 + matrix * scale.repeats
    runs = [scale.run(seed=first + repeat) for repeat in range(scale.repeats)]
    (accuracies, unstable), _ = train_together(runs, matrices=[matrix] * scale.repeats)
    return [
        {"matrix": matrix, "repeat": repeat, "unstable": int(unstable[repeat])}
        | {"test_accuracy": accuracies[0, -1, repeat]}
        for repeat in range(scale.repeats)
    ]


CARRIED_RATES = {"adagrad": 0.05, "adadelta": 1.0, "rmsprop": 0.002, "adam": 0.005}


def _chains(scale: Scale, optimizer: str) -> list[dict[str, Any]]:
    """Train DFA three times in a row, with the optimizer's state fresh or carried over.

    A chain of three keeps its random matrix. Both kinds of repeat share everything else, seeds included,
    so that they are compared in pairs; a chain's first repeat is the same for both.
    """
    rows, chains = [], range(scale.chains)
    carried: State | None = None
    for repeat in (1, 2, 3):
        tuned: dict[str, Any] = {"optimizer": optimizer, "learning_rate": CARRIED_RATES[optimizer]}
        runs = [scale.run(**tuned, seed=20_000 + 3 * chain + repeat) for chain in chains]
        for kind, state in (("fresh", None), ("carried", carried)):
            (accuracies, unstable), after = train_together(runs, matrices=chains, state=state)
            rows += [
                {"optimizer": optimizer, "chain": chain, "repeat": repeat, "state": kind}
                | {"unstable": int(unstable[chain]), "test_accuracy": accuracies[0, -1, chain]}
                for chain in chains
            ]
        carried = after
    return rows


# ---- learning rates chosen on test digits ----

# As close together as the thesis's rates, such as 0.016 and 0.018.
RATES = (0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.8)
SETS = ("validation", "test", "fresh")
HELD_OUT_DIGITS = 240  # in each of SETS


def _on_splits(scale: Scale, splits: Sequence[int]) -> list[dict[str, Any]]:
    """Train BP at several rates on splits of the digits, and measure it on the ``SETS`` of each.

    A rate has a run ``"tuning"`` and a run ``"report"``, which differ in their seed; ``score`` is the
    mean accuracy of the last half of the epochs.
    """
    cases = [
        (split, rate, name, number)
        for split in splits
        for rate in RATES
        for number, name in enumerate(("tuning", "report"))
    ]
    runs = [
        scale.run("bp", learning_rate=rate, seed=30_000 + 2 * split + number)
        for split, rate, _, number in cases
    ]
    parts = {split: split_digits(split) for split in splits}
    digits = [parts[split] for split, *_ in cases]
    (accuracies, unstable), _ = train_together(
        runs,
        training=[_stacks(run, each["train"], "train") for run, each in zip(runs, digits, strict=True)],
        held_out=[
            [_stacks(run, each[name], name) for run, each in zip(runs, digits, strict=True)]
            for name in SETS
        ],
    )
    scores = accuracies[:, scale.epochs // 2 :].mean(1)
    return [
        {"split": split, "learning_rate": rate, "run": name, "judged_on": judged}
        | {"unstable": int(unstable[j]), "score": scores[i, j]}
        for j, (split, rate, name, _) in enumerate(cases)
        for i, judged in enumerate(SETS)
    ]


def split_digits(split: int) -> dict[str, Digits]:
    """Return the bundled digits, shuffled by the number of a split and divided into four sets."""
    sets = load_digits()
    images, labels = (
        torch.cat([getattr(digits, name) for digits in sets]) for name in ("images", "labels")
    )
    order = torch.randperm(len(labels), generator=generator(split, "split"))
    digits = Digits(images[order].float(), labels[order])
    ends = [i * HELD_OUT_DIGITS for i in range(len(SETS) + 1)]
    parts = {name: take(digits, *ends[i : i + 2]) for i, name in enumerate(SETS)}
    return parts | {"train": take(digits, ends[-1], None)}


def _stacks(run: Run, digits: Digits, name: str) -> Source:
    n = run.samples if name == "train" else run.test_samples
    assert run.k is not None
    assert n is not None
    return partial(draw_stacks, digits, run.k, n, generator(run.seed, name))


def worth_of_test_digits(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what choosing the rate on test digits instead of validation digits adds to the score.

    There is one value per split: ``"reported"`` on the test digits themselves, ``"true"`` on fresh ones.
    """
    tuning, report = (
        table[table["run"] == run].pivot(
            index=["split", "learning_rate"], columns="judged_on", values="score"
        )
        for run in ("tuning", "report")
    )
    on_test, on_validation = (
        report.loc[tuning[name].groupby("split").idxmax()] for name in ("test", "validation")
    )
    return {
        kind: on_test[judged].to_numpy() - on_validation[judged].to_numpy()
        for kind, judged in (("reported", "test"), ("true", "fresh"))
    }


# ---- intervals ----


def bootstrap_interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean, computed over all resamples."""
    x = np.asarray(values, dtype=float)
    resamples = np.stack(np.meshgrid(*[x] * len(x)), axis=-1).reshape(-1, len(x)).mean(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(resamples, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def coverage(
    table: pd.DataFrame, interval: Callable[[Sequence[float]], tuple[float, float]], *, shared: bool
) -> tuple[Interval, float]:
    """Return the coverage and the mean width of an interval over three repeats.

    Covered is the mean over all runs of the experiment ``"shared"``. The coverage has an interval over
    matrices if the three repeats share their matrix, and over repeats otherwise.
    """
    runs = table.pivot(index="matrix", columns="repeat", values="test_accuracy").to_numpy()
    truth = runs.mean()
    groups = runs if shared else runs.T  # three repeats come from one row
    ends = np.array([[interval(list(three)) for three in combinations(group, 3)] for group in groups])
    # (groups, threes, 2)
    held = (ends[..., 0] <= truth) & (truth <= ends[..., 1])
    return mean_interval(held.mean(1)), float((ends[..., 1] - ends[..., 0]).mean())


def share_of_matrix(table: pd.DataFrame) -> float:
    """Return the share of the variance between runs that is due to the random matrix, in [0, 1].

    This is the estimate of the analysis of variance, clipped at 0.
    """
    runs = table.pivot(index="matrix", columns="repeat", values="test_accuracy").to_numpy()
    within = runs.var(axis=1, ddof=1).mean()
    between = max(0.0, runs.mean(1).var(ddof=1) - within / runs.shape[1])
    return float(between / (between + within))


# ---- the CSVs ----


class Experiment(NamedTuple):
    """What returns the rows of a case, the cases at a scale, and the names of the table's columns."""

    rows: Callable[..., list[dict[str, Any]]]
    cases: Callable[[Scale], list[tuple[Any, ...]]]
    names: str

    @property
    def columns(self) -> dict[str, Column]:
        """The columns of the table, with their types."""
        return {name: TYPES[name] for name in self.names.split()}


EXPERIMENTS = {
    "adam": Experiment(
        _adam, lambda of: [(method, counted) for method in ("bp", "dfa") for counted in COUNTED],
        "method counted learning_rate seed unstable epoch test_accuracy",
    ),
    "shared": Experiment(
        _with_matrix, lambda of: [(matrix,) for matrix in range(of.matrices)],
        "matrix repeat unstable test_accuracy",
    ),
    "carried": Experiment(
        _chains, lambda of: [(optimizer,) for optimizer in CARRIED_RATES],
        "optimizer chain repeat state unstable test_accuracy",
    ),
    "rates": Experiment(
        _on_splits, lambda of: [(range(of.splits)[i::5],) for i in range(min(5, of.splits))],
        "split learning_rate run judged_on unstable score",
    ),
}  # fmt: skip
MEASURED = {"unstable", "epoch", "test_accuracy", "judged_on", "score"}
TYPES = {
    **dict.fromkeys(("method", "counted", "optimizer", "state", "run", "judged_on"), TEXT),
    **dict.fromkeys(("matrix", "repeat", "chain", "split", "seed", "unstable", "epoch"), WHOLE),
    **{"learning_rate": REAL, "test_accuracy": SHARE, "score": SHARE},
}


def table(name: str, scale: Scale, *, results: TablePath = None, jobs: int = 1) -> pd.DataFrame:
    """Return the table of one of ``EXPERIMENTS`` from its CSV, or compute and save it, a job a case.

    A ``test_accuracy`` without an ``epoch`` is that of the last one.
    """
    grids = (ADAM_RATES, BETAS, CARRIED_RATES, RATES, HELD_OUT_DIGITS)
    digest = plan_digest(f"{name} {scale} {grids}")
    experiment = EXPERIMENTS[name]
    columns = experiment.columns

    def make(_: list[Row]) -> Iterator[tuple[list[Row], int]]:
        cases = experiment.cases(scale)
        made = Parallel(min(jobs, len(cases)))(
            delayed(tied(experiment.rows))(scale, *case) for case in cases
        )
        rows = [row for each in made for row in each]
        runs = {tuple(row[column] for column in columns if column not in MEASURED) for row in rows}
        yield [tuple(row[column] for column in columns) for row in rows], len(runs)

    every, same = {"experiment": TEXT} | columns, {"experiment": digest}
    kept = kept_table(results, every, same, make, datasets=["digits"], jobs=jobs)
    return kept.drop(columns="experiment")
