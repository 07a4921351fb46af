"""What the page of known deviations shows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from dfa_lib.experiments.names import METHOD_NAMES, OPTIMIZER_NAMES
from dfa_lib.experiments.statistics import Interval, mean_interval

from .. import deviations
from ..captions import INTERVALS
from ..chapter import Answer
from ..claims import queries
from ..claims.queries import Sample
from ..deviation_plots import adam_curves, coverages, differences, repeats_by_matrix
from ..deviations import Scale
from ..words import SPACE, direction, enumerated, listed, mean, number, percent, signed, size, table

TASK = "parity of two of the bundled digits"


def _training(scale: Scale, samples: int | None = None) -> str:
    return f"{scale.epochs} epochs of {samples or scale.samples:,} stacks, 64 hidden units"


def _unstable(runs: pd.DataFrame) -> str:
    """Count the unstable runs among those of a table's last epoch."""
    count = int(runs["unstable"].sum())
    verb = "is" if count == 1 else "are"
    return f"{count} of {len(runs)} runs {verb} unstable." if count else "No run is unstable."


def _interval_name(name: str, alike: bool) -> str:
    return f"{name}, {'one B for three runs' if alike else 'a B for each run'}"


def _share_of_matrix(runs: pd.DataFrame) -> str:
    share = percent(deviations.share_of_matrix(runs), ".0f")
    return f"The random matrix accounts for {share} of the variance between runs."


def shared(runs: pd.DataFrame, scale: Scale) -> dict[str, Any]:
    """Return the figure of runs by their random matrix."""
    means = runs.groupby("matrix")["test_accuracy"].mean()
    ends = [percent(x) for x in (means.min(), means.max())]
    single = [percent(x) for x in (runs["test_accuracy"].min(), runs["test_accuracy"].max())]
    return {
        "figure": repeats_by_matrix(runs),
        "results": ("deviation_shared",),
        "caption": (
            f"{_share_of_matrix(runs)} Test accuracy of DFA with SGD, {TASK}, {scale.repeats} runs with "
            f"each of {scale.matrices} random matrices (dots) and their mean (bar); the dotted line is "
            f"the mean of all. {_training(scale)}, rate {scale.run().learning_rate:g}; weights and "
            f"stacks are drawn anew for every run. {_unstable(runs)}"
        ),
        "alt": (
            f"{scale.matrices} columns of {scale.repeats} dots each. The means of the columns lie "
            f"between {' and '.join(ends)}; single runs between {' and '.join(single)}."
        ),
    }


def coverage_of(runs: pd.DataFrame) -> dict[tuple[str, bool], tuple[Interval, float]]:
    """Return coverage and width of each interval, over three runs that share their matrix or not."""
    intervals: dict[str, Callable[[Sequence[float]], tuple[float, float]]] = {
        "Student-t": lambda values: mean_interval(values)[1:3],
        "bootstrap": deviations.bootstrap_interval,
    }
    return {
        (name, alike): deviations.coverage(runs, interval, shared=alike)
        for name, interval in intervals.items()
        for alike in (False, True)
    }


def shared_answer(runs: pd.DataFrame) -> Answer:
    """Say how much variance is due to the matrix, and the coverage of intervals over three runs."""
    each, share = coverage_of(runs), deviations.share_of_matrix(runs)
    rows = [
        [_interval_name(*kind), percent(held.mean, ".0f"), number(100 * width, ".1f")]
        for kind, (held, width) in each.items()
    ]
    heads = ["interval over three runs", "holds the mean of all", "mean width, points"]
    harmless = " Sharing the matrix does no harm in this experiment." if share < 0.02 else ""
    return Answer(f"**Answer.** {_share_of_matrix(runs)}{harmless}\n\n{table(heads, rows)}")


def _bootstrap_holds(runs: pd.DataFrame) -> str:
    boot = coverage_of(runs)["bootstrap", False][0].mean
    return f"The bootstrap interval holds the mean in {percent(boot, '.0f')} of cases."


def coverage(runs: pd.DataFrame) -> dict[str, Any]:
    """Return the figure of the coverage of intervals over three runs."""
    rows = {_interval_name(*kind): held for kind, (held, _) in coverage_of(runs).items()}
    return {
        "figure": coverages(rows),
        "results": ("deviation_shared",),
        "caption": (
            f"{_bootstrap_holds(runs)} How often an interval over three runs holds the mean of all runs "
            "of {numref}`fig-shared-matrix`: Student's t and the percentile bootstrap, both at "
            f"95{SPACE}% (dotted line), over threes that share their matrix, and over others. "
            f"Lines are 95{SPACE}% intervals, over the matrices, or over the repeats."
        ),
        "alt": (
            "Four rows of one dot each, with the share of intervals that hold the mean: "
            f"{listed({name: percent(held.mean, '.0f') for name, held in rows.items()})}."
        ),
    }


def coverage_answer(runs: pd.DataFrame) -> Answer:
    """Say the coverage of the bootstrap."""
    return Answer(
        f"{_bootstrap_holds(runs)} "
        "{prf:ref}`prop-bootstrap` expects three in four for symmetrically distributed values."
    )


def _changes(runs: pd.DataFrame) -> dict[str, Any]:
    """Return accuracies with the state carried over minus with a fresh one, by optimizer and repeat."""
    pairs = runs.pivot(index=["optimizer", "repeat", "chain"], columns="state", values="test_accuracy")
    change = pairs["carried"] - pairs["fresh"]
    return {
        f"{OPTIMIZER_NAMES[optimizer]}, repeat {repeat}": change.loc[optimizer, repeat].to_numpy()
        for optimizer in deviations.CARRIED_RATES
        for repeat in (2, 3)
    }


def _lowered_or_raised(changes: Mapping[str, Any]) -> str:
    """Say whose accuracy changes when the optimizer's state is carried over."""
    signs = {name: direction(mean_interval(values)) for name, values in changes.items()}
    texts = []
    for verb, sign in (("lowers", -1), ("raises", 1)):
        if names := [name for name in signs if signs[name] == sign]:
            texts.append(f"Carrying the state over {verb} the accuracy of {enumerated(names)}.")
    return " ".join(texts) or f"The {len(changes)} intervals all contain 0."


def carried(runs: pd.DataFrame, scale: Scale) -> dict[str, Any]:
    """Return the figure of optimizer states that are carried over."""
    changes = _changes(runs)
    means = {name: number(100 * x.mean(), "+.1f") for name, x in changes.items()}
    return {
        "figure": differences(changes, "test accuracy, state carried over minus fresh"),
        "results": ("deviation_carried",),
        "caption": (
            f"{_lowered_or_raised(changes)} Test accuracy of the second and the third repeat with the "
            f"optimizer's state carried over, minus that with a fresh state: DFA, {TASK}, "
            f"{scale.chains} chains of three repeats for each of four optimizers, {_training(scale)}. "
            f"Small dots are pairs, large dots means, lines {INTERVALS}; the dotted line is no "
            f"difference. {_unstable(runs)}"
        ),
        "alt": f"{len(changes)} rows of dots around a line at 0. Means, in points: {listed(means)}.",
    }


def carried_answer(runs: pd.DataFrame) -> Answer:
    """Say for which optimizers carrying the state over lowers or raises the accuracy."""
    changes = _changes(runs)
    intervals = {name: mean_interval(values) for name, values in changes.items()}
    texts = [_lowered_or_raised(changes)]
    decided = sum(direction(interval) != 0 for interval in intervals.values())
    if decided:
        texts.append(
            f"One in twenty intervals at 95{SPACE}% misses 0 by chance; here {decided} of "
            f"{len(intervals)} do."
        )
    reach = max(max(abs(interval.low), abs(interval.high)) for interval in intervals.values())
    texts.append(
        f"No interval reaches further than {number(100 * min(reach, 1), '.1f')}{SPACE}points from 0."
    )
    return Answer(f"**Answer.** {' '.join(texts)}")


def _ends(runs: pd.DataFrame, method: str, counted: str) -> Sample:
    chosen = queries.select(runs, method=method, counted=counted, epoch=runs["epoch"].max())
    return queries.sample(chosen, "test_accuracy")


def updates_an_epoch(scale: Scale) -> int:
    """Return the number of Adam's updates per epoch."""
    return -(-scale.adam_samples // scale.run().batch_size)


def _adam_rates(runs: pd.DataFrame) -> Mapping[Any, float]:
    return runs.groupby(["method", "counted"])["learning_rate"].first().to_dict()


def _cost_of_counting(runs: pd.DataFrame) -> str:
    """Say how the accuracy changes when Adam counts epochs."""
    sentences = []
    for method in ("bp", "dfa"):
        name = METHOD_NAMES[method]
        slip = (_ends(runs, method, "epochs") - _ends(runs, method, "updates")).interval()
        text = f"What counting epochs changes for {name} may be chance: {signed(slip, plus=False)}."
        if direction(slip):
            verb = "gains" if slip.mean > 0 else "loses"
            text = f"{name} {verb} {size(slip)} when Adam counts epochs."
        sentences.append(text)
    return " ".join(sentences)


def adam(runs: pd.DataFrame, scale: Scale) -> dict[str, Any]:
    """Return the figure of Adam that counts epochs."""
    updates = updates_an_epoch(scale)
    factor = deviations.step_factor(updates, scale.epochs)
    kinds = [(m, counted) for m in ("bp", "dfa") for counted in ("updates", "epochs")]
    rates = _adam_rates(runs)
    chosen = listed({f"{METHOD_NAMES[m]} with {c} counted": f"{rates[m, c]:g}" for m, c in kinds})
    ends = listed({f"{METHOD_NAMES[m]}, {c} counted,": mean(_ends(runs, m, c)) for m, c in kinds})
    return {
        "figure": adam_curves(factor, updates, runs),
        "results": ("deviation_adam",),
        "caption": (
            f"{_cost_of_counting(runs)} Adam whose bias correction counts epochs: (a) the length of its "
            f"step divided by the right length, for {updates} updates an epoch, on a logarithmic axis; "
            "the dotted line is the right length; (b) test accuracy of BP and of DFA with updates "
            f"counted (solid) and with epochs (dashed), {TASK}; {_training(scale, scale.adam_samples)}; "
            f"means and {INTERVALS} over {scale.seeds} seeds. Chosen rates: {chosen}. "
            + _unstable(runs[runs["epoch"] == scale.epochs])
        ),
        "alt": (
            f"First, a curve that rises to {factor.max():.1f} within the first epoch and falls to "
            f"{factor[updates - 1]:.2f} at its end and {factor[-1]:.2f} at the last. Second, four "
            f"curves of accuracy that end at: {ends}."
        ),
    }


def adam_answer(runs: pd.DataFrame, scale: Scale) -> Answer:
    """Say what counting epochs costs."""
    rates, tuned = _adam_rates(runs), []
    for method in ("bp", "dfa"):
        name = METHOD_NAMES[method]
        right, wrong = (rates[method, counted] for counted in ("updates", "epochs"))
        choice = f"{right:g} both times" if right == wrong else f"{wrong:g} instead of {right:g}"
        tuned.append(f"{choice} for {name}")
    factor = deviations.step_factor(updates_an_epoch(scale), scale.epochs)
    return Answer(
        f"**Answer.** {_cost_of_counting(runs)} After {scale.epochs} epochs the steps are "
        f"{1 / factor.min():.1f} times too short at the same rate. Tuning chooses {enumerated(tuned)}."
    )


WORTH = {
    "reported": "on the test digits (reported)",
    "true": "on fresh digits (true)",
    "reported but not true": "the first minus the second",
}


def _worth(runs: pd.DataFrame) -> dict[str, Any]:
    worth = deviations.worth_of_test_digits(runs)
    return worth | {"reported but not true": worth["reported"] - worth["true"]}


def _overstated(worth: Mapping[str, Any]) -> str:
    bias = mean_interval(worth["reported but not true"])
    if not direction(bias):
        return (
            "Whether a rate chosen on test digits overstates the accuracy on fresh digits is not "
            f"decided: {signed(bias, plus=False)}."
        )
    verb = "overstates" if bias.mean > 0 else "understates"
    return f"A rate chosen on test digits {verb} the accuracy on fresh digits by {size(bias)}."


def peeking(runs: pd.DataFrame, scale: Scale) -> dict[str, Any]:
    """Return the figure of the gain by choosing rates on test digits."""
    worth = _worth(runs)
    means = {WORTH[kind]: number(100 * values.mean(), "+.2f") for kind, values in worth.items()}
    reports = runs[(runs["run"] == "report") & (runs["judged_on"] == "test")]
    return {
        "figure": differences(
            {WORTH[kind]: values for kind, values in worth.items()},
            "score at the rate chosen on test digits minus that at the rate chosen on validation digits",
        ),
        "results": ("deviation_rates",),
        "caption": (
            f"{_overstated(worth)} What choosing the learning rate on test digits adds to the score: on "
            "the test digits "
            f"themselves, on fresh digits, and the one minus the other. BP with SGD, {TASK}, "
            f"{scale.splits} splits of the digits, rates "
            f"{', '.join(f'{rate:g}' for rate in deviations.RATES)}; the score is the mean accuracy of "
            "the last half of the epochs. Small dots are splits, large dots means, lines "
            f"{INTERVALS}; the dotted line is no difference. {_unstable(reports)}"
        ),
        "alt": f"Three rows of dots around a line at 0. Means, in points: {listed(means)}.",
    }


def peeking_answer(runs: pd.DataFrame) -> Answer:
    """Say what choosing on test digits adds to the reported score and to the true one."""
    worth = _worth(runs)
    agreed, splits = int((worth["reported"] == 0).sum()), len(worth["reported"])
    heads = ["score", "chosen on test minus on validation digits, points"]
    rows = [[WORTH[kind], signed(mean_interval(x), unit=False)] for kind, x in worth.items()]
    return Answer(
        f"**Answer.** {_overstated(worth)} In {agreed} of {splits} splits, test and validation digits "
        f"choose the same rate, or one with the same score.\n\n{table(heads, rows)}"
    )
