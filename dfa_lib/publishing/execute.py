"""Executing chapters with papermill into a staging copy of the book."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from ..data.mnist import data_folder
from ..provenance import commit, read_record
from ..validation import InputError, choice
from .chapter import FOR_THE_SITE, check_parameters
from .checks import problems, typed_results

KERNEL = "python3"
# An hour per chapter, unless told otherwise: a hang must end, thesis scale must not.
TIMEOUT = 3_600.0


@dataclass(frozen=True)
class Book:
    """Where a book's sources lie, and where it is staged and built."""

    root: Path
    output: Path

    @property
    def source(self) -> Path:
        """The folder of chapters."""
        return self.root / "book"

    @property
    def staging(self) -> Path:
        """The folder of executed chapters that the site is built from."""
        return self.output / "_build" / "book"

    @property
    def html(self) -> Path:
        """The built site."""
        return self.output / "_build" / "html"

    def chapters(self) -> list[str]:
        """Return the names of the notebooks, in the order of the table of contents."""
        toc = (self.root / "_toc.yml").read_text(encoding="utf-8")
        found = {path.stem for path in self.source.glob("*.ipynb")}
        return sorted(found, key=lambda name: (toc.find(f" {name}\n") % (len(toc) + 1), name))


def find_book(output: str | os.PathLike[str] | None = None) -> Book:
    """Return the book whose root is this folder or the nearest one above it.

    Raises
    ------
    InputError
        If there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
            return Book(folder, Path(output).resolve() if output is not None else folder)
    raise InputError(
        f"there is no book in {here} or above it: a folder with _toc.yml and book/ is needed."
    )


def execute(
    book: Book,
    chapters: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
    timeout: float = TIMEOUT,
    *,
    fresh: bool = False,
) -> list[str]:
    """Execute chapters into the staging folder, and say how it goes.

    Each is executed to a temporary file, checked, and only then put in place of what was there before.

    Parameters
    ----------
    chapters
        Names of notebooks without the ending; all of them, if empty.
    parameters
        As for papermill; see ``chapter.PARAMETERS``. Without ``results``, the digits' results lie
        beside the staging folder: all chapters together train them anew, named chapters use and extend
        what is there; ``mnist`` uses and extends ``results/mnist``.
    timeout
        Seconds for each chapter.
    fresh
        Train everything anew, into an emptied folder beside the staging folder; ``results/mnist`` stays
        as it is.

    Returns
    -------
    list of str
        The chapters that failed. The others' results are kept.

    Raises
    ------
    InputError
        If a chapter, a parameter's name or its value is not accepted, or both ``fresh`` and ``results``
        are given; nothing has been executed then.
    """
    known = book.chapters()
    for name in chapters:
        choice("a chapter", name, known)
    chosen = [name for name in known if name in chapters] if chapters else known
    given = dict(parameters or {})
    settings = check_parameters(given)
    if settings.results is not None:
        if fresh:
            raise InputError(
                "fresh trains into a folder of its own, so it does not go with results: leave one out."
            )
        folder = settings.results.resolve()
    elif fresh or (settings.profile != "mnist" and not chapters):
        folder = book.output / "_build" / "results" / settings.profile
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder = results_folder(book, settings.profile)
    given["results"] = str(folder)
    before = _runs_trained(folder)

    book.staging.mkdir(parents=True, exist_ok=True)
    failed = []
    width = max(map(len, chosen))
    for name in chosen:
        print(f"{name:{width}}  running …", flush=True)
        start = time.monotonic()
        trouble = _execute_chapter(book, name, given, timeout)
        seconds = time.monotonic() - start
        if trouble:
            failed.append(name)
            print(f"{name:{width}}  FAILED after {seconds:.0f} s", flush=True)
            for sentence in trouble:
                print(f"{'':{width}}  {sentence}", file=sys.stderr, flush=True)
        else:
            print(f"{name:{width}}  done in {seconds:.0f} s", flush=True)
    trained = _runs_trained(folder) - before
    print(f"{trained} runs were trained." if trained else "Nothing was trained: all results were there.")
    return failed


def results_folder(book: Book, profile: str) -> Path:
    """Return where a profile's results lie, unless another folder is named."""
    return (
        book.root / "results" / "mnist"
        if profile == "mnist"
        else book.output / "_build" / "results" / profile
    )


def _runs_trained(folder: Path) -> int:
    return sum(entry["runs"] for path in folder.glob("*.csv") for entry in read_record(path))


def _execute_chapter(book: Book, name: str, parameters: dict[str, Any], timeout: float) -> list[str]:
    """Execute one chapter; return what is wrong with it.

    papermill runs in a process of its own, because only that bounds a run that hangs, be it after the
    last cell. The kernel's folder is the chapter's, so a relative path would lead elsewhere there.
    """
    source = book.source / f"{name}.ipynb"
    typed = typed_results(nbformat.read(source, as_version=4))
    if typed:  # said before hours of training, not after
        return [f"{source.name}, {sentence}" for sentence in typed]
    with tempfile.TemporaryDirectory(prefix="dfa-book-") as folder:
        target = Path(folder) / source.name
        command = [sys.executable, "-m", "papermill", str(source), str(target)]
        command += ["--kernel", KERNEL, "--cwd", str(source.parent), "--no-progress-bar"]
        command += ["--parameters_yaml", json.dumps(parameters)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                env=os.environ | {"DFA_DATA_DIR": str(data_folder().absolute())},
            )
        except subprocess.TimeoutExpired:
            return [f"{source.name} did not finish within {timeout:.0f} s and was stopped."]
        trouble = []
        if target.exists():
            notebook = nbformat.read(target, as_version=4)
            trouble = [f"{source.name}, {sentence}" for sentence in problems(notebook)]
        if done.returncode != 0 and not trouble:
            last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            trouble = [f"{source.name}: papermill failed: {last}"]
        if not trouble:
            _prepare(notebook)
            notebook.metadata["dfa_source"] = _checksum(source)
            notebook.metadata["dfa_commit"] = commit()
            staged = book.staging / f".{source.name}"
            nbformat.write(notebook, staged)
            staged.replace(book.staging / source.name)
        return trouble


def _prepare(notebook: nbformat.NotebookNode) -> None:
    """Make a page of an executed chapter.

    What ``show_figure`` left in the outputs becomes a numbered figure of MyST, and the values that
    papermill was given, paths of this machine among them, do not show.
    """
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"].append("remove-cell")
        outputs = cell.get("outputs", [])
        for output in outputs:
            figure = output.get("metadata", {}).get("dfa_figure")
            if figure is not None:
                cell.metadata["mystnb"] = {
                    "figure": {"name": figure["name"], "caption": figure["caption"]}
                }
                output["data"] = {
                    "text/html": output["data"][FOR_THE_SITE], "text/plain": figure["alt"]
                }  # fmt: skip
        if outputs:
            cell["outputs"] = [o for o in outputs if not _stays_behind(o)]


def _stays_behind(output: nbformat.NotebookNode) -> bool:
    """Whether an output is for Jupyter only: a figure's caption, or the place of a progress line."""
    nothing = "data" in output and not any(output["data"].values())
    return nothing or "dfa_caption" in output.get("metadata", {})


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def status(book: Book) -> list[dict[str, str]]:
    """Return, for each chapter, its ``state``, and when, in how many seconds and how it was executed.

    A state is ``fresh``, ``stale`` (the notebook has changed since) or ``missing`` (not executed).
    """
    rows = []
    for name in book.chapters():
        row = {"chapter": name, "state": "missing", "executed": "", "seconds": "", "parameters": ""}
        staged = book.staging / f"{name}.ipynb"
        if staged.exists():
            metadata = nbformat.read(staged, as_version=4).metadata
            same = metadata.get("dfa_source") == _checksum(book.source / f"{name}.ipynb")
            record = metadata["papermill"]
            executed = datetime.fromisoformat(record["start_time"]).astimezone()
            given = {k: v for k, v in record["parameters"].items() if k != "results"}
            row |= {
                "state": "fresh" if same else "stale",
                "executed": f"{executed:%Y-%m-%d %H:%M}",
                "seconds": f"{record['duration']:.0f}",
                "parameters": " ".join(f"{k}={v}" for k, v in given.items()),
            }
        rows.append(row)
    return rows
