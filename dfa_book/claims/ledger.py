"""The ledger's page: every claim with its rule, its numbers and its verdict on each dataset."""

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
from .thesis_claims import CLAIMS, FIRST_RESULTS

__all__ = ["CLAIMS", "DATASETS", "entry", "find_evidence", "judge_all", "tally"]

DATASETS = {"digits": "the digits", "mnist": "MNIST"}


def own_dataset(settings: Settings) -> str:
    """Return the dataset of this edition."""
    return "mnist" if settings.profile == "mnist" else "digits"


def find_evidence(
    settings: Settings, tables: Mapping[str, pd.DataFrame] | None = None
) -> dict[str, Evidence]:
    """Return where the results of each dataset lie: those of this edition, and the other edition's.

    The MNIST edition's are in the repository, the digits' beside the staged book; either may be absent.
    Results that this code would not compute are not used. ``tables`` are this edition's where there is
    no file.
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
    reason = staleness(path)  # it quotes the record
    return None if reason is None else as_text(reason)


def judge_all(claims: Sequence[Claim], evidence: Mapping[str, Evidence]) -> Ledger:
    """Return each claim with its judgement on each dataset."""
    return [
        (claim, {dataset: judge(claim, found) for dataset, found in evidence.items()})
        for claim in claims
    ]


# ---- what is seen of a verdict ----

# Shape and colour of a chip: the stylesheet's classes.
LOOKS = {HOLDS: "holds", IN_PART: "part", FAILS: "fails", UNDECIDED: "open", NOT_TESTED: "none"}
HEADLINES = ("2b", "3a", "3b", "8b", "5b")
"""Claims that the thesis turns on: fixed features, DFA against them and against BP, what helps, why."""
SUMMED_UP = (
    "1a",
    "2b",
    "3a",
    "3b",
    "4",
    "4b",
    "5b",
    "5c",
    "6c",
    "6d",
    "7a",
    "8a",
    "8b",
    "8d",
    "10c",
    "11a",
    "12b",
)
"""Claims in the conclusion's table."""
# A picture of intervals, in pixels.
PICTURE_WIDTH, LANE = 96, 6


def chip(judgement: Judgement, before: str = "") -> str:
    """Return a verdict as HTML whose shape and colour say it too."""
    look = LOOKS[judgement.verdict]
    return f'<span class="dfa-chip dfa-{look}">{escape(before + judgement.in_words())}</span>'


def picture(claim: Claim, judgements: Mapping[str, Judgement]) -> str:
    """Return the intervals of a claim's numbers as SVG: lanes over the range where the claim puts them.

    Each number has a lane for each dataset, a full mark for the digits and an open one for MNIST. The
    band is the claimed range, on the right for *above* and on the left for *below*; each number has a
    scale of its own.
    """
    tested = {d: j for d, j in judgements.items() if j.numbers}
    if not tested:
        return ""
    height = len(claim.parts) * len(DATASETS) * LANE
    drawn = []
    for row, part in enumerate(claim.parts):
        numbers = {d: j.numbers[row].interval for d, j in tested.items()}
        place = _scale(part, numbers.values())
        top = row * len(DATASETS) * LANE
        ends = sorted((place(part.above), place(part.below)))
        band = max(ends[1] - ends[0], 1)
        drawn.append(
            f'<rect class="dfa-range" x="{ends[0]:.1f}" y="{top + 1}" width="{band:.1f}" '
            f'height="{len(DATASETS) * LANE - 2}"/>'
        )
        for lane, dataset in enumerate(DATASETS):
            interval = numbers.get(dataset)
            if interval is None or math.isnan(interval.mean):
                continue
            y = top + LANE * (lane + 0.5)
            if not math.isnan(interval.low):
                low, high = place(interval.low), place(interval.high)
                drawn.append(f'<path d="M{low:.1f} {y}H{high:.1f}"/>')
            drawn.append(
                f'<circle class="dfa-{dataset}" cx="{place(interval.mean):.1f}" cy="{y}" r="2"/>'
            )
    size = f'width="{PICTURE_WIDTH}" height="{height}" viewBox="0 0 {PICTURE_WIDTH} {height}"'
    return f'<svg class="dfa-intervals" aria-hidden="true" {size}>{"".join(drawn)}</svg>'


def _scale(part: Part, intervals: Iterable[Interval]) -> Callable[[float], float]:
    """Return where a value stands in a picture, in whose middle the range is, or the end that it has."""
    bounds = [end for end in (part.above, part.below) if math.isfinite(end)]
    middle = sum(bounds) / len(bounds)
    ends = [end for interval in intervals for end in interval[:3] if math.isfinite(end)]
    reach = 2.2 * max((abs(end - middle) for end in [*ends, *bounds]), default=0.0) or 1.0
    return lambda value: PICTURE_WIDTH * min(max(0.5 + (value - middle) / reach, 0.0), 1.0)


def tally(ledger: Ledger) -> str:
    """Return how many claims have which verdict on each dataset, as HTML: a stacked bar for each."""
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
        said = ", ".join(f"{v}: {verdicts.count(v)}" for v in LOOKS if v in verdicts)
        bars.append(
            f'<dt>{name}</dt><dd><svg class="dfa-bar" role="img" aria-label="{said}" width="100%" '
            f'height="14">{"".join(segments)}</svg><span>{" ".join(chips)}</span></dd>'
        )
    return f'<dl class="dfa-tally">{"".join(bars)}</dl>'


def verdict_table(ledger: Ledger, ids: Sequence[str], page: str = "") -> str:
    """Return claims with their verdicts as an HTML table, with links to their entries on ``page``."""
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
        "90 % where a claim is that two things are alike.</caption>"
        f'<thead><tr><th scope="col">claim</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _numbers(claim: Claim, judgement: Judgement) -> str:
    """Return the numbers of a claim that has one or two, with their intervals."""
    there = [(p, n) for p, n in zip(claim.parts, judgement.numbers, strict=False) if not n.missing]
    if not 0 < len(there) <= 2 or judgement.verdict == NOT_TESTED:
        return ""
    return "<br>".join(part.in_short(number.interval) for part, number in there)


# ---- which came first, the rule or the result ----


def first_result(experiments: frozenset[str], dataset: str) -> tuple[str, str] | None:
    """Return commit and date of the first result of the experiments that a number comes from."""
    known = [FIRST_RESULTS[dataset][e] for e in experiments if e in FIRST_RESULTS[dataset]]
    return min(known, key=lambda commit: commit.date, default=None)


def rule_came_first(claim: Claim, judgement: Judgement, dataset: str) -> bool | None:
    """Say whether a claim's rule was stated before any result that bears on it; None without results."""
    first = first_result(judgement.experiments, dataset)
    if claim.rule_since is None or first is None:
        return None
    return claim.rule_since.date < first[1]


def which_came_first(claim: Claim, judgement: Judgement, evidence: Evidence) -> str:
    """Say it in a sentence; empty where no results bear on a claim."""
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
    """Count the rules that were stated before the first result that bears on them."""
    sentences = []
    for dataset, name in DATASETS.items():
        first = [rule_came_first(claim, judgements[dataset], dataset) for claim, judgements in ledger]
        tested = [answer for answer in first if answer is not None]
        if tested:
            sentences.append(
                f"On {name}, the rule stood before the first result for {sum(tested)} of the "
                f"{len(tested)} claims that rest on results."
            )
    return " ".join(sentences) or "No claim rests on results here."


# ---- entries ----


def entry(
    claim: Claim,
    judgements: Mapping[str, Judgement],
    evidence: Mapping[str, Evidence] | None = None,
) -> str:
    """Return a claim's row, which unfolds into its rule and what was found on each dataset.

    The label of the entry is inside the fold: a browser that is led to it opens the fold.
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
        "",
        f"(claim-{claim.id})=",
        f"**Made in:** {claim.made} of the thesis.{figure}",
        "",
    ]
    if claim.parts:
        wanted = "at least one of these lies" if claim.some else "each of these lies"
        since = (
            f" (since {claim.rule_since.date}, commit `{claim.rule_since.hash}`)"
            if claim.rule_since
            else ""
        )
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
        # Of what is measured and not judged, only the number is given.
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
