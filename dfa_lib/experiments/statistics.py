"""Means over seeds, their confidence intervals, and tests of where a mean lies.

Every kind of number has a scale on which a Student-t interval makes sense, and the interval is taken
there: correlations and cosines on Fisher's z, accuracies near 0 or 1 on the logit, ratios on the
logarithm. Such an interval never leaves the range of its numbers.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ..validation import InputError, shown
from .outcomes import NON_FINITE, UNSTABLE, outcomes

CONFIDENCE = 0.95
EQUIVALENCE_CONFIDENCE = 0.90
"""Two one-sided tests at 5 % each amount to a 90 % interval inside the margin (Schuirmann, 1987)."""
EQUIVALENCES = ("equivalence", "ratio equivalence")
MOST_CORRELATED = 0.999
"""A correlation beyond ±0.999 counts as ±0.999: Fisher's z of exactly 1 is infinite."""
EXAMPLES = 10_000
"""How many examples an accuracy is taken to be measured on: MNIST's test stacks in an epoch."""
MOST_SEEDS = 1_000


class Interval(NamedTuple):
    """A mean and its confidence interval over ``n`` independent repeats."""

    mean: float
    low: float
    high: float
    n: int


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


class _Scale(NamedTuple):
    """A mean on its kind's scale, its standard error there, and the way to the scale and back."""

    centre: float
    error: float
    n: int
    mean: float
    to: Callable[[float], float]
    back: Callable[[float], float]


def _identity(x: float) -> float:
    return x


def _fisher(x: float) -> float:
    return x if math.isinf(x) else float(np.arctanh(np.clip(x, -MOST_CORRELATED, MOST_CORRELATED)))


def _logarithm(x: float) -> float:
    return -math.inf if x <= 0 else math.log(x)


def _on_scale(values: ArrayLike, kind: str, examples: int) -> _Scale:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x):
        raise InputError(f"a mean needs a list of at least one value, not {shown(values)}.")
    n = len(x)
    if kind == "logit":
        half = 0.5 / examples
        x = np.where(np.isnan(x), x, np.clip(x, half, 1 - half))
        mean = float(x.mean())
        # The delta method: the mean stays the arithmetic one, only its interval is bent.
        error = _standard_error(x) / (mean * (1 - mean))
        return _Scale(_logit(mean), error, n, mean, _logit, lambda y: float(special.expit(y)))
    to, back = {
        "t": (_identity, _identity),
        "equivalence": (_identity, _identity),
        "ratio equivalence": (_logarithm, math.exp),
        "fisher": (_fisher, math.tanh),
        "ratio": (_logarithm, math.exp),
    }[kind]
    scaled = np.array([to(value) for value in x])
    centre = float(scaled.mean())
    return _Scale(centre, _standard_error(scaled), n, back(centre), to, back)


def _logit(x: float) -> float:
    return float(special.logit(min(max(x, 0.0), 1.0)))


def _standard_error(x: NDArray[np.float64]) -> float:
    return float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else math.nan


# ---- intervals ----


def interval_of(
    values: ArrayLike, kind: str = "t", confidence: float = CONFIDENCE, examples: int = EXAMPLES
) -> Interval:
    """Return the mean of values of a kind over independent repeats, and its interval.

    Parameters
    ----------
    values
        One for each repeat. A nan makes the mean nan: it is never left out in silence.
    kind
        ``"t"``, ``"fisher"`` (correlations), ``"logit"`` (accuracies), ``"ratio"`` (positive numbers) or
        ``"binomial"`` (each 0 or 1).
    confidence
        The probability with which the interval contains the mean of infinitely many repeats.
    examples
        For ``"logit"``: how many examples an accuracy is measured on.

    Returns
    -------
    Interval
        Without ends (nan) if there is one value, except of a share.

    Raises
    ------
    InputError
        If there are no values.
    """
    if kind == "binomial":
        hits = np.asarray(values, dtype=float)
        return binomial_interval(int(hits.sum()), len(hits), confidence)
    scale = _on_scale(values, kind, examples)
    half = (
        float(special.stdtrit(scale.n - 1, (1 + confidence) / 2)) * scale.error
        if scale.n > 1
        else math.nan
    )
    return Interval(
        scale.mean, scale.back(scale.centre - half), scale.back(scale.centre + half), scale.n
    )


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean and its Student-t interval, ``mean ± t · s/√n`` with n - 1 degrees of freedom.

    The interval of a single value is unknown (nan). A nan among the values makes the mean nan: it is
    never left out in silence.

    Raises
    ------
    InputError
        If there are no values.
    """
    return interval_of(values, "t", confidence)


def fisher_interval(correlations: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of correlations by Fisher's z = artanh ρ, and its interval inside [-1, 1].

    Both are taken of z, by Student's t across repeats, and transformed back (Fisher, 1921).
    """
    return interval_of(correlations, "fisher", confidence)


def binomial_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return a share and its exact interval (Clopper and Pearson, 1934).

    Raises
    ------
    InputError
        If there is nothing to take a share of, or there are more hits than that.
    """
    if not 0 <= hits <= n or not n:
        raise InputError(f"a share needs hits between 0 and n, and n at least 1, not {hits} of {n}.")
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Interval(hits / n, low, high, n)


# ---- differences ----


def paired_difference(a: ArrayLike, b: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of ``a - b`` and its interval, where the i-th of ``a`` and of ``b`` share a seed.

    An interval that leaves out 0 says that the two differ.

    Raises
    ------
    InputError
        If the two are not equally long.
    """
    # Convert first: pandas would align by index, not by position.
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(x) != len(y):
        raise InputError(
            f"a paired difference needs a value of both for each seed, not {len(x)} and {len(y)}."
        )
    return mean_interval(x - y, confidence)


def difference_from_published(
    values: ArrayLike, published: float, repeats: int, confidence: float = CONFIDENCE
) -> Interval:
    """Return the mean of ``values`` minus a published mean of ``repeats`` runs, and its interval.

    How far the published repeats lay apart is not known. They are taken to vary as ours do, so the
    standard error is ``s √(1/n + 1/repeats)``.
    """
    ours = mean_interval(values, confidence)
    half = (ours.high - ours.mean) * math.sqrt(1 + ours.n / repeats)
    mean = ours.mean - published
    return Interval(mean, mean - half, mean + half, ours.n)


# ---- tests ----


def p_value(
    values: ArrayLike,
    above: float = -math.inf,
    below: float = math.inf,
    kind: str = "t",
    examples: int = EXAMPLES,
) -> float:
    """Return the p-value of the claim that the mean lies between ``above`` and ``below``.

    The null hypothesis is that it lies outside; for two ends it is the larger of the two one-sided
    p-values (Schuirmann, 1987). Of a kind other than ``"equivalence"`` the p-value is doubled. Either
    way it is at most 0.05 if and only if the interval of the kind, 90 % for an equivalence and 95 %
    otherwise, lies inside the range. Nan for a single value.
    """
    if kind == "binomial":
        hits = np.asarray(values, dtype=float)
        k, n = int(hits.sum()), len(hits)
        tails = [
            float(special.betainc(k, n - k + 1, above)) if k and above > 0 else float(above >= 0),
            float(special.betaincc(k + 1, n - k, below)) if k < n and below < 1 else float(below <= 1),
        ]
    else:
        scale = _on_scale(values, kind, examples)
        if not scale.error > 0:
            if math.isnan(scale.error):
                return math.nan
            return float(not scale.to(above) < scale.centre < scale.to(below))
        distances = (scale.centre - scale.to(above), scale.to(below) - scale.centre)
        tails = [1 - float(special.stdtr(scale.n - 1, d / scale.error)) for d in distances]
    return min(1.0, (1 if kind in EQUIVALENCES else 2) * max(tails))


def equivalent(a: ArrayLike, b: ArrayLike, margin: float) -> tuple[Interval, float]:
    """Return the 90 % interval of a paired difference, and the p-value that it lies inside ±margin.

    The two are alike, by two one-sided tests, if the interval lies inside; then p is below 0.05.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    difference = paired_difference(x, y, EQUIVALENCE_CONFIDENCE)
    return difference, p_value(x - y, -margin, margin, "equivalence")


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, 1979): each can be compared with 0.05."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def seeds_needed(
    values: ArrayLike,
    above: float = -math.inf,
    below: float = math.inf,
    kind: str = "t",
    examples: int = EXAMPLES,
) -> int | None:
    """Estimate how many repeats would put the interval on one side of each end of a range.

    The mean and the standard deviation are taken to stay what they are. None if that takes more than
    ``MOST_SEEDS``, or there is a single value.
    """
    if kind == "binomial":
        hits = np.asarray(values, dtype=float)
        share = float(hits.mean())
        inside = above < share < below
        for n in range(len(hits) + 1, MOST_SEEDS + 1):
            _, low, high, _ = binomial_interval(round(share * n), n)
            if (above < low and high < below) if inside else (high <= above or low >= below):
                return n
        return None
    scale = _on_scale(values, kind, examples)
    spread = scale.error * math.sqrt(scale.n)
    ends = [abs(scale.centre - scale.to(end)) for end in (above, below)]
    confidence = EQUIVALENCE_CONFIDENCE if kind in EQUIVALENCES else CONFIDENCE
    counts = np.arange(max(scale.n, 2), MOST_SEEDS + 1)
    half = special.stdtrit(counts - 1, (1 + confidence) / 2) * spread / np.sqrt(counts)
    enough = counts[half < min(ends)]
    return int(enough[0]) if len(enough) else None


# ---- tables ----


def in_words(difference: Interval) -> str:
    """Say a paired difference with its interval, to three places: ``+0.120 (95 % interval …)``."""
    if difference.n == 1:
        return f"{difference.mean:+.3f} in the one seed that was run"
    interval = f"{difference.low:+.3f} to {difference.high:+.3f}"
    return f"{difference.mean:+.3f} (95 % interval {interval}, {difference.n} paired seeds)"


SUMMARY = (
    *Interval._fields,
    "unstable",
    "non_finite",
    "undefined",
    "mean_sound",
    "low_sound",
    "high_sound",
)


def summarise(table: pd.DataFrame, by: Sequence[str], value: str = "test_accuracy") -> pd.DataFrame:
    """Reduce a results table to one row per group, over its seeds.

    Parameters
    ----------
    table
        Rows of a results table. Outcomes are those of its column ``outcome``, see ``with_outcomes``, or
        are told from its rows, if all epochs are there. Otherwise a nan counts as a non-finite run.
    by
        The columns that make a group.
    value
        The metric.

    Returns
    -------
    pandas.DataFrame
        The columns ``by``, then ``mean``, ``low``, ``high`` over all runs with a value and their number
        ``n``; how many runs are ``unstable`` or ``non_finite``; how many finite runs have no value,
        being 0/0 (``undefined``: they are in no mean); ``mean_sound``, ``low_sound`` and ``high_sound``
        over the runs that are neither unstable nor non-finite. A group with a non-finite run has no
        mean: nan.
    """
    if "outcome" not in table and _has_all_epochs(table):
        table = with_outcomes(table)
    rows = [
        dict(zip(by, key, strict=True)) | _summary(group, value)
        for key, group in table.groupby(list(by), sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*by, *SUMMARY])


def with_outcomes(table: pd.DataFrame) -> pd.DataFrame:
    """Return a results table, all epochs of each run in it, with a column ``outcome``."""
    # By position: tables that were put together may have the same row labels twice.
    return table.assign(outcome=outcomes(table.reset_index(drop=True)).to_numpy())


def _has_all_epochs(table: pd.DataFrame) -> bool:
    needed = {"epoch", "epochs", "train_loss", "test_accuracy", "test_samples"}
    if not needed <= set(table):
        return False
    # Every run has as many rows as epochs.
    epochs = table["epochs"].astype(float)
    runs = int((table["epoch"] == 1).sum())
    return math.isclose(float((1 / epochs).sum()), runs) and runs == int(
        (table["epoch"] == epochs).sum()
    )


def _summary(group: pd.DataFrame, value: str) -> dict[str, float]:
    missing = group[value].isna()
    if "outcome" in group:
        unstable, non_finite = group["outcome"] == UNSTABLE, group["outcome"] == NON_FINITE
    else:
        unstable, non_finite = missing & False, missing
    undefined = missing & ~non_finite
    sound = group[value][~(unstable | non_finite | undefined)]
    values = group[value][~undefined]
    every = mean_interval(values) if len(values) else UNKNOWN
    others = mean_interval(sound) if len(sound) else UNKNOWN
    counts = {
        "unstable": int(unstable.sum()),
        "non_finite": int(non_finite.sum()),
        "undefined": int(undefined.sum()),
    }
    return (
        every._asdict()
        | counts
        | {f"{name}_sound": getattr(others, name) for name in ("mean", "low", "high")}
    )
