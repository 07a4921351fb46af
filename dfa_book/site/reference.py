"""A Sphinx extension that links docstrings of the reference to each other, and to the chapters.

Names in code that the reference documents become links. Each entry ends with the chapters that import it
or refer to it.
"""

import ast
import importlib
import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

_ROLE = re.compile(r"\{py:\w+\}`(?:[^`<]*<)?~?(dfa_(?:lib|book)[\w.]+)")
_DIRECTIVE = re.compile(r"^\.\. auto(module|class|function):: (dfa_(?:lib|book)[\w.]+)", re.MULTILINE)
# A sentence at the end of a list of parameters, which napoleon takes for the name of one.
_SENTENCE = re.compile(r"^( *[*-] |:param )\*\*(.*\.)\*\*$")
# What numpy's ArrayLike stands for.
_ARRAY_LIKE = re.compile(r"~numpy\._typing\.\S*_Buffer \| .*?_NestedSequence\[complex \| bytes \| str\]")
# Names with an underscore or a capital only: others, such as ``label``, may be arguments.
_NAME_AS_CODE = re.compile(r"(?<![`:])``([A-Za-z]\w*_\w+|[A-Z][a-z]\w+)``")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    used: dict[str, list[str]] = {}
    links: dict[str, str] = {}

    def look(app: Sphinx) -> None:
        used.update(chapters_by_name(Path(app.srcdir)))
        links.update({name.rpartition(".")[2]: name for name in documented(Path(app.srcdir))})

    def process(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
        lines[:] = [_linked(_SENTENCE.sub(r"\1\2", line), links, name) for line in lines]
        if name in used:
            pages = ", ".join(f":doc:`/{page}`" for page in used[name])
            lines += ["", f"*Used in* {pages}.", ""]

    def protect(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
        if what in ("attribute", "data", "property"):
            lines[:0] = ["..", ""]  # napoleon takes what is before a colon in the first line for a type

    app.add_transform(_WithoutModules)
    app.connect("builder-inited", look)
    app.connect("autodoc-process-docstring", protect, priority=400)
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", lambda *given: (_tidied(given[5]), given[6]))
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True}


class _WithoutModules(SphinxTransform):
    """Leave modules out of the index: names of functions say where they are."""

    default_priority = 840  # before the index is collected

    def apply(self, **_: Any) -> None:
        for index in self.document.findall(addnodes.index):
            index["entries"] = [e for e in index["entries"] if not e[1].startswith("module; ")]


def chapters_by_name(book: Path) -> dict[str, list[str]]:
    """Return the chapters that import or refer to each name of the library."""
    chapters = defaultdict(list)
    for path in sorted(book.rglob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for name in {_defined_as(name) for name in _named(notebook)}:
            if name is not None:
                chapters[name].append(path.relative_to(book).with_suffix("").as_posix())
    return dict(chapters)


def documented(book: Path) -> list[str]:
    """Return the full names of the functions and classes in the reference."""
    names: list[str] = []
    for path in sorted((book / "reference").glob("*.md")):
        for kind, name in _DIRECTIVE.findall(path.read_text(encoding="utf-8")):
            names += public_names(importlib.import_module(name)) if kind == "module" else [name]
    return sorted(set(names))


def public_names(module: ModuleType) -> list[str]:
    """Return the full names of the public functions and classes that a module defines."""
    return [
        f"{module.__name__}.{name}"
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or (callable(value) and inspect.isfunction(inspect.unwrap(value))))
        and value.__module__ == module.__name__
    ]


def _named(notebook: Any) -> Iterator[str]:
    """Yield the names that a chapter imports from the library, uses as attributes, or refers to."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    modules: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("dfa_lib", "dfa_book")):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name
                modules[alias.asname or alias.name] = name
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=name)) if name in modules:
                yield f"{modules[name]}.{node.attr}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from _ROLE.findall(cell.source)


def _defined_as(name: str) -> str | None:
    """Return the full name of the definition of something that several modules export."""
    module, _, own = name.rpartition(".")
    try:
        value = getattr(importlib.import_module(module), own)
    except (ImportError, AttributeError):  # not a name of an imported module
        return None
    if inspect.ismodule(value):
        return None
    return f"{getattr(value, '__module__', module)}.{getattr(value, '__qualname__', own)}"


def _linked(line: str, links: dict[str, str], here: str) -> str:
    def link(match: re.Match[str]) -> str:
        name = links.get(match[1])
        return match[0] if name is None or name == here else f":py:obj:`{match[1]} <{name}>`"

    return _NAME_AS_CODE.sub(link, line)


def _tidied(signature: str | None) -> str | None:
    """Write defaults as code that Sphinx can parse; it does not wrap other signatures."""
    if signature is None:
        return None
    signature = _ARRAY_LIKE.sub("~numpy.typing.ArrayLike", signature.replace("<factory>", "[]"))
    return re.sub(r"<function (\w+)>", r"\1", signature)


def _skip(app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out generated docstrings of named tuples, and functions of other libraries."""
    of_others = inspect.isfunction(value) and not value.__module__.startswith(("dfa_lib", "dfa_book"))
    return (
        True if of_others or str(getattr(value, "__doc__", "")).startswith("Alias for field") else None
    )
