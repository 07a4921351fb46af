"""Addresses of the published book, launch buttons for notebooks, and Colab cells."""

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
# The site's folder of plain notebooks, and the repository's branch with the same.
NOTEBOOKS = "_notebooks"
NOTEBOOKS_BRANCH = "notebooks"
# Placeholder for a page's name in addresses.
PAGE = "PAGE-NAME"
# Host, optional port and path, without characters that are special in HTML, Python or a shell.
ADDRESS = r"https://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9_.~%+/-]*)?"


class Repository(NamedTuple):
    """The public address of a repository, and a branch."""

    url: str
    branch: str


def repository(root: Path) -> Repository | None:
    """Return where this copy of the book is published, or None if unknown.

    Sources are ``DFA_REPOSITORY_URL``, the variables of GitHub Actions, and git's remote ``origin``.
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
    """Return the address of the published site, or an empty string if unknown.

    It is ``DFA_SITE_URL``, or GitHub Pages of a repository on GitHub.
    """
    given = os.environ.get("DFA_SITE_URL")
    if given:
        return checked_address("DFA_SITE_URL", given, "https?").rstrip("/") + "/"
    published = repository(root)
    match = published and re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", published.url)
    if not match:
        return ""
    host, name = f"{match[1].lower()}.github.io", match[2]
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
    """Return an address if it matches ``ADDRESS``, and so is safe in a link; else ``InputError``."""
    if not re.fullmatch(ADDRESS.replace("https", scheme, 1), address):
        raise InputError(
            f"{name} must be an address such as https://example.org/book, without a user's name, spaces "
            f"or quotes, not {shown(address.rpartition('@')[2])}."
        )
    return address


def public_address(url: str) -> str:
    """Return an address by https, without user name or token."""
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
    """Return addresses that open a page's notebook, by service; empty if the book is not published.

    ``PAGE`` stands for the page's name. Notebooks come from the branch into which a workflow puts those
    of the site. Binder builds its environment from the last tag, so that changes do not rebuild it.
    Colab needs notebooks with the library's address; ``DFA_JUPYTERHUB_URL`` may name a JupyterHub.
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
    addresses = {"Binder": f"https://mybinder.org/v2/{kind}/{tag}?urlpath={quote(pull, safe='')}"}
    cell = colab_cell(published.url)
    paths = [book.notebook(name) for name in book.chapters()]
    if host == "github.com" and all(cell in _first_code(path) for path in paths):
        colab = "https://colab.research.google.com/github"
        addresses["Colab"] = f"{colab}/{path}/blob/{NOTEBOOKS_BRANCH}/student/{PAGE}.ipynb"
    if hub := os.environ.get("DFA_JUPYTERHUB_URL"):
        hub = checked_address("DFA_JUPYTERHUB_URL", hub, "https?").rstrip("/")
        addresses["JupyterHub"] = f"{hub}/hub/user-redirect/{pull}"
    return addresses


def _first_code(path: Path) -> str:
    cells = read_notebook(path).cells
    return next((str(cell.source) for cell in cells if cell.cell_type == "code"), "")


def colab_cell(url: str) -> str:
    """Return the code of the cell for Colab."""
    # A JSON string is a Python literal, too, with ruff's quotes.
    return COLAB_CELL.format(url=json.dumps(url))


def write_colab_cells(book: Book, url: str) -> list[str]:
    """Make the cell for Colab the first code cell of every chapter; return the chapters that changed.

    Colab installs ``dfa_lib`` from ``url``; if it is empty, the cell asks for the address. An address
    that cannot be cloned by https raises ``InputError`` before any chapter changes.
    """
    source = colab_cell(checked_address("the repository's address", public_address(url)) if url else "")
    # Read all before writing any, so that an unreadable notebook changes nothing.
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
