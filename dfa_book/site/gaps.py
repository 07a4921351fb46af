"""What stands in a solution's place where it is cut out: by us, by nbgrader, or by Otter-Grader.

Students get a gap that says whose it is, and a check. Each of the two graders makes its own release,
from a notebook that has the solution between the grader's marks, and the same check as a test.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_raw_cell

from ..exercises import check_cell

GAP = "gap"
# nbgrader ends a cell after 30 seconds unless it is told otherwise.
NBGRADER_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "dfa"
c.Execute.timeout = 600
"""
OTTER_CONFIG = "# ASSIGNMENT CONFIG\nname: {name}\nexport_cell:\n  pdf: false\n"


class Solution(NamedTuple):
    """A solution: whose it is, its text in plain Markdown, and the code that it shows."""

    label: str
    exercise: str
    text: str
    code: Sequence[str]


def gap(solution: Solution) -> Iterator[NotebookNode]:
    """Yield what a student's notebook has: room for text, and for code if the solution shows any."""
    label = solution.label
    text = f"**{solution.exercise}:** *your answer goes here.*"
    yield new_markdown_cell(text, id=f"{label}-answer", metadata={"tags": [GAP]})
    if solution.code:
        reminder = f"{solution.exercise}: your code goes here."
        # The tag lets "Run all" go on to what comes after the gap.
        yield new_code_cell(
            f"raise NotImplementedError({json.dumps(reminder, ensure_ascii=False)})",
            id=f"{label}-code",
            metadata={"tags": [GAP, "raises-exception"]},
        )
    if cell := check_cell(label, solution.code):
        yield new_code_cell(cell, id=f"{label}-check", metadata={"tags": ["check"]})


def nbgrader(solution: Solution) -> Iterator[NotebookNode]:
    """Yield what nbgrader cuts and grades: text by a person, code by the check, a point each."""
    label = solution.label
    yield new_markdown_cell(
        solution.text,
        id=f"{label}-answer",
        metadata=_nbgrader(f"{label}-answer", grade=True, solution=True),
    )
    if solution.code:
        source = "\n\n".join(solution.code)
        cut = _nbgrader(f"{label}-code", grade=False, solution=True)
        marked = f"### BEGIN SOLUTION\n{source}\n### END SOLUTION"
        yield new_code_cell(marked, id=f"{label}-code", metadata=cut)
    if cell := check_cell(label, solution.code, grade=True):
        graded = _nbgrader(f"{label}-check", grade=True, solution=False)
        yield new_code_cell(cell, id=f"{label}-check", metadata=graded)


def _nbgrader(name: str, *, grade: bool, solution: bool) -> dict[str, Any]:
    about: dict[str, Any] = {"schema_version": 3, "grade_id": name, "task": False}
    about |= {"grade": grade, "solution": solution, "locked": grade and not solution}
    return {"nbgrader": about | ({"points": 1} if grade else {})}


def otter(solution: Solution) -> Iterator[NotebookNode]:
    """Yield what Otter-Grader cuts and grades: text by a person, code by the check, a point each."""
    label = solution.label
    text = new_markdown_cell(solution.text, id=f"{label}-answer")
    yield from _question(f"{label}-text", "manual: true", text, [])
    if solution.code:
        source = "\n\n".join(solution.code)
        code = new_code_cell(f"# BEGIN SOLUTION\n{source}\n# END SOLUTION", id=f"{label}-code")
        cell = check_cell(label, solution.code, grade=True)
        tests = [new_code_cell(cell, id=f"{label}-check")] if cell else []
        yield from _question(label, "manual: false", code, tests)


def _question(
    name: str, how: str, answer: NotebookNode, tests: Sequence[NotebookNode]
) -> Iterator[NotebookNode]:
    marks = iter(range(9))

    def mark(text: str) -> Any:
        return new_raw_cell(f"# {text}", id=f"{name}-{next(marks)}")

    yield mark(f"BEGIN QUESTION\nname: {name}\npoints: 1\n{how}")
    yield from (mark("BEGIN SOLUTION"), answer, mark("END SOLUTION"))
    if tests:
        yield from (mark("BEGIN TESTS"), *tests, mark("END TESTS"))
    yield mark("END QUESTION")


GAPS: dict[str, Callable[[Solution], Iterator[NotebookNode]]] = {
    "student": gap,
    "nbgrader": nbgrader,
    "otter": otter,
}
"""By edition. That for instructors has the solutions as they are."""
