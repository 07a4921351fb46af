"""Building the site from the executed chapters with Jupyter Book."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from ..validation import InputError
from .checks import text_problems
from .execute import Book
from .figures import add_folds, figures, stale_results, write_list
from .launch import launch_config, site_address
from .pictures import draw_pictures


def build_site(book: Book) -> int:
    """Build the site; warnings are errors, missing references too.

    Nothing is built where a page has a result typed by hand, or a figure is drawn from stale results.

    Returns
    -------
    int
        0 where all went well; Jupyter Book's exit status, or how many sentences said what is wrong.

    Raises
    ------
    InputError
        If a chapter has not been executed yet.
    """
    missing = [name for name in book.chapters() if not (book.staging / f"{name}.ipynb").exists()]
    if missing:
        raise InputError(
            f"the site cannot be built: not executed yet are {', '.join(missing)}; "
            f"run dfa-book build without naming chapters."
        )
    for path in book.source.iterdir():
        if path.is_dir() and not path.name.startswith("."):
            shutil.copytree(path, book.staging / path.name, dirs_exist_ok=True)
        elif path.suffix in (".md", ".bib"):
            shutil.copyfile(path, book.staging / path.name)
    shutil.copyfile(book.root / "_toc.yml", book.staging / "_toc.yml")
    config = yaml.safe_load((book.root / "_config.yml").read_text(encoding="utf-8")) or {}
    config |= launch_config(book)
    html = config.setdefault("html", {})
    html["baseurl"] = site_address(book.root)
    html["extra_footer"] = os.environ.get("DFA_FOOTER", "")
    shown = figures(book)
    (book.staging / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    wrong = [
        f"{path.relative_to(book.source)}: {said}"
        for path in sorted(book.source.rglob("*.md"))
        for said in text_problems(path.read_text(encoding="utf-8"))
    ]
    wrong += stale_results(shown)
    if wrong:
        print("\n".join(wrong), file=sys.stderr, flush=True)
        return len(wrong)
    draw_pictures(book.staging / "_static", shown, config.get("title", ""))
    add_folds(book, shown)
    write_list(book, shown)
    return _jupyter_book(book)


def _jupyter_book(book: Book) -> int:
    # What an earlier build had may be no more, and pages of the source would not be written again.
    shutil.rmtree(book.html, ignore_errors=True)
    # A fresh environment: Sphinx's cache keeps warnings of pages that did not change to itself.
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", str(book.staging)]
    command += ["--path-output", str(book.output), "--all", "-W", "-n", "--keep-going", "-q"]
    return subprocess.run(command, check=False).returncode
