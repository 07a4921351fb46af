import math
import re
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from dfa_lib import InputError, run_all
from dfa_lib.claims import (
    FAILS,
    HOLDS,
    IN_PART,
    NOT_COMPUTED,
    NOT_TESTED,
    UNDECIDED,
    Claim,
    Evidence,
    Judgement,
    Part,
    check_complete,
    combined,
    exactly,
    judge,
    overall,
)
from dfa_lib.publishing import ledger
from dfa_lib.statistics import Interval

ROOT = Path(__file__).parents[1]
NAN = float("nan")


def part(**fields):
    return Part(**({"what": "a number", "measure": lambda _: exactly(1.0), "above": 0.0} | fields))


def claim(**fields):
    given = {"id": "1", "text": "It is so.", "made": "section 1", "figure": "fig", "parts": (part(),)}
    return Claim(**(given | fields))


def with_tables(**tables):
    """Evidence that has these tables and no files."""
    evidence = Evidence("digits", None)
    evidence._tables.update(tables)
    return evidence


def runs(**columns):
    """A results table of one row for each seed and epoch; a column may be a function of both."""
    seeds, epochs = columns.pop("seeds", 2), columns.pop("epochs", 4)
    rows = [
        {"seed": seed, "epoch": epoch, "epochs": epochs}
        | {name: value(seed, epoch) if callable(value) else value for name, value in columns.items()}
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]
    return pd.DataFrame(rows)


# ---- the rule ----


@pytest.mark.parametrize(
    ("low", "mean", "high", "verdict"),
    [
        (0.1, 0.2, 0.3, HOLDS),
        (-0.1, 0.2, 0.5, UNDECIDED),
        (-0.3, -0.1, 0.1, UNDECIDED),
        (-0.3, -0.2, -0.1, FAILS),
        (-0.3, -0.2, 0.0, FAILS),
        (NAN, 0.2, NAN, UNDECIDED),
        (NAN, NAN, NAN, NOT_TESTED),
    ],
)
def test_a_number_is_judged_by_its_whole_interval(low, mean, high, verdict):
    assert part(above=0.0).verdict(Interval(mean, low, high, 3)) == verdict


def test_alike_needs_the_interval_inside_the_margin():
    margin = part(above=-0.03, below=0.03)
    assert margin.verdict(Interval(0.0, -0.02, 0.02, 3)) == HOLDS
    assert margin.verdict(Interval(0.0, -0.2, 0.2, 3)) == UNDECIDED
    assert margin.verdict(Interval(0.1, 0.04, 0.16, 3)) == FAILS


def test_a_number_that_has_to_be_exact_is_that_or_not():
    zero = part(above=0.0, below=0.0)
    assert zero.verdict(exactly(0.0)) == HOLDS
    assert zero.verdict(exactly(1e-300)) == FAILS


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, FAILS], IN_PART),
        ([HOLDS, UNDECIDED], IN_PART),
        ([HOLDS, NOT_TESTED], IN_PART),
        ([FAILS, UNDECIDED], FAILS),
        ([UNDECIDED, NOT_TESTED], UNDECIDED),
        ([NOT_TESTED], NOT_TESTED),
        ([], NOT_TESTED),
    ],
)
def test_a_claim_is_judged_by_all_its_numbers(verdicts, whole):
    assert combined(verdicts) == whole


def test_over_datasets_the_verdict_rests_on_what_was_tested():
    tested, untested = Judgement(FAILS), Judgement(NOT_TESTED, reason=NOT_COMPUTED)
    assert overall([tested, untested]) == FAILS
    assert overall([untested, untested]) == NOT_TESTED


def test_ranges_are_said_in_words():
    assert part(above=0.0).range == "above 0"
    assert part(above=-math.inf, below=0.5).range == "below 0.5"
    assert part(above=-0.03, below=0.03).range == "between -0.03 and 0.03"
    assert part(above=0.0, below=0.0).range == "exactly 0"


def test_numbers_are_said_with_their_intervals():
    assert part().in_words(Interval(0.1, 0.05, 0.15, 3)) == (
        "+0.100 (95 % interval: +0.050 to +0.150; 3 seeds)"
    )
    assert part().in_words(Interval(0.1, NAN, NAN, 1)) == (
        "+0.100, without an interval: it was measured once"
    )
    assert part(form="g").in_words(exactly(0.0)) == "0, exactly"
    assert part().in_words(Interval(NAN, NAN, NAN, 3)) == "a run diverged"


def test_without_results_a_claim_is_not_computed():
    from_files = claim(parts=(part(measure=lambda e: exactly(float(len(e.table("sgd"))))),))
    judged = judge(from_files, Evidence("digits", None))
    assert judged == Judgement(NOT_TESTED, (), NOT_COMPUTED)


def test_stale_results_are_not_used(tmp_path, small_run):
    run_all([small_run()], results=tmp_path / "sgd.csv")
    from_files = claim(parts=(part(measure=lambda e: exactly(float(len(e.table("sgd"))))),))
    assert judge(from_files, Evidence("digits", tmp_path)).verdict == HOLDS
    stale = judge(from_files, Evidence("digits", tmp_path, lambda path: "is too old"))
    assert stale == Judgement(NOT_TESTED, (), "its results are stale: sgd.csv is too old")


def test_a_claim_is_measured_but_not_judged_where_it_does_not_apply():
    judged = judge(claim(not_on={"digits": "a reason"}), Evidence("digits", None))
    assert judged == Judgement(NOT_TESTED, (exactly(1.0),), "a reason")
    assert judge(claim(not_on={"digits": "a reason"}), Evidence("mnist", None)).verdict == HOLDS


# ---- the gate ----


@pytest.mark.parametrize(
    ("broken", "judgement", "sentence"),
    [
        ({}, Judgement("", (exactly(1.0),)), "claim 1 has no verdict on digits."),
        ({}, Judgement("perhaps", (exactly(1.0),)), "claim 1 has no verdict on digits."),
        ({}, Judgement(HOLDS), "claim 1 has no statistic on digits."),
        ({}, Judgement(NOT_TESTED), "claim 1 is not tested on digits without a reason."),
        ({"figure": ""}, None, "claim 1 has no figure."),
        ({"text": " "}, None, "claim 1 does not say 'text'."),
        ({"made": ""}, None, "claim 1 does not say 'made'."),
        ({"parts": (part(above=-math.inf),)}, None, "claim 1 has no rule for 'a number'."),
        ({"parts": ()}, None, "claim 1 has no statistic, and no reason why it is not tested."),
    ],
)
def test_an_incomplete_claim_is_refused(broken, judgement, sentence):
    made = claim(**broken)
    judged = judgement or judge(made, Evidence("digits", None))
    with pytest.raises(InputError, match=re.escape(sentence)):
        check_complete([(made, {"digits": judged})])


def test_a_claim_without_any_verdict_and_one_that_is_there_twice_are_refused():
    with pytest.raises(InputError, match=r"claim 1 has no verdict\."):
        check_complete([(claim(), {})])
    twice = (claim(), {"digits": Judgement(HOLDS, (exactly(1.0),))})
    with pytest.raises(InputError, match=r"claim 1 is there 2 times\."):
        check_complete([twice, twice])


def run_page(monkeypatch, claims):
    """Run the cells of the ledger up to its gate, with other claims."""
    monkeypatch.setattr(ledger, "CLAIMS", claims)
    monkeypatch.chdir(ROOT)
    namespace = {}
    for cell in nbformat.read(ROOT / "book" / "ledger.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)
            if "check_complete(ledger)" in cell.source:
                return
    raise AssertionError("the ledger has no gate")


def test_the_page_stops_at_a_claim_without_a_verdict(monkeypatch):
    run_page(monkeypatch, (claim(),))
    with pytest.raises(InputError, match="claim 2 has no statistic, and no reason"):
        run_page(monkeypatch, (claim(), claim(id="2", parts=())))
    with pytest.raises(InputError, match="claim 3 has no figure"):
        run_page(monkeypatch, (claim(id="3", figure=""),))
    monkeypatch.setattr(ledger, "judge", lambda claim, evidence: Judgement("", ()))
    with pytest.raises(InputError, match="claim 1 has no verdict on digits"):
        run_page(monkeypatch, (claim(),))


# ---- the claims of the book ----


def test_every_claim_that_is_known_is_in_the_ledger():
    numbers = {int(re.match(r"\d+", c.id)[0]) for c in ledger.CLAIMS}
    assert numbers == set(range(1, 15))
    assert len({c.id for c in ledger.CLAIMS}) == len(ledger.CLAIMS)


def test_without_results_the_ledger_is_complete_and_nothing_is_made_up():
    evidence = {name: Evidence(name, None) for name in ledger.DATASETS}
    judged = ledger.judge_all(ledger.CLAIMS, evidence)
    check_complete(judged)
    computed = {c.id for c, j in judged if j["mnist"].verdict != NOT_TESTED}
    assert computed == {"13a", "13c", "13d"}  # which need no results


def test_every_figure_that_a_claim_names_is_in_the_book():
    chapters = "".join(p.read_text() for p in (ROOT / "book").glob("*.ipynb"))
    shown = set(re.findall(r'name=\\"(fig-[\w-]+)\\"', chapters))
    assert {c.figure for c in ledger.CLAIMS if c.figure} <= shown


def test_entries_state_the_rule_before_the_numbers():
    evidence = {name: Evidence(name, None) for name in ledger.DATASETS}
    for made, judgements in ledger.judge_all(ledger.CLAIMS, evidence):
        text = ledger.entry(made, judgements)
        assert f":name: claim-{made.id}\n" in text
        if made.parts:
            assert text.index("**Rule:**") < text.index("**On the digits:")
            assert all(f"{p.what}: {p.range}" in text for p in made.parts)


def test_an_entry_takes_the_datasets_together_where_both_were_tested():
    holds, fails = (Judgement(verdict, (exactly(1.0),)) for verdict in (HOLDS, FAILS))
    both = ledger.entry(claim(), {"digits": holds, "mnist": fails})
    assert "**Taken together: holds in part**" in both
    one = ledger.entry(claim(), {"digits": holds, "mnist": Judgement(NOT_TESTED, (), NOT_COMPUTED)})
    assert "Taken together" not in one


def test_the_summary_counts_every_claim_once_for_each_dataset():
    judged = [
        (claim(), {"digits": Judgement(HOLDS), "mnist": Judgement(NOT_TESTED, (), NOT_COMPUTED)}),
        (claim(), {"digits": Judgement(FAILS), "mnist": Judgement(UNDECIDED)}),
        (claim(), {"digits": Judgement(FAILS), "mnist": Judgement(UNDECIDED)}),
    ]
    assert ledger.summary(judged) == (
        "The ledger has 3 claims. On the digits, 1 holds and 2 do not hold. "
        "On MNIST, 2 are undecided and 1 was not computed in this build."
    )


def test_a_verdict_from_results_on_disk(tmp_path, small_run):
    pairs = [
        small_run(method=m, k=3, seed=s, learning_rate=r)
        for m, r in (("bp", 0.5), ("dfa", 0.01))
        for s in (0, 1)
    ]
    table = run_all(pairs, results=tmp_path / "sgd.csv")
    last = table[table["epoch"] == 2].set_index(["method", "seed"])["test_accuracy"]
    expected = np.mean([last["bp", s] - last["dfa", s] for s in (0, 1)])
    lag = next(c for c in ledger.CLAIMS if c.id == "3b")
    judged = judge(lag, Evidence("digits", tmp_path))
    assert judged.numbers[0].mean == pytest.approx(expected, abs=1e-12)
    assert judged.numbers[0].n == 2
    assert judge(lag, Evidence("mnist", tmp_path)).reason == NOT_COMPUTED


# ---- numbers, by hand ----


def test_share_of_epochs_by_hand():
    sgd = runs(method="bp", optimizer="sgd", test_accuracy=lambda s, e: 0.5 + 0.05 * e)  # to 0.7
    adam = runs(
        method="bp",
        optimizer="adam",
        # Seed 0 is there at epoch 2 of 4, seed 1 never.
        test_accuracy=lambda s, e: 0.6 if s or e < 2 else 0.75,
    )
    evidence = with_tables(adaptive_methods=pd.concat([sgd, adam]))
    assert ledger.share_of_epochs("bp", "adam")(evidence).mean == pytest.approx((2 / 4 + 5 / 4) / 2)


def test_spread_ratio_by_hand():
    spread = {"bp": 0.01, "dfa": 0.03}
    table = pd.concat(
        runs(
            method=m,
            optimizer=o,
            seeds=3,
            test_accuracy=lambda s, e, m=m: 0.7 + spread[m] * (s - 1),
        )
        for m in spread
        for o in ledger.ADAPTIVE
    )
    ratio = ledger.spread_ratio(with_tables(adaptive_methods=table))
    # 97.5 % of F with 8 and 8 degrees of freedom: 4.43326.
    assert ratio.mean == pytest.approx(3)
    assert (ratio.low, ratio.high) == pytest.approx((3 / 4.43326**0.5, 3 * 4.43326**0.5), rel=1e-4)


def test_rates_apart_counts_steps_of_the_grid():
    rates = dict(zip(("uniform", "standard_uniform", "gaussian", "standard_gaussian"),
                     (0.2, 0.002, 0.1, 0.05), strict=True))  # fmt: skip
    table = pd.concat(runs(feedback=k, learning_rate=r, test_accuracy=0.6) for k, r in rates.items())
    assert ledger.rates_apart(with_tables(random_matrices=table))[:3] == (6, 4, 8)


def test_loss_one_step_away_by_hand():
    fields = {"method": "dfa", "optimizer": "sgd", "k": 3, "samples": 9, "test_samples": 9, "hidden": 9}
    fields |= {"activation": "relu", "batch_size": 9, "feedback": "uniform"}
    scores = {0.1: 0.6, 0.2: 0.8, 0.5: 0.5, 1.0: NAN}
    tried = pd.concat(
        runs(**fields, seeds=1, learning_rate=rate, evaluate_on="validation", test_accuracy=score)
        for rate, score in scores.items()
    )
    table = runs(**fields, learning_rate=0.2, test_accuracy=0.8)
    evidence = with_tables(adaptive_methods=table, tuning=tried)
    assert ledger.scores(evidence, "dfa", "sgd").to_dict() == pytest.approx(
        {0.1: 0.6, 0.2: 0.8, 0.5: 0.5, 1.0: 0.5}
    )
    assert ledger.loss_one_step_away(evidence, "dfa", "sgd") == pytest.approx(0.8 - (0.6 + 0.5) / 2)


def test_alignment_before_accuracy_by_hand():
    table = runs(
        method="dfa",
        optimizer="sgd",
        epochs=10,
        weight_alignment=lambda s, e: 0.1 * e,  # half of 1.0 at epoch 5
        test_accuracy=lambda s, e: 0.5 if e < 8 + s else 0.7,  # half way at epoch 8, or 9
    )
    assert ledger.alignment_before_accuracy(with_tables(alignment=table)).mean == -3.5


def test_the_best_lazy_method_is_the_one_with_the_highest_mean():
    means = dict(zip(ledger.LAZY, (0.52, 0.51, 0.54, 0.50), strict=True))
    table = pd.concat(
        runs(k=3, method=m, test_accuracy=lambda s, e, a=a: a + 0.01 * s) for m, a in means.items()
    )
    assert list(ledger.best_lazy(3)(with_tables(reproduction=table))) == pytest.approx([0.54, 0.55])


def test_clusters_rise_from_the_smallest_to_the_largest():
    table = pd.concat(
        runs(method="bp", optimizer="sgd", samples=n, test_accuracy=a)
        for n, a in ((32, 0.6), (64, 0.9), (256, 0.8))
    )
    evidence = with_tables(clusters_samples=table)
    assert ledger.rise("clusters_samples", "bp", "samples")(evidence).mean == pytest.approx(-0.2)
    assert list(ledger.error("clusters_samples", "bp")(evidence)) == pytest.approx([0.7 / 3] * 2)


def test_backpropagation_vanishes_in_depth_and_direct_feedback_does_not():
    bp = ledger.signals(ledger.backpropagation, "tanh", 192, 0)
    dfa = ledger.signals(ledger.direct_feedback_alignment, "tanh", 192, 0)
    assert bp[-1] == dfa[-1] == 1
    assert bp[0] < 0.05 < 0.5 < dfa[0]
    # Layer by layer, the signal shrinks by about 1/√3.
    assert (bp[0] / bp[-1]) ** (1 / 7) == pytest.approx(3**-0.5, abs=0.06)


def test_the_pages_evidence_is_this_editions_and_the_other_editions(tmp_path, monkeypatch):
    from dfa_lib.publishing.chapter import check_parameters

    monkeypatch.chdir(ROOT)
    digits = ledger.find_evidence(check_parameters({"results": str(tmp_path)}))
    assert digits["digits"].folder == tmp_path
    assert digits["mnist"].folder == ROOT / "results" / "mnist"
    mnist = ledger.find_evidence(check_parameters({"profile": "mnist", "results": str(tmp_path)}))
    assert mnist["mnist"].folder == tmp_path
    assert mnist["digits"].folder == ROOT / "_build" / "results" / "digits"
    monkeypatch.chdir(tmp_path)
    alone = ledger.find_evidence(check_parameters({}))
    assert {e.folder for e in alone.values()} == {None}


def test_claims_can_be_changed_and_judged_again():
    strict = replace(claim().parts[0], above=2.0)
    assert judge(claim(parts=(strict,)), Evidence("digits", None)).verdict == FAILS
