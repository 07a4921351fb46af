"""Accessibility repairs of the pages that the theme and its extensions write.

Screen readers and keyboards need correct names, roles and ids. Colours and sizes are set in
``_static/accessibility.css``; ``tests/site/test_browser.py`` checks both in a browser.
"""

from os.path import normpath
from pathlib import Path

from bs4 import BeautifulSoup

# By CSS selector: attributes to set, or to remove (None), with "name" for the tag; None removes
# elements.
REPAIRS: dict[str, dict[str, str | None] | None] = {
    # Dropdowns of the sidebar have an arrow and no name.
    "summary:has(> span.toctree-toggle)": {"aria-label": "Pages of this part"},
    # The sidebar contains title and search, so it is a landmark besides its navigation.
    "div#pst-primary-sidebar": {"role": "region", "aria-label": "Book"},
    # All proofs, exercises and solutions of a page have the same ids.
    "#proof, #proof-content, #exercise-content, #solution-content": {"id": None},
    # A signature's parameters are a definition list without definitions.
    "dt.sig dl": {"name": "div", "class": "sig-params"},
    "dt.sig dd": {"name": "div"},
    # ARIA has deprecated the role of bibliography entries; the bibliography is a list.
    "[role=doc-biblioentry]": {"role": "listitem"},
    # The index uses tables for layout.
    "table.indextable": {"role": "presentation"},
    # The list of source files contains Python's builtins.
    'li:has(> a[href="builtins.html"])': None,
    # Tables without a head have row headers in the first column.
    "table.table:not(:has(> thead)) tr > td:first-child": {"name": "th", "scope": "row"},
}


class Repairs:
    """Repairs pages and records unused repairs, which a new theme may not need any more.

    Pages of the reference must come before listings of the source, which link back to them.
    """

    def __init__(self) -> None:
        self.unused = list(REPAIRS)
        self._places: set[tuple[Path, str]] = set()

    def __call__(self, path: Path, page: BeautifulSoup) -> None:
        """Repair a page."""
        for selector, changes in REPAIRS.items():
            elements = page.select(selector)
            if elements and selector in self.unused:
                self.unused.remove(selector)
            for element in elements:
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
                link.decompose()  # an imported name has no entry in this module
