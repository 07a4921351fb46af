"""The strip of dropdowns below a figure: its MyST in a chapter, and its look on the built page.

Imports nothing heavy, because Sphinx's process imports it.
"""

from collections.abc import Iterable

from bs4 import BeautifulSoup

STRIP, FOLD, MADE = "dfa-strip", "dfa-fold", "dfa-provenance"

Rows = list[tuple[str, list[str]]]
"""Terms of a definition list, each with its texts."""


def strip_of(dropdowns: Iterable[tuple[str, str, Rows]]) -> str:
    """Return a strip as MyST; each dropdown has a title, a class and its rows."""
    text = "\n".join(_dropdown(*dropdown) for dropdown in dropdowns)
    return f"::::{{container}} {STRIP}\n{text}\n::::"


def _dropdown(title: str, kind: str, rows: Rows) -> str:
    terms = "\n\n".join(f"{term}\n" + "\n".join(f": {text}" for text in texts) for term, texts in rows)
    return f":::{{dropdown}} {title}\n:class-container: {kind}\n\n{terms}\n:::"


def lay_out_strips(page: BeautifulSoup) -> None:
    """Give strips dropdowns without the theme's look, and the figure's code where the page folds it."""
    for strip in page.select(f"div.{STRIP}"):
        cell = strip.find_previous_sibling("div")
        code = cell.select_one(":scope > details.hide") if cell is not None else None
        if code is not None:
            strip.insert(0, code.extract())
        for fold in strip.find_all("details", recursive=False):
            assert fold.summary is not None
            fold.summary.string = "Code" if fold is code else fold.summary.get_text().strip()
            del fold.summary["class"]
            fold["class"] = MADE if MADE in fold.get_attribute_list("class") else FOLD
