"""Timing, and Markdown tables of times."""

import datetime
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from time import perf_counter

import joblib
import numpy as np
import torch

from dfa_lib.experiments import provenance


def alternate(
    actions: Sequence[Callable[[], object]],
    rounds: int,
    *,
    seconds: float = math.inf,
    warm_up: int = 1,
) -> np.ndarray:
    """Time several actions in turn: each of them once per round.

    Other load on the machine lasts longer than a round, so it slows all actions of a round alike and
    leaves their ratios unchanged.

    Parameters
    ----------
    rounds
        How often each action is timed.
    seconds
        No round starts after this time, except for the first.
    warm_up
        Untimed rounds first, for compilation, allocation and caches.

    Returns
    -------
    times
        In seconds, one row per round and one column per action.
    """
    for _ in range(warm_up):
        for act in actions:
            act()
    times: list[np.ndarray] = []
    deadline = perf_counter() + seconds
    while not times or (len(times) < rounds and perf_counter() < deadline):
        marks = [perf_counter()]
        for act in actions:
            act()
            marks.append(perf_counter())
        times.append(np.diff(marks))
    return np.stack(times)


def median(values: np.ndarray) -> float:
    """Return the median."""
    return float(np.median(values))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns whose first cell is a number are right-aligned."""
    rule = ["---:" if cell.replace(".", "", 1).isdigit() else "---" for cell in rows[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *rows])


def describe_machine() -> str:
    """Return the machine, the versions and the date in one line."""
    parts = [
        provenance.machine()["processor"],
        f"{joblib.cpu_count()} cores",
        platform.system(),
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        _compiler(),
        datetime.date.today().isoformat(),
    ]
    return ", ".join(parts)


def _compiler() -> str:
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            answer = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
            return f"compiler: {(answer.stdout.splitlines() or [name])[0]}"
    return "no compiler"
