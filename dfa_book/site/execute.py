"""Executing chapters with papermill into a staging copy of the book."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from dfa_lib.data.mnist import data_folder
from dfa_lib.experiments.kept_table import units_in
from dfa_lib.experiments.progress import PROGRESS_FILE, duration
from dfa_lib.experiments.provenance import Record, commit, digests_of
from dfa_lib.validation import InputError, choice

from ..chapter import FOR_THE_SITE, MYST, check_parameters
from .book import Book
from .checks import parameter_problems, problems, typed_results
from .children import python, run
from .kept import put_aside_stale, results_folder, take_kept
from .notebooks import read_notebook
from .status import checksum_of
from .verify import is_results

KERNEL = "python3"
# Seconds per chapter by default: long enough for the digits, and a hang ends.
TIMEOUT = 3_600.0
LAST = "ledger"
# Seconds between progress lines in a log.
LOG_INTERVAL = 60.0


def execute(
    book: Book,
    chapters: Sequence[str] = (),
    parameters: dict[str, Any] | None = None,
    timeout: float = TIMEOUT,
    *,
    fresh: bool = False,
) -> list[str]:
    """Execute chapters into the staging folder, report progress, and return the chapters that failed.

    Each is executed to a temporary file, checked, and only then replaces the earlier one. Without
    ``chapters``, all are executed. The parameter ``results`` defaults to ``kept.results_folder``; in
    ``_build/results`` this begins with the tables stored in the repository, and executing all chapters
    moves stale tables aside. ``fresh`` trains everything anew, in an emptied folder, without results of
    the repository. ``timeout`` is in seconds for each chapter. Nothing is executed if a name or a value
    is not accepted (``InputError``).
    """
    known = book.chapters()
    for name in chapters:
        if name not in known and book.notebook(name).is_file():
            raise InputError(f"{name} is not a chapter of the book: enter it in _toc.yml first.")
        choice("a chapter", name, known)
    chosen = [name for name in known if name in chapters] if chapters else known
    # The ledger judges the results of all other chapters, but is not the last page.
    chosen.sort(key=LAST.__eq__)
    if not chosen:
        raise InputError(f"{book.root / '_toc.yml'} lists no notebook that is in {book.source}.")
    given = dict(parameters or {})
    settings = check_parameters(given)
    folder = results_folder(book, settings, fresh=fresh)
    if settings.results is not None:
        if fresh:
            raise InputError(
                "fresh trains into a folder of its own, so it does not go with results: leave one out."
            )
        folder = settings.results.resolve()
    elif fresh:
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.parent == book.build / "results":
        sentences = [] if chapters else put_aside_stale(folder)
        for sentence in [*sentences, *take_kept(book, folder)]:
            print(sentence, flush=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data_folder()
    except OSError as problem:
        raise InputError(
            f"results cannot be saved in {folder} ({problem.strerror}): name another folder."
        ) from problem
    except RuntimeError as problem:
        raise InputError(f"DFA_DATA_DIR does not name a folder: {problem}") from problem
    given["results"] = str(folder)
    before = _runs(folder)

    failed = []
    width = max(map(len, chosen))
    for name in chosen:
        start = time.monotonic()
        trouble = _execute_chapter(book, name, given, timeout, _Shown(f"{name:{width}}"))
        ended = "FAILED after" if trouble else "done in"
        print(f"{name:{width}}  {ended} {time.monotonic() - start:.0f} s", flush=True)
        for sentence in trouble:
            print(f"{'':{width}}  {sentence}", file=sys.stderr, flush=True)
        failed += [name] if trouble else []
    trained = len(_runs(folder) - before)
    if trained or failed:
        print("1 run was trained." if trained == 1 else f"{trained} runs were trained.")
    else:
        print("Nothing was trained: all results were there.")
    return failed


def _runs(folder: Path) -> set[tuple[Path, str]]:
    """Return the runs in a folder's tables, except those copied from other tables."""
    return {
        (path, digest)
        for path in folder.glob("*.csv")
        if is_results(path)
        for digest in units_in(path).keys() - set().union(*map(digests_of, Record.read(path).taken))
    }


class _Shown:
    """Progress of a chapter: one line in a terminal, a line each minute in a log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._terminal = sys.stdout.isatty()
        self._start = self._last = time.monotonic()
        print(f"{name}  running …", end="" if self._terminal else "\n", flush=True)

    def __call__(self, progress: Path) -> None:
        """Show the library's progress line from a file, which exists during training."""
        now = time.monotonic()
        try:
            line = progress.read_text(encoding="utf-8")
        except OSError:
            line = f"running for {duration(now - self._start)}"
        if self._terminal:
            self._rewrite(f"{self._name}  {line}")
        elif now - self._last >= LOG_INTERVAL:
            self._last = now
            print(f"{self._name}  {line}", flush=True)

    def close(self) -> None:
        """Clear the line."""
        if self._terminal:
            self._rewrite("")

    def _rewrite(self, line: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{line[:width]}\x1b[K", end="", flush=True)


def _execute_chapter(
    book: Book, name: str, parameters: dict[str, Any], timeout: float, shown: _Shown
) -> list[str]:
    """Execute one chapter and return its problems.

    papermill runs in its own process, because only that bounds a hang after the last cell. The kernel
    runs in the chapter's folder, so paths have to be absolute.
    """
    source = book.notebook(name)
    try:
        chapter = read_notebook(source)
        checksum = checksum_of(source)
        wrong = [f"{source.name}: {text}." for text in parameter_problems(chapter)]
        wrong += [f"{source.name}, {text}" for text in typed_results(chapter)]
        if wrong:  # report before hours of training
            return wrong
        before = _of_others(book, name, parameters["results"])
        with book.workspace() as folder:
            target = folder / source.name
            trouble = _papermill(source, target, parameters, timeout, shown)
            after = _of_others(book, name, parameters["results"])
            for path in [path for path, state in before.items() if after.get(path) != state]:
                if path.is_relative_to(book.source):
                    print(f"{path} has changed meanwhile: by its author, or by a cell of {name}.")
                else:
                    trouble.append(f"{source.name} has changed or removed {path}, which is not its own.")
            if not trouble:
                notebook = read_notebook(target)
                _prepare(notebook)
                notebook.metadata["dfa_source"] = checksum
                notebook.metadata["dfa_commit"] = commit()
                nbformat.write(notebook, target)
                book.executed(name).parent.mkdir(parents=True, exist_ok=True)
                target.replace(book.executed(name))
            return trouble
    except InputError as problem:  # a notebook that cannot be read
        return [str(problem)]
    finally:
        shown.close()


def _of_others(book: Book, name: str, results: str) -> dict[Path, int]:
    """Return files that a chapter must not change: other chapters with their times, and tables."""
    changed = {
        path: path.stat().st_mtime_ns
        for other in book.chapters()
        for path in (book.notebook(other), book.executed(other))
        if other != name and path.exists()
    }
    return changed | dict.fromkeys(Path(results).glob("*.csv"), 0)  # tables grow


def _papermill(
    source: Path, target: Path, parameters: dict[str, Any], timeout: float, shown: _Shown
) -> list[str]:
    progress = target.with_name("progress")
    command = [*python("papermill.cli:papermill"), str(source), str(target)]
    command += ["--kernel", KERNEL, "--cwd", str(source.parent), "--no-progress-bar"]
    command += ["--parameters_yaml", json.dumps(parameters)]
    given = {"DFA_DATA_DIR": str(data_folder().absolute()), PROGRESS_FILE: str(progress)}
    # Oversubscribed threads that wait for each other take minutes instead of a second.
    given |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    given["JUPYTER_PATH"] = str(Path(sys.prefix, "share", "jupyter"))  # this environment's kernel
    try:
        done = run(
            command,
            timeout=timeout,
            meanwhile=lambda: shown(progress),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | given,
        )
    except subprocess.TimeoutExpired:
        return [f"{source.name} did not finish within {timeout:.0f} s and was stopped."]
    trouble = []
    if target.exists():
        trouble = [f"{source.name}, {sentence}" for sentence in problems(read_notebook(target))]
    if done.returncode != 0 and not trouble:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        trouble = [f"{source.name}: papermill failed: {last}"]
    return trouble


def _prepare(notebook: nbformat.NotebookNode) -> None:
    """Turn an executed chapter into a page.

    Outputs of ``show`` become MyST, and those of ``show_figure`` its numbered figures; papermill's
    parameters, which include paths of this machine, are hidden.
    """
    for cell in notebook.cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"].append("remove-cell")
        outputs = cell.get("outputs", [])
        for output in outputs:
            figure = output.get("metadata", {}).get("dfa_figure")
            if MYST in output.get("data", {}):
                output["data"] = {"text/markdown": output["data"][MYST]}
            if figure is not None:
                about = {"name": figure["name"], "caption": figure["caption"]}
                cell.metadata["mystnb"] = {"figure": about}
                drawn = output["data"][FOR_THE_SITE]
                output["data"] = {"text/html": drawn, "text/plain": figure["alt"]}
        if outputs:
            cell["outputs"] = [o for o in outputs if not _stays_behind(o)]


def _stays_behind(output: nbformat.NotebookNode) -> bool:
    """Return whether an output is for Jupyter only: a figure's caption, or a cleared progress line."""
    nothing = "data" in output and not any(output["data"].values())
    return nothing or "dfa_caption" in output.get("metadata", {})
