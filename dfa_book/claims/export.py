"""The ledger as data: ``claims.json`` and its schema, and how to cite a verdict."""

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from IPython.display import display

from dfa_lib.experiments.provenance import commit, fingerprint
from dfa_lib.validation import InputError

from ..chapter import FOR_THE_SITE
from ..site.book import find_book
from ..site.launch import site_address
from ..words import DATASETS
from .judge import INTERVALS, VERDICTS, Claim, Evidence, Judgement, Ledger, Number, Part, overall
from .measures import Quantity

NAME, SCHEMA_NAME = "claims.json", "claims.schema.json"
PAGE = "ledger.html"
# Key in the metadata of an output of the ledger's page.
METADATA = "dfa_claims"


def anchor(claim: Claim) -> str:
    """Return the permanent label of a claim's entry on the ledger's page."""
    return f"claim-{claim.id}"


def address(claim: Claim) -> str:
    """Return the address of a claim's entry, absolute if the site's address is known."""
    return f"{_site()}{PAGE}#{anchor(claim)}"


@cache  # git is slow
def _site() -> str:
    try:
        return site_address(find_book().root)
    except InputError:  # a notebook by itself, without its book
        return ""


_commit = cache(commit)


def citation(claim: Claim, judgements: Mapping[str, Judgement]) -> str:
    """Return a citation of a claim's verdicts with the commit and the entry's address."""
    verdicts = ", ".join(f"{j.in_words()} on {DATASETS[name]}" for name, j in judgements.items())
    return (
        f"An executable companion to ‘The Dynamics of Learning Beyond Stochastic Gradient Descent’, "
        f"claim {claim.id}, ‘{claim.text}’: {verdicts}; commit {_commit()}, {address(claim)}"
    )


def publish(ledger: Ledger, evidence: Mapping[str, Evidence]) -> None:
    """Put the ledger into the metadata of an output, from which the site writes ``claims.json``."""
    display({FOR_THE_SITE: NAME}, raw=True, metadata={METADATA: export(ledger, evidence)})


def export(ledger: Ledger, evidence: Mapping[str, Evidence]) -> dict[str, Any]:
    """Return the ledger in the form of ``SCHEMA``; non-finite numbers are null."""
    exported = {
        "$schema": SCHEMA_NAME,
        "commit": _commit(),
        "code": fingerprint(),
        "claims": [_claim(claim, judgements, evidence) for claim, judgements in ledger],
    }
    return dict(_plain(exported))


def _claim(
    claim: Claim, judgements: Mapping[str, Judgement], evidence: Mapping[str, Evidence]
) -> dict[str, Any]:
    return {
        "id": claim.id,
        "text": claim.text,
        "made": claim.made,
        "link": address(claim),
        "figure": claim.figure,
        "rule": {
            "needs": "some number" if claim.some else "every number",
            "since": claim.rule_since and claim.rule_since._asdict(),
            "numbers": [_rule(part) for part in claim.parts],
        },
        "verdicts": {
            dataset: {
                "verdict": judgement.verdict,
                "corrected": judgement.corrected,
                "reason": judgement.reason,
                "numbers": list(map(_number, judgement.numbers, judgement.verdicts)),
                "results": _digests(judgement, evidence[dataset]),
            }
            for dataset, judgement in judgements.items()
        },
        "together": overall(list(judgements.values())),
        "cite": citation(claim, judgements),
    }


def _rule(part: Part) -> dict[str, Any]:
    names = ("what", "above", "below", "kind", "optional")
    return {name: getattr(part, name) for name in names} | {"formula": formula(part.measure)}


def _number(number: Number, verdict: str) -> dict[str, Any]:
    return {
        **number.interval._asdict(),
        "p": number.p,
        "unstable": number.unstable,
        "undefined": number.undefined,
        "verdict": verdict,
    }


def _digests(judgement: Judgement, evidence: Evidence) -> dict[str, str]:
    """Return the SHA-256 of each results file behind a verdict."""
    files = [evidence.folder / f"{e}.csv" for e in sorted(judgement.experiments) if evidence.folder]
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.exists()}


def formula(measure: Any) -> Any:
    """Return a measure as JSON: a function of ``measures`` and its arguments, ``-`` or ``/``."""
    if isinstance(measure, Quantity):
        return {"function": measure.function} | {n: formula(v) for n, v in measure.arguments.items()}
    if isinstance(measure, Mapping):
        return {name: formula(value) for name, value in measure.items()}
    return measure.__name__ if callable(measure) else measure


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_plain, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_claims(exported: Mapping[str, Any], folder: Path) -> None:
    """Write ``claims.json`` and its schema into a folder."""
    for name, content in ((NAME, exported), (SCHEMA_NAME, SCHEMA)):
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _object(**fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _mapping(values: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_NUMBER = {"type": ["number", "null"]}
_VERDICT = {"enum": list(VERDICTS)}
_RULE = _object(
    needs={"enum": ["every number", "some number"]},
    since={"anyOf": [{"type": "null"}, _object(hash=_TEXT, date=_TEXT)]},
    numbers=_list(_object(
        what=_TEXT, above=_NUMBER, below=_NUMBER, kind={"enum": list(INTERVALS)},
        optional={"type": "boolean"}, formula={"type": ["object", "string"]},
    )),
)  # fmt: skip
_MEASURED = _object(
    mean=_NUMBER, low=_NUMBER, high=_NUMBER, n=_COUNT, p=_NUMBER, unstable=_COUNT, undefined=_COUNT,
    verdict=_VERDICT,
)  # fmt: skip
_JUDGED = _object(
    verdict=_VERDICT,
    corrected={"enum": ["", *VERDICTS]},
    reason=_TEXT,
    numbers=_list(_MEASURED),
    results=_mapping({"type": "string", "pattern": "^[0-9a-f]{64}$"}),
)
_CLAIM = _object(
    id={"type": "string", "pattern": r"^\d+[a-z]?$"},
    text={"type": "string", "minLength": 1},
    made=_TEXT,
    link={"type": "string", "format": "uri-reference"},
    figure=_TEXT,
    rule=_RULE,
    verdicts=_mapping(_JUDGED),
    together=_TEXT,  # a verdict, or that the datasets disagree, or that of each
    cite=_TEXT,
)
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Claims of a thesis, the rule that each is judged by, and its verdict on each dataset",
    **_object(**{"$schema": _TEXT}, commit=_TEXT, code=_TEXT, claims=_list(_CLAIM)),
}
"""JSON schema of ``claims.json``. A number's range is open where an end is null; ``kind`` is of
``judge.INTERVALS``; ``results`` are the SHA-256 of the tables that a verdict rests on."""
