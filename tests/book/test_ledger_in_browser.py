"""The ledger's rows in a real browser: what a link opens, and what the filters hide."""

import re
from pathlib import Path

import pytest
from pages import wait_until

from dfa_book.claims import ledger
from dfa_book.claims.judge import (
    FAILS,
    HOLDS,
    NOT_COMPUTED,
    NOT_TESTED,
    Claim,
    Judgement,
    Number,
    Part,
    exactly,
)

STATIC = Path(__file__).parents[2] / "book" / "_static"
NONE = Judgement(NOT_TESTED, reason=NOT_COMPUTED)


def judged(verdict):
    return Judgement(verdict, (Number(exactly(1.0)),), (verdict,))


def rows():
    part = Part("a number", lambda _: exactly(1.0), above=0.0)
    for id, digits, mnist in (("1", HOLDS, FAILS), ("2", FAILS, FAILS), ("3", HOLDS, None)):
        claim = Claim(id, f"Claim {id}.", "section 1", "fig", (part,))
        yield ledger.entry(
            claim, {"digits": judged(digits), "mnist": NONE if mnist is None else judged(mnist)}
        )


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    # As Sphinx does: the label becomes the id of the paragraph below it.
    html = re.sub(r"\((claim-\w+)\)=\n(.*)", r'<p id="\1">\2</p>', "\n".join(rows()))
    path = tmp_path_factory.mktemp("page") / "ledger.html"
    path.write_text(
        '<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" href="{STATIC.as_uri()}/figures.css">'
        f'<script defer src="{STATIC.as_uri()}/ledger.mjs"></script></head>'
        f'<body><a href="#claim-1">one</a>{html}</body></html>',
        encoding="utf-8",
    )
    return path.as_uri()


def unfolded(page):
    return page.eval_on_selector_all(
        "details[open] summary > b", "elements => elements.map((e) => e.textContent)"
    )


def shown(page):
    return [row.inner_text() for row in page.locator("summary > b").all() if row.is_visible()]


@pytest.mark.parametrize("scripts", [True, False])
def test_a_link_to_a_claim_unfolds_its_row(visit, scripts):
    page = visit("#claim-2", java_script_enabled=scripts)
    if scripts:
        assert unfolded(page) == ["2"]
    assert page.locator("#claim-2").is_visible()
    assert not page.locator("#claim-1").is_visible()


def test_a_second_click_on_a_link_unfolds_the_row_again(visit):
    page = visit()
    for _ in range(2):
        page.get_by_role("link", name="one").click()
        wait_until(page, "document.querySelector('details').open")
        page.locator("summary").first.click()
        assert unfolded(page) == []


def test_rows_are_filtered_by_their_verdicts(visit):
    page = visit()
    page.get_by_label("On the digits").select_option("holds")
    assert shown(page) == ["1", "3"]
    assert page.locator("output").inner_text() == "2 of 3 claims"
    page.get_by_label("On MNIST").select_option("does not hold")
    assert shown(page) == ["1"]
    page.get_by_label("On the digits").select_option("any verdict")
    assert shown(page) == ["1", "2"]


def test_without_scripts_there_are_all_rows_and_no_filters(visit):
    page = visit(java_script_enabled=False)
    assert shown(page) == ["1", "2", "3"]
    assert page.locator("select").count() == 0


def test_a_verdict_and_an_interval_can_be_seen_on_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844})
    assert page.locator(".dfa-chip").first.is_visible()
    assert page.locator(".dfa-intervals").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
