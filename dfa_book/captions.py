"""What captions, alt texts and tables say of runs: means, and how many of the seeds are unstable."""

import math
from typing import Any

import pandas as pd

from dfa_lib.experiments import final_epoch
from dfa_lib.experiments.names import FEEDBACK_NAMES
from dfa_lib.experiments.statistics import with_outcomes

from .claims.queries import Sample
from .plots import label, unstable_note


def mean_in_words(sample: Sample, form: str = ".2f") -> str:
    """Return the mean over all seeds and, where some are unstable, their number and the others' mean.

    For example ``0.64 (2 of 5 seeds unstable, the others 0.70)``.
    """
    mean = sample.values.mean(skipna=False) if len(sample) else math.nan
    if math.isnan(mean):
        lost = int(sample.values.isna().sum())
        return f"none ({lost} of {len(sample)} seeds not finite)" if lost else "none"
    text = _number(mean, form)
    if not sample.unstable:
        return text
    others = f", the others {_number(sample.sound.values.mean(), form)}" if len(sample.sound) else ""
    return f"{text} ({len(sample.unstable)} of {len(sample)} seeds unstable{others})"


def _number(value: float, form: str) -> str:
    """Return a number without the sign of a rounded zero."""
    text = f"{value:{form}}"
    return text if float(text) else text.lstrip("-")


def own_mean(row: Any, form: str = ".3f") -> str:
    """Return the mean in a row of ``published.beside``, with its unstable seeds as ``mean_in_words``."""
    text = f"{row.mean:{form}}"
    if not row.unstable:
        return text
    others = f", the others {row.stable_mean:{form}}" if row.unstable < row.seeds else ""
    return f"{text} ({row.unstable} of {row.seeds} seeds unstable{others})"


def gap_cells(gap: Sample) -> list[str]:
    """Return a paired difference and its interval as the last two cells of a table's row.

    Where seeds are unstable, the interval is that of the others, and says so.
    """
    if gap.values.isna().any() or not len(gap):
        return ["a run is not finite", "none"]
    sound = gap.sound
    interval = sound.interval() if len(sound) > 1 else None
    cell = "none" if interval is None else f"{interval.low:+.3f} to {interval.high:+.3f}"
    if gap.unstable:
        cell += f", without {len(gap.unstable)} of {len(gap)} seeds that are unstable"
    return [f"{gap.values.mean():+.3f}", cell]


def unstable_runs(table: pd.DataFrame, by: str = "method", means: bool = True) -> str:
    """Say in a caption which runs of a results table are unstable, and how the figure shows them.

    Parameters
    ----------
    table
        A results table, with all epochs of each run or a column ``outcome``.
    by
        ``"method"`` names methods with their optimizers, ``"feedback"`` random matrices.
    means
        Whether the figure shows intervals, and beside a mean that of all seeds.
    """
    last = final_epoch(table if "outcome" in table else with_outcomes(table))
    keys = ["feedback"] if by == "feedback" else ["method", "optimizer"]
    groups = {}
    for key, runs in last.groupby(keys, sort=False):
        names = [str(each) for each in key]
        name = FEEDBACK_NAMES[names[0]] if by == "feedback" else label(*names)
        groups[name] = unstable_note(runs)
    found = [f"{name}: {note}" for name, note in groups.items() if note]
    if not found:
        return "No run is unstable."
    text = f"{'; '.join(found)}. Crosses mark these"
    if not means:
        return f"{text}."
    return f"{text}; means with intervals are of the other seeds, and diamonds are the means of all."
