"""Means over seeds, their confidence intervals, and tests of where a mean lies.

Student-t intervals are computed on a scale that suits the kind of number: Fisher's z for correlations
and cosines, the logit for accuracies near 0 or 1, the logarithm for ratios. Transformed back, such an
interval never leaves the range of its numbers.
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
"""Two one-sided tests at 5 % each: a 90 % interval inside the margin (Schuirmann, 1987)."""
EQUIVALENCES = ("equivalence", "ratio equivalence")
MOST_CORRELATED = 0.999
"""Correlations are clipped to ±0.999, because Fisher's z of 1 is infinite."""
EXAMPLES = 10_000
"""Examples behind an accuracy, by default: MNIST's test stacks in an epoch."""
MOST_SEEDS = 1_000


class Interval(NamedTuple):
    """A mean and its confidence interval over ``n`` independent repeats."""

    mean: float
    low: float
    high: float
    n: int


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


class _Scaled(NamedTuple):
    """A mean on the scale of its kind, its standard error there, and the functions to it and back."""

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


def _on_scale(values: ArrayLike, kind: str, examples: int) -> _Scaled:
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x):
        raise InputError(f"a mean needs a list of at least one value, not {shown(values)}.")
    n = len(x)
    if kind == "logit":
        half = 0.5 / examples
        x = np.where(np.isnan(x), x, np.clip(x, half, 1 - half))
        mean = float(x.mean())
        # Delta method: the mean stays the arithmetic one; only the interval is transformed.
        error = _standard_error(x) / (mean * (1 - mean))
        return _Scaled(_logit(mean), error, n, mean, _logit, lambda y: float(special.expit(y)))
    to, back = {
        "t": (_identity, _identity),
        "equivalence": (_identity, _identity),
        "ratio equivalence": (_logarithm, math.exp),
        "fisher": (_fisher, math.tanh),
        "ratio": (_logarithm, math.exp),
    }[kind]
    scaled = np.array([to(value) for value in x])
    centre = float(scaled.mean())
    return _Scaled(centre, _standard_error(scaled), n, back(centre), to, back)


def _logit(x: float) -> float:
    return float(special.logit(min(max(x, 0.0), 1.0)))


def _standard_error(x: NDArray[np.float64]) -> float:
    return float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else math.nan


# ---- intervals ----


def interval_of(
    values: ArrayLike, kind: str = "t", confidence: float = CONFIDENCE, examples: int = EXAMPLES
) -> Interval:
    """Return the mean over independent repeats, and its confidence interval.

    Parameters
    ----------
    values
        One per repeat. A nan makes the mean nan: no repeat is left out silently.
    kind
        ``"t"``, ``"fisher"`` (correlations, by Fisher's z, 1921), ``"logit"`` (accuracies), ``"ratio"``
        (positive numbers) or ``"binomial"`` (each 0 or 1).
    confidence
        The probability with which the interval contains the mean of infinitely many repeats.
    examples
        For ``"logit"``: the number of examples behind an accuracy.

    Returns
    -------
    Interval
        With nan for its ends if there is only one value, except for ``"binomial"``.

    Raises
    ------
    InputError
        If there are no values.
    """
    if kind == "binomial":
        hits = np.asarray(values, dtype=float)
        return binomial_interval(int(hits.sum()), len(hits), confidence)
    scaled = _on_scale(values, kind, examples)
    t = float(special.stdtrit(scaled.n - 1, (1 + confidence) / 2)) if scaled.n > 1 else math.nan
    low, high = (scaled.back(scaled.centre + sign * t * scaled.error) for sign in (-1, 1))
    return Interval(scaled.mean, low, high, scaled.n)


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean and its Student-t interval, ``mean ± t · s/√n`` with n - 1 degrees of freedom.

    This is ``interval_of`` with the kind ``"t"``.
    """
    return interval_of(values, "t", confidence)


def binomial_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the share ``hits / n`` and its exact interval (Clopper and Pearson, 1934).

    Raises
    ------
    InputError
        If ``n`` is 0, or ``hits`` is not between 0 and ``n``.
    """
    if not 0 <= hits <= n or not n:
        raise InputError(f"a share needs hits between 0 and n, and n at least 1, not {hits} of {n}.")
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Interval(hits / n, low, high, n)


# ---- differences ----


def paired_difference(a: ArrayLike, b: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of ``a - b`` and its interval; the i-th values of ``a`` and ``b`` share a seed.

    ``a`` and ``b`` differ if the interval leaves out 0.

    Raises
    ------
    InputError
        If ``a`` and ``b`` differ in length.
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

    The published standard deviation is not known. It is assumed to be ours, so the standard error is
    ``s √(1/n + 1/repeats)``.
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

    The null hypothesis is that the mean lies outside. The p-value is the larger of the two one-sided
    ones (Schuirmann, 1987), doubled for kinds other than ``"equivalence"``. So it is at most 0.05 if and
    only if the interval (90 % for an equivalence, else 95 %) lies inside the range. For a single value
    it is nan.
    """
    if kind == "binomial":
        hits = np.asarray(values, dtype=float)
        k, n = int(hits.sum()), len(hits)
        tails = [
            float(special.betainc(k, n - k + 1, above)) if k and above > 0 else float(above >= 0),
            float(special.betaincc(k + 1, n - k, below)) if k < n and below < 1 else float(below <= 1),
        ]
    else:
        scaled = _on_scale(values, kind, examples)
        low, high = scaled.to(above), scaled.to(below)
        if math.isnan(scaled.error):
            return math.nan
        if scaled.error == 0:
            return float(not low < scaled.centre < high)
        distances = (scaled.centre - low, high - scaled.centre)
        tails = [1 - float(special.stdtr(scaled.n - 1, d / scaled.error)) for d in distances]
    return min(1.0, (1 if kind in EQUIVALENCES else 2) * max(tails))


def equivalent(a: ArrayLike, b: ArrayLike, margin: float) -> tuple[Interval, float]:
    """Test whether a paired difference lies inside ±margin, by two one-sided tests.

    Return its 90 % interval, and the p-value, which is at most 0.05 if the interval lies inside.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    difference = paired_difference(x, y, EQUIVALENCE_CONFIDENCE)
    return difference, p_value(x - y, -margin, margin, "equivalence")


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for multiple testing (Holm, 1979), to be compared with 0.05."""
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
    """Estimate how many repeats it takes until the interval contains neither end of a range.

    It is assumed that mean and standard deviation stay the same. None if it takes more than
    ``MOST_SEEDS``, or if there is a single value.
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
    scaled = _on_scale(values, kind, examples)
    spread = scaled.error * math.sqrt(scaled.n)
    ends = [abs(scaled.centre - scaled.to(end)) for end in (above, below)]
    confidence = EQUIVALENCE_CONFIDENCE if kind in EQUIVALENCES else CONFIDENCE
    counts = np.arange(max(scaled.n, 2), MOST_SEEDS + 1)
    half = special.stdtrit(counts - 1, (1 + confidence) / 2) * spread / np.sqrt(counts)
    enough = counts[half < min(ends)]
    return int(enough[0]) if len(enough) else None


# ---- tables ----


SUMMARY = (
    *(*Interval._fields, "unstable", "non_finite", "undefined"),
    *("mean_sound", "low_sound", "high_sound"),
)


def summarise(table: pd.DataFrame, by: Sequence[str], value: str = "test_accuracy") -> pd.DataFrame:
    """Reduce a results table to one row per group, over its seeds.

    Parameters
    ----------
    table
        Rows of a results table. Outcomes are taken from its column ``outcome``, see ``with_outcomes``,
        or computed, if all epochs are there. Otherwise a nan counts as a non-finite run.
    by
        The columns that define a group.
    value
        The metric.

    Returns
    -------
    pandas.DataFrame
        The columns ``by``, then ``mean``, ``low``, ``high`` over the ``n`` runs that have a value, nan
        if one of them is non-finite; the numbers of runs that are ``unstable``, ``non_finite``, or
        ``undefined`` (finite, but the value is 0/0, so it is in no mean); ``mean_sound``, ``low_sound``
        and ``high_sound`` over the runs that are neither unstable nor non-finite.
    """
    if "outcome" not in table and _has_all_epochs(table):
        table = with_outcomes(table)
    rows = [
        dict(zip(by, key, strict=True)) | _summary(group, value)
        for key, group in table.groupby(list(by), sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*by, *SUMMARY])


def with_outcomes(table: pd.DataFrame) -> pd.DataFrame:
    """Return a results table, with all epochs of its runs, with a column ``outcome``."""
    # Assign by position: the index of concatenated tables is not unique.
    return table.assign(outcome=outcomes(table.reset_index(drop=True)).to_numpy())


def _has_all_epochs(table: pd.DataFrame) -> bool:
    needed = {"epoch", "epochs", "train_loss", "test_accuracy", "test_samples"}
    if not needed <= set(table):
        return False
    # Every run has as many rows as epochs, so the reciprocals of ``epochs`` add up to the runs.
    epochs = table["epochs"].astype(float)
    first, last = (int((table["epoch"] == end).sum()) for end in (1, epochs))
    return first == last and math.isclose(float((1 / epochs).sum()), first)


def _summary(group: pd.DataFrame, value: str) -> dict[str, float]:
    missing = group[value].isna()
    if "outcome" in group:
        unstable, non_finite = group["outcome"] == UNSTABLE, group["outcome"] == NON_FINITE
    else:
        unstable, non_finite = missing & False, missing
    undefined = missing & ~non_finite
    defined = group[value][~undefined]
    sound = group[value][~(unstable | non_finite | undefined)]
    every, of_sound = (mean_interval(values) if len(values) else UNKNOWN for values in (defined, sound))
    counts = {"unstable": unstable, "non_finite": non_finite, "undefined": undefined}
    return (
        every._asdict()
        | {name: int(count.sum()) for name, count in counts.items()}
        | {f"{name}_sound": getattr(of_sound, name) for name in ("mean", "low", "high")}
    )
