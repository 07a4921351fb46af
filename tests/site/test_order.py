"""In which order chapters are executed: the ledger, which judges all of them, comes last."""

import nbformat
import pytest

from dfa_book.site import execute as executing
from dfa_book.site.book import find_book


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """The chapters of a book in the order in which they were executed."""
    (tmp_path / "book").mkdir()
    for name in ("home", "one", "ledger", "two"):
        nbformat.write(nbformat.v4.new_notebook(), tmp_path / "book" / f"{name}.ipynb")
    chapters = "".join(f"  - file: {name}\n" for name in ("one", "ledger", "two"))
    (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: home\nchapters:\n{chapters}")
    monkeypatch.chdir(tmp_path)
    order = []
    monkeypatch.setattr(executing, "_execute_chapter", lambda _, name, *rest: order.append(name) or [])
    return order


def test_the_ledger_is_executed_after_the_chapters_that_are_read_after_it(executed):
    executing.execute(find_book())
    assert executed == ["home", "one", "two", "ledger"]


def test_named_chapters_keep_the_order_of_the_book_but_for_the_ledger(executed):
    executing.execute(find_book(), ["two", "ledger", "home"])
    assert executed == ["home", "two", "ledger"]
