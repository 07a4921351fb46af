import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "book").rglob("*.ipynb"))
PARAMETERS_CELL = """\
# Parameters of this chapter; papermill -p NAME VALUE changes them.
profile = "digits"  # digits (bundled, minutes), mnist (thesis, hours), class (lesson) or smoke (test)
seeds = None  # repeats; None takes the profile's number
epochs = None  # None takes the profile's number
jobs = None  # processes; None takes one for each processor core
device = "cpu"  # or cuda
results = None  # folder of results to use and extend; None trains anew and keeps nothing"""


def read(path):
    return nbformat.read(path, as_version=4)


def papermill(notebook, folder, target, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "papermill", notebook, target, "--no-progress-bar", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_chapters_are_stored_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert [cell.execution_count for cell in code] == [None] * len(code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_chapter_has_the_same_parameters_cell(path):
    tagged = [c for c in read(path).cells if "parameters" in c.metadata.get("tags", [])]
    assert [cell.source for cell in tagged] == [PARAMETERS_CELL]


def test_parameters_cell_agrees_with_the_library():
    from dfa_book.chapter import PARAMETERS

    values = {}
    exec(PARAMETERS_CELL, values)
    assert {name: values[name] for name in PARAMETERS} == PARAMETERS
    assert set(values) - {"__builtins__"} == set(PARAMETERS)


def test_every_chapter_is_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text()
    names = [path.relative_to(ROOT / "book").with_suffix("").as_posix() for path in NOTEBOOKS]
    assert [name for name in names if f" {name}\n" not in toc] == []


def test_every_source_is_in_the_bibliography_once_and_cited():
    entries = parse_file(ROOT / "book" / "references.bib").entries  # refuses one that is there twice
    pages = [*NOTEBOOKS, *(ROOT / "book").rglob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    cited = {key.strip() for keys in re.findall(r"{cite}`([^`]*)`", text) for key in keys.split(",")}
    assert cited == set(entries)


@pytest.mark.long  # from the chapters' folder it is run in make test
def test_a_chapter_runs_by_plain_papermill_from_the_root(tmp_path):
    given = ["-p", "profile", "smoke", "-p", "seeds", "2", "-p", "epochs", "1", "-p", "jobs", "1"]
    done = papermill("book/learning-problems.ipynb", ROOT, tmp_path / "out.ipynb", *given)
    assert done.returncode == 0, done.stderr
    outputs = [o for c in read(tmp_path / "out.ipynb").cells for o in c.get("outputs", [])]
    figures = [o.metadata["dfa_figure"] for o in outputs if "dfa_figure" in o.get("metadata", {})]
    names = [figure["name"] for figure in figures]
    assert names == ["fig-reproduction", "fig-converged", "fig-clusters"]
    assert "2 seeds" in figures[0]["caption"].replace("\N{NO-BREAK SPACE}", " ")


def test_a_chapter_runs_by_plain_papermill_from_its_folder(tmp_path):
    done = papermill("index.ipynb", ROOT / "book", tmp_path / "out.ipynb", "-p", "seeds", "2")
    assert done.returncode == 0, done.stderr


def test_plain_papermill_stops_at_a_parameter_that_chapters_do_not_have(tmp_path):
    done = papermill("book/index.ipynb", ROOT, tmp_path / "out.ipynb", "-p", "epoch", "5")
    assert done.returncode != 0
    assert "InputError: epoch is not a parameter of this book's chapters (did you mean epochs?)" in (
        done.stderr
    )
