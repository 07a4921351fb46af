import math

import numpy as np
import pandas as pd
import pytest

from dfa_lib import InputError
from dfa_lib.statistics import Interval, in_words, mean_interval, paired_difference, summarise


def test_interval_of_three_values_by_hand():
    # Mean 0.72, s = 0.02; t for 95 % and 2 degrees of freedom is 4.302653: 4.302653·0.02/√3 = 0.0496828.
    interval = mean_interval([0.70, 0.74, 0.72])
    assert interval.mean == pytest.approx(0.72, rel=1e-12)
    assert interval.low == pytest.approx(0.6703172, abs=1e-7)
    assert interval.high == pytest.approx(0.7696828, abs=1e-7)
    assert interval.n == 3


def test_interval_of_five_values_by_hand():
    # Mean 3, s = √2.5 = 1.5811388; t for 4 degrees of freedom is 2.776445: half width 1.9632432.
    interval = mean_interval([1, 2, 3, 4, 5])
    assert interval.low == pytest.approx(1.0367568, abs=1e-6)
    assert interval.high == pytest.approx(4.9632432, abs=1e-6)


def test_interval_at_90_percent_is_narrower():
    # t for 90 % and 2 degrees of freedom is 2.919986: 2.919986·0.02/√3 = 0.0337171.
    interval = mean_interval([0.70, 0.74, 0.72], confidence=0.9)
    assert interval.high - interval.mean == pytest.approx(0.0337171, abs=1e-7)


def test_interval_of_one_value_is_unknown():
    interval = mean_interval([0.7])
    assert interval.mean == 0.7
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.n == 1


def test_interval_of_equal_values_is_a_point():
    assert mean_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5, 3)


@pytest.mark.parametrize("values", [[0.7, math.nan], [math.nan], [0.7, math.nan, 0.8]])
def test_a_diverged_run_is_never_left_out_of_a_mean(values):
    interval = mean_interval(values)
    assert all(math.isnan(x) for x in interval[:3])
    assert interval.n == len(values)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 1.0])
def test_mean_of_anything_but_a_list_of_values_is_refused(values):
    with pytest.raises(InputError, match="at least one value"):
        mean_interval(values)


def test_paired_difference_by_hand():
    # Differences 0.02, 0.04, 0.03: mean 0.03, s = 0.01, 4.302653·0.01/√3 = 0.0248414.
    interval = paired_difference([0.72, 0.84, 0.63], [0.70, 0.80, 0.60])
    assert interval.mean == pytest.approx(0.03, rel=1e-9)
    assert interval.low == pytest.approx(0.0051586, abs=1e-7)
    assert interval.high == pytest.approx(0.0548414, abs=1e-7)


def test_paired_difference_sees_what_separate_intervals_cannot():
    a, b = [0.72, 0.84, 0.63], [0.70, 0.80, 0.60]
    assert mean_interval(a).low < mean_interval(b).high
    assert paired_difference(a, b).low > 0


def test_paired_difference_pairs_by_position_whatever_the_rows_of_a_table_are_called():
    # Columns cut out of one table have different row labels, and pandas would align by them.
    a, b = pd.Series([0.72, 0.84], index=[0, 1]), pd.Series([0.70, 0.80], index=[5, 6])
    assert paired_difference(a, b) == paired_difference(list(a), list(b))
    assert paired_difference(a, b).n == 2


def test_paired_difference_with_a_diverged_run_is_unknown():
    assert math.isnan(paired_difference([0.7, math.nan], [0.6, 0.6]).mean)
    assert math.isnan(paired_difference([0.7, 0.7], [0.6, math.nan]).mean)


def test_paired_difference_of_unequal_lengths_is_refused():
    with pytest.raises(InputError, match="not 3 and 2"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "method": ["dfa", "dfa", "bp", "bp", "bp"],
            "feedback": ["uniform", "uniform", None, None, None],
            "seed": [0, 1, 0, 1, 2],
            "test_accuracy": [0.6, math.nan, 0.70, 0.74, 0.72],
            "test_loss": [0.6, math.nan, 0.5, 0.3, 0.4],
        }
    )


def test_summary_has_one_row_per_group_and_counts_diverged_runs(table):
    summary = summarise(table, by=["method"])
    assert list(summary.columns) == ["method", "mean", "low", "high", "n", "diverged"]
    assert summary["method"].tolist() == ["dfa", "bp"]
    assert summary["n"].tolist() == [2, 3]
    assert summary["diverged"].tolist() == [1, 0]
    assert summary["mean"].isna().tolist() == [True, False]
    assert summary["low"][1] == pytest.approx(0.6703172, abs=1e-7)


def test_summary_keeps_groups_whose_key_is_missing(table):
    summary = summarise(table, by=["method", "feedback"])
    assert summary["method"].tolist() == ["dfa", "bp"]
    assert summary["feedback"].isna().tolist() == [False, True]


def test_summary_of_another_value(table):
    assert summarise(table, by=["method"], value="test_loss")["mean"][1] == pytest.approx(0.4)


def test_summary_of_an_empty_table_is_empty(table):
    summary = summarise(table[:0], by=["method"])
    assert len(summary) == 0
    assert list(summary.columns) == ["method", "mean", "low", "high", "n", "diverged"]


def test_intervals_cover_the_truth_in_95_of_100_experiments():
    random = np.random.default_rng(0)
    intervals = [mean_interval(sample) for sample in random.normal(0.7, 0.1, size=(2_000, 5))]
    covered = np.mean([interval.low <= 0.7 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_a_difference_in_words_has_its_interval_and_says_when_there_is_none():
    three = Interval(0.12, -0.0105, 0.25, 3)
    assert in_words(three) == "+0.120 (95 % interval -0.011 to +0.250, 3 paired seeds)"
    assert in_words(paired_difference([0.5], [0.7])) == "-0.200 in the one seed that was run"
