"""The gates: what must be true of an executed chapter before it is published."""

from collections.abc import Iterator
from typing import Any

Cell = dict[str, Any]
Notebook = dict[str, Any]

ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}
# Shorter alternative texts than this name a figure; they do not say what is seen.
SHORTEST_ALT = 40


def problems(notebook: Notebook) -> list[str]:
    """Return what is wrong with an executed chapter, a sentence each; nothing if it may be published.

    papermill calls some failures a success (a kernel that died, ``sys.exit(0)``), so what counts is
    what the cells themselves show: every one executed, in order, without an error.
    """
    return [*_execution_problems(notebook), *_figure_problems(notebook)]


def _execution_problems(notebook: Notebook) -> Iterator[str]:
    for expected, (number, cell) in enumerate(_code_cells(notebook), start=1):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                yield f"cell {number} raised {output['ename']}: {output['evalue']}"
                return
        if cell["execution_count"] is None:
            yield f"cell {number} was not executed: the kernel stopped before it."
            return
        if cell["execution_count"] != expected:
            yield (
                f"cell {number} was executed as number {cell['execution_count']}, not {expected}: "
                f"the cells did not run once each, in order."
            )
            return


def _figure_problems(notebook: Notebook) -> Iterator[str]:
    names: set[str] = set()
    for number, cell in _code_cells(notebook):
        images = [
            output
            for output in cell["outputs"]
            if any(mime.startswith("image/") for mime in output.get("data", {}))
        ]
        for output in images:
            figure = output["metadata"].get("dfa_figure")
            if figure is None:
                yield f"cell {number} shows an image that is no figure: use show_figure."
                continue
            if len(images) > 1:
                yield f"cell {number} shows {len(images)} figures: give each a cell of its own."
            if figure["name"] in names:
                yield f"cell {number}: there are two figures with the name {figure['name']!r}."
            names.add(figure["name"])
            if not figure["caption"].strip():
                yield f"cell {number}: figure {figure['name']!r} has no caption."
            if len(figure["alt"].strip()) < SHORTEST_ALT:
                yield (
                    f"cell {number}: the alt text of figure {figure['name']!r} must say what is seen, "
                    f"in at least {SHORTEST_ALT} characters; it is {figure['alt']!r}."
                )


def _code_cells(notebook: Notebook) -> Iterator[tuple[int, Cell]]:
    """Yield the code cells that have code, with their number in the chapter as it is stored, from 1."""
    number = 0
    for cell in notebook["cells"]:
        if not ADDED_BY_PAPERMILL.intersection(cell["metadata"].get("tags", [])):
            number += 1
        if cell["cell_type"] == "code" and cell["source"].strip():
            yield number, cell
