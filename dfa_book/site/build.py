"""Building the site from executed chapters with Jupyter Book."""

import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import yaml
from nbformat import NotebookNode

from dfa_lib.validation import InputError

from ..answers import contradictions, differences
from .book import TOC, Book, put_in_place, read_config, read_page
from .checks import text_problems
from .children import python, run
from .crate import write_data
from .figures import Shown, add_folds, figures, stale_results, write_list
from .launch import NOTEBOOKS, launch_addresses, other_edition, site_address
from .live import write_live
from .notebooks import glued, outputs, read_notebook
from .pictures import CARD, CARD_SAYS, ON_THE_CARD, draw_pictures
from .status import status
from .teach import taught_chapters, write_editions

# Extensions that need the site's address.
OF_A_PUBLISHED_SITE = ("sphinx_sitemap", "sphinxext.opengraph")
SMOKE = (
    "A trial build in the profile <b>smoke</b>: networks are so small, and trained so briefly, that no "
    "number here means anything."
)


def build_site(book: Book) -> int:
    """Build the site; warnings and missing references are errors.

    Nothing is built if a page has a result typed by hand, a figure is drawn from stale results, a page
    contradicts the ledger, or two pages have different values of one result; ``InputError`` if a chapter
    has not been executed yet, or a page has no file. The site replaces the earlier one only when it is
    complete. Return 0 for success, else Jupyter Book's exit status or the number of problems.
    """
    chapters = book.chapters()
    if missing := [name for name in chapters if not book.executed(name).exists()]:
        raise InputError(
            f"the site cannot be built: not executed yet are {', '.join(missing)}; "
            f"run dfa-book build without naming chapters."
        )
    if absent := book.missing():
        raise InputError(
            f"the site cannot be built: {TOC} lists {', '.join(absent)}, for which {book.source} has "
            f"neither a notebook nor a page in Markdown."
        )
    rows = status(book)
    if changed := [row["chapter"] for row in rows if row["state"] == "stale"]:
        names = ", ".join(changed)
        print(f"Changed since they were executed, and on the site as they were: {names}.", flush=True)
    _stage(book, chapters)
    shown = figures(book)
    config = _configured(book, rows, shown)
    (book.staging / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    wrong = [
        f"{path.relative_to(book.source)}: {problem}"
        for path in sorted(book.source.rglob("*.md"))
        for problem in text_problems(read_page(path))
    ]
    wrong += stale_results(shown)
    notebooks = {name: read_notebook(book.executed(name)) for name in chapters}
    displayed = {name: _displayed(notebook) for name, notebook in notebooks.items()}
    wrong += contradictions(displayed, displayed.pop("ledger", None))
    wrong += differences({name: glued(notebook) for name, notebook in notebooks.items()})
    if wrong:
        print("\n".join(wrong), file=sys.stderr, flush=True)
        return len(wrong)
    draw_pictures(book.staging / "_static", shown, config.get("title", ""))
    write_live(book.staging / "_static")
    add_folds(book, shown)
    write_list(book, shown)
    with book.workspace() as folder:
        write_editions(book, folder / NOTEBOOKS)
        return _jupyter_book(book, folder)


def _configured(book: Book, rows: list[dict[str, str]], shown: Sequence[Shown]) -> dict[str, Any]:
    """Return Jupyter Book's configuration with the settings that depend on address and build."""
    config = read_config(book)
    # Pages outside the table of contents are not part of the book.
    config["only_build_toc_files"] = True
    html = config.setdefault("html", {})
    html["baseurl"] = address = site_address(book.root)
    html["extra_footer"] = os.environ.get("DFA_FOOTER", "")
    if any("profile=smoke" in row["parameters"].split() for row in rows):
        html["announcement"] = SMOKE
    sphinx = config.setdefault("sphinx", {})
    own = sphinx.setdefault("config", {})
    own["dfa_notebooks"], own["dfa_launch"] = taught_chapters(book), launch_addresses(book)
    profiles = re.findall(r"profile=(\w+)", " ".join(row["parameters"] for row in rows))
    own["dfa_other_edition"] = other_edition(profiles)
    if address:
        sphinx["extra_extensions"] = [*sphinx.get("extra_extensions", []), *OF_A_PUBLISHED_SITE]
        own |= {
            "sitemap_url_scheme": "{link}",
            "sitemap_excludes": ["404.html"],
            "ogp_site_url": address,
            "ogp_site_name": config.get("title", ""),
            "ogp_type": "article",
            "ogp_social_cards": {"enable": False},
        }
        if any(figure.name == ON_THE_CARD for figure in shown):
            own |= {
                "ogp_image": urljoin(address, f"_static/{CARD}"),
                "ogp_image_alt": CARD_SAYS,
                "ogp_custom_meta_tags": ['<meta name="twitter:card" content="summary_large_image" />'],
            }
    return config


def _displayed(notebook: NotebookNode) -> str:
    """Return the Markdown output of an executed chapter."""
    return "\n".join("".join(o.get("data", {}).get("text/markdown", "")) for o in outputs(notebook))


def _stage(book: Book, chapters: list[str]) -> None:
    """Reduce the staging folder to the executed chapters and the other source files."""
    keep = {book.executed(name) for name in chapters}
    for path in sorted(book.staging.rglob("*"), reverse=True):  # a folder after its content
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in keep:
            path.unlink()
    for path in book.source.rglob("*"):
        inner = path.relative_to(book.source)
        hidden = any(part.startswith(".") for part in inner.parts)
        if path.is_file() and path.suffix != ".ipynb" and not hidden:
            (book.staging / inner).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, book.staging / inner)
    shutil.copyfile(book.root / TOC, book.staging / TOC)


def _jupyter_book(book: Book, folder: Path) -> int:
    """Build the site in a folder that has the notebooks, and replace the earlier one."""
    # A fresh environment: Sphinx's cache would hide warnings of unchanged pages.
    command = [*python("jupyter_book.cli.main:main"), "build", str(book.staging)]
    command += ["--path-output", str(folder), "--all", "-W", "-n", "--keep-going", "-q"]
    status = run(command).returncode
    built = folder / book.html.relative_to(book.output)
    if status == 0 and not (built / "index.html").is_file():
        print("Jupyter Book has built no index.html.", file=sys.stderr, flush=True)
        status = 1
    if status == 0:
        (folder / NOTEBOOKS).replace(built / NOTEBOOKS)
        write_data(book, built)
        put_in_place(built, book.html)
    return status
