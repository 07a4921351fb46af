"""Generated sentences of chapters: the ledger's verdicts, and comparisons of two samples.

A chapter does not judge claims. It shows the ledger's verdict, computed by the same code from the same
results, so that pages do not contradict each other.
"""

import math
import re
from collections.abc import Mapping

from dfa_lib.experiments.results import read_results
from dfa_lib.experiments.statistics import binomial_interval, with_outcomes
from dfa_lib.validation import choice

from .chapter import Answer, Settings
from .claims.judge import FAILS, HOLDS, NOT_TESTED, Claim, Evidence, Judgement, judge
from .claims.ledger import find_evidence, own_dataset
from .claims.own_claims import OWN_CLAIMS
from .claims.queries import Sample
from .claims.thesis_claims import CLAIMS
from .studies import Study
from .words import SPACE, direction, enumerated, number, percent, size, span, the_other

_BY_ID = {claim.id: claim for claim in (*CLAIMS, *OWN_CLAIMS)}


def chapter_evidence(settings: Settings, *studies: Study) -> Evidence:
    """Return the results of a chapter's edition: those in its folder, else these studies."""
    known = {study.name: study.table for study in studies}
    kept = settings.kept("tuning") if settings.results is None else []
    if kept:
        known["tuning"] = with_outcomes(read_results(kept[0]))
    return find_evidence(settings, known)[own_dataset(settings)]


def judged(id: str, evidence: Evidence) -> tuple[Claim, Judgement]:
    """Return a claim of the ledger and its judgement; raise ``InputError`` for an unknown id."""
    claim = _BY_ID[choice("claim", id, _BY_ID)]
    return claim, judge(claim, evidence)


def verdict_on(id: str, evidence: Evidence) -> str:
    """Return the ledger's verdict on a claim without markup, with its number if it has just one."""
    claim, judgement = judged(id, evidence)
    text = claim.text.rstrip(".")
    return (
        f"The ledger's verdict on claim {id}, ‘{text}’, is ‘{_in_words(judgement)}’"
        f"{_only_number(claim, judgement)}."
    )


def named(*groups: str) -> list[str]:
    """Return the ids of groups such as ``"8"`` (8a, 8b, …) or of single claims such as ``"2e"``."""
    numbers = {id: id.rstrip("abcdefghijklmnopqrstuvwxyz") for id in _BY_ID}
    known = dict.fromkeys([*numbers.values(), *_BY_ID])
    return [
        id for group in groups for id in _BY_ID if choice("claim", group, known) in (id, numbers[id])
    ]


def verdicts(evidence: Evidence, *groups: str) -> Answer:
    """Return the ledger's verdicts on claims, see ``named``, as a list with links to their entries."""
    lines = ["**Does this edition agree?** By the rules of [the ledger](sec-ledger):", ""]
    for id in named(*groups):
        claim, judgement = judged(id, evidence)
        text = f"{{ref}}`{id} <claim-{id}>` {claim.text.rstrip('.')}: **{_in_words(judgement)}**"
        lines.append(f"- {text}{_only_number(claim, judgement)}.")
    return Answer("\n".join(lines))


def _only_number(claim: Claim, judgement: Judgement) -> str:
    if judgement.verdict == NOT_TESTED or len(judgement.numbers) != 1:
        return ""
    (part,), (number,) = claim.parts, judgement.numbers
    return f". {part.what[0].upper()}{part.what[1:]}: {part.in_words(number)}"


def _in_words(judgement: Judgement) -> str:
    if not judgement.computed:
        return judgement.reason
    words = judgement.in_words()
    if judgement.verdict == NOT_TESTED:
        return f"{words} ({judgement.reason})"
    if len(judgement.numbers) == 1:  # the number that follows says the rest
        return words
    more = judgement.what_would_decide() or ("with unstable seeds" if judgement.unstable else "")
    return f"{words} ({more})" if more else words


# A verdict in the output of ``verdicts``, and an entry of the ledger.
_SHOWN = re.compile(r"^- \{ref\}`(\w+) <claim-\w+>` .*?: \*\*(.+?)\*\*(.*)$", re.MULTILINE)
_ENTRY = re.compile(r"^\(claim-(\w+)\)=\n(.*?)^</details>$", re.MULTILINE | re.DOTALL)
_JUDGED = re.compile(r"\*\*On [^:*]+: ?(?:\*\* ?)?([^*\n(]+)")
_NUMBER = re.compile(r"^\d+\. ([+−]?\d.*): [a-z ]+$", re.MULTILINE)


def contradictions(pages: Mapping[str, str], ledger: str | None) -> list[str]:
    """Return a sentence for each verdict or number of a page that differs from the ledger's.

    Pages are executed one after another, so a page may lack results that were added later. ``pages`` has
    the Markdown output of each page's cells, ``ledger`` that of the ledger, None in a book without one.
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
            same = verdict in {word.strip() for word in _JUDGED.findall(entry)}
            if not same or (rest.strip(".") and not any(number in rest for number in numbers)):
                sentence = f"{page} says of claim {id} what the ledger does not: {verdict}{rest}"
                wrong.append(f"{sentence}; execute both again.")
    return wrong


def differences(glued: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a sentence for each key under which two pages have glued different values.

    The ledger, which other pages quote, glues the numbers of chapter 3 under the same keys; each page
    computes them itself. ``glued`` has the values of each page as text, by key.
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


def which_outcome(evidence: Evidence) -> Answer:
    """Glue which of the thesis's three possible outcomes this edition shows."""
    learns, lags = (judged(id, evidence)[1].verdict for id in ("3a", "3b"))
    which = "This edition does not decide between the three outcomes."
    if learns == FAILS:
        which = "This edition shows the third: DFA does no better than lazy methods."
    elif learns == HOLDS and lags == HOLDS:
        which = "This edition shows the second: DFA learns, and lags behind BP."
    elif learns == HOLDS and lags == FAILS:
        which = "This edition shows the first: DFA learns, and does not lag behind BP."
    return Answer("", {"outcome": which})


def compared(a: str, b: str, of_a: Sample, of_b: Sample, what: str = "right") -> str:
    """Compare two shares, paired by seed: ``BP gets 80.0 % right, 10.0 points (…) more than DFA``.

    ``a`` and ``b`` are names, ``what`` says what the shares are, e.g. ``"of the points wrong"``.
    """
    difference = of_a - of_b
    if not len(difference):
        return f"{a} and {b} have no seeds in common, so there is no comparison."
    gap = difference.interval()
    if math.isnan(gap.mean):
        return f"{a} and {b} have no comparison, because a run is not finite."
    share_a, share_b = (percent(of.values[difference.values.index].mean()) for of in (of_a, of_b))
    pair = f"{a} gets {share_a} {what} and {b} {share_b}"
    if gap.n == 1:
        text = f"{pair}, in the one seed of this edition"
    elif direction(gap):
        points = size(gap).replace(" (", f" {'more' if gap.mean > 0 else 'less'} than {b} (")
        text = f"{a} gets {share_a} {what}, {points}"
    else:
        text = f"{pair}; the difference may be chance ({_ends(gap.low, gap.high)})"
    return f"{text}{_unstable(difference)}."


def _ends(low: float, high: float) -> str:
    low, high = (100 * min(max(end, -1), 1) for end in (low, high))
    return f"{span(low, high, '.1f')}{SPACE}points"


def _unstable(difference: Sample) -> str:
    if not difference.unstable:
        return ""
    n, few = len(difference), len(difference.unstable)
    text = f"; {few} of {n} seeds {'is' if few == 1 else 'are'} unstable"
    if not len(difference.sound):
        return text
    others = 100 * difference.sound.interval().mean
    return (
        f"{text}, and the difference over {the_other(n - few)} is {number(others, '.1f')}{SPACE}points"
    )


def lags(a: str, b: str, gaps: Mapping[str, Sample]) -> str:
    """Say with which optimizers ``a`` lags behind ``b``; gaps are ``b`` minus ``a``."""
    groups: dict[str, list[str]] = {}
    for name, gap in gaps.items():
        interval = gap.interval()
        group = {0: "open", 1: "behind", -1: "ahead"}[direction(interval)]
        mark = f" ({len(gap.unstable)} of {len(gap)} seeds unstable)" if gap.unstable else ""
        groups.setdefault(group, []).append(name + mark)
    sentences = {
        "behind": f"{a} lags behind {b} with",
        "ahead": f"{a} is ahead of {b} with",
        "open": f"The difference between {a} and {b} may be chance with",
    }
    return " ".join(f"{text} {enumerated(groups[g])}." for g, text in sentences.items() if g in groups)


def stability(sample: Sample) -> str:
    """Count the unstable seeds, with the exact interval of their share."""
    n, few = len(sample), len(sample.unstable)
    if not few:
        return f"None of the {n} seeds is unstable." if n > 1 else "The one seed is not unstable."
    share = binomial_interval(few, n)
    return (
        f"{few} of {n} seeds {'is' if few == 1 else 'are'} unstable (exact 95{SPACE}% interval of the "
        f"share: {span(100 * share.low, 100 * share.high, '.0f')}{SPACE}%): the training loss ends "
        "above that of chance."
    )
