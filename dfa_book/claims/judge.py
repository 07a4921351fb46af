"""The judge: claims, their numbers, and the verdicts that follow from stated rules."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dfa_lib.experiments.kept_table import KeptTable
from dfa_lib.experiments.provenance import Record
from dfa_lib.experiments.results import read_results
from dfa_lib.experiments.statistics import CONFIDENCE, UNKNOWN, Interval, with_outcomes
from dfa_lib.validation import InputError

from ..align import COLUMNS as ALIGN_COLUMNS
from ..converged import COLUMNS
from ..depth import COLUMNS as LAYER_COLUMNS
from ..depth import with_outcome
from ..edge import COLUMNS as EDGE_COLUMNS
from ..edge import ended
from ..hard import COLUMNS as BITS_COLUMNS
from ..probes import PROBE_COLUMNS
from ..rich import COLUMNS as RICH_COLUMNS
from ..words import SPACE, number, span
from .queries import Sample
from .significance import (
    EQUIVALENCE_CONFIDENCE,
    EQUIVALENCES,
    MOST_SEEDS,
    holm,
    p_value,
    seeds_needed,
)

HOLDS = "holds"
IN_PART = "holds in part"
FAILS = "does not hold"
UNDECIDED = "undecided"
NOT_TESTED = "not tested"
DISAGREE = "the datasets disagree"
VERDICTS = (HOLDS, IN_PART, FAILS, UNDECIDED, NOT_TESTED)
LEVEL = 0.05

UNITS = {"points": f"{SPACE}points", "percent": f"{SPACE}%", "epochs": f"{SPACE}epochs"}
"""Units of differences of shares, of shares and of times, by the form of a part."""
SHARES = ("points", "percent")

INTERVALS = {
    "t": f"95{SPACE}% interval",
    "fisher": f"95{SPACE}% interval by Fisher's z",
    "logit": f"95{SPACE}% interval by the logit",
    "ratio": f"95{SPACE}% interval of the geometric mean",
    "binomial": f"exact 95{SPACE}% interval",
    "equivalence": f"90{SPACE}% interval",
    "ratio equivalence": f"90{SPACE}% interval of the geometric mean",
}
"""Names of intervals by kind."""


class NotComputed(Exception):
    """Results that a number is computed from are missing."""


class Stale(NotComputed):
    """Results exist but are not what this code would compute; the message says why."""


@dataclass(frozen=True)
class Evidence:
    """The results of one dataset."""

    dataset: str  #: ``"digits"`` or ``"mnist"``; each includes the clusters
    folder: Path | None  #: folder of results files; None if nothing was computed
    staleness: Callable[[Path], str | None] = lambda path: None
    """Returns why a file is stale, as the end of a sentence, or None."""
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    """Results by experiment that have no file: trained by a chapter that keeps none."""
    used: set[str] = field(default_factory=set, init=False)
    """Experiments that were read."""
    _checked: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    def table(self, experiment: str) -> pd.DataFrame:
        """Return the results of an experiment with a column ``outcome``, or raise ``NotComputed``."""
        table = self._read(experiment, lambda path: with_outcomes(read_results(path)))
        if table.empty:
            raise NotComputed(experiment)
        return table

    def probes(self) -> pd.DataFrame:
        """Return a table as from ``probe_table``, or raise ``NotComputed``."""
        return self._read("probes", lambda path: KeptTable(path, PROBE_COLUMNS).frame())

    def solved(self) -> pd.DataFrame:
        """Return a table as from ``converged_table`` for the clusters, or raise ``NotComputed``."""
        return self._read("clusters_converged", lambda path: KeptTable(path, COLUMNS).frame())

    def ended(self, experiment: str) -> pd.DataFrame:
        """Return runs as from ``edge.ended``, or raise ``NotComputed``: they are of the digits only."""
        return self._read_digits(experiment, lambda path: ended(KeptTable(path, EDGE_COLUMNS).frame()))

    def layers(self) -> pd.DataFrame:
        """Return a table as from ``depth.layers_table`` with outcomes, or raise ``NotComputed``."""
        return self._read_digits(
            "depth", lambda path: with_outcome(KeptTable(path, LAYER_COLUMNS).frame())
        )

    def students(self) -> pd.DataFrame:
        """Return a table as from ``align_table``, or raise ``NotComputed``; the digits keep it."""
        return self._read_digits("align", lambda path: KeptTable(path, ALIGN_COLUMNS).frame())

    def scaled(self) -> pd.DataFrame:
        """Return a table as from ``rich_table``, or raise ``NotComputed``; the digits keep it."""
        return self._read_digits(
            "rich", lambda path: with_outcomes(KeptTable(path, RICH_COLUMNS).frame())
        )

    def bits(self) -> pd.DataFrame:
        """Return a table as from ``bits_table``, or raise ``NotComputed``; the digits keep it."""
        return self._read_digits("hard", lambda path: KeptTable(path, BITS_COLUMNS).frame())

    def _read_digits(self, experiment: str, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
        if self.dataset != "digits":  # the MNIST edition keeps the same runs
            raise NotComputed(experiment)
        return self._read(experiment, read)

    def _read(self, experiment: str, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
        self.used.add(experiment)
        if experiment not in self._tables:
            if experiment in self.tables and not self._has_file(experiment):
                table = self.tables[experiment]
            else:
                table = read(self._path(experiment))
            if "dataset" in table:
                table = table[table["dataset"].isin([self.dataset, "clusters"])]
            self._tables[experiment] = table
        return self._tables[experiment]

    def trained_since(self, experiment: str) -> str | None:
        """Return the ISO date of the first training of an experiment, if known."""
        if not self._has_file(experiment):
            return None
        record = Record.read(self._path(experiment))
        entries = [*record.sessions, *record.taken]
        return min((e["started"] for e in entries if "started" in e), default=None)

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


def exactly(value: float) -> Interval:
    """Return an exact number as an interval of zero width over no repeats."""
    return Interval(value, value, value, 0)


class Number(NamedTuple):
    """The measured number of a part."""

    interval: Interval  #: over all seeds
    p: float = math.nan  #: by ``p_value``; nan without a test
    unstable: int = 0  #: count of seeds
    sound: Interval | None = None  #: over the stable seeds
    undefined: int = 0  #: count of seeds
    needed: int | None = None
    """Seeds that would decide an undecided part; None if unknown or above ``MOST_SEEDS``."""

    @property
    def missing(self) -> bool:
        """Whether an optional part has no results."""
        return math.isnan(self.interval.mean) and not self.interval.n and not self.undefined


@dataclass(frozen=True)
class Part:
    """A number of a claim, and the range in which the claim puts it.

    A part *holds* if its whole interval lies inside the range, does *not hold* if it lies outside, and
    is *undecided* if it overlaps an end, or if there is no interval because there is one seed.
    """

    what: str  #: description of the number
    measure: Callable[[Evidence], "Sample | Interval | Number"]
    """Returns a number for each seed, the interval of a number that is not a mean over seeds, or a
    ``Number``; may raise ``NotComputed``."""
    above: float = -math.inf  #: lower end of the range
    below: float = math.inf  #: upper end; equal to the lower one for an exact number
    kind: str = "t"  #: one of ``INTERVALS``; equivalences are two one-sided tests
    form: str = "points"  #: a difference of shares, ``"percent"`` (a share), ``"epochs"``, or a format
    repeats: str = "seeds"  #: what the interval is taken over
    interval: str = ""  #: name of the interval of a number that is not a mean over seeds
    optional: bool = False  #: whether the claim is judged without this part if its results are missing

    @property
    def range(self) -> str:
        """The range as text."""
        factor, _, unit = self._scale
        low, high = (number(factor * end, "g") for end in (self.above, self.below))
        if self.above == self.below:
            return f"exactly {low}"
        if math.isinf(self.below):
            return f"above {low}{unit if self.above else ''}"
        if math.isinf(self.above):
            return f"below {high}{unit if self.below else ''}"
        ends = f"between {low} and {high}{unit}"
        return f"{ends}, by two one-sided tests" if self.kind in EQUIVALENCES else ends

    @property
    def _scale(self) -> tuple[int, str, str]:
        """Factor, format and unit of the number as it is written."""
        if self.form not in UNITS:
            return 1, self.form, ""
        return 100 if self.form in SHARES else 1, ".1f", UNITS[self.form]

    @property
    def _can_have_more(self) -> bool:
        return self.repeats.endswith(("seeds", "networks"))

    def number(self, evidence: Evidence) -> Number:
        """Measure the number, or raise ``NotComputed``."""
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
        """Apply the rule; a mean of nan (a non-finite run) is ``NOT_TESTED``."""
        mean, low, high, _ = interval
        if math.isnan(mean):
            return NOT_TESTED
        if (self.above < low and high < self.below) or low == high == self.above == self.below:
            return HOLDS
        if high <= self.above or low >= self.below:
            return FAILS
        return UNDECIDED

    def in_words(self, number: Number) -> str:
        """Describe the number with its interval, its unstable seeds, and the seeds needed."""
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
            sound = number.sound and self._interval_in_words(number.sound, "other seeds")
            words.append(f"without them {sound}" if sound else "no other seeds")
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
        """Return the number with its interval: ``7.9 points (7.1 to 8.6)``."""
        if math.isnan(interval.mean):
            return "not defined"
        text, ends = self._mean_and_ends(interval)
        return f"{text} ({ends})" if ends else text

    def _mean_and_ends(self, interval: Interval) -> tuple[str, str]:
        """Write an interval, clipped to the possible range of a share or a difference of shares."""
        factor, form, unit = self._scale
        text = f"{number(factor * interval.mean, form)}{unit}"
        if math.isnan(interval.low) or not interval.n:
            return text, ""
        most = 1 if self.form in SHARES else math.inf
        least = 0 if self.form == "percent" else -most
        low, high = (factor * min(max(end, least), most) for end in interval[1:3])
        return text, span(low, high, form)

    def _interval_in_words(self, interval: Interval, repeats: str) -> str:
        text, ends = self._mean_and_ends(interval)
        if not interval.n:
            return f"{text}, exactly"
        if not ends:
            return f"{text}, without an interval: measured once"
        return f"{text} ({self.interval or INTERVALS[self.kind]}: {ends}; {interval.n} {repeats})"


class Commit(NamedTuple):
    """A commit: abbreviated hash and date."""

    hash: str
    date: str


@dataclass(frozen=True)
class Claim:
    """A claim and its test.

    It holds if all its parts hold, and holds in part if some do. If none does, it does not hold if one
    fails, and is undecided otherwise. A part with a non-finite run neither holds nor fails.
    """

    id: str  #: for example ``"3b"``
    text: str  #: one sentence in our own words
    made: str  #: place in the thesis, or "this book"
    figure: str = ""  #: the book's figure on it, ``"fig-sgd"``; empty if the claim is not tested
    parts: tuple[Part, ...] = ()  #: numbers that it is judged by; empty if it is not tested
    some: bool = False  #: whether one part that holds is enough: then it fails if all parts fail
    rule_since: Commit | None = None  #: commit of the current rule
    reason: str = ""  #: why the claim is not tested
    by_literature: str = ""  #: verdict on a claim about the literature; ``reason`` cites the source
    not_on: Mapping[str, str] = field(default_factory=dict)
    """Datasets on which the claim is not tested, with the reason."""
    note: str = ""  #: note on the test


class Judgement(NamedTuple):
    """The verdict on a claim on one dataset."""

    verdict: str
    numbers: tuple[Number, ...] = ()  #: of the parts
    verdicts: tuple[str, ...] = ()  #: on the parts
    corrected: str = ""  #: the verdict after Holm's correction of the parts' p-values
    reason: str = ""  #: why it was not tested
    experiments: frozenset[str] = frozenset()  #: sources of the numbers

    @property
    def computed(self) -> bool:
        """Whether results were available."""
        return self.reason != NOT_COMPUTED

    @property
    def unstable(self) -> bool:
        """Whether a number has unstable seeds."""
        return any(number.unstable for number in self.numbers)

    def in_words(self) -> str:
        """Return the verdict in a few words: ``holds in part, 3 of 8``."""
        if not self.computed:
            return "not computed"
        if self.verdict == IN_PART:
            there = sum(not number.missing for number in self.numbers)
            return f"{IN_PART}, {self.verdicts.count(HOLDS)} of {there}"
        return self.verdict

    def what_would_decide(self) -> str:
        """Say what would decide an undecided claim; empty if it is decided."""
        if self.verdict != UNDECIDED:
            return ""
        open_ = [n for n, v in zip(self.numbers, self.verdicts, strict=True) if v == UNDECIDED]
        if any(n.interval.n == 1 for n in open_):
            return "measured once"
        if unstable := [n for n in open_ if n.unstable]:
            worst = max(unstable, key=lambda n: n.unstable / n.interval.n)
            return f"{worst.unstable} of {worst.interval.n} seeds unstable"
        if any(n.needed is None for n in open_):
            return "too near to call"  # more than MOST_SEEDS seeds, or repeats that cannot be added
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
    """Return the verdicts on parts after Holm's correction; a part without a test keeps its verdict."""
    tested = [i for i, number in enumerate(numbers) if not math.isnan(number.p)]
    adjusted = dict(zip(tested, holm([numbers[i].p for i in tested]), strict=True))
    return [
        UNDECIDED if verdict == HOLDS and adjusted.get(i, 0) > LEVEL else verdict
        for i, verdict in enumerate(verdicts)
    ]


def combined(verdicts: Sequence[str], some: bool = False) -> str:
    """Combine the verdicts on parts; with ``some``, one that holds is enough."""
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
    """Combine the verdicts on the datasets on which the claim was tested.

    If it fails on one and holds, or holds in part, on the other, the datasets disagree.
    """
    verdicts = list(dict.fromkeys(j.verdict for j in judgements if j.verdict != NOT_TESTED))
    if len(verdicts) < 2:
        return verdicts[0] if verdicts else NOT_TESTED
    if FAILS in verdicts and {HOLDS, IN_PART} & set(verdicts):
        return DISAGREE
    return " on one dataset, ".join(verdicts) + " on the other"


Ledger = Sequence[tuple[Claim, Mapping[str, Judgement]]]


def check_complete(ledger: Ledger) -> None:
    """Raise ``InputError`` if a claim lacks its verdict, rule, statistic or figure."""
    problems: list[str] = []
    ids = [claim.id for claim, _ in ledger]
    for claim, judgements in ledger:
        untested = not claim.parts and not claim.reason
        checks = [
            (ids.count(claim.id) > 1, f"is there {ids.count(claim.id)} times"),
            (not claim.text.strip(), "does not say 'text'"),
            (not claim.made.strip(), "does not say 'made'"),
            (bool(claim.parts) and not claim.figure, "has no figure"),
            (
                untested,
                "has no statistic, and no reason why it is not tested",
            ),
            (not judgements, "has no verdict"),
        ]
        for part in claim.parts:
            unbounded = math.isinf(part.above) and math.isinf(part.below)
            checks.append((unbounded, f"has no rule for {part.what!r}"))
        for dataset, (verdict, numbers, _, _, reason, _) in judgements.items():
            tested = verdict in VERDICTS and verdict != NOT_TESTED
            checks += [
                (verdict not in VERDICTS, f"has no verdict on {dataset}"),
                (verdict == NOT_TESTED and not reason, f"is not tested on {dataset} without a reason"),
                (tested and len(numbers) != len(claim.parts), f"has no statistic on {dataset}"),
            ]
        problems += [f"claim {claim.id} {problem}." for wrong, problem in checks if wrong]
    if problems:
        raise InputError(" ".join(dict.fromkeys(problems)))
