"""What a chapter says of its results: the ledger's verdicts, and comparisons of two samples.

A chapter does not judge a claim: it shows the verdict of the ledger, by the same code and from the same
results, so that no page contradicts another.
"""

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd

from dfa_lib.experiments.results import read_results
from dfa_lib.experiments.statistics import binomial_interval, with_outcomes
from dfa_lib.validation import choice

from .chapter import Settings, enumerated
from .claims.judge import (
    FAILS,
    HOLDS,
    NOT_TESTED,
    Claim,
    Evidence,
    Judgement,
    judge,
)
from .claims.ledger import find_evidence, own_dataset
from .claims.queries import Sample
from .claims.thesis_claims import CLAIMS

_BY_ID = {claim.id: claim for claim in CLAIMS}


def chapter_evidence(settings: Settings, tables: Mapping[str, pd.DataFrame]) -> Evidence:
    """Return the results of a chapter's own edition: those in its folder, or else what it has trained.

    Parameters
    ----------
    tables
        What the chapter has trained, by experiment. It counts where there is no results folder.
    """
    known = {name: with_outcomes(table) if "epoch" in table else table for name, table in tables.items()}
    kept = settings.kept("tuning") if settings.results is None else []
    if kept:
        known["tuning"] = with_outcomes(read_results(kept[0]))
    return find_evidence(settings, known)[own_dataset(settings)]


# ---- the ledger's verdicts ----


def judged(id: str, evidence: Evidence) -> tuple[Claim, Judgement]:
    """Return a claim of the ledger and what became of it; ``InputError`` if there is no such claim."""
    claim = _BY_ID[choice("claim", id, _BY_ID)]
    return claim, judge(claim, evidence)


def verdict_on(id: str, evidence: Evidence) -> str:
    """Return the ledger's verdict on a claim, as a sentence without markup.

    A claim with one number has the number in it.
    """
    claim, judgement = judged(id, evidence)
    text = f"{claim.text.rstrip('.')}: {_in_words(judgement)}"
    if judgement.verdict != NOT_TESTED and len(judgement.numbers) == 1:
        (part,), (number,) = claim.parts, judgement.numbers
        text += f" ({part.what}: {part.in_words(number)})"
    return f"{text}."


def verdicts(ids: Sequence[str], evidence: Evidence) -> str:
    """Return the ledger's verdicts on several claims, as a Markdown list that leads to their entries."""
    lines = ["**Do the two agree?** By the rules of [the ledger](ledger.ipynb):", ""]
    for id in ids:
        claim, judgement = judged(id, evidence)
        text = f"- {{ref}}`{id} <claim-{id}>` {claim.text.rstrip('.')}: **{_in_words(judgement)}**"
        if judgement.verdict != NOT_TESTED and len(judgement.numbers) == 1:
            (part,), (number,) = claim.parts, judgement.numbers
            text += f". {part.what[0].upper()}{part.what[1:]}: {part.in_words(number)}"
        lines.append(f"{text}.")
    return "\n".join(lines)


def _in_words(judgement: Judgement) -> str:
    if not judgement.computed:
        return judgement.reason
    words = judgement.in_words()
    if judgement.verdict == NOT_TESTED:
        return f"{words} ({judgement.reason})"
    if len(judgement.numbers) == 1:  # the number follows, and says it
        return words
    more = judgement.what_would_decide() or ("with unstable seeds" if judgement.unstable else "")
    return f"{words} ({more})" if more else words


# A verdict as ``verdicts`` shows it on a page, and an entry of the ledger.
_SHOWN = re.compile(r"^- \{ref\}`(\w+) <claim-\w+>` .*?: \*\*(.+?)\*\*(.*)$", re.MULTILINE)
_ENTRY = re.compile(r"^\(claim-(\w+)\)=\n(.*?)^</details>$", re.MULTILINE | re.DOTALL)
_JUDGED = re.compile(r"\*\*On [^:*]+: ?(?:\*\* ?)?([^*\n(]+)")
_NUMBER = re.compile(r"^\d+\. ([+−]?\d.*): [a-z ]+$", re.MULTILINE)


def contradictions(pages: Mapping[str, str], ledger: str | None) -> list[str]:
    """Say where a page has another verdict on a claim, or another number, than the ledger.

    Pages are executed one after another: results that came later, such as more seeds, are in the one and
    not in the other.

    Parameters
    ----------
    pages
        The Markdown that each page's cells have displayed.
    ledger
        That of the ledger; None in a book without one.
    """
    if ledger is None:
        return []
    entries = dict(_ENTRY.findall(ledger))
    wrong = []
    for page, text in pages.items():
        for id, words, rest in _SHOWN.findall(text):
            entry = entries.get(id, "")
            verdict = words.split(" (")[0]
            numbers = _NUMBER.findall(entry)
            same = verdict in {found.strip() for found in _JUDGED.findall(entry)}
            if not same or (rest.strip(".") and not any(number in rest for number in numbers)):
                wrong.append(
                    f"{page} says of claim {id} what the ledger does not: {verdict}{rest}; execute both "
                    f"again."
                )
    return wrong


def differences(glued: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Say where two pages have glued different values under one key.

    Home page, two-minute page and conclusion quote the ledger, which glues the numbers of chapter 3
    under the same keys: each page computes them for itself, and they have to agree.

    Parameters
    ----------
    glued
        For each page the values that it has glued, as text, by key.
    """
    first: dict[str, tuple[str, str]] = {}
    wrong = []
    for page, values in glued.items():
        for key, value in values.items():
            other, same = first.setdefault(key, (page, value))
            if value != same:
                wrong.append(
                    f"{page} has {value} for {key}, and {other} has {same}; execute both again."
                )
    return wrong


def which_outcome(evidence: Evidence) -> str:
    """Say which of the thesis's three outcomes it is: DFA keeps up with BP, lags behind, or fails."""
    learns, lags = (judged(id, evidence)[1].verdict for id in ("3a", "3b"))
    if learns == FAILS:
        return "Here it is the third: DFA does no better than lazy methods."
    if learns == HOLDS and lags == HOLDS:
        return "Here it is the second: DFA learns, and lags behind."
    if learns == HOLDS and lags == FAILS:
        return "Here it is the first: DFA learns, and does not lag."
    return "Which of the three outcomes it is, this edition cannot say."


# ---- comparisons that are no claims ----


def compared(a: str, b: str, of_a: Sample, of_b: Sample, what: str = "right", share: bool = True) -> str:
    """Say which of two has the larger number, as far as the seeds that they share can tell.

    Parameters
    ----------
    a, b
        What the two are called.
    what
        What the numbers are: "``a`` gets 71.2 % ``what``"; of no shares "``a`` has ``what`` 0.12".
    share
        Whether they are shares, which are given in percent and their differences in points.
    """
    difference = of_a - of_b
    if not len(difference):
        return f"{a} and {b} are not compared: they have no seeds in common."
    gap = difference.interval()
    if math.isnan(gap.mean):
        return f"{a} and {b} are not compared, because a run is not finite."

    def number(sample: Sample) -> str:
        mean = float(sample.values[difference.values.index].mean())
        return f"{100 * mean:.1f} %" if share else f"{mean:.2f}"

    verb = f"gets {number(of_a)} {what}" if share else f"has {what} {number(of_a)}"
    unit = " points" if share else ""
    pair = f"{a} {verb} and {b} {number(of_b)}"
    if gap.n == 1:
        text = f"{pair}, in the one seed that was run"
    elif gap.low > 0 or gap.high < 0:
        low, size, high = (_size(abs(x), share) for x in sorted(gap[:3], key=abs))
        more = "more" if gap.mean > 0 else "less"
        text = f"{a} {verb}, {size}{unit} {more} than {b} ({low} to {high})"
    else:
        ends = f"{_signed(gap.low, share)} to {_signed(gap.high, share)}{unit}"
        text = f"{pair}; the two cannot be told apart ({ends})"
    return f"{text}{_unstable(difference, share, unit)}."


def _size(value: float, share: bool) -> str:
    return f"{100 * value:.1f}" if share else f"{value:.2f}"


def _signed(value: float, share: bool) -> str:
    return f"{100 * value:+.1f}" if share else f"{value:+.2f}"


def _unstable(difference: Sample, share: bool, unit: str) -> str:
    if not difference.unstable:
        return ""
    text = f"; {len(difference.unstable)} of {len(difference)} seeds are unstable"
    if not len(difference.sound):
        return text
    others = _signed(difference.sound.interval().mean, share)
    return f"{text}, and without them the difference is {others}{unit}"


def told_apart(a: str, b: str, gaps: Mapping[str, Sample]) -> str:
    """Say with which of several methods ``a`` lags behind ``b``; a gap is ``b`` minus ``a``."""
    groups: dict[str, list[str]] = {"behind": [], "ahead": [], "open": []}
    for name, gap in gaps.items():
        interval = gap.interval()
        group = "behind" if interval.low > 0 else "ahead" if interval.high < 0 else "open"
        mark = f" ({len(gap.unstable)} of {len(gap)} seeds unstable)" if gap.unstable else ""
        groups[group].append(name + mark)
    sentences = {
        "behind": f"{a} lags behind {b} with {enumerated(groups['behind'])}.",
        "open": f"{a} and {b} cannot be told apart with {enumerated(groups['open'])}.",
        "ahead": f"{a} is ahead of {b} with {enumerated(groups['ahead'])}.",
    }
    return " ".join(text for group, text in sentences.items() if groups[group])


def stability(sample: Sample) -> str:
    """Say how many seeds are unstable, with the exact interval of their share."""
    n = len(sample)
    if not sample.unstable:
        return f"No run of {n} is unstable."
    share = binomial_interval(len(sample.unstable), n)
    text = (
        f"{len(sample.unstable)} of {n} seeds are unstable (exact 95 % interval of the share: "
        f"{share.low:.0%} to {share.high:.0%}): their training loss ends above that of a network that "
        f"knows nothing. The mean of all is {sample.values.mean():.3f}"
    )
    others = sample.sound
    return f"{text}, that of the others {others.values.mean():.3f}." if len(others) else f"{text}."
