"""Whether results are what this code would compute: their records are compared with what is here now."""

from collections.abc import Iterable
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
    """Say what keeps a table from being fresh, as the end of a sentence; None if nothing does.

    It is fresh if each of its runs was trained, or verified, with the numerical code, the torch and the
    data that are here now, and has not changed since. Data that this machine cannot read are taken to be
    those of the record.
    """
    if not path.exists():
        return "is not there"
    unknown = unaccounted(path)
    if unknown:
        return (
            f"holds {_count(unknown)} that its record {path.stem}.json does not know, added or changed "
            f"by other means than training"
        )
    entries = entries_of(path)
    left = runs_in(path).keys() - _spoken_of(entry for entry in entries if misfit(entry) is None)
    for entry in entries:
        about = left & digests_of(entry)
        if about:
            return f"holds {_count(about)} {misfit(entry)}"
    return None


def unaccounted(path: Path) -> set[str]:
    """Return the digests of the runs in a table that its record does not speak of."""
    return runs_in(path).keys() - Record.read(path).digests()


def entries_of(path: Path) -> list[Entry]:
    """Return all entries of a table's record."""
    record = Record.read(path)
    return [*record.sessions, *record.taken, *record.verified]


def misfit(entry: Entry) -> str | None:
    """Say how what an entry of a record was computed with differs from what is here; None if it fits."""
    if same_numbers(entry["library"]) != fingerprint():
        return f"computed with {entry['library']}, while here is {fingerprint()}"
    for name, then in entry["data"].items():
        now = _checksum_here(name)
        if NOT_HERE not in (then, now) and then != now:
            return f"trained on {name} of checksum {then}, while here it is {now}"
    return None


def runs_in(path: Path) -> dict[str, dict[str, str]]:
    """Return the digests of the runs in a results file, and the fields of each."""
    return units_in(path)


def _spoken_of(entries: Iterable[Entry]) -> set[str]:
    return {digest for entry in entries for digest in digests_of(entry)}


def _count(runs: set[str]) -> str:
    return "one run" if len(runs) == 1 else f"{len(runs)} runs"


@cache
def _checksum_here(dataset: str) -> str:
    return checksums([dataset]).get(dataset, NOT_HERE)
