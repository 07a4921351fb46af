"""Claims, the numbers that they are judged by, and verdicts that follow from rules stated beforehand."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from .representations import PROBE_COLUMNS
from .results import read_results
from .statistics import Interval, mean_interval
from .tables import read_table
from .validation import InputError

HOLDS = "holds"
IN_PART = "holds in part"
FAILS = "does not hold"
UNDECIDED = "undecided"
NOT_TESTED = "not tested"
VERDICTS = (HOLDS, IN_PART, FAILS, UNDECIDED, NOT_TESTED)


class NotComputed(Exception):
    """Results that a number comes from are not there."""


class Stale(NotComputed):
    """Results are there, and are not what this code would compute; the message says why."""


# ---- results ----


@dataclass(frozen=True)
class Evidence:
    """The results of one dataset: results files, and tables of probes, in a folder.

    Parameters
    ----------
    dataset
        ``"digits"`` or ``"mnist"``. Clusters, which have no digits, count as of either.
    folder
        Where the files lie; None where nothing has been computed.
    staleness
        Says of a file, as the end of a sentence, why it is not fresh; None if it is.
    """

    dataset: str
    folder: Path | None
    staleness: Callable[[Path], str | None] = lambda path: None

    def table(self, experiment: str) -> pd.DataFrame:
        """Return the results of an experiment.

        Raises
        ------
        NotComputed
            If there are none.
        """
        if experiment not in self._tables:
            path = self._path(experiment)
            table = read_results(path)
            self._tables[experiment] = table[table["dataset"].isin([self.dataset, "clusters"])]
        return self._tables[experiment]

    def probes(self) -> pd.DataFrame:
        """Return the accuracies of the probes, as from ``probe_table``; raise ``NotComputed``."""
        return read_table(self._path("probes"), PROBE_COLUMNS)

    def runs(self, experiment: str, **fields: object) -> pd.DataFrame:
        """Return the rows of the runs with these fields; ``NotComputed`` if there are none."""
        table = self.table(experiment)
        for name, value in fields.items():
            table = table[table[name] == value]
        if table.empty:
            raise NotComputed(experiment)
        return table

    def curves(self, experiment: str, metric: str = "test_accuracy", **fields: object) -> pd.DataFrame:
        """Return a metric by epoch (rows) and seed (columns)."""
        return self.runs(experiment, **fields).pivot_table(
            index="epoch", columns="seed", values=metric, dropna=False
        )

    def final(self, experiment: str, metric: str = "test_accuracy", **fields: object) -> pd.Series:
        """Return a metric of the last epoch, by seed."""
        return self.curves(experiment, metric, **fields).iloc[-1]

    def _path(self, experiment: str) -> Path:
        path = None if self.folder is None else self.folder / f"{experiment}.csv"
        if path is None or not path.exists():
            raise NotComputed(experiment)
        if experiment not in self._checked:
            self._checked[experiment] = self.staleness(path)
        reason = self._checked[experiment]
        if reason is not None:
            raise Stale(f"its results are stale: {path.name} {reason}")
        return path

    @cached_property
    def _checked(self) -> dict[str, str | None]:
        return {}

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return {}


def paired(a: pd.Series, b: pd.Series) -> Interval:
    """Return the mean of ``a - b`` over the seeds that both have, and its interval.

    Raises
    ------
    NotComputed
        If they have none in common.
    """
    common = a.index.intersection(b.index)
    if common.empty:
        raise NotComputed("seeds in common")
    return mean_interval((a[common] - b[common]).to_numpy(dtype=float))


def exactly(value: float) -> Interval:
    """Return a number that was not sampled, as an interval without width over no repeats."""
    return Interval(value, value, value, 0)


# ---- claims ----


@dataclass(frozen=True)
class Part:
    """A number that a claim is judged by, and the range in which the claim puts it.

    The rule is the same for every number. It *holds* if the whole interval lies inside the range, does
    *not hold* if the whole interval lies outside, and is *undecided* if the interval has a foot in
    each, or if there is none, for want of a second seed.

    Parameters
    ----------
    what
        The number, in words.
    measure
        Computes it; may raise ``NotComputed``.
    above, below
        The ends of the range; both the same for a number that has to be just that.
    form
        How the number is written.
    repeats
        What its interval is taken over.
    interval
        What its interval is.
    """

    what: str
    measure: Callable[[Evidence], Interval]
    above: float = -math.inf
    below: float = math.inf
    form: str = "+.3f"
    repeats: str = "seeds"
    interval: str = "95 % interval"

    @property
    def range(self) -> str:
        """The range in words."""
        if self.above == self.below:
            return f"exactly {self.above:g}"
        if math.isinf(self.below):
            return f"above {self.above:g}"
        if math.isinf(self.above):
            return f"below {self.below:g}"
        return f"between {self.above:g} and {self.below:g}"

    def verdict(self, interval: Interval) -> str:
        """Apply the rule; a mean that is nan, because a run diverged, is ``NOT_TESTED``."""
        mean, low, high, _ = interval
        if math.isnan(mean):
            return NOT_TESTED
        if (self.above < low and high < self.below) or low == high == self.above == self.below:
            return HOLDS
        if high <= self.above or low >= self.below:
            return FAILS
        return UNDECIDED

    def in_words(self, interval: Interval) -> str:
        """Write the number with its interval."""
        if math.isnan(interval.mean):
            return "a run diverged"
        text = format(interval.mean, self.form)
        if not interval.n:
            return f"{text}, exactly"
        if math.isnan(interval.low):
            return f"{text}, without an interval: it was measured once"
        ends = f"{interval.low:{self.form}} to {interval.high:{self.form}}"
        return f"{text} ({self.interval}: {ends}; {interval.n} {self.repeats})"


@dataclass(frozen=True)
class Claim:
    """A claim, in our own words, and how it is tested.

    It holds if all its parts hold, and holds in part if some do. If none does, it does not hold where
    one fails, and is undecided otherwise. A part without a number, because a run diverged, neither holds
    nor fails.

    Parameters
    ----------
    id
        For example ``"3b"``.
    text
        One sentence.
    made
        Where the thesis makes it.
    figure
        The book's figure that bears on it, for example ``"fig-sgd"``; empty for a claim that is not
        tested.
    parts
        What it is judged by; none for a claim that is not tested.
    reason
        Why a claim is not tested.
    not_on
        For a dataset on which a claim is not tested, the reason.
    note
        What a reader should know about the test.
    """

    id: str
    text: str
    made: str
    figure: str = ""
    parts: tuple[Part, ...] = ()
    reason: str = ""
    not_on: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class Judgement(NamedTuple):
    """What became of a claim on one dataset: its verdict, numbers in the order of parts, and a reason
    where it was not tested.
    """

    verdict: str
    numbers: tuple[Interval, ...] = ()
    reason: str = ""


NOT_COMPUTED = "not computed in this build"


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Apply a claim's rule to the results of a dataset."""
    if not claim.parts:
        return Judgement(NOT_TESTED, reason=claim.reason)
    try:
        numbers = tuple(part.measure(evidence) for part in claim.parts)
    except Stale as problem:
        return Judgement(NOT_TESTED, reason=str(problem))
    except NotComputed:
        return Judgement(NOT_TESTED, reason=claim.not_on.get(evidence.dataset, NOT_COMPUTED))
    if evidence.dataset in claim.not_on:
        return Judgement(NOT_TESTED, numbers, claim.not_on[evidence.dataset])
    verdicts = [part.verdict(n) for part, n in zip(claim.parts, numbers, strict=True)]
    verdict = combined(verdicts)
    return Judgement(verdict, numbers, "a run diverged" if verdict == NOT_TESTED else "")


def combined(verdicts: Sequence[str]) -> str:
    """Return the verdict on a whole from those on its parts."""
    if all(verdict == NOT_TESTED for verdict in verdicts):
        return NOT_TESTED
    if all(verdict == HOLDS for verdict in verdicts):
        return HOLDS
    if HOLDS in verdicts or IN_PART in verdicts:
        return IN_PART
    return FAILS if FAILS in verdicts else UNDECIDED


def overall(judgements: Sequence[Judgement]) -> str:
    """Return the verdict over datasets: it rests on those on which the claim was tested."""
    return combined([j.verdict for j in judgements if j.verdict != NOT_TESTED])


Ledger = Sequence[tuple[Claim, Mapping[str, Judgement]]]


def check_complete(ledger: Ledger) -> None:
    """Stop a page that would show a claim without its verdict, rule, statistic or figure.

    Raises
    ------
    InputError
        One sentence for each thing that is missing.
    """
    problems = []
    ids = [claim.id for claim, _ in ledger]
    for claim, judgements in ledger:
        if ids.count(claim.id) > 1:
            problems.append(f"claim {claim.id} is there {ids.count(claim.id)} times.")
        for name in ("text", "made"):
            if not getattr(claim, name).strip():
                problems.append(f"claim {claim.id} does not say {name!r}.")
        if claim.parts and not claim.figure:
            problems.append(f"claim {claim.id} has no figure.")
        if not claim.parts and not claim.reason:
            problems.append(f"claim {claim.id} has no statistic, and no reason why it is not tested.")
        for part in claim.parts:
            if math.isinf(part.above) and math.isinf(part.below):
                problems.append(f"claim {claim.id} has no rule for {part.what!r}.")
        if not judgements:
            problems.append(f"claim {claim.id} has no verdict.")
        for dataset, judgement in judgements.items():
            if judgement.verdict not in VERDICTS:
                problems.append(f"claim {claim.id} has no verdict on {dataset}.")
            elif judgement.verdict == NOT_TESTED and not judgement.reason:
                problems.append(f"claim {claim.id} is not tested on {dataset} without a reason.")
            elif judgement.verdict != NOT_TESTED and len(judgement.numbers) != len(claim.parts):
                problems.append(f"claim {claim.id} has no statistic on {dataset}.")
    if problems:
        raise InputError(" ".join(dict.fromkeys(problems)))
