"""One list of pinned dependencies, and everything that has to agree with it."""

import ast
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LINES = [
    line.partition(" #")[0].strip()
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.lstrip().startswith("#")
]
DECLARED = sorted(
    {
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    }
)


def pinned():
    """The version of each package in ``requirements.txt``."""
    requirements = [Requirement(line) for line in LINES]
    return {canonicalize_name(r.name): Version(next(iter(r.specifier)).version) for r in requirements}


@pytest.mark.parametrize("line", LINES)
def test_every_requirement_is_pinned_exactly(line):
    requirement = Requirement(line)
    (specifier,) = requirement.specifier
    assert specifier.operator == "=="
    assert not specifier.version.endswith(".*")
    assert requirement.url is None


def test_no_package_is_pinned_twice():
    assert len(pinned()) == len(LINES)


@pytest.mark.parametrize("declared", DECLARED)
def test_every_dependency_of_the_project_is_pinned_at_a_version_that_it_accepts(declared):
    requirement = Requirement(declared)
    name = canonicalize_name(requirement.name)
    assert name in pinned(), f"{name} is missing from requirements.txt"
    assert requirement.specifier.contains(pinned()[name], prereleases=True)


def test_torch_is_the_version_that_the_results_were_checked_with():
    assert pinned()["torch"] == Version("2.13.0")


def test_the_conda_environment_installs_the_one_list_and_the_library():
    (pip,) = [entry["pip"] for entry in CONDA["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.txt", "-e ."]


def test_the_conda_environment_has_no_packages_of_its_own():
    packages = {entry.partition("=")[0] for entry in CONDA["dependencies"] if isinstance(entry, str)}
    assert packages == {"python", "pip"}
    assert CONDA["channels"] == ["conda-forge"]


def test_the_conda_environments_python_is_one_that_the_project_accepts():
    (python,) = [entry for entry in CONDA["dependencies"] if str(entry).startswith("python=")]
    version = Version(python.partition("=")[2])
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)


def test_the_citation_names_the_version_that_is_installed():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]


def test_notebooks_import_nothing_beyond_the_library_and_the_extra_for_notebooks():
    """Those who only run notebooks need none of what builds and tests the site."""
    cells = (
        cell.source
        for path in sorted((ROOT / "book").rglob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and "colab" not in cell.metadata.get("tags", [])
    )
    imports = {
        ast.unparse(node)
        for source in cells
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    program = "\n".join(
        [*sorted(imports), "import sys", "print(*{n.partition('.')[0] for n in sys.modules})"]
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    of_modules = metadata.packages_distributions()
    loaded = {canonicalize_name(d) for name in done.stdout.split() for d in of_modules.get(name, [])}
    allowed = closure([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["notebooks"]])
    assert loaded - allowed - {"dfa-lib"} == set()


def closure(lines):
    """The names of these requirements, and of all that they require in turn here."""
    found, waiting = set(), list(lines)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (
            requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ):
            found.add(name)
            with suppress(metadata.PackageNotFoundError):
                waiting += metadata.requires(name) or []
    return found
