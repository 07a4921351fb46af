"""Imports: dfa_lib never imports dfa_book, there are no cycles, and heavy packages are imported late."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("pandas", "joblib", "matplotlib", "sklearn", "scipy", "IPython", "torchvision")


def imports():
    """Return the modules of the two packages that each module imports, also inside functions."""
    paths = [path for name in ("dfa_lib", "dfa_book") for path in (ROOT / name).rglob("*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    found = {}
    for module, path in modules.items():
        found[module] = set()
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        for node in (n for n in nodes if isinstance(n, ast.ImportFrom)):
            base = module.split(".")[: -node.level] if node.level else []
            named = ".".join([*base, *([node.module] if node.module else [])])
            for candidate in (named, *(f"{named}.{alias.name}" for alias in node.names)):
                found[module] |= {candidate} & modules.keys()
    return found


def test_the_library_never_imports_the_book():
    assert "dfa_book.site.cli" in imports()
    for module, imported in imports().items():
        if module.startswith("dfa_lib"):
            assert not any(name.startswith("dfa_book") for name in imported), module


def test_imports_go_one_way():
    assert len(list(TopologicalSorter(imports()).static_order())) == len(imports())


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("dfa_lib.learning_rules", HEAVY),
        ("dfa_lib.training", HEAVY),
        ("dfa_lib.experiments", ("matplotlib", "IPython", "sklearn")),
        ("dfa_book.site.web", ("torch", *HEAVY)),
    ],
)
def test_a_module_brings_in_what_it_needs_and_no_more(imported, absent):
    program = f"import sys, {imported}; print(*sorted(set({absent}) & sys.modules.keys()))"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == []


def test_what_a_newcomer_looks_for_is_in_the_library_itself():
    import dfa_lib

    for name in dfa_lib.__all__:
        assert getattr(dfa_lib, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'backprop'"):
        _ = dfa_lib.backprop
