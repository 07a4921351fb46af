"""Queries on a results table: a metric of some runs, by seed, at an epoch or at the end.

A ``Sample`` has a number for each seed and knows the seeds with an unstable run, so that every
comparison counts them.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd

from dfa_lib.experiments.outcomes import NON_FINITE, UNSTABLE
from dfa_lib.experiments.statistics import CONFIDENCE, Interval, interval_of
from dfa_lib.methods import METHODS
from dfa_lib.validation import InputError


@dataclass(frozen=True)
class Sample:
    """A number for each seed."""

    values: pd.Series  #: numbers by seed; nan if a run is not finite
    unstable: frozenset[Hashable] = frozenset()  #: seeds with an unstable run
    undefined: frozenset[Hashable] = frozenset()
    """Seeds without a number although their runs are finite, e.g. the cosine with a zero gradient."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        """The mean over all seeds."""
        return float(self.values.mean())

    def __sub__(self, other: "Sample | float") -> "Sample":
        """Subtract seed by seed, over the common seeds."""
        return self._with(other, lambda a, b: a - b)

    def __truediv__(self, other: "Sample | float") -> "Sample":
        """Divide seed by seed, over the common seeds."""
        return self._with(other, lambda a, b: a / b)

    def _with(
        self, other: "Sample | float", combine: Callable[[pd.Series, pd.Series | float], pd.Series]
    ) -> "Sample":
        if not isinstance(other, Sample):
            return self.mapped(lambda values: combine(values, other))
        common = self.values.index.intersection(other.values.index)
        # Only pairs count: a seed that is undefined in one sample has to occur in the other.
        pairs = (set(self.values.index) | self.undefined) & (set(other.values.index) | other.undefined)
        return Sample(
            combine(self.values[common], other.values[common]),
            (self.unstable | other.unstable) & set(common),
            (self.undefined | other.undefined) & pairs,
        )

    def mapped(self, function: Callable[[pd.Series], pd.Series]) -> "Sample":
        """Return the sample with other numbers for the same seeds."""
        return Sample(function(self.values), self.unstable, self.undefined)

    @property
    def sound(self) -> "Sample":
        """The sample without its unstable seeds."""
        return Sample(self.values[~self.values.index.isin(list(self.unstable))])

    def interval(self, kind: str = "t", confidence: float = CONFIDENCE) -> Interval:
        """Return the mean over all seeds and its interval by ``statistics.interval_of``."""
        return interval_of(self.values.to_numpy(dtype=float), kind, confidence)


def mean_of(samples: list[Sample]) -> Sample:
    """Return the mean of several samples, seed by seed, over their common seeds."""
    total = reduce(lambda a, b: a - b.mapped(lambda values: -values), samples)
    return total / len(samples)


def select(table: pd.DataFrame, **fields: object) -> pd.DataFrame:
    """Return the rows with these fields; raise ``InputError`` if the table has no such column."""
    rows = np.arange(len(table))  # narrowed by one column after the other, so that rows are copied once
    for name, value in fields.items():
        if name not in table:
            raise InputError(f"a results table has no column {name!r}, but {', '.join(table.columns)}.")
        equal = table[name].iloc[rows] == value
        rows = rows[equal.to_numpy(dtype=bool, na_value=False)]
    return table.iloc[rows]


def curves(table: pd.DataFrame, metric: str = "test_accuracy", **fields: object) -> pd.DataFrame:
    """Return a metric by epoch (rows) and seed (columns), averaged over the runs of a seed."""
    rows = select(table, **fields)
    if rows.empty:
        return pd.DataFrame()
    places = [rows["epoch"], rows["seed"]]
    means = rows[metric].groupby(places).mean()
    means[rows[metric].isna().groupby(places).any()] = math.nan
    return means.unstack("seed")


def final(table: pd.DataFrame, metric: str = "test_accuracy", **fields: object) -> Sample:
    """Return a metric of the last epoch, by seed."""
    rows = select(table, **fields)
    return sample(rows[rows["epoch"] == rows["epochs"]], metric)


def errors(table: pd.DataFrame, judged: str = "test", **fields: object) -> Sample:
    """Return the error of the last epoch by seed, averaged over the runs of a seed."""
    right = final(table, f"{judged}_accuracy", **fields)
    return right.mapped(lambda accuracies: 1 - accuracies)


def solved_error(table: pd.DataFrame, method: str, places: Sequence[tuple[int, int]]) -> Sample:
    """Return the error of a model solved on the clusters by seed, averaged over pairs of n and d.

    ``table`` is as from ``converged_table``.
    """
    each = [select(table, method=method, samples=n, dimensions=str(d)) for n, d in places]
    return mean_of([sample(rows, "test_accuracy").mapped(lambda right: 1 - right) for rows in each])


def at_epoch(table: pd.DataFrame, epoch: int, metric: str = "test_accuracy", **fields: object) -> Sample:
    """Return a metric of an epoch (the first is 1), by seed."""
    return sample(select(table, epoch=epoch, **fields), metric)


def sample(rows: pd.DataFrame, metric: str) -> Sample:
    """Return the mean of a metric over the rows of each seed; ``outcome`` says which are unstable."""
    values = rows[metric].astype(float).groupby(rows["seed"]).mean(skipna=False)
    return describe(values, rows)


def describe(values: pd.Series, rows: pd.DataFrame) -> Sample:
    """Return numbers by seed as a sample; the outcomes of ``rows`` say which seeds are unstable."""
    if "outcome" not in rows:
        return Sample(values)
    unstable = (rows["outcome"] == UNSTABLE).groupby(rows["seed"]).any()
    finite = ~(rows["outcome"] == NON_FINITE).groupby(rows["seed"]).any()
    undefined = values.isna() & finite.reindex(values.index, fill_value=True)
    kept = values[~undefined]
    return Sample(
        kept, frozenset(unstable.index[unstable]) & set(kept.index), frozenset(values.index[undefined])
    )


TUNED_FIELDS = ("k", "samples", "test_samples", "hidden", "activation", "batch_size", "epochs")


def tried(tuning: pd.DataFrame, like: pd.Series) -> pd.DataFrame:
    """Return the tuning runs by which the learning rate of a run was chosen."""
    fields = {name: like[name] for name in ("method", "optimizer", *TUNED_FIELDS)}
    if METHODS[like["method"]].direct_feedback is not None:
        fields["feedback"] = like["feedback"]
    return select(tuning, evaluate_on="validation", **fields)
