"""Buttons that open a chapter elsewhere, and the cell that makes it run there."""

import subprocess
import sys
import tomllib
import types
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from packaging.requirements import Requirement

from dfa_book.site.book import Book
from dfa_book.site.build import build_site
from dfa_book.site.cli import main
from dfa_book.site.launch import (
    COLAB_CELL,
    colab_cell,
    launch_addresses,
    other_edition,
    repository,
    site_address,
    write_colab_cells,
)
from dfa_lib import InputError

ROOT = Path(__file__).parents[2]
URL = "https://github.com/someone/companion"
FROM_OUTSIDE = (
    "DFA_REPOSITORY_URL", "DFA_SITE_URL", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL", "GITHUB_REF_NAME"
)  # fmt: skip


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """As on a machine that says nothing about where the book is published."""
    for name in (*FROM_OUTSIDE, "DFA_JUPYTERHUB_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def book(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: one\n", encoding="utf-8")
    cells = [
        new_markdown_cell("# One", id="one-00"),
        new_code_cell('profile = "digits"', id="one-01", metadata={"tags": ["parameters"]}),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book" / "one.ipynb")
    return Book(tmp_path, tmp_path)


def git(folder, *command):
    subprocess.run(["git", "-C", str(folder), *command], check=True, capture_output=True)


# ---- where the book is published ----


@pytest.mark.parametrize(
    "remote",
    [
        f"{URL}.git",
        f"{URL}/",
        "git@github.com:someone/companion.git",
        "ssh://git@github.com/someone/companion.git",
        "https://someone:token@github.com/someone/companion",
        "https://someone:tok@en@github.com/someone/companion",
    ],
)
def test_the_repository_is_gits_origin_as_anyone_can_reach_it(tmp_path, remote):
    git(tmp_path, "init", "--initial-branch", "lectures")
    git(tmp_path, "remote", "add", "origin", remote)
    assert repository(tmp_path) == (URL, "lectures")


def test_a_repository_that_is_on_this_machine_only_is_not_published(tmp_path):
    assert repository(tmp_path) is None
    git(tmp_path, "init")
    assert repository(tmp_path) is None
    git(tmp_path, "remote", "add", "origin", "/somewhere/here")
    assert repository(tmp_path) is None


def test_the_environment_says_where_the_book_is_published(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/companion")
    monkeypatch.setenv("GITHUB_REF_NAME", "spring")
    assert repository(tmp_path) == (URL, "spring")
    monkeypatch.setenv("DFA_REPOSITORY_URL", "https://gitlab.com/other/fork")
    assert repository(tmp_path) == ("https://gitlab.com/other/fork", "spring")
    monkeypatch.setenv("GITHUB_REF_NAME", '"><script>')
    assert repository(tmp_path).branch == "%22%3E%3Cscript%3E"


HOSTILE = (
    "javascript:alert(1)",
    "foo",
    'https://example.org/"><script>alert(1)</script>',
    "https://example.org/ onmouseover=alert(1)",
    "https://example.org/'); import os; os.system('true') #",
    "https://example.org/\\",
    "https://example.org/\nimport os",
    "https://user:pass/word@example.org/",
    "https://example.org/{url}",
)


@pytest.mark.parametrize("address", HOSTILE)
def test_an_address_that_would_be_more_than_a_link_is_refused(book, monkeypatch, address):
    for name, use in (
        ("DFA_REPOSITORY_URL", launch_addresses),
        ("DFA_SITE_URL", lambda book: site_address(book.root)),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, address)
            with pytest.raises(InputError, match=r"must be an address such as https://example\.org"):
                use(book)
    monkeypatch.setenv("DFA_REPOSITORY_URL", URL)
    monkeypatch.setenv("DFA_JUPYTERHUB_URL", address)
    with pytest.raises(InputError, match="DFA_JUPYTERHUB_URL must be an address") as refusal:
        launch_addresses(book)
    assert "pass/word" not in str(refusal.value)


@pytest.mark.parametrize("address", HOSTILE)
def test_an_origin_that_is_no_plain_address_is_not_published(tmp_path, address):
    git(tmp_path, "init")
    git(tmp_path, "remote", "add", "origin", address)
    assert repository(tmp_path) is None


def test_a_hub_and_a_site_may_be_on_this_machine(book, monkeypatch):
    monkeypatch.setenv("DFA_REPOSITORY_URL", URL)
    monkeypatch.setenv("DFA_JUPYTERHUB_URL", "http://localhost:8000/base")
    monkeypatch.setenv("DFA_SITE_URL", "http://127.0.0.1:8000")
    assert launch_addresses(book)["JupyterHub"].startswith(
        "http://localhost:8000/base/hub/user-redirect/"
    )
    assert site_address(book.root) == "http://127.0.0.1:8000/"


# ---- buttons ----


def test_a_book_that_is_not_published_has_no_buttons(book):
    assert launch_addresses(book) == {}


def test_buttons_open_the_plain_notebooks(book, monkeypatch):
    monkeypatch.setenv("DFA_REPOSITORY_URL", URL)
    monkeypatch.setenv("DFA_JUPYTERHUB_URL", "https://hub.example.org")
    write_colab_cells(book, URL)
    found = {name: unquote(address) for name, address in launch_addresses(book).items()}
    pull = f"git-pull?repo={URL}&branch=notebooks&urlpath=lab/tree/companion/student/PAGE-NAME.ipynb"
    assert (
        unquote(found["Binder"]) == f"https://mybinder.org/v2/gh/someone/companion/main?urlpath={pull}"
    )
    assert found["Colab"] == (
        "https://colab.research.google.com/github/someone/companion/blob/notebooks/student/PAGE-NAME.ipynb"
    )
    assert found["JupyterHub"] == f"https://hub.example.org/hub/user-redirect/{pull}"


def test_binder_takes_its_environment_from_the_last_tag(book, monkeypatch):
    monkeypatch.setenv("DFA_REPOSITORY_URL", "https://gitlab.com/a/b/c")
    git(book.root, "init")
    identity = ("-c", "user.name=x", "-c", "user.email=x@y")
    git(book.root, *identity, "commit", "--allow-empty", "-m", "one")
    git(book.root, "tag", "v1.0")
    git(book.root, *identity, "commit", "--allow-empty", "-m", "two")
    assert launch_addresses(book)["Binder"].startswith(
        "https://mybinder.org/v2/gl/a%2Fb%2Fc/v1.0?urlpath="
    )


@pytest.mark.parametrize("address", ["javascript:alert(1)", "foo", 'https://a.org/"onclick="x', "//a"])
@pytest.mark.parametrize("name", ["DFA_JUPYTERHUB_URL", "DFA_OTHER_EDITION", "DFA_SITE_URL"])
def test_what_is_no_address_of_a_site_is_refused(book, monkeypatch, name, address):
    monkeypatch.setenv("DFA_REPOSITORY_URL", URL)
    monkeypatch.setenv(name, address)
    ask = {
        "DFA_JUPYTERHUB_URL": lambda: launch_addresses(book),
        "DFA_OTHER_EDITION": lambda: other_edition(["mnist"]),
        "DFA_SITE_URL": lambda: site_address(book.root),
    }
    with pytest.raises(InputError, match=f"^{name} must be an address such as https://example.org/book"):
        ask[name]()


def test_there_is_no_button_that_leads_to_a_notebook_that_does_not_run(book, monkeypatch):
    monkeypatch.setenv("DFA_REPOSITORY_URL", URL)
    write_colab_cells(book, "")  # Colab would not know where dfa_lib is
    assert set(launch_addresses(book)) == {"Binder"}


def test_a_built_page_has_the_buttons_and_the_sitemap_has_it(book, monkeypatch, tmp_path):
    monkeypatch.setenv("DFA_REPOSITORY_URL", URL)
    monkeypatch.setenv("DFA_JUPYTERHUB_URL", "https://hub.example.org")
    monkeypatch.setenv("DFA_OTHER_EDITION", "https://example.org/mnist/")
    monkeypatch.setenv("DFA_FOOTER", 'There is <a href="https://example.org/">another edition</a>.')
    monkeypatch.chdir(tmp_path)
    write_colab_cells(book, URL)
    config = {
        "execute": {"execute_notebooks": "off"},
        "sphinx": {"extra_extensions": ["dfa_book.site.mathematics", "dfa_book.site.web"]},
    }
    (tmp_path / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    book.staging.mkdir(parents=True)
    notebook = nbformat.read(book.source / "one.ipynb", as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, book.staging / "one.ipynb")
    assert build_site(book) == 0
    page = (book.html / "one.html").read_text(encoding="utf-8")
    links = {str(link["href"]) for link in BeautifulSoup(page, "html.parser").find_all("a", href=True)}
    assert {address.replace("PAGE-NAME", "one") for address in launch_addresses(book).values()} <= links
    assert len(launch_addresses(book)) == 3
    assert "https://example.org/mnist/" in links  # of the first page, which is this one
    assert "This page, trained on MNIST" in page
    assert {f"_notebooks/{edition}/one.ipynb" for edition in ("student", "instructor")} <= links
    for edition in ("student", "instructor"):
        first = nbformat.read(book.html / "_notebooks" / edition / "one.ipynb", as_version=4).cells[0]
        assert "https://someone.github.io/companion/one.html" in first.source
    assert not list(book.html.rglob("_sources/*.ipynb"))
    assert '<meta property="og:url" content="https://someone.github.io/companion/one.html"/>' in page
    assert "google.colab" not in page  # the cell for Colab is not shown
    assert '<a href="https://example.org/">another edition</a>' in page
    assert "<loc>https://someone.github.io/companion/one.html</loc>" in (
        book.html / "sitemap.xml"
    ).read_text(encoding="utf-8")


# ---- the cell for Colab ----


@pytest.fixture
def commands(monkeypatch):
    """What the cell runs, without running it."""
    run = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: run.append((command, check)))
    return run


@pytest.fixture
def colab(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "dfa_lib" else object())


def test_the_cell_does_nothing_outside_colab(commands, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(colab_cell(URL), {})
    exec(colab_cell(""), {})
    assert commands == []


def test_on_colab_the_cell_installs_the_library_and_keeps_colabs_torch(commands, colab):
    exec(colab_cell(URL), {})
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    assert commands == [
        ([*pip, "--no-deps", f"git+{URL}"], True),
        ([*pip, "cloudpickle", "jaxtyping", "myst-nb"], True),
    ]


def test_on_colab_the_cell_does_nothing_where_the_library_is_there(commands, colab, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    exec(colab_cell(URL), {})
    assert commands == []


def test_on_colab_the_cell_asks_for_an_address_that_it_does_not_have(commands, colab):
    with pytest.raises(RuntimeError, match="Set repository, above, to the address of the book"):
        exec(colab_cell(""), {})
    assert commands == []


def test_colab_gets_every_dependency_that_it_does_not_have():
    on_colab = {
        "filelock", "ipykernel", "ipython", "joblib", "matplotlib", "nbformat", "numpy", "pandas",
        "pyyaml", "scikit-learn", "scipy", "torch", "torchvision", "tqdm",
    }  # fmt: skip
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["notebooks"]]
    needed = {Requirement(line).name for line in lines}
    assert {name for name in needed - on_colab if f'"{name}"' not in COLAB_CELL} == set()


def test_the_cell_is_the_first_code_cell_and_can_be_renewed(book):
    assert write_colab_cells(book, "") == ["one"]
    assert write_colab_cells(book, "") == []
    assert write_colab_cells(book, f"{URL}.git") == ["one"]
    cells = nbformat.read(book.source / "one.ipynb", as_version=4).cells
    assert [cell.id for cell in cells] == ["one-00", "one-colab", "one-01"]
    assert cells[1].source == colab_cell(URL)
    assert cells[1].metadata.tags == ["colab", "remove-cell"]


@pytest.mark.parametrize("address", [*HOSTILE, '"; import os; os.system("true") #'])
def test_the_command_writes_nothing_but_an_address_into_chapters(book, monkeypatch, capsys, address):
    monkeypatch.chdir(book.root)
    before = (book.source / "one.ipynb").read_bytes()
    assert main(["colab", address]) == 2
    assert "must be an address such as https://example.org/book" in capsys.readouterr().err
    assert (book.source / "one.ipynb").read_bytes() == before


def test_the_command_takes_the_address_from_where_the_book_is_published(book, monkeypatch, capsys):
    monkeypatch.chdir(book.root)
    monkeypatch.setenv("DFA_REPOSITORY_URL", URL)
    assert main(["colab"]) == 0
    assert f"Colab installs dfa_lib from {URL}." in capsys.readouterr().out
    assert colab_cell(URL) == nbformat.read(book.source / "one.ipynb", 4).cells[1].source


@pytest.mark.parametrize("path", sorted((ROOT / "book").rglob("*.ipynb")), ids=lambda path: path.stem)
def test_every_chapter_begins_with_the_same_cell(path):
    first = next(c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    blank, given = colab_cell("@").split("@")
    assert first.source.startswith(blank)
    assert first.source.endswith(given)
    assert first.id == f"{path.stem}-colab"


def test_binder_has_python_alone_and_then_what_notebooks_need():
    conda, binder = (
        yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
        for name in ("environment.yml", ".binder/environment.yml")
    )
    assert conda["dependencies"][-1] == {"pip": ["-r requirements.txt", "-e ."]}
    assert binder["dependencies"] == conda["dependencies"][:-1]
    assert binder["channels"] == conda["channels"]
    *_, torch, others = (ROOT / ".binder" / "postBuild").read_text(encoding="utf-8").splitlines()
    assert torch.endswith("--index-url https://download.pytorch.org/whl/cpu")
    assert others.endswith('--constraint requirements.txt ".[notebooks]" jupyterlab nbgitpuller')
