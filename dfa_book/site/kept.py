"""Earlier results: a build reuses those that are fresh."""

from pathlib import Path

from dfa_lib.experiments.provenance import record_path
from dfa_lib.validation import InputError

from ..chapter import PROFILES, Settings
from .book import Book
from .freshness import staleness

# Profile whose results are used and extended in the repository itself.
STORED = "mnist"
# Subfolder of stale tables.
ASIDE = "stale"


def results_folder(book: Book, settings: Settings, *, fresh: bool = False) -> Path:
    """Return the default folder of results; with ``fresh``, never one in the repository.

    Runs on another device or with other epochs than the profile's have their own folder.
    """
    name = settings.profile
    if settings.epochs != PROFILES[settings.profile].epochs:
        name += f"-{settings.epochs}-epochs"
    if settings.device != "cpu":
        name += f"-{settings.device}"
    stored = name == STORED and not fresh
    return (book.root if stored else book.build) / "results" / name


def take_kept(book: Book, folder: Path) -> list[str]:
    """Copy the repository's tables into a folder of ``_build/results``, and return messages.

    Fresh tables that are already there stay.
    """
    kept = book.root / "results" / folder.name
    copied, stale = [], []
    for table in sorted(kept.glob("*.csv")):
        place = folder / table.name
        if place.exists() and _reason(place) is None:
            continue
        if reason := _reason(table):
            stale.append(f"{table.name} ({reason})")
            continue
        if place.exists():
            _put_aside(place)
        folder.mkdir(parents=True, exist_ok=True)
        # The record first, as training does: runs without a record would be stale.
        for source in filter(Path.exists, (record_path(table), table)):
            (folder / source.name).write_bytes(source.read_bytes())
        copied.append(table.name)
    messages = []
    if copied:
        messages.append(f"Taken from {kept}: {', '.join(copied)}.")
    if stale:
        messages.append(f"Not taken from {kept}, and trained anew, because stale: {'; '.join(stale)}.")
    return messages


def put_aside_stale(folder: Path) -> list[str]:
    """Move stale or damaged tables into a subfolder, and return a message that lists them."""
    stale = []
    for table in sorted(folder.glob("*.csv")):
        if reason := _reason(table):
            stale.append(f"{table.name} ({reason})")
            _put_aside(table)
    aside = f"Moved into {folder / ASIDE}, and trained anew, because stale: {'; '.join(stale)}."
    return [aside] if stale else []


def _reason(table: Path) -> str | None:
    """Return why a table is not usable, or None."""
    try:
        return staleness(table)
    except InputError:
        return "its record is damaged"


def _put_aside(table: Path) -> None:
    aside = table.parent / ASIDE
    aside.mkdir(exist_ok=True)
    for path in filter(Path.exists, (table, record_path(table))):
        path.replace(aside / path.name)
