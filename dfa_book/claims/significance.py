"""Tests of where a mean lies: p-values, their correction, and how many seeds would decide."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from dfa_lib.experiments.statistics import CONFIDENCE, binomial_interval, on_scale

EQUIVALENCE_CONFIDENCE = 0.90
"""Two one-sided tests at 5 % each: a 90 % interval inside the margin (Schuirmann, 1987)."""
EQUIVALENCES = ("equivalence", "ratio equivalence")
MOST_SEEDS = 1_000


def p_value(
    values: ArrayLike,
    above: float = -math.inf,
    below: float = math.inf,
    kind: str = "t",
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
        scaled = on_scale(values, kind)
        low, high = scaled.to(above), scaled.to(below)
        if math.isnan(scaled.error):
            return math.nan
        if scaled.error == 0:
            return float(not low < scaled.centre < high)
        distances = (scaled.centre - low, high - scaled.centre)
        tails = [1 - float(special.stdtr(scaled.n - 1, d / scaled.error)) for d in distances]
    return min(1.0, (1 if kind in EQUIVALENCES else 2) * max(tails))


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
    scaled = on_scale(values, kind)
    spread = scaled.error * math.sqrt(scaled.n)
    ends = [abs(scaled.centre - scaled.to(end)) for end in (above, below)]
    confidence = EQUIVALENCE_CONFIDENCE if kind in EQUIVALENCES else CONFIDENCE
    counts = np.arange(max(scaled.n, 2), MOST_SEEDS + 1)
    half = special.stdtrit(counts - 1, (1 + confidence) / 2) * spread / np.sqrt(counts)
    enough = counts[half < min(ends)]
    return int(enough[0]) if len(enough) else None
