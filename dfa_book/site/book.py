"""A book: its pages in the order of the table of contents, and where it is staged and built."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import filelock
import yaml

from dfa_lib.validation import InputError

if TYPE_CHECKING:
    from sphinx_external_toc.api import SiteMap

TOC = "_toc.yml"


class Listed(NamedTuple):
    """A page in the table of contents."""

    name: str
    """Its path in the folder of sources, without the ending."""
    part: str
    """The caption of the part that begins with it, if one does."""
    chapter: int | None
    """The number of its chapter, if that has one."""


@dataclass(frozen=True)
class Book:
    """Where a book's sources lie, and where it is staged and built."""

    root: Path
    output: Path

    @property
    def source(self) -> Path:
        """The folder of pages."""
        return self.root / "book"

    @property
    def build(self) -> Path:
        """The folder of all that is made: nothing outside of it is written."""
        return self.output / "_build"

    @property
    def staging(self) -> Path:
        """The folder of executed chapters that the site is built from."""
        return self.build / "book"

    @property
    def html(self) -> Path:
        """The built site."""
        return self.build / "html"

    def pages(self) -> list[Listed]:
        """Return the pages in the order of the table of contents.

        Raises
        ------
        InputError
            If there is no table of contents that Jupyter Book would read.
        """
        # Here, because a chapter on Colab looks for its book, too, and has no packages that build sites.
        from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

        path = self.root / TOC
        try:
            return list(_pages(parse_toc_yaml(path)))
        except (
            MalformedError,
            yaml.YAMLError,
            OSError,
            ValueError,
            TypeError,
            RecursionError,
        ) as problem:
            said = " ".join(str(problem).split())
            raise InputError(f"{path} is not a table of contents of Jupyter Book: {said}.") from problem

    def chapters(self) -> list[str]:
        """Return the names of the notebooks among the pages."""
        return [page.name for page in self.pages() if self.notebook(page.name).is_file()]

    def missing(self) -> list[str]:
        """Return the names of the pages that have no file."""
        return [
            page.name
            for page in self.pages()
            if not any(self.notebook(page.name).with_suffix(end).is_file() for end in (".ipynb", ".md"))
        ]

    def notebook(self, chapter: str) -> Path:
        """Return where a chapter's source lies."""
        return self.source / f"{chapter}.ipynb"

    def executed(self, chapter: str) -> Path:
        """Return where a chapter lies once it is executed."""
        return self.staging / f"{chapter}.ipynb"

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give a folder on the same disk for what is not finished yet; it is gone afterwards."""
        self.build.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".work-", dir=self.build, ignore_cleanup_errors=True) as folder:
            yield Path(folder)


def find_book(output: str | os.PathLike[str] | None = None) -> Book:
    """Return the book whose root is this folder or the nearest one above it.

    Raises
    ------
    InputError
        If there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / TOC).is_file() and (folder / "book").is_dir():
            return Book(folder, Path(output).resolve() if output is not None else folder)
    raise InputError(f"there is no book in {here} or above it: a folder with {TOC} and book/ is needed.")


def read_page(path: Path) -> str:
    """Return the text of a page in Markdown.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} cannot be read: {problem}.") from problem


def read_config(book: Book) -> dict[str, Any]:
    """Return Jupyter Book's configuration, ``_config.yml``.

    Raises
    ------
    InputError
        If it cannot be read, or is no mapping.
    """
    return read_mapping(book.root / "_config.yml")


def read_mapping(path: Path) -> dict[str, Any]:
    """Return what a file of YAML says; errors as of ``read_config``."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as problem:
        raise InputError(f"{path} cannot be read: {' '.join(str(problem).split())}") from problem
    if not isinstance(found, dict):
        raise InputError(f"{path} is no mapping of names to values.")
    return found


def _pages(site: "SiteMap") -> Iterator[Listed]:
    yield Listed(_name(site.root.docname), "", None)
    count = 0
    for part in site.root.subtrees:
        caption = part.caption or ""
        if part.globs():
            raise InputError(f"pages are listed one by one here, not as {part.globs()[0]}")
        for file in part.files():
            count += bool(part.numbered)
            for name in _with_sections(site, file):
                yield Listed(name, caption, count if part.numbered else None)
                caption = ""


def _with_sections(site: "SiteMap", file: str) -> Iterator[str]:
    yield _name(file)
    for section in site[file].child_files():
        yield from _with_sections(site, section)


def _name(file: str) -> str:
    """Return a page's name, which may be listed with its ending."""
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{file} is not in the folder of pages")
    return str(path.with_suffix("") if path.suffix in (".ipynb", ".md") else path)


# ---- writing ----


@contextmanager
def sole_builder(book: Book) -> Iterator[None]:
    """Let no other ``dfa-book`` write a book's ``_build`` while the body runs.

    Raises
    ------
    InputError
        If another does, or the folder cannot be written.
    """
    # The lock's own file is emptied by whoever tries to take it.
    held_by = book.build / ".lock.json"
    lock = filelock.FileLock(book.build / ".lock", blocking=False)
    try:
        book.build.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as problem:
        raise InputError(
            f"{_holder(held_by)} is writing {book.build}, so that nothing was done here: wait until it "
            f"has finished, or name another folder with --output."
        ) from problem
    except OSError as problem:
        raise InputError(
            f"{book.build} cannot be written ({problem.strerror}): name another folder with --output."
        ) from problem
    try:
        with suppress(OSError):  # a full disk
            held_by.write_text(json.dumps({"pid": os.getpid(), "since": f"{datetime.now():%H:%M:%S}"}))
        _tidy_up(book)
        yield
    finally:
        held_by.unlink(missing_ok=True)
        lock.release()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"another dfa-book (process {holder['pid']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun
        return "another dfa-book"


def put_in_place(new: Path, place: Path) -> None:
    """Put a finished file or folder in the place of what was there; both lie on the same disk."""
    old = _old(place)
    if place.is_dir():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.replace(place)
    shutil.rmtree(old, ignore_errors=True)


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _tidy_up(book: Book) -> None:
    """Make good what a kill has left: unfinished work, and a folder that was about to be replaced."""
    for folder in book.build.glob(".work-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for place in (book.html, book.build / "teach"):
        if _old(place).exists() and not place.exists():
            _old(place).rename(place)
        shutil.rmtree(_old(place), ignore_errors=True)
