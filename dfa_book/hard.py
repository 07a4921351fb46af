"""Parities of k among n bits, learned by one hidden layer from fresh examples: how many steps it takes.

Inputs are uniform on ±1; the label is 1 where the product of the first k is 1. All seeds of a case train
as one batch of runs.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import pandas as pd
import torch
from joblib import Parallel, delayed
from torch import Tensor

from dfa_lib.experiments.kept_table import (
    REAL,
    SHARE,
    TEXT,
    WHOLE,
    Row,
    TablePath,
    kept_table,
    plan_digest,
)
from dfa_lib.experiments.orphans import tied
from dfa_lib.feedback import feedback_matrices
from dfa_lib.learning_rules import gradients
from dfa_lib.methods import METHODS
from dfa_lib.networks import Parameters, accuracy, forward
from dfa_lib.optimizers import OPTIMIZERS, State, step
from dfa_lib.randomness import generator
from dfa_lib.training import using_threads

HIDDEN, BATCH, TEST = 128, 64, 2_000
GOAL, UNMOVED, DONE = 0.75, 0.55, 0.9
"""Test accuracies: a parity is learned; it has not begun to be; a run ends."""
SMALL_RATE = 0.25
BITS = 20  # n, unless it is varied
# Steps at which runs are measured: each a fifth more than the one before.
TIMES = sorted({round(2 ** (i / 4)) for i in range(60)})
# Steps whose examples are drawn at once.
BLOCK = 64
CASE = ("k", "dimensions", "method", "optimizer", "learning_rate")
COLUMNS = {
    **{"experiment": TEXT, "k": WHOLE, "dimensions": WHOLE, "method": TEXT, "optimizer": TEXT},
    **{"learning_rate": REAL, "seed": WHOLE, "step": WHOLE, "test_accuracy": SHARE, "relevant": REAL},
}


class BitsCase(NamedTuple):
    """A problem, k of so many bits, and how it is learned."""

    k: int
    dimensions: int
    method: str
    optimizer: str
    learning_rate: float


def signs(shape: Sequence[int], stream: torch.Generator) -> Tensor:
    """Draw signs, as 8-bit integers."""
    return 2 * torch.randint(2, tuple(shape), generator=stream, dtype=torch.int8) - 1


def parity_labels(X: Tensor, k: int) -> Tensor:
    """Return the labels of rows of signs: 1 where the product of the first k is 1, else 0."""
    return (X[..., :k].prod(dim=-1, keepdim=True) > 0).float()


def start_networks(case: BitsCase, seeds: Sequence[int]) -> Parameters:
    """Draw the networks of some seeds, stacked; methods that share a seed share their weights."""
    method, widths = METHODS[case.method], (case.dimensions, HIDDEN, 1)
    networks = []
    for seed in seeds:
        network = method.draw(widths, partial(generator, seed), biases=True)
        if method.direct_feedback is not None:
            network |= feedback_matrices(widths, "uniform", generator(seed, "feedback"), direct=True)
        networks.append(network)
    return {name: torch.stack([each[name] for each in networks]).float() for name in networks[0]}


def train_bits(case: BitsCase, seeds: Sequence[int], steps: int) -> list[Row]:
    """Train a case with some seeds; return a row for each seed and measured step, from ``k`` on.

    A run ends when its accuracy is ``DONE``, or after so many ``steps``.
    """
    with using_threads(1):
        return list(_train(case, seeds, steps))


def _train(case: BitsCase, seeds: Sequence[int], steps: int) -> Iterator[Row]:
    k, n = case.k, case.dimensions
    parameters = start_networks(case, seeds)
    start, state = parameters["W1"], dict[str, State]()
    rule, optimizer = METHODS[case.method].rule, OPTIMIZERS[case.optimizer]
    streams = [generator(seed, "train") for seed in seeds]
    test = torch.stack([signs((TEST, n), generator(seed, "test")) for seed in seeds]).float()
    training = set(range(len(seeds)))
    for t in range(1, steps + 1):
        place = (t - 1) % BLOCK
        if place == 0:
            block = torch.stack([signs((BLOCK, BATCH, n), stream) for stream in streams])
        X = block[:, place].float()
        y = parity_labels(X, k)
        parameters, state = step(
            optimizer,
            parameters,
            state,
            lambda now, X=X, y=y: gradients(rule(now, X, y)),  # type: ignore[misc]
            learning_rate=case.learning_rate,
        )
        if t not in TIMES and t != steps:
            continue
        right = accuracy(forward(parameters, test).logits, parity_labels(test, k)).tolist()
        moved = (parameters["W1"] - start).square()
        further = (moved[:, :k].mean(dim=(1, 2)) / moved[:, k:].mean(dim=(1, 2))).sqrt().tolist()
        for i in sorted(training):
            yield (*case, seeds[i], t, float(f"{right[i]:.6g}"), float(f"{further[i]:.5g}"))
        training -= {i for i in training if right[i] >= DONE}
        if not training:
            return


def bits_table(
    cases: Sequence[BitsCase],
    seeds: Sequence[int],
    steps: int,
    *,
    results: TablePath = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Train each case with each seed for at most so many steps, and measure at the steps of ``TIMES``.

    Returns one row per run and measured step: the case, ``seed``, ``step``, ``test_accuracy``, and
    ``relevant``, the root mean square movement of the first layer's weights of relevant inputs over that
    of the others (nan if none moved). Raises ``InputError`` if the CSV ``results`` is damaged or belongs
    to another experiment.
    """

    def make(missing: list[Row]) -> Iterator[tuple[list[Row], int]]:
        new: dict[BitsCase, list[int]] = {}
        for *case, seed in missing:
            new.setdefault(BitsCase(*case), []).append(seed)
        parallel = Parallel(n_jobs=min(jobs, len(new)), return_as="generator", batch_size=1)
        trained = parallel(delayed(tied(train_bits))(case, own, steps) for case, own in new.items())
        for rows, own in zip(trained, new.values(), strict=True):
            yield rows, len(own)

    plan = (HIDDEN, BATCH, TEST, DONE, steps)
    return kept_table(
        results,
        COLUMNS,
        {"experiment": plan_digest(repr(plan))},
        make,
        key=(*CASE, "seed"),
        wanted=[(*case, seed) for case in cases for seed in seeds],
        datasets=[],
        jobs=jobs,
    )


def steps_needed(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return the ``steps`` of each run until the goal, and whether it ``reached`` it.

    A run that did not counts with its last step. ``table`` has ``step`` and ``test_accuracy``; runs are
    told apart by the columns ``by``.
    """
    last = table.groupby(list(by))["step"].max()
    hit = table[table["test_accuracy"] >= GOAL].groupby(list(by))["step"].min()
    return pd.DataFrame(
        {"steps": hit.reindex(last.index).fillna(last), "reached": last.index.isin(hit.index)}
    )


def fastest(tried: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Return the learning rate with the least geometric mean of steps, for each value of ``by``."""
    needed = steps_needed(tried, [*by, "learning_rate", "seed"])["steps"].astype(float)
    means = needed.map(math.log).groupby([*by, "learning_rate"]).mean()
    best: pd.Series = means.groupby(list(by)).idxmin().map(lambda place: place[-1])
    return best


def with_steps(table: pd.DataFrame) -> pd.DataFrame:
    """Return a results table with the column ``step``: steps made until the end of an epoch."""
    return table.assign(step=table["epoch"] * table["samples"] // table["batch_size"])
