"""Lazy and rich training: networks whose logit is multiplied by α, and how far their weights move.

The logit is ``α (h(θ) - h(θ₀))``, and the rate η/α² (Chizat et al., 2019, arXiv 1812.07956): for large
α, training becomes that of the model that is linear in θ - θ₀.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from dfa_lib.alignment import cosine
from dfa_lib.engine import Engine
from dfa_lib.experiments.kept_table import LOSS, REAL, SHARE, TEXT, WHOLE, Row, TablePath
from dfa_lib.experiments.outcomes import is_unstable
from dfa_lib.experiments.statistics import with_outcomes
from dfa_lib.learning_rules import Products, backward
from dfa_lib.methods import METHODS, Method
from dfa_lib.networks import ACTIVATIONS, ForwardPass, Parameters, forward, pre_activation
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import Run, evaluate, initial_parameters, load_problem, train_epoch, using_threads

from .edge import best_rate
from .followed import followed_table

PLAIN, LINEAR = "none", "linear"
"""Names of scales that are no number: the network as elsewhere in the book, and the linear model."""
# Held-out stacks on which kernels and gates are compared, and the epochs after which they are.
MEASURED_ON, MEASURED_AFTER = 256, (1, 2, 5, 10)
NOT_MEASURED: Row = (math.nan,) * 5
TRAINED = ("W1", "b1", "W2", "b2")
KEY = ("method", "k", "optimizer", "learning_rate", "seed")
COLUMNS = {
    **{"experiment": TEXT, "method": TEXT, "k": WHOLE, "optimizer": TEXT, "learning_rate": REAL},
    **{"seed": WHOLE, "scale": TEXT, "epoch": WHOLE, "moved_1": REAL, "moved_2": REAL, "kernel": REAL},
    **{"gates": SHARE, "first_layer": REAL, "train_loss": LOSS, "test_accuracy": SHARE},
    "test_samples": WHOLE,
}


class AtScales(NamedTuple):
    """A run without its seed, and its scales in turn: numbers α, ``LINEAR``, or ``PLAIN``."""

    run: Run
    scales: tuple[str, ...] = (PLAIN,)


def scaled(name: str, scale: str) -> Method:
    """Return BP or DFA for one hidden layer whose output is scaled, of networks from ``with_start``."""
    if scale == PLAIN:
        return METHODS[name]
    linear = scale == LINEAR
    alpha = 1.0 if linear else float(scale)

    def passes(parameters: Parameters, X: Tensor, activation: str = "relu") -> ForwardPass:
        start = {of: parameters[f"start {of}"] for of in TRAINED}
        first = forward(start, X, activation)
        if not linear:
            now = forward(parameters, X, activation)
            logits = alpha * (now.logits - first.logits)
            return ForwardPass(now.hidden, [now.pre_activations[0], logits])
        moved = {of: parameters[of] - start[of] for of in TRAINED}
        slope = ACTIVATIONS[activation].derivative(first.pre_activations[0])
        of_first, of_output = pre_activation(X, moved, 1), pre_activation(first.hidden[1], moved, 2)
        logits = (of_first * slope) @ start["W2"] + of_output
        return ForwardPass(first.hidden, [first.pre_activations[0], logits])

    def rule(parameters: Parameters, X: Tensor, y: Tensor, activation: str = "relu") -> Products:
        W2 = parameters["start W2" if linear else "W2"]
        back = parameters["B1"] if METHODS[name].direct_feedback else W2.mT
        passed = passes(parameters, X, activation)
        for of, a, b in backward(parameters, passed, y, activation, lambda _, error, __: error @ back):
            yield of, a, b / alpha  # times α for the gradient, over α² for the rate

    return METHODS[name]._replace(rule=rule, forward=passes)


def with_start(parameters: Parameters) -> Parameters:
    """Return a network with copies of its weights beside them, as θ₀."""
    return parameters | {f"start {of}": parameters[of].clone() for of in TRAINED}


def kernel_parts(parameters: Parameters, X: Tensor, feedback: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kernels on X by which steps of the output and of the first layer change the logit.

    ``feedback`` is ``W2ᵀ`` for the tangent kernel, B for DFA's. Both parts are centred: rows and columns
    have the mean 0.
    """
    passed = forward(parameters, X)
    h, gates = passed.hidden[1], ACTIVATIONS["relu"].derivative(passed.pre_activations[0])
    first = (X @ X.mT + 1) * ((gates * parameters["W2"].mT * feedback) @ gates.mT)
    return _centred(h @ h.mT), _centred(first)


def _centred(K: Tensor) -> Tensor:
    return K - K.mean(-1, keepdim=True) - K.mean(-2, keepdim=True) + K.mean()


def compared(start: Parameters, now: Parameters, X: Tensor) -> tuple[float, ...]:
    """Return how far weights moved from their start, and what came of it on the inputs X.

    These are ``|W - W₀|/|W₀|`` of both layers; the change of the tangent kernel, 1 minus the centred
    alignment of both (Cortes et al., 2012); the share of gates that flipped; and the first layer's share
    in the trace of the rule's own kernel.
    """
    moved = [(now[W] - start[W]).norm() / start[W].norm() for W in ("W1", "W2")]
    before, after = (torch.stack(kernel_parts(of, X, of["W2"].mT)).sum(0) for of in (start, now))
    flipped = (forward(start, X).hidden[1] > 0) != (forward(now, X).hidden[1] > 0)
    output, first = (part.trace() for part in kernel_parts(now, X, now.get("B1", now["W2"].mT)))
    values = (*moved, 1 - cosine(before, after), flipped.double().mean(), first / (output + first))
    return tuple(value if math.isfinite(value := float(one)) else math.nan for one in values)


def follow_scales(run: Run, scales: Sequence[str]) -> list[Row]:
    """Train a run once at each scale; return rows, from the column ``scale`` on."""
    with using_threads(1):
        return [row for scale in scales for row in _follow(run, scale)]


def _follow(run: Run, scale: str) -> Iterator[Row]:
    problem, method = load_problem(run), scaled(run.method, scale)
    start = initial_parameters(run, problem.inputs)
    network = start if scale == PLAIN else with_start(start)
    optimizer = OPTIMIZERS[run.optimizer]
    engine = Engine(network, method.rule, optimizer, learning_rate=run.learning_rate)
    for epoch in range(1, run.epochs + 1):
        examples = problem.training()
        train_epoch(engine, examples, run.batch_size)
        held_out = problem.held_out()
        if epoch in (*MEASURED_AFTER, run.epochs):
            now, measures = engine.parameters, NOT_MEASURED
            if scale != LINEAR and not method.lazy:
                measures = compared(start, now, held_out.batch(0, MEASURED_ON)[0])
            loss, _ = evaluate(method, now, examples.head(len(held_out)), run.activation)
            _, accuracy = evaluate(method, now, held_out, run.activation)
            shown = float(loss) if math.isfinite(loss) else math.nan
            yield scale, epoch, *measures, shown, float(accuracy), run.test_samples


def rich_table(
    cases: Sequence[AtScales], seeds: Sequence[int], *, results: TablePath = None, jobs: int = 1
) -> pd.DataFrame:
    """Train networks at several scales, which may differ in method, k, optimizer and rate.

    Returns one row per run, scale and epoch: the measures of ``compared`` (nan where the kernel is
    fixed), the loss (nats) on as many training stacks as there are held-out ones, the accuracy on those,
    and their number; the column ``outcome`` has one value for each run and scale. Raises ``InputError``
    if the data cannot be loaded, or the CSV ``results`` is damaged or belongs to another experiment.
    """
    runs = [(replace(run, seed=seed), scales) for seed in seeds for run, scales in cases]
    by_key = {tuple(getattr(run, name) for name in KEY): (run, scales) for run, scales in runs}
    like = replace(cases[0].run, method="bp", feedback=None, optimizer="sgd")
    shared = replace(like, k=1, learning_rate=1.0, seed=0)
    return with_outcomes(
        followed_table(results, COLUMNS, KEY, follow_scales, by_key, shared, jobs=jobs, count=True)
    )


def at_best_rates(tuning: pd.DataFrame, like: Run) -> list[AtScales]:
    """Return the runs of a table at their best rates, each with the scales that it is best for."""
    last = tuning[tuning["epoch"] == tuning["epoch"].max()]
    last = last.assign(unstable=is_unstable(last), accuracy=last["test_accuracy"].fillna(0.0))
    scales: dict[tuple[str, float], tuple[str, ...]] = {}
    for (method, scale), runs in last.groupby(["method", "scale"], sort=False):
        at = method, best_rate(runs).rate
        scales[at] = (*scales.get(at, ()), scale)
    runs_at = [replace(like, method=m, feedback=None, learning_rate=rate) for m, rate in scales]
    return [AtScales(run, names) for run, names in zip(runs_at, scales.values(), strict=True)]
