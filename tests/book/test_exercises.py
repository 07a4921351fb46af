"""Exercises check themselves: a solution is right, an empty gap and three wrong answers are not."""

import ast
import contextlib
import io
import re
import warnings
from pathlib import Path

import nbformat
import pytest
from exercise_mutants import wrong_answers
from threadpoolctl import threadpool_limits

from dfa_book.exercises import check_of, names_set, outcome, packed
from dfa_book.site.myst import Directive, blocks

BOOK = Path(__file__).parents[2] / "book"
# Every wrong answer would train anew.
TRAINS = re.compile(r"\b(train|run_all|tune)\(")
# The answers of other chapters need their experiments, which take a minute a chapter.
QUICK = ("appendix-derivation", "foundations", "introduction")
SLOW = ("ex-foundations-kolen-pollack",)


def exercises():
    """For each exercise whose solution shows code: the cells before, and its code."""
    for path in sorted(BOOK.rglob("*.ipynb")):
        before, label, codes = [], None, []
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                shown = "remove-input" not in cell.metadata.get("tags", [])
                if label and shown:
                    codes.append(cell.source)
                before.append((label, cell.source))
                continue
            for block in blocks(cell.source):
                kind = block.name if isinstance(block, Directive) else ""
                if kind == "solution-start":
                    label, codes, there = block.argument, [], list(before)
                elif kind == "solution-end":
                    if codes:
                        trains = TRAINS.search("\n".join(codes))
                        slow = trains or path.stem not in QUICK or label in SLOW
                        marks = [pytest.mark.long] if slow else []
                        yield pytest.param(label, there, codes, id=label, marks=marks)
                    label = None


def read(source):
    """The names that code reads before it sets them itself."""
    wanted, bound = set(), set()
    for statement in ast.parse(source).body:
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        inner = {node.arg for node in ast.walk(statement) if isinstance(node, ast.arg)}
        if not isinstance(statement, ast.Assign):  # in a loop or a function, targets come first
            inner |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
        for node in ast.walk(statement):
            if isinstance(node, ast.comprehension):
                inner |= {name.id for name in ast.walk(node.target) if isinstance(name, ast.Name)}
        wanted |= {name.id for name in names if isinstance(name.ctx, ast.Load)} - inner - bound
        bound |= names_set(statement) | imported(statement)
    return wanted


def imported(statement):
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return set()
    return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}


def needed(before, codes):
    """Of the cells before, those that set what an answer reads, and what those read in turn."""
    wanted, kept = read("\n".join(codes)), []
    for solved, source in reversed(before):
        tree = ast.parse(source)
        sets = names_set(tree).union(*map(imported, tree.body))
        registers = solved is None and "register_" in source  # under names that are texts
        if sets & wanted or registers:
            kept.append(source)
            wanted = (wanted - sets) | read(source)
    return kept[::-1]


def run(source, names):
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        exec(compile(source, "answer", "exec"), names)


@pytest.mark.parametrize(("label", "before", "codes"), list(exercises()))
def test_a_solution_is_right_and_an_empty_gap_and_three_wrong_answers_are_not(
    label, before, codes, tmp_path, monkeypatch, registrations_end
):
    monkeypatch.chdir(tmp_path)
    found = check_of(codes)
    assert found is not None, "the solution asserts nothing at its top level"
    assert found.names
    check, solution = packed(found), "\n".join(codes)
    given = {"show_figure": lambda *_, **__: None, "profile": "smoke", "jobs": 1}
    chapter = {"__name__": "__main__", **given}
    for source in needed(before, codes):
        run(source, chapter)
        chapter |= given

    assert outcome(check, chapter).startswith(("not answered yet. ", "not right yet. "))
    solved = dict(chapter)
    run(solution, solved)
    assert outcome(check, solved) == "right."

    caught = []
    for wrong in wrong_answers(label, solution):
        answered = dict(chapter)
        try:
            run(wrong, answered)
        except Exception:  # this answer does not even run, which needs no check
            continue
        said = outcome(check, answered)
        if said.startswith("not right yet. "):
            caught.append(wrong)
        if len(caught) == 3:
            break
    assert len(caught) == 3
