import math

import pandas as pd
import pytest

from dfa_lib import published


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


def test_a_published_value_at_the_end_of_an_interval_is_one_half_width_away(table):
    # The interval of 0.70, 0.74 and 0.72 ends at 0.6703172, see test_statistics.
    (row,) = published.beside(table, PUBLISHED, ["method", "epoch"]).itertuples()
    assert (row.method, row.epoch, row.published) == ("dfa", 2, 0.6703172)
    assert row.mean == pytest.approx(0.72)
    assert row.half_widths == pytest.approx(1, abs=1e-5)


def test_a_published_epoch_that_was_not_trained_is_left_out(table):
    assert published.beside(table[table["epoch"] == 1], PUBLISHED, ["method", "epoch"]).empty


def test_one_seed_has_no_interval_to_measure_a_distance_by(table):
    one = table[table["seed"] == 0]
    assert math.isnan(published.beside(one, PUBLISHED, ["method", "epoch"])["half_widths"].item())


def test_the_published_curves_have_five_epochs_for_each_method_and_k():
    assert published.FIGURE_3_1.groupby(["k", "method"]).size().tolist() == [5, 5, 5, 5]
    assert published.FIGURE_3_1["test_accuracy"].between(0.4, 1).all()


def test_published_dfa_lies_below_published_bp_in_every_epoch():
    bp, dfa = (
        published.FIGURE_3_1.query("method == @method")["test_accuracy"].to_numpy()
        for method in ("bp", "dfa")
    )
    assert (dfa < bp).all()
