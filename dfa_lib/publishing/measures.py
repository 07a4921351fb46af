"""The numbers that the thesis's claims are judged by, computed from results tables or from networks."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from .. import queries
from ..claims import Evidence, NotComputed, Number, exactly
from ..feedback import feedback_matrices
from ..learning_rules import (
    backpropagation,
    direct_feedback_alignment,
    feedback_alignment,
    layer_gradients,
    output_error,
)
from ..names import FEEDBACK_NAMES
from ..networks import (
    ACTIVATIONS,
    Parameters,
    accuracy,
    binary_cross_entropy,
    forward,
    initialise_network,
    product,
)
from ..optimizers import OPTIMIZERS, step
from ..queries import Sample, describe, half_step, mean_of, tried
from ..randomness import generator
from ..statistics import CONFIDENCE, UNKNOWN, Interval
from ..training import using_threads
from ..tuning import SCORED_EPOCHS

CHANCE = 0.5
LEARNED = 0.55
"""A curve that never gets this far has no half-way mark."""
ADAPTIVE = ("adagrad", "adadelta", "rmsprop", "adam")
LAZY = ("ntk", "gaussian_features", "relu_features", "linear_features")
RULES = {"bp": "BP", "dfa": "DFA"}


@dataclass(frozen=True)
class Quantity:
    """A number for each seed, computed from the evidence; two of them are subtracted seed by seed."""

    of: Callable[[Evidence], Sample]

    def __call__(self, evidence: Evidence) -> Sample:
        """Compute it; raise ``NotComputed`` where results are missing."""
        return self.of(evidence)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(lambda evidence: self(evidence) - other(evidence))

    def __truediv__(self, other: "Quantity") -> "Quantity":
        return Quantity(lambda evidence: self(evidence) / other(evidence))


def runs(evidence: Evidence, experiment: str, **fields: object) -> pd.DataFrame:
    """Return the rows of the runs with these fields; raise ``NotComputed`` if there are none."""
    rows = queries.select(evidence.table(experiment), **fields)
    if rows.empty:
        raise NotComputed(experiment)
    return rows


# ---- curves and their ends ----


def final(experiment: str, metric: str = "test_accuracy", **fields: object) -> Quantity:
    """Return a metric of the last epoch."""
    return Quantity(lambda evidence: queries.final(runs(evidence, experiment, **fields), metric))


def at(experiment: str, metric: str, place: float, **fields: object) -> Quantity:
    """Return a metric at the epoch that a share of the epochs ends with, 0 being the first."""

    def of(evidence: Evidence) -> Sample:
        rows = runs(evidence, experiment, **fields)
        return queries.at_epoch(rows, max(1, int(place * int(rows["epochs"].iloc[0]))), metric)

    return Quantity(of)


def lowest(experiment: str, metric: str, **fields: object) -> Quantity:
    """Return a metric at the epoch at which its mean over the seeds is lowest."""

    def of(evidence: Evidence) -> Sample:
        rows = runs(evidence, experiment, **fields)
        means = queries.curves(rows, metric).mean(axis=1, skipna=False)
        epoch = 1 + int(means.to_numpy(dtype=float).argmin())
        return queries.at_epoch(rows, epoch, metric)

    return Quantity(of)


def by_curves(
    measure: Callable[..., pd.Series], metrics: tuple[str, ...], experiment: str, **fields: object
) -> Quantity:
    """Return what a function makes of the curves (epochs by seeds) of some metrics."""

    def of(evidence: Evidence) -> Sample:
        rows = runs(evidence, experiment, **fields)
        return describe(measure(*(queries.curves(rows, metric) for metric in metrics)), rows)

    return Quantity(of)


def _rank_correlation(a: pd.DataFrame, b: pd.DataFrame) -> pd.Series:
    return pd.Series({seed: float(stats.spearmanr(a[seed], b[seed])[0]) for seed in a})


def rank_correlation(first: str, second: str) -> Quantity:
    """Return how two metrics of the long DFA run go together over epochs: Spearman's ρ."""
    return by_curves(_rank_correlation, (first, second), "alignment", method="dfa", optimizer="sgd")


def half_way(curves: pd.DataFrame, start: float, least: float = -math.inf) -> pd.Series:
    """Return the epoch at which each curve is first half way from a start to its highest value.

    The highest value and not the last one, so that a run that falls back keeps its mark. Nan for a curve
    that never reaches ``least``.
    """
    marks = (curves >= (start + curves.max()) / 2).idxmax().astype(float)
    return marks.where(curves.max() >= least)


def _alignment_before_accuracy(accuracy: pd.DataFrame, alignment: pd.DataFrame) -> pd.Series:
    return half_way(alignment, 0.0) - half_way(accuracy, CHANCE, LEARNED)


ALIGNMENT_BEFORE_ACCURACY = by_curves(
    _alignment_before_accuracy,
    ("test_accuracy", "weight_alignment"),
    "alignment",
    method="dfa",
    optimizer="sgd",
)
"""By how many epochs the accuracy is half way before the alignment is."""


def share_of_epochs(method: str, optimizer: str) -> Quantity:
    """Return in what share of SGD's epochs an optimizer gets as far as SGD does in all, on average.

    A run that does not get there in as many counts as one epoch more.
    """

    def of(evidence: Evidence) -> Sample:
        goal = float(with_optimizer(method, "sgd")(evidence).values.mean())
        rows = runs(evidence, "adaptive_methods", method=method, optimizer=optimizer)
        curves = queries.curves(rows)
        epochs = len(curves)
        reached = (curves >= goal).idxmax().where((curves >= goal).any(), epochs + 1)
        return describe(reached.astype(float) / epochs, rows)

    return Quantity(of)


# ---- methods and optimizers ----


def lazy(k: int, method: str) -> Quantity:
    """Return the test accuracy of a lazy method in the reproduction of figure 2.1."""
    return final("reproduction", k=k, method=method)


def best_lazy(k: int) -> Quantity:
    """Return the test accuracy of the lazy method whose mean is highest."""

    def of(evidence: Evidence) -> Sample:
        each = [lazy(k, method)(evidence) for method in LAZY]
        return max(each, key=lambda sample: float(sample.values.mean()))

    return Quantity(of)


def network(k: int, optimizer: str) -> Quantity:
    """Return BP's test accuracy in the reproduction of figure 2.1."""
    return final("reproduction", k=k, method="bp", optimizer=optimizer)


def errors(accuracy: Quantity, examples: int = 10_000) -> Quantity:
    """Return the share of mistakes; of none, half a mistake in as many examples."""
    return Quantity(
        lambda evidence: accuracy(evidence).mapped(lambda a: (1 - a).clip(lower=0.5 / examples))
    )


def with_optimizer(method: str, optimizer: str) -> Quantity:
    """Return the test accuracy with an optimizer."""
    return final("adaptive_methods", method=method, optimizer=optimizer)


def gap(optimizer: str) -> Quantity:
    """Return BP's test accuracy minus DFA's with an optimizer."""
    return with_optimizer("bp", optimizer) - with_optimizer("dfa", optimizer)


MEAN_GAP = Quantity(lambda evidence: mean_of([gap(optimizer)(evidence) for optimizer in OPTIMIZERS]))
"""BP's test accuracy minus DFA's, averaged over all optimizers."""


def spread_ratio(evidence: Evidence) -> Number:
    """Return DFA's standard deviation over seeds divided by BP's, pooled over adaptive methods.

    Its interval is that of the F distribution.
    """
    samples = {m: [with_optimizer(m, o)(evidence) for o in ADAPTIVE] for m in RULES}
    unstable = {seed for each in samples.values() for sample in each for seed in sample.unstable}
    every = {m: [sample.values for sample in each] for m, each in samples.items()}
    others = {m: [v[~v.index.isin(list(unstable))] for v in each] for m, each in every.items()}
    sound = _spread_ratio(others) if unstable else None
    return Number(_spread_ratio(every), unstable=len(unstable), sound=sound)


def _spread_ratio(values: dict[str, list[pd.Series]]) -> Interval:
    n = len(values["bp"][0])
    freedom = len(ADAPTIVE) * (n - 1)
    if freedom <= 0:
        return UNKNOWN._replace(n=n)
    bp, dfa = (float(np.mean([v.to_numpy(dtype=float).var(ddof=1) for v in values[m]])) for m in RULES)
    ratio = math.sqrt(dfa / bp)
    wide = float(np.sqrt(stats.f.ppf((1 + CONFIDENCE) / 2, freedom, freedom)))
    return Interval(ratio, ratio / wide, ratio * wide, n)


def error(experiment: str, method: str, optimizer: str = "sgd", judged: str = "test") -> Quantity:
    """Return the error of the last epoch, averaged over what the experiment varies."""

    def of(evidence: Evidence) -> Sample:
        rows = runs(evidence, experiment, method=method, optimizer=optimizer)
        return queries.final(rows, f"{judged}_accuracy").mapped(lambda accuracy: 1 - accuracy)

    return Quantity(of)


def error_at(experiment: str, method: str, varied: str, end: Callable[[pd.Series], int]) -> Quantity:
    """Return the test error at the smallest or the largest value of what an experiment varies."""

    def of(evidence: Evidence) -> Sample:
        rows = runs(evidence, experiment, method=method)
        chosen = queries.final(rows[rows[varied] == end(rows[varied])])
        return chosen.mapped(lambda accuracy: 1 - accuracy)

    return Quantity(of)


def rise(experiment: str, method: str, varied: str) -> Quantity:
    """Return the error at the largest value of what is varied minus that at the smallest."""
    return error_at(experiment, method, varied, max) - error_at(experiment, method, varied, min)


def probe(weights: str, target: str = "digit", kind: str = "nearest neighbours") -> Quantity:
    """Return how often a probe of a representation is right."""

    def of(evidence: Evidence) -> Sample:
        table = evidence.probes()
        chosen = queries.select(table, weights=weights, probe=kind, target=target)
        if chosen.empty:
            raise NotComputed("probes")
        return Sample(chosen.set_index("seed")["accuracy"].astype(float))

    return Quantity(of)


# ---- what was tried to choose a rate ----


class Tuning:
    """The tuning of a method's rate for three digits: its runs, in order of rates, by tuning seed."""

    def __init__(self, evidence: Evidence, method: str, optimizer: str) -> None:
        wanted = runs(evidence, "adaptive_methods", method=method, optimizer=optimizer).iloc[0]
        self.runs = tried(evidence.table("tuning"), wanted)
        if self.runs.empty:
            raise NotComputed("tuning")
        self.rates = sorted(self.runs["learning_rate"].unique())
        self.chosen = float(wanted["learning_rate"])
        if self.chosen not in self.rates:
            raise NotComputed("tuning")

    def score(self, rate: float) -> Sample:
        """Return the score of a rate; that of a run that is not finite is chance."""
        rows = self.runs[self.runs["learning_rate"] == rate]
        last = rows[rows["epoch"] > rows["epochs"] - SCORED_EPOCHS]
        return queries.sample(last, "test_accuracy").mapped(lambda s: s.fillna(CHANCE))

    def step_away(self, direction: int) -> float | None:
        """Return the rate that was tried two half steps, about a factor of 2, beside the chosen one.

        Where it was not tried, the nearest one beyond; None if there is none.
        """
        away = [
            (direction * (half_step(rate) - half_step(self.chosen)), rate)
            for rate in self.rates
            if self.seeds(rate) & self.seeds(self.chosen)
        ]
        return min(((d, rate) for d, rate in away if d >= 2), default=(0, None))[1]

    def seeds(self, rate: float) -> set[int]:
        """Return the tuning seeds of a rate."""
        return set(self.runs[self.runs["learning_rate"] == rate]["seed"])

    def end(self, rate: float, metric: str) -> Sample:
        """Return a metric of the last epoch at a rate."""
        return queries.final(self.runs, metric, learning_rate=rate)


def loss_one_step_away(method: str, optimizer: str, directions: tuple[int, ...] = (-1, 1)) -> Quantity:
    """Return how much of the score is lost a factor of 2 beside the chosen rate, by tuning seed.

    The mean over both sides, as far as they were tried.
    """

    def of(evidence: Evidence) -> Sample:
        tuning = Tuning(evidence, method, optimizer)
        beside = [rate for d in directions if (rate := tuning.step_away(d)) is not None]
        if not beside:
            raise NotComputed("tuning beside the chosen rate")
        best = tuning.score(tuning.chosen)
        return mean_of([best - tuning.score(rate) for rate in beside])

    return Quantity(of)


def mean_loss_one_step_away(method: str) -> Quantity:
    """Return the same, averaged over all optimizers."""
    return Quantity(
        lambda evidence: mean_of([loss_one_step_away(method, o)(evidence) for o in OPTIMIZERS])
    )


def overfitting(evidence: Evidence) -> Sample:
    """Return how much more training and validation accuracy of DFA differ a step above its rate."""
    tuning = Tuning(evidence, "dfa", "sgd")
    above = tuning.step_away(1)
    if above is None:
        raise NotComputed("tuning above the chosen rate")

    def apart(rate: float) -> Sample:
        return tuning.end(rate, "train_accuracy") - tuning.end(rate, "test_accuracy")

    return apart(above) - apart(tuning.chosen)


def lowest_rate(method: str) -> Quantity:
    """Return what the smallest rate that was tried with SGD loses of the chosen one's score."""

    def of(evidence: Evidence) -> Sample:
        tuning = Tuning(evidence, method, "sgd")
        return tuning.score(tuning.chosen) - tuning.score(tuning.rates[0])

    return Quantity(of)


def still_falling(method: str) -> Quantity:
    """Return by how much the training loss still falls in the last quarter, at the smallest rate."""

    def of(evidence: Evidence) -> Sample:
        tuning = Tuning(evidence, method, "sgd")
        rows = queries.select(tuning.runs, learning_rate=tuning.rates[0])
        epochs = int(rows["epochs"].iloc[0])
        before = queries.at_epoch(rows, max(1, 3 * epochs // 4), "train_loss")
        return before - queries.final(rows, "train_loss")

    return Quantity(of)


def fluctuation(method: str) -> Quantity:
    """Return how much more the training loss jumps from epoch to epoch a step above the chosen rate.

    The ratio of the mean absolute changes over the last ten epochs.
    """

    def of(evidence: Evidence) -> Sample:
        tuning = Tuning(evidence, method, "sgd")
        above = tuning.step_away(1)
        if above is None:
            raise NotComputed("tuning above the chosen rate")

        def jumps(rate: float) -> Sample:
            rows = queries.select(tuning.runs, learning_rate=rate)
            curves = queries.curves(rows, "train_loss")
            return describe(curves.diff()[1:].tail(SCORED_EPOCHS).abs().mean(skipna=False), rows)

        return jumps(above) / jumps(tuning.chosen)

    return Quantity(of)


def without_tuning(method: str) -> Quantity:
    """Return what Adadelta at rate 1, as it was published, loses against its chosen rate."""

    def of(evidence: Evidence) -> Sample:
        tuning = Tuning(evidence, method, "adadelta")
        if 1.0 not in tuning.rates:
            raise NotComputed("tuning at rate 1")
        return tuning.score(tuning.chosen) - tuning.score(1.0)

    return Quantity(of)


def rates_apart(evidence: Evidence) -> Interval:
    """Return the factor between the smallest and the largest tuned rate of the random matrices.

    A rate is known to half of the way to the next one that was tried, on the logarithmic scale.
    """
    table = evidence.table("random_matrices")
    each = table.groupby("feedback").first().reset_index().sort_values("learning_rate")
    if len(each) < len(FEEDBACK_NAMES):
        raise NotComputed("random_matrices")
    ends = [each.iloc[0], each.iloc[-1]]
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


# ---- numbers that need no training, or a moment of it ----

DEPTH, WIDTH, NETWORKS, BATCH = 8, 64, 10, 128
# Inputs of a stack of three.
INPUTS = {"digits": 192, "mnist": 2_352}


def deep_network(
    inputs: int, seed: int, *, hidden: int = DEPTH, gain: float = 1.0
) -> tuple[Parameters, Tensor, Tensor]:
    """Return a deep network with its random matrices, and a batch of random inputs and labels.

    Inputs are standard normal, as pixels are after they have been normalised; weights are PyTorch's
    default ones times ``gain``.
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
    rule: Callable[..., Parameters], activation: str, inputs: int, seed: int, gain: float = 1.0
) -> list[float]:
    """Return the size of the signal δ at each hidden layer before training, the last one's being 1."""
    parameters, X, y = deep_network(inputs, seed, gain=gain)
    sizes: dict[str, float] = {}

    def emit(name: str, a: Tensor, b: Tensor) -> Tensor:
        if name.startswith("W"):
            sizes[name] = float(torch.linalg.vector_norm(b))
        return product(a, b)

    with using_threads(1):
        rule(parameters, X, y, activation, emit)
    return [sizes[f"W{layer}"] / sizes[f"W{DEPTH}"] for layer in range(1, DEPTH + 1)]


def signal_at_the_bottom(
    rule: Callable[..., Parameters], activation: str, gain: float = 1.0
) -> Quantity:
    """Return by which power of ten the signal changes from the last hidden layer to the first."""

    def of(evidence: Evidence) -> Sample:
        inputs = INPUTS[evidence.dataset]
        bottom = [signals(rule, activation, inputs, seed, gain)[0] for seed in range(NETWORKS)]
        return Sample(pd.Series(np.log10(bottom)))

    return Quantity(of)


def fa_minus_dfa(evidence: Evidence) -> Interval:
    """Return the largest difference between weights that FA and DFA have trained for ten steps."""
    start, X, y = deep_network(INPUTS[evidence.dataset], 0, hidden=1)
    trained = []
    for rule in (feedback_alignment, direct_feedback_alignment):
        parameters = start
        gradients = partial(rule, X=X, y=y)
        with using_threads(1):
            for _ in range(10):
                parameters, _ = step(OPTIMIZERS["sgd"], parameters, {}, gradients, learning_rate=0.1)
        trained.append(parameters)
    return exactly(max(float((trained[0][n] - trained[1][n]).abs().max()) for n in start))


def layers_alone(evidence: Evidence) -> Interval:
    """Return how far DFA's updates are from those that each layer works out by itself, side by side."""
    parameters, X, y = deep_network(INPUTS[evidence.dataset], 0)

    def alone(layer: int) -> Parameters:
        slope = ACTIVATIONS["tanh"].derivative(passed.pre_activations[layer - 1])
        return layer_gradients(
            parameters, layer, passed.hidden[layer - 1], product(e, parameters[f"B{layer}"]) * slope
        )

    with using_threads(1), ThreadPoolExecutor(DEPTH) as threads:
        passed = forward(parameters, X, "tanh")
        e = output_error(passed.logits, y)
        side_by_side = list(threads.map(alone, range(1, DEPTH + 1)))
        together = direct_feedback_alignment(parameters, X, y, "tanh")
    return exactly(
        max(float((g - together[name]).abs().max()) for own in side_by_side for name, g in own.items())
    )


KP_STEPS, KP_RATE, KP_DECAY = 200, 0.5, 0.01


@cache
def fitted(moves: str, seed: int) -> float:
    """Return the share of a batch that is right after training where ``"W2"``, ``"B1"`` or both move.

    B gets the update of W₂ᵀ and the same decay, by the rule of Kolen and Pollack (1994). The labels are
    the sign of the product of two inputs.
    """
    parameters, X, _ = deep_network(INPUTS["digits"], seed, hidden=1)
    y = (X[:, :1] * X[:, 1:2] > 0).double()
    with using_threads(1):
        for _ in range(KP_STEPS):
            change = direct_feedback_alignment(parameters, X, y)
            g = change.pop("W2")
            if "W2" in moves:
                change["W2"] = g + KP_DECAY * parameters["W2"]
            if "B1" in moves:
                change["B1"] = g.mT + KP_DECAY * parameters["B1"]
            parameters = parameters | {n: parameters[n] - KP_RATE * d for n, d in change.items()}
        return float(accuracy(forward(parameters, X).logits, y))


def fitted_when_moving(moves: str) -> Quantity:
    """Return how much of a batch a network gets right that was trained where W₂, B or both move."""
    return Quantity(lambda _: Sample(pd.Series([fitted(moves, seed) for seed in range(NETWORKS)])))


SMALL_LOSS, POINTS = 0.01, 32


@cache
def movement(width: int, seed: int) -> float:
    """Return how far BP moves all parameters, relative to their size, until the loss is 0.01.

    Small steps on random labels of random inputs; nan if the loss is not reached.
    """
    start = initialise_network((INPUTS["digits"], width, 1), generator(seed, "weights"))
    stream = generator(seed, "batch")
    X = torch.randn(POINTS, INPUTS["digits"], generator=stream, dtype=torch.float64)
    y = torch.randint(2, (POINTS, 1), generator=stream).double()
    parameters, rate = start, 30 / width  # the rate that keeps a step's effect the same at any width
    with using_threads(1):
        for _ in range(2_000):
            gradients = backpropagation(parameters, X, y)
            parameters = {name: parameters[name] - rate * g for name, g in gradients.items()}
            if float(binary_cross_entropy(forward(parameters, X).logits, y)) < SMALL_LOSS:
                moved = sum(float((parameters[n] - start[n]).square().sum()) for n in start)
                return math.sqrt(moved / sum(float(w.square().sum()) for w in start.values()))
    return math.nan


def relative_movement(width: int) -> Quantity:
    """Return how far the parameters of a network of a width move until its loss is nearly zero."""
    return Quantity(lambda _: Sample(pd.Series([movement(width, seed) for seed in range(5)])))
