"""Tests of where a mean lies, against scipy's and calculations by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from dfa_book.claims.significance import holm, p_value, seeds_needed
from dfa_book.thesis import difference_from_published
from dfa_lib.experiments.statistics import interval_of


def test_one_sided_p_value_is_scipys_doubled():
    values = [0.01, 0.03, -0.01, 0.05]
    one_sided = stats.ttest_1samp(values, 0, alternative="greater").pvalue
    assert p_value(values, above=0.0) == pytest.approx(2 * one_sided)
    assert p_value(values, below=0.0) == 1


def test_equivalence_is_two_one_sided_tests():
    d = np.subtract([0.71, 0.74, 0.72, 0.70], [0.70, 0.735, 0.725, 0.70])
    expected = max(
        stats.ttest_1samp(d, -0.03, alternative="greater").pvalue,
        stats.ttest_1samp(d, 0.03, alternative="less").pvalue,
    )
    assert p_value(d, -0.03, 0.03, "equivalence") == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["t", "fisher", "logit", "ratio", "equivalence", "binomial"])
def test_p_is_below_5_percent_just_when_the_interval_lies_inside(kind):
    random = np.random.default_rng(1)
    seen = set()
    for _ in range(200):
        centre = random.uniform(0.3, 0.8)
        values = np.clip(random.normal(centre, 0.1, 5), 0.01, 0.99)
        if kind == "binomial":
            values = (random.random(20) < centre).astype(float)
        low, high = interval_of(values, kind, 0.9 if kind == "equivalence" else 0.95)[1:3]
        inside = low > 0.4 and high < 0.9
        assert (p_value(values, 0.4, 0.9, kind) < 0.05) == inside
        seen.add(inside)
    assert seen == {True, False}


def test_p_value_of_equal_values_and_of_one():
    assert p_value([0.1, 0.1], above=0.0) == 0
    assert p_value([0.0, 0.0], above=0.0) == 1
    assert math.isnan(p_value([0.1], above=0.0))


def test_holm_by_hand():
    # Smallest × 4, next × 3 …; and none is smaller than the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_published_mean_of_three_repeats_widens_the_interval():
    # s = 0.02, n = 3: standard error 0.02·√(1/3 + 1/3) instead of 0.02·√(1/3).
    difference = difference_from_published([0.70, 0.74, 0.72], 0.70)
    assert difference.mean == pytest.approx(0.02)
    assert difference.high - difference.mean == pytest.approx(4.302653 * 0.02 * (2 / 3) ** 0.5, abs=1e-6)


def test_intervals_for_published_means_cover_equal_protocols_in_95_of_100_cases():
    random = np.random.default_rng(2)
    misses = 0
    for _ in range(2_000):
        ours, theirs = random.normal(0.7, 0.02, 5), random.normal(0.7, 0.02, 3)
        _, low, high, _ = difference_from_published(ours, theirs.mean())
        misses += not low <= 0 <= high
    assert misses / 2_000 == pytest.approx(0.05, abs=0.015)


def test_the_seeds_needed_would_decide_if_the_spread_stayed():
    values = np.array([0.02, -0.01, 0.03, 0.00])
    n = seeds_needed(values, above=0.0)
    s = values.std(ddof=1)
    assert stats.t.ppf(0.975, n - 1) * s / n**0.5 < values.mean()
    assert stats.t.ppf(0.975, n - 2) * s / (n - 1) ** 0.5 > values.mean()
    assert seeds_needed(values, -0.03, 0.03, "equivalence") < n
    assert seeds_needed([0.01, -0.01], above=0.0) is None  # the mean is 0
    assert seeds_needed([0.01], above=0.0) is None
    assert seeds_needed([1, 1, 0, 1], above=0.5, kind="binomial") > 10
