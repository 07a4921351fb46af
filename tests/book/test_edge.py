"""Runs at the edge of stability: that they are SGD's, what is measured, remedies, and what is said."""

import math
from pathlib import Path

import pandas as pd
import pytest

from dfa_book import edge
from dfa_book.chapter import check_parameters
from dfa_book.chapters import edge as chapter
from dfa_book.claims import measures
from dfa_book.claims.judge import FAILS, HOLDS, NOT_TESTED, Evidence, judge
from dfa_book.claims.own_claims import OWN_CLAIMS
from dfa_lib.experiments.stability import leading_mode
from dfa_lib.learning_rules import direct_feedback_alignment
from dfa_lib.training import Run, load_problem, train
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]
FIELDS = ("method", "feedback", "learning_rate", "seed")


def small(**fields):
    given = {"method": "dfa", "k": 2, "samples": 500, "test_samples": 100, "hidden": 16, "epochs": 2}
    return Run(**given | {"learning_rate": 0.1, "batch_size": 5} | fields)


def measured(*runs):
    """A table as from ``edge_table``; a run is its fields and the steps, gains, losses, accuracies."""
    rows = [
        ("x", "none", *fields, 60 * i, gain, loss, accuracy, 2_000)
        for fields, points in runs
        for i, (gain, loss, accuracy) in enumerate(points)
    ]
    return pd.DataFrame(rows, columns=list(edge.COLUMNS))


GOOD = [(1.0, 0.69, 0.5), (1.5, 0.6, 0.6), (1.9, 0.5, 0.7)]
OVER = [(1.0, 0.69, 0.5), (2.1, 0.6, 0.6), (1.9, 0.5, 0.7)]
BURST = [(1.0, 0.69, 0.5), (2.4, 0.6, 0.6), (math.nan, 50.0, 0.5)]
SUDDEN = [(3.0, 0.69, 0.5), (1.1, 0.6, 0.6), (math.nan, 50.0, 0.5)]  # above 2 at the start only


def test_without_a_remedy_the_steps_are_those_of_training():
    # With as many stacks in an epoch as are held out, both losses are of the whole last epoch.
    run = small(samples=100, epochs=7, precision="float64")
    rows = edge.follow(run)
    assert [row[0] for row in rows] == [0, 60, 120, 140]
    assert rows[-1][2] == pytest.approx(train(run).train_loss[-1], rel=1e-9)
    assert rows[-1][2] != pytest.approx(rows[0][2], rel=1e-3)


def test_the_gain_is_the_rate_times_the_largest_eigenvalue():
    run = small(epochs=1, precision="float64")
    *_, last = edge.follow(run)
    after = {}
    train(run, observe=lambda epoch, parameters: after.update(parameters))
    batch = load_problem(run).training().batch(0, 500)
    mode = leading_mode(direct_feedback_alignment, after, *batch, iterations=200)
    assert last[1] == pytest.approx(0.1 * mode.value, rel=0.02)


def test_after_the_explosion_nothing_is_measured_but_the_end():
    rows = edge.follow(small(learning_rate=50.0, epochs=3))
    gains, losses = [row[1] for row in rows], [row[2] for row in rows]
    exploded = next(i for i, loss in enumerate(losses) if loss > 2 * math.log(2))
    assert len(rows) == exploded + 2
    assert rows[-1][0] == 300
    assert all(map(math.isnan, gains[exploded:]))
    assert not any(map(math.isnan, gains[:exploded]))


def test_remedies_shorten_steps_where_they_should():
    def factor(name, step=10_000, length=0.1, gain=1.0):
        return edge.REMEDIES[name].factor(edge.State(step, length, gain))

    assert [factor("none", gain=5.0), factor("none", length=9.0)] == [1, 1]
    assert [factor("hold"), factor("hold", gain=2.4)] == [1, 0.5]
    assert [factor("clip"), factor("clip", length=0.6)] == [1, 0.5]
    assert [factor("warm_up"), factor("warm_up", step=299)] == [1, 0.5]
    assert all(edge.STRIDE % remedy.stride == 0 for remedy in edge.REMEDIES.values())


def test_a_table_is_kept_and_read_again_and_more_seeds_are_added(tmp_path, monkeypatch):
    runs = [small(), small(method="bp")]
    file = tmp_path / "edge.csv"
    first = edge.edge_table(runs, 1, results=file)
    assert first["method"].unique().tolist() == ["dfa", "bp"]
    more = edge.edge_table(runs, 2, results=file)
    assert len(more) == 2 * len(first)
    monkeypatch.setattr(edge, "follow", lambda *_: pytest.fail("trained again"))
    assert edge.edge_table(runs, 2, results=file).equals(more)
    with pytest.raises(InputError, match="belongs to another experiment: its remedy is 'none'"):
        edge.edge_table(runs, 1, remedy="clip", results=file)
    with pytest.raises(InputError, match="remedy"):
        edge.edge_table(runs, 1, remedy="prayer")


def test_runs_end_stable_or_not_and_what_came_before_is_known():
    table = measured(
        (("dfa", "uniform", 0.1, 0), GOOD),
        (("dfa", "uniform", 0.1, 1), OVER),
        (("dfa", "uniform", 0.2, 0), BURST),
        (("bp", None, 0.2, 0), SUDDEN),
    )
    ended = edge.ended(table).set_index(list(FIELDS))
    assert ended["unstable"].tolist() == [False, False, True, True]
    assert ended["exploded"].tolist()[2:] == [120, 120]
    assert ended["exploded"].isna().tolist() == [True, True, False, False]
    assert ended["passed"].tolist()[1:3] == [60, 60]
    assert ended["passed"].isna().tolist() == [True, False, False, True]
    assert ended["accuracy"].tolist() == [0.7, 0.7, 0.5, 0.5]


def test_the_best_rate_has_no_unstable_run_if_there_is_one():
    def runs(*rows):
        return pd.DataFrame(rows, columns=["learning_rate", "seed", "unstable", "accuracy"])

    best = edge.best_rate(
        runs((0.1, 0, False, 0.6), (0.1, 1, False, 0.7), (0.2, 0, False, 0.9), (0.2, 1, True, 0.5))
    )
    assert best.rate == 0.1
    assert best.accuracy.values.tolist() == [0.6, 0.7]
    best = edge.best_rate(runs((0.1, 0, True, 0.5), (0.2, 0, True, 0.6)))
    assert best.rate == 0.2
    assert best.accuracy.unstable == {0}


def evidence(none, **remedies):
    tables = {"edge": none} | {f"edge_{name}": table for name, table in remedies.items()}
    runs = {name: edge.ended(table) for name, table in tables.items()}
    return Evidence("digits", None, tables=runs)


def of(method, points, count, rate=0.1, first=0):
    feedback = None if method == "bp" else "uniform"
    return [((method, feedback, rate, first + seed), points) for seed in range(count)]


def test_the_claims_are_judged_by_runs():
    claims = {claim.id: claim for claim in OWN_CLAIMS}
    found = evidence(
        measured(*of("dfa", GOOD, 40), *of("dfa", BURST, 40, 0.2), *of("bp", OVER, 40)),
        hold=measured(*of("dfa", GOOD, 40, 0.2)),
        clip=measured(*of("dfa", [*GOOD[:2], (1.9, 0.4, 0.8)], 40, 0.2)),
    )
    assert [judge(claims[id], found).verdict for id in ("15a", "15b", "15c")] == [HOLDS] * 3
    gained = measures.accuracy_with("clip") - measures.accuracy_with("none")
    assert gained(found).values.round(6).tolist() == [0.1] * 40
    other = evidence(
        measured(*of("dfa", OVER, 40), *of("dfa", SUDDEN, 40, 0.2), *of("bp", BURST, 40)),
        hold=measured(*of("dfa", BURST, 40, 0.2)),
    )
    assert [judge(claims[id], other).verdict for id in ("15a", "15b", "15c")] == [FAILS] * 3


def test_the_runs_are_no_evidence_on_mnist_though_its_edition_keeps_them():
    evidence = Evidence("mnist", ROOT / "results" / "mnist")
    for claim in (each for each in OWN_CLAIMS if each.id.startswith("15")):
        judgement = judge(claim, evidence)
        assert (judgement.verdict, judgement.numbers) == (NOT_TESTED, ())
        assert judgement.reason == "its runs are trained on the bundled digits only"


def test_both_editions_have_the_same_runs():
    digits, mnist = (
        {path.name: path.read_bytes() for path in (ROOT / "results" / name).glob("edge*")}
        for name in ("digits", "mnist")
    )
    assert len(digits) == 2 * len(edge.REMEDIES)
    assert digits == mnist


@pytest.fixture(scope="module")
def shown():
    return chapter.followed(check_parameters({"profile": "smoke", "jobs": 1}))


def test_the_chapter_says_what_its_runs_did(shown):
    figure = chapter.gains(shown)
    assert figure["caption"].startswith(
        "Of 0\u00a0unstable runs of DFA, 0 had passed a gain of 2 before"
    )
    assert "Unstable of the runs drawn: BP, η = 0.5: 0 of 2; DFA, B uniform" in figure["caption"]
    assert len(figure["figure"].axes) == 2
    said = chapter.finding(shown).replace("\u00a0", " ")
    assert "Of 0 unstable runs of DFA, 0 had passed a gain of 2 before, and of 2 stable runs" in said
    table = chapter.prediction(shown)
    assert "| BP | – | 0 of 2 (0 to 84 %) | – |" in table.replace("\u00a0", " ")
    helped = chapter.remedies(shown)
    assert helped["results"] == ("edge", "edge_clip")
    assert "warm-up" not in helped["caption"]  # was not tried
    lags = chapter.remedies_table(shown)
    assert [lags.count(name) for name in ("BP, updates clipped", "DFA, updates clipped")] == [1, 1]
