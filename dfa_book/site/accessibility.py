"""What the theme and its companions write into pages, put right for all readers.

Who hears a page, or goes through it by keyboard, needs names, roles and ids that are in order. Colours
and sizes are in ``_static/accessibility.css``; ``tests/test_browser.py`` looks at both in a browser.
"""

import re
from collections.abc import Container, Mapping
from os.path import normpath
from pathlib import Path

REPAIRS = (
    # A fold of the sidebar has an arrow in place of a name.
    (r'<summary>(?=<span class="toctree-toggle")', '<summary aria-label="Pages of this part">'),
    # The sidebar holds the book's title and the search, and so is a landmark beside its navigation.
    (r'<div id="pst-primary-sidebar"', r'\g<0> role="region" aria-label="Book"'),
    # Every proof, exercise and solution of a page has the same ids.
    (r' id="(?:proof|(?:proof|exercise|solution)-content)"', ""),
    # A signature's parameters are a list of definitions that define nothing.
    (r"<dl>\n((?:<dd><em class=\"sig-param\">.*</dd>\n)+)</dl>", r'<div class="sig-params">\n\1</div>'),
    (r"<dd>(<em class=\"sig-param\">.*)</dd>", r"<div>\1</div>"),
    # The bibliography is a list, and its entries have a role that is no more.
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # The index is laid out in tables that have no columns.
    (r'<table (?=style="width: 100%" class="indextable)', r'\g<0>role="presentation" '),
    # The source's first page lists what is Python's own.
    (r'<li><a href="builtins\.html">builtins</a></li>', ""),
)
HEADLESS = re.compile(r'<table class="table">\n<tbody>.*?</tbody>', re.DOTALL)
FIRST_CELL = re.compile(r"(<tr[^>]*>)<td>(.*?)</td>", re.DOTALL)
BACK_TO_REFERENCE = re.compile(r'<a class="viewcode-back" href="([^"#]*)#([^"]*)">\[docs\]</a>')


def repaired(pages: Mapping[Path, str]) -> dict[Path, str]:
    """Return the HTML of a site's pages in order."""
    places = {
        (path, place)
        for path, page in pages.items()
        for place in re.findall(r'<dt [^>]*\bid="([^"]*)"', page)
    }

    return {path: _linked(_repaired(page), path, places) for path, page in pages.items()}


def _linked(page: str, path: Path, places: Container[tuple[Path, str]]) -> str:
    """Leave out links to places that are not: what a module takes from another has none of its own."""
    return BACK_TO_REFERENCE.sub(
        lambda link: link[0] if (Path(normpath(path.parent / link[1])), link[2]) in places else "", page
    )


def _repaired(page: str) -> str:
    for wrong, right in REPAIRS:
        page = re.sub(wrong, right, page)
    # Where a table has no head, its rows have their names in the first column.
    return HEADLESS.sub(lambda table: FIRST_CELL.sub(r'\1<th scope="row">\2</th>', table[0]), page)
