import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dfa_lib import InputError
from dfa_lib.experiments.statistics import (
    SUMMARY,
    binomial_interval,
    interval_of,
    mean_interval,
    paired_difference,
    summarise,
    with_outcomes,
)


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
    # Columns of one table may have different indices, by which pandas would align them.
    a, b = pd.Series([0.72, 0.84], index=[0, 1]), pd.Series([0.70, 0.80], index=[5, 6])
    assert paired_difference(a, b) == paired_difference(list(a), list(b))
    assert paired_difference(a, b).n == 2


def test_paired_difference_with_a_diverged_run_is_unknown():
    assert math.isnan(paired_difference([0.7, math.nan], [0.6, 0.6]).mean)
    assert math.isnan(paired_difference([0.7, 0.7], [0.6, math.nan]).mean)


def test_paired_difference_of_unequal_lengths_is_refused():
    with pytest.raises(InputError, match="not 3 and 2"):
        paired_difference([1.0, 2.0, 3.0], [1.0, 2.0])


# ---- intervals that stay in range ----


def test_fisher_interval_by_hand():
    z = np.arctanh([0.2, 0.5, 0.8])
    half = stats.t.ppf(0.975, 2) * z.std(ddof=1) / 3**0.5
    interval = interval_of([0.2, 0.5, 0.8], "fisher")
    assert interval[:3] == pytest.approx(np.tanh([z.mean(), z.mean() - half, z.mean() + half]))


def test_correlations_near_one_have_an_interval_within_one():
    # Student's t on the same values ends at 1.07.
    values = [0.99, 0.98, 0.35, 0.97, 0.52]
    assert mean_interval(values).high > 1
    assert -1 <= interval_of(values, "fisher").low < interval_of(values, "fisher").high <= 1
    assert interval_of([1.0, 1.0, -1.0], "fisher").high <= 1


def test_logit_interval_by_hand():
    values = np.array([0.985, 0.990, 0.989])
    p, s = values.mean(), values.std(ddof=1)
    half = stats.t.ppf(0.975, 2) * s / (3**0.5 * p * (1 - p))
    ends = [1 / (1 + np.exp(-(np.log(p / (1 - p)) + x))) for x in (-half, half)]
    interval = interval_of(values, "logit")
    assert interval.mean == pytest.approx(p, rel=1e-12)
    assert interval[1:3] == pytest.approx(ends)


def test_accuracies_near_one_have_an_interval_within_zero_and_one():
    values = [0.999, 0.96, 1.0]
    assert mean_interval(values).high > 1
    assert 0 < interval_of(values, "logit").low < interval_of(values, "logit").high < 1
    perfect = interval_of([1.0, 1.0, 1.0], "logit")
    half = pytest.approx(1 - 0.5 / 10_000)  # half an example
    assert perfect == (half, half, half, 3)
    assert interval_of([0.0, 0.0, 0.01], "logit").low > 0


def test_far_from_the_ends_logit_and_student_agree():
    values = [0.690, 0.684, 0.695, 0.688]
    assert interval_of(values, "logit") == pytest.approx(mean_interval(values), abs=1e-4)


def test_ratio_interval_is_students_of_the_logarithms():
    logs = mean_interval(np.log([0.5, 2.0, 4.0]))
    assert interval_of([0.5, 2.0, 4.0], "ratio")[:3] == pytest.approx(np.exp(logs[:3]))


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 5), (5, 5), (7, 20), (1, 1)])
def test_binomial_interval_is_scipys_exact_one(hits, n):
    exact = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert binomial_interval(hits, n) == (
        hits / n,
        pytest.approx(exact.low),
        pytest.approx(exact.high),
        n,
    )


@pytest.mark.parametrize(("hits", "n"), [(6, 5), (-1, 5), (0, 0)])
def test_a_share_of_nothing_or_of_too_many_is_refused(hits, n):
    with pytest.raises(InputError, match="a share needs hits"):
        binomial_interval(hits, n)


def test_exact_intervals_cover_the_truth_at_least_as_often_as_they_say():
    covered = [
        sum(
            stats.binom.pmf(k, 8, p)
            for k in range(9)
            if binomial_interval(k, 8).low <= p <= binomial_interval(k, 8).high
        )
        for p in (0.02, 0.3, 0.5, 0.9)
    ]
    assert min(covered) >= 0.95


# ---- summaries ----


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


def test_summary_has_one_row_per_group_and_counts_non_finite_runs(table):
    summary = summarise(table, by=["method"])
    assert list(summary.columns) == ["method", *SUMMARY]
    assert summary["method"].tolist() == ["dfa", "bp"]
    assert summary["n"].tolist() == [2, 3]
    assert summary["non_finite"].tolist() == [1, 0]
    assert summary["mean"].isna().tolist() == [True, False]
    assert summary["low"][1] == pytest.approx(0.6703172, abs=1e-7)


def test_summary_counts_unstable_runs_and_gives_the_mean_of_the_others(table):
    table["outcome"] = ["learned", "non-finite", "learned", "unstable", "at chance"]
    summary = summarise(table, by=["method"]).set_index("method")
    assert summary.loc["bp", "unstable"] == 1
    assert summary.loc["bp", "mean"] == pytest.approx(0.72)
    assert summary.loc["bp", "mean_sound"] == pytest.approx(0.71)
    assert summary.loc["dfa", "mean_sound"] == pytest.approx(0.6)


def test_a_cosine_that_is_not_defined_is_not_a_run_that_is_not_finite():
    # A gradient that is exactly 0 has no direction: the cosine is 0/0 in an otherwise sound run.
    table = pd.DataFrame(
        {"outcome": "learned", "method": "dfa", "gradient_alignment": [0.2, math.nan, 0.4]}
    )
    summary = summarise(table, ["method"], "gradient_alignment").iloc[0]
    assert (summary["non_finite"], summary["undefined"], summary["n"]) == (0, 1, 2)
    assert summary["mean"] == pytest.approx(0.3)


def test_outcomes_are_told_from_all_epochs_and_not_from_some():
    epochs = pd.DataFrame(
        [
            {
                "seed": s,
                "epochs": 2,
                "test_samples": 1_000,
                "epoch": e,
                "train_loss": loss,
                "test_accuracy": a,
            }
            for s, losses in enumerate([(0.69, 0.5), (0.69, 40.0)])
            for e, loss, a in zip((1, 2), losses, (0.5, 0.6 if s == 0 else 0.5), strict=True)
        ]
    )[["seed", "epochs", "test_samples", "epoch", "train_loss", "test_accuracy"]]
    assert summarise(epochs, ["epoch"])["unstable"].tolist() == [1, 1]
    assert summarise(epochs[epochs["epoch"] == 1], ["epoch"])["unstable"].tolist() == [0]
    kept = with_outcomes(epochs)
    assert summarise(kept[kept["epoch"] == 1], ["epoch"])["unstable"].tolist() == [1]


def test_outcomes_of_tables_that_were_put_together_are_not_mixed_up():
    fields = {"seed": 0, "epochs": 1, "test_samples": 1_000}
    sound = pd.DataFrame(
        [fields | {"method": "bp", "epoch": 1, "train_loss": 0.5, "test_accuracy": 0.7}]
    )
    wild = pd.DataFrame(
        [fields | {"method": "dfa", "epoch": 1, "train_loss": 50.0, "test_accuracy": 0.5}]
    )
    columns = ["seed", "epochs", "test_samples", "method", "epoch", "train_loss", "test_accuracy"]
    both = with_outcomes(pd.concat([wild, sound])[columns])  # both rows are called 0
    assert both["outcome"].tolist() == ["unstable", "learned"]


def test_summary_keeps_groups_whose_key_is_missing(table):
    summary = summarise(table, by=["method", "feedback"])
    assert summary["method"].tolist() == ["dfa", "bp"]
    assert summary["feedback"].isna().tolist() == [False, True]


def test_summary_of_another_value(table):
    assert summarise(table, by=["method"], value="test_loss")["mean"][1] == pytest.approx(0.4)


def test_summary_of_an_empty_table_is_empty(table):
    summary = summarise(table[:0], by=["method"])
    assert len(summary) == 0
    assert list(summary.columns) == ["method", *SUMMARY]


def test_intervals_cover_the_truth_in_95_of_100_experiments():
    random = np.random.default_rng(0)
    intervals = [mean_interval(sample) for sample in random.normal(0.7, 0.1, size=(2_000, 5))]
    covered = np.mean([interval.low <= 0.7 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=0.02)


def test_the_ratio_of_a_run_that_is_not_finite_is_not_zero():
    assert math.isnan(interval_of([1.2, math.nan, 1.1], "ratio").mean)
