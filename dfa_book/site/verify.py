"""Verification of results: training stored runs again and comparing."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dfa_lib.experiments import run_histories
from dfa_lib.experiments.kept_table import sole_writer, units_in
from dfa_lib.experiments.provenance import Record, made_with
from dfa_lib.experiments.results import COLUMNS, histories_in, run_digest, runs_table
from dfa_lib.training import METRICS, History, Run
from dfa_lib.validation import InputError, choice, whole_number

from .freshness import unaccounted

# Accuracy: on another processor rounding differs, and a run drifts over thousands of steps.
TOLERANCE = 0.02


class Comparison(NamedTuple):
    """A stored run and the same run trained again."""

    file: str
    run: Run
    stored: float  # test accuracy of the last epoch
    again: float
    same_bits: bool  # in every stored metric and epoch
    digest: str  # of the stored run

    @property
    def difference(self) -> float | None:
        """The difference of the accuracies, 0 if both runs diverged; None if one has."""
        if math.isnan(self.stored) and math.isnan(self.again):
            return 0.0
        difference = self.again - self.stored
        return None if math.isnan(difference) else difference

    @property
    def agrees(self) -> bool:
        """Whether the accuracies differ by no more than ``TOLERANCE``."""
        return self.difference is not None and abs(self.difference) <= TOLERANCE


def verify(
    folder: Path, sample: int, *, only: Sequence[str] = (), jobs: int = 1, seed: int = 0
) -> list[Comparison]:
    """Train runs again that are drawn at random from each results file of a folder.

    From each file, or from those of the experiments in ``only``, ``sample`` runs are drawn, or all if
    there are fewer: first those that are not in its record. ``seed`` decides which.
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
    """Write a verification into the records of results files if all runs agreed; return the files.

    It covers all runs in a file's record, and those that were trained again.
    """
    if not all(row.agrees for row in comparisons):
        return []
    names = sorted({row.file for row in comparisons})
    for name in names:
        path, rows = folder / name, [row for row in comparisons if row.file == name]
        with sole_writer(path):
            record, trained_again = Record.read(path), {row.digest for row in rows}
            stored = units_in(path)
            vouched_for = stored.keys() - (unaccounted(path) - trained_again)
            datasets = sorted({fields["dataset"] for fields in stored.values()})
            bits = sum(row.same_bits for row in rows)
            others = f"{bits} to the same bits, the others within {TOLERANCE:g}"
            record.verified = [
                {
                    "date": datetime.now(UTC).isoformat(timespec="seconds"),
                    "sample": len(rows),
                    "agreement": others if bits < len(rows) else "to the same bits",
                    **made_with(datasets),
                    "runs": len(vouched_for),
                    "digests": " ".join(sorted(vouched_for)),
                }
            ]
            record.write(path)
    return names


def results_files(folder: Path) -> Sequence[Path]:
    """Return the results files of a folder, by name.

    Tables without runs are left out, and runs of registered functions, which only their chapter knows.
    """
    paths = (path for path in sorted(folder.glob("*.csv")) if is_results(path))
    return [path for path in paths if "@" not in path.read_text(encoding="utf-8", errors="replace")]


def is_results(path: Path) -> bool:
    """Return whether a CSV holds runs."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return set(COLUMNS) <= set(file.readline().strip().split(","))


def _compare(name: str, stored: History, again: History) -> Comparison:
    ends = stored.test_accuracy[-1], again.test_accuracy[-1]
    return Comparison(name, stored.run, *ends, _same_bits(stored, again), run_digest(stored))


def _same_bits(stored: History, again: History) -> bool:
    """Compare the metrics that were stored; later code may measure more."""
    measured = [name for name in METRICS if not all(math.isnan(x) for x in getattr(stored, name))]
    # As text, because nan != nan.
    return all(str(getattr(stored, name)) == str(getattr(again, name)) for name in measured)
