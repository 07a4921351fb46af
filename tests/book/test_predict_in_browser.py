"""A reader chooses what a figure will show, then sees it; in a real browser."""

import json
import re
from html import escape
from pathlib import Path

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

from dfa_book.site.policy import policy

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "book" / "_static"
# As Sphinx writes a box and a figure.
BOX = """\
<div class="dfa-predict admonition"><p class="admonition-title">Predict first</p>
<p>Which will be <em>ahead</em>?</p>
<ol><li><p>This one.</p></li><li><p>That one.</p></li></ol></div>
<figure id="fig-{0}"><a href="#fig-{0}">A picture</a><div class="dfa-figure"><div class="dfa-panel">
<div class="dfa-drawing" data-readings="{1}"></div></div></div>
<figcaption id="caption-{0}">What is seen.</figcaption></figure>
<div class="cell"><div class="cell_output"><p><strong>Answer.</strong> Of {0}.</p></div></div>
<table><tr><th>Number</th><td>among numbers of {0}</td></tr></table>
<section><h2>Below {0}</h2><p>What comes next.</p></section>
"""


READINGS = {
    "name": "a panel", "x": ["1", "2"], "at": [0, 100], "lines": {}, "rows": False, "start": 0,
    "left": 0, "right": 100, "top": 0, "bottom": 100,
}  # fmt: skip


def box(name):
    return BOX.format(name, escape(json.dumps(READINGS)))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    for name in ("predict.mjs", "figures.js"):  # a page has both
        (path.parent / name).write_bytes((STATIC / name).read_bytes())
    css = (STATIC / "dfa.css").read_text(encoding="utf-8")
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>'
        f'<link rel="icon" href="data:,"><style>{css}</style>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy([])}">'
        '<script defer src="figures.js"></script><script defer src="predict.mjs"></script></head>'
        "<body><main><h1>A page</h1>"
        f"<figure><figcaption>Before.</figcaption></figure>{box('one')}{box('two')}</main></body></html>",
        encoding="utf-8",
    )
    return path.as_uri()


def covered(page):
    return page.eval_on_selector_all("figure", "all => all.map(one => getComputedStyle(one).visibility)")


def test_a_figure_is_covered_until_its_reader_has_chosen(visit):
    page = visit()
    assert covered(page) == ["visible", "hidden", "hidden"]
    group = page.get_by_role("group", name="Which will be ahead?").first
    group.get_by_label("That one.").check()
    assert covered(page) == ["visible", "hidden", "hidden"]
    group.get_by_role("button", name="Show the figure").click()
    assert covered(page) == ["visible", "visible", "hidden"]
    assert group.get_by_role("status").text_content() == "You expected: That one."
    group.get_by_role("button", name="Cover the figure").click()
    assert covered(page) == ["visible", "hidden", "hidden"]


def test_it_works_by_keyboard_and_skips_what_is_covered(visit):
    page = visit()
    focus = "document.activeElement.type || document.activeElement.tagName"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "button"
    page.keyboard.press("Tab")  # the button for all figures
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "radio"  # of the next box: the link in the covered figure is left out
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.get_by_role("status").first.text_content() == "You expected: That one."
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate(focus) == "A"


def test_the_answer_and_the_table_in_the_text_wait_with_their_figure(visit):
    page = visit()
    told = [
        page.get_by_text(re.compile(f"{what} {name}"))
        for name in ("one", "two")
        for what in ("Of", "numbers of")
    ]
    assert [text.is_visible() for text in told] == [False] * 4
    assert page.get_by_role("heading", name="Below").count() == 2  # another section: it stays
    page.get_by_role("button", name="Show the figure").first.click()
    assert [text.is_visible() for text in told] == [True, True, False, False]
    page.emulate_media(media="print")
    assert [text.is_visible() for text in told] == [True] * 4


def test_one_button_shows_all_figures_and_the_next_page_remembers_it(visit):
    page = visit()
    page.get_by_role("button", name="Show all figures").click()
    assert covered(page) == ["visible"] * 3
    page.reload()
    assert covered(page) == ["visible"] * 3
    page.get_by_role("button", name="Cover all figures").click()
    assert covered(page) == ["visible", "hidden", "hidden"]
    page.reload()
    assert covered(page) == ["visible", "hidden", "hidden"]


def test_programs_that_read_pages_aloud_are_told_what_there_is_and_not_what_is_covered(visit):
    page = visit()
    button = page.get_by_role("button").first
    assert button.get_attribute("aria-expanded") == "false"
    assert button.get_attribute("aria-controls") == "fig-one"
    assert page.get_by_role("figure").count() == 1
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    assert page.get_by_role("figure").count() == 2
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found] == []


def test_a_link_to_a_figure_uncovers_it(visit):
    page = visit("#caption-two")
    assert covered(page) == ["visible", "hidden", "visible"]
    page.evaluate("location.hash = '#fig-one'")
    page.wait_for_timeout(100)
    assert covered(page) == ["visible", "visible", "visible"]


def test_nothing_is_covered_on_paper_or_without_scripts(visit):
    page = visit()
    page.emulate_media(media="print")
    assert covered(page) == ["visible"] * 3
    assert not page.get_by_role("button").first.is_visible()
    plain = visit(java_script_enabled=False)
    assert plain.locator("figure").count() == 3
    assert all(plain.locator("figure").nth(i).is_visible() for i in range(3))
    assert plain.get_by_role("listitem").count() == 4


@pytest.mark.parametrize("chapter", ["learning-problems", "experiments"])
def test_every_figure_of_the_chapters_on_results_has_a_question_before_it(chapter):
    cells = nbformat.read(ROOT / "book" / f"{chapter}.ipynb", as_version=4).cells
    marks = re.compile(r':class: dfa-predict\n|show_figure\(name="fig-|_static/predict\.mjs')
    found = [mark for cell in cells for mark in marks.findall(cell.source)]
    found.remove("_static/predict.mjs")
    assert len(found) > 4
    assert found == [":class: dfa-predict\n", 'show_figure(name="fig-'] * (len(found) // 2)
