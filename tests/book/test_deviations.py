from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch

from dfa_book import deviations
from dfa_book.deviation_plots import (
    adam_curves,
    coverages,
    differences,
    repeats_by_matrix,
    signal_sizes,
)
from dfa_book.plots import curves_in
from dfa_book.site.freshness import staleness
from dfa_lib import InputError
from dfa_lib.experiments.statistics import Interval
from dfa_lib.optimizers import OPTIMIZERS, adam
from dfa_lib.training import train_stack

SCALE = deviations.SMOKE


def test_trained_together_is_a_stack_where_nothing_is_different():
    runs = [SCALE.run(seed=seed, learning_rate=0.1 * (1 + seed)) for seed in (0, 1)]
    trained, _ = deviations.train_together(runs)
    expected = [history.test_accuracy for history in train_stack(runs)]
    np.testing.assert_array_equal(trained.accuracies[0].T, expected)
    assert trained.unstable == [False, False]


def test_a_rate_that_is_too_high_is_counted_as_unstable():
    trained, _ = deviations.train_together(
        [SCALE.run(seed=s, learning_rate=r) for s, r in ((0, 0.1), (1, 1e3))]
    )
    assert trained.unstable == [False, True]


def test_adam_that_counts_epochs_by_hand():
    optimizer, after = deviations.COUNTED["epochs"]["optimizer"], deviations.epoch_is_over
    theta = torch.tensor([1.0], dtype=torch.float64)
    state = optimizer.initial_state(theta)
    m = v = 0.0
    expected = 1.0
    gradients = iter([0.5, -0.2, 0.3, 0.1, 0.7, -0.4])
    for epoch in (1, 2):
        for _ in range(3):
            g = next(gradients)
            theta, state = optimizer.update(
                theta, torch.full((1,), g).double(), state, learning_rate=0.1
            )
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            expected -= 0.1 * (m / (1 - 0.9**epoch)) / ((v / (1 - 0.999**epoch)) ** 0.5 + 1e-8)
        state = after(state)
    assert theta.item() == pytest.approx(expected, rel=1e-6)


def test_step_factor_is_the_ratio_of_the_two_rules_steps():
    g = torch.ones(1, dtype=torch.float64)
    right, wrong = (OPTIMIZERS["adam"].initial_state(g) for _ in range(2))
    ratios = []
    for _ in range(3):
        for _ in range(4):
            one, right = adam(g, g, right, learning_rate=1.0)
            other, wrong = deviations.adam_by_epochs(g, g, wrong, learning_rate=1.0)
            ratios.append(((g - other) / (g - one)).item())
        wrong = deviations.epoch_is_over(wrong)
    np.testing.assert_allclose(deviations.step_factor(4, 3), ratios, rtol=1e-5)


def test_runs_can_share_a_matrix_and_nothing_else():
    runs = [SCALE.run(seed=seed) for seed in (0, 1)]
    inputs = deviations.load_problem(runs[0]).inputs
    own = [deviations._network(run, inputs, run.seed) for run in runs]
    shared = [deviations._network(run, inputs, 7) for run in runs]
    assert torch.equal(shared[0]["B1"], shared[1]["B1"])
    assert not torch.equal(own[0]["B1"], own[1]["B1"])
    assert [torch.equal(s["W1"], o["W1"]) for s, o in zip(shared, own, strict=True)] == [True, True]


def test_a_carried_state_changes_later_repeats_only():
    table = deviations.table("carried", replace(SCALE, samples=500))
    pairs = table.pivot(index=["optimizer", "repeat", "chain"], columns="state", values="test_accuracy")
    same = pairs["carried"] == pairs["fresh"]
    assert same.xs(1, level="repeat").all()
    assert not same.loc["adagrad"].loc[[2, 3]].all()


def test_adams_table_has_both_rules_at_rates_of_their_own():
    table = deviations.table("adam", SCALE)
    groups = table.groupby(["method", "counted"])
    assert set(groups.groups) == set(product(("bp", "dfa"), ("updates", "epochs")))
    assert set(groups["learning_rate"].nunique()) == {1}
    assert set(groups.size()) == {SCALE.seeds * SCALE.epochs}
    assert table["test_accuracy"].between(0, 1).all()


def test_a_split_deals_out_all_digits_once():
    parts = deviations.split_digits(3)
    assert {name: len(digits) for name, digits in parts.items()} == {
        "validation": 240, "test": 240, "fresh": 240, "train": 1797 - 720,
    }  # fmt: skip
    dealt = torch.cat([digits.images for digits in parts.values()])
    whole = torch.cat([digits.images.float() for digits in deviations.load_digits()])
    assert torch.equal(dealt.sum(1).sort().values, whole.sum(1).sort().values)
    assert not torch.equal(parts["test"].images, deviations.split_digits(4)["test"].images)


def test_worth_of_test_digits_by_hand():
    scores = {  # rate: (validation, test, fresh)
        0.1: {"tuning": (0.8, 0.7, 0.7), "report": (0.7, 0.71, 0.72)},
        0.2: {"tuning": (0.7, 0.8, 0.7), "report": (0.7, 0.76, 0.70)},
    }
    table = pd.DataFrame(
        {"split": 0, "learning_rate": rate, "run": run, "judged_on": name, "score": score}
        for rate, runs in scores.items()
        for run, values in runs.items()
        for name, score in zip(deviations.SETS, values, strict=True)
    )
    worth = deviations.worth_of_test_digits(table)
    assert worth["reported"] == pytest.approx([0.05])  # 0.76 at 0.2, less 0.71 at 0.1
    assert worth["true"] == pytest.approx([-0.02])


def test_rates_table_judges_every_run_on_three_sets():
    table = deviations.table("rates", SCALE)
    assert len(table) == SCALE.splits * len(deviations.RATES) * 2 * 3
    assert not table.duplicated(["split", "learning_rate", "run", "judged_on"]).any()


def test_the_bootstrap_of_three_values_is_their_range():
    assert deviations.bootstrap_interval([0.3, 0.1, 0.2]) == pytest.approx((0.1, 0.3))


def test_the_bootstrap_goes_through_all_resamples():
    values = [0.1, 0.4, 0.5, 0.9]
    means = sorted(np.mean(draw) for draw in product(values, repeat=4))
    # Of 256, 2.5 % are 6.4: the seventh from either end.
    assert deviations.bootstrap_interval(values) == pytest.approx((means[6], means[-7]))


def test_coverage_by_hand():
    table = pd.DataFrame(
        {"matrix": m, "repeat": r, "test_accuracy": a}
        for m, row in enumerate([(0.1, 0.2, 0.3), (0.7, 0.8, 0.9), (0.4, 0.5, 0.6)])
        for r, a in enumerate(row)
    )
    # The mean of all is 0.5: of the ranges of the rows only the third holds it, of the columns all do.
    shared, width = deviations.coverage(table, deviations.bootstrap_interval, shared=True)
    assert (shared.mean, shared.n, width) == pytest.approx((1 / 3, 3, 0.2))
    alone, width = deviations.coverage(table, deviations.bootstrap_interval, shared=False)
    assert (alone.mean, width) == pytest.approx((1.0, 0.6))


def test_share_of_the_matrix_is_all_or_nothing_at_the_ends():
    random = np.random.default_rng(0)
    noise = random.normal(size=(200, 5))

    def table(values):
        frame = pd.DataFrame(values).melt(
            ignore_index=False, var_name="repeat", value_name="test_accuracy"
        )
        return frame.rename_axis("matrix").reset_index()

    assert deviations.share_of_matrix(table(noise)) < 0.05
    half = noise + random.normal(size=(200, 1))
    assert deviations.share_of_matrix(table(half)) == pytest.approx(0.5, abs=0.08)
    assert deviations.share_of_matrix(table(np.tile(noise[:, :1], 5))) == pytest.approx(1)


def test_a_kept_table_is_read_back_and_that_of_another_scale_refused(tmp_path, monkeypatch):
    path = tmp_path / "kept" / "shared.csv"
    made = deviations.table("shared", SCALE, results=path)
    monkeypatch.setattr(deviations, "train_together", None)  # training again would fail
    pd.testing.assert_frame_equal(
        deviations.table("shared", SCALE, results=path), made, check_exact=True
    )
    assert staleness(path) is None
    with pytest.raises(InputError, match="belongs to another experiment"):
        deviations.table("shared", replace(SCALE, matrices=2), results=path)


DAMAGE = {
    "another number": lambda text: text.replace(",0,0,0.", ",0,0,0.9", 1),
    "a row less": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    "another experiment": lambda text: text.replace(text.splitlines()[1][:16], "0" * 16),
    "other columns": lambda text: "matrix\n1\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_refused_and_not_made_anew(damage, tmp_path):
    path = tmp_path / "shared.csv"
    deviations.table("shared", SCALE, results=path)
    changed = DAMAGE[damage](path.read_text())
    path.write_text(changed)
    with pytest.raises(InputError, match=r"shared\.csv is damaged"):
        deviations.table("shared", SCALE, results=path)
    assert path.read_text() == changed


def test_figures_show_what_they_are_given():
    table = deviations.table("shared", SCALE)
    (panel,) = repeats_by_matrix(table).axes
    dots = [line.get_ydata() for line in panel.lines if line.get_marker() == "o"]
    assert sorted(np.concatenate(dots)) == sorted(table["test_accuracy"])

    (panel,) = differences({"a": [0.1, 0.3], "b": [0.0, 0.0]}, "x").axes
    (means,) = curves_in(panel)  # that a reader can point at
    assert list(means.get_xdata()) == pytest.approx([0.2, 0.0])
    assert [label.get_text() for label in panel.get_yticklabels()] == ["a", "b"]

    (panel,) = coverages({"a": Interval(0.75, 0.7, 0.8, 9)}).axes
    assert list(panel.lines[0].get_xdata()) == [0.7, 0.8]

    left, right = adam_curves(deviations.step_factor(3, 2), 3, deviations.table("adam", SCALE)).axes
    assert len(left.lines[0].get_ydata()) == 6
    assert len(right.lines) == 4

    panels = signal_sizes({(m, "tanh"): [[0.1, 1.0], [0.4, 1.0]] for m in ("bp", "dfa")}).axes
    middles = [line.get_ydata() for line in panels[0].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(middles, [[1.0, 0.2]] * 2)
