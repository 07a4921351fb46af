"""What the theme and its extensions write into pages, put right for all readers.

Screen readers and keyboards need names, roles and ids that are in order. Colours and sizes are in
``_static/accessibility.css``; ``tests/site/test_browser.py`` looks at both in a browser.
"""

from os.path import normpath
from pathlib import Path

from bs4 import BeautifulSoup

# By CSS selector: the attributes that an element gets, or loses; its own name; or None, if it goes.
REPAIRS: dict[str, dict[str, str | None] | None] = {
    # A fold of the sidebar has an arrow in place of a name.
    "summary:has(> span.toctree-toggle)": {"aria-label": "Pages of this part"},
    # The sidebar holds the book's title and the search, and so is a landmark beside its navigation.
    "div#pst-primary-sidebar": {"role": "region", "aria-label": "Book"},
    # Every proof, exercise and solution of a page has the same ids.
    "#proof, #proof-content, #exercise-content, #solution-content": {"id": None},
    # A signature's parameters are a list of definitions that define nothing.
    "dt.sig dl": {"name": "div", "class": "sig-params"},
    "dt.sig dd": {"name": "div"},
    # The bibliography is a list; ARIA has deprecated the role that its entries are given.
    "[role=doc-biblioentry]": {"role": "listitem"},
    # The index is laid out in tables without columns.
    "table.indextable": {"role": "presentation"},
    # The list of source files has what is Python's own.
    'li:has(> a[href="builtins.html"])': None,
    # Where a table has no head, its rows have their names in the first column.
    "table.table:not(:has(> thead)) tr > td:first-child": {"name": "th", "scope": "row"},
}


class Repairs:
    """Repairs of a site's pages, which remembers what it repaired: a new theme may need other ones.

    Pages of the reference come before listings of the source, which link back to them.
    """

    def __init__(self) -> None:
        self.unused = list(REPAIRS)
        self._places: set[tuple[Path, str]] = set()

    def __call__(self, path: Path, page: BeautifulSoup) -> None:
        """Repair a page."""
        for selector, changes in REPAIRS.items():
            found = page.select(selector)
            if found and selector in self.unused:
                self.unused.remove(selector)
            for element in found:
                if changes is None:
                    element.decompose()
                    continue
                for name, value in changes.items():
                    if name == "name":
                        element.name = str(value)
                    elif value is None:
                        del element[name]
                    else:
                        element[name] = value
        self._places.update((path, str(term["id"])) for term in page.find_all("dt", id=True))
        for link in page.find_all("a", class_="viewcode-back"):
            address, _, place = str(link["href"]).partition("#")
            if (Path(normpath(path.parent / address)), place) not in self._places:
                link.decompose()  # what a module takes from another has no entry of its own
