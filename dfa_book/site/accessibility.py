"""What the theme and its extensions write into pages, put right for all readers.

Screen readers and keyboards need names, roles and ids that are in order. Colours and sizes are in
``_static/accessibility.css``; ``tests/site/test_browser.py`` looks at both in a browser.
"""

from collections.abc import Iterator
from os.path import normpath
from pathlib import Path

from bs4 import BeautifulSoup, Tag

# Every proof, exercise and solution of a page has the same ids.
REPEATED_IDS = {"proof", "proof-content", "exercise-content", "solution-content"}


class Repairs:
    """Repairs of a site's pages, which counts what it repairs: a new theme may need other ones.

    Pages of the reference come before listings of the source, which link back to them.
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(REPAIRS, 0)
        self._places: set[tuple[Path, str]] = set()

    def __call__(self, path: Path, page: BeautifulSoup) -> None:
        """Repair a page."""
        self._places.update((path, str(term["id"])) for term in page.find_all("dt", id=True))
        for name, repair in REPAIRS.items():
            self.counts[name] += sum(1 for _ in repair(page))
        for link in page.find_all("a", class_="viewcode-back"):
            address, _, place = str(link["href"]).partition("#")
            if (Path(normpath(path.parent / address)), place) not in self._places:
                link.decompose()  # what a module takes from another has no entry of its own

    def unused(self) -> list[str]:
        """Return the names of the repairs that no page needed."""
        return [name for name, count in self.counts.items() if not count]


def _name_folds(page: BeautifulSoup) -> Iterator[Tag]:
    for arrow in page.find_all("span", class_="toctree-toggle"):
        if arrow.parent is not None:
            arrow.parent["aria-label"] = "Pages of this part"
            yield arrow


def _name_sidebar(page: BeautifulSoup) -> Iterator[Tag]:
    # It holds the book's title and the search, and so is a landmark beside its navigation.
    for sidebar in page.find_all("div", id="pst-primary-sidebar"):
        sidebar["role"], sidebar["aria-label"] = "region", "Book"
        yield sidebar


def _drop_repeated_ids(page: BeautifulSoup) -> Iterator[Tag]:
    for element in page.find_all(id=lambda name: name in REPEATED_IDS):
        del element["id"]
        yield element


def _lay_out_signatures(page: BeautifulSoup) -> Iterator[Tag]:
    # A signature's parameters are a list of definitions that define nothing.
    for parameter in page.find_all("em", class_="sig-param"):
        item = parameter.parent
        if item is not None and item.name == "dd":
            item.name = "div"
            if item.parent is not None and item.parent.name == "dl":
                item.parent.name, item.parent["class"] = "div", "sig-params"
            yield item


def _list_references(page: BeautifulSoup) -> Iterator[Tag]:
    # The bibliography is a list; ARIA has deprecated the role that its entries are given.
    for entry in page.find_all(role="doc-biblioentry"):
        entry["role"] = "listitem"
        yield entry


def _lay_out_index(page: BeautifulSoup) -> Iterator[Tag]:
    # The index is laid out in tables without columns.
    for table in page.find_all("table", class_="indextable"):
        table["role"] = "presentation"
        yield table


def _drop_builtins(page: BeautifulSoup) -> Iterator[Tag]:
    # The list of source files has what is Python's own.
    for link in page.find_all("a", href="builtins.html"):
        if link.parent is not None:
            link.parent.decompose()
            yield link


def _name_rows(page: BeautifulSoup) -> Iterator[Tag]:
    # Where a table has no head, its rows have their names in the first column.
    for table in page.find_all("table", class_="table"):
        if table.thead is None:
            for row in table.find_all("tr"):
                first = row.find(["td", "th"])
                if isinstance(first, Tag) and first.name == "td":
                    first.name, first["scope"] = "th", "row"
                    yield first


REPAIRS = {
    "folds of the sidebar": _name_folds,
    "the sidebar": _name_sidebar,
    "repeated ids": _drop_repeated_ids,
    "signatures": _lay_out_signatures,
    "the bibliography": _list_references,
    "the index": _lay_out_index,
    "listed modules": _drop_builtins,
    "rows of tables without a head": _name_rows,
}
