"""What a student's check says of right, wrong, missing and broken answers."""

import ast
import re

import pytest

from dfa_book import exercises
from dfa_book.exercises import Check, check_cell, check_of, names_set, outcome, packed

SOLUTION = """\
import math

def area(radius):
    return math.pi * radius**2

def helper(x):
    inner = x
    assert inner == x
    return inner

areas = {radius: area(radius) for radius in (1, 2)}
# area, a function of the radius
assert area(1) == math.pi
assert areas[2] == 4 * areas[1]"""


def said(answer, solution=SOLUTION):
    names = {}
    exec(answer, names)
    return outcome(packed(check_of([solution])), names)


def test_the_check_of_a_solution_is_what_it_asserts_and_imports_at_its_top_level():
    found = check_of([SOLUTION])
    assert found.imports == ["import math"]
    assert [assertion for assertion, _ in found.assertions] == [
        "assert area(1) == math.pi",
        "assert areas[2] == 4 * areas[1]",
    ]
    assert found.names == ["area", "areas"]
    assert check_of(["a = b = [1]\nassert all(b == 1 for b in a)"]).names == ["a"]
    assert check_of(["print(1)", "def f():\n    assert False"]) is None


def test_names_inside_functions_and_comprehensions_are_not_asked_for():
    source = (
        "a, *b = 1, 2\nfor c in b:\n    d = [e for e in b]\ndef f(g):\n    h = g\nwith x() as i: pass"
    )
    assert names_set(ast.parse(source)) == {"a", "b", "c", "d", "f", "i"}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("import math\narea = lambda r: math.pi * r * r\nareas = {1: area(1), 2: area(2)}", "right."),
        ("", "not answered yet. Your code has to set area, areas."),
        ("areas = {}", "not answered yet. Your code has to set area."),
        (
            "area = lambda r: 3.14 * r * r\nareas = {}",
            "not right yet. What does not hold: area, a function of the radius.",
        ),
        (
            "import math\narea = lambda r: math.pi * r * r\nareas = {1: 1, 2: 2}",
            "not right yet. What does not hold: 2 of 2 things that are asked.",
        ),
        ("area = areas = None", "not right yet. The check could not be made: TypeError: "),
        (
            "import math\narea = lambda r: math.pi\nareas = {}",
            "not right yet. The check could not be made: KeyError: 2.",
        ),
    ],
)
def test_an_answer_is_told_right_or_wrong_in_a_sentence(answer, sentence):
    assert said(answer).startswith(sentence)


def test_a_check_changes_nothing_in_the_notebook():
    names = {"math": "mine", "area": lambda r: 0, "areas": {}}
    before = dict(names)
    outcome(packed(check_of([SOLUTION])), names)
    assert names == before


@pytest.mark.parametrize("damaged", ["", "x", "ä", "c${NkU{Wj", packed(Check([], [], []))[:-3]])
def test_a_damaged_check_says_so(damaged):
    assert "this check is damaged" in outcome(damaged, {})


def test_the_cell_shows_nothing_of_the_solution_and_runs(capsys):
    cell = check_cell("ex-area", [SOLUTION])
    assert cell.startswith("# area, a function of the radius\nfrom dfa_book.exercises import check\n")
    assert "pi" not in re.sub(r'"[^"]*"|\'[^\']*\'', "", cell)
    assert "areas" not in cell
    names = {}
    exec(cell, names)
    exec(SOLUTION, names)
    exec(cell, names)
    assert capsys.readouterr().out == (
        "ex-area: not answered yet. Your code has to set area, areas.\nex-area: right.\n"
    )
    assert exercises.check_cell("ex-none", ["1 + 1"]) is None


def test_a_grader_is_told_by_an_error_and_hears_nothing_of_a_right_answer(capsys):
    cell = check_cell("ex-area", [SOLUTION], grade=True)
    with pytest.raises(AssertionError, match=r"^ex-area: not answered yet\. "):
        exec(cell, {})
    names = {}
    exec(SOLUTION, names)
    exec(cell, names)
    assert capsys.readouterr().out == ""


def test_without_a_comment_the_cell_names_what_it_reads():
    assert check_cell("ex-a", ["b = 2\nassert b == 2"]).startswith("# Reads b.\n")
