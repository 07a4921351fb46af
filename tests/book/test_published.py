import math

import pandas as pd
import pytest

from dfa_book import thesis as published


@pytest.fixture
def table():
    """Two methods, three seeds, two epochs; only DFA's second epoch has been published."""
    accuracies = {("bp", 1): (0.5, 0.5, 0.5), ("dfa", 1): (0.5, 0.5, 0.5), ("bp", 2): (0.8, 0.8, 0.8)}
    accuracies["dfa", 2] = (0.70, 0.74, 0.72)
    return pd.DataFrame(
        {"method": method, "epoch": epoch, "seed": seed, "test_accuracy": accuracy}
        for (method, epoch), values in accuracies.items()
        for seed, accuracy in enumerate(values)
    )


PUBLISHED = pd.DataFrame([{"method": "dfa", "epoch": 2, "test_accuracy": 0.6703172}])


def test_a_published_value_is_compared_with_the_chance_of_its_three_repeats(table):
    # s = 0.02; the published mean of three repeats is as uncertain as ours: half width t s √(1/3 + 1/3).
    (row,) = published.beside(table, PUBLISHED, ["method", "epoch"]).itertuples()
    assert (row.method, row.epoch, row.published) == ("dfa", 2, 0.6703172)
    assert row.mean == pytest.approx(0.72)
    half = 4.302653 * 0.02 * (2 / 3) ** 0.5
    assert (row.low, row.high) == pytest.approx((0.0496828 - half, 0.0496828 + half), abs=1e-6)
    assert not row.apart
    far = PUBLISHED.assign(test_accuracy=0.6)
    assert published.beside(table, far, ["method", "epoch"])["apart"].item()


def test_a_published_epoch_that_was_not_trained_is_left_out(table):
    assert published.beside(table[table["epoch"] == 1], PUBLISHED, ["method", "epoch"]).empty


def test_one_seed_has_no_interval_to_measure_a_distance_by(table):
    one = table[table["seed"] == 0]
    (row,) = published.beside(one, PUBLISHED, ["method", "epoch"]).itertuples()
    assert math.isnan(row.low)
    assert not row.apart


def test_the_interval_is_that_of_the_stable_seeds_and_both_means_are_there(table):
    table["outcome"] = "learned"
    table.loc[(table["method"] == "dfa") & (table["seed"] == 0), "outcome"] = "unstable"
    (row,) = published.beside(table, PUBLISHED, ["method", "epoch"]).itertuples()
    assert (row.unstable, row.seeds) == (1, 3)
    assert (row.mean, row.stable_mean) == (pytest.approx(0.72), pytest.approx(0.73))
    stable = table[table["outcome"] == "learned"]
    (alone,) = published.beside(stable, PUBLISHED, ["method", "epoch"]).itertuples()
    assert (row.low, row.high) == (pytest.approx(alone.low), pytest.approx(alone.high))
    table["outcome"] = "unstable"
    (row,) = published.beside(table, PUBLISHED, ["method", "epoch"]).itertuples()
    assert math.isnan(row.low)
    assert not row.apart


def test_the_published_curves_have_five_epochs_for_each_method_and_k():
    assert published.FIGURE_3_1.groupby(["k", "method"]).size().tolist() == [5, 5, 5, 5]
    assert published.FIGURE_3_1["test_accuracy"].between(0.4, 1).all()


def test_published_dfa_lies_below_published_bp_in_every_epoch():
    bp, dfa = (
        published.FIGURE_3_1.query("method == @method")["test_accuracy"].to_numpy()
        for method in ("bp", "dfa")
    )
    assert (dfa < bp).all()
