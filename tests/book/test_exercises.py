"""Exercises check themselves: a solution is right, an empty gap and three wrong answers are not."""

import ast
import contextlib
import io
import warnings
from pathlib import Path

import nbformat
import pytest
from exercise_mutants import wrong_answers
from threadpoolctl import threadpool_limits

from dfa_book.exercises import check_of, names_set, outcome, packed
from dfa_book.site.myst import Directive, blocks

BOOK = Path(__file__).parents[2] / "book"


def exercises():
    """For each exercise whose solution shows code: the cells before, and its code."""
    for path in sorted(BOOK.glob("*.ipynb")):
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
                        yield pytest.param(label, there, codes, id=label)
                    label = None


def loaded(source):
    return {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}


def needed(before, codes):
    """Of the cells before, those that set what an answer reads, and what those read in turn."""
    wanted, kept = set().union(*map(loaded, codes)), []
    for _, source in reversed(before):
        tree = ast.parse(source)
        imports = {
            (a.asname or a.name).partition(".")[0]
            for n in tree.body
            if isinstance(n, ast.Import | ast.ImportFrom)
            for a in n.names
        }
        sets = names_set(tree) | imports
        if sets & wanted:
            kept.append(source)
            wanted = (wanted - sets) | loaded(source)
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
