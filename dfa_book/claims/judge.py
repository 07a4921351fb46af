"""The judge: claims, the numbers that they are judged by, and verdicts that follow from stated rules."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dfa_lib.experiments.converged import COLUMNS
from dfa_lib.experiments.kept_table import Column, KeptTable
from dfa_lib.experiments.provenance import Record
from dfa_lib.experiments.representations import PROBE_COLUMNS
from dfa_lib.experiments.results import read_results
from dfa_lib.experiments.statistics import (
    CONFIDENCE,
    EQUIVALENCE_CONFIDENCE,
    EQUIVALENCES,
    MOST_SEEDS,
    UNKNOWN,
    Interval,
    holm,
    p_value,
    seeds_needed,
    with_outcomes,
)
from dfa_lib.validation import InputError

from ..words import SPACE, number
from .queries import Sample

HOLDS = "holds"
IN_PART = "holds in part"
FAILS = "does not hold"
UNDECIDED = "undecided"
NOT_TESTED = "not tested"
DISAGREE = "the datasets disagree"
VERDICTS = (HOLDS, IN_PART, FAILS, UNDECIDED, NOT_TESTED)
LEVEL = 0.05

UNITS = {"points": f"{SPACE}points", "percent": f"{SPACE}%"}
"""Forms of a number that is a share or a difference of shares."""

INTERVALS = {
    "t": f"95{SPACE}% interval",
    "fisher": f"95{SPACE}% interval by Fisher's z",
    "logit": f"95{SPACE}% interval by the logit",
    "ratio": f"95{SPACE}% interval of the geometric mean",
    "binomial": f"exact 95{SPACE}% interval",
    "equivalence": f"90{SPACE}% interval",
    "ratio equivalence": f"90{SPACE}% interval of the geometric mean",
}
"""What an interval of each kind is called."""


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
    tables
        Results tables by experiment, for those that have no file: what a chapter has just trained and
        does not keep.
    """

    dataset: str
    folder: Path | None
    staleness: Callable[[Path], str | None] = lambda path: None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def table(self, experiment: str) -> pd.DataFrame:
        """Return the results of an experiment, with a column ``outcome``.

        Raises
        ------
        NotComputed
            If there are none.
        """
        self.used.add(experiment)
        if experiment not in self._tables:
            if experiment in self.tables and not self._has_file(experiment):
                table = self.tables[experiment]
            else:
                table = with_outcomes(read_results(self._path(experiment)))
            if "dataset" in table:
                table = table[table["dataset"].isin([self.dataset, "clusters"])]
            self._tables[experiment] = table
        table = self._tables[experiment]
        if table.empty:
            raise NotComputed(experiment)
        return table

    def probes(self) -> pd.DataFrame:
        """Return the accuracies of the probes, as from ``probe_table``; raise ``NotComputed``."""
        return self._kept("probes", PROBE_COLUMNS)

    def solved(self) -> pd.DataFrame:
        """Return the solutions on the clusters, as from ``converged_table``; raise ``NotComputed``."""
        return self._kept("clusters_converged", COLUMNS)

    def _kept(self, name: str, columns: Mapping[str, Column]) -> pd.DataFrame:
        self.used.add(name)
        if name in self.tables and not self._has_file(name):
            return self.tables[name]
        return KeptTable(self._path(name), columns).frame()

    def trained_since(self, experiment: str) -> str | None:
        """Return when the first of an experiment's runs that are here was trained, as an ISO date."""
        if not self._has_file(experiment):
            return None
        record = Record.read(self._path(experiment))
        return min(
            (e["started"] for e in [*record.sessions, *record.taken] if "started" in e), default=None
        )

    def _has_file(self, experiment: str) -> bool:
        return self.folder is not None and (self.folder / f"{experiment}.csv").exists()

    def _path(self, experiment: str) -> Path:
        if self.folder is None or not self._has_file(experiment):
            raise NotComputed(experiment)
        path = self.folder / f"{experiment}.csv"
        if experiment not in self._checked:
            self._checked[experiment] = self.staleness(path)
        reason = self._checked[experiment]
        if reason is not None:
            raise Stale(f"its results are stale: {path.name} {reason}")
        return path

    @cached_property
    def used(self) -> set[str]:
        """The experiments that were asked for."""
        return set()

    @cached_property
    def _checked(self) -> dict[str, str | None]:
        return {}

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return {}


def exactly(value: float) -> Interval:
    """Return a number that was not sampled, as an interval without width over no repeats."""
    return Interval(value, value, value, 0)


# ---- claims ----


class Number(NamedTuple):
    """What was measured for a part.

    ``interval`` is over all seeds; ``p`` is the p-value of the part, see ``statistics.p_value``; nan
    where there is no test. Of the seeds, ``unstable`` had an unstable run; ``sound`` is the interval
    over the others, if there are any. ``undefined`` seeds have no number. ``needed`` is how many seeds
    would decide an undecided part; None if not known, or more than ``statistics.MOST_SEEDS``.
    """

    interval: Interval
    p: float = math.nan
    unstable: int = 0
    sound: Interval | None = None
    undefined: int = 0
    needed: int | None = None

    @property
    def missing(self) -> bool:
        """Whether nothing was measured: the number of an optional part without results."""
        return math.isnan(self.interval.mean) and not self.interval.n and not self.undefined


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
        Computes it: a number for each seed; its interval, if it is no mean over seeds; or all that there
        is to say of it. May raise ``NotComputed``.
    above, below
        The ends of the range; both the same for a number that has to be just that.
    kind
        Of which kind the number is, and so its interval and its test: one of ``INTERVALS``.
        Equivalences are two one-sided tests.
    form
        How the number is written: ``"points"`` (a difference of shares), ``"percent"`` (a share), or a
        format.
    repeats
        What its interval is taken over.
    interval
        What the interval of a number that is no mean over seeds is called.
    optional
        Whether the claim is judged without this part where its results are not there.
    """

    what: str
    measure: Callable[[Evidence], "Sample | Interval | Number"]
    above: float = -math.inf
    below: float = math.inf
    kind: str = "t"
    form: str = "points"
    repeats: str = "seeds"
    interval: str = ""
    optional: bool = False

    @property
    def range(self) -> str:
        """The range in words."""
        low, high = (number(self._factor * end, "g") for end in (self.above, self.below))
        if self.above == self.below:
            return f"exactly {low}"
        if math.isinf(self.below):
            return f"above {low}{self._unit if self.above else ''}"
        if math.isinf(self.above):
            return f"below {high}{self._unit if self.below else ''}"
        ends = f"between {low} and {high}{self._unit}"
        return f"{ends}, by two one-sided tests" if self.kind in EQUIVALENCES else ends

    @property
    def _factor(self) -> int:
        return 100 if self.form in UNITS else 1

    @property
    def _unit(self) -> str:
        return UNITS.get(self.form, "")

    def _written(self, *values: float) -> str:
        form = ".1f" if self.form in UNITS else self.form
        written = [number(self._factor * value, form) for value in values]
        return f"{SPACE}to{SPACE}".join(written)

    @property
    def _can_have_more(self) -> bool:
        return self.repeats.endswith(("seeds", "networks"))

    def number(self, evidence: Evidence) -> Number:
        """Measure the number; raise ``NotComputed`` where its results are not there."""
        try:
            measured = self.measure(evidence)
        except NotComputed as problem:
            if self.optional and not isinstance(problem, Stale):
                return Number(UNKNOWN)
            raise
        if isinstance(measured, Number):
            return measured
        if isinstance(measured, Interval):
            return Number(measured, 0.0 if measured.n == 0 else math.nan)
        if not len(measured):
            if measured.undefined:
                return Number(UNKNOWN, undefined=len(measured.undefined))
            raise NotComputed("seeds in common")
        values = measured.values.to_numpy(dtype=float)
        interval, bounds = self._over(measured), (self.above, self.below)
        sound = measured.sound if measured.unstable else None
        number = Number(
            interval,
            p_value(values, *bounds, self.kind),
            len(measured.unstable),
            self._over(sound) if sound is not None and len(sound) else None,
            len(measured.undefined),
        )
        if self.verdict(interval) == UNDECIDED and not number.unstable and self._can_have_more:
            number = number._replace(needed=seeds_needed(values, *bounds, self.kind))
        return number

    def _over(self, sample: Sample) -> Interval:
        confidence = EQUIVALENCE_CONFIDENCE if self.kind in EQUIVALENCES else CONFIDENCE
        return sample.interval(self.kind, confidence)

    def verdict(self, interval: Interval) -> str:
        """Apply the rule; a mean that is nan, because a run is not finite, is ``NOT_TESTED``."""
        mean, low, high, _ = interval
        if math.isnan(mean):
            return NOT_TESTED
        if (self.above < low and high < self.below) or low == high == self.above == self.below:
            return HOLDS
        if high <= self.above or low >= self.below:
            return FAILS
        return UNDECIDED

    def in_words(self, number: Number) -> str:
        """Write the number with its interval, its unstable seeds, and what would decide it."""
        interval = number.interval
        if number.missing:
            return "not in these results"
        if math.isnan(interval.mean):
            return "it is not defined" if number.undefined else "a run is not finite"
        words = [self._interval_in_words(interval, self.repeats)]
        if number.undefined:
            words.append(f"not defined in {number.undefined} more")
        if number.unstable:
            words.append(f"{number.unstable} of {interval.n} seeds unstable")
            words.append(
                "no other seeds"
                if number.sound is None
                else f"without them {self._interval_in_words(number.sound, 'other seeds')}"
            )
        verdict = self.verdict(interval)
        if verdict == UNDECIDED and interval.n > 1:
            if number.unstable:
                words.append("more seeds at this rate would not settle it")
            elif number.needed is not None:
                words.append(f"about {number.needed} {self.repeats} would decide it")
            elif not math.isnan(number.p) and self._can_have_more:
                words.append(f"it would take more than {MOST_SEEDS:,} {self.repeats}")
        return "; ".join(words)

    def in_short(self, interval: Interval) -> str:
        """Write a number and the ends of its interval: ``7.9 points (7.1 to 8.6)``."""
        if math.isnan(interval.mean):
            return "not defined"
        text, ends = f"{self._written(interval.mean)}{self._unit}", self._ends(interval)
        return f"{text} ({ends})" if ends else text

    def _ends(self, interval: Interval) -> str:
        """Write the ends of an interval, which are at most where a share or a difference can be."""
        if math.isnan(interval.low) or not interval.n:
            return ""
        most = 1 if self.form in UNITS else math.inf
        least = 0 if self.form == "percent" else -most
        return self._written(*(min(max(end, least), most) for end in interval[1:3]))

    def _interval_in_words(self, interval: Interval, repeats: str) -> str:
        text, ends = f"{self._written(interval.mean)}{self._unit}", self._ends(interval)
        if not interval.n:
            return f"{text}, exactly"
        if not ends:
            return f"{text}, without an interval: measured once"
        return f"{text} ({self.interval or INTERVALS[self.kind]}: {ends}; {interval.n} {repeats})"


class Commit(NamedTuple):
    """When something entered the repository: an abbreviated hash, and the date that git has for it."""

    hash: str
    date: str


@dataclass(frozen=True)
class Claim:
    """A claim, in our own words, and how it is tested.

    It holds if all its parts hold, and holds in part if some do. If none does, it does not hold where
    one fails, and is undecided otherwise. A part without a number, because a run is not finite, neither
    holds nor fails.

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
    some
        Whether the claim is that *some* part holds: then one is enough, and it does not hold if all
        parts fail.
    rule_since
        Since when its rule is what it is.
    reason
        Why a claim is not tested.
    by_literature
        The verdict on a claim about the literature, which no experiment can give; ``reason`` cites it.
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
    some: bool = False
    rule_since: Commit | None = None
    reason: str = ""
    by_literature: str = ""
    not_on: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class Judgement(NamedTuple):
    """What became of a claim on one dataset.

    Its verdict; the numbers and their verdicts, in the order of parts; ``corrected``, the verdict with
    the parts' p-values corrected for their number, by Holm; a reason where it was not tested; and the
    experiments that the numbers come from.
    """

    verdict: str
    numbers: tuple[Number, ...] = ()
    verdicts: tuple[str, ...] = ()
    corrected: str = ""
    reason: str = ""
    experiments: frozenset[str] = frozenset()

    @property
    def computed(self) -> bool:
        """Whether its results were there."""
        return self.reason != NOT_COMPUTED

    @property
    def unstable(self) -> bool:
        """Whether a number has unstable seeds."""
        return any(number.unstable for number in self.numbers)

    def in_words(self) -> str:
        """Say the verdict in a few words: ``holds in part, 3 of 8``."""
        if not self.computed:
            return "not computed"
        if self.verdict == IN_PART:
            there = sum(not number.missing for number in self.numbers)
            return f"{IN_PART}, {self.verdicts.count(HOLDS)} of {there}"
        return self.verdict

    def what_would_decide(self) -> str:
        """Say of an undecided claim how many seeds would decide it; empty if it is decided."""
        if self.verdict != UNDECIDED:
            return ""
        open_ = [n for n, v in zip(self.numbers, self.verdicts, strict=True) if v == UNDECIDED]
        if any(n.interval.n == 1 for n in open_):
            return "measured once"
        if unstable := [n for n in open_ if n.unstable]:
            worst = max(unstable, key=lambda n: n.unstable / n.interval.n)
            return f"{worst.unstable} of {worst.interval.n} seeds unstable"
        if any(n.needed is None for n in open_):
            return "too near to call"  # more than MOST_SEEDS seeds, or nothing there could be more of
        return f"about {max(n.needed or 0 for n in open_)} seeds"


NOT_COMPUTED = "not computed in this build"


def judge(claim: Claim, evidence: Evidence) -> Judgement:
    """Apply a claim's rule to the results of a dataset."""
    if not claim.parts:
        return Judgement(claim.by_literature or NOT_TESTED, reason=claim.reason)
    evidence.used.clear()
    try:
        numbers = tuple(part.number(evidence) for part in claim.parts)
    except Stale as problem:
        return Judgement(NOT_TESTED, reason=str(problem))
    except NotComputed:
        return Judgement(NOT_TESTED, reason=claim.not_on.get(evidence.dataset, NOT_COMPUTED))
    verdicts = tuple(part.verdict(n.interval) for part, n in zip(claim.parts, numbers, strict=True))
    judged = Judgement(NOT_TESTED, numbers, verdicts, experiments=frozenset(evidence.used))
    if evidence.dataset in claim.not_on:
        return judged._replace(reason=claim.not_on[evidence.dataset])
    there = [i for i, number in enumerate(numbers) if not number.missing]
    verdict = combined([verdicts[i] for i in there], claim.some)
    if verdict == NOT_TESTED:
        return judged._replace(reason="a number is not defined, or a run is not finite")
    strict = corrected([numbers[i] for i in there], [verdicts[i] for i in there])
    return judged._replace(verdict=verdict, corrected=combined(strict, claim.some))


def corrected(numbers: Sequence[Number], verdicts: Sequence[str]) -> list[str]:
    """Return the verdicts on a claim's parts with p-values corrected for their number, by Holm.

    A part without a test keeps its verdict.
    """
    tested = [i for i, number in enumerate(numbers) if not math.isnan(number.p)]
    adjusted = dict(zip(tested, holm([numbers[i].p for i in tested]), strict=True))
    return [
        UNDECIDED if verdict == HOLDS and adjusted.get(i, 0) > LEVEL else verdict
        for i, verdict in enumerate(verdicts)
    ]


def combined(verdicts: Sequence[str], some: bool = False) -> str:
    """Return the verdict on a whole from those on its parts; ``some`` if one that holds is enough."""
    if all(verdict == NOT_TESTED for verdict in verdicts):
        return NOT_TESTED
    if some:
        if HOLDS in verdicts:
            return HOLDS
        return FAILS if set(verdicts) <= {FAILS, NOT_TESTED} else UNDECIDED
    if all(verdict == HOLDS for verdict in verdicts):
        return HOLDS
    if HOLDS in verdicts or IN_PART in verdicts:
        return IN_PART
    return FAILS if FAILS in verdicts else UNDECIDED


def overall(judgements: Sequence[Judgement]) -> str:
    """Return the verdict over datasets: it rests on those on which the claim was tested.

    A claim that fails on one dataset and holds on another, be it in part, does not hold in part: the
    datasets disagree.
    """
    verdicts = list(dict.fromkeys(j.verdict for j in judgements if j.verdict != NOT_TESTED))
    if len(verdicts) < 2:
        return verdicts[0] if verdicts else NOT_TESTED
    if FAILS in verdicts and {HOLDS, IN_PART} & set(verdicts):
        return DISAGREE
    return " on one dataset, ".join(verdicts) + " on the other"


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
