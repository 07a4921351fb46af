"""Where the book and its site are published, and what lets notebooks run there: buttons, Colab cells."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbformat.v4 import new_code_cell

from ..validation import InputError
from .book import Book
from .notebooks import read_notebook

COLAB_CELL = """\
# On Colab, this installs the book's library, dfa_lib. Elsewhere it does nothing.
import importlib.util
import subprocess
import sys

repository = "{url}"  # its address, such as https://github.com/OWNER/NAME
if "google.colab" in sys.modules and importlib.util.find_spec("dfa_lib") is None:
    if not repository:
        raise RuntimeError("Set repository, above, to the address of the book, and run this again.")
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    # Colab's own torch is kept; only what Colab lacks is added.
    subprocess.run([*pip, "--no-deps", f"git+{{repository}}"], check=True)
    subprocess.run([*pip, "cloudpickle", "jaxtyping", "myst-nb"], check=True)"""
COLAB_TAG = "colab"
# As it can stand between quotes, in code and in HTML.
ADDRESS = re.compile(r"https?://[\w.-]+(?::\d+)?(?:/[\w./~%+-]*)?")


class Repository(NamedTuple):
    """An address that others can clone from, and a branch."""

    url: str
    branch: str


def repository(root: Path) -> Repository | None:
    """Return where this copy of the book is published, or None if that is not known.

    ``DFA_REPOSITORY_URL`` says so, or GitHub Actions' own variables, or git's remote ``origin``.
    """
    given = os.environ.get("DFA_REPOSITORY_URL")
    if not given and "GITHUB_REPOSITORY" in os.environ:
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        given = f"{server}/{os.environ['GITHUB_REPOSITORY']}"
    url = _public(given or _git(root, "remote", "get-url", "origin"))
    branch = os.environ.get("GITHUB_REF_NAME") or _git(root, "branch", "--show-current") or "main"
    return Repository(url, branch) if ADDRESS.fullmatch(url) and url.startswith("https://") else None


def site_address(root: Path) -> str:
    """Return where the built site is published, or nothing if that is not known.

    ``DFA_SITE_URL`` says so; without it, a repository on GitHub has its pages.
    """
    given = os.environ.get("DFA_SITE_URL")
    if given:
        return _address("DFA_SITE_URL", given).rstrip("/") + "/"
    published = repository(root)
    found = published and re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", published.url)
    if not found:
        return ""
    host, name = f"{found[1].lower()}.github.io", found[2]
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def _public(url: str) -> str:
    """Return an address as anyone can use it: by https, without a user's name or token."""
    url = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", url.strip())
    url = re.sub(r"^https://[^/]*@", "https://", url)
    return url.removesuffix("/").removesuffix(".git")


def _address(name: str, given: str) -> str:
    if not ADDRESS.fullmatch(given):
        raise InputError(f"{name} must be an address such as https://example.org/book, not {given!r}.")
    return given


def _git(root: Path, *command: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *command], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def launch_config(book: Book) -> dict[str, Any]:
    """Return what the book's configuration needs for launch buttons; nothing where it is not published.

    The buttons open the chapters' sources. Colab has a button if those know where the library is, and a
    JupyterHub if ``DFA_JUPYTERHUB_URL`` names one.
    """
    published = repository(book.root)
    if published is None:
        return {}
    buttons = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
    cell = COLAB_CELL.format(url=published.url)
    paths = [book.notebook(name) for name in book.chapters()]
    if "//github.com/" in published.url and all(cell in _first_code(path) for path in paths):
        buttons["colab_url"] = "https://colab.research.google.com"
    if hub := os.environ.get("DFA_JUPYTERHUB_URL"):
        buttons["jupyterhub_url"] = _address("DFA_JUPYTERHUB_URL", hub)
    return {
        "repository": {
            "url": published.url,
            "branch": published.branch,
            "path_to_book": book.source.relative_to(book.root).as_posix(),
        },
        "launch_buttons": buttons,
    }


def _first_code(path: Path) -> str:
    cells = read_notebook(path).cells
    return next((str(cell.source) for cell in cells if cell.cell_type == "code"), "")


def write_colab_cells(book: Book, url: str) -> list[str]:
    """Make the cell for Colab the first code cell of every chapter; return the chapters that changed.

    Parameters
    ----------
    url
        Where Colab installs ``dfa_lib`` from; without it, the cell asks for the address.

    Raises
    ------
    InputError
        If that is no address, or a chapter cannot be read; nothing has been changed then.
    """
    url = _public(url)
    source = COLAB_CELL.format(url=_address("the repository", url) if url else "")
    # All are read before the first is written: one that cannot be read stops nothing halfway.
    changed = {}
    for name in book.chapters():
        notebook = read_notebook(book.notebook(name))
        cells = [c for c in notebook.cells if COLAB_TAG not in c.metadata.get("tags", [])]
        first = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
        tags = {"tags": [COLAB_TAG, "remove-cell"]}
        own = f"{name.replace('/', '-')}-{COLAB_TAG}"
        cells.insert(first, new_code_cell(source, id=own, metadata=tags))
        if cells != notebook.cells:
            notebook.cells = cells
            changed[name] = notebook
    for name, notebook in changed.items():
        nbformat.write(notebook, book.notebook(name))
    return list(changed)
