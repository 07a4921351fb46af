"""Training results again, to see whether they are what the files say."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..experiments import run_histories
from ..results import COLUMNS, read_histories
from ..training import History, Run
from ..validation import InputError, whole_number

# Another processor rounds differently, and over thousands of steps a run drifts; the same one does not.
TOLERANCE = 0.02


class Comparison(NamedTuple):
    """A run in a results file, and the same run trained again."""

    file: str
    run: Run
    stored: float  # test accuracy of the last epoch
    again: float
    same_bits: bool  # of every metric in every epoch

    @property
    def agrees(self) -> bool:
        """Whether the accuracies differ by no more than ``TOLERANCE``, or both runs diverged."""
        both_diverged = self.stored != self.stored and self.again != self.again
        return both_diverged or abs(self.stored - self.again) <= TOLERANCE


def verify(folder: Path, sample: int, *, jobs: int = 1, seed: int = 0) -> list[Comparison]:
    """Train runs again that are picked at random from all results files of a folder.

    Parameters
    ----------
    sample
        How many; all, if there are not as many.
    jobs
        As for ``run_all``.
    seed
        Decides which.

    Raises
    ------
    InputError
        If the folder has no results, or ``sample`` or ``jobs`` is not accepted.
    """
    sample = whole_number("sample", sample)
    stored = [
        (path.name, history)
        for path in results_files(folder)
        for history in read_histories(path).values()
    ]
    if not stored:
        raise InputError(f"there are no results in {folder}: train some first.")
    picked = random.Random(seed).sample(stored, min(sample, len(stored)))
    again = run_histories([history.run for _, history in picked], jobs=jobs)
    return [_compare(name, history, again[history.run]) for name, history in picked]


def results_files(folder: Path) -> Sequence[Path]:
    """Return the results files of a folder, by name; other tables in it are left out."""
    return [path for path in sorted(folder.glob("*.csv")) if _has_results(path)]


def _has_results(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return set(COLUMNS) <= set(file.readline().strip().split(","))


def _compare(name: str, stored: History, again: History) -> Comparison:
    return Comparison(
        name,
        stored.run,
        stored.test_accuracy[-1],
        again.test_accuracy[-1],
        str(stored) == str(again),  # as text, because nan is not equal to itself
    )
