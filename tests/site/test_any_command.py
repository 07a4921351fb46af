"""Whatever stands on the command line, in the environment or in a file, ``dfa-book`` ends in words."""

import os
import shutil
from itertools import product
from pathlib import Path

import nbformat
import pytest
from attacks import TEXTS, is_refused, manglings

from dfa_book.chapter import PARAMETERS
from dfa_book.site import build as site
from dfa_book.site.book import Book
from dfa_book.site.cli import main
from dfa_book.site.confirmations import confirmations, write_report
from dfa_book.site.freshness import staleness
from dfa_book.site.pdf import browser
from dfa_book.site.verify import verify
from dfa_lib import Run, read_results, run_all
from dfa_lib.data.mnist import data_folder
from dfa_lib.experiments.progress import Progress

CELL = 'profile = "digits"\nseeds = epochs = jobs = results = None\ndevice = "cpu"'
SMALL = {"samples": 64, "test_samples": 32, "hidden": 4, "epochs": 1, "learning_rate": 0.1}
CITED = "cff-version: 1.2.0\ntitle: A book\nmessage: Cite it.\nauthors: [{name: Somebody}]\n"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book that was executed and built once, whose commands neither train nor call programs."""
    for name in [name for name in os.environ if name.startswith(("DFA_", "GITHUB_"))]:
        monkeypatch.delenv(name)
    root = tmp_path / "book of books"
    book = Book(root, root)
    book.source.mkdir(parents=True)
    book.staging.mkdir(parents=True)
    cells = [
        nbformat.v4.new_markdown_cell("# One\n\nSee [](home.md) and {cite}`someone`.", id="text"),
        nbformat.v4.new_code_cell(CELL, metadata={"tags": ["parameters"]}, id="parameters"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, book.notebook("one"))
    about = {"start_time": "2026-01-01T00:00:00+00:00", "duration": 1.0, "parameters": {}}
    notebook.metadata["papermill"] = about
    nbformat.write(notebook, book.executed("one"))
    (book.source / "home.md").write_text("# Home\n\n```{bibliography}\n```\n")
    (book.source / "references.bib").write_text("@misc{someone, author={A. One}, title={B}, year=2020}")
    (root / "_toc.yml").write_text("format: jb-book\nroot: home\nchapters:\n  - file: one\n")
    (root / "_config.yml").write_text("title: A book\nauthor: Somebody\nsphinx:\n  config: {}\n")
    (root / "CITATION.cff").write_text(CITED)
    book.html.mkdir()
    for name in ("index.html", "one.html"):
        (book.html / name).write_text("<html><head></head><body><main>earlier</main></body></html>")
    results = root / "results" / "mnist" / "some.csv"
    run_all([Run(**SMALL)], results)
    (root / "results" / "confirmations").mkdir()
    report = root / "results" / "confirmations" / "mine.json"
    write_report(report, results.parent, verify(results.parent, 1), 1.0)
    monkeypatch.chdir(root)
    monkeypatch.setattr("dfa_book.site.execute._papermill", lambda *_: ["no papermill here"])
    monkeypatch.setattr("dfa_book.site.execute.data_folder", lambda: Path("/nowhere"))
    monkeypatch.setattr(site, "_jupyter_book", lambda *_: 0)
    return book


def words(capsys, arguments):
    """Call ``dfa-book``; return its exit status, and check what it says."""
    try:
        status = main(arguments)
    except SystemExit as usage:
        status = usage.code
    said = capsys.readouterr()
    assert isinstance(status, int)
    assert "Traceback" not in said.out + said.err
    assert status in (0, 2) or said.out + said.err, (status, arguments)
    if status == 2:
        assert said.err.strip()
    return status


COMMANDS = {
    "": lambda v: [v],
    "execute": lambda v: ["execute", v],
    "execute --profile": lambda v: ["execute", "--profile", v],
    "execute --results": lambda v: ["execute", "--results", v],
    "execute --timeout": lambda v: ["execute", "--timeout", v],
    "execute --output": lambda v: ["execute", "--output", v],
    "execute -p": lambda v: ["execute", "-p", v, "1"],
    **{f"execute -p {name}": lambda v, name=name: ["execute", "-p", name, v] for name in PARAMETERS},
    "build": lambda v: ["build", v, "--fresh"],
    "build --output": lambda v: ["build", "--output", v],
    "verify": lambda v: ["verify", v, "--profile", "mnist"],
    "verify --profile": lambda v: ["verify", "--profile", v],
    "verify --results": lambda v: ["verify", "--results", v],
    "verify --sample": lambda v: ["verify", "--profile", "mnist", "--sample", v],
    "verify --seed": lambda v: ["verify", "--profile", "mnist", "--seed", v],
    "verify --jobs": lambda v: ["verify", "--profile", "mnist", "--jobs", v],
    "verify --report": lambda v: ["verify", "--profile", "mnist", "--report", v],
    "verify --output": lambda v: ["verify", "--output", v],
    "status --output": lambda v: ["status", "--output", v],
    "pdf --output": lambda v: ["pdf", "--output", v],
    "teach --output": lambda v: ["teach", "--output", v],
    "diff": lambda v: ["diff", v, v],
    "colab": lambda v: ["colab", v],
}


def sources(book):
    return {
        path.name: path.read_bytes()
        for path in [*book.source.iterdir(), *book.root.glob("*.yml"), *book.root.glob("results/*/*")]
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_any_word_on_the_command_line_is_used_or_answered(
    name, book, portion, attacks, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("DFA_CHROMIUM", "/bin/false")
    before = sources(book)
    for text in portion(TEXTS, 6):
        if "\0" in text:  # no word can hold it
            continue
        attacks("inputs of the command line")
        words(capsys, COMMANDS[name](text))
        assert (sources(book) == before) or name.partition(" ")[0] in ("colab", "verify")


COMMAND_OF = {
    "teach": ("DFA_SITE_URL", "DFA_REPOSITORY_URL", "DFA_JUPYTERHUB_URL", "GITHUB_REPOSITORY"),
    "build": ("GITHUB_SERVER_URL", "GITHUB_REF_NAME", "DFA_FOOTER"),
    "status": ("HOME", "COLUMNS", "LANG", "TMPDIR", "JUPYTER_PATH"),
    "execute": ("DFA_DATA_DIR", "DFA_PROGRESS_FILE", "OMP_NUM_THREADS"),
    "pdf": ("DFA_CHROMIUM",),
}
VARIABLES = {name: command for command, names in COMMAND_OF.items() for name in names}


@pytest.mark.parametrize("name", VARIABLES)
def test_any_value_of_a_variable_is_used_or_answered(name, book, portion, attacks, capsys, monkeypatch):
    for text in portion(TEXTS, 6):
        if "\0" in text:  # no variable can hold it
            continue
        attacks("inputs of the environment")
        monkeypatch.setenv(name, text)
        words(capsys, [VARIABLES[name]])
        is_refused(browser)
        is_refused(lambda: site._configured(book, [], []))
        if name == "DFA_DATA_DIR":
            with pytest.raises((RuntimeError, AssertionError)):
                assert data_folder() is None
        with Progress([Run(**SMALL)]) as progress:
            progress.finished(Run(**SMALL))


READERS = [
    ["status"],
    ["execute"],
    ["build"],
    ["teach"],
    ["pdf"],
    ["diff", "_build/html", "_build/html"],
    ["colab"],
]
FILES = [
    *(
        "book/one.ipynb",
        "book/home.md",
        "book/references.bib",
        "_toc.yml",
        "_config.yml",
        "CITATION.cff",
    ),
    *("_build/book/one.ipynb", "_build/.lock.json", "_build/html/index.html", "_build/html/shown.json"),
    *("results/mnist/some.csv", "results/mnist/some.json", "results/confirmations/mine.json"),
]


@pytest.mark.parametrize("name", FILES)
def test_any_content_of_a_file_is_used_or_answered(name, book, portion, attacks, capsys, monkeypatch):
    monkeypatch.setenv("DFA_CHROMIUM", "/bin/false")
    monkeypatch.setenv("DFA_REPOSITORY_URL", "https://github.com/someone/book")
    path = book.root / name
    content = path.read_bytes() if path.exists() else b"{}"
    table = book.root / "results" / "mnist" / "some.csv"
    plain = str(read_results(table))
    others = {other: (book.root / other).read_bytes() for other in FILES[:6]}
    for mangled, command in portion(product(manglings(content).values(), READERS), 12):
        attacks("inputs of files")
        path.write_bytes(mangled)
        words(capsys, command)
        for other, text in others.items():
            if command != ["colab"]:
                assert other == name or (book.root / other).read_bytes() == text, command
            (book.root / other).write_bytes(text)
        path.write_bytes(mangled)
        found = []
        if not is_refused(lambda found=found: found.append(str(read_results(table)))):
            assert found == [plain]
        is_refused(lambda: staleness(table))
        assert len(confirmations(book)[0]) + len(confirmations(book)[1]) == 1
        path.write_bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_or_a_link_in_the_place_of_a_file_is_answered(
    name, book, portion, attacks, capsys, monkeypatch
):
    monkeypatch.setenv("DFA_CHROMIUM", "/bin/false")
    path = book.root / name
    plants = (lambda: path.mkdir(), lambda: path.symlink_to(path), lambda: path.symlink_to("nowhere"))
    for plant, command in portion(product(plants, READERS), 5):
        attacks("planted files and links")
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        plant()
        words(capsys, command)
