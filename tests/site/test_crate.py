"""What a built site has for programs."""

import hashlib
import json

import nbformat
import pytest

from dfa_book.claims.export import METADATA
from dfa_book.site.book import Book
from dfa_book.site.crate import write_data


@pytest.fixture
def book(tmp_path):
    """A built site with a ledger and a table to download."""
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: ledger\n")
    (tmp_path / "CITATION.cff").write_text("title: A title\nabstract: What it is.\n")
    book = Book(tmp_path, tmp_path)
    output = nbformat.v4.new_output(
        "display_data", {"text/plain": ""}, metadata={METADATA: {"claims": []}}
    )
    glued = nbformat.v4.new_output(
        "display_data", {"text/plain": "0.15"}, metadata={"scrapbook": {"name": "gap"}}
    )
    figure = nbformat.v4.new_output(
        "display_data", {"text/plain": "seen"}, metadata={"dfa_figure": {"name": "fig-x"}}
    )
    cell = nbformat.v4.new_code_cell(outputs=[output, glued, figure])
    notebook = nbformat.v4.new_notebook(cells=[cell])
    for path in (book.notebook("ledger"), book.executed("ledger")):
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
    (book.html / "_downloads" / "ab").mkdir(parents=True)
    (book.html / "_downloads" / "ab" / "sgd.csv").write_text("k,seed\n")
    return book


def test_the_claims_that_the_page_has_judged_lie_beside_it_with_their_schema(book):
    write_data(book, book.html)
    assert json.loads((book.html / "claims.json").read_text()) == {"claims": []}
    assert json.loads((book.html / "claims.schema.json").read_text())["required"][-1] == "claims"


def test_the_crate_lists_each_file_of_data_with_its_checksum_and_the_code(book):
    write_data(book, book.html)
    crate = json.loads((book.html / "ro-crate-metadata.json").read_text())
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert entities["ro-crate-metadata.json"]["about"] == {"@id": "./"}
    root = entities["./"]
    assert (root["name"], root["description"]) == ("A title", "What it is.")
    parts = [part["@id"] for part in root["hasPart"]]
    assert set(parts) == entities.keys() - {"./", "ro-crate-metadata.json"}
    assert [name for name in parts if (book.html / name).is_file()] == [
        "claims.json",
        "claims.schema.json",
        "shown.json",
        "_downloads/ab/sgd.csv",
    ]
    table = (book.html / "_downloads/ab/sgd.csv").read_bytes()
    assert entities["_downloads/ab/sgd.csv"]["sha256"] == hashlib.sha256(table).hexdigest()
    assert any(entity["@type"] == "SoftwareSourceCode" for entity in crate["@graph"])


def test_numbers_in_the_text_and_figures_are_there_to_be_compared(book):
    write_data(book, book.html)
    shown = json.loads((book.html / "shown.json").read_text())
    assert shown["numbers"] == {"ledger::gap": "0.15"}
    assert list(shown["figures"]) == ["fig-x"]


def test_a_book_that_judges_nothing_has_a_crate_and_no_claims(book):
    nbformat.write(nbformat.v4.new_notebook(), book.executed("ledger"))
    write_data(book, book.html)
    assert not (book.html / "claims.json").exists()
    assert (book.html / "ro-crate-metadata.json").exists()
