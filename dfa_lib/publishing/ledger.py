"""The thesis's claims, and what each is judged by.

Findings are computed from the results tables; this file holds no result. A margin is the same wherever
it serves: numbers are *alike* if they differ by less than ``ALIKE``, *at a guess* if they are that close
to a coin, and a method has *learned* three digits if it is further away.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from ..claims import (
    FAILS,
    HOLDS,
    IN_PART,
    NOT_COMPUTED,
    NOT_TESTED,
    UNDECIDED,
    Claim,
    Evidence,
    Judgement,
    Ledger,
    NotComputed,
    Part,
    exactly,
    judge,
    overall,
    paired,
)
from ..experiments import final_epoch
from ..feedback import feedback_matrices
from ..learning_rules import (
    Products,
    backpropagation,
    direct_feedback_alignment,
    feedback_alignment,
    gradients,
    layer_gradients,
    output_error,
)
from ..networks import ACTIVATIONS, Parameters, forward, initialise_network
from ..optimizers import OPTIMIZERS, step
from ..plots import FEEDBACK_NAMES, OPTIMIZER_NAMES, label
from ..randomness import generator
from ..statistics import CONFIDENCE, Interval, mean_interval
from ..training import using_threads
from ..tuning import SCORED_EPOCHS
from ..validation import InputError
from .book import find_book
from .chapter import Settings, enumerated
from .freshness import staleness
from .markdown import as_text

ALIKE = 0.03
COIN = 0.5
ADAPTIVE = ("adagrad", "adadelta", "rmsprop", "adam")
LAZY = ("ntk", "gaussian_features", "relu_features", "linear_features")
RULES = {"bp": "BP", "dfa": "DFA"}

Select = Callable[[Evidence], pd.Series]
Measure = Callable[[Evidence], Interval]


# ---- numbers from results tables ----


def final(experiment: str, metric: str = "test_accuracy", **fields: object) -> Select:
    """Select a metric of the last epoch, by seed."""
    return lambda evidence: evidence.final(experiment, metric, **fields)


def mean(select: Select) -> Measure:
    """Measure the mean over seeds."""
    return lambda evidence: mean_interval(select(evidence).to_numpy(dtype=float))


def difference(a: Select, b: Select) -> Measure:
    """Measure the mean of ``a - b`` over the seeds they share."""
    return lambda evidence: paired(a(evidence), b(evidence))


def best_lazy(k: int) -> Select:
    """Select the test accuracy of the lazy method whose mean is highest."""

    def select(evidence: Evidence) -> pd.Series:
        each = [evidence.final("reproduction", k=k, method=method) for method in LAZY]
        return max(each, key=lambda accuracy: float(accuracy.mean()))

    return select


def network(k: int, optimizer: str) -> Select:
    """Select BP's test accuracy in the reproduction of figure 2.1."""
    return final("reproduction", k=k, method="bp", optimizer=optimizer)


def with_optimizer(method: str, optimizer: str) -> Select:
    """Select the test accuracy with an optimizer."""
    return final("adaptive_methods", method=method, optimizer=optimizer)


def gap(optimizer: str) -> Select:
    """Select BP's test accuracy minus DFA's with an optimizer, by seed."""

    def select(evidence: Evidence) -> pd.Series:
        bp, dfa = (with_optimizer(method, optimizer)(evidence) for method in RULES)
        return bp - dfa

    return select


def mean_gap(evidence: Evidence) -> pd.Series:
    """Select BP's test accuracy minus DFA's, averaged over all optimizers, by seed."""
    gaps = pd.DataFrame({optimizer: gap(optimizer)(evidence) for optimizer in OPTIMIZERS})
    return pd.Series(gaps.to_numpy(dtype=float).mean(1), index=gaps.index)


def by_epoch(experiment: str, metric: str, epoch: Callable[[int], int], **fields: object) -> Select:
    """Select a metric at the epoch that a function of the last epoch's number gives, by seed."""

    def select(evidence: Evidence) -> pd.Series:
        curves = evidence.curves(experiment, metric, **fields)
        return curves.iloc[epoch(len(curves)) - 1]

    return select


def first(_: int) -> int:
    """Return the number of the first epoch."""
    return 1


def early(last: int) -> int:
    """Return the number of the epoch that counts as early: the second of fifty."""
    return max(1, last // 25)


def to_last(last: int) -> int:
    """Return the number of the last epoch."""
    return last


def three_quarters(last: int) -> int:
    """Return the number of the epoch that three quarters of the epochs end with."""
    return max(1, 3 * last // 4)


def rank_correlation(first: str, second: str) -> Measure:
    """Measure how two metrics of the long DFA run go together over epochs: Spearman's ρ, by seed."""

    def measure(evidence: Evidence) -> Interval:
        a, b = (
            evidence.curves("alignment", metric, method="dfa", optimizer="sgd")
            for metric in (first, second)
        )
        return mean_interval([float(stats.spearmanr(a[seed], b[seed])[0]) for seed in a])

    return measure


def alignment_before_accuracy(evidence: Evidence) -> Interval:
    """Measure by how many epochs the accuracy is half way before the alignment is."""
    accuracy, cosine = (
        evidence.curves("alignment", metric, method="dfa", optimizer="sgd")
        for metric in ("test_accuracy", "weight_alignment")
    )

    def half_way(curves: pd.DataFrame, start: float) -> pd.Series:
        return (curves >= (start + curves.iloc[-1]) / 2).idxmax()

    return paired(half_way(cosine, 0.0), half_way(accuracy, COIN))


def share_of_epochs(method: str, optimizer: str) -> Measure:
    """Measure in what share of SGD's epochs an optimizer gets as far as SGD does in all.

    A run that does not get there in as many counts as one epoch more.
    """

    def measure(evidence: Evidence) -> Interval:
        goal = float(with_optimizer(method, "sgd")(evidence).mean())
        curves = evidence.curves("adaptive_methods", method=method, optimizer=optimizer)
        epochs = len(curves)
        reached = (curves >= goal).idxmax().where((curves >= goal).any(), epochs + 1)
        return mean_interval(reached.to_numpy(dtype=float) / epochs)

    return measure


def spread_ratio(evidence: Evidence) -> Interval:
    """Measure DFA's standard deviation over seeds divided by BP's, pooled over adaptive methods.

    Its interval is that of the F distribution.
    """
    variances = {
        method: float(
            np.mean(
                [with_optimizer(method, o)(evidence).to_numpy(dtype=float).var(ddof=1) for o in ADAPTIVE]
            )
        )
        for method in RULES
    }
    n = len(with_optimizer("bp", "adam")(evidence))
    freedom = len(ADAPTIVE) * (n - 1)
    ratio = np.sqrt(variances["dfa"] / variances["bp"])
    if not freedom:
        return Interval(float("nan"), float("nan"), float("nan"), n)
    wide = float(np.sqrt(stats.f.ppf((1 + CONFIDENCE) / 2, freedom, freedom)))
    return Interval(float(ratio), float(ratio / wide), float(ratio * wide), n)


def rates_apart(evidence: Evidence) -> Interval:
    """Measure how many steps of the grid, 1, 2, 5, 10, …, the random matrices' rates are apart.

    A chosen rate is known to a step, so the ends of the interval are two steps off.
    """
    rates = evidence.runs("random_matrices").groupby("feedback")["learning_rate"].first()
    if len(rates) < len(FEEDBACK_NAMES):
        raise NotComputed("random_matrices")
    steps = round(3 * float(np.log10(rates.max() / rates.min())))
    return Interval(float(steps), steps - 2.0, steps + 2.0, len(rates))


# ---- numbers from the tuning ----


def scores(evidence: Evidence, method: str, optimizer: str) -> pd.Series:
    """Return the score of each rate that was tried for three digits; a diverged rate has a coin's."""
    wanted = evidence.runs("adaptive_methods", method=method, optimizer=optimizer).iloc[0]
    tried = evidence.runs("tuning", evaluate_on="validation", method=method, optimizer=optimizer)
    for name in ("k", "samples", "test_samples", "hidden", "activation", "batch_size", "epochs"):
        tried = tried[tried[name] == wanted[name]]
    if "feedback" in tried and method == "dfa":
        tried = tried[tried["feedback"] == wanted["feedback"]]
    if tried.empty:
        raise NotComputed("tuning")
    last = tried[tried["epoch"] > tried["epochs"] - SCORED_EPOCHS]
    means = last.groupby(["learning_rate", "seed"])["test_accuracy"].apply(
        lambda a: a.mean(skipna=False)
    )
    return means.groupby("learning_rate").apply(lambda a: a.mean(skipna=False)).fillna(COIN)


def loss_one_step_away(evidence: Evidence, method: str, optimizer: str) -> float:
    """Return how much of the score the rates beside the best one lose, on average."""
    tried = scores(evidence, method, optimizer).sort_index()
    best = int(np.argmax(tried))
    beside = [tried.iloc[i] for i in (best - 1, best + 1) if 0 <= i < len(tried)]
    return float(tried.iloc[best] - np.mean(beside)) if beside else float("nan")


def more_sensitive(optimizers: tuple[str, ...]) -> Measure:
    """Measure how much more DFA loses a step of the grid away from its best rate than BP does."""
    return lambda evidence: mean_interval(
        [
            loss_one_step_away(evidence, "dfa", o) - loss_one_step_away(evidence, "bp", o)
            for o in optimizers
        ]
    )


def overfitting(evidence: Evidence) -> Interval:
    """Measure how much more training and validation differ at the highest rate than at the best."""
    tried = scores(evidence, "dfa", "sgd").sort_index()
    wanted = evidence.runs("adaptive_methods", method="dfa", optimizer="sgd").iloc[0]
    runs = evidence.runs(
        "tuning", evaluate_on="validation", method="dfa", optimizer="sgd", k=wanted["k"],
        epochs=wanted["epochs"], hidden=wanted["hidden"], samples=wanted["samples"],
        feedback=wanted["feedback"],
    )  # fmt: skip
    last = final_epoch(runs)
    apart = (last["train_accuracy"] - last["test_accuracy"]).groupby(last["learning_rate"]).mean()
    return mean_interval(
        [float(apart.sort_index().iloc[-1] - apart.sort_index().iloc[int(np.argmax(tried))])]
    )


def without_tuning(method: str) -> Measure:
    """Measure what Adadelta at rate 1 loses against its best rate."""

    def measure(evidence: Evidence) -> Interval:
        tried = scores(evidence, method, "adadelta")
        if 1.0 not in tried.index:
            raise NotComputed("tuning at rate 1")
        return mean_interval([float(tried.max() - tried[1.0])])

    return measure


# ---- numbers from the clusters and the probes ----


def error(experiment: str, method: str, optimizer: str = "sgd", judged: str = "test") -> Select:
    """Select the error of the last epoch, averaged over what the experiment varies, by seed."""

    def select(evidence: Evidence) -> pd.Series:
        last = final_epoch(evidence.runs(experiment, method=method, optimizer=optimizer))
        return 1 - last.groupby("seed")[f"{judged}_accuracy"].apply(lambda a: a.mean(skipna=False))

    return select


def rise(experiment: str, method: str, varied: str) -> Measure:
    """Measure the error at the largest value of what is varied minus that at the smallest."""

    def measure(evidence: Evidence) -> Interval:
        last = final_epoch(evidence.runs(experiment, method=method))

        def error_at(value: int) -> pd.Series:
            return 1 - last[last[varied] == value].set_index("seed")["test_accuracy"]

        return paired(error_at(int(last[varied].max())), error_at(int(last[varied].min())))

    return measure


def digit_named(weights: str) -> Measure:
    """Measure how often the nearest neighbours in a representation name the digit."""

    def measure(evidence: Evidence) -> Interval:
        table = evidence.probes()
        chosen = table[
            (table["weights"] == weights)
            & (table["probe"] == "nearest neighbours")
            & (table["target"] == "digit")
        ]
        return mean_interval(chosen["accuracy"].to_numpy(dtype=float))

    return measure


# ---- numbers that need no training ----

DEPTH, WIDTH, NETWORKS, BATCH = 8, 64, 10, 128
# Inputs of a stack of three.
INPUTS = {"digits": 192, "mnist": 2_352}


def deep_network(inputs: int, seed: int, *, hidden: int = DEPTH) -> tuple[Parameters, Tensor, Tensor]:
    """Return a deep network with its random matrices, and a batch of random inputs and labels.

    Inputs are standard normal, as pixels are after they have been normalised.
    """
    widths = (inputs, *[WIDTH] * hidden, 1)
    parameters = initialise_network(widths, generator(seed, "weights"))
    parameters |= feedback_matrices(widths, "uniform", generator(seed, "feedback"), direct=True)
    stream = generator(seed, "batch")
    X = torch.randn(BATCH, inputs, generator=stream, dtype=torch.float64)
    return parameters, X, torch.randint(2, (BATCH, 1), generator=stream).double()


@cache
def signals(rule: Callable[..., Products], activation: str, inputs: int, seed: int) -> list[float]:
    """Return the size of the signal δ at each hidden layer before training, the last one's being 1."""
    parameters, X, y = deep_network(inputs, seed)
    with using_threads(1):
        sizes = {n: float(torch.linalg.vector_norm(b)) for n, _, b in rule(parameters, X, y, activation)}
    return [sizes[f"W{layer}"] / sizes[f"W{DEPTH}"] for layer in range(1, DEPTH + 1)]


def signal_at_the_bottom(rule: Callable[..., Products], activation: str) -> Select:
    """Select by which power of ten the signal changes from the last hidden layer to the first."""
    return lambda evidence: pd.Series(
        [np.log10(signals(rule, activation, INPUTS[evidence.dataset], s)[0]) for s in range(NETWORKS)]
    )


def fa_minus_dfa(evidence: Evidence) -> Interval:
    """Measure the largest difference between weights that FA and DFA have trained for ten steps."""
    start, X, y = deep_network(INPUTS[evidence.dataset], 0, hidden=1)
    trained = []
    for rule in (feedback_alignment, direct_feedback_alignment):
        parameters = start

        def descent(p: Parameters, rule: Callable[..., Products] = rule) -> Parameters:
            return gradients(rule(p, X, y))

        with using_threads(1):
            for _ in range(10):
                parameters, _ = step(OPTIMIZERS["sgd"], parameters, {}, descent, learning_rate=0.1)
        trained.append(parameters)
    return exactly(max(float((trained[0][n] - trained[1][n]).abs().max()) for n in start))


def layers_alone(evidence: Evidence) -> Interval:
    """Measure how far DFA's updates are from those that each layer works out by itself, side by side."""
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


# ---- the claims ----


def _parts_for(names: dict[str, str], part: Callable[[str, str], Part]) -> tuple[Part, ...]:
    return tuple(part(key, name) for key, name in names.items())


_LAZY_NAMES = {method: label(method, "sgd") for method in LAZY}
_ADAPTIVE_NAMES = {o: OPTIMIZER_NAMES[o] for o in ADAPTIVE}
_OTHERS = {kind: FEEDBACK_NAMES[kind] for kind in ("uniform", "gaussian", "standard_gaussian")}
_NETWORKS = {"sgd": "BP with SGD", "adadelta": "BP with Adadelta"}


def _matrix(kind: str) -> Select:
    return final("random_matrices", feedback=kind)


def _error_over_d(method: str, optimizer: str = "sgd", judged: str = "test") -> Select:
    return error("clusters_optimizers", method, optimizer, judged)


def _aligned(metric: str, optimizer: str, epoch: Callable[[int], int]) -> Select:
    return by_epoch("alignment", metric, epoch, method="dfa", optimizer=optimizer)


_COSINES = {
    "weight_alignment": "cosine of B and W₂ᵀ",
    "gradient_alignment": "cosine of DFA's and BP's update of W₁",
}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "1a",
        "With one digit, every method learns.",
        "section 2.1, figure 2.1",
        "fig-reproduction",
        parts=(
            *_parts_for(
                _NETWORKS,
                lambda o, name: Part(
                    f"test accuracy of {name}, k = 1", mean(network(1, o)), above=0.75, form=".3f"
                ),
            ),
            *_parts_for(
                _LAZY_NAMES,
                lambda m, name: Part(
                    f"test accuracy of {name}, k = 1",
                    mean(final("reproduction", k=1, method=m)),
                    above=0.75,
                    form=".3f",
                ),
            ),
        ),
        note="0.75 is half way from a coin to no mistakes.",
    ),
    Claim(
        "1b",
        "With one digit, BP is slightly ahead of the lazy methods, with Adadelta and with SGD.",
        "section 2.1, figure 2.1",
        "fig-reproduction",
        parts=_parts_for(
            _NETWORKS,
            lambda o, name: Part(
                f"test accuracy of {name} minus that of the best lazy method, k = 1",
                difference(network(1, o), best_lazy(1)),
                above=0.0,
                below=0.1,
            ),
        ),
        note="The best lazy method is the one whose mean is highest, which is hard on the claim.",
    ),
    Claim(
        "2a",
        "With three digits, BP comes close to 80 %, with Adadelta and with SGD.",
        "section 2.1, figure 2.1",
        "fig-reproduction",
        parts=_parts_for(
            _NETWORKS,
            lambda o, name: Part(
                f"test accuracy of {name}, k = 3",
                mean(network(3, o)),
                above=0.75,
                below=0.85,
                form=".3f",
            ),
        ),
        not_on={"digits": "the level is one on MNIST, and other digits have another"},
    ),
    Claim(
        "2b",
        "With three digits, the lazy methods stay at a random guess.",
        "section 2.1, figure 2.1",
        "fig-reproduction",
        parts=_parts_for(
            _LAZY_NAMES,
            lambda m, name: Part(
                f"test accuracy of {name}, k = 3",
                mean(final("reproduction", k=3, method=m)),
                above=COIN - ALIKE,
                below=COIN + ALIKE,
                form=".3f",
            ),
        ),
    ),
    Claim(
        "3a",
        "With three digits, DFA with SGD beats the lazy methods.",
        "section 3.1, figure 3.1",
        "fig-sgd",
        parts=(
            Part(
                "test accuracy of DFA minus that of the best lazy method, k = 3",
                difference(final("sgd", k=3, method="dfa"), best_lazy(3)),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "3b",
        "With three digits and SGD, DFA lags behind BP.",
        "section 3.1, figure 3.1",
        "fig-sgd",
        parts=(
            Part(
                "test accuracy of BP minus that of DFA, k = 3",
                difference(final("sgd", k=3, method="bp"), final("sgd", k=3, method="dfa")),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "3c",
        "On simple tasks, DFA does as well as BP.",
        "section 1.2",
        "fig-sgd",
        parts=(
            Part(
                "test accuracy of BP minus that of DFA, k = 1",
                difference(final("sgd", k=1, method="bp"), final("sgd", k=1, method="dfa")),
                above=-ALIKE,
                below=ALIKE,
            ),
        ),
        note="The simple task here is whether one digit is odd.",
    ),
    Claim(
        "4",
        "Given two and a half times as many epochs, DFA with SGD gets about as far as BP with SGD.",
        "section 3.1, figure 3.2",
        "fig-alignment",
        parts=(
            Part(
                "test accuracy of DFA after the long run minus that of BP after the short one, k = 3",
                difference(final("alignment", optimizer="sgd"), final("sgd", k=3, method="bp")),
                above=-ALIKE,
                below=ALIKE,
            ),
        ),
        note="DFA's rate is tuned for the long run.",
    ),
    Claim(
        "5a",
        "The alignment of W₂ with B starts low and rises.",
        "section 3.1, figure 3.2",
        "fig-alignment",
        parts=(
            Part(
                "cosine of B and W₂ᵀ after the first epoch",
                mean(_aligned("weight_alignment", "sgd", first)),
                above=-0.2,
                below=0.2,
            ),
            Part(
                "cosine of B and W₂ᵀ after the last epoch minus that after the first",
                difference(
                    _aligned("weight_alignment", "sgd", to_last),
                    _aligned("weight_alignment", "sgd", first),
                ),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "5b",
        "Alignment rises together with accuracy.",
        "section 3.1, figure 3.2",
        "fig-alignment",
        parts=(
            Part(
                "rank correlation, over epochs, of the cosine of B and W₂ᵀ with test accuracy",
                rank_correlation("weight_alignment", "test_accuracy"),
                above=0.5,
            ),
        ),
    ),
    Claim(
        "5c",
        "DFA is slower because it has to align before it can learn.",
        "sections 1.2 and 3.1",
        "fig-alignment",
        parts=(
            Part(
                "epoch at which alignment is half way to its last value, minus that at which "
                "accuracy is",
                alignment_before_accuracy,
                below=0.0,
                form="+.1f",
            ),
        ),
        note="Only the order is tested. That the one is the cause of the other is not.",
    ),
    Claim(
        "5d",
        "The more the weights align with B, the more DFA's update points where BP's does.",
        "section 1.2",
        "fig-alignment-optimizers",
        parts=(
            Part(
                "rank correlation, over epochs, of the cosine of B and W₂ᵀ with that of the two updates",
                rank_correlation("weight_alignment", "gradient_alignment"),
                above=0.5,
            ),
        ),
    ),
    Claim(
        "5e",
        "DFA's update is another than BP's, and still points downhill.",
        "section 1.2",
        "fig-alignment-optimizers",
        parts=(
            Part(
                "cosine of DFA's and BP's update of W₁ after the first epoch",
                mean(_aligned("gradient_alignment", "sgd", first)),
                above=0.0,
                below=0.99,
            ),
            Part(
                "cosine of DFA's and BP's update of W₁ after the last epoch",
                mean(_aligned("gradient_alignment", "sgd", to_last)),
                above=0.0,
                below=0.99,
            ),
        ),
        note=(
            "A cosine above 0 with the gradient is what downhill means. It is taken of W₁ alone; the "
            "update of W₂ is BP's own."
        ),
    ),
    Claim(
        "6a",
        "DFA learns with any of the four random matrices.",
        "section 3.1, figure 3.3",
        "fig-random-matrices",
        parts=_parts_for(
            FEEDBACK_NAMES,
            lambda kind, name: Part(
                f"test accuracy of DFA with B {name}, k = 3",
                mean(_matrix(kind)),
                above=COIN + ALIKE,
                form=".3f",
            ),
        ),
    ),
    Claim(
        "6b",
        "Each random matrix needs a learning rate of its own, and these are very different.",
        "section 3.1, figure 3.3",
        "fig-random-matrices",
        parts=(
            Part(
                "steps of the grid of rates, 1, 2, 5, 10, …, from the smallest of the four tuned rates "
                "to the largest",
                rates_apart,
                above=2.0,
                form=".0f",
                repeats="matrices",
                interval="give or take a step at either end",
            ),
        ),
        note="More than two steps is a factor of at least ten.",
    ),
    Claim(
        "6c",
        "Of the four random matrices, the one that is uniform on [0, 1] is the worst.",
        "section 3.1, figure 3.3",
        "fig-random-matrices",
        parts=_parts_for(
            _OTHERS,
            lambda kind, name: Part(
                f"test accuracy with B {name} minus that with B {FEEDBACK_NAMES['standard_uniform']}",
                difference(_matrix(kind), _matrix("standard_uniform")),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "6d",
        "The other three random matrices do alike.",
        "section 3.1, figure 3.3",
        "fig-random-matrices",
        parts=tuple(
            Part(
                f"test accuracy with B {FEEDBACK_NAMES[a]} minus that with B {FEEDBACK_NAMES[b]}",
                difference(_matrix(a), _matrix(b)),
                above=-ALIKE,
                below=ALIKE,
            )
            for a, b in (
                ("gaussian", "uniform"),
                ("standard_gaussian", "uniform"),
                ("standard_gaussian", "gaussian"),
            )
        ),
    ),
    Claim(
        "6e",
        "With SGD, none of the other three brings DFA up to BP.",
        "section 3.1, figure 3.3",
        "fig-random-matrices",
        parts=_parts_for(
            _OTHERS,
            lambda kind, name: Part(
                f"test accuracy of BP minus that of DFA with B {name}, k = 3",
                difference(final("sgd", k=3, method="bp"), _matrix(kind)),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "7a",
        "DFA is more sensitive to its learning rate than BP.",
        "section 3.1",
        "fig-scores-optimizers",
        parts=(
            Part(
                "what DFA loses of its score a step of the grid beside its best rate, minus what BP "
                "loses: SGD, k = 3",
                more_sensitive(("sgd",)),
                above=0.0,
            ),
            Part(
                "the same, mean over seven optimizers",
                more_sensitive(tuple(OPTIMIZERS)),
                above=0.0,
                repeats="optimizers",
            ),
        ),
        note=(
            "A rate is tried with one seed, so the first number has no interval, and that of the second "
            "says how much optimizers differ, not seeds."
        ),
    ),
    Claim(
        "7b",
        "At too high a rate, DFA with SGD overfits.",
        "section 3.1",
        "fig-rates-dfa",
        parts=(
            Part(
                "training minus validation accuracy at the highest rate tried, less that at the best",
                overfitting,
                above=0.0,
            ),
        ),
        note="A rate is tried with one seed, so there is no interval.",
    ),
    Claim(
        "8a",
        "Adaptive methods raise the final accuracy, of BP and of DFA.",
        "section 3.1, figure 3.4",
        "fig-adaptive",
        parts=tuple(
            Part(
                f"test accuracy of {RULES[m]} with {name} minus that with SGD",
                difference(with_optimizer(m, o), with_optimizer(m, "sgd")),
                above=0.0,
            )
            for m in RULES
            for o, name in _ADAPTIVE_NAMES.items()
        ),
    ),
    Claim(
        "8b",
        "With RMSProp and with Adadelta, the gap between BP and DFA is nearly closed.",
        "section 3.1, figure 3.4",
        "fig-adaptive",
        parts=_parts_for(
            {o: OPTIMIZER_NAMES[o] for o in ("rmsprop", "adadelta")},
            lambda o, name: Part(
                f"test accuracy of BP minus that of DFA, with {name}",
                mean(gap(o)),
                above=-ALIKE,
                below=ALIKE,
            ),
        ),
    ),
    Claim(
        "8c",
        "With RMSProp and with Adadelta, the gap is narrower than with SGD.",
        "section 3.1, figure 3.4",
        "fig-adaptive",
        parts=_parts_for(
            {o: OPTIMIZER_NAMES[o] for o in ("rmsprop", "adadelta")},
            lambda o, name: Part(
                f"gap between BP and DFA with SGD minus that with {name}",
                difference(gap("sgd"), gap(o)),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "8d",
        "On average over optimizers, DFA remains behind BP.",
        "section 3.1, figure 3.4",
        "fig-adaptive",
        parts=(
            Part(
                "test accuracy of BP minus that of DFA, mean over seven optimizers",
                mean(mean_gap),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "8e",
        "With adaptive methods, DFA varies more from run to run than BP.",
        "section 3.1, figure 3.4",
        "fig-adaptive",
        parts=(
            Part(
                "standard deviation over seeds of DFA's test accuracy divided by that of BP's, pooled "
                "over four adaptive methods",
                spread_ratio,
                above=1.0,
                form=".2f",
                repeats="seeds of each",
            ),
        ),
        note=(
            "With a few seeds, a standard deviation is known badly; the interval, from the F "
            "distribution, takes the four methods for independent, which shared seeds are not quite, so "
            "it is somewhat too narrow."
        ),
    ),
    Claim(
        "8f",
        "Adaptive methods converge faster than SGD.",
        "sections 1.4 and 3.1",
        "fig-adaptive",
        parts=tuple(
            Part(
                f"share of SGD's epochs in which {RULES[m]} with {name} gets as far as with SGD in all",
                share_of_epochs(m, o),
                below=1.0,
                form=".2f",
            )
            for m in RULES
            for o, name in _ADAPTIVE_NAMES.items()
        ),
        note="As far as SGD: its mean test accuracy at the last epoch.",
    ),
    Claim(
        "8g",
        "Momentum converges faster than plain SGD.",
        "section 1.4.1",
        "fig-adaptive",
        parts=_parts_for(
            RULES,
            lambda m, name: Part(
                f"share of SGD's epochs in which {name} with momentum gets as far as with SGD in all",
                share_of_epochs(m, "momentum"),
                below=1.0,
                form=".2f",
            ),
        ),
    ),
    Claim(
        "8h",
        "Adagrad's steps become so small that late in training it learns nothing more.",
        "section 1.4.2",
        "fig-adaptive",
        parts=_parts_for(
            RULES,
            lambda m, name: Part(
                f"test accuracy of {name} with Adagrad at the last epoch minus that a quarter of the "
                "epochs before",
                difference(
                    with_optimizer(m, "adagrad"),
                    by_epoch(
                        "adaptive_methods",
                        "test_accuracy",
                        three_quarters,
                        method=m,
                        optimizer="adagrad",
                    ),
                ),
                above=-0.01,
                below=0.01,
            ),
        ),
        note="The thesis says so of Adagrad in general; here it has the rate that was best.",
    ),
    Claim(
        "8i",
        "Adadelta does not need its learning rate tuned.",
        "section 1.4.2",
        "fig-scores-optimizers",
        parts=_parts_for(
            RULES,
            lambda m, name: Part(
                f"score of {name} with Adadelta at the best rate minus that at rate 1",
                without_tuning(m),
                below=ALIKE,
            ),
        ),
        note="Rate 1 is Adadelta as it was published. A rate is tried with one seed: no interval.",
    ),
    Claim(
        "9a",
        "RMSProp aligns sooner than SGD.",
        "a figure of the finished text",
        "fig-alignment-optimizers",
        parts=_parts_for(
            _COSINES,
            lambda metric, name: Part(
                f"{name} early on (after one epoch in 25), with RMSProp minus with SGD",
                difference(_aligned(metric, "rmsprop", early), _aligned(metric, "sgd", early)),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "9b",
        "RMSProp ends less aligned than SGD.",
        "a figure of the finished text",
        "fig-alignment-optimizers",
        parts=_parts_for(
            _COSINES,
            lambda metric, name: Part(
                f"{name} at the last epoch, with RMSProp minus with SGD",
                difference(_aligned(metric, "rmsprop", to_last), _aligned(metric, "sgd", to_last)),
                below=0.0,
            ),
        ),
    ),
    Claim(
        "9c",
        "RMSProp ends more accurate than SGD all the same.",
        "a figure of the finished text",
        "fig-alignment-optimizers",
        parts=(
            Part(
                "test accuracy at the last epoch of the long run, with RMSProp minus with SGD",
                difference(final("alignment", optimizer="rmsprop"), final("alignment", optimizer="sgd")),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "10a",
        "Hidden representations of single digits do not separate the digits.",
        "appendix B, figure B.2",
        "fig-probes",
        parts=_parts_for(
            RULES,
            lambda m, name: Part(
                f"how often the ten nearest neighbours name the digit, after {name}",
                digit_named(f"{m}-sgd"),
                below=0.5,
                form=".3f",
            ),
        ),
        note="Guessing names one digit in ten. What the untrained network shows is in appendix B.",
    ),
    Claim(
        "10b",
        "The networks memorise the stacks that they were shown.",
        "appendix B",
        "fig-sgd",
        parts=_parts_for(
            RULES,
            lambda m, name: Part(
                f"test accuracy of {name} with SGD, k = 3, on stacks of digits never shown before",
                mean(final("sgd", k=3, method=m)),
                above=COIN - ALIKE,
                below=COIN + ALIKE,
                form=".3f",
            ),
        ),
        note="Whoever has only memorised can but guess at stacks of new digits.",
    ),
    Claim(
        "11a",
        "On the clusters, training both layers beats training the output layer.",
        "sections 2.2 and 3.2 of the finished text",
        "fig-clusters",
        parts=tuple(
            Part(
                f"test error of ReLU features minus that of BP, mean over {symbol}",
                difference(error(experiment, "relu_features"), error(experiment, "bp")),
                above=0.0,
            )
            for experiment, symbol in (("clusters_samples", "n"), ("clusters_dimensions", "d"))
        ),
    ),
    Claim(
        "11b",
        "On the clusters, the error falls as training points are added.",
        "sections 2.2 and 3.2 of the finished text",
        "fig-clusters",
        parts=_parts_for(
            {"bp": "BP", "relu_features": "ReLU features"},
            lambda m, name: Part(
                f"test error of {name} at the largest n minus that at the smallest",
                rise("clusters_samples", m, "samples"),
                below=0.0,
            ),
        ),
    ),
    Claim(
        "11c",
        "On the clusters, the error rises with the number of inputs.",
        "sections 2.2 and 3.2 of the finished text",
        "fig-clusters",
        parts=_parts_for(
            {"bp": "BP", "relu_features": "ReLU features"},
            lambda m, name: Part(
                f"test error of {name} at the largest d minus that at the smallest",
                rise("clusters_dimensions", m, "dimensions"),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "12a",
        "On the clusters, DFA with SGD does not fit its training data.",
        "section 3.2 of the finished text",
        "fig-clusters-dfa",
        parts=(
            Part(
                "training error of DFA with SGD, mean over d",
                mean(_error_over_d("dfa", judged="train")),
                above=0.02,
                form=".3f",
            ),
        ),
    ),
    Claim(
        "12b",
        "On the clusters, DFA with SGD beats the lazy method.",
        "section 3.2 of the finished text",
        "fig-clusters-dfa",
        parts=(
            Part(
                "test error of ReLU features minus that of DFA with SGD, mean over d",
                difference(_error_over_d("relu_features"), _error_over_d("dfa")),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "12c",
        "On the clusters, RMSProp lowers DFA's test error.",
        "section 3.2 of the finished text",
        "fig-clusters-dfa",
        parts=(
            Part(
                "test error of DFA with RMSProp minus that with SGD, mean over d",
                difference(_error_over_d("dfa", "rmsprop"), _error_over_d("dfa")),
                below=0.0,
            ),
        ),
    ),
    Claim(
        "12d",
        "On the clusters, RMSProp raises BP's test error.",
        "section 3.2 of the finished text",
        "fig-clusters-dfa",
        parts=(
            Part(
                "test error of BP with RMSProp minus that with SGD, mean over d",
                difference(_error_over_d("bp", "rmsprop"), _error_over_d("bp")),
                above=0.0,
            ),
        ),
    ),
    Claim(
        "13a",
        "With one hidden layer, FA and DFA are the same.",
        "section 1.2, figure 1.2",
        "fig-error-fa-dfa",
        parts=(
            Part(
                "largest difference between weights trained by FA and by DFA for ten steps",
                fa_minus_dfa,
                above=0.0,
                below=0.0,
                form="g",
            ),
        ),
        note="On random inputs, as many as a stack of three has: B has the same shape in both rules.",
    ),
    Claim(
        "13b",
        "DFA fails to train convolutional networks.",
        "section 1.2",
        reason=(
            "the library has fully connected networks only; the papers that the thesis follows here "
            "{cite}`refinetti2021,launay2019` did test it, and found that it fails"
        ),
    ),
    Claim(
        "13c",
        "DFA suffers less from vanishing gradients than BP.",
        "section 1.2",
        "fig-depth",
        parts=tuple(
            part
            for activation in ("sigmoid", "tanh")
            for part in (
                Part(
                    f"power of ten by which the signal of BP changes from the last hidden layer to the "
                    f"first, {activation} units",
                    mean(signal_at_the_bottom(backpropagation, activation)),
                    below=-1.0,
                    form="+.2f",
                    repeats="networks",
                ),
                Part(
                    f"the same of DFA minus that of BP, {activation} units",
                    difference(
                        signal_at_the_bottom(direct_feedback_alignment, activation),
                        signal_at_the_bottom(backpropagation, activation),
                    ),
                    above=0.0,
                    form="+.2f",
                    repeats="networks",
                ),
            )
        ),
        note=(
            f"Networks of {DEPTH} hidden layers of {WIDTH} units before training, on random inputs, as "
            "many as a stack of three has. Whether the signal is of use is another question."
        ),
    ),
    Claim(
        "13d",
        "DFA's backward pass can be done for all layers at once.",
        "section 1.2",
        "fig-error-fa-dfa",
        parts=(
            Part(
                "largest difference between DFA's updates and those that each layer works out by "
                "itself, in a thread of its own",
                layers_alone,
                above=0.0,
                below=0.0,
                form="g",
            ),
        ),
        note=f"In a network of {DEPTH} hidden layers, on random inputs. Nothing is said about speed.",
    ),
    Claim(
        "13e",
        "Because its backward pass can be done at once, DFA may train faster.",
        "section 1.2",
        reason=(
            "the book's networks have one hidden layer, so that there is nothing to do at once, and a "
            "time measured on them would say nothing about deep ones on many processors"
        ),
    ),
    Claim(
        "13f",
        "In DFA, a layer cannot learn before the layers in front of it are aligned.",
        "section 1.2",
        reason="it is about deep networks, and the book trains networks with one hidden layer",
    ),
    Claim(
        "13g",
        "How robust DFA is to adversarial attacks is unknown.",
        "section 1.2",
        reason="it says what had not been looked into, and this book has not looked into it either",
    ),
    Claim(
        "14",
        "Stacks that are drawn anew at each epoch help a network to learn.",
        "section 2.1",
        "fig-sgd",
        parts=_parts_for(
            RULES,
            lambda m, name: Part(
                f"test accuracy of {name} with SGD, k = 3, with new stacks minus with the same ones",
                difference(final("sgd", k=3, method=m), final("fresh_stacks", k=3, method=m)),
                above=0.0,
            ),
        ),
        not_on={"mnist": "the runs on stacks that stay the same are trained on the bundled digits only"},
        note="The same stacks are passed as often as there are epochs, at the rate tuned for new ones.",
    ),
)


# ---- the page ----

DATASETS = {"digits": "the digits", "mnist": "MNIST"}


def find_evidence(settings: Settings) -> dict[str, Evidence]:
    """Return where the results of each dataset lie: those of this edition, and the other edition's.

    The MNIST edition's are in the repository, the digits' beside the staged book; either may be absent.
    Results that this code would not compute are not used.
    """
    own = "mnist" if settings.profile == "mnist" else "digits"
    folders: dict[str, Path | None] = dict.fromkeys(DATASETS)
    try:
        root = find_book().root
        folders["mnist"] = root / "results" / "mnist"
        if own == "mnist":
            folders["digits"] = root / "_build" / "results" / "digits"
    except InputError:  # a notebook by itself, without its book
        pass
    if settings.results is not None:
        folders[own] = settings.results
    return {dataset: Evidence(dataset, folder, _staleness) for dataset, folder in folders.items()}


def _staleness(path: Path) -> str | None:
    reason = staleness(path)  # it quotes the record
    return None if reason is None else as_text(reason)


def judge_all(claims: Sequence[Claim], evidence: Mapping[str, Evidence]) -> Ledger:
    """Return each claim with its judgement on each dataset."""
    return [
        (claim, {dataset: judge(claim, found) for dataset, found in evidence.items()})
        for claim in claims
    ]


def verdict_in_words(judgement: Judgement) -> str:
    """Say a verdict in a word or two."""
    return "not computed" if judgement.reason == NOT_COMPUTED else judgement.verdict


def summary_table(ledger: Ledger) -> str:
    """Return one line of a Markdown table for each claim."""
    lines = [
        "| no. | claim | on the digits | on MNIST | figure |",
        "|---|---|---|---|---|",
    ]
    for claim, judgements in ledger:
        verdicts = " | ".join(verdict_in_words(judgements[dataset]) for dataset in DATASETS)
        figure = f"{{numref}}`{claim.figure}`" if claim.figure else "none"
        lines.append(f"| [{claim.id}](#claim-{claim.id}) | {claim.text} | {verdicts} | {figure} |")
    return "\n".join(lines)


def entry(claim: Claim, judgements: Mapping[str, Judgement]) -> str:
    """Return a claim's entry as a fold: its rule first, then what was found on each dataset."""
    figure = f" Its figure here is {{numref}}`{claim.figure}`." if claim.figure else ""
    lines = [
        f":::{{admonition}} {claim.id}. {claim.text}",
        ":class: dropdown",
        f":name: claim-{claim.id}",
        "",
        f"**Made in:** {claim.made} of the thesis.{figure}",
        "",
    ]
    if claim.parts:
        lines.append(
            "**Rule:** the claim holds if each of these lies, interval and all, where it is put."
        )
        lines += ["", *(f"{i}. {p.what}: {p.range}" for i, p in enumerate(claim.parts, 1)), ""]
    for dataset, name in DATASETS.items():
        judgement = judgements[dataset]
        if judgement.reason == NOT_COMPUTED:
            lines += [f"**On {name}:** {NOT_COMPUTED}", ""]
            continue
        reason = f" ({judgement.reason})" if judgement.reason else ""
        lines += [f"**On {name}: {judgement.verdict}**{reason}", ""]
        numbers = list(zip(claim.parts, judgement.numbers, strict=False))
        # Of what is measured and not judged, only the number is told.
        told = [
            f"{i}. {part.in_words(number)}"
            + ("" if judgement.verdict == NOT_TESTED else f": {part.verdict(number)}")
            for i, (part, number) in enumerate(numbers, 1)
        ]
        lines += [*told, ""] if told else []
    if all(judgements[dataset].verdict != NOT_TESTED for dataset in DATASETS):
        lines += [f"**Taken together: {overall(list(judgements.values()))}**", ""]
    if claim.note:
        lines += [f"*{claim.note}*", ""]
    return "\n".join([*lines, ":::"])


def summary(ledger: Ledger) -> str:
    """Count the verdicts, in a sentence for each dataset."""
    sentences = [f"The ledger has {len(ledger)} claims."]
    for dataset, name in DATASETS.items():
        found = [verdict_in_words(judgements[dataset]) for _, judgements in ledger]
        verbs = {
            HOLDS: ("holds", "hold"),
            IN_PART: ("holds in part", "hold in part"),
            FAILS: ("does not hold", "do not hold"),
            UNDECIDED: ("is undecided", "are undecided"),
            NOT_TESTED: ("is not tested", "are not tested"),
            "not computed": ("was not computed in this build", "were not computed in this build"),
        }
        told = [
            f"{found.count(verdict)} {verb[found.count(verdict) > 1]}"
            for verdict, verb in verbs.items()
            if verdict in found
        ]
        sentences.append(f"On {name}, {enumerated(told)}.")
    return " ".join(sentences)
