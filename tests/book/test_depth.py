"""Networks with several hidden layers: training, layers that are held, and claims."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from dfa_book import depth
from dfa_book.chapter import check_parameters
from dfa_book.chapters import depth as chapter
from dfa_book.claims.judge import FAILS, HOLDS, IN_PART, Evidence, judge
from dfa_book.claims.own_claims import OWN_CLAIMS
from dfa_book.claims.thesis_claims import CLAIMS
from dfa_lib.engine import Engine
from dfa_lib.methods import METHODS
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import Run, initial_parameters, load_problem, train
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]


def small(**fields):
    given = {"method": "dfa", "k": 2, "samples": 500, "test_samples": 100, "hidden": (16, 12)}
    return Run(**given | {"epochs": 4, "optimizer": "rmsprop", "learning_rate": 0.005} | fields)


def columns(rows, *names):
    places = [list(depth.COLUMNS).index(name) - list(depth.COLUMNS).index("held") for name in names]
    return [tuple(row[place] for place in places) for row in rows]


@pytest.mark.parametrize("method", ["bp", "fa", "dfa"])
def test_without_held_layers_networks_train_as_elsewhere(method):
    run = small(method=method)
    rows, history = depth.follow_layers(run), train(run)
    places = [(epoch, layer) for epoch in (1, 2, 3, 4) for layer in (1, 2)]
    assert columns(rows, "epoch", "layer") == places
    reached, losses, first, second = zip(
        *(
            (*below, above)
            for below, (above,) in zip(
                columns(rows, "test_accuracy", "test_loss", "gradient_alignment")[::2],
                columns(rows, "gradient_alignment")[1::2],
                strict=True,
            )
        ),
        strict=True,
    )
    assert (list(reached), list(losses)) == (history.test_accuracy, history.test_loss)
    cosines = [(a + b) / 2 for a, b in zip(first, second, strict=True)]
    expected = history.gradient_alignment if method != "bp" else [1.0] * 4
    assert cosines == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_held_layer_does_not_move(optimizer):
    run = small(optimizer=optimizer)
    problem = load_problem(run)
    rule = depth.without(METHODS["dfa"].rule, lambda layer: layer == 1)
    engine = Engine(
        initial_parameters(run, problem.inputs), rule, OPTIMIZERS[optimizer], learning_rate=0.1
    )
    before = {name: value.clone() for name, value in engine.parameters.items()}
    for _ in range(3):
        engine.step(*problem.training().batch(0, 100))
    same = {name for name, value in engine.parameters.items() if torch.equal(value, before[name])}
    assert same == {"W1", "b1", "B1", "B2"}


@pytest.mark.parametrize("layer", ["first", "second"])
def test_a_layer_that_waits_is_held_for_half_of_the_epochs(layer):
    run = small(samples=1_000, learning_rate=0.02)
    measured = [name for name in depth.COLUMNS if "alignment" in name or "test" in name]
    waits, held = (
        columns(depth.follow_layers(run, [name]), *measured) for name in (f"{layer} waits", layer)
    )
    assert waits[:4] == held[:4]
    assert waits[4:] != held[4:]


def test_a_table_is_kept_and_read_again_and_more_seeds_are_added(tmp_path, monkeypatch):
    cases = [depth.Case(small(hidden=16)), depth.Case(small(), ("none", "both"))]
    file = tmp_path / "depth.csv"
    first = depth.layers_table(cases, 1, results=file)
    assert first.groupby(["layers", "held"]).size().to_dict() == {
        **{(1, "none"): 4, (2, "none"): 8, (2, "both"): 8}
    }
    more = depth.layers_table(cases, 2, results=file)
    assert len(more) == 2 * len(first)
    monkeypatch.setattr(depth, "follow_layers", lambda *_: pytest.fail("trained again"))
    assert depth.layers_table(cases, 2, results=file).equals(more)
    with pytest.raises(InputError, match="belongs to another experiment"):
        depth.layers_table([depth.Case(small(k=1))], 1, results=file)
    with pytest.raises(InputError, match="held"):
        depth.layers_table([depth.Case(small(), ("third",))], 1)


def measured(reached, cosines=((0.1, 0.3), (0.2, 0.4)), seeds=10):
    """A table as from ``layers_table``, from accuracies by case and cosines by epoch and layer."""
    rows = [
        (
            "x",
            method,
            str(layers),
            0.001,
            seed,
            held,
            layers,
            epoch,
            layer,
            0.1,
            cosine,
            0.5,
            right,
            2_000,
        )
        for (method, layers, held), accuracy in reached.items()
        for seed in range(seeds)
        for right in [accuracy + 0.001 * (seed % 3)]
        for epoch in (1, 2)
        for layer in range(1, layers + 1)
        for cosine in [cosines[epoch - 1][min(layer, 2) - 1]]
    ]
    return depth.with_outcome(pd.DataFrame(rows, columns=list(depth.COLUMNS)))


def verdicts(table):
    evidence = Evidence("digits", None, tables={"depth": table})
    claims = [c for c in (*CLAIMS, *OWN_CLAIMS) if c.id in ("13f", "17a", "17b", "17c", "17d")]
    return [judge(claim, evidence).verdict for claim in claims]


def test_claims_are_judged_by_the_runs():
    reached = {(m, n, "none"): 0.8 for m in ("bp", "fa", "dfa") for n in (1, 2, 4)}
    reached |= {("dfa", 2, "first"): 0.50, ("dfa", 2, "both"): 0.50}
    deep = {("bp", 2, "none"): 0.9, ("bp", 4, "none"): 0.9, ("fa", 2, "none"): 0.85}
    # The first layer's cosine is at once where it stays, the second's in the second epoch.
    first_comes_first = ((0.2, 0.1), (0.2, 0.4))
    found = verdicts(measured(reached | deep, first_comes_first))
    assert found == [HOLDS, HOLDS, HOLDS, IN_PART, HOLDS]
    other = dict.fromkeys(deep, 0.7) | {("dfa", 2, "first"): 0.6}
    second_comes_first = ((0.1, 0.2), (0.4, 0.2))
    assert verdicts(measured(reached | other, second_comes_first)) == [FAILS] * 5


def test_both_editions_have_the_same_runs():
    digits, mnist = (
        {path.name: path.read_bytes() for path in (ROOT / "results" / name).glob("depth*")}
        for name in ("digits", "mnist")
    )
    assert sorted(digits) == ["depth.csv", "depth.json", "depth_tuning.csv", "depth_tuning.json"]
    assert digits == mnist


def test_the_chapter_says_what_its_runs_did():
    shown = chapter.studied(check_parameters({"profile": "smoke", "jobs": 1}))
    assert "A second hidden layer changes the accuracy by" in chapter.finding(shown)
    heads, _, *rows = (line.split("|")[1:-1] for line in chapter.accuracy_table(shown).splitlines())
    assert len(rows) == 5
    by_name = [dict(zip((head.strip() for head in heads), row, strict=True)) for row in rows]
    assert all("%" in row["accuracy"] and float(row["rate"]) < 1 for row in by_name)
    for figure in (chapter.accuracies(shown), chapter.layers(shown), chapter.held(shown)):
        assert "nan" not in figure["caption"] + figure["alt"]
    assert chapter.held(shown)["figure"].axes[0].get_ylim() == (5.5, -0.5)
