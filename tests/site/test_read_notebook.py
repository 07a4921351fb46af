"""Notebooks as any editor saves them, and what is said of files that are none."""

import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from dfa_book.site.book import Book
from dfa_book.site.cli import main
from dfa_book.site.launch import COLAB_CELL
from dfa_book.site.notebooks import read_notebook
from dfa_lib.validation import InputError

KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
PARAMETERS = 'profile = "digits"\nseeds = epochs = jobs = results = None\ndevice = "cpu"'


def notebook(*cells):
    made = new_notebook(cells=list(cells))
    made.metadata["kernelspec"] = KERNEL
    return made


def as_text(**changes):
    return json.dumps(notebook(new_code_cell("1"), new_markdown_cell("2")) | changes, indent=1)


def without_ids(minor=4):
    content = notebook(new_code_cell("1"), new_markdown_cell("2"), new_code_cell("3"))
    content["nbformat_minor"] = minor
    for cell in content["cells"]:
        del cell["id"]
    return content


MERGED = as_text().replace("\n", "\n<<<<<<< HEAD\n", 1)
BROKEN = {
    "empty": ("", "it is empty"),
    "blank": (" \n", "it is empty"),
    "no JSON": ("# A title\n", "it is not JSON (Expecting value: line 1 column 1 (char 0))"),
    "cut short": (as_text()[:-20], "it is not JSON (Unterminated string"),
    "half merged": (MERGED, "line 2 is a mark of an unfinished merge"),
    "with a mark at its start": (
        "\ufeff" + as_text(),
        "it begins with a byte order mark; save it as UTF-8 without one",
    ),
    "UTF-16": (as_text().encode("utf-16"), "it is not UTF-8 text"),
    "a list": ("[]", "it is JSON, but does not say of which format of notebooks"),
    "other JSON": ('{"cells": []}', "it is JSON, but does not say of which format of notebooks"),
    "no cells": (as_text(cells=None), "what should be its cells is no list of cells"),
    "a cell of no type": (
        as_text(cells=[{"source": ""}]),
        "is not valid under any of the given schemas, at",
    ),
    "a cell that is text": (as_text(cells=["x"]), "what should be its cells is no list of cells"),
    "source is a number": (as_text(cells=[new_code_cell("1") | {"source": 1}]), ", at ['source']"),
    "a format to come": (as_text(nbformat=5), "Unsupported nbformat version 5"),
    "a format of no number": (as_text(nbformat="four"), ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_notebook_is_a_sentence(tmp_path, name):
    text, reason = BROKEN[name]
    path = tmp_path / "one.ipynb"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        read_notebook(path)
    said = str(caught.value)
    assert said.startswith(f"{path} is not a notebook that can be read: ")
    assert reason in said
    assert "\n" not in said
    assert len(said) - len(str(path)) < 250


def test_a_file_that_is_not_there_or_a_folder_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match=r"^there is no notebook .*one\.ipynb\.$"):
        read_notebook(tmp_path / "one.ipynb")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)\.$"):
        read_notebook(tmp_path)


@pytest.mark.parametrize("minor", [0, 1, 2, 3, 4, 5])
def test_cells_without_ids_get_the_same_ones_each_time(tmp_path, minor):
    path = tmp_path / "one.ipynb"
    path.write_text(json.dumps(without_ids(minor)))
    found = read_notebook(path)
    assert [cell.id for cell in found.cells] == ["cell-0", "cell-1", "cell-2"]
    assert (found.nbformat, found.nbformat_minor) == (4, 5)
    nbformat.validate(found)
    assert found == read_notebook(path)


def test_ids_that_are_there_stay_and_those_of_copied_cells_do_not(tmp_path):
    path = tmp_path / "one.ipynb"
    content = without_ids(5)
    for cell, name in zip(content["cells"], ("a", "a", "cell-1"), strict=True):
        cell["id"] = name
    path.write_text(json.dumps(content))
    assert [cell.id for cell in read_notebook(path).cells] == ["a", "cell-1-", "cell-1"]


def test_lines_of_a_source_are_joined(tmp_path):
    path = tmp_path / "one.ipynb"
    content = notebook(new_code_cell("x"))
    content["cells"][0]["source"] = ["a = 1\n", "b = 2"]
    path.write_text(json.dumps(content))
    assert read_notebook(path).cells[0].source == "a = 1\nb = 2"


# ---- the commands ----


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of three chapters; the second is no notebook."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: one\nchapters:\n- file: two\n- file: three\n"
    )
    book = Book(tmp_path, tmp_path)
    book.source.mkdir()
    (book.source / "references.bib").write_text("")
    (tmp_path / "_config.yml").write_text("title: A book\n")
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    for name in ("one", "three"):
        nbformat.write(notebook(parameters, new_code_cell("1 + 1")), book.notebook(name))
    book.notebook("two").write_text("<<<<<<< HEAD\n")
    return book


SAID = "two.ipynb is not a notebook that can be read: line 1 is a mark of an unfinished merge."


def test_a_broken_chapter_counts_as_failed_and_the_others_are_executed(book, capsys):
    assert main(["execute"]) == 1
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()[1::2]] == [
        ["one", "done"], ["two", "FAILED"], ["three", "done"]
    ]  # fmt: skip
    assert printed.err.splitlines()[0].endswith(SAID)
    assert printed.err.splitlines()[1] == "1 failed: two."

    book.executed("one").write_text("")
    changed = json.loads(book.executed("three").read_text())
    del changed["metadata"]["papermill"]
    book.executed("three").write_text(json.dumps(changed))
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["chapter", "state"], ["one", "damaged"], ["two", "damaged"], ["three", "damaged"]
    ]  # fmt: skip
    assert lines[0].endswith("problem")
    assert lines[1].endswith("one.ipynb is not a notebook that can be read: it is empty.")
    assert lines[2].endswith(SAID)
    assert lines[3].endswith("three.ipynb was not executed by papermill; execute three again.")


@pytest.mark.parametrize("command", ["teach", "colab"])
def test_a_broken_chapter_is_a_sentence_and_changes_nothing(book, capsys, command):
    before = {path: path.read_bytes() for path in book.source.iterdir()}
    assert main([command]) == 2
    assert capsys.readouterr().err == f"dfa-book: {book.source}/{SAID}\n"
    assert {path: path.read_bytes() for path in book.source.iterdir()} == before
    assert not (book.build / "teach").exists()


def test_a_chapter_that_removes_its_own_notebook_stops_nobody(book, capsys):
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    removes = new_code_cell("import pathlib; pathlib.Path('two.ipynb').unlink()")
    nbformat.write(notebook(parameters, removes), book.notebook("two"))
    assert main(["execute"]) == 0
    assert capsys.readouterr().out.count(" done in ") == 3


def test_the_cell_for_colab_makes_a_valid_notebook_of_one_without_ids(book):
    book.notebook("two").write_text(json.dumps(without_ids()))
    nbformat.write(notebook(new_markdown_cell("# No code")), book.notebook("three"))
    assert main(["colab"]) == 0
    for name, place in (("one", 0), ("two", 0), ("three", 1)):
        content = json.loads(book.notebook(name).read_text())
        nbformat.validate(content)
        source = "".join(content["cells"][place]["source"])
        assert re.match(re.escape(COLAB_CELL[:60]), source)
        assert content["cells"][place]["id"] == f"{name}-colab"
        assert all("id" in cell for cell in content["cells"])
    before = book.notebook("two").read_bytes()
    assert main(["colab"]) == 0
    assert book.notebook("two").read_bytes() == before
