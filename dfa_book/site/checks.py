"""Checks of chapters before and after execution; one that fails is not published."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

Cell = dict[str, Any]
Notebook = dict[str, Any]

ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}
# Characters; shorter alternative texts do not describe a figure.
SHORTEST_ALT = 40
# MB of output per cell; the largest figures have a fifth of it.
LARGEST_OUTPUT = 5
# Profile in the parameters cells of stored chapters.
PROFILE = "digits"
# As in _config.yml.
EXTENSIONS = (
    *("amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "linkify", "substitution"),
)
# Directives whose content is not prose, and directives whose first line is not prose.
NO_PROSE = {
    *("bibliography", "code", "code-block", "code-cell", "eval-rst", "image", "include"),
    *("literalinclude", "math", "mermaid", "raw", "tableofcontents", "toctree"),
}
NO_TITLE = {"figure", "list-table"}

_DECIMAL = r"(?<![\w.])(?<!\d,)(?:\d[\d,]*)?\.\d+(?:[eE][-+−]?\d+)?(?!\d|\.\d)"
_POWER_OF_TEN = r"(?<![\w.])\d+[eE][-+−]?\d+(?!\w)"
_PERCENTAGE = r"\d[\d.,]*\s*(?:%|per\s?cent\b|percentage\b)"
RESULT = re.compile(f"{_PERCENTAGE}|{_DECIMAL}|{_POWER_OF_TEN}")
# Numbers that are not results: the level of intervals, references to numbered items, versions.
_PLACES = (
    r"figures?|figs?\.|sections?|sec\.|chapters?|tables?|equations?|eqs?\.|exercises?|theorems?|lemmas?|"
    r"propositions?|definitions?|algorithms?|appendix|appendices|parts?|§"
)
_VERSIONED = (
    r"versions?|python|torch|pytorch|torchvision|numpy|scipy|pandas|matplotlib|scikit-learn|papermill|"
    r"sphinx|jupyter book|mathjax|cuda|cc by"
)
NO_RESULT = re.compile(
    rf"(?<!\d)95\s*%|(?<!\w)(?:{_PLACES}|{_VERSIONED})\s*\(?\d+(?:\.\d+)*\)?"
    r"(?:(?:\s+and|\s+or|\s+to|\s*[–-])\s*\(?\d+(?:\.\d+)+\)?)*"
    r"|arxiv[:\s]*\d{4}\.\d{4,5}|\b10\.\d{4,}/\S+",
    re.IGNORECASE,
)


def problems(notebook: Notebook) -> list[str]:
    """Return the problems of an executed chapter, a sentence each.

    papermill reports some failures as a success (a dead kernel, ``sys.exit(0)``), so the cells are
    checked: each has to be executed, in order, without an error.
    """
    checks = (_execution_problems, _figure_problems, _size_problems)
    return [problem for check in checks for problem in check(notebook)]


def parameter_problems(notebook: Notebook) -> list[str]:
    """Return the problems of a chapter's parameters cell, a sentence each."""
    cells = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    if len(cells) != 1:
        return [
            f"it has {len(cells) or 'no'} cells that are tagged parameters, and needs one, where the "
            f"parameters are set"
        ]
    set_here = re.findall(r"""(?m)^profile\s*=\s*["'](.*?)["']""", cells[0]["source"])
    if set_here != [PROFILE]:
        return [
            f"its cell of parameters has to set profile to {PROFILE!r}, not to "
            f"{', '.join(set_here)!r}: set it back, and name another one with --profile"
        ]
    return []


def _size_problems(notebook: Notebook) -> Iterator[str]:
    for number, cell in _code_cells(notebook):
        size = sum(len(json.dumps(output)) for output in cell["outputs"]) / 1e6
        if size > LARGEST_OUTPUT:
            yield (
                f"cell {number} shows {size:.0f} MB, and no more than {LARGEST_OUTPUT} MB of a cell can "
                f"be published: show less of it."
            )


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
            for name in (figure["name"], *figure.get("results", [])):
                if not re.fullmatch(r"\w[\w-]*", name):
                    yield (
                        f"cell {number}: the name {name!r} of a figure or its results must be letters, "
                        f"digits, hyphens and underscores."
                    )
            if not figure["caption"].strip():
                yield f"cell {number}: figure {figure['name']!r} has no caption."
            if len(figure["alt"].strip()) < SHORTEST_ALT:
                yield (
                    f"cell {number}: the alt text of figure {figure['name']!r} must say what is seen, "
                    f"in at least {SHORTEST_ALT} characters; it is {figure['alt']!r}."
                )


def _code_cells(notebook: Notebook) -> Iterator[tuple[int, Cell]]:
    """Yield the non-empty code cells with their number in the stored chapter, from 1."""
    for number, cell in _cells(notebook):
        if cell["cell_type"] == "code" and cell["source"].strip():
            yield number, cell


def _cells(notebook: Notebook) -> Iterator[tuple[int, Cell]]:
    number = 0
    for cell in notebook["cells"]:
        if not ADDED_BY_PAPERMILL.intersection(cell["metadata"].get("tags", [])):
            number += 1
        yield number, cell


# ---- results typed by hand ----


def typed_results(notebook: Notebook) -> list[str]:
    """Return the numbers in a chapter's prose that look like results, a sentence each."""
    return [
        f"cell {number}: {problem}"
        for number, cell in _cells(notebook)
        if cell["cell_type"] == "markdown"
        for problem in text_problems(cell["source"])
    ]


def text_problems(text: str) -> list[str]:
    """Return the numbers in MyST Markdown that look like results, a sentence each.

    These are decimal numbers and percentages in prose, outside of mathematics, code, roles, link targets
    and directive options. A paragraph, list item or table row that cites a source may have them.
    """
    return [
        f"{match[0]} is typed by hand in {_around(prose, *match.span())!r}: compute it and glue it, "
        f"cite where it is from in the same paragraph, or write it as mathematics or code if it is none."
        for prose, cites in _passages(parser().parse(text, {}))
        if not cites
        for match in RESULT.finditer(NO_RESULT.sub(lambda other: " " * len(other[0]), prose))
    ]


def _around(prose: str, start: int, end: int) -> str:
    return " ".join(prose[max(start - 30, 0) : end + 20].split())


@cache
def parser() -> MarkdownIt:
    """Return the book's parser of MyST."""
    return create_md_parser(MdParserConfig(enable_extensions=set(EXTENSIONS)), RendererHTML)


def _passages(tokens: Iterable[Token]) -> Iterator[tuple[str, bool]]:
    """Yield the prose of each paragraph, list item and table row, and whether it cites a source."""
    open_passages: list[list[tuple[str, bool]]] = []
    heading = False
    for token in tokens:
        heading = token.type == "heading_open" or (heading and token.type == "inline")
        if token.type in ("list_item_open", "tr_open"):
            open_passages.append([])
        elif token.type in ("list_item_close", "tr_close"):
            parts = open_passages.pop()
            yield "\n".join(prose for prose, _ in parts), any(cites for _, cites in parts)
        elif token.type == "inline":
            prose, cites = _prose(token.children or [])
            if heading:
                prose = re.sub(r"^(?:\w+ )?\d+(?:\.\d+)*\.?\s", "", prose)
            if open_passages:
                open_passages[-1].append((prose, cites))
            else:
                yield prose, cites
        elif token.type == "html_block":
            yield re.sub(r"<!--.*?-->|<[^>]*>", " ", token.content, flags=re.DOTALL), False
        elif token.type in ("fence", "colon_fence"):
            yield from _directive(token)


def _directive(token: Token) -> Iterator[tuple[str, bool]]:
    opening = re.match(r"\{([\w:+-]+)\}\s*(.*)", token.info)
    if opening is None or opening[1] in NO_PROSE:
        return
    if opening[1] not in NO_TITLE:
        yield from _passages(parser().parse(opening[2], {}))
    content = re.sub(r"\A\s*---\n(?:.*\n)*?---\n|\A(?:\s*:[\w-]+:.*\n?)+", "", token.content)
    yield from _passages(parser().parse(content, {}))


def _prose(children: Iterable[Token]) -> tuple[str, bool]:
    """Return the prose of inline tokens, with ellipses for code and roles, and whether it cites."""
    words, cites, inside_address = [], False, False
    for child in children:
        if child.type in ("link_open", "link_close") and child.info == "auto":
            inside_address = child.type == "link_open"
        elif child.type in ("text", "image") and not inside_address:
            words.append(re.sub(r"\{[^{}]*\}", " ", child.content))
        elif child.type in ("softbreak", "hardbreak"):
            words.append("\n")
        elif child.type == "myst_role":
            cites |= child.meta["name"].startswith("cite")
            words.append("…")
        elif child.type in ("code_inline", "math_inline"):
            words.append("…")
    return "".join(words), cites
