"""Freshness of results: whether this code, torch and data would compute them again."""

from functools import cache
from pathlib import Path

from dfa_lib.experiments.kept_table import units_in
from dfa_lib.experiments.provenance import (
    NOT_HERE,
    Entry,
    Record,
    checksums,
    digests_of,
    fingerprint,
    same_numbers,
)


def staleness(path: Path) -> str | None:
    """Return why a table is stale, as the end of a sentence, or None.

    A table is fresh if each of its runs was trained or verified with the current numerical code, torch
    and data, and has not changed since. Data that this machine lacks are assumed to be the same.
    """
    if not path.exists():
        return "is not there"
    unknown = unaccounted(path)
    if unknown:
        return (
            f"holds {_count(unknown)} that its record {path.stem}.json does not know, added or changed "
            f"by other means than training"
        )
    entries = Record.read(path).entries
    left = units_in(path).keys() - {d for e in entries if misfit(e) is None for d in digests_of(e)}
    for entry in entries:
        about = left & digests_of(entry)
        if about:
            return f"holds {_count(about)} {misfit(entry)}"
    return None


def unaccounted(path: Path) -> set[str]:
    """Return the digests of the runs in a table that are not in its record."""
    return units_in(path).keys() - Record.read(path).digests()


def misfit(entry: Entry) -> str | None:
    """Return how the code or data of an entry differ from the current ones, or None."""
    if same_numbers(entry["library"]) != fingerprint():
        return f"computed with {entry['library']}, while here is {fingerprint()}"
    for name, then in entry["data"].items():
        now = _checksum_here(name)
        if NOT_HERE not in (then, now) and then != now:
            return f"trained on {name} of checksum {then}, while here it is {now}"
    return None


def _count(runs: set[str]) -> str:
    return "one run" if len(runs) == 1 else f"{len(runs)} runs"


@cache
def _checksum_here(dataset: str) -> str:
    return checksums([dataset]).get(dataset, NOT_HERE)
