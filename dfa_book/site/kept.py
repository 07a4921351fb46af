"""What a build finds of earlier results: it goes on from those that are fresh."""

from pathlib import Path

from dfa_lib.experiments.provenance import record_path
from dfa_lib.validation import InputError

from ..chapter import PROFILES, Settings
from .book import Book
from .freshness import staleness

# The profile whose results are stored in the repository, and are used and extended where they are.
STORED = "mnist"
# Below a folder of results: tables that are not used any more.
ASIDE = "stale"


def results_folder(book: Book, settings: Settings, *, fresh: bool = False) -> Path:
    """Return where results lie, if no folder is named; ``fresh`` ones never are in the repository.

    Runs on another device, or of other epochs than the profile's, are other experiments, and have a
    folder of their own.
    """
    name = settings.profile
    if settings.epochs != PROFILES[settings.profile].epochs:
        name += f"-{settings.epochs}-epochs"
    if settings.device != "cpu":
        name += f"-{settings.device}"
    stored = name == STORED and not fresh
    return (book.root if stored else book.build) / "results" / name


def take_kept(book: Book, folder: Path) -> list[str]:
    """Copy the tables that the repository keeps for a folder of ``_build/results`` into it.

    A table that is there already, and fresh, stays. Return sentences for what a person should know.
    """
    kept = book.root / "results" / folder.name
    copied, stale = [], []
    for table in sorted(kept.glob("*.csv")):
        place = folder / table.name
        if place.exists() and _reason(place) is None:
            continue
        reason = _reason(table)
        if reason is not None:
            stale.append(f"{table.name} ({reason})")
            continue
        if place.exists():
            _put_aside(place)
        folder.mkdir(parents=True, exist_ok=True)
        # The record first, as training does: a run that no record knows would not be fresh.
        for source in (record_path(table), table):
            if source.exists():
                (folder / source.name).write_bytes(source.read_bytes())
        copied.append(table.name)
    said = []
    if copied:
        said.append(f"Taken from {kept}: {', '.join(copied)}.")
    if stale:
        said.append(f"Not taken from {kept}, and trained anew, because stale: {'; '.join(stale)}.")
    return said


def put_aside_stale(folder: Path) -> list[str]:
    """Move the tables of a folder that are not fresh, or damaged, into one below it, and say which."""
    stale = []
    for table in sorted(folder.glob("*.csv")):
        reason = _reason(table)
        if reason is not None:
            stale.append(f"{table.name} ({reason})")
            _put_aside(table)
    aside = f"Moved into {folder / ASIDE}, and trained anew, because stale: {'; '.join(stale)}."
    return [aside] if stale else []


def _reason(table: Path) -> str | None:
    """Say why a table is not to be used; None if it is."""
    try:
        return staleness(table)
    except InputError:
        return "its record is damaged"


def _put_aside(table: Path) -> None:
    aside = table.parent / ASIDE
    aside.mkdir(exist_ok=True)
    for path in (table, record_path(table)):
        if path.exists():
            path.replace(aside / path.name)
