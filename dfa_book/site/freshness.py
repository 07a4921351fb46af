"""Whether results are what this code would compute: their records are compared with what is here now."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from dfa_lib.experiments.provenance import (
    NOT_HERE,
    Entry,
    Record,
    checksums_here,
    digests_of,
    fingerprint,
    same_numbers,
)
from dfa_lib.experiments.results import digests


def staleness(path: Path) -> str | None:
    """Say what keeps a results file from being fresh, as the end of a sentence; None if nothing does.

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
        # Of an entry without digests it is not known which runs it speaks of: of those that are left.
        about = left & digests_of(entry) if "digests" in entry else left
        if about and misfit(entry) is not None:
            return f"holds {_count(about)} {misfit(entry)}"
    return None


def unaccounted(path: Path) -> set[str]:
    """Return the digests of the runs in a results file that its record does not speak of."""
    record = Record.read(path)
    unknown = runs_in(path).keys() - _spoken_of(_own(record))
    # A verification has given digests to all that sessions without any had trained.
    old = [e for e in record.sessions if "digests" not in e and not record.verified]
    allowed = sum(entry["runs"] for entry in old)
    if old or not _own(record):  # runs were once taken from other files without a word
        elsewhere = {digest for other in _beside(path) for digest in runs_in(other)}
        allowed += len(unknown & elsewhere)
    return unknown if len(unknown) > allowed else set()


def entries_of(path: Path) -> list[Entry]:
    """Return the entries of a file's record, and of those that it took runs from without a word."""
    entries = _own(Record.read(path))
    unknown = runs_in(path).keys() - _spoken_of(entries)
    for other in _beside(path) if unknown else []:
        if unknown & runs_in(other).keys():
            entries += _own(Record.read(other))
    return entries


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
    return _digests(path.read_text(encoding="utf-8", errors="replace"))


_digests = cache(digests)  # every figure that is drawn from a file asks for it


def _own(record: Record) -> list[Entry]:
    return [*record.sessions, *record.taken, *record.verified]


def _beside(path: Path) -> list[Path]:
    return [other for other in sorted(path.parent.glob("*.csv")) if other != path]


def _spoken_of(entries: Iterable[Entry]) -> set[str]:
    return {digest for entry in entries for digest in digests_of(entry)}


def _count(runs: set[str]) -> str:
    return "one run" if len(runs) == 1 else f"{len(runs)} runs"


@cache
def _checksum_here(dataset: str) -> str:
    return checksums_here([dataset]).get(dataset, NOT_HERE)
