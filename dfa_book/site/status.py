"""Status of chapters: executed, and changed since."""

import hashlib
from datetime import datetime
from pathlib import Path

from dfa_lib.validation import InputError

from .book import Book
from .notebooks import read_notebook


def checksum_of(path: Path) -> str:
    """Return the checksum of a notebook."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def status(book: Book) -> list[dict[str, str]]:
    """Return state, date, seconds and parameters of each chapter's execution.

    ``state`` is ``fresh``, ``stale`` (the notebook has changed), ``missing`` (not executed) or
    ``damaged`` (a notebook cannot be read, and ``problem`` says why).
    """
    rows = []
    for name in book.chapters():
        row = {"chapter": name, "state": "missing", "executed": "", "seconds": "", "parameters": ""}
        row["problem"] = ""
        try:
            read_notebook(book.notebook(name))
            if book.executed(name).exists():
                row |= _execution(book, name)
        except InputError as problem:
            row |= {"state": "damaged", "problem": str(problem)}
        rows.append(row)
    return rows


def _execution(book: Book, name: str) -> dict[str, str]:
    path = book.executed(name)
    metadata = read_notebook(path).metadata
    same = metadata.get("dfa_source") == checksum_of(book.notebook(name))
    try:
        record = metadata["papermill"]
        executed = datetime.fromisoformat(record["start_time"]).astimezone()
        given = {k: v for k, v in record["parameters"].items() if k != "results"}
        seconds = f"{record['duration']:.0f}"
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise InputError(f"{path} was not executed by papermill; execute {name} again.") from problem
    return {
        "state": "fresh" if same else "stale",
        "executed": f"{executed:%Y-%m-%d %H:%M}",
        "seconds": seconds,
        "parameters": " ".join(f"{k}={v}" for k, v in given.items()),
    }
