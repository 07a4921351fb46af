"""The numbers by which claims are judged, computed from results tables or from small networks."""

import inspect
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from dfa_lib.experiments.statistics import CONFIDENCE, UNKNOWN, Interval
from dfa_lib.experiments.tuning import SCORED_EPOCHS
from dfa_lib.feedback import feedback_matrices
from dfa_lib.learning_rules import (
    Products,
    backpropagation,
    direct_feedback_alignment,
    feedback_alignment,
    gradients,
    layer_gradients,
    output_error,
)
from dfa_lib.networks import (
    ACTIVATIONS,
    Parameters,
    accuracy,
    binary_cross_entropy,
    forward,
    initialise_network,
)
from dfa_lib.optimizers import OPTIMIZERS, step
from dfa_lib.randomness import generator
from dfa_lib.training import using_threads

from ..edge import best_rate, table_name
from ..hard import BITS, SMALL_RATE, UNMOVED, steps_needed, with_steps
from . import queries
from .judge import Evidence, NotComputed, Number, exactly
from .queries import Sample, describe, mean_of, tried

CHANCE = 0.5
LEARNED = 0.55
"""Accuracy that a curve must reach to have a half-way epoch."""
ADAPTIVE = ("adagrad", "adadelta", "rmsprop", "adam")
# "glu" is the thesis's own NTK; results of the first edition lack it.
LAZY = ("ntk", "glu", "gaussian_features", "relu_features", "linear_features")
RULES = {"bp": "BP", "dfa": "DFA"}
MATRICES = ("uniform", "standard_uniform", "gaussian", "standard_gaussian")
"""The random matrices of the thesis."""


@dataclass(frozen=True)
class Quantity:
    """A number for each seed, computed from the evidence; differences are paired by seed.

    ``claims.json`` has the name of the function and its arguments.
    """

    function: str
    arguments: Mapping[str, Any]
    of: Callable[[Evidence], Sample]

    def __call__(self, evidence: Evidence) -> Sample:
        """Compute it, or raise ``NotComputed``."""
        return self.of(evidence)

    def __sub__(self, other: "Quantity") -> "Quantity":
        both = {"self": self, "other": other}
        return Quantity("-", both, lambda evidence: self(evidence) - other(evidence))

    def __truediv__(self, other: "Quantity") -> "Quantity":
        both = {"self": self, "other": other}
        return Quantity("/", both, lambda evidence: self(evidence) / other(evidence))


P = ParamSpec("P")


def quantity(function: Callable[Concatenate[Evidence, P], Sample]) -> Callable[P, Quantity]:
    """Turn a function of the evidence and other arguments into one that returns a ``Quantity``."""
    signature = inspect.signature(function)

    @wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Quantity:
        bound = signature.bind(None, *args, **kwargs)
        bound.apply_defaults()
        given = {name: value for name, value in bound.arguments.items() if name != "evidence"}
        return Quantity(function.__name__, given, lambda evidence: function(evidence, *args, **kwargs))

    return make


def runs(evidence: Evidence, experiment: str, **fields: object) -> pd.DataFrame:
    """Return the rows with these fields, or raise ``NotComputed``."""
    rows = queries.select(evidence.table(experiment), **fields)
    if rows.empty:
        raise NotComputed(experiment)
    return rows


# ---- curves and their ends ----


@quantity
def final(
    evidence: Evidence, /, experiment: str, metric: str = "test_accuracy", **fields: object
) -> Sample:
    """Return a metric of the last epoch."""
    return queries.final(runs(evidence, experiment, **fields), metric)


@quantity
def at(evidence: Evidence, /, experiment: str, metric: str, place: float, **fields: object) -> Sample:
    """Return a metric after a share of the epochs, in [0, 1]; 0 is the first epoch."""
    rows = runs(evidence, experiment, **fields)
    return queries.at_epoch(rows, max(1, int(place * int(rows["epochs"].iloc[0]))), metric)


@quantity
def lowest(evidence: Evidence, /, experiment: str, metric: str, **fields: object) -> Sample:
    """Return a metric at the epoch at which its mean over seeds is lowest."""
    rows = runs(evidence, experiment, **fields)
    means = queries.curves(rows, metric).mean(axis=1, skipna=False)
    return queries.at_epoch(rows, 1 + int(means.to_numpy(dtype=float).argmin()), metric)


@quantity
def rank_correlation(evidence: Evidence, first: str, second: str) -> Sample:
    """Return Spearman's ρ of two metrics over the epochs of the long DFA run."""
    rows = runs(evidence, "alignment", method="dfa", optimizer="sgd")
    a, b = (queries.curves(rows, metric) for metric in (first, second))
    return describe(pd.Series({seed: float(stats.spearmanr(a[seed], b[seed])[0]) for seed in a}), rows)


def half_way(curves: pd.DataFrame, start: float | pd.Series, least: float = -math.inf) -> pd.Series:
    """Return the first epoch or time at which each curve is half way from a start to its maximum.

    The maximum is used instead of the last value because an unstable run may fall back. A curve below
    ``least`` has nan.
    """
    marks = (curves >= (start + curves.max()) / 2).idxmax().astype(float)
    return marks.where(curves.max() >= least)


@quantity
def alignment_before_accuracy(evidence: Evidence) -> Sample:
    """Return the half-way epoch of the alignment minus that of the accuracy, in the long DFA run."""
    rows = runs(evidence, "alignment", method="dfa", optimizer="sgd")
    accuracy, alignment = (queries.curves(rows, m) for m in ("test_accuracy", "weight_alignment"))
    return describe(half_way(alignment, 0.0) - half_way(accuracy, CHANCE, LEARNED), rows)


@quantity
def share_of_epochs(evidence: Evidence, method: str, optimizer: str) -> Sample:
    """Return the share of the epochs after which an optimizer reaches SGD's mean final accuracy.

    A run that does not reach it counts as one epoch more than there are.
    """
    goal = with_optimizer(method, "sgd")(evidence).mean
    rows = runs(evidence, "adaptive_methods", method=method, optimizer=optimizer)
    curves = queries.curves(rows)
    epochs = len(curves)
    reached = (curves >= goal).idxmax().where((curves >= goal).any(), epochs + 1)
    return describe(reached.astype(float) / epochs, rows)


# ---- methods and optimizers ----


def lazy(k: int, method: str) -> Quantity:
    """Return the test accuracy of a lazy method in the reproduction of figure 2.1."""
    return final("reproduction", k=k, method=method)


@quantity
def best_lazy(evidence: Evidence, k: int) -> Sample:
    """Return the test accuracy of the lazy method with the highest mean."""
    return named_best_lazy(evidence, k)[1]


def named_best_lazy(evidence: Evidence, k: int) -> tuple[str, Sample]:
    """Return the lazy method with the highest mean test accuracy, and that accuracy."""
    there = set(runs(evidence, "reproduction", k=k)["method"])
    each = {method: lazy(k, method)(evidence) for method in LAZY if method in there}
    return max(each.items(), key=lambda item: item[1].mean)


def network(k: int, optimizer: str) -> Quantity:
    """Return BP's test accuracy in the reproduction of figure 2.1."""
    return final("reproduction", k=k, method="bp", optimizer=optimizer)


@quantity
def errors(evidence: Evidence, accuracy: Quantity, examples: int = 10_000) -> Sample:
    """Return the share of mistakes, at least half a mistake per ``examples``, so that ratios exist."""
    return accuracy(evidence).mapped(lambda a: (1 - a).clip(lower=0.5 / examples))


def with_optimizer(method: str, optimizer: str) -> Quantity:
    """Return the test accuracy with an optimizer."""
    return final("adaptive_methods", method=method, optimizer=optimizer)


def gap(optimizer: str) -> Quantity:
    """Return BP's test accuracy minus DFA's with an optimizer."""
    return with_optimizer("bp", optimizer) - with_optimizer("dfa", optimizer)


@quantity
def mean_gap(evidence: Evidence) -> Sample:
    """Return BP's test accuracy minus DFA's, averaged over all optimizers."""
    return mean_of([gap(optimizer)(evidence) for optimizer in OPTIMIZERS])


def spread_ratio(evidence: Evidence) -> Number:
    """Return DFA's standard deviation over seeds divided by BP's, pooled over adaptive optimizers.

    The interval is by the F distribution.
    """
    samples = {m: [with_optimizer(m, o)(evidence) for o in ADAPTIVE] for m in RULES}
    unstable = {seed for each in samples.values() for sample in each for seed in sample.unstable}
    every = {m: [sample.values for sample in each] for m, each in samples.items()}
    others = {m: [v[~v.index.isin(list(unstable))] for v in each] for m, each in every.items()}
    sound = _spread_ratio(others)
    known = bool(unstable) and not math.isnan(sound.mean)
    return Number(_spread_ratio(every), unstable=len(unstable), sound=sound if known else None)


def _spread_ratio(values: dict[str, list[pd.Series]]) -> Interval:
    n = len(values["bp"][0])
    freedom = len(ADAPTIVE) * (n - 1)
    if freedom <= 0:
        return UNKNOWN._replace(n=n)
    bp, dfa = (float(np.mean([v.to_numpy(dtype=float).var(ddof=1) for v in values[m]])) for m in RULES)
    ratio = math.sqrt(dfa / bp)
    wide = float(np.sqrt(stats.f.ppf((1 + CONFIDENCE) / 2, freedom, freedom)))
    return Interval(ratio, ratio / wide, ratio * wide, n)


@quantity
def error(
    evidence: Evidence, experiment: str, method: str, optimizer: str = "sgd", judged: str = "test"
) -> Sample:
    """Return the error of the last epoch, averaged over the runs of a seed."""
    return queries.errors(runs(evidence, experiment, method=method, optimizer=optimizer), judged)


@quantity
def solved_error(evidence: Evidence, method: str, like: str) -> Sample:
    """Return the test error of a solved model, averaged over the n and d of an experiment."""
    rows = runs(evidence, like)[["samples", "dimensions"]].astype(int).drop_duplicates()
    places = list(rows.itertuples(index=False, name=None))
    return queries.solved_error(evidence.solved(), method, places)


@quantity
def error_at(
    evidence: Evidence, experiment: str, method: str, varied: str, end: Callable[[pd.Series], int]
) -> Sample:
    """Return the test error at the smallest or largest (``min``, ``max``) value of a varied field."""
    rows = runs(evidence, experiment, method=method)
    return queries.errors(rows[rows[varied] == end(rows[varied])])


def rise(experiment: str, method: str, varied: str) -> Quantity:
    """Return the error at the largest value of a varied field minus that at the smallest."""
    return error_at(experiment, method, varied, max) - error_at(experiment, method, varied, min)


@quantity
def probe(
    evidence: Evidence, weights: str, target: str = "digit", kind: str = "nearest neighbours"
) -> Sample:
    """Return the accuracy of a probe of a representation."""
    chosen = queries.select(evidence.probes(), weights=weights, probe=kind, target=target)
    if chosen.empty:
        raise NotComputed("probes")
    return queries.sample(chosen, "accuracy")


# ---- learning rates that were tried ----


class Tuning:
    """The tuning runs of a run's learning rate, by rate and tuning seed."""

    def __init__(self, evidence: Evidence, like: pd.Series) -> None:
        self.runs = tried(evidence.table("tuning"), like)
        self.rates = sorted(self.runs["learning_rate"].unique())
        self.chosen = float(like["learning_rate"])
        if self.chosen not in self.rates:
            raise NotComputed("tuning")

    def at(self, rate: float) -> pd.DataFrame:
        """Return the rows of the runs at a rate."""
        return queries.select(self.runs, learning_rate=rate)

    def score(self, rate: float) -> Sample:
        """Return the score of a rate; a non-finite run has the score of chance."""
        rows = self.at(rate)
        last = rows[rows["epoch"] > rows["epochs"] - SCORED_EPOCHS]
        return queries.sample(last, "test_accuracy").mapped(lambda s: s.fillna(CHANCE))

    def beside(self, direction: int) -> float:
        """Return the next rate below (-1) or above (1) that shares a seed, or raise ``NotComputed``."""
        seeds = set(self.at(self.chosen)["seed"])
        away = [rate for rate in self.rates if seeds & set(self.at(rate)["seed"])]
        side = [rate for rate in away if direction * (rate - self.chosen) > 0]
        if not side:
            raise NotComputed("tuning beside the chosen rate")
        return float(min(side, key=lambda rate: abs(rate - self.chosen)))


def tuned(evidence: Evidence, method: str, optimizer: str) -> Tuning:
    """Return the tuning of a method with an optimizer on three digits."""
    rows = runs(evidence, "adaptive_methods", method=method, optimizer=optimizer)
    return Tuning(evidence, rows.iloc[0])


@quantity
def by_tuning(
    evidence: Evidence, measure: Callable[[Tuning], Sample], method: str, optimizer: str = "sgd"
) -> Sample:
    """Apply a function to a tuning, by tuning seed."""
    return measure(tuned(evidence, method, optimizer))


def lost_above(tuning: Tuning) -> Sample:
    """Return the chosen rate's score minus that of the next higher one."""
    return tuning.score(tuning.chosen) - tuning.score(tuning.beside(1))


def lost_beside(tuning: Tuning) -> Sample:
    """Return the chosen rate's score minus the mean of the rates below and above."""
    lower = tuning.score(tuning.chosen) - tuning.score(tuning.beside(-1))
    return mean_of([lower, lost_above(tuning)])


@quantity
def mean_lost_beside(evidence: Evidence, method: str) -> Sample:
    """Return ``lost_beside`` averaged over all optimizers."""
    return mean_of([lost_beside(tuned(evidence, method, o)) for o in OPTIMIZERS])


def overfitting(tuning: Tuning) -> Sample:
    """Return training minus validation accuracy at the next higher rate minus at the chosen one."""

    def apart(rate: float) -> Sample:
        rows = tuning.at(rate)
        return queries.final(rows, "train_accuracy") - queries.final(rows, "test_accuracy")

    return apart(tuning.beside(1)) - apart(tuning.chosen)


def fluctuation(tuning: Tuning) -> Sample:
    """Return the mean absolute change of the training loss per epoch, next higher over chosen rate.

    The change is averaged over the last ten epochs.
    """

    def jumps(rate: float) -> Sample:
        rows = tuning.at(rate)
        changes = queries.curves(rows, "train_loss").diff()[1:].tail(SCORED_EPOCHS).abs()
        return describe(changes.mean(skipna=False), rows)

    return jumps(tuning.beside(1)) / jumps(tuning.chosen)


def first_runs_of_matrices(evidence: Evidence) -> list[pd.Series]:
    """Return a row of results for each of the thesis's random matrices."""
    return [runs(evidence, "random_matrices", feedback=kind).iloc[0] for kind in MATRICES]


@quantity
def at_the_lowest_rate(evidence: Evidence, measure: Callable[[Tuning], Sample]) -> Sample:
    """Apply a function to the tuning of each random matrix, by matrix."""
    each = [measure(Tuning(evidence, run)).mean for run in first_runs_of_matrices(evidence)]
    return Sample(pd.Series(each))


def lost_at_the_lowest(tuning: Tuning) -> Sample:
    """Return the chosen rate's score minus that of the smallest rate."""
    return tuning.score(tuning.chosen) - tuning.score(tuning.rates[0])


def still_falling(tuning: Tuning) -> Sample:
    """Return the decrease of the training loss in the last quarter, at the smallest rate."""
    rows = tuning.at(tuning.rates[0])
    before = queries.at_epoch(rows, max(1, 3 * int(rows["epochs"].iloc[0]) // 4), "train_loss")
    return before - queries.final(rows, "train_loss")


def lost_at_rate_1(tuning: Tuning) -> Sample:
    """Return the chosen rate's score minus that of rate 1, which is Adadelta as published."""
    if 1.0 not in tuning.rates:
        raise NotComputed("tuning at rate 1")
    return tuning.score(tuning.chosen) - tuning.score(1.0)


def rates_apart(evidence: Evidence) -> Interval:
    """Return the ratio of the largest to the smallest tuned rate of the random matrices.

    The uncertainty of a rate is half the distance to the next tried one, on the logarithmic scale.
    """
    each = sorted(first_runs_of_matrices(evidence), key=lambda run: float(run["learning_rate"]))
    ends = [each[0], each[-1]]
    factor = float(ends[1]["learning_rate"] / ends[0]["learning_rate"])
    tuning = evidence.table("tuning")
    slack = math.prod(_half_way_to_the_next(tuning, end) for end in ends)
    return Interval(factor, factor / slack, factor * slack, len(each))


def _half_way_to_the_next(tuning: pd.DataFrame, chosen: pd.Series) -> float:
    rates = tried(tuning, chosen)["learning_rate"]
    beside = [max(r / chosen["learning_rate"], chosen["learning_rate"] / r) for r in rates.unique()]
    away = sorted(factor for factor in beside if factor > 1)
    if not away:
        raise NotComputed("tuning beside the chosen rate")
    return math.sqrt(away[0])


# ---- numbers from small networks on random inputs ----

DEPTH, WIDTH, NETWORKS, BATCH = 8, 64, 10, 128
# Inputs of a stack of three digits.
INPUTS = {"digits": 192, "mnist": 2_352}


def deep_network(
    inputs: int, seed: int, *, hidden: int = DEPTH, gain: float = 1.0
) -> tuple[Parameters, Tensor, Tensor]:
    """Return a deep network with its random matrices, and a batch of random inputs and labels.

    Inputs are standard normal, like normalised pixels; weights are PyTorch's default times ``gain``.
    """
    widths = (inputs, *[WIDTH] * hidden, 1)
    parameters = initialise_network(widths, generator(seed, "weights"))
    parameters = {name: gain * w if name.startswith("W") else w for name, w in parameters.items()}
    parameters |= feedback_matrices(widths, "uniform", generator(seed, "feedback"), direct=True)
    stream = generator(seed, "batch")
    X = torch.randn(BATCH, inputs, generator=stream, dtype=torch.float64)
    return parameters, X, torch.randint(2, (BATCH, 1), generator=stream).double()


@cache
def signals(
    rule: Callable[..., Products], activation: str, inputs: int, seed: int, gain: float = 1.0
) -> list[float]:
    """Return the norm of the error signal δ at each hidden layer before training; the last has 1."""
    parameters, X, y = deep_network(inputs, seed, gain=gain)
    with using_threads(1):
        sizes = {n: float(torch.linalg.vector_norm(b)) for n, _, b in rule(parameters, X, y, activation)}
    return [sizes[f"W{layer}"] / sizes[f"W{DEPTH}"] for layer in range(1, DEPTH + 1)]


@quantity
def signal_at_the_bottom(
    evidence: Evidence, rule: Callable[..., Products], activation: str, gain: float = 1.0
) -> Sample:
    """Return log₁₀ of the signal's norm at the first hidden layer relative to the last."""
    inputs = INPUTS[evidence.dataset]
    bottom = [signals(rule, activation, inputs, seed, gain)[0] for seed in range(NETWORKS)]
    return Sample(pd.Series(np.log10(bottom)))


def fa_minus_dfa(evidence: Evidence) -> Interval:
    """Return the largest difference between weights after ten steps of FA and of DFA."""
    start, X, y = deep_network(INPUTS[evidence.dataset], 0, hidden=1)

    def trained(rule: Callable[..., Products]) -> Parameters:
        def descent(parameters: Parameters) -> Parameters:
            return gradients(rule(parameters, X, y))

        parameters = start
        for _ in range(10):
            parameters, _ = step(OPTIMIZERS["sgd"], parameters, {}, descent, learning_rate=0.1)
        return parameters

    with using_threads(1):
        fa, dfa = trained(feedback_alignment), trained(direct_feedback_alignment)
    return exactly(max(float((fa[name] - dfa[name]).abs().max()) for name in start))


def layers_alone(evidence: Evidence) -> Interval:
    """Return the largest difference between DFA's updates and those that each layer computes alone."""
    parameters, X, y = deep_network(INPUTS[evidence.dataset], 0)

    def alone(layer: int) -> Parameters:
        slope = ACTIVATIONS["tanh"].derivative(passed.pre_activations[layer - 1])
        delta = (e @ parameters[f"B{layer}"]) * slope
        return gradients(layer_gradients(parameters, layer, passed.hidden[layer - 1], delta))

    with using_threads(1), ThreadPoolExecutor(DEPTH) as threads:
        passed = forward(parameters, X, "tanh")
        e = output_error(passed.logits, y)
        side_by_side = list(threads.map(alone, range(1, DEPTH + 1)))
        together = gradients(direct_feedback_alignment(parameters, X, y, "tanh"))
    return exactly(
        max(float((g - together[name]).abs().max()) for own in side_by_side for name, g in own.items())
    )


KP_STEPS, KP_RATE, KP_DECAY = 200, 0.5, 0.01


@cache
def fitted(moves: str, seed: int) -> float:
    """Return the accuracy on a batch after training in which ``"W2"``, ``"B1"`` or both move.

    B gets the update of W₂ᵀ and the same decay, by the rule of Kolen and Pollack (1994). Labels are the
    sign of the product of two inputs.
    """
    parameters, X, _ = deep_network(INPUTS["digits"], seed, hidden=1)
    y = (X[:, :1] * X[:, 1:2] > 0).double()
    with using_threads(1):
        for _ in range(KP_STEPS):
            change = gradients(direct_feedback_alignment(parameters, X, y))
            g = change.pop("W2")
            if "W2" in moves:
                change["W2"] = g + KP_DECAY * parameters["W2"]
            if "B1" in moves:
                change["B1"] = g.mT + KP_DECAY * parameters["B1"]
            parameters = parameters | {n: parameters[n] - KP_RATE * d for n, d in change.items()}
        return float(accuracy(forward(parameters, X).logits, y))


@quantity
def fitted_when_moving(evidence: Evidence, moves: str) -> Sample:
    """Return ``fitted`` for each network."""
    return Sample(pd.Series([fitted(moves, seed) for seed in range(NETWORKS)]))


SMALL_LOSS, POINTS = 0.01, 32


@cache
def movement(width: int, seed: int) -> float:
    """Return how far BP moves all parameters, relative to their norm, until the loss is 0.01.

    Steps are small, labels of the inputs random; nan if the loss is not reached.
    """
    start = initialise_network((INPUTS["digits"], width, 1), generator(seed, "weights"))
    stream = generator(seed, "batch")
    X = torch.randn(POINTS, INPUTS["digits"], generator=stream, dtype=torch.float64)
    y = torch.randint(2, (POINTS, 1), generator=stream).double()
    parameters, rate = start, 30 / width  # keeps the effect of a step the same at any width
    with using_threads(1):
        for _ in range(2_000):
            descent = gradients(backpropagation(parameters, X, y))
            parameters = {name: parameters[name] - rate * g for name, g in descent.items()}
            if float(binary_cross_entropy(forward(parameters, X).logits, y)) < SMALL_LOSS:
                moved = sum(float((parameters[n] - start[n]).square().sum()) for n in start)
                return math.sqrt(moved / sum(float(w.square().sum()) for w in start.values()))
    return math.nan


@quantity
def relative_movement(evidence: Evidence, width: int) -> Sample:
    """Return ``movement`` for each seed."""
    return Sample(pd.Series([movement(width, seed) for seed in range(5)]))


# ---- the edge of stability ----


def ended_runs(evidence: Evidence, remedy: str = "none", **fields: object) -> pd.DataFrame:
    """Return the runs with these fields of a table on the edge of stability, as from ``ended``."""
    return queries.select(evidence.ended(table_name(remedy)), **fields)


def _counted(hits: pd.Series) -> Sample:
    """Return 1 for each run that is a hit and 0 for each other, numbered from 0."""
    return Sample(hits.astype(float).reset_index(drop=True))


@quantity
def passed_the_edge(evidence: Evidence, method: str, unstable: bool) -> Sample:
    """Return which unstable runs had a gain above 2 before they exploded, or which stable ones had."""
    return _counted(ended_runs(evidence, method=method, unstable=unstable)["passed"].notna())


@quantity
def unstable_past_the_edge(evidence: Evidence, method: str) -> Sample:
    """Return which of the runs whose gain passes 2 become unstable."""
    runs = ended_runs(evidence, method=method)
    return _counted(runs["unstable"][runs["passed"].notna()])


@quantity
def unstable_with(evidence: Evidence, remedy: str) -> Sample:
    """Return which of DFA's runs that are unstable without a remedy are unstable with it."""
    key = ["feedback", "learning_rate", "seed"]
    plain = ended_runs(evidence, method="dfa", unstable=True)[key]
    return _counted(ended_runs(evidence, remedy).merge(plain, on=key)["unstable"])


@quantity
def accuracy_with(evidence: Evidence, remedy: str, feedback: str = "uniform") -> Sample:
    """Return DFA's accuracy at the end with a remedy, at its best rate."""
    return best_rate(ended_runs(evidence, remedy, method="dfa", feedback=feedback)).accuracy


# ---- several hidden layers ----


def _last(rows: pd.DataFrame, metric: str) -> Sample:
    return queries.sample(rows[rows["epoch"] == rows["epoch"].max()], metric)


def _layer(evidence: Evidence, method: str, layers: int, held: str, layer: int) -> pd.DataFrame:
    """Return the rows of a hidden layer of all seeds, as from ``depth.layers_table``."""
    fields = {"method": method, "layers": layers, "held": held, "layer": layer}
    rows = queries.select(evidence.layers(), **fields)
    if rows.empty:
        raise NotComputed("depth")
    return rows


@quantity
def accuracy_at_depth(evidence: Evidence, method: str, layers: int, held: str = "none") -> Sample:
    """Return the last test accuracy of networks with so many hidden layers, of which some are held."""
    return _last(_layer(evidence, method, layers, held, 1), "test_accuracy")


@quantity
def agreement_of_layer(evidence: Evidence, method: str, layers: int, layer: int) -> Sample:
    """Return the cosine of the rule's update of a hidden layer's W with BP's at the last epoch."""
    return _last(_layer(evidence, method, layers, "none", layer), "gradient_alignment")


@quantity
def half_agreed(evidence: Evidence, method: str, layers: int, layer: int) -> Sample:
    """Return the epoch at which that cosine is half way from 0 to its largest value."""
    rows = _layer(evidence, method, layers, "none", layer)
    return describe(half_way(queries.curves(rows, "gradient_alignment"), 0.0), rows)


# ---- scaled outputs ----


@quantity
def at_scale(evidence: Evidence, method: str, scale: str, metric: str = "test_accuracy") -> Sample:
    """Return a metric at the last epoch of the runs by SGD with a scale of ``rich_table``."""
    rows = queries.select(evidence.scaled(), method=method, scale=scale, optimizer="sgd")
    if rows.empty:
        raise NotComputed("rich")
    return _last(rows, metric)


# ---- students of a teacher ----


def students(evidence: Evidence, measure: str, **fields: object) -> pd.DataFrame:
    """Return a measure of the students with these fields, a row for each time, a column for each run."""
    rows = queries.select(evidence.students(), **fields)
    return rows.pivot(index="time", columns=["dimensions", "seed"], values=measure)


@quantity
def finite_size_slope(evidence: Evidence, method: str) -> Sample:
    """Return the slope of log distance from theory against log D."""
    distances = students(evidence, "distance", start="same", method=method)
    logs = np.log((distances**2).mean()).unstack("seed") / 2
    slopes = np.polyfit(np.log(logs.index.to_numpy(float)), logs.to_numpy(), 1)[0]
    return Sample(pd.Series(slopes, logs.columns))


@quantity
def aligned_before_learned(evidence: Evidence, start: str) -> Sample:
    """Return DFA's half-way time of the alignment minus that of the loss, each from its start."""
    alignment = students(evidence, "alignment", start=start, method="dfa")
    falling = -students(evidence, "loss", start=start, method="dfa")
    before = half_way(alignment, alignment.iloc[0]) - half_way(falling, falling.iloc[0])
    return Sample(before.reset_index(drop=True))


@quantity
def all_signs(evidence: Evidence, method: str, of: str) -> Sample:
    """Return which students end with all signs of the ``"feedback"`` or of their ``"start"``."""
    return _counted(students(evidence, f"signs_of_{of}", start="small", method=method).iloc[-1] == 1)


@quantity
def alignment_before_loss(evidence: Evidence) -> Sample:
    """Return the half-way epoch of the alignment minus that of the loss, in the long run of DFA."""
    rows = runs(evidence, "alignment", method="dfa", optimizer="sgd")
    alignment, loss = (queries.curves(rows, m) for m in ("weight_alignment", "train_loss"))
    return describe(half_way(alignment, 0.0) - half_way(-loss, -math.log(2)), rows)


# ---- parities of bits ----


def small_rate(evidence: Evidence, **fields: object) -> pd.DataFrame:
    """Return the rows of the runs on bits at the small rate with these fields."""
    return queries.select(evidence.bits(), learning_rate=SMALL_RATE, **fields)


def _steps(rows: pd.DataFrame) -> Sample:
    """Return the steps of each seed until the goal; all steps of a run that did not get there."""
    if rows.empty:
        raise NotComputed("hard")
    return describe(steps_needed(rows, ["seed"])["steps"].astype(float), rows)


@quantity
def steps_on_bits(evidence: Evidence, k: int, method: str, optimizer: str) -> Sample:
    """Return the steps that a parity of k of 20 bits takes at the tuned rate."""
    rows = queries.select(evidence.bits(), k=k, dimensions=BITS, method=method, optimizer=optimizer)
    return _steps(rows[rows["learning_rate"] != SMALL_RATE])


@quantity
def steps_at_small_rate(evidence: Evidence, k: int, method: str) -> Sample:
    """Return the steps that a parity of k of 20 bits takes at the small rate."""
    return _steps(small_rate(evidence, k=k, dimensions=BITS, method=method))


@quantity
def steps_on_digits(evidence: Evidence, k: int, method: str, optimizer: str) -> Sample:
    """Return the steps that the parity of k digits takes at the tuned rate."""
    return _steps(with_steps(runs(evidence, "hard_digits", k=k, method=method, optimizer=optimizer)))


@quantity
def size_slope(evidence: Evidence, k: int, method: str) -> Sample:
    """Return the slope of log steps against the log of the number of bits, at the small rate."""
    of_size = small_rate(evidence, k=k, method=method).groupby("dimensions")
    logs = pd.DataFrame({n: np.log(_steps(rows).values) for n, rows in of_size})
    if len(logs.columns) < 2:
        raise NotComputed("hard")
    at = np.log(logs.columns.to_numpy(float))
    return Sample(logs.apply(lambda steps: np.polyfit(at, steps, 1)[0], axis=1))


@quantity
def hidden_progress(evidence: Evidence, k: int, method: str) -> Sample:
    """Return how much further weights of relevant inputs have moved just before the accuracy does.

    That is at the small rate, with 20 bits.
    """
    rows = small_rate(evidence, k=k, method=method, dimensions=BITS).sort_values("step")
    began = rows[rows["test_accuracy"] >= UNMOVED].groupby("seed")["step"].min()
    before = rows[rows["step"] < rows["seed"].map(began).fillna(math.inf)]
    if before.empty:
        raise NotComputed("hard")
    return Sample(before.groupby("seed")["relevant"].last())
