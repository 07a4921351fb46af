"""Where the book and its site are published, and what lets notebooks run there: buttons, Colab cells."""

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlencode

import nbformat
from nbformat.v4 import new_code_cell

from dfa_lib.validation import InputError, shown

from .book import Book
from .notebooks import read_notebook

COLAB_CELL = """\
# On Colab, this installs the book's library, dfa_lib. Elsewhere it does nothing.
import importlib.util
import subprocess
import sys

repository = {url}  # its address, such as https://github.com/OWNER/NAME
if "google.colab" in sys.modules and importlib.util.find_spec("dfa_lib") is None:
    if not repository:
        raise RuntimeError("Set repository, above, to the address of the book, and run this again.")
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    # Colab's own torch is kept; only what Colab lacks is added.
    subprocess.run([*pip, "--no-deps", f"git+{{repository}}"], check=True)
    subprocess.run([*pip, "cloudpickle", "jaxtyping", "myst-nb"], check=True)"""
COLAB_TAG = "colab"
# Of the site: the folder of plain notebooks. Of the repository: the branch that has them.
NOTEBOOKS = "_notebooks"
NOTEBOOKS_BRANCH = "notebooks"
# Stands for the name of a page in addresses.
PAGE = "PAGE-NAME"
# A host, perhaps a port, and a path, in characters that mean nothing in HTML, Python or a shell.
ADDRESS = r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9_.~%+/-]*)?"


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
    url = public_address(given or _git(root, "remote", "get-url", "origin"))
    if given:
        checked_address("the repository's address", url)
    branch = os.environ.get("GITHUB_REF_NAME") or _git(root, "branch", "--show-current") or "main"
    return Repository(url, quote(branch)) if re.fullmatch(ADDRESS, url) else None


def site_address(root: Path) -> str:
    """Return where the built site is published, or nothing if that is not known.

    ``DFA_SITE_URL`` says so; without it, a repository on GitHub has its pages.
    """
    given = os.environ.get("DFA_SITE_URL")
    if given:
        return checked_address("DFA_SITE_URL", given, "https?").rstrip("/") + "/"
    published = repository(root)
    found = published and re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", published.url)
    if not found:
        return ""
    host, name = f"{found[1].lower()}.github.io", found[2]
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def other_edition(profiles: Iterable[str]) -> tuple[str, str] | None:
    """Return where the book's other edition is published and on what it is trained, if that is known.

    ``DFA_OTHER_EDITION`` is its address: of the edition of the digits, if this one is of MNIST.
    """
    given = os.environ.get("DFA_OTHER_EDITION")
    if not given:
        return None
    data = "scikit-learn's digits" if "mnist" in profiles else "MNIST"
    return checked_address("DFA_OTHER_EDITION", given, "https?").rstrip("/") + "/", data


def checked_address(name: str, address: str, scheme: str = "https") -> str:
    """Return an address if it is one that a page may link to, with nothing in it that ends a link.

    Raises
    ------
    InputError
        If it is not.
    """
    if not re.fullmatch(ADDRESS.replace("https", scheme, 1), address):
        raise InputError(
            f"{name} must be an address such as https://example.org/book, without a user's name, spaces "
            f"or quotes, not {shown(address.rpartition('@')[2])}."
        )
    return address


def public_address(url: str) -> str:
    """Return an address as anyone can use it: by https, without a user's name or token."""
    url = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", url.strip())
    url = re.sub(r"^(https?://)[^/]*@", r"\1", url)  # a password may have an @ in it
    return url.removesuffix("/").removesuffix(".git")


def _git(root: Path, *command: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *command], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def launch_addresses(book: Book) -> dict[str, str]:
    """Return where others open a page's notebook, by their names; nothing if the book is not published.

    In each address ``PAGE`` stands for the page's name. The notebooks are those of the site, which a
    workflow puts into a branch of the repository. Binder takes its environment from the last tag, so
    that it need not be made anew after each change. Colab opens notebooks that say where the library is,
    and ``DFA_JUPYTERHUB_URL`` may name a JupyterHub.
    """
    published = repository(book.root)
    if published is None:
        return {}
    host, _, path = published.url.removeprefix("https://").partition("/")
    pull = "git-pull?" + urlencode(
        {
            "repo": published.url,
            "branch": NOTEBOOKS_BRANCH,
            "urlpath": f"lab/tree/{path.rpartition('/')[2]}/student/{PAGE}.ipynb",
        }
    )
    kinds = {"github.com": f"gh/{path}", "gitlab.com": f"gl/{quote(path, safe='')}"}
    kind = kinds.get(host, f"git/{quote(published.url, safe='')}")
    tag = quote(_git(book.root, "describe", "--tags", "--abbrev=0")) or published.branch
    found = {"Binder": f"https://mybinder.org/v2/{kind}/{tag}?urlpath={quote(pull, safe='')}"}
    cell = colab_cell(published.url)
    paths = [book.notebook(name) for name in book.chapters()]
    if host == "github.com" and all(cell in _first_code(path) for path in paths):
        colab = "https://colab.research.google.com/github"
        found["Colab"] = f"{colab}/{path}/blob/{NOTEBOOKS_BRANCH}/student/{PAGE}.ipynb"
    if hub := os.environ.get("DFA_JUPYTERHUB_URL"):
        hub = checked_address("DFA_JUPYTERHUB_URL", hub, "https?").rstrip("/")
        found["JupyterHub"] = f"{hub}/hub/user-redirect/{pull}"
    return found


def _first_code(path: Path) -> str:
    cells = read_notebook(path).cells
    return next((str(cell.source) for cell in cells if cell.cell_type == "code"), "")


def colab_cell(url: str) -> str:
    """Return the code of the cell for Colab, with the address as a literal of Python."""
    # JSON's strings are Python's too, and in the quotes that ruff wants.
    return COLAB_CELL.format(url=json.dumps(url))


def write_colab_cells(book: Book, url: str) -> list[str]:
    """Make the cell for Colab the first code cell of every chapter; return the chapters that changed.

    Parameters
    ----------
    url
        Where Colab installs ``dfa_lib`` from; without it, the cell asks for the address.

    Raises
    ------
    InputError
        If it is no address that pip and git can clone from by https. No chapter has changed then.
    """
    source = colab_cell(checked_address("the repository's address", public_address(url)) if url else "")
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
