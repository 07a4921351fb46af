"""Building the site from the executed chapters with Jupyter Book."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from ..validation import InputError
from .execute import Book
from .launch import launch_config


def build_site(book: Book) -> int:
    """Build the site; warnings are errors, missing references too.

    Returns
    -------
    int
        Jupyter Book's exit status: 0 where all went well.

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
    for name in ("_config.yml", "_toc.yml"):
        shutil.copyfile(book.root / name, book.staging / name)
    with (book.staging / "_config.yml").open("a", encoding="utf-8") as config:
        for name, value in launch_config(book).items():
            config.write(f"\n{name}: {json.dumps(value)}\n")  # JSON is YAML
    # A fresh environment: Sphinx's cache keeps warnings of pages that did not change to itself.
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", str(book.staging)]
    command += ["--path-output", str(book.output), "--all", "-W", "-n", "--keep-going", "-q"]
    return subprocess.run(command, check=False).returncode
