import ast
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from dfa_book import answers
from dfa_book.chapter import check_parameters
from dfa_book.claims import ledger
from dfa_book.claims.judge import (
    NOT_TESTED,
    VERDICTS,
    Evidence,
    judge,
)
from dfa_book.claims.queries import Sample
from dfa_book.studies import Study
from dfa_book.words import SPACE
from dfa_lib import InputError
from dfa_lib.experiments.results import read_results
from dfa_lib.experiments.statistics import with_outcomes

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book").rglob("*.ipynb"))


def seeds(*values, unstable=()):
    return Sample(pd.Series(values, dtype=float), frozenset(unstable))


@pytest.fixture(scope="module")
def mnist():
    return Evidence("mnist", ROOT / "results" / "mnist")


def code(path):
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def shown_on(path):
    """The claims whose verdicts a page shows."""
    named = {"verdict_on", "verdicts"}
    calls = [
        node
        for node in ast.walk(ast.parse(code(path)))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in named
    ]
    constants = (n for call in calls for n in ast.walk(call) if isinstance(n, ast.Constant))
    groups = {
        n.value for n in constants if isinstance(n.value, str) and re.fullmatch(r"\d+[a-z]?", n.value)
    }
    return set(answers.named(*groups))


def test_chapters_show_verdicts_and_these_are_claims_of_the_ledger():
    shown = {path.stem: shown_on(path) for path in CHAPTERS}
    assert len(shown["experiments"]) > 30
    assert shown["learning-problems"] >= {"1a", "2b", "11c"}
    assert shown["appendix-representations"] == {"10a", "10b", "10c"}
    known = {claim.id for claim in (*ledger.CLAIMS, *ledger.OWN_CLAIMS)}
    assert set().union(*shown.values()) <= known


def test_no_page_contradicts_the_ledger(mnist):
    # The entry of the ledger and the sentence of a page have the same verdict and the same number.
    none = Evidence("digits", None)
    for id in sorted(set().union(*(shown_on(path) for path in CHAPTERS))):
        claim = next(c for c in (*ledger.CLAIMS, *ledger.OWN_CLAIMS) if c.id == id)
        here = judge(claim, mnist)
        page = answers.verdicts(mnist, id).text
        if here.verdict == NOT_TESTED:
            assert here.reason in page
            assert "not tested" in page or "not computed" in page
            continue
        entry = ledger.entry(claim, {"mnist": here, "digits": judge(claim, none)})
        verdict = re.search(r"\*\*On MNIST: (.*?)\*\*", entry)[1]
        assert f"**{verdict}" in page
        assert verdict in answers.verdict_on(id, mnist)
        if len(here.numbers) == 1:
            number = claim.parts[0].in_words(here.numbers[0])
            assert number in page
            assert number in entry
            assert number in answers.verdict_on(id, mnist)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_page_has_a_judge_of_its_own(path):
    own = ("found here too", "not decided here", "not found here", "the other way round")
    assert not [words for words in own if words in code(path)]
    assert not re.findall(r"^def (?:found|compared|agreement)\(", code(path), re.MULTILINE)


def test_a_page_that_contradicts_the_ledger_is_found(mnist):
    ids = ["2a", "3b", "6a", "9b", "12b", "4b"]
    none = Evidence("digits", None)
    claims = [c for c in ledger.CLAIMS if c.id in ids]
    entries = "\n\n".join(
        ledger.entry(c, {"mnist": judge(c, mnist), "digits": judge(c, none)}) for c in claims
    )
    page = answers.verdicts(mnist, *ids).text
    assert answers.contradictions({"a page": page}, entries) == []
    for said in ("3b", "6a"):
        line = next(line for line in page.split("\n") if f"<claim-{said}>" in line)
        instead = "**does not hold**" if "**holds**" in line else "**holds**"
        changed = page.replace(line, re.sub(r"\*\*.*?\*\*", instead, line))
        (wrong,) = answers.contradictions({"a page": changed}, entries)
        assert wrong.startswith(f"a page says of claim {said} what the ledger does not")
    other_number = page.replace("7.9", "8.0")
    assert other_number != page
    assert len(answers.contradictions({"a page": other_number}, entries)) == 1
    assert len(answers.contradictions({"a page": page}, "")) == len(ids)


def test_tables_that_a_chapter_does_not_keep_are_judged_as_files_are(mnist):
    settings = check_parameters({"profile": "mnist"})
    table = with_outcomes(read_results(ROOT / "results" / "mnist" / "sgd.csv"))
    from_memory = answers.chapter_evidence(settings, Study("sgd", [], table, table))
    assert from_memory.folder is None
    assert answers.verdict_on("3b", from_memory) == answers.verdict_on("3b", mnist)
    assert "not computed in this build" in answers.verdict_on("9c", from_memory)


def test_a_verdict_says_what_would_decide_it(mnist):
    said = plain(answers.verdict_on("12b", mnist))
    assert re.search(r"\d+ of 60 seeds unstable; without them .* more seeds at this rate", said)


def test_a_claim_that_is_not_there_is_refused(mnist):
    with pytest.raises(InputError, match="99z"):
        answers.verdict_on("99z", mnist)


def test_a_number_is_the_only_verdict_that_stands_alone(mnist):
    for claim in ledger.CLAIMS:
        if claim.parts and claim.id in ("3b", "8a", "12b"):
            assert any(verdict in answers.verdict_on(claim.id, mnist) for verdict in VERDICTS)


# ---- comparisons ----


def plain(text):
    """The text with ordinary spaces."""
    return text.replace(SPACE, " ")


def test_a_comparison_says_who_is_ahead_by_how_many_points():
    bp, dfa = seeds(0.80, 0.81, 0.79), seeds(0.70, 0.72, 0.68)
    assert plain(answers.compared("BP", "DFA", bp, dfa)) == (
        "BP gets 80.0 % right, 10.0 points more than DFA (7.5 to 12.5)."
    )
    assert plain(answers.compared("DFA", "BP", dfa, bp)) == (
        "DFA gets 70.0 % right, 10.0 points less than BP (7.5 to 12.5)."
    )


def test_a_comparison_that_does_not_decide_says_so():
    assert plain(answers.compared("A", "B", seeds(0.7, 0.6, 0.8), seeds(0.7, 0.7, 0.7), "wrong")) == (
        "A gets 70.0 % wrong and B 70.0 %; the difference may be chance (−24.8 to 24.8 points)."
    )
    assert plain(answers.compared("A", "B", seeds(0.7), seeds(0.6))) == (
        "A gets 70.0 % right and B 60.0 %, in the one seed of this edition."
    )
    assert "not finite" in answers.compared("A", "B", seeds(float("nan"), 0.1), seeds(0.1, 0.1))
    assert "no seeds in common" in answers.compared("A", "B", seeds(), seeds(0.1))


def test_a_comparison_says_how_many_seeds_are_unstable():
    text = answers.compared("A", "B", seeds(0.8, 0.8, 0.5, unstable=[2]), seeds(0.7, 0.71, 0.7))
    assert plain(text).endswith(
        "; 1 of 3 seeds is unstable, and the difference over the other 2 is 9.5 points."
    )


def test_lags_are_sorted_by_their_intervals():
    gaps = {
        "SGD": seeds(0.1, 0.11, 0.09),
        "Adam": seeds(0.01, -0.01, 0.0),
        "momentum": seeds(0.1, 0.11, -0.2, unstable=[2]),
    }
    assert answers.lags("DFA", "BP", gaps) == (
        "DFA lags behind BP with SGD. The difference between DFA and BP may be chance with Adam and "
        "momentum (1 of 3 seeds unstable)."
    )


def test_stability_has_the_exact_interval_of_a_share():
    assert answers.stability(seeds(0.7, 0.7)) == "None of the 2 seeds is unstable."
    text = plain(answers.stability(seeds(0.7, 0.5, 0.7, unstable=[1])))
    assert text.startswith("1 of 3 seeds is unstable (exact 95 % interval of the share: 1 to 91 %)")
    assert text.endswith("the training loss ends above that of chance.")


def test_the_outcome_follows_from_the_verdicts(mnist):
    shown = answers.which_outcome(mnist).values["outcome"]
    assert shown == "This edition shows the second: DFA learns, and lags behind BP."
    none = answers.which_outcome(Evidence("digits", None)).values["outcome"]
    assert none == "This edition does not decide between the three outcomes."


def test_a_group_of_claims_is_named_by_its_number():
    assert answers.named("9") == ["9a", "9b", "9c"]
    assert answers.named("4", "9b") == ["4", "4b", "9b"]
    with pytest.raises(InputError, match="99"):
        answers.named("99")
