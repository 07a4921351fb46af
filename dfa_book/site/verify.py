"""Training results again, to see whether they are what the files say."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dfa_lib.experiments import run_histories
from dfa_lib.experiments.kept_table import sole_writer
from dfa_lib.experiments.provenance import Record, made_with
from dfa_lib.experiments.results import COLUMNS, histories_in, run_digest, runs_table
from dfa_lib.training import METRICS, History, Run
from dfa_lib.validation import InputError, choice, whole_number

from .freshness import runs_in, unaccounted

# Another processor rounds differently, and over thousands of steps a run drifts; the same one does not.
TOLERANCE = 0.02


class Comparison(NamedTuple):
    """A run in a results file, and the same run trained again."""

    file: str
    run: Run
    stored: float  # test accuracy of the last epoch
    again: float
    same_bits: bool  # of every stored metric in every epoch
    digest: str  # of the stored run

    @property
    def agrees(self) -> bool:
        """Whether the accuracies differ by no more than ``TOLERANCE``, or both runs diverged."""
        both_diverged = self.stored != self.stored and self.again != self.again
        return both_diverged or abs(self.stored - self.again) <= TOLERANCE


def verify(
    folder: Path, sample: int, *, only: Sequence[str] = (), jobs: int = 1, seed: int = 0
) -> list[Comparison]:
    """Train runs again that are picked at random from each results file of a folder.

    Runs that a file's record does not know are picked first.

    Parameters
    ----------
    sample
        How many of each file; all, if there are not as many.
    only
        The experiments to pick from, such as ``"sgd"``; all, if none is named.
    jobs
        As for ``run_all``.
    seed
        Decides which.

    Raises
    ------
    InputError
        If the folder has no results, or not of what is named, or a number is not accepted.
    """
    sample, chance = whole_number("sample", sample), random.Random(seed)
    picked: list[tuple[str, History]] = []
    files = {path.stem: path for path in results_files(folder)}
    for name in only:
        choice("experiment", name, files)
    for path in [files[name] for name in only or files]:
        stored = list(histories_in(runs_table(path), unknown=True).values())
        unknown = unaccounted(path)
        chance.shuffle(stored)
        stored.sort(key=lambda history: run_digest(history) not in unknown)
        picked += [(path.name, history) for history in stored[:sample]]
    if not picked:
        raise InputError(f"there are no results in {folder}: train some first.")
    again = run_histories([history.run for _, history in picked], jobs=jobs)
    return [_compare(name, history, again[history.run]) for name, history in picked]


def certify(folder: Path, comparisons: Sequence[Comparison]) -> list[str]:
    """Write into the records of results files that runs of theirs were trained again and agreed.

    That speaks for all runs of a file that its record knows, and for those that were trained again.

    Returns
    -------
    list of str
        The files whose records now say so: all that were sampled, or none if any run did not agree.

    Raises
    ------
    InputError
        If another process is writing a file.
    """
    if not all(row.agrees for row in comparisons):
        return []
    names = sorted({row.file for row in comparisons})
    for name in names:
        path, rows = folder / name, [row for row in comparisons if row.file == name]
        with sole_writer(path):
            record, trained_again = Record.read(path), {row.digest for row in rows}
            stored = runs_in(path)
            vouched_for = stored.keys() - (unaccounted(path) - trained_again)
            datasets = sorted({fields["dataset"] for fields in stored.values()})
            bits = sum(row.same_bits for row in rows)
            record.verified = [
                {
                    "date": datetime.now(UTC).isoformat(timespec="seconds"),
                    "sample": len(rows),
                    "agreement": f"{bits} to the same bits, the others within {TOLERANCE:g}"
                    if bits < len(rows)
                    else "to the same bits",
                    **made_with(datasets),
                    "runs": len(vouched_for),
                    "digests": " ".join(sorted(vouched_for)),
                }
            ]
            record.write(path)
    return names


def results_files(folder: Path) -> Sequence[Path]:
    """Return the results files of a folder, by name.

    Other tables are left out, and runs of what a chapter has registered, which is known there only.
    """
    found = (path for path in sorted(folder.glob("*.csv")) if is_results(path))
    return [path for path in found if "@" not in path.read_text(encoding="utf-8", errors="replace")]


def is_results(path: Path) -> bool:
    """Whether a CSV holds runs, and not a table of another kind."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return set(COLUMNS) <= set(file.readline().strip().split(","))


def _compare(name: str, stored: History, again: History) -> Comparison:
    return Comparison(
        name,
        stored.run,
        stored.test_accuracy[-1],
        again.test_accuracy[-1],
        _same_bits(stored, again),
        run_digest(stored),
    )


def _same_bits(stored: History, again: History) -> bool:
    """Compare what was measured when the run was stored: later code may measure more."""
    measured = [name for name in METRICS if not all(math.isnan(x) for x in getattr(stored, name))]
    # As text, because nan is not equal to itself.
    return all(str(getattr(stored, name)) == str(getattr(again, name)) for name in measured)
