import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dfa_book.claims import ledger, measures, thesis_claims
from dfa_book.claims.judge import (
    DISAGREE,
    FAILS,
    HOLDS,
    IN_PART,
    NOT_COMPUTED,
    NOT_TESTED,
    UNDECIDED,
    VERDICTS,
    Claim,
    Evidence,
    Judgement,
    NotComputed,
    Number,
    Part,
    check_complete,
    combined,
    corrected,
    exactly,
    judge,
    overall,
)
from dfa_book.claims.queries import Sample
from dfa_book.words import SPACE
from dfa_lib import InputError, run_all
from dfa_lib.experiments.statistics import Interval
from dfa_lib.learning_rules import backpropagation, direct_feedback_alignment

ROOT = Path(__file__).parents[2]
NAN = float("nan")


ONE = Number(exactly(1.0))


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


def seeds(*values, unstable=(), undefined=()):
    """A number for each seed."""
    return Sample(pd.Series(values, dtype=float), frozenset(unstable), frozenset(undefined))


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


def plain(text):
    """The text with ordinary spaces."""
    return text.replace(SPACE, " ")


@pytest.mark.parametrize(
    ("one", "other", "whole"),
    [
        (HOLDS, HOLDS, HOLDS),
        (HOLDS, FAILS, DISAGREE),
        (FAILS, IN_PART, DISAGREE),
        (HOLDS, UNDECIDED, "holds on one dataset, undecided on the other"),
        (IN_PART, HOLDS, "holds in part on one dataset, holds on the other"),
        (UNDECIDED, FAILS, "undecided on one dataset, does not hold on the other"),
    ],
)
def test_datasets_that_disagree_are_not_averaged(one, other, whole):
    assert overall([Judgement(one), Judgement(other)]) == whole


def test_ranges_are_said_in_words():
    assert part(above=0.0).range == "above 0"
    assert plain(part(above=-math.inf, below=0.5, form="percent").range) == "below 50 %"
    assert part(above=-math.inf, below=0.5, form=".2f").range == "below 0.5"
    assert plain(part(above=-0.03, below=0.03).range) == "between −3 and 3 points"
    assert part(above=0.0, below=0.0).range == "exactly 0"


def test_numbers_are_said_with_their_intervals():
    assert plain(part().in_words(Number(Interval(0.1, -0.05, 0.25, 3)))) == (
        "10.0 points (95 % interval: −5.0 to 25.0; 3 seeds)"
    )
    assert plain(part().in_words(Number(Interval(0.1, NAN, NAN, 1)))) == (
        "10.0 points, without an interval: measured once"
    )
    assert part(form="g").in_words(Number(exactly(0.0))) == "0, exactly"
    assert part().in_words(Number(Interval(NAN, NAN, NAN, 3))) == "a run is not finite"
    alike = part(kind="equivalence").in_words(Number(Interval(0.1, 0.05, 0.15, 3)))
    assert plain(alike).startswith("10.0 points (90 % interval:")


def test_no_interval_reaches_beyond_what_is_possible():
    wide = Number(Interval(0.5, -1.3, 2.3, 2))
    assert "−100.0 to 100.0" in plain(part().in_words(wide))
    assert "0.0 to 100.0" in plain(part(form="percent").in_words(wide))
    assert "−1.30 to 2.30" in plain(part(form=".2f").in_words(wide))


def test_a_part_has_the_interval_of_its_kind():
    values = [0.9, 0.99, 0.7]
    z = np.arctanh(values)
    half = stats.t.ppf(0.975, 2) * z.std(ddof=1) / 3**0.5
    correlation = part(measure=lambda _: seeds(*values), kind="fisher").number(Evidence("digits", None))
    assert correlation.interval.high == pytest.approx(np.tanh(z.mean() + half))
    t90 = stats.t.ppf(0.95, 2) * np.std(values, ddof=1) / 3**0.5
    same = part(measure=lambda _: seeds(*values), kind="equivalence").number(Evidence("digits", None))
    assert same.interval.high == pytest.approx(np.mean(values) + t90)


def test_a_number_over_unstable_seeds_says_how_many_and_what_the_others_give():
    measured = part(measure=lambda _: seeds(0.2, 0.25, -0.4, 0.22, unstable=[2]))
    number = measured.number(Evidence("digits", None))
    assert (number.unstable, number.interval.n, number.sound.n) == (1, 4, 3)
    assert number.interval.mean == pytest.approx(0.0675)
    assert number.sound.mean == pytest.approx((0.2 + 0.25 + 0.22) / 3)
    assert (
        measured.verdict(number.interval) == UNDECIDED
    )  # judged on all seeds: the method as it was run
    words = plain(measured.in_words(number))
    assert "1 of 4 seeds unstable; without them 22.3 points (95 % interval:" in words
    assert "more seeds at this rate would not settle it" in words
    assert number.needed is None
    judged = judge(claim(parts=(measured,)), Evidence("digits", None))
    assert judged.what_would_decide() == "1 of 4 seeds unstable"


def test_an_undecided_number_says_how_many_seeds_would_decide_it():
    open_ = part(measure=lambda _: seeds(0.02, -0.01, 0.03, 0.00))
    number = open_.number(Evidence("digits", None))
    assert number.needed > 4
    assert f"about {number.needed} seeds would decide it" in open_.in_words(number)
    judged = judge(claim(parts=(open_,)), Evidence("digits", None))
    assert judged.what_would_decide() == f"about {number.needed} seeds"
    once = judge(claim(parts=(part(measure=lambda _: seeds(0.1)),)), Evidence("digits", None))
    assert (once.verdict, once.what_would_decide()) == (UNDECIDED, "measured once")


def test_a_seed_without_a_number_is_no_run_that_is_not_finite():
    measured = part(measure=lambda _: seeds(0.2, 0.25, undefined=[2]))
    number = measured.number(Evidence("digits", None))
    assert (number.interval.n, number.undefined) == (2, 1)
    assert "not defined in 1 more" in measured.in_words(number)


def test_differences_keep_the_unstable_seeds_of_both_and_only_shared_seeds():
    a = Sample(pd.Series([0.7, 0.5, 0.6], index=[0, 1, 2]), frozenset([1]))
    b = Sample(pd.Series([0.6, 0.1], index=[1, 2]), frozenset([2]))
    difference = a - b
    assert difference.values.to_dict() == pytest.approx({1: -0.1, 2: 0.5})
    assert difference.unstable == {1, 2}
    assert (a - 0.5).values.to_dict() == pytest.approx({0: 0.2, 1: 0.0, 2: 0.1})


def test_in_part_says_how_many_of_how_many():
    parts = (part(), part(above=2.0), part(above=3.0))
    judged = judge(claim(parts=parts), Evidence("digits", None))
    assert judged.verdicts == (HOLDS, FAILS, FAILS)
    assert judged.in_words() == "holds in part, 1 of 3"


def test_a_corrected_reading_stands_beside_the_plain_one():
    # p = 0.03 alone holds; as one of two it would need 0.025.
    interval = Interval(0.1, 0.01, 0.2, 3)
    numbers = [Number(interval, 0.03), Number(Interval(0.0, -0.1, 0.1, 3), 0.8)]
    assert corrected(numbers, (HOLDS, UNDECIDED)) == [UNDECIDED, UNDECIDED]
    assert corrected([Number(interval, 0.001), numbers[1]], (HOLDS, UNDECIDED)) == [HOLDS, UNDECIDED]
    assert corrected([Number(interval), numbers[1]], (HOLDS, UNDECIDED))[0] == HOLDS  # has no test
    weak = part(measure=lambda _: seeds(0.02, 0.03, 0.06))
    none = part(measure=lambda _: seeds(-0.02, 0.03, -0.01))
    judged = judge(claim(parts=(weak, none)), Evidence("digits", None))
    assert 0.025 < judged.numbers[0].p <= 0.1
    strict = judge(claim(parts=(weak,)), Evidence("digits", None))
    assert strict.corrected == strict.verdict


def test_a_claim_that_something_exists_needs_one_part():
    assert combined([FAILS, HOLDS, UNDECIDED], some=True) == HOLDS
    assert combined([FAILS, FAILS], some=True) == FAILS
    assert combined([FAILS, UNDECIDED], some=True) == UNDECIDED


def test_a_part_without_results_is_left_out_if_it_may_be():
    def nowhere(evidence):
        raise NotComputed("glu")

    parts = (part(), part(above=2.0), part(measure=nowhere, optional=True))
    judged = judge(claim(parts=parts), Evidence("digits", None))
    assert judged.in_words() == "holds in part, 1 of 2"
    assert parts[2].in_words(judged.numbers[2]) == "not in these results"
    assert judge(claim(parts=parts[::2]), Evidence("digits", None)).verdict == HOLDS
    needed = (part(), part(measure=nowhere))
    assert judge(claim(parts=needed), Evidence("digits", None)).reason == NOT_COMPUTED


def test_a_claim_about_the_literature_has_its_verdict_from_there():
    judged = judge(claim(parts=(), by_literature=FAILS, reason="by a paper"), Evidence("digits", None))
    assert (judged.verdict, judged.reason) == (FAILS, "by a paper")


def test_without_results_a_claim_is_not_computed():
    from_files = claim(parts=(part(measure=lambda e: exactly(float(len(e.table("sgd"))))),))
    judged = judge(from_files, Evidence("digits", None))
    assert judged == Judgement(NOT_TESTED, reason=NOT_COMPUTED)


def test_stale_results_are_not_used(tmp_path, small_run):
    run_all([small_run()], results=tmp_path / "sgd.csv")
    from_files = claim(parts=(part(measure=lambda e: exactly(float(len(e.table("sgd"))))),))
    assert judge(from_files, Evidence("digits", tmp_path)).verdict == HOLDS
    stale = judge(from_files, Evidence("digits", tmp_path, lambda path: "is too old"))
    assert stale == Judgement(NOT_TESTED, reason="its results are stale: sgd.csv is too old")


def test_a_claim_is_measured_but_not_judged_where_it_does_not_apply():
    judged = judge(claim(not_on={"digits": "a reason"}), Evidence("digits", None))
    assert (judged.verdict, judged.reason) == (NOT_TESTED, "a reason")
    assert judged.numbers[0].interval == exactly(1.0)
    assert judge(claim(not_on={"digits": "a reason"}), Evidence("mnist", None)).verdict == HOLDS


# ---- the gate ----


@pytest.mark.parametrize(
    ("broken", "judgement", "sentence"),
    [
        ({}, Judgement("", (ONE,)), "claim 1 has no verdict on digits."),
        ({}, Judgement("perhaps", (ONE,)), "claim 1 has no verdict on digits."),
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
    twice = (claim(), {"digits": Judgement(HOLDS, (ONE,), (HOLDS,))})
    with pytest.raises(InputError, match=r"claim 1 is there 2 times\."):
        check_complete([twice, twice])


def run_page(monkeypatch, claims):
    """Run the cells of the ledger up to its gate, with other claims."""
    monkeypatch.setattr(ledger, "CLAIMS", claims)
    monkeypatch.setattr(ledger, "OWN_CLAIMS", ())
    monkeypatch.chdir(ROOT)
    namespace = {}
    for cell in nbformat.read(ROOT / "book" / "ledger.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, namespace)
            if "check_complete(" in cell.source:
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
    assert computed == {"2e", "13a", "13c", "13d", "13g", "13h", "13i"}  # which need no results


def test_every_figure_that_a_claim_names_is_in_the_book():
    chapters = "".join(p.read_text() for p in (ROOT / "book").rglob("*.ipynb"))
    shown = set(re.findall(r'name=\\"(fig-[\w-]+)\\"', chapters))
    assert {c.figure for c in ledger.CLAIMS if c.figure} <= shown


def test_entries_state_the_rule_before_the_numbers():
    none = dict.fromkeys(ledger.DATASETS, Judgement(NOT_TESTED, reason=NOT_COMPUTED))
    for made, judgements in [(c, none) for c in ledger.CLAIMS]:
        text = ledger.entry(made, judgements)
        assert f"\n(claim-{made.id})=\n" in text
        if made.parts:
            assert text.index("**Rule:**") < text.index("**On the digits:")
            assert all(f"{p.what}: {p.range}" in text for p in made.parts)


def test_an_entry_takes_the_datasets_together_where_both_were_tested():
    holds, fails = (Judgement(verdict, (ONE,), (verdict,)) for verdict in (HOLDS, FAILS))
    both = ledger.entry(claim(), {"digits": holds, "mnist": fails})
    assert "**Taken together: the datasets disagree**" in both
    one = ledger.entry(claim(), {"digits": holds, "mnist": Judgement(NOT_TESTED, reason=NOT_COMPUTED)})
    assert "Taken together" not in one


def test_the_tally_counts_every_claim_once_for_each_dataset():
    judged = [
        (claim(), {"digits": Judgement(HOLDS), "mnist": Judgement(NOT_TESTED, reason=NOT_COMPUTED)}),
        (claim(), {"digits": Judgement(FAILS), "mnist": Judgement(UNDECIDED)}),
        (claim(), {"digits": Judgement(FAILS), "mnist": Judgement(UNDECIDED)}),
    ]
    text = ledger.tally(judged)
    assert re.findall(r'aria-label="([^"]*)"', text) == [
        "holds: 1, does not hold: 2",
        "undecided: 2, not tested: 1",
    ]
    widths = [float(width) for width in re.findall(r'width="([\d.]+)%" height="14"/>', text)]
    assert sum(widths) == pytest.approx(200, abs=0.1)


def test_a_verdict_has_a_shape_and_says_what_it_is():
    looks = [ledger.chip(Judgement(verdict)) for verdict in VERDICTS]
    assert len({re.search(r"dfa-chip (dfa-\w+)", look)[1] for look in looks}) == len(VERDICTS)
    css = (ROOT / "book" / "_static" / "figures.css").read_text()
    for look in ledger.LOOKS.values():
        assert f".dfa-{look} {{" in css
    script = (ROOT / "book" / "_static" / "ledger.mjs").read_text()
    named = re.search(r"const verdicts = \{(.*?)\}", script)[1]
    assert dict(re.findall(r'(\w+): "([\w ]+)"', named)) == {
        look: verdict for verdict, look in ledger.LOOKS.items()
    }


@pytest.mark.parametrize(
    ("bounds", "interval", "inside"),
    [
        ({"above": 0.0}, Interval(0.1, 0.05, 0.15, 3), True),
        ({"above": 0.0}, Interval(-0.1, -0.15, -0.05, 3), False),
        ({"below": 0.5}, Interval(0.1, 0.05, 0.15, 3), True),
        ({"above": -0.03, "below": 0.03}, Interval(0.01, -0.01, 0.02, 3), True),
        ({"above": -0.03, "below": 0.03}, Interval(0.9, 0.8, 1.0, 3), False),
    ],
)
def test_the_picture_has_an_interval_in_its_band_just_where_the_claim_holds(bounds, interval, inside):
    made = replace(claim(), parts=(part(**({"above": -math.inf} | bounds)),))
    judgement = Judgement(HOLDS if inside else FAILS, (Number(interval),), (HOLDS,))
    none = Judgement(NOT_TESTED, reason=NOT_COMPUTED)
    svg = ledger.picture(made, {"digits": judgement, "mnist": none})
    x, width = map(
        float, re.search(r'class="dfa-range" x="([\d.]+)" y="1" width="([\d.]+)"', svg).groups()
    )
    low, high = map(float, re.search(r"M([\d.]+) [\d.]+H([\d.]+)", svg).groups())
    assert (x <= low and high <= x + width) is inside
    assert 0 <= low < high <= ledger.PICTURE_WIDTH
    assert ledger.picture(made, {"digits": none, "mnist": none}) == ""


def test_a_table_of_claims_has_numbers_in_points_and_links_to_entries():
    judged = ledger.judge_all(ledger.CLAIMS, {d: Evidence(d, None) for d in ledger.DATASETS})
    mnist = ledger.judge_all(
        ledger.CLAIMS,
        {"digits": Evidence("digits", None), "mnist": Evidence("mnist", ROOT / "results" / "mnist")},
    )
    assert "not computed" in ledger.verdict_table(judged, ledger.HEADLINES)
    text = plain(ledger.verdict_table(mnist, [*ledger.HEADLINES, *ledger.SUMMED_UP], "ledger.html"))
    assert "7.9 points (7.1 to 8.6)" in text
    assert '<a href="ledger.html#claim-3b">3b</a>' in text
    assert not re.search(r"[ (]-\d", text)


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
    assert judged.numbers[0].interval.mean == pytest.approx(expected, abs=1e-12)
    assert judged.numbers[0].interval.n == 2
    assert judged.experiments == {"sgd"}
    assert judge(lag, Evidence("mnist", tmp_path)).reason == NOT_COMPUTED


# ---- numbers, by hand ----


def mean_of(measure, evidence):
    return measure(evidence).values.mean()


def test_share_of_epochs_by_hand():
    sgd = runs(method="bp", optimizer="sgd", test_accuracy=lambda s, e: 0.5 + 0.05 * e)  # to 0.7
    adam = runs(
        method="bp",
        optimizer="adam",
        # Seed 0 is there at epoch 2 of 4, seed 1 never.
        test_accuracy=lambda s, e: 0.6 if s or e < 2 else 0.75,
    )
    evidence = with_tables(adaptive_methods=pd.concat([sgd, adam]))
    share = measures.share_of_epochs("bp", "adam")
    assert mean_of(share, evidence) == pytest.approx((2 / 4 + 5 / 4) / 2)


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
        for o in measures.ADAPTIVE
    )
    ratio = measures.spread_ratio(with_tables(adaptive_methods=table)).interval
    # 97.5 % of F with 8 and 8 degrees of freedom: 4.43326.
    assert ratio.mean == pytest.approx(3)
    assert (ratio.low, ratio.high) == pytest.approx((3 / 4.43326**0.5, 3 * 4.43326**0.5), rel=1e-4)


TUNED = {"k": 3, "samples": 9, "test_samples": 9, "hidden": 9, "activation": "relu", "batch_size": 9}


def tuning(method, scores, optimizer="sgd", chosen=0.2, gap=0.0, loss=0.5, seeds=3):
    """Runs at some rates, each a little better with each seed, and the run at the chosen rate."""
    fields = TUNED | {"method": method, "optimizer": optimizer, "feedback": "uniform"}
    tried = pd.concat(
        runs(
            **fields,
            seeds=seeds,
            learning_rate=rate,
            evaluate_on="validation",
            test_accuracy=lambda s, e, score=score: score + 0.01 * s,
            train_accuracy=lambda s, e, score=score, rate=rate: score + 0.01 * s + gap * (rate > chosen),
            train_loss=lambda s, e, rate=rate: loss + (-1) ** e * rate,
        )
        for rate, score in scores.items()
    )
    return runs(**fields, learning_rate=chosen, test_accuracy=0.8), tried


def test_a_chosen_rate_is_compared_with_the_next_ones_that_share_a_seed():
    table, some = tuning("dfa", {0.14: 0.7, 0.2: 0.8, 0.3: 0.5})
    other = tuning("dfa", {0.19: 0.1}, seeds=1)[1].assign(seed=7)
    evidence = with_tables(adaptive_methods=table, tuning=pd.concat([some, other]))
    found = measures.tuned(evidence, "dfa", "sgd")
    assert (found.beside(-1), found.beside(1)) == (0.14, 0.3)
    lost = measures.lost_beside(found)
    assert lost.values.to_dict() == pytest.approx(dict.fromkeys(range(3), 0.8 - (0.7 + 0.5) / 2))


def test_sensitivity_is_paired_by_the_seeds_of_the_tuning():
    tables = [
        tuning("dfa", {0.1: 0.6, 0.2: 0.8, 0.5: 0.5}),
        tuning("bp", {0.1: 0.75, 0.2: 0.8, 0.5: 0.8}),
    ]
    evidence = with_tables(
        adaptive_methods=pd.concat(t[0] for t in tables), tuning=pd.concat(t[1] for t in tables)
    )
    part = next(c for c in ledger.CLAIMS if c.id == "7a").parts[0]
    number = part.number(evidence)
    assert number.interval.n == 3
    assert number.interval.mean == pytest.approx(0.25 - 0.025)
    assert part.verdict(number.interval) == HOLDS


def test_overfitting_needs_a_gap_between_training_and_validation():
    table, tried = tuning("dfa", {0.1: 0.6, 0.2: 0.8, 0.5: 0.5}, gap=0.1)
    evidence = with_tables(adaptive_methods=table, tuning=tried)
    assert mean_of(measures.by_tuning(measures.overfitting, "dfa"), evidence) == pytest.approx(0.1)
    table, tried = tuning("dfa", {0.1: 0.6, 0.2: 0.8, 0.5: 0.5}, gap=0.0)
    evidence = with_tables(adaptive_methods=table, tuning=tried)
    claim_7b = next(c for c in ledger.CLAIMS if c.id == "7b")
    assert judge(claim_7b, evidence).verdicts == (HOLDS, FAILS)  # accuracy is lost, and not by a gap


def test_adadelta_without_tuning_is_compared_by_the_seeds_of_the_tuning():
    table, tried = tuning("bp", {0.5: 0.78, 1.0: 0.77}, "adadelta", chosen=0.5)
    lost = measures.by_tuning(measures.lost_at_rate_1, "bp", "adadelta")(
        with_tables(adaptive_methods=table, tuning=tried)
    )
    assert lost.values.to_dict() == pytest.approx(dict.fromkeys(range(3), 0.01))


def test_fluctuation_by_hand():
    # The loss jumps by twice the rate from epoch to epoch.
    table, tried = tuning("bp", {0.1: 0.6, 0.2: 0.8, 0.5: 0.5})
    jumps = measures.by_tuning(measures.fluctuation, "bp")(
        with_tables(adaptive_methods=table, tuning=tried)
    )
    assert jumps.values.to_list() == pytest.approx([2.5] * 3)


def test_low_rates_are_taken_over_the_random_matrices():
    table, tried = tuning("dfa", {0.1: 0.6, 0.2: 0.8, 0.5: 0.5})
    both = [(t.assign(feedback=k)) for k in measures.MATRICES for t in (table, tried)]
    evidence = with_tables(random_matrices=pd.concat(both[::2]), tuning=pd.concat(both[1::2]))
    lost = measures.at_the_lowest_rate(measures.lost_at_the_lowest)(evidence)
    assert lost.values.tolist() == pytest.approx([0.2] * 4)


def test_a_rate_that_was_not_finite_has_the_score_of_chance():
    table, tried = tuning("dfa", {0.1: 0.6, 0.2: 0.8, 0.5: NAN})
    evidence = with_tables(adaptive_methods=table, tuning=tried)
    assert measures.tuned(evidence, "dfa", "sgd").score(0.5).values.tolist() == [0.5] * 3


def test_rates_apart_are_known_to_half_the_way_to_the_next_rate():
    rates = dict(zip(("uniform", "standard_uniform", "gaussian", "standard_gaussian"),
                     (0.2, 0.002, 0.1, 0.05), strict=True))  # fmt: skip
    fields = TUNED | {"method": "dfa", "optimizer": "sgd"}
    table = pd.concat(
        runs(**fields, feedback=k, learning_rate=r, test_accuracy=0.6) for k, r in rates.items()
    )
    tried = pd.concat(
        runs(**fields, feedback=k, learning_rate=r * f, evaluate_on="validation", test_accuracy=0.6)
        for k, r in rates.items()
        for f in (0.5, 1.0, 2.0)
    )
    factor = measures.rates_apart(with_tables(random_matrices=table, tuning=tried))
    assert factor == pytest.approx((100, 50, 200, 4))
    assert next(c for c in ledger.CLAIMS if c.id == "6b").parts[0].verdict(factor) == HOLDS


def test_alignment_before_accuracy_by_hand():
    table = runs(
        method="dfa",
        optimizer="sgd",
        epochs=10,
        weight_alignment=lambda s, e: 0.1 * e,  # half of 1.0 at epoch 5
        test_accuracy=lambda s, e: 0.5 if e < 8 + s else 0.7,  # half way at epoch 8, or 9
    )
    assert mean_of(measures.alignment_before_accuracy(), with_tables(alignment=table)) == -3.5


def test_a_run_that_falls_back_keeps_its_half_way_marks():
    curves = pd.DataFrame({0: [0.5, 0.6, 0.7, 0.7], 1: [0.5, 0.6, 0.7, 0.5], 2: [0.5, 0.51, 0.5, 0.5]})
    marks = measures.half_way(curves, 0.5, least=0.55)
    assert marks[0] == marks[1]
    assert math.isnan(marks[2])  # never learned: no mark


def test_downhill_looks_at_the_way_between():
    table = runs(
        method="dfa",
        optimizer="sgd",
        epochs=3,
        gradient_alignment=lambda s, e: {1: 0.2, 2: -0.3, 3: 0.6}[e] + 0.01 * s,
    )
    downhill = next(c for c in ledger.CLAIMS if c.id == "5e")
    judged = judge(downhill, with_tables(alignment=table))
    assert judged.verdicts == (HOLDS, FAILS, HOLDS)


def test_the_control_of_the_long_run_is_used_when_it_is_there():
    long_dfa = runs(method="dfa", optimizer="sgd", test_accuracy=lambda s, e: 0.73 + 0.001 * s)
    long_bp = runs(method="bp", optimizer="sgd", test_accuracy=lambda s, e: 0.80 + 0.001 * s)
    control = next(c for c in ledger.CLAIMS if c.id == "4b")
    assert judge(control, with_tables(alignment=long_dfa)).reason == NOT_COMPUTED
    assert judge(control, with_tables(alignment=pd.concat([long_dfa, long_bp]))).verdict == FAILS


def test_the_best_lazy_method_is_the_one_with_the_highest_mean():
    means = dict(zip(measures.LAZY, (0.52, 0.53, 0.51, 0.54, 0.50), strict=True))
    table = pd.concat(
        runs(k=3, method=m, test_accuracy=lambda s, e, a=a: a + 0.01 * s) for m, a in means.items()
    )
    best = measures.best_lazy(3)(with_tables(reproduction=table))
    assert list(best.values) == pytest.approx([0.54, 0.55])


def test_mistakes_are_compared_by_their_ratio():
    table = pd.concat(
        runs(k=1, method=m, test_accuracy=lambda s, e, a=a: 1 - a * (1 + s))
        for m, a in (("bp", 0.010), ("dfa", 0.012))
    )
    simple = next(c for c in ledger.CLAIMS if c.id == "3c")
    judged = judge(simple, with_tables(sgd=table))
    assert judged.numbers[0].interval.mean == pytest.approx(1.2)
    perfect = measures.errors(measures.final("sgd", k=1, method="bp"))
    none = runs(k=1, method="bp", test_accuracy=1.0)
    assert perfect(with_tables(sgd=none)).values.tolist() == [0.5 / 10_000] * 2


def test_clusters_rise_from_the_smallest_to_the_largest():
    table = pd.concat(
        runs(method="bp", optimizer="sgd", samples=n, test_accuracy=a)
        for n, a in ((32, 0.6), (64, 0.9), (256, 0.8))
    )
    evidence = with_tables(clusters_samples=table)
    assert mean_of(measures.rise("clusters_samples", "bp", "samples"), evidence) == pytest.approx(-0.2)
    errors = measures.error("clusters_samples", "bp")(evidence)
    assert list(errors.values) == pytest.approx([0.7 / 3] * 2)


def test_backpropagation_vanishes_in_depth_and_direct_feedback_does_not():
    bp = measures.signals(backpropagation, "tanh", 192, 0)
    dfa = measures.signals(direct_feedback_alignment, "tanh", 192, 0)
    assert bp[-1] == dfa[-1] == 1
    assert bp[0] < 0.05 < 0.5 < dfa[0]
    # Layer by layer, the signal shrinks by about 1/√3.
    assert (bp[0] / bp[-1]) ** (1 / 7) == pytest.approx(3**-0.5, abs=0.06)


def test_backpropagation_explodes_in_depth_where_weights_are_large():
    large = thesis_claims.LARGE
    assert measures.signals(backpropagation, "relu", 192, 0, large)[0] > 2
    assert measures.signals(direct_feedback_alignment, "relu", 192, 0, large)[0] < 2


def test_a_wide_network_fits_with_parameters_that_barely_move():
    assert measures.movement(1_024, 0) < 0.1 < measures.movement(64, 0)


def test_kolen_pollack_needs_weights_that_move():
    assert measures.fitted("W2 B1", 0) == 1
    assert measures.fitted("B1", 0) < 0.8


# ---- which came first ----


def git(*arguments):
    found = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() if found.returncode == 0 else None


needs_history = pytest.mark.skipif(
    shutil.which("git") is None or git("cat-file", "-e", "9a882f9^{commit}") is None,
    reason="needs the repository's history",
)


@needs_history
def test_dates_of_rules_and_results_are_those_of_git():
    for commit in {
        *(c.rule_since for c in (*ledger.CLAIMS, *ledger.OWN_CLAIMS) if c.rule_since),
        *(commit for each in thesis_claims.FIRST_RESULTS.values() for commit in each.values()),
    }:
        date = git("show", "-s", "--format=%ad", "--date=format-local:%Y-%m-%d %H:%M", commit.hash)
        assert date == commit.date, commit
        assert git("merge-base", "--is-ancestor", commit.hash, "HEAD") is not None, commit


@needs_history
def test_own_rules_were_there_in_words_before_their_first_results():
    for made in ledger.OWN_CLAIMS:
        names = {"15": "edge", "16": "align", "17": "depth", "18": "rich", "19": "hard"}
        experiment = names[made.id[:-1]]
        text = git("show", f"{made.rule_since.hash}:dfa_book/{experiment}.py")
        by_id = experiment in ("align", "rich", "hard")
        number = made.id if by_id else 1 + "abcdefgh".index(made.id[-1])
        rule = re.search(rf"^#? ?{number}\. (.*(?:\n#? +.*)*)", text, flags=re.MULTILINE)[1]
        for bound in (end for part in made.parts for end in (part.above, part.below)):
            either = f"{100 * bound:.0f} %" in rule or f" {bound:g}" in rule
            written = math.isinf(bound) or either or f"within\n#    {-bound:g} of" in rule
            assert bound == 0 or written
        assert made.rule_since.date < thesis_claims.FIRST_RESULTS["digits"][experiment].date


@needs_history
def test_rules_were_there_at_the_commit_that_they_name():
    for made in ledger.CLAIMS:
        if made.rule_since is None:
            continue
        files = (
            "dfa_lib/publishing/ledger.py",
            "dfa_lib/publishing/thesis_claims.py",
            "dfa_book/claims/thesis_claims.py",
        )
        text = "".join(git("show", f"{made.rule_since.hash}:{file}") or "" for file in files)
        assert f'"{made.id}"' in text, made.id


@needs_history
def test_results_were_first_there_at_the_commit_that_they_name():
    for experiment, commit in thesis_claims.FIRST_RESULTS["mnist"].items():
        path = f"results/mnist/{experiment}.csv"
        added = git("log", "--diff-filter=A", "--format=%h", "--follow", "--", path).split()
        assert commit.hash == added[-1], experiment


def test_a_rule_is_said_to_come_first_only_where_it_did():
    first = thesis_claims.FIRST
    late = Judgement(HOLDS, (ONE,), (HOLDS,), experiments=frozenset(["random_matrices"]))
    early = Judgement(HOLDS, (ONE,), (HOLDS,), experiments=frozenset(["random_matrices", "sgd"]))
    made = claim(rule_since=first)
    assert ledger.rule_came_first(made, late, "mnist") is True
    assert ledger.rule_came_first(made, early, "mnist") is False
    assert ledger.rule_came_first(made, late, "digits") is False
    assert ledger.rule_came_first(made, Judgement(HOLDS), "mnist") is None
    evidence = Evidence("mnist", None)
    assert "stated before the first result" in ledger.which_came_first(made, late, evidence)
    assert "stated after the first result" in ledger.which_came_first(made, early, evidence)


def test_the_pages_evidence_is_this_editions_and_the_other_editions(tmp_path, monkeypatch):
    from dfa_book.chapter import check_parameters

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
