"""Reading notebooks, whatever editor has saved them, and the values that they have glued."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

from dfa_lib.validation import InputError

MERGE = re.compile(r"^(?:<{7}|>{7}) ", re.MULTILINE)


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Return a notebook in format 4.5 or newer, in which every cell has an id, or raise ``InputError``.

    Cells of format 4.4 and older get ids by their position, so that a file is always read the same.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError as problem:
        raise InputError(f"there is no notebook {path}.") from problem
    except OSError as problem:
        raise InputError(f"{path} cannot be read ({problem.strerror}).") from problem
    except UnicodeDecodeError as problem:
        raise _unusable(path, "it is not UTF-8 text") from problem
    if not text.strip():
        raise _unusable(path, "it is empty")
    if text.startswith("\ufeff"):
        raise _unusable(path, "it begins with a byte order mark; save it as UTF-8 without one")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as problem:
        merge = MERGE.search(text)
        if merge is not None:
            line = text.count("\n", 0, merge.start()) + 1
            raise _unusable(path, f"line {line} is a mark of an unfinished merge") from problem
        raise _unusable(path, f"it is not JSON ({problem})") from problem
    if not isinstance(content, dict) or "nbformat" not in content:
        raise _unusable(path, "it is JSON, but does not say of which format of notebooks")
    try:
        if content["nbformat"] != 4:
            content = nbformat.convert(nbformat.reader.reads(text), 4)
        _add_ids(content)
        nbformat.validate(content)
        notebook: nbformat.NotebookNode = nbformat.reader.reads(json.dumps(content))
    except nbformat.ValidationError as problem:
        raise _unusable(path, _briefly(problem)) from problem
    except Exception as problem:  # nbformat raises various errors for a wrong structure
        raise _unusable(path, " ".join(f"{type(problem).__name__}: {problem}".split())) from problem
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    """Yield all outputs of a notebook."""
    return (output for cell in notebook.cells for output in cell.get("outputs", []))


def glued(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return the text values that an executed notebook has glued, by key."""
    values = {}
    for output in outputs(notebook):
        about = output.get("metadata", {}).get("scrapbook")
        data = output.get("data")
        if about and data and all(kind.endswith("text/plain") for kind in data):
            values[about["name"]] = "".join(data.values())
    return values


def _add_ids(content: dict[str, Any]) -> None:
    """Give an id to each cell without one, or with that of another cell, as copied cells have."""
    cells = content.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise nbformat.ValidationError("what should be its cells is no list of cells")
    if content.get("nbformat_minor", 0) < 5:
        content["nbformat_minor"] = 5
        for cell in cells:
            cell.pop("id", None)
    taken = {cell["id"] for cell in cells if "id" in cell}
    seen: set[Any] = set()
    for place, cell in enumerate(cells):
        if "id" not in cell or cell["id"] in seen:
            name = f"cell-{place}"
            while name in taken:
                name += "-"
            cell["id"] = name
            taken.add(name)
        seen.add(cell["id"])


def _unusable(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is not a notebook that can be read: {reason}.")


def _briefly(problem: Any) -> str:
    """Return the first line of a validation error, shortened, and its place."""
    text = str(getattr(problem, "message", problem)).splitlines()[0].rstrip(".")
    where = "".join(f"[{part!r}]" for part in getattr(problem, "path", ()))
    text = text if len(text) <= 120 else text[:119] + "…"
    return f"{text}{f', at {where}' if where else ''}"
