"""A book: its pages in the order of the table of contents, and its folders."""

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
UNREADABLE = (OSError, ValueError, RecursionError, yaml.YAMLError)
"""What reading a YAML file raises; of deeply nested ones, a RecursionError."""


class Listed(NamedTuple):
    """A page in the table of contents."""

    name: str
    """Path in the folder of sources, without suffix."""
    part: str
    """Caption of the part that begins with this page, or empty."""
    chapter: int | None
    """Number of the chapter, if any."""


@dataclass(frozen=True)
class Book:
    """Folders of a book's sources and of its output."""

    root: Path
    output: Path

    @property
    def source(self) -> Path:
        """The folder of source pages."""
        return self.root / "book"

    @property
    def build(self) -> Path:
        """The folder of all output; nothing outside of it is written."""
        return self.output / "_build"

    @property
    def staging(self) -> Path:
        """The folder of executed chapters, from which the site is built."""
        return self.build / "book"

    @property
    def html(self) -> Path:
        """The built site."""
        return self.build / "html"

    def pages(self) -> list[Listed]:
        """Return the pages in the order of the table of contents, or raise ``InputError``."""
        # Imported here, because chapters call find_book on Colab, too, which lacks this package.
        from sphinx_external_toc.parsing import MalformedError, parse_toc_yaml

        path = self.root / TOC
        try:
            return list(_pages(parse_toc_yaml(path)))
        except (MalformedError, TypeError, *UNREADABLE) as problem:
            reason = " ".join(str(problem).split())
            raise InputError(
                f"{path} is not a table of contents of Jupyter Book: {reason}."
            ) from problem

    def chapters(self) -> list[str]:
        """Return the names of the pages that are notebooks."""
        return [page.name for page in self.pages() if self.notebook(page.name).is_file()]

    def missing(self) -> list[str]:
        """Return the names of pages without a file."""
        return [
            page.name
            for page in self.pages()
            if not any(self.notebook(page.name).with_suffix(end).is_file() for end in (".ipynb", ".md"))
        ]

    def notebook(self, chapter: str) -> Path:
        """Return the source of a chapter."""
        return self.source / f"{chapter}.ipynb"

    def executed(self, chapter: str) -> Path:
        """Return the place of an executed chapter."""
        return self.staging / f"{chapter}.ipynb"

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Provide a temporary folder on the same disk for unfinished output."""
        self.build.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".work-", dir=self.build, ignore_cleanup_errors=True) as folder:
            yield Path(folder)


def find_book(output: str | os.PathLike[str] | None = None) -> Book:
    """Return the book in this folder or the nearest one above it, or raise ``InputError``."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / TOC).is_file() and (folder / "book").is_dir():
            return Book(folder, Path(output).resolve() if output is not None else folder)
    raise InputError(f"there is no book in {here} or above it: a folder with {TOC} and book/ is needed.")


def read_page(path: Path) -> str:
    """Return the text of a Markdown page, or raise ``InputError``."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} cannot be read: {problem}.") from problem


def read_config(book: Book) -> dict[str, Any]:
    """Return Jupyter Book's configuration, ``_config.yml``, or raise ``InputError``."""
    return read_mapping(book.root / "_config.yml")


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, or raise ``InputError``."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except UNREADABLE as problem:
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
    """Return a page's name, which may be listed with its suffix."""
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{file} is not in the folder of pages")
    return str(path.with_suffix("") if path.suffix in (".ipynb", ".md") else path)


# ---- writing ----


@contextmanager
def sole_builder(book: Book) -> Iterator[None]:
    """Lock a book's ``_build`` against other ``dfa-book`` processes, or raise ``InputError``."""
    # Not in the lock file itself, which every attempt to lock truncates.
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
    except (OSError, ValueError, KeyError, TypeError):  # not written yet
        return "another dfa-book"


def put_in_place(new: Path, place: Path) -> None:
    """Replace a file or folder by a finished one on the same disk."""
    old = _old(place)
    if place.is_dir():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    new.replace(place)
    shutil.rmtree(old, ignore_errors=True)


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _tidy_up(book: Book) -> None:
    """Clean up after a kill: remove temporary folders, restore a folder that was being replaced."""
    for folder in book.build.glob(".work-*"):
        shutil.rmtree(folder, ignore_errors=True)
    for place in (book.html, book.build / "teach"):
        if _old(place).exists() and not place.exists():
            _old(place).rename(place)
        shutil.rmtree(_old(place), ignore_errors=True)
