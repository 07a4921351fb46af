import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from scipy import stats

from dfa_book import captions, explained
from dfa_book.claims.queries import Sample
from dfa_book.plots import MARKERS, explaining_points
from dfa_book.words import SPACE
from dfa_lib import Run
from dfa_lib.experiments.names import COLOURS
from dfa_lib.experiments.results import to_table
from dfa_lib.training import METRICS, History

OPTIMIZERS = ("sgd", "momentum", "adagrad", "adam", "rmsprop")
ACCURACIES = (0.70, 0.75, 0.80, 0.85, 0.90)
ORDERED = {
    "sign_agreement": (0.70, 0.75, 0.83, 0.90, 0.95),
    "sign_share": (0.52, 0.54, 0.56, 0.58, 0.60),
}
OPPOSED = {"weight_alignment": (0.5, 0.4, 0.3, 0.2, 0.1)}


def plain(text):
    """The text with ordinary spaces."""
    return text.replace(SPACE, " ")


def ended(optimizer, accuracy, *, seed=0, loss=0.4, method="dfa", **measures):
    history = History(
        Run(method=method, optimizer=optimizer, learning_rate=0.1, epochs=1, seed=seed, k=3)
    )
    nans = dict.fromkeys(METRICS, math.nan)
    values = {"train_loss": loss, "test_loss": loss, "train_accuracy": 1.0, "test_accuracy": accuracy}
    history.append(nans | values | measures)
    return history


def histories(seeds=3, **measures):
    """One run for each optimizer and seed; seeds differ by a little in everything."""
    rng = np.random.default_rng(0)
    return [
        ended(o, accuracy + 0.002 * rng.normal(), seed=seed,
              **{name: values[i] + 0.002 * rng.normal() for name, values in measures.items()})
        for seed in range(seeds)
        for i, (o, accuracy) in enumerate(zip(OPTIMIZERS, ACCURACIES, strict=True))
    ]  # fmt: skip


def endings(runs):
    return explained.dfa_endings(to_table(runs))


LAST = endings(histories(**ORDERED, **OPPOSED, update_alignment=(0.1, 0.3, 0.2, 0.5, 0.0)))


def test_the_rank_correlation_is_taken_of_means_and_for_each_seed():
    rho, p, ranks, r2 = explained.explain(LAST, "sign_agreement")
    assert rho == pytest.approx(1.0)
    assert p == pytest.approx(2 / 120)  # of the orders of five optimizers, this one and its reverse
    assert (ranks.n, ranks.mean) == (3, pytest.approx(0.999))  # Fisher's z of 1 is infinite
    assert explained.explain(LAST, "weight_alignment").rho == pytest.approx(-1.0)
    slope = np.polyfit(LAST["sign_agreement"], LAST["test_accuracy"], 1)
    rest = LAST["test_accuracy"] - np.polyval(slope, LAST["sign_agreement"])
    assert r2 == pytest.approx(1 - rest.var() / LAST["test_accuracy"].var())


def test_the_rank_correlation_and_its_p_value_are_those_of_scipy():
    means = LAST.groupby("optimizer")[["update_alignment", "test_accuracy"]].mean()
    x, y = means["update_alignment"].to_numpy(), means["test_accuracy"].to_numpy()
    truth = stats.permutation_test(
        (x,), lambda x: stats.spearmanr(x, y).statistic, permutation_type="pairings",
        n_resamples=math.factorial(len(x)),
    )  # fmt: skip
    rho, p, _, _ = explained.explain(LAST, "update_alignment")
    assert (rho, p) == (pytest.approx(truth.statistic), pytest.approx(truth.pvalue, abs=0.02))


def test_measures_are_sorted_by_whether_they_rise_with_the_accuracy():
    rises, against, no_order, over_runs = explained.which_explains(LAST).split(". ")
    assert rises.startswith("From optimizer to optimizer, DFA's accuracy rises with S, the share of")
    assert "the unweighted share of right signs (ρ = 1.00)" in rises
    assert against.endswith("DFA's accuracy falls with cos(B, W₂ᵀ) (ρ = −1.00)")
    assert no_order.startswith(
        "Among 5 optimizers, chance may explain how DFA's accuracy goes with the cosine"
    )
    assert "explains" in over_runs
    assert over_runs.endswith("of the variance.")


def test_four_optimizers_cannot_tell_an_order_from_chance():
    few = LAST[LAST["optimizer"] != "rmsprop"]
    assert "rises" not in explained.which_explains(few)


def test_too_few_optimizers_are_said_to_be_too_few():
    few = endings([ended("sgd", 0.7, sign_agreement=0.6), ended("adam", 0.8, sign_agreement=0.7)])
    assert explained.which_explains(few).startswith("Too few optimizers")


def test_unstable_runs_are_counted_and_explain_nothing():
    runs = [*histories(**ORDERED), ended("nesterov", 0.5, loss=50.0, sign_agreement=0.99)]
    last = endings(runs)
    assert explained.explain(explained.stable(last), "sign_agreement").r2 > 0.9
    assert explained.explain(last, "sign_agreement").r2 < 0.5
    assert "R² with 1 unstable run" in plain(explained.table_of(last))
    assert "unstable" not in explained.table_of(endings(runs[:-1]))
    assert explained.which_explains(last) == explained.which_explains(endings(runs[:-1]))


def test_only_finite_runs_of_dfa_are_explained():
    runs = [*histories(**ORDERED), ended("sgd", 0.9, method="bp"), ended("sgd", math.nan, seed=9)]
    pd.testing.assert_frame_equal(endings(runs), endings(runs[:-2]), check_dtype=False)


def test_a_measure_that_older_results_lack_is_said_not_to_be_measured():
    last = endings(histories(**OPPOSED))
    assert explained.measured(last) == ["weight_alignment"]
    assert "the only measure here" in explained.closest(last)
    assert "S, the share of right signs weighted by \\|W₂\\| | not measured" in explained.table_of(last)
    assert explained.signs_or_sizes(last).startswith("These results lack")


@pytest.mark.parametrize(
    ("weighted", "share", "said"),
    [
        (0.90, 0.55, "mutes units with the wrong sign more than it corrects their signs"),
        (0.90, 0.85, "corrects the signs of units more than it mutes"),
        (0.80, 0.65, "Chance may explain which of the two is more"),
    ],
)
def test_what_signs_and_sizes_have_added_to_s_decides_what_is_said(weighted, share, said):
    last = endings(histories(sign_agreement=(weighted,) * 5, sign_share=(share,) * 5))
    text = plain(explained.signs_or_sizes(last))
    assert said in text
    assert f"{100 * share:.0f} % of the units have the right sign" in text
    assert f"Changed signs move S by +{100 * (share - 0.5):.0f} points from one half" in text
    assert f"changed sizes by +{100 * (weighted - share):.0f} points" in text


def test_each_measure_has_a_panel_with_a_mark_for_each_seed_and_each_mean():
    runs = [*histories(**ORDERED), ended("sgd", 0.5, seed=3, loss=50.0, sign_agreement=0.6)]
    last = endings(runs)
    figure = explaining_points(last, {"sign_agreement": "one", "sign_share": "two"})
    panel = figure.axes[0]
    assert [axes.get_title() for axes in figure.axes[:2]] == ["one", "two"]
    large = [line for line in panel.lines if line.get_markersize() == 8]
    assert len(large) == len(OPTIMIZERS)
    assert {line.get_marker() for line in large} < set(MARKERS)
    assert len({line.get_marker() for line in large}) == len(OPTIMIZERS)
    sgd = explained.stable(last)[lambda rows: rows["optimizer"] == "sgd"]
    (mean,) = [
        line for line in large if line.get_ydata()[0] == pytest.approx(sgd["test_accuracy"].mean())
    ]
    assert mean.get_xdata()[0] == pytest.approx(sgd["sign_agreement"].mean())
    (cross,) = [line for line in panel.lines if line.get_marker() == "x"]
    assert list(cross.get_xdata()) == [0.6]
    assert all(same_color(line.get_color(), COLOURS["dfa"]) for line in large)
    told = [text.get_text() for text in figure.legends[0].get_texts()]
    assert told == ["SGD", "momentum", "Adagrad", "Adam", "RMSProp", "unstable seeds"]


def test_the_inner_product_of_the_updates_is_positive_if_and_only_if_its_own_share_exceeds_one_half():
    # The proposition of chapter 3, by the library's rules on a random network.
    import torch

    from dfa_lib.feedback import feedback_matrices
    from dfa_lib.learning_rules import backpropagation, direct_feedback_alignment, gradients
    from dfa_lib.networks import initialise_network
    from dfa_lib.randomness import generator

    widths, signs = (6, 5, 1), set()
    for seed in range(8):
        net = initialise_network(widths, generator(seed, "weights"))
        net |= feedback_matrices(widths, "uniform", generator(seed, "feedback"), direct=True)
        X = torch.randn(16, 6, generator=generator(seed, "train"), dtype=torch.float64)
        y = (X[:, :1] > 0).double()
        bp, dfa = (
            gradients(rule(net, X, y))["W1"] for rule in (backpropagation, direct_feedback_alignment)
        )
        B, W2 = net["B1"][0], net["W2"][:, 0]
        c = ((dfa / B) ** 2).sum(0)  # squared lengths of what each unit would get for B_j = 1
        say = c * (B * W2).abs()
        share = (say * (B * W2 > 0)).sum() / say.sum()
        inner = (dfa * bp).sum()
        assert torch.allclose(inner, (2 * share - 1) * say.sum())
        signs.add(bool(inner > 0))
    assert signs == {True, False}


# ---- BP's lead over time, signs or sizes ----


def seeds(*values, unstable=()):
    return Sample(pd.Series(values, dtype=float), frozenset(unstable))


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ((0.04, 0.05, 0.03), "after 50: the lead shrinks by 6.0 points (6.0 to 6.0)."),
        ((0.15, 0.16, 0.13), "after 50: the lead grows by 4.7 points (3.2 to 6.1)."),
        ((0.20, -0.05, 0.10), "the change may be chance."),
    ],
)
def test_the_lead_of_bp_shrinks_or_grows_if_the_interval_of_its_change_says_so(late, said):
    text = plain(explained.lead_over_time(seeds(0.10, 0.11, 0.09), seeds(*late), (20, 50)))
    assert text.startswith("BP's lead over DFA is 10.0 points (7.5 to 12.5) after 20 epochs and ")
    assert text.endswith(said)


def test_unstable_seeds_decide_nothing_of_a_lead():
    unstable = (
        seeds(0.10, 0.11, 0.30, unstable=[2]),
        seeds(0.000, 0.001, 0.30, unstable=[2]),
    )
    text = plain(explained.lead_over_time(*unstable, (20, 50)))
    assert text.startswith("Over the 2 of 3 seeds that are stable, BP's lead over DFA is 10.5 points")
    assert "Too few" in explained.lead_over_time(seeds(0.1), seeds(0.1), (20, 50))


@pytest.mark.parametrize(
    ("sign", "said"),
    [
        ((0.70, 0.71, 0.69), "alike to within 3 points"),
        ((0.80, 0.81, 0.79), "Unequal sizes of B's entries lower DFA's accuracy by 10.0 points"),
        ((0.60, 0.61, 0.59), "Unequal sizes of B's entries raise DFA's accuracy by 10.0 points"),
        ((0.60, 0.80, 0.70), "These seeds do not decide"),
    ],
)
def test_sizes_matter_if_the_difference_says_so(sign, said):
    uniform = seeds(0.70, 0.705, 0.695)
    assert said in plain(explained.signs_suffice(seeds(*sign), uniform))


# ---- captions ----


def test_a_caption_counts_the_unstable_runs_of_each_line():
    runs = [
        *(ended("sgd", 0.7, seed=s) for s in (0, 1)),
        ended("sgd", 0.5, seed=2, loss=50.0),
        ended("adam", 0.8),
    ]
    text = captions.unstable_runs(to_table(runs))
    assert text.startswith("DFA, SGD: 1 of 3 seeds unstable. Crosses mark the unstable runs")
    short = captions.unstable_runs(to_table(runs), means=False)
    assert short == "DFA, SGD: 1 of 3 seeds unstable. Crosses mark the unstable runs."
    by_matrix = captions.unstable_runs(to_table(runs[:3]), by="feedback")
    assert by_matrix.startswith("uniform on ±1/√h: 1 of 3 seeds unstable.")
    assert captions.unstable_runs(to_table(runs[:2])) == "No run is unstable."
