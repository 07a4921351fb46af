"""Lazy and rich training: scaled outputs, their limits, kernels, and claims."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from dfa_book import rich
from dfa_book.chapter import check_parameters
from dfa_book.chapters import rich as chapter
from dfa_book.claims.judge import FAILS, HOLDS, IN_PART, Evidence, judge
from dfa_book.claims.own_claims import OWN_CLAIMS
from dfa_lib.experiments.statistics import with_outcomes
from dfa_lib.networks import binary_cross_entropy, forward
from dfa_lib.training import Run, initial_parameters, load_problem, train
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]


def small(**fields):
    given = {"method": "dfa", "k": 2, "samples": 400, "test_samples": 100, "hidden": 16, "epochs": 2}
    return Run(**given | {"learning_rate": 0.1} | fields)


def start(**fields):
    run = small(precision="float64", **fields)
    problem = load_problem(run)
    examples = problem.training()
    return initial_parameters(run, problem.inputs), *(each.clone() for each in examples.batch(0, 40))


def moved_start():
    """A network that has moved from its start, and a batch."""
    net, X, y = start()
    generator = torch.Generator().manual_seed(1)
    for name in rich.TRAINED:
        shape = {"generator": generator, "dtype": torch.float64}
        net[name] = net[name] + 0.1 * torch.randn(net[name].shape, **shape)
    return rich.with_start(start()[0]) | net, X, y


def logits(net, X, scale):
    return rich.scaled("bp", scale).forward(net, X).logits


@pytest.mark.parametrize("scale", ["0.25", "16", "linear"])
def test_a_scaled_step_of_bp_is_the_gradient_over_alpha_squared(scale):
    net, X, y = moved_start()
    alpha = 1.0 if scale == "linear" else float(scale)

    def loss(trained):
        return binary_cross_entropy(logits(net | trained, X, scale), y)

    exact = torch.func.grad(loss)({name: net[name] for name in rich.TRAINED})
    ours = {name: a @ b for name, a, b in rich.scaled("bp", scale).rule(net, X, y)}
    assert ours.keys() == exact.keys()
    assert all(torch.allclose(ours[name], exact[name] / alpha**2, atol=1e-12) for name in exact)


def test_the_linear_model_is_the_first_order_in_the_weights():
    net, X, _ = moved_start()
    first, now = ({of: net[p + of] for of in rich.TRAINED} for p in ("start ", ""))
    change = {of: now[of] - first[of] for of in now}
    by_autograd = torch.func.jvp(lambda of: forward(of, X).logits, (first,), (change,))[1]
    assert torch.allclose(logits(net, X, "linear"), by_autograd)


def trained(name, scale, activation):
    net, X, y = start()
    method, now = rich.scaled(name, scale), rich.with_start(net)
    for _ in range(30):
        update = {of: a @ b for of, a, b in method.rule(now, X, y, activation)}
        now |= {of: now[of] - 0.1 * change for of, change in update.items()}
    return method.forward(now, X, activation).logits


# With ReLU units, only from an α on at which no gate flips.
@pytest.mark.parametrize(("activation", "scale"), [("tanh", 300), ("relu", 30_000)])
@pytest.mark.parametrize("name", ["bp", "dfa"])
def test_the_distance_from_the_linear_model_falls_as_one_over_alpha(name, activation, scale):
    limit = trained(name, "linear", activation)
    near, nearer = (
        (trained(name, str(alpha), activation) - limit).norm() for alpha in (scale, 4 * scale)
    )
    assert 3.8 < near / nearer < 4.2
    assert nearer < 1e-2 * limit.norm()


def test_the_tangent_kernel_is_that_of_autograd():
    net, X, _ = start()
    jacobian = torch.func.jacrev(lambda of: forward(of, X).logits[:, 0])(
        {of: net[of] for of in rich.TRAINED}
    )
    centre = torch.eye(40, dtype=torch.float64) - 1 / 40
    parts = rich.kernel_parts(net, X, net["W2"].mT)
    for part, names in zip(parts, (("W2", "b2"), ("W1", "b1")), strict=True):
        J = torch.cat([jacobian[of].flatten(1) for of in names], dim=1)
        assert torch.allclose(part, centre @ J @ J.mT @ centre)


def test_a_step_of_dfa_moves_logits_by_its_own_kernel():
    net, X, y = start()
    y = (torch.arange(40) % 2).double()[:, None]  # errors that add up to 0
    method, begun, rate = rich.scaled("dfa", "1"), rich.with_start(net), 1e-7
    update = {of: a @ b for of, a, b in method.rule(begun, X, y)}
    after = method.forward(begun | {of: begun[of] - rate * update[of] for of in update}, X).logits
    kernel = sum(rich.kernel_parts(net, X, net["B1"]))
    expected = -rate * kernel @ ((0.5 - y) / 40)
    assert torch.allclose(after - after.mean(), expected, rtol=1e-4, atol=1e-12)


def test_the_first_layers_part_of_dfas_kernel_falls_as_one_over_the_root_of_the_width():
    shares = {}
    for width in (64, 1024):
        nets = [start(hidden=width, seed=seed) for seed in range(8)]
        norms = [
            [rich.kernel_parts(net, X, of)[1].norm() for of in (net["B1"], net["W2"].mT)]
            for net, X, _ in nets
        ]
        shares[width] = sum(own / of_bp for own, of_bp in norms) / len(norms)
    assert 3 < shares[64] / shares[1024] < 5


def test_a_start_has_moved_nowhere_and_dead_units_have_no_kernel():
    net, X, _ = start()
    *none, share = rich.compared(net, net, X)
    assert none == pytest.approx([0, 0, 0, 0], abs=1e-12)
    assert -1 < share < 1
    dead = net | {"b1": net["b1"] - 100}
    *_, kernel, flipped, share = rich.compared(net, dead, X)
    assert pd.isna(kernel)
    assert pd.isna(share)
    assert flipped == float((forward(net, X).hidden[1] > 0).double().mean())


def test_without_a_scale_networks_train_as_elsewhere():
    run = small(optimizer="rmsprop", learning_rate=0.002)
    rows, history = rich.follow_scales(run, ["none"]), train(run)
    assert [row[-2] for row in rows] == history.test_accuracy
    assert [row[-3] for row in rows] == history.train_loss


def test_lazy_runs_have_no_measures_of_movement():
    for run, scale in ((small(), "linear"), (small(method="ntk"), "none")):
        assert all(pd.isna(value) for row in rich.follow_scales(run, [scale]) for value in row[2:7])


def test_a_table_is_kept_and_read_again_and_more_seeds_are_added(tmp_path, monkeypatch):
    cases = [rich.AtScales(small(), ("1", "linear")), rich.AtScales(small(k=3, optimizer="adam"))]
    file = tmp_path / "rich.csv"
    assert len(rich.rich_table(cases, range(1), results=file)) == 6
    more = rich.rich_table(cases, range(2), results=file)
    assert len(more) == 12
    assert set(more["outcome"]) <= {"learned", "at chance", "unstable"}
    monkeypatch.setattr(rich, "follow_scales", lambda *_: pytest.fail("trained again"))
    assert rich.rich_table(cases, range(2), results=file).equals(more)
    with pytest.raises(InputError, match="belongs to another experiment"):
        rich.rich_table([rich.AtScales(small(hidden=8))], range(1), results=file)


# ---- the chapter ----


def table_of(ends, seeds=10):
    """A table of ends by method, scale, k and rate: accuracy and change of the kernel."""
    rows = [
        (
            *("x", method, k, "sgd", rate, seed, scale, epoch, 1.0, 1.0),
            *(kernel + 0.001 * (seed % 3), 0.1, 0.5, 0.6, accuracy + 0.001 * (seed % 3), 2_000),
        )
        for (method, scale, k, rate), (accuracy, kernel) in ends.items()
        for seed in range(seeds)
        for epoch in (1, 2)
    ]
    return with_outcomes(pd.DataFrame(rows, columns=list(rich.COLUMNS)))


def test_claims_are_judged_by_the_runs():
    ends = {(m, s, 2, 0.1): (0.9, 0.1) for m in ("bp", "dfa") for s in ("1",)}
    ends |= {(m, s, 2, 0.1): (0.7, 0.1) for m in ("bp", "dfa") for s in ("256", "linear")}
    ends |= {("relu_features", "none", 2, 0.1): (0.7, 0.1)}
    ends |= {("bp", "none", 3, 0.1): (0.8, 0.5), ("dfa", "none", 3, 0.1): (0.7, 0.2)}

    def verdicts(table):
        evidence = Evidence("digits", None, tables={"rich": table})
        claims = [claim for claim in OWN_CLAIMS if claim.id.startswith("18")]
        return [judge(claim, evidence).verdict for claim in claims]

    assert verdicts(table_of(ends)) == [HOLDS] * 4
    other = {("dfa", "256", 2, 0.1): (0.95, 0.1), ("dfa", "none", 3, 0.1): (0.7, 0.6)}
    assert verdicts(table_of(ends | other)) == [IN_PART, FAILS, IN_PART, FAILS]


def test_the_best_rate_is_a_stable_one_for_each_method_and_scale():
    tuning = table_of(
        {
            **{("bp", "1", 2, 0.1): (0.8, 0), ("bp", "1", 2, 0.2): (0.9, 0)},
            **{("bp", "256", 2, 0.1): (0.8, 0), ("bp", "256", 2, 0.2): (0.7, 0)},
            **{("dfa", "1", 2, 0.1): (0.8, 0), ("dfa", "1", 2, 0.2): (0.9, 0)},
        }
    )
    lost = (tuning["method"] == "dfa") & (tuning["learning_rate"] == 0.2) & (tuning["seed"] == 3)
    tuning.loc[lost, "outcome"] = "unstable"
    cases = rich.at_best_rates(tuning, small(method="bp"))
    chosen = {(c.run.method, scale): c.run.learning_rate for c in cases for scale in c.scales}
    assert chosen == {("bp", "1"): 0.2, ("bp", "256"): 0.1, ("dfa", "1"): 0.1}
    assert {case.run.feedback for case in cases} == {None, "uniform"}
    assert all(
        replace(c.run, method="bp", feedback=None, learning_rate=0.1) == small(method="bp")
        for c in cases
    )


def test_higher_rates_are_said_beside_the_best_that_may_be_chosen():
    ends = {
        ("bp", s, 2, rate): (right, 0)
        for s in ("16", "64", "256", "linear")
        for rate, right in ((0.1, 0.7), (2.0, 0.6), (5.0, 0.8), (10.0, 0.9))
    }
    shown = chapter.Trained(pd.DataFrame(), table_of(ends, seeds=1), small(method="bp"))
    assert "α = 64 70.0\N{NO-BREAK SPACE}% and 90.0\N{NO-BREAK SPACE}%;" in chapter.higher_rates(shown)


def test_both_editions_have_the_same_runs():
    digits, mnist = (
        {path.name: path.read_bytes() for path in (ROOT / "results" / name).glob("rich*")}
        for name in ("digits", "mnist")
    )
    assert sorted(digits) == ["rich.csv", "rich.json", "rich_tuning.csv", "rich_tuning.json"]
    assert digits == mnist


def test_the_chapter_says_what_its_runs_did():
    shown = chapter.trained(check_parameters({"profile": "smoke", "jobs": 1}))
    assert "At α = 1: BP" in chapter.finding(shown)
    heads, _, *rows = (line.split("|")[1:-1] for line in chapter.optimizer_table(shown).splitlines())
    assert len(rows) == 4
    assert all(len(row) == len(heads) for row in rows)
    assert chapter.higher_rates(shown) == ""
    for figure in (chapter.accuracies(shown), chapter.kernels(shown), chapter.optimizers(shown)):
        assert "nan" not in figure["caption"] + figure["alt"]
