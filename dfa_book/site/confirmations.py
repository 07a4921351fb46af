"""Reports of stored runs that others have trained again: writing, checking and counting them.

``dfa-book verify --report`` writes a report; ``results/confirmations`` holds those that were sent in.
They are untrusted: each field is checked, and pages escape it.
"""

import json
import re
import reprlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from dfa_lib.experiments.kept_table import units_in
from dfa_lib.experiments.provenance import FIELDS, made_with
from dfa_lib.validation import InputError

from .book import Book
from .freshness import misfit
from .markdown import as_text
from .verify import TOLERANCE, Comparison, results_files

FORMAT = 1
# In the folder of stored results.
FOLDER = "confirmations"
LARGEST = 1_000_000  # bytes
ABOUT = ("commit", "library", "versions", "machine", "data", "date", "seconds")
OF_A_REPORT = {"format", "results", "runs", *ABOUT}
OF_A_RUN = {"file", "digest", "difference", "same_bits"}


class Report(NamedTuple):
    """An accepted report."""

    name: str
    machine: tuple[str, ...]
    """Processor, instructions and GPU, which determine rounding."""
    same_bits: dict[str, bool]
    """Whether each run, by its digest, was reproduced to the same bits."""


def check_place(book: Book, results: Path, path: Path) -> None:
    """Raise ``InputError``, before anything is trained, if no report could be written.

    The results have to be the repository's, the file new, and its folder there.
    """
    if results.resolve().parent != (book.root / "results").resolve():
        raise InputError(
            f"a report is about results that others have too, those in {book.root / 'results'}, and not "
            f"in {results}: name a profile or a folder whose results are stored."
        )
    if path.exists():
        raise InputError(f"{path} is there already: name another file for the report.")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for the report.")


def write_report(path: Path, results: Path, comparisons: Sequence[Comparison], seconds: float) -> None:
    """Write a report of runs that were trained again, with provenance and differences."""
    datasets = sorted({row.run.dataset for row in comparisons})
    report = {
        "format": FORMAT,
        "results": results.resolve().name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        **made_with(datasets),
        "runs": [
            {name: getattr(row, name) for name in ("file", "digest", "difference", "same_bits")}
            for row in comparisons
        ],
    }
    text = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


# ---- reading ----


def confirmations(book: Book) -> tuple[list[Report], list[str]]:
    """Return the accepted reports in ``results/confirmations``, and a sentence for each other one."""
    accepted: list[Report] = []
    refused = []
    for path in sorted((book.root / "results" / FOLDER).glob("*.json")):
        try:
            report = read_report(path, book.root / "results")
            alike = [other.same_bits for other in accepted if other.machine == report.machine]
            if report.same_bits.keys() <= set().union(*alike):
                raise _refusal(path, "all that it says is in another report from such a machine")
            accepted.append(report)
        except InputError as problem:
            refused.append(str(problem))
    return accepted, refused


def read_report(path: Path, stored: Path) -> Report:
    """Return a checked report on runs in the folders of ``stored``, or raise ``InputError``.

    It is refused if it is damaged, of other code or data, of runs that are not stored, or if one of its
    runs did not agree.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise _refusal(path, f"it is larger than {LARGEST:,} bytes")
        report = json.loads(path.read_text(encoding="utf-8"))
    except InputError:
        raise
    except (OSError, ValueError, RecursionError) as problem:
        raise _refusal(path, "it is no JSON") from problem
    if wrong := _misshapen(report):
        raise _refusal(path, wrong)
    if other := misfit(report):
        raise _refusal(path, f"it is {other}")
    folder = stored / report["results"]
    files = {file.name: file for file in results_files(folder)}
    for run in report["runs"]:
        place = f"{report['results']}/{run['file']}"
        if run["file"] not in files or run["digest"] not in units_in(files[run["file"]]):
            raise _refusal(path, f"run {run['digest']} is not stored in {place}")
        if run["difference"] is None or not abs(run["difference"]) <= TOLERANCE:
            raise _refusal(path, f"run {run['digest']} of {place} did not agree")
    machine = tuple(report["machine"][name] for name in ("processor", "instructions", "GPU"))
    return Report(path.name, machine, {run["digest"]: run["same_bits"] for run in report["runs"]})


def _refusal(path: Path, why: str) -> InputError:
    return InputError(f"the report {reprlib.repr(path.name)} is refused: {why}.")


def _misshapen(report: Any) -> str | None:
    """Return what is wrong with the JSON of a report, or None."""
    if not isinstance(report, dict) or report.keys() != OF_A_REPORT or report["format"] != FORMAT:
        return f"it has to be an object with {', '.join(sorted(OF_A_REPORT))}, in format {FORMAT}"
    for name in ABOUT:
        if not FIELDS[name](report[name]):
            return f"its {name} cannot be {reprlib.repr(report[name])}"
    if not _is_name(report["results"]):
        return f"its results cannot be {reprlib.repr(report['results'])}"
    runs = report["runs"]
    if not isinstance(runs, list) or not runs:
        return "it has to list runs"
    for run in runs:
        if not isinstance(run, dict) or run.keys() != OF_A_RUN:
            return f"a run has to have {', '.join(sorted(OF_A_RUN))}"
        difference, same = run["difference"], run["same_bits"]
        checks = {
            "file": isinstance(run["file"], str) and _is_name(run["file"].removesuffix(".csv")),
            "digest": FIELDS["digests"](run["digest"]) and len(run["digest"]) == 12,
            "difference": difference is None or type(difference) in (int, float),
            "same_bits": isinstance(same, bool) and (not same or difference == 0),
        }
        for name, fine in checks.items():
            if not fine:
                return f"a run's {name} cannot be {reprlib.repr(run[name])}"
    digests = [run["digest"] for run in runs]
    if len(set(digests)) < len(digests):
        return "it has a run twice"
    return None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", value) is not None


# ---- counting ----


def confirmed(reports: Sequence[Report], files: Sequence[Path]) -> str:
    """Say on how many kinds of machine runs of some files were confirmed; empty if on none.

    A kind counts as *to the bit* if all runs that it trained had the same bits.
    """
    stored = {digest for path in files if path.exists() for digest in units_in(path)}
    kinds: dict[tuple[str, ...], list[bool]] = {}
    for report in reports:
        reproduced = [same for digest, same in report.same_bits.items() if digest in stored]
        if reproduced:
            kinds.setdefault(report.machine, []).extend(reproduced)
    if not kinds:
        return ""
    exact = sum(all(bits) for bits in kinds.values())
    processors = "; ".join(", ".join(map(as_text, machine[:2])) for machine in sorted(kinds))
    count = "1 machine" if len(kinds) == 1 else f"{len(kinds)} machines"
    return f"confirmed on {count}, {exact} to the bit ({processors})"
