"""nbgrader and Otter-Grader make assignments of the chapters, and grade answers to them.

The two are no part of this project's environment. CONTRIBUTING says how to add them to it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path, PurePosixPath

import nbformat
import pytest

from dfa_book.site.book import Book
from dfa_book.site.teach import taught_chapters, teach

ROOT = Path(__file__).parents[2]
BOOK = Book(ROOT, ROOT)
# Its exercises ask for text and for code, and train nothing.
GRADED = "appendix-derivation"
pytestmark = pytest.mark.long


def program(name):
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not installed; CONTRIBUTING, under Checks, says how to add it")
    return str(path)


def run(folder, *command):
    programs = Path(program(command[0])).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(programs / command[0]), *command[1:]],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    output = tmp_path_factory.mktemp("graders")
    teach(Book(ROOT, output))
    return output / "_build" / "teach"


def cells(path):
    return nbformat.read(path, as_version=4).cells


def answered(release, source, place):
    """Write a student's answers into a release: to each exercise with code, the instructor's."""
    notebook = nbformat.read(release, as_version=4)
    solutions = [cell.source for cell in cells(source) if cell.get("id", "").endswith("-code")]
    gaps = [c for c in notebook.cells if c.source == "..." or c.source.startswith("# YOUR CODE HERE")]
    assert len(gaps) == len(solutions) > 2
    for cell, solution in zip(gaps, solutions, strict=True):
        cell.source = solution
    place.parent.mkdir(parents=True)
    nbformat.write(notebook, place)
    return len(solutions)


def no_solution_is_left(release, instructor):
    left = {line for cell in cells(release) for line in cell.source.splitlines()}
    solved = [cell for cell in cells(instructor) if "solution" in cell.metadata.get("tags", [])]
    lines = {line for cell in solved for line in cell.source.splitlines() if len(line) > 40}
    assert {line for line in left & lines if not line.startswith("#")} == set()


@pytest.mark.parametrize("chapter", taught_chapters(BOOK))
def test_nbgrader_makes_an_assignment_of_a_chapter(taught, chapter):
    name = PurePosixPath(chapter).name
    run(taught / "nbgrader", "nbgrader", "generate_assignment", name, "--create")
    no_solution_is_left(
        taught / f"nbgrader/release/{name}/{name}.ipynb", taught / f"instructor/{chapter}.ipynb"
    )


@pytest.mark.parametrize("chapter", taught_chapters(BOOK))
def test_otter_makes_an_assignment_of_a_chapter(taught, chapter, tmp_path):
    name = PurePosixPath(chapter).name
    run(taught / "otter", "otter", "assign", f"{name}.ipynb", str(tmp_path), "--no-run-tests")
    no_solution_is_left(tmp_path / f"student/{name}.ipynb", taught / f"instructor/{chapter}.ipynb")


def test_nbgrader_gives_a_point_for_each_right_answer_and_none_for_open_gaps(taught):
    program("nbgrader")
    from nbgrader.api import Gradebook

    folder = taught / "nbgrader"
    run(folder, "nbgrader", "generate_assignment", GRADED, "--create", "--force")
    release = folder / f"release/{GRADED}/{GRADED}.ipynb"
    source = folder / f"source/{GRADED}/{GRADED}.ipynb"
    points = answered(release, source, folder / f"submitted/right/{GRADED}/{GRADED}.ipynb")
    nothing = folder / f"submitted/nothing/{GRADED}"
    nothing.mkdir(parents=True)
    (nothing / release.name).write_bytes(release.read_bytes())
    run(folder, "nbgrader", "autograde", GRADED, "--create")
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        scores = {name: book.find_submission(GRADED, name).code_score for name in ("right", "nothing")}
    assert scores == {"right": points, "nothing": 0}


def test_otter_gives_a_point_for_each_right_answer_and_none_for_open_gaps(taught, tmp_path):
    # With the tests of the solutions themselves, which otter assign runs, too.
    run(taught / "otter", "otter", "assign", f"{GRADED}.ipynb", str(tmp_path))
    release = tmp_path / f"student/{GRADED}.ipynb"
    right = tmp_path / "right" / release.name
    points = answered(release, taught / "otter" / release.name, right)
    (tests,) = (tmp_path / "autograder").glob("*.zip")
    for notebook, expected in ((right, points), (release, 0)):
        run(tmp_path, "otter", "run", str(notebook), "-a", str(tests), "-o", str(tmp_path))
        results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
        assert sum(test.get("score", 0) for test in results["tests"]) == expected
