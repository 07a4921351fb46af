"""Means over seeds, 95 % intervals, and paired differences."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special

from .validation import InputError

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean and its confidence interval over ``n`` independent repeats."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean and its Student-t interval, ``mean ± t · s/√n`` with n - 1 degrees of freedom.

    The interval of a single value is unknown (nan). A nan among the values, which is how a diverged
    run is recorded, makes the mean nan: it is never left out in silence.

    Raises
    ------
    InputError
        If there are no values.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not len(x):
        raise InputError(f"a mean needs a list of at least one value, not {values!r}.")
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    half = float(special.stdtrit(len(x) - 1, (1 + confidence) / 2) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half, len(x))


def paired_difference(a: ArrayLike, b: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Return the mean of ``a - b`` and its interval, where the i-th of ``a`` and of ``b`` share a seed.

    An interval that leaves out 0 says that the two differ.

    Raises
    ------
    InputError
        If the two are not equally long.
    """
    # As arrays: columns of a table would be paired by the names of their rows.
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(x) != len(y):
        raise InputError(
            f"a paired difference needs a value of both for each seed, not {len(x)} and {len(y)}."
        )
    return mean_interval(x - y, confidence)


def in_words(difference: Interval) -> str:
    """Say a paired difference with its interval, to three places: ``+0.120 (95 % interval …)``."""
    if difference.n == 1:
        return f"{difference.mean:+.3f} in the one seed that was run"
    interval = f"{difference.low:+.3f} to {difference.high:+.3f}"
    return f"{difference.mean:+.3f} (95 % interval {interval}, {difference.n} paired seeds)"


def summarise(table: pd.DataFrame, by: Sequence[str], value: str = "test_accuracy") -> pd.DataFrame:
    """Reduce a results table to one row per group, over its seeds.

    Returns
    -------
    pandas.DataFrame
        The columns ``by``, then ``mean``, ``low``, ``high``, ``n``, and ``diverged``, the number of
        runs whose value is nan; in a group with one, ``mean`` is nan.
    """
    rows = [
        dict(zip(by, key, strict=True))
        | mean_interval(group[value])._asdict()
        | {"diverged": int(group[value].isna().sum())}
        for key, group in table.groupby(list(by), sort=False, dropna=False)
    ]
    return pd.DataFrame(rows, columns=[*by, *Interval._fields, "diverged"])
