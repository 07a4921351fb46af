"""The reference: all that is public is in it; what its Sphinx extension makes of docstrings."""

import importlib
import pkgutil
from pathlib import Path

import nbformat
import pytest

import dfa_lib
from dfa_book.site import reference
from dfa_book.site.reference import chapters_by_name, documented, public_names

BOOK = Path(__file__).parents[2] / "book"
# What builds the book is nobody's library.
BUILDERS = ("dfa_book.site.cli", "dfa_book.site")
SHARED_BY_CHAPTERS = "dfa_book.chapter"
MODULES = [
    name
    for _, name, is_package in pkgutil.walk_packages(dfa_lib.__path__, "dfa_lib.")
    if not is_package and (name == SHARED_BY_CHAPTERS or not name.startswith(BUILDERS))
]


@pytest.mark.parametrize("module", MODULES)
def test_everything_that_is_public_is_in_the_reference(module):
    assert set(public_names(importlib.import_module(module))) <= set(documented(BOOK))


def test_what_the_package_offers_is_in_the_reference():
    offered = [getattr(dfa_lib, name) for name in dfa_lib.__all__ if not name.isupper()]
    assert {f"{value.__module__}.{value.__qualname__}" for value in offered} <= set(documented(BOOK))


def test_functions_behind_a_cache_are_public_too():
    from dfa_lib.data import digits

    assert "dfa_lib.data.digits.load_digits" in public_names(digits)


def test_last_names_are_unique_so_that_a_name_as_code_links_to_one_place():
    last = [name.rpartition(".")[2] for name in documented(BOOK)]
    assert len(set(last)) == len(last)


def test_every_public_function_says_what_it_does():
    for name in documented(BOOK):
        module, _, own = name.rpartition(".")
        assert (getattr(importlib.import_module(module), own).__doc__ or "").strip(), name


@pytest.fixture
def chapters(tmp_path):
    """A book of two chapters."""

    def save(name, *cells):
        notebook = nbformat.v4.new_notebook(cells=list(cells))
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")

    code, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    save("one", code("from dfa_lib import run_all, tune"), code("import math"))
    save(
        "two",
        text(
            "By {py:func}`~dfa_lib.experiments.tuning.tune` or {py:func}`it <dfa_lib.training.train>`."
        ),
        code("def f():\n    from dfa_book.plots import COLOURS, label"),
        code("from dfa_book import deviations as d, thesis"),
        code("print(d.train_together, published.nothing.of_the_kind)"),
    )
    return tmp_path


def test_a_chapter_uses_what_it_imports_and_what_it_refers_to(chapters):
    assert chapters_by_name(chapters) == {
        "dfa_lib.experiments.runner.run_all": ["one"],
        "dfa_lib.experiments.tuning.tune": ["one", "two"],
        "dfa_lib.training.train": ["two"],
        "dfa_book.plots.COLOURS": ["two"],
        "dfa_book.plots.label": ["two"],
        "dfa_book.deviations.train_together": ["two"],
    }


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("see ``run_all``, or", "see :py:obj:`run_all <m.run_all>`, or"),
        ("a ``Run`` or ``here_it``", "a :py:obj:`Run <m.Run>` or ``here_it``"),
        ("``run_all(x)`` and ``label`` stay", "``run_all(x)`` and ``label`` stay"),
        ("``unknown_name``", "``unknown_name``"),
    ],
)
def test_names_as_code_become_links_where_they_can_only_mean_one_thing(line, expected):
    links = {"run_all": "m.run_all", "Run": "m.Run", "label": "m.label", "here_it": "m.here_it"}
    assert reference._linked(line, links, "m.here_it") == expected


def test_defaults_that_are_not_code_are_written_as_code():
    given = "(forward: Callable = <function forward>, x: list = <factory>)"
    assert reference._tidied(given) == "(forward: Callable = forward, x: list = [])"
    assert reference._tidied(None) is None


def test_a_sentence_after_the_parameters_is_no_name_of_one():
    assert reference._SENTENCE.sub(r"\1\2", "* **All are positive.**") == "* All are positive."
    assert reference._SENTENCE.sub(r"\1\2", "* **rate** -- Positive.") == "* **rate** -- Positive."


def test_array_like_is_written_in_a_word():
    import inspect

    from sphinx.util.inspect import stringify_signature

    from dfa_book.plots import draw_unstable

    written = stringify_signature(inspect.signature(draw_unstable), unqualified_typehints=True)
    assert "x: ~numpy.typing.ArrayLike, y: ~numpy.typing.ArrayLike," in reference._tidied(written)
