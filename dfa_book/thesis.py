"""Published values of the finished thesis: test accuracies on MNIST, means of three repeats."""

import math
from collections.abc import Sequence

import pandas as pd
from numpy.typing import ArrayLike

from dfa_lib.experiments.outcomes import UNSTABLE
from dfa_lib.experiments.statistics import UNKNOWN, Interval, mean_interval

REPEATS = 3
"""Repeats behind a published mean; their spread is not published."""

_EPOCHS = (1, 5, 10, 15, 20)
_FIGURE_3_1 = {
    (1, "bp"): (0.970, 0.984, 0.986, 0.987, 0.988),
    (1, "dfa"): (0.903, 0.961, 0.971, 0.975, 0.978),
    (3, "bp"): (0.537, 0.698, 0.733, 0.751, 0.764),
    (3, "dfa"): (0.498, 0.524, 0.623, 0.664, 0.684),
}

FIGURE_3_1 = pd.DataFrame(
    {"k": k, "method": method, "optimizer": "sgd", "epoch": epoch, "test_accuracy": accuracy}
    for (k, method), accuracies in _FIGURE_3_1.items()
    for epoch, accuracy in zip(_EPOCHS, accuracies, strict=True)
)
"""Backpropagation and direct feedback alignment with SGD on MNIST."""

FIGURE_3_2 = pd.DataFrame(
    [("dfa", "sgd", 50, 0.732, 0.544)],
    columns=["method", "optimizer", "epoch", "test_accuracy", "weight_alignment"],
)
"""Direct feedback alignment with SGD for 50 epochs, three digits of MNIST."""

RATES = {"bp": 0.12, "dfa": 0.018}
"""Learning rates of figure 3.1: chosen for three digits, used for one digit as well."""

RATE_FIGURE_3_2 = 0.016
"""Learning rate of figure 3.2."""


def difference_from_published(values: ArrayLike, published: float) -> Interval:
    """Return the mean of values minus a published mean, and its interval.

    The published standard deviation is not known. It is assumed to be ours, so the standard error is
    ``s √(1/n + 1/REPEATS)``.
    """
    ours = mean_interval(values)
    half = (ours.high - ours.mean) * math.sqrt(1 + ours.n / REPEATS)
    mean = ours.mean - published
    return Interval(mean, mean - half, mean + half, ours.n)


def beside(
    table: pd.DataFrame, published: pd.DataFrame, by: Sequence[str], value: str = "test_accuracy"
) -> pd.DataFrame:
    """Compare published values with the means of a results table, matched by columns.

    Returns
    -------
    pandas.DataFrame
        One row per published value whose epoch was trained: ``by``, ``published``, ``mean`` of all
        seeds, counts of ``seeds`` and ``unstable``, ``stable_mean``, ``difference`` of the stable mean
        from the published value with its 95 % interval ``low`` to ``high``, which includes the
        uncertainty of the published mean, and ``apart``, whether the interval excludes 0. Without a
        stable seed the last four are nan.
    """
    rows = []
    ours = dict(list(table.groupby(list(by))))
    for row in published.to_dict("records"):
        key = tuple(row[name] for name in by)
        if key in ours:
            runs = ours[key]
            unstable = runs["outcome"] == UNSTABLE if "outcome" in runs else pd.Series(False, runs.index)
            stable = runs[value][~unstable]
            d = difference_from_published(stable, row[value]) if len(stable) else UNKNOWN
            counts = len(runs), int(unstable.sum()), stable.mean()
            apart = d.low > 0 or d.high < 0
            mean = runs[value].mean(skipna=False)
            rows.append((*key, row[value], mean, *counts, d.mean, d.low, d.high, apart))
    counted = ["seeds", "unstable", "stable_mean"]
    columns = [*by, "published", "mean", *counted, "difference", "low", "high", "apart"]
    return pd.DataFrame(rows, columns=columns)
