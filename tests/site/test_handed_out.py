"""Every notebook that is handed out runs where there is no clone of the book, and its checks work.

The notebooks are those of the built site, in the profile ``class``, in their folder of it; nothing else
is there but the installed library.
"""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from plain import traces_of_myst

from dfa_book.site.book import Book
from dfa_book.site.teach import EDITIONS, taught_chapters, write_editions

ROOT = Path(__file__).parents[2]
CHAPTERS = taught_chapters(Book(ROOT, ROOT))
# Each takes up to a minute.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def editions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed-out")
    write_editions(Book(ROOT, folder), folder)
    return folder, {
        edition: {
            name: nbformat.read(folder / edition / f"{name}.ipynb", as_version=4) for name in CHAPTERS
        }
        for edition in EDITIONS
    }


def executed(notebook, folder):
    """Run all cells as Jupyter does, in a folder."""
    NotebookClient(
        notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_students_notebook_runs_past_its_gaps_and_its_checks_wait(editions, name):
    folder, notebooks = editions
    notebook = executed(notebooks["student"][name], folder / "student")
    assert traces_of_myst(notebook) == []
    errors = {
        cell.id for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"
    }
    assert errors == {cell.id for cell in tagged(notebook, "gap") if cell.cell_type == "code"}
    for cell in tagged(notebook, "check"):
        label = cell.id.removesuffix("-check")
        assert printed(cell).startswith((f"{label}: not answered yet. ", f"{label}: not right yet. "))


@pytest.mark.parametrize("name", CHAPTERS)
def test_an_instructors_notebook_runs_and_the_checks_call_its_answers_right(editions, name):
    folder, notebooks = editions
    notebook, student = notebooks["instructor"][name], notebooks["student"][name]
    checks, waiting = {}, []
    for cell in student.cells:  # a check stands before what follows it in the student's notebook
        tags = cell.metadata.get("tags", [])
        if "check" in tags:
            waiting.append(cell)
        elif "gap" not in tags:
            checks[cell.id], waiting = waiting, []
    cells = [c for cell in notebook.cells for c in (*checks.get(cell.id, []), cell)]
    notebook.cells = [*cells, *waiting]
    assert len(tagged(notebook, "check")) == len(tagged(student, "check"))
    executed(notebook, folder / "instructor")
    assert traces_of_myst(notebook) == []
    said = [printed(cell) for cell in tagged(notebook, "check")]
    assert said == [f"{cell.id.removesuffix('-check')}: right.\n" for cell in tagged(notebook, "check")]
