"""The thesis's claims and the rule by which each is judged; this file has no results.

Accuracies are *alike* if they differ by less than ``ALIKE``, and *at chance* if they are that close to
½; a method has *learned* three digits if it is further above ½. At k = 1, where mistakes are few, the
ratio of the shares of mistakes is compared instead.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from dfa_lib.experiments.names import FEEDBACK_NAMES, METHOD_NAMES, OPTIMIZER_NAMES
from dfa_lib.experiments.statistics import Interval
from dfa_lib.learning_rules import backpropagation, direct_feedback_alignment
from dfa_lib.optimizers import OPTIMIZERS

from .judge import FAILS, Claim, Commit, Evidence, Number, Part
from .measures import (
    ADAPTIVE,
    CHANCE,
    DEPTH,
    KP_STEPS,
    LAZY,
    LEARNED,
    MATRICES,
    RULES,
    WIDTH,
    Quantity,
    accuracy_at_depth,
    alignment_before_accuracy,
    at,
    at_the_lowest_rate,
    best_lazy,
    by_tuning,
    error,
    errors,
    fa_minus_dfa,
    final,
    fitted_when_moving,
    fluctuation,
    gap,
    half_agreed,
    layers_alone,
    lazy,
    lost_above,
    lost_at_rate_1,
    lost_at_the_lowest,
    lost_beside,
    lowest,
    mean_gap,
    mean_lost_beside,
    network,
    overfitting,
    probe,
    rank_correlation,
    rates_apart,
    relative_movement,
    rise,
    share_of_epochs,
    signal_at_the_bottom,
    solved_error,
    spread_ratio,
    still_falling,
    with_optimizer,
)
from .queries import Sample

DIGITS_ONLY = {"mnist": "its runs are trained on the bundled digits only"}
ALIKE = 0.03
# Bioequivalence's range for a ratio: 0.8 to 1.25.
ALIKE_RATIO = 1.25
WIDE_GAP = 0.1

FIRST = Commit("14b0b18", "2026-11-24 01:18")
"""Rules of the first edition."""
SECOND = Commit("4315556", "2026-11-27 11:02")
"""Rules that were changed or added when the first edition's results were known."""
THIRD = Commit("5ee89bd", "2026-11-27 11:42")
"""Rules about lazy methods, changed when the thesis's own NTK was added."""
FOURTH = Commit("0db4aad", "2026-11-27 16:38")
"""The rule that compares DFA with a lazy method solved to convergence."""
DEEP = Commit("e0046a6", "2026-11-28 07:53")
"""Rules on networks with several hidden layers, stated after a pilot of 48 runs."""

# Experiments by the commit of their first results: on MNIST that of the results file; on the digits,
# whose results are not stored, that of the cell that trains them.
_FIRST_RESULTS = {
    "mnist": {
        "sgd tuning": ("f05f57a", "2026-11-24 00:03"),
        "alignment": ("02c20f0", "2026-11-24 01:06"),
        "random_matrices": ("de48d13", "2026-11-26 06:27"),
        "adaptive_methods": ("4473c4f", "2026-11-26 07:57"),
        "clusters_optimizers": ("acc04e8", "2026-11-26 12:23"),
        "reproduction clusters_samples clusters_dimensions probes": ("4e58c6f", "2026-11-26 14:35"),
        "clusters_converged": ("bfdddfe", "2026-11-27 11:41"),
    },
    "digits": {
        "sgd tuning reproduction": ("9a882f9", "2026-11-23 20:07"),
        "alignment random_matrices adaptive_methods": ("ff62ec4", "2026-11-23 22:38"),
        "clusters_samples clusters_dimensions": ("98474f4", "2026-11-23 23:03"),
        "clusters_optimizers probes": ("98474f4", "2026-11-23 23:03"),
        "clusters_converged": ("856f979", "2026-11-27 11:01"),
        "fresh_stacks": ("2b16ad5", "2026-11-24 01:45"),
        "edge edge_hold edge_clip edge_warm_up": ("474fc4f", "2026-11-28 05:11"),
        "depth": ("a6f0b4d", "2026-11-28 08:39"),
        "align": ("a9bb1e1", "2026-11-28 07:51"),
        "rich": ("d4911fa", "2026-11-28 12:27"),
        "hard hard_digits": ("a3d9cec", "2026-11-28 12:30"),
    },
}
FIRST_RESULTS = {
    dataset: {name: Commit(*commit) for names, commit in of.items() for name in names.split()}
    for dataset, of in _FIRST_RESULTS.items()
}
"""Commit of the first results of each experiment; authors of later rules could know them."""

Measure = Quantity | Callable[[Evidence], Sample | Interval | Number]


def above(bound: float, what: str, measure: Measure, **more: Any) -> Part:
    """Claim that a number lies above a bound."""
    return Part(what, measure, above=bound, **more)


def below(bound: float, what: str, measure: Measure, **more: Any) -> Part:
    """Claim that a number lies below a bound."""
    return Part(what, measure, below=bound, **more)


def between(low: float, high: float, what: str, measure: Measure, **more: Any) -> Part:
    """Claim that a number lies between two bounds."""
    return Part(what, measure, above=low, below=high, **more)


def alike(what: str, measure: Measure, to: float = 0.0, margin: float = ALIKE, **more: Any) -> Part:
    """Claim that a number is within a margin of another, by two one-sided tests."""
    return between(to - margin, to + margin, what, measure, kind="equivalence", **more)


def exactly_zero(what: str, measure: Measure) -> Part:
    """Claim that a number is 0 to the last bit."""
    return between(0.0, 0.0, what, measure, form="g")


def for_each(names: Mapping[str, str], part: Callable[[str, str], Part]) -> tuple[Part, ...]:
    """Return a part for each of some methods, optimizers or matrices."""
    return tuple(part(key, name) for key, name in names.items())


def claim(id: str, since: Commit, text: str, made: str, figure: str, *parts: Part, **more: Any) -> Claim:
    """Return a claim with its parts."""
    return Claim(id, text, made, figure, parts, rule_since=since, **more)


def untested(id: str, text: str, made: str, reason: str) -> Claim:
    """Return a claim that is not tested."""
    return Claim(id, text, made, reason=reason)


LAZY_NAMES = {m: METHOD_NAMES[m] for m in LAZY}
ADAPTIVE_NAMES = {o: OPTIMIZER_NAMES[o] for o in ADAPTIVE}
THE_TWO = {o: OPTIMIZER_NAMES[o] for o in ("rmsprop", "adadelta")}
MATRIX_NAMES = {kind: FEEDBACK_NAMES[kind] for kind in MATRICES}
OTHERS = {kind: name for kind, name in MATRIX_NAMES.items() if kind != "standard_uniform"}
NOT_UNIFORM = {kind: name for kind, name in MATRIX_NAMES.items() if kind != "uniform"}
NETWORKS = {"sgd": "BP with SGD", "adadelta": "BP with Adadelta"}
CLUSTERS = {"bp": "BP", "relu_features": "ReLU features"}
COSINES = {
    "weight_alignment": "cosine of B and W₂ᵀ",
    "gradient_alignment": "cosine of DFA's and BP's update of W₁",
}
BP, DFA = (final("sgd", k=3, method=m) for m in RULES)
COSINE = {"form": ".2f", "kind": "fisher"}
COUNTED = {"form": ".2f", "kind": "ratio"}
BY_TUNING = {"repeats": "tuning seeds"}

FIG_2_1, FIG_3_1 = "section 2.1, figure 2.1", "section 3.1, figure 3.1"
FIG_3_2, FIG_3_3, FIG_3_4 = (f"section 3.1, figure 3.{n}" for n in (2, 3, 4))
FINISHED = "sections 2.2 and 3.2 of the finished text"


def matrix(kind: str) -> Quantity:
    """Return the test accuracy of DFA with a random matrix."""
    return final("random_matrices", feedback=kind)


def over_d(method: str, optimizer: str = "sgd", judged: str = "test") -> Quantity:
    """Return an error on the clusters, averaged over d."""
    return error("clusters_optimizers", method, optimizer, judged)


def long_run(metric: str = "test_accuracy", optimizer: str = "sgd", method: str = "dfa") -> Quantity:
    """Return a metric at the end of the long run."""
    return final("alignment", metric, method=method, optimizer=optimizer)


def during(metric: str, place: float, optimizer: str = "sgd") -> Quantity:
    """Return a metric of DFA's long run after a share of its epochs, 0 being the first."""
    return at("alignment", metric, place, method="dfa", optimizer=optimizer)


def late_gain(method: str, optimizer: str) -> Quantity:
    """Return what the last quarter of the epochs adds to the test accuracy."""
    fields = {"method": method, "optimizer": optimizer}
    return with_optimizer(method, optimizer) - at("adaptive_methods", "test_accuracy", 3 / 4, **fields)


LARGE = 2 * math.sqrt(3)  # raises the variance of default weights from 1/(3h) to 4/h

# A table; the formatter would put each argument on its own line.
# fmt: off
CLAIMS: tuple[Claim, ...] = (
    # ---- one digit ----
    claim("1a", THIRD, "With one digit, every method learns.", FIG_2_1, "fig-reproduction",
        *for_each(NETWORKS, lambda o, name: above(
            0.75, f"test accuracy of {name}, k = 1", network(1, o), form="percent", kind="logit")),
        *for_each(LAZY_NAMES, lambda m, name: above(
            0.75, f"test accuracy of {name}, k = 1",
                  lazy(1, m), form="percent", kind="logit", optional=m == "glu")),
        note="0.75 is half way from chance to no mistakes."),
    claim("1b", THIRD,
        "With one digit, BP is slightly ahead of the lazy methods, with Adadelta and with SGD.", FIG_2_1,
        "fig-reproduction",
        *for_each(NETWORKS, lambda o, name: between(
            1, 2, f"mistakes of the best lazy method per mistake of {name}, k = 1",
            errors(best_lazy(1)) / errors(network(1, o)), **COUNTED)),
        note="The best lazy method is the one whose mean is highest, which is hard on the claim. "
             "Slightly means less than twice as many mistakes."),
    claim("1c", THIRD, "With one digit, all methods perform similarly.", "section 2.1",
        "fig-reproduction",
        *for_each(LAZY_NAMES, lambda m, name: below(
            2, f"mistakes of {name} per mistake of BP with SGD, k = 1",
            errors(lazy(1, m)) / errors(network(1, "sgd")), **COUNTED, optional=m == "glu"))),
    # ---- three digits: networks and lazy methods ----
    claim("2a", SECOND, "With three digits, BP comes close to 80 %, with Adadelta and with SGD.",
        FIG_2_1, "fig-reproduction",
        *for_each(NETWORKS, lambda o, name: alike(
            f"test accuracy of {name}, k = 3", network(3, o), to=0.8, margin=0.05, form="percent")),
        not_on={"digits": "the level is one on MNIST, and other digits have another"}),
    claim("2b", THIRD, "With three digits, the lazy methods stay at a random guess.", FIG_2_1,
        "fig-reproduction",
        *for_each(LAZY_NAMES, lambda m, name: alike(
            f"test accuracy of {name}, k = 3", lazy(3, m), to=CHANCE, form="percent",
            optional=m == "glu")),
        note="As the thesis trains them, for as many epochs as the network. They are convex problems; "
             "solved to convergence they are figures of their own in chapter 2."),
    claim("2c", THIRD, "With three digits, the gap between BP and the lazy methods is drastic.",
        "section 2.1", "fig-reproduction",
        *for_each(NETWORKS, lambda o, name: above(
            WIDE_GAP, f"test accuracy of {name} minus that of the best lazy method, k = 3",
            network(3, o) - best_lazy(3))),
        note="The thesis names no number; a tenth of all answers is taken for drastic."),
    claim("2d", SECOND,
        "In the tangent-kernel regime, a network does worse than BP on standard tasks like MNIST.",
        "section 1.3.1", "fig-reproduction",
        *for_each(NETWORKS, lambda o, name: above(
            1, f"mistakes of NTK per mistake of {name}, k = 1",
            errors(lazy(1, "ntk")) / errors(network(1, o)), **COUNTED)),
        not_on={"digits": "it is said of MNIST"},
        note="The task is whether one digit is odd. The book's NTK is the first layer's part of a "
             "tangent kernel, behind gates that stay fixed."),
    claim("2e", SECOND,
        "Over-parameterised networks can reach zero training loss with parameters that barely move.",
        "section 1.3", "fig-depth",
        below(0.1, "distance of all parameters from their start, relative to their size, when the "
                   "training loss is 0.01: 1,024 hidden units",
                   relative_movement(1_024), form="percent", repeats="networks"),
        above(0, "the same with 64 hidden units minus that with 1,024",
              relative_movement(64) - relative_movement(1_024), repeats="networks"),
        note="BP with small steps on 32 random inputs with random labels, in a moment; figure and "
             "claim have in common only that nothing is trained on digits. Other initialisations move "
             "more."),
    # ---- DFA with SGD ----
    claim("3a", THIRD, "With three digits, DFA with SGD beats the lazy methods.", FIG_3_1, "fig-sgd",
        above(0, "test accuracy of DFA minus that of the best lazy method, k = 3", DFA - best_lazy(3))),
    claim("3b", FIRST, "With three digits and SGD, DFA lags behind BP.", FIG_3_1, "fig-sgd",
        above(0, "test accuracy of BP minus that of DFA, k = 3", BP - DFA)),
    claim("3c", SECOND, "On simple tasks, DFA does as well as BP.", "section 1.2", "fig-sgd",
        between(1 / ALIKE_RATIO, ALIKE_RATIO, "mistakes of DFA per mistake of BP, k = 1",
                errors(final("sgd", k=1, method="dfa")) / errors(final("sgd", k=1, method="bp")),
                form=".2f", kind="ratio equivalence"),
        note="The simple task here is whether one digit is odd. Where few mistakes are made, a "
             "difference of 0.03 would be many times as many."),
    claim("4", SECOND,
        "Given two and a half times as many epochs, DFA with SGD gets about as far as BP with SGD.",
        FIG_3_2, "fig-alignment",
        alike("test accuracy of DFA after the long run minus that of BP after the short one, k = 3",
              long_run() - BP),
        note="DFA's rate is tuned for the long run."),
    claim("4b", SECOND, "DFA's lag is a delay and not a limit: given time, it catches up with BP.",
        "section 3.1", "fig-alignment",
        alike("test accuracy of BP minus that of DFA, both after the long run, k = 3",
              long_run(method="bp") - long_run()),
        note="The control of claim 4: BP, too, is given the longer run."),
    # ---- alignment ----
    claim("5a", SECOND, "The alignment of W₂ with B starts low and rises.", FIG_3_2, "fig-alignment",
        between(-0.2, 0.2, "cosine of B and W₂ᵀ after the first epoch", during("weight_alignment", 0),
                **COSINE),
        above(0, "cosine of B and W₂ᵀ after the last epoch minus that after the first",
              long_run("weight_alignment") - during("weight_alignment", 0), form=".2f")),
    claim("5b", SECOND, "Alignment rises together with accuracy.", FIG_3_2, "fig-alignment",
        above(0.5, "rank correlation, over epochs, of the cosine of B and W₂ᵀ with test accuracy",
              rank_correlation("weight_alignment", "test_accuracy"), **COSINE)),
    claim("5c", SECOND, "DFA is slower because it has to align before it can learn.",
        "sections 1.2 and 3.1", "fig-alignment",
        below(0, "epoch at which alignment is half way to its highest value, minus that at which "
                 "accuracy is", alignment_before_accuracy(), form="epochs"),
        note="Only the order is tested. That the one is the cause of the other is not. The highest "
             "value and not the last one, so that a run that falls back keeps its marks; a run that "
             f"never reaches {LEARNED:g} has none."),
    claim("5d", SECOND,
        "The more the weights align with B, the more DFA's update points where BP's does.",
        "section 1.2", "fig-alignment-optimizers",
        above(0.5, "rank correlation, over epochs, of the cosine of B and W₂ᵀ with that of the two "
                   "updates", rank_correlation("weight_alignment", "gradient_alignment"), **COSINE)),
    claim("5e", SECOND, "DFA's update is another than BP's, and still points downhill.", "section 1.2",
        "fig-alignment-optimizers",
        between(0, 0.99, "cosine of DFA's and BP's update of W₁ after the first epoch",
                during("gradient_alignment", 0), **COSINE),
        between(0, 0.99, "the same at the epoch at which its mean over seeds is lowest",
                lowest("alignment", "gradient_alignment", method="dfa", optimizer="sgd"), **COSINE),
        between(0, 0.99, "the same after the last epoch", long_run("gradient_alignment"), **COSINE),
        note="A cosine above 0 with the gradient is what downhill means. It is taken of W₁ alone; the "
             "update of W₂ is BP's own. The lowest epoch is picked after the fact, which is hard on "
             "the claim."),
    # ---- random matrices ----
    claim("6a", FIRST, "DFA learns with any of the four random matrices.", FIG_3_3,
        "fig-random-matrices",
        *for_each(MATRIX_NAMES, lambda kind, name: above(
            CHANCE + ALIKE, f"test accuracy of DFA with B {name}, k = 3", matrix(kind),
            form="percent"))),
    claim("6b", SECOND,
        "Each random matrix needs a learning rate of its own, and these are very different.", FIG_3_3,
        "fig-random-matrices",
        above(5, "largest of the four tuned rates divided by the smallest", rates_apart, form=".1f",
              repeats="matrices", interval="give or take half of the way to the next rate tried"),
        note="Very different means by more than a factor of five."),
    claim("6c", FIRST, "Of the four random matrices, the one that is uniform on [0, 1] is the worst.",
        FIG_3_3, "fig-random-matrices",
        *for_each(OTHERS, lambda kind, name: above(
            0, f"test accuracy with B {name} minus that with B {MATRIX_NAMES['standard_uniform']}",
            matrix(kind) - matrix("standard_uniform")))),
    claim("6d", SECOND, "The other three random matrices do alike.", FIG_3_3, "fig-random-matrices",
        *(alike(f"test accuracy with B {MATRIX_NAMES[a]} minus that with B {MATRIX_NAMES[b]}",
                matrix(a) - matrix(b))
            for a, b in (("gaussian", "uniform"), ("standard_gaussian", "uniform"),
                         ("standard_gaussian", "gaussian")))),
    claim("6e", FIRST, "With SGD, none of the other three brings DFA up to BP.", FIG_3_3,
        "fig-random-matrices",
        *for_each(OTHERS, lambda kind, name: above(
            0, f"test accuracy of BP minus that of DFA with B {name}, k = 3", BP - matrix(kind)))),
    claim("6f", SECOND, "No other random matrix is a significant improvement on the uniform one.",
        "section 3.1", "fig-random-matrices",
        *for_each(NOT_UNIFORM, lambda kind, name: below(
            ALIKE, f"test accuracy with B {name} minus that with B {MATRIX_NAMES['uniform']}",
            matrix(kind) - matrix("uniform")))),
    # ---- learning rates ----
    claim("7a", SECOND, "DFA is more sensitive to its learning rate than BP.", "section 3.1",
        "fig-scores-optimizers",
        above(0, "what DFA loses of its score at the rates tried next to the chosen one, minus what "
                 "BP loses: SGD, k = 3",
                 by_tuning(lost_beside, "dfa") - by_tuning(lost_beside, "bp"), **BY_TUNING),
        above(0, "the same, mean over seven optimizers",
                 mean_lost_beside("dfa") - mean_lost_beside("bp"), **BY_TUNING),
        note="The mean over the next rate below and the next one above, a factor of about 1.5 away, "
             "paired by the seeds of the tuning."),
    claim("7b", SECOND, "At too high a rate, DFA with SGD overfits.", "section 3.1", "fig-rates-dfa",
        above(0, "score of DFA at its chosen rate minus that at the next higher one, k = 3",
              by_tuning(lost_above, "dfa"), **BY_TUNING),
        above(0, "training minus validation accuracy at the next higher rate, less that at the chosen "
                 "one", by_tuning(overfitting, "dfa"), **BY_TUNING),
        note="Two things have to be so: accuracy is lost, and it is lost between training and new "
             "digits. A rate at which a run becomes unstable loses accuracy on both."),
    claim("7c", SECOND, "Too low rates do not converge in the given number of epochs.", "section 3.1",
        "fig-rates-dfa",
        above(ALIKE, "score of DFA with SGD at the chosen rate minus that at the smallest rate tried, "
                     "k = 3", at_the_lowest_rate(lost_at_the_lowest), repeats="random matrices"),
        above(0, "by how much the training loss there still falls in the last quarter of the epochs",
              at_the_lowest_rate(still_falling), form=".4f", repeats="random matrices"),
        note="One number for each of the four random matrices."),
    claim("7d", SECOND, "Large rates make the loss fluctuate.", "section 1.4.1", "fig-rates-dfa",
        *for_each(RULES, lambda m, name: above(
            1, f"mean jump of the training loss of {name} from epoch to epoch at the next rate above "
               "the chosen one, divided by that at it",
               by_tuning(fluctuation, m), **COUNTED, **BY_TUNING)),
        note="Over the last ten epochs, with SGD and k = 3."),
    # ---- optimizers ----
    claim("8a", FIRST, "Adaptive methods raise the final accuracy, of BP and of DFA.", FIG_3_4,
        "fig-adaptive",
        *(above(0, f"test accuracy of {RULES[m]} with {name} minus that with SGD",
                with_optimizer(m, o) - with_optimizer(m, "sgd"))
            for m in RULES
            for o, name in ADAPTIVE_NAMES.items())),
    claim("8b", SECOND, "With RMSProp and with Adadelta, the gap between BP and DFA is nearly closed.",
        FIG_3_4, "fig-adaptive",
        *for_each(THE_TWO, lambda o, name: alike(
            f"test accuracy of BP minus that of DFA, with {name}", gap(o)))),
    claim("8c", FIRST, "With RMSProp and with Adadelta, the gap is narrower than with SGD.", FIG_3_4,
        "fig-adaptive",
        *for_each(THE_TWO, lambda o, name: above(
            0, f"gap between BP and DFA with SGD minus that with {name}", gap("sgd") - gap(o)))),
    claim("8d", FIRST, "On average over optimizers, DFA remains behind BP.", FIG_3_4, "fig-adaptive",
        above(0, f"test accuracy of BP minus that of DFA, mean over {len(OPTIMIZERS)} optimizers",
                 mean_gap())),
    claim("8e", FIRST, "With adaptive methods, DFA varies more from run to run than BP.", FIG_3_4,
        "fig-adaptive",
        above(1, "standard deviation over seeds of DFA's test accuracy divided by that of BP's, "
                 "pooled over four adaptive methods", spread_ratio, form=".2f", repeats="seeds of each"),
        note="With a few seeds, a standard deviation is known badly; the interval, from the F "
             "distribution, takes the four methods for independent, which shared seeds are not quite, "
             "so it is somewhat too narrow."),
    claim("8f", FIRST, "Adaptive methods converge faster than SGD.", "sections 1.4 and 3.1",
        "fig-adaptive",
        *(below(1, f"share of SGD's epochs in which {RULES[m]} with {name} gets as far as with SGD "
                    "in all", share_of_epochs(m, o), form=".2f")
            for m in RULES
            for o, name in ADAPTIVE_NAMES.items()),
        note="As far as SGD: its mean test accuracy at the last epoch."),
    claim("8g", FIRST, "Momentum converges faster than plain SGD.", "section 1.4.1", "fig-adaptive",
        *for_each(RULES, lambda m, name: below(
            1, f"share of SGD's epochs in which {name} with momentum gets as far as with SGD in all",
            share_of_epochs(m, "momentum"), form=".2f"))),
    claim("8h", SECOND, "Adagrad's steps become so small that late in training it learns nothing more.",
        "section 1.4.2", "fig-adaptive",
        *for_each(RULES, lambda m, name: alike(
            f"test accuracy of {name} with Adagrad at the last epoch minus that a quarter of the "
            "epochs before", late_gain(m, "adagrad"), margin=0.01)),
        note="The thesis says so of Adagrad in general; here it has the rate that was best."),
    claim("8i", SECOND, "Adadelta does not need its learning rate tuned.", "section 1.4.2",
        "fig-scores-optimizers",
        *for_each(RULES, lambda m, name: below(
            ALIKE, f"score of {name} with Adadelta at its chosen rate minus that at rate 1, k = 3",
            by_tuning(lost_at_rate_1, m, "adadelta"), **BY_TUNING)),
        note="Rate 1 is Adadelta as it was published."),
    claim("8j", SECOND, "Some adaptive methods help DFA more than BP.", "section 3.1", "fig-adaptive",
        *for_each(ADAPTIVE_NAMES, lambda o, name: above(
            0, f"what DFA gains with {name} over SGD minus what BP gains", gap("sgd") - gap(o))),
        some=True),
    claim("8k", SECOND, "Nesterov's rule improves on momentum.", "section 1.4.1", "fig-adaptive",
        *for_each(RULES, lambda m, name: above(
            0, f"test accuracy of {name} with Nesterov's rule minus that with momentum",
            with_optimizer(m, "nesterov") - with_optimizer(m, "momentum"))),
        note="The thesis says why it should, and does not run it."),
    claim("8l", SECOND, "Adadelta keeps learning late in training, where Adagrad does not.",
        "section 1.4.2", "fig-adaptive",
        *for_each(RULES, lambda m, name: above(
            0, f"what {name} gains in the last quarter of the epochs with Adadelta minus with Adagrad",
            late_gain(m, "adadelta") - late_gain(m, "adagrad")))),
    # ---- RMSProp's alignment ----
    claim("9a", FIRST, "RMSProp aligns sooner than SGD.", "a figure of the finished text",
        "fig-alignment-optimizers",
        *for_each(COSINES, lambda metric, name: above(
            0, f"{name} early on (after one epoch in 25), with RMSProp minus with SGD",
            during(metric, 1 / 25, "rmsprop") - during(metric, 1 / 25), form=".2f"))),
    claim("9b", FIRST, "RMSProp ends less aligned than SGD.", "a figure of the finished text",
        "fig-alignment-optimizers",
        *for_each(COSINES, lambda metric, name: below(
            0, f"{name} at the last epoch, with RMSProp minus with SGD",
            long_run(metric, "rmsprop") - long_run(metric), form=".2f"))),
    claim("9c", FIRST, "RMSProp ends more accurate than SGD all the same.",
        "a figure of the finished text", "fig-alignment-optimizers",
        above(0, "test accuracy at the last epoch of the long run, with RMSProp minus with SGD",
              long_run(optimizer="rmsprop") - long_run())),
    # ---- representations ----
    claim("10a", SECOND, "Hidden representations of single digits do not separate the digits.",
        "appendix B, figure B.2", "fig-probes",
        *for_each(RULES, lambda m, name: below(
            0.5, f"how often the ten nearest neighbours name the digit, after {name}", probe(f"{m}-sgd"),
            form="percent", kind="logit")),
        note="Guessing names one digit in ten. What the untrained network shows is in appendix B."),
    claim("10b", SECOND, "The networks memorise the digits that they were shown.", "appendix B",
        "fig-probes",
        *for_each(RULES, lambda m, name: above(
            ALIKE, f"accuracy of {name} with SGD, k = 3, on the stacks of the last epoch minus on "
                   "stacks of test digits",
                   final("sgd", "train_accuracy", k=3, method=m) - final("sgd", k=3, method=m))),
        note="Stacks hardly ever come twice, but their digits do."),
    claim("10c", SECOND, "A network that had learned the digits would separate them.", "appendix B",
        "fig-probes",
        *for_each(RULES, lambda m, name: above(
            0, f"how often the nearest neighbours name the digit, after {name} minus before training",
            probe(f"{m}-sgd") - probe("untrained"))),
        note="This is the premise of claim 10a. It is tested by what it needs: that learning moves the "
             "separation of digits up from where random weights leave it. A parity needs no names of "
             "digits."),
    # ---- clusters ----
    claim("11a", FIRST, "On the clusters, training both layers beats training the output layer.",
        FINISHED, "fig-clusters",
        *(above(0, f"test error of ReLU features minus that of BP, mean over {symbol}",
                error(experiment, "relu_features") - error(experiment, "bp"))
            for experiment, symbol in (("clusters_samples", "n"), ("clusters_dimensions", "d")))),
    claim("11b", FIRST, "On the clusters, the error falls as training points are added.", FINISHED,
        "fig-clusters",
        *for_each(CLUSTERS, lambda m, name: below(
            0, f"test error of {name} at the largest n minus that at the smallest",
            rise("clusters_samples", m, "samples")))),
    claim("11c", FIRST, "On the clusters, the error rises with the number of inputs.", FINISHED,
        "fig-clusters",
        *for_each(CLUSTERS, lambda m, name: above(
            0, f"test error of {name} at the largest d minus that at the smallest",
            rise("clusters_dimensions", m, "dimensions")))),
    claim("12a", FIRST, "On the clusters, DFA with SGD does not fit its training data.",
        "section 3.2 of the finished text", "fig-clusters-dfa",
        above(0.02, "training error of DFA with SGD, mean over d",
                    over_d("dfa", judged="train"), form="percent")),
    claim("12b", FOURTH, "On the clusters, DFA with SGD beats the lazy method.",
        "section 3.2 of the finished text", "fig-clusters-dfa",
        above(0, "test error of ReLU features solved to convergence minus that of DFA with SGD, mean "
                 "over d", solved_error("relu_features", "clusters_optimizers") - over_d("dfa")),
        note="The thesis trains the lazy method by 500 steps, far from its minimum; chapter 3 has that "
             "comparison."),
    claim("12c", FIRST, "On the clusters, RMSProp lowers DFA's test error.",
        "section 3.2 of the finished text", "fig-clusters-dfa",
        below(0, "test error of DFA with RMSProp minus that with SGD, mean over d",
              over_d("dfa", "rmsprop") - over_d("dfa"))),
    claim("12d", FIRST, "On the clusters, RMSProp raises BP's test error.",
        "section 3.2 of the finished text", "fig-clusters-dfa",
        above(0, "test error of BP with RMSProp minus that with SGD, mean over d",
              over_d("bp", "rmsprop") - over_d("bp"))),
    # ---- from the text ----
    claim("13a", FIRST, "With one hidden layer, FA and DFA are the same.", "section 1.2, figure 1.2",
        "fig-error-fa-dfa",
        exactly_zero("largest difference between weights trained by FA and by DFA for ten steps",
                     fa_minus_dfa),
        note="On random inputs, as many as a stack of three has: B has the same shape in both rules."),
    untested("13b", "DFA fails to train convolutional networks.", "section 1.2",
        "the library has fully connected networks only; the papers that the thesis follows here "
        "{cite}`refinetti2021,launay2019` did test it, and found that it fails with fixed random "
        "feedback"),
    claim("13c", FIRST, "DFA suffers less from vanishing gradients than BP.", "section 1.2", "fig-depth",
        *(part
            for activation in ("sigmoid", "tanh")
            for part in (
                below(-1, "power of ten by which the signal of BP changes from the last hidden layer "
                          f"to the first, {activation} units",
                          signal_at_the_bottom(backpropagation, activation),
                      form=".2f", repeats="networks"),
                above(0, f"the same of DFA minus that of BP, {activation} units",
                      signal_at_the_bottom(direct_feedback_alignment, activation)
                      - signal_at_the_bottom(backpropagation, activation),
                      form=".2f", repeats="networks"),)),
        note=f"Networks of {DEPTH} hidden layers of {WIDTH} units before training, with PyTorch's "
             "default weights, uniform on ±1/√h, on random inputs, as many as a stack of three has. "
             "With weights √3 times as large BP's signal need not vanish. Whether the signal is of "
             "use is another question."),
    claim("13d", FIRST, "DFA's backward pass can be done for all layers at once.", "section 1.2",
        "fig-error-fa-dfa",
        exactly_zero("largest difference between DFA's updates and those that each layer works out by "
                     "itself, in a thread of its own", layers_alone),
        note=f"In a network of {DEPTH} hidden layers, on random inputs. Nothing is said about speed."),
    untested("13e", "Because its backward pass can be done at once, DFA may train faster.",
        "section 1.2",
        "the book's networks have one hidden layer, so that there is nothing to do at once, and a "
        "time measured on them would say nothing about deep ones on many processors"),
    claim("13f", DEEP, "In DFA, a layer cannot learn before the layers in front of it are aligned.",
        "section 1.2", "fig-depth-held",
        below(0, "epoch at which the cosine of DFA's update with BP's is half way to its largest value, "
                 "first of two hidden layers minus second",
              half_agreed("dfa", 2, 1) - half_agreed("dfa", 2, 2), form="epochs"),
        below(0.02, "accuracy of DFA when the first hidden layer is held at its random start and the "
                    "second learns, minus that when both are held",
              accuracy_at_depth("dfa", 2, "first") - accuracy_at_depth("dfa", 2, "both")),
        not_on=DIGITS_ONLY, note="A first layer that is held is never aligned."),
    Claim("13g", "How robust DFA is to adversarial attacks has not been looked into.", "section 1.2",
        by_literature=FAILS,
        reason="by the literature: Akrout {cite}`akrout2019` had attacked networks trained by "
               "feedback alignment before the thesis was written, and Sanfiz and Akrout "
               "{cite}`sanfiz2021` have since compared several rules under attack; this book attacks "
               "none"),
    claim("13h", SECOND, "DFA suffers less from exploding gradients than BP.", "section 1.2",
        "fig-depth",
        *(part
            for activation in ("tanh", "relu")
            for part in (
                above(0, "power of ten by which the signal of BP changes from the last hidden layer "
                         f"to the first, {activation} units, weights 2√3 times the default",
                      signal_at_the_bottom(backpropagation, activation, LARGE),
                      form=".2f", repeats="networks"),
                below(0, f"the same of DFA minus that of BP, {activation} units",
                      signal_at_the_bottom(direct_feedback_alignment, activation, LARGE)
                      - signal_at_the_bottom(backpropagation, activation, LARGE),
                      form=".2f", repeats="networks"),)),
        note="The networks of claim 13c with weights that have twice the size at which a linear "
             "network keeps its signal. With default weights BP's signal vanishes and does not "
             "explode."),
    claim("13i", SECOND, "A network can learn if either the random matrix or the output weights change.",
        "section 1.2", "fig-error-fa-dfa",
        *(above(0.9, f"share of a batch that is right after {KP_STEPS} steps in which {what}",
                fitted_when_moving(moves), form=".2f", repeats="networks")
            for moves, what in (
                ("W2", "W₂ moves and B stays"), ("B1", "B moves and W₂ stays"), ("W2 B1", "both move"))),
        note="W₂ gets its gradient, B the transpose of the same, by the rule of Kolen and Pollack "
             "{cite}`kolen1994`; the first layer learns in all three. Other rules can align B with a "
             "W₂ that stays. Chapter 1 has an exercise."),
    untested("13j", "FA offers no computational advantage over BP.", "section 1.2",
        "it follows from the equations: B has the shape of the weights' transpose, so every product "
        "costs the same, and the layers still wait for each other"),
    untested("13k", "DFA's hidden layers separate labels as BP's do, as maps by t-SNE show.",
        "section 1.2",
        "it is passed on from {cite}`nokland2016`, about other data and deep networks; appendix B has "
        "such maps and probes for parities"),
    untested("13l", "On modern tasks and architectures, DFA comes close to BP.", "section 1.2",
        "it is passed on from {cite}`launay2020`, who find it on several tasks, and a larger gap on "
        "transformers; the book has no such tasks"),
    untested("13m", "DFA has not been studied for how interpretable it makes networks.", "section 1.2",
        "it says what had not been looked into, which no experiment can test; appendix B looks into "
        "hidden representations, on a small scale"),
    untested("13n", "DFA is a step closer to biological plausibility than BP.", "section 1.2",
        "nothing in this book measures brains"),
    untested("13o", "Random features approximate kernel machines.", "section 1.3.2",
        "it is a theorem {cite}`rahimi2007`"),
    # ---- the data ----
    claim("14", FIRST, "Stacks that are drawn anew at each epoch help a network to learn.",
        "section 2.1", "fig-sgd",
        *for_each(RULES, lambda m, name: above(
            0, f"test accuracy of {name} with SGD, k = 3, with new stacks minus with the same ones",
            final("sgd", k=3, method=m) - final("fresh_stacks", k=3, method=m))),
        not_on={"mnist": "the runs on stacks that stay the same are trained on the bundled digits only"},
        note="The same stacks are passed as often as there are epochs, at the rate tuned for new ones."),
    untested("14b", "Test stacks that are drawn anew make the estimate of the test accuracy unbiased.",
        "section 2.1",
        "it is so by design of the stacks, and not of the digits: the test digits stay the same, and "
        "an interval over seeds does not contain their share of chance"),
)
# fmt: on
