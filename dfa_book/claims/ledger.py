"""The ledger's page: every claim with its rule, its numbers and its verdict on each dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from dfa_lib.validation import InputError

from ..chapter import Settings
from ..site.book import find_book
from ..site.freshness import staleness
from ..site.markdown import as_text
from ..words import enumerated
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
    judge,
    overall,
)
from .thesis_claims import CLAIMS, FIRST_RESULTS

__all__ = ["CLAIMS", "DATASETS", "entry", "find_evidence", "judge_all", "summary", "summary_table"]

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


def short_verdict(judgement: Judgement) -> str:
    """Say a verdict in a cell of a table: what would decide it, and what Holm's correction changes."""
    more = [judgement.what_would_decide()] if judgement.verdict == UNDECIDED else []
    if judgement.corrected and judgement.corrected != judgement.verdict:
        more.append(f"corrected: {judgement.corrected}")
    if judgement.unstable and judgement.verdict != UNDECIDED:
        more.append("with unstable seeds")
    more = [text for text in more if text]
    return judgement.in_words() + (f" ({'; '.join(more)})" if more else "")


def summary_table(ledger: Ledger) -> str:
    """Return one line of a Markdown table for each claim."""
    lines = [
        "| no. | claim | on the digits | on MNIST | figure |",
        "|---|---|---|---|---|",
    ]
    for claim, judgements in ledger:
        verdicts = " | ".join(short_verdict(judgements[dataset]) for dataset in DATASETS)
        figure = f"{{numref}}`{claim.figure}`" if claim.figure else "none"
        lines.append(f"| [{claim.id}](#claim-{claim.id}) | {claim.text} | {verdicts} | {figure} |")
    return "\n".join(lines)


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
    """Return a claim's entry as a fold: its rule first, then what was found on each dataset."""
    figure = f" Its figure here is {{numref}}`{claim.figure}`." if claim.figure else ""
    lines = [
        f":::{{admonition}} {claim.id}. {claim.text}",
        ":class: dropdown",
        f":name: claim-{claim.id}",
        "",
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
        lines.append(f"**Rule:** the claim holds if {wanted}, interval and all, where it is put{since}.")
    lines += ["", *(f"{i}. {p.what}: {p.range}" for i, p in enumerate(claim.parts, 1)), ""]
    for dataset, name in DATASETS.items():
        judgement = judgements[dataset]
        if not judgement.computed:
            lines += [f"**On {name}:** {NOT_COMPUTED}", ""]
            continue
        reason = f" ({judgement.reason})" if judgement.reason else ""
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
    if claim.note:
        lines += [f"*{claim.note}*", ""]
    return "\n".join([*lines, ":::"])


def _corrected(judgement: Judgement) -> str:
    if judgement.verdict == NOT_TESTED or len(judgement.numbers) < 2:
        return ""
    same = judgement.corrected == judgement.verdict
    return (
        f"; corrected for {len(judgement.numbers)} numbers, by Holm: "
        f"{'the same' if same else judgement.corrected}"
    )


def summary(ledger: Ledger) -> str:
    """Count the verdicts, in a sentence for each dataset."""
    sentences = [f"The ledger has {len(ledger)} claims."]
    for dataset, name in DATASETS.items():
        found = [
            judgements[dataset].verdict if judgements[dataset].computed else "not computed"
            for _, judgements in ledger
        ]
        verbs = {
            HOLDS: ("holds", "hold"),
            IN_PART: ("holds in part", "hold in part"),
            FAILS: ("does not hold", "do not hold"),
            UNDECIDED: ("is undecided", "are undecided"),
            NOT_TESTED: ("is not tested", "are not tested"),
            "not computed": ("was not computed in this build", "were not computed in this build"),
        }
        counts = [
            f"{found.count(verdict)} {verb[found.count(verdict) > 1]}"
            for verdict, verb in verbs.items()
            if verdict in found
        ]
        sentences.append(f"On {name}, {enumerated(counts)}.")
    return " ".join(sentences)
