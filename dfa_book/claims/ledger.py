"""The page of the ledger: every claim with its rule, its numbers and its verdict on each dataset."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from dfa_lib.experiments.statistics import Interval
from dfa_lib.validation import InputError

from ..chapter import Settings
from ..site.book import find_book
from ..site.freshness import staleness
from ..site.markdown import as_text
from ..words import DATASETS
from .export import citation
from .judge import (
    FAILS,
    HOLDS,
    IN_PART,
    NOT_COMPUTED,
    NOT_TESTED,
    UNDECIDED,
    Claim,
    Evidence,
    Judgement,
    Ledger,
    Part,
    judge,
    overall,
)
from .own_claims import HERE, OWN_CLAIMS
from .thesis_claims import CLAIMS, FIRST_RESULTS

__all__ = ["CLAIMS", "DATASETS", "OWN_CLAIMS", "entry", "find_evidence", "judge_all", "tally"]


def own_dataset(settings: Settings) -> str:
    """Return the dataset of this edition."""
    return "mnist" if settings.profile == "mnist" else "digits"


def find_evidence(
    settings: Settings, tables: Mapping[str, pd.DataFrame] | None = None
) -> dict[str, Evidence]:
    """Return the results of both datasets: this edition's and the other edition's.

    Those on MNIST are in the repository, those on the digits in ``_build``; either may be missing. Stale
    results are not used. ``tables`` are results of this edition without a file.
    """
    own = own_dataset(settings)
    folders: dict[str, Path | None] = dict.fromkeys(DATASETS)
    try:
        root = find_book().root
        folders["mnist"] = root / "results" / "mnist"
        if own == "mnist":
            folders["digits"] = root / "_build" / "results" / "digits"
    except InputError:  # a notebook by itself, without its book
        pass
    if settings.results is not None or tables is not None:
        folders[own] = settings.results
    return {
        dataset: Evidence(dataset, folder, _staleness, tables or {} if dataset == own else {})
        for dataset, folder in folders.items()
    }


def _staleness(path: Path) -> str | None:
    reason = staleness(path)  # quotes the record
    return None if reason is None else as_text(reason)


def judge_all(claims: Sequence[Claim], evidence: Mapping[str, Evidence]) -> Ledger:
    """Return each claim with its judgement on each dataset."""
    return [
        (claim, {dataset: judge(claim, results) for dataset, results in evidence.items()})
        for claim in claims
    ]


# ---- verdicts as HTML ----

# CSS classes of a chip, which set its shape and colour.
LOOKS = {HOLDS: "holds", IN_PART: "part", FAILS: "fails", UNDECIDED: "open", NOT_TESTED: "none"}
HEADLINES = ("2b", "3a", "3b", "8b", "5b")
"""Central claims: fixed features, DFA against them and against BP, what helps, why."""
SUMMED_UP = (
    *("1a", "2b", "3a", "3b", "4", "4b", "5b", "5c", "6c", "6d", "7a", "8a", "8b", "8d", "10c", "11a"),
    "12b",
)
"""Claims in the conclusion's table."""
# Width and height of a lane in the picture of intervals, in pixels.
PICTURE_WIDTH, LANE = 96, 6


def chip(judgement: Judgement, before: str = "") -> str:
    """Return a verdict as HTML, coded by shape and colour as well."""
    look = LOOKS[judgement.verdict]
    return f'<span class="dfa-chip dfa-{look}">{escape(before + judgement.in_words())}</span>'


def picture(claim: Claim, judgements: Mapping[str, Judgement]) -> str:
    """Return the intervals of a claim's numbers as SVG, over bands of the claimed ranges.

    Each number has its own scale and a lane for each dataset, with a full marker for the digits and an
    open one for MNIST.
    """
    tested = {d: j for d, j in judgements.items() if j.numbers}
    if not tested:
        return ""
    drawn, row_height = [], len(DATASETS) * LANE
    for row, part in enumerate(claim.parts):
        numbers = {d: j.numbers[row].interval for d, j in tested.items()}
        place, top = _scale(part, numbers.values()), row * row_height
        left, right = sorted((place(part.above), place(part.below)))
        drawn.append(
            f'<rect class="dfa-range" x="{left:.1f}" y="{top + 1}" width="{max(right - left, 1):.1f}" '
            f'height="{row_height - 2}"/>'
        )
        for lane, dataset in enumerate(DATASETS):
            interval = numbers.get(dataset)
            if interval is None or math.isnan(interval.mean):
                continue
            y, (x, low, high) = top + LANE * (lane + 0.5), map(place, interval[:3])
            if not math.isnan(interval.low):
                drawn.append(f'<path d="M{low:.1f} {y}H{high:.1f}"/>')
            drawn.append(f'<circle class="dfa-{dataset}" cx="{x:.1f}" cy="{y}" r="2"/>')
    height = len(claim.parts) * row_height
    size = f'width="{PICTURE_WIDTH}" height="{height}" viewBox="0 0 {PICTURE_WIDTH} {height}"'
    return f'<svg class="dfa-intervals" aria-hidden="true" {size}>{"".join(drawn)}</svg>'


def _scale(part: Part, intervals: Iterable[Interval]) -> Callable[[float], float]:
    """Return the scale of a picture: x in pixels, with the middle of the range in the centre."""
    bounds = [end for end in (part.above, part.below) if math.isfinite(end)]
    middle = sum(bounds) / len(bounds)
    ends = [end for interval in intervals for end in interval[:3] if math.isfinite(end)]
    reach = 2.2 * max((abs(end - middle) for end in [*ends, *bounds]), default=0.0) or 1.0
    return lambda value: PICTURE_WIDTH * min(max(0.5 + (value - middle) / reach, 0.0), 1.0)


def tally(ledger: Ledger) -> str:
    """Return the number of claims by verdict as HTML, a stacked bar for each dataset."""
    bars = []
    for dataset, name in DATASETS.items():
        verdicts = [judgements[dataset].verdict for _, judgements in ledger]
        segments, chips, start = [], [], 0.0
        for verdict, look in LOOKS.items():
            count = verdicts.count(verdict)
            width = 100 * count / len(ledger)
            segments.append(
                f'<rect class="dfa-{look}" x="{start:.2f}%" width="{width:.2f}%" height="14"/>'
            )
            start += width
            if count:
                chips.append(f'<span class="dfa-chip dfa-{look}">{verdict}: {count}</span>')
        label = ", ".join(f"{v}: {verdicts.count(v)}" for v in LOOKS if v in verdicts)
        bars.append(
            f'<dt>{name}</dt><dd><svg class="dfa-bar" role="img" aria-label="{label}" width="100%" '
            f'height="14">{"".join(segments)}</svg><span>{" ".join(chips)}</span></dd>'
        )
    return f'<dl class="dfa-tally">{"".join(bars)}</dl>'


def verdict_table(ledger: Ledger, ids: Sequence[str], page: str = "") -> str:
    """Return claims and verdicts as an HTML table, with links to their entries on ``page``."""
    by_id = {claim.id: (claim, judgements) for claim, judgements in ledger}
    heads = "".join(f'<th scope="col">on {name}</th>' for name in DATASETS.values())
    rows = []
    for id in ids:
        claim, judgements = by_id[id]
        cells = "".join(
            f"<td>{chip(judgements[d])} <small>{_numbers(claim, judgements[d])}</small></td>"
            for d in DATASETS
        )
        link = f'<a href="{page}#claim-{id}">{id}</a>'
        rows.append(f'<tr><th scope="row">{link} {escape(claim.text)}</th>{cells}</tr>')
    return (
        '<table class="dfa-verdicts"><caption>In brackets, the interval that decides: of 95 %, and of '
        "90 % where a claim is that two things are alike; 4 of 5: so many of its numbers hold.</caption>"
        f'<thead><tr><th scope="col">claim</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _numbers(claim: Claim, judgement: Judgement) -> str:
    """Return the numbers of a claim with their intervals, if there are at most two."""
    there = [(p, n) for p, n in zip(claim.parts, judgement.numbers, strict=False) if not n.missing]
    if not 0 < len(there) <= 2 or judgement.verdict == NOT_TESTED:
        return ""
    return " ".join(f"<span>{part.in_short(number.interval)}</span>" for part, number in there)


# ---- whether the rule came before the result ----


def first_result(experiments: frozenset[str], dataset: str) -> tuple[str, str] | None:
    """Return commit and date of the first result of any of these experiments."""
    known = [FIRST_RESULTS[dataset][e] for e in experiments if e in FIRST_RESULTS[dataset]]
    return min(known, key=lambda commit: commit.date, default=None)


def rule_came_first(claim: Claim, judgement: Judgement, dataset: str) -> bool | None:
    """Return whether a claim's rule was stated before its first result; None without results."""
    first = first_result(judgement.experiments, dataset)
    if claim.rule_since is None or first is None:
        return None
    return claim.rule_since.date < first[1]


def which_came_first(claim: Claim, judgement: Judgement, evidence: Evidence) -> str:
    """Say whether the rule or the result came first; empty without results."""
    first = first_result(judgement.experiments, evidence.dataset)
    if claim.rule_since is None or first is None:
        return ""
    there = f"the first result ({first[1]}, commit `{first[0]}`)"
    if rule_came_first(claim, judgement, evidence.dataset):
        return f"The rule was stated before {there}."
    trained = [evidence.trained_since(e) for e in judgement.experiments]
    later = all(t is not None and t.replace("T", " ") > claim.rule_since.date for t in trained)
    return f"The rule was stated after {there}" + (
        ", and before the runs that are judged here were trained." if later else "."
    )


def summary_of_rules(ledger: Ledger) -> str:
    """Count the rules that were stated before their first result."""
    sentences = []
    for dataset, name in DATASETS.items():
        first = [rule_came_first(claim, judgements[dataset], dataset) for claim, judgements in ledger]
        tested = [answer for answer in first if answer is not None]
        if tested:
            sentences.append(
                f"Rules stated before their first result on {name}: {sum(tested)} of {len(tested)}."
            )
    return " ".join(sentences) or "No claim rests on results here."


# ---- entries ----


def entry(
    claim: Claim, judgements: Mapping[str, Judgement], evidence: Mapping[str, Evidence] | None = None
) -> str:
    """Return a claim as a dropdown with its rule, and its numbers and verdict on each dataset.

    The label is inside the dropdown, because browsers open a dropdown to show a link's target.
    """
    chips = "".join(
        chip(judgements[dataset], f"{name.removeprefix('the ')}: ") for dataset, name in DATASETS.items()
    )
    verdicts = " ".join(f'data-{d}="{LOOKS[judgements[d].verdict]}"' for d in DATASETS)
    figure = f" Its figure is {{numref}}`{claim.figure}`." if claim.figure else ""
    lines = [
        f'<details class="dfa-claim" {verdicts}>',
        f'<summary><b>{claim.id}</b><span class="dfa-claim-text">{escape(claim.text)}</span>'
        f'<span class="dfa-chips">{chips}</span>{picture(claim, judgements)}</summary>',
        f"\n(claim-{claim.id})=",
        f"**Made in:** {claim.made}{'' if claim.made == HERE else ' of the thesis'}.{figure}\n",
    ]
    if claim.parts:
        wanted = "at least one of these lies" if claim.some else "each of these lies"
        rule = claim.rule_since
        since = f" (since {rule.date}, commit `{rule.hash}`)" if rule else ""
        lines.append(f"**Rule:** the claim holds if {wanted} in its range, interval included{since}.")
    lines += ["", *(f"{i}. {p.what}: {p.range}" for i, p in enumerate(claim.parts, 1)), ""]
    for dataset, name in DATASETS.items():
        judgement = judgements[dataset]
        if not judgement.computed:
            lines += [f"**On {name}:** {NOT_COMPUTED}", ""]
            continue
        reason = f" ({judgement.reason})" if judgement.reason else ""
        if decide := judgement.what_would_decide():
            reason = f" ({decide})"
        lines += [f"**On {name}: {judgement.in_words()}**{reason}{_corrected(judgement)}", ""]
        numbers = list(zip(claim.parts, judgement.numbers, judgement.verdicts, strict=False))
        # A number that is measured but not judged has no verdict.
        items = [
            f"{i}. {part.in_words(number)}" + ("" if judgement.verdict == NOT_TESTED else f": {verdict}")
            for i, (part, number, verdict) in enumerate(numbers, 1)
        ]
        lines += [*items, ""] if items else []
        if evidence and (when := which_came_first(claim, judgement, evidence[dataset])):
            lines += [when, ""]
    if all(judgements[dataset].verdict != NOT_TESTED for dataset in DATASETS):
        lines += [f"**Taken together: {overall(list(judgements.values()))}**", ""]
    lines += [f"**To cite this verdict:** {as_text(citation(claim, judgements))}", ""]
    if claim.note:
        lines += [f"*{claim.note}*", ""]
    return "\n".join([*lines, "</details>"])


def _corrected(judgement: Judgement) -> str:
    if judgement.verdict == NOT_TESTED or len(judgement.numbers) < 2:
        return ""
    same = judgement.corrected == judgement.verdict
    return (
        f"; corrected for {len(judgement.numbers)} numbers, by Holm: "
        f"{'the same' if same else judgement.corrected}"
    )
