"""Means over seeds and their confidence intervals.

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
MOST_CORRELATED = 0.999
"""Correlations are clipped to ±0.999, because Fisher's z of 1 is infinite."""
EXAMPLES = 10_000
"""Examples behind an accuracy: MNIST's test stacks in an epoch."""


class Interval(NamedTuple):
    """A mean and its confidence interval over ``n`` independent repeats."""

    mean: float
    low: float
    high: float
    n: int


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0)


class Scaled(NamedTuple):
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


def on_scale(values: ArrayLike, kind: str) -> Scaled:
    """Return the mean of values on the scale of a kind of ``interval_of``."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x):
        raise InputError(f"a mean needs a list of at least one value, not {shown(values)}.")
    n = len(x)
    if kind == "logit":
        half = 0.5 / EXAMPLES
        x = np.where(np.isnan(x), x, np.clip(x, half, 1 - half))
        mean = float(x.mean())
        # Delta method: the mean stays the arithmetic one; only the interval is transformed.
        error = _standard_error(x) / (mean * (1 - mean))
        return Scaled(_logit(mean), error, n, mean, _logit, lambda y: float(special.expit(y)))
    to, back = {
        "t": (_identity, _identity),
        "fisher": (_fisher, math.tanh),
        "ratio": (_logarithm, math.exp),
    }[{"equivalence": "t", "ratio equivalence": "ratio"}.get(kind, kind)]
    scaled = np.array([to(value) for value in x])
    centre = float(scaled.mean())
    return Scaled(centre, _standard_error(scaled), n, back(centre), to, back)


def _logit(x: float) -> float:
    return float(special.logit(min(max(x, 0.0), 1.0)))


def _standard_error(x: NDArray[np.float64]) -> float:
    return float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else math.nan


# ---- intervals ----


def interval_of(values: ArrayLike, kind: str = "t", confidence: float = CONFIDENCE) -> Interval:
    """Return the mean over independent repeats, and its confidence interval.

    Parameters
    ----------
    values
        One per repeat, at least one. A nan makes the mean nan: no repeat is left out silently. The ends
        of the interval of a single value are nan, except for ``"binomial"``.
    kind
        ``"t"`` or ``"equivalence"``, ``"fisher"`` (correlations, by Fisher's z, 1921), ``"logit"``
        (accuracies), ``"ratio"`` or ``"ratio equivalence"`` (positive numbers, by their logarithms), or
        ``"binomial"`` (each 0 or 1).
    confidence
        The probability with which the interval contains the mean of infinitely many repeats.
    """
    if kind == "binomial":
        hits = np.asarray(values, dtype=float)
        return binomial_interval(int(hits.sum()), len(hits), confidence)
    scaled = on_scale(values, kind)
    t = float(special.stdtrit(scaled.n - 1, (1 + confidence) / 2)) if scaled.n > 1 else math.nan
    low, high = (scaled.back(scaled.centre + sign * t * scaled.error) for sign in (-1, 1))
    return Interval(scaled.mean, low, high, scaled.n)


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean and its Student-t interval, ``mean ± t · s/√n`` with n - 1 degrees of freedom.

    This is ``interval_of`` with the kind ``"t"``.
    """
    return interval_of(values, "t", confidence)


def binomial_interval(hits: int, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Return the share ``hits / n`` and its exact interval (Clopper and Pearson, 1934)."""
    if not 0 <= hits <= n or not n:
        raise InputError(f"a share needs hits between 0 and n, and n at least 1, not {hits} of {n}.")
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(special.betaincinv(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Interval(hits / n, low, high, n)


# ---- differences ----


def paired_difference(a: ArrayLike, b: ArrayLike) -> Interval:
    """Return the mean of ``a - b`` and its interval; the i-th values of ``a`` and ``b`` share a seed.

    ``a`` and ``b`` differ if the interval leaves out 0.
    """
    # Convert first: pandas would align by index, not by position.
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(x) != len(y):
        raise InputError(
            f"a paired difference needs a value of both for each seed, not {len(x)} and {len(y)}."
        )
    return mean_interval(x - y)


# ---- tables ----


SUMMARY = (
    *(*Interval._fields, "unstable", "non_finite", "undefined"),
    *("mean_sound", "low_sound", "high_sound"),
)


def summarise(table: pd.DataFrame, by: Sequence[str], value: str = "test_accuracy") -> pd.DataFrame:
    """Reduce a results table to one row per group, over its seeds.

    Outcomes are taken from the table's column ``outcome``, see ``with_outcomes``, or computed, if all
    epochs are there. Otherwise a nan counts as a non-finite run.

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
