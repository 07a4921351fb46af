"""Exercises with checks: the assertions of a solution are applied to a student's answer.

The assertions at the top level of a solution's code are its check; a comment on the line above one tells
students which names it reads. A student's notebook contains the check compressed, so that it does not
reveal the answer.
"""

import ast
import base64
import builtins
import inspect
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Check(NamedTuple):
    """The check of an answer: code in the order of the solution, and comments for students."""

    imports: list[str]
    assertions: list[tuple[str, str]]
    """Assertions with their comments, which may be empty."""
    names: list[str]
    """Names that the answer has to set, in the order of the assertions."""


def check_of(solution: Sequence[str]) -> Check | None:
    """Return the check of a solution from the code of its cells; None without assertions."""
    imports, assertions = [], []
    bound: set[str] = set()
    imported: set[str] = set()
    for source in solution:
        lines = source.splitlines()
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assert):
                above = lines[node.lineno - 2] if node.lineno > 1 else ""
                comment = above.removeprefix("# ") if above.startswith("# ") else ""
                assertions.append((ast.unparse(node), comment))
            elif isinstance(node, ast.Import | ast.ImportFrom):
                imports.append(ast.unparse(node))
                imported |= {alias.asname or alias.name for alias in node.names}
            else:
                bound |= names_set(node)
    read: list[str] = []
    for assertion, _ in assertions:
        found = [name for name in ast.walk(ast.parse(assertion)) if isinstance(name, ast.Name)]
        own = {name.id for name in found if isinstance(name.ctx, ast.Store)}  # of comprehensions
        read += [name.id for name in found if name.id not in own]
    names = [name for name in dict.fromkeys(read) if name in bound - imported]
    return Check(imports, assertions, names) if assertions else None


def names_set(node: ast.AST) -> set[str]:
    """Return the names that a statement binds in its own scope."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, ast.Store) else set()
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return set()
    return set().union(*map(names_set, ast.iter_child_nodes(node)))


def packed(check: Check) -> str:
    """Return a check, compressed and in base 85."""
    return base64.b85encode(zlib.compress(json.dumps(check).encode(), 9)).decode()


def check_cell(label: str, solution: Sequence[str], *, grade: bool = False) -> str | None:
    """Return the cell that checks a student's answer; None if the solution asserts nothing."""
    found = check_of(solution)
    if found is None:
        return None
    said = [comment for _, comment in found.assertions if comment]
    about = "\n".join(f"# {text}" for text in said or [f"Reads {', '.join(found.names)}."])
    given = f"{label!r}, {packed(found)!r}{', grade=True' if grade else ''}"
    return f"{about}\nfrom dfa_book.exercises import check\n\ncheck({given})"


def check(label: str, check: str, *, grade: bool = False) -> None:
    """Say whether the answer to an exercise, in the notebook that calls this, is right.

    Parameters
    ----------
    label
        The exercise's label, for example ``"ex-derivation-softmax"``.
    check
        What is asked, packed.
    grade
        Say nothing of a right answer, and raise ``AssertionError`` for another, as programs that grade
        expect.
    """
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "<module>":  # the cell's
        frame = frame.f_back
    assert frame is not None
    said = f"{label}: {outcome(check, frame.f_globals)}"
    if not grade:
        print(said)
    elif not said.endswith(": right."):
        raise AssertionError(said)


def outcome(check: str, namespace: Mapping[str, Any]) -> str:
    """Return the message of a check on the answer in a notebook's namespace."""
    try:
        found = Check(*json.loads(zlib.decompress(base64.b85decode(check))))
    except (ValueError, zlib.error, TypeError):
        return "this check is damaged; take its cell from the notebook once more."
    missing = [name for name in found.names if name not in namespace and not hasattr(builtins, name)]
    if missing:
        return f"not answered yet. Your code has to set {', '.join(missing)}."
    names = dict(namespace)
    try:
        exec("\n".join(found.imports), names)
        for number, (assertion, comment) in enumerate(found.assertions, 1):
            place = comment or f"{number} of {len(found.assertions)} things that are asked"
            exec(assertion, names)
    except AssertionError:
        return f"not right yet. What does not hold: {place.rstrip(chr(46))}."
    except Exception as problem:
        return f"not right yet. The check could not be made: {type(problem).__name__}: {problem}."
    return "right."
