"""What moved between two builds of the site: verdicts, numbers and figures."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dfa_lib.validation import InputError

from ..claims.export import NAME as CLAIMS
from .crate import SHOWN


def moved(old: Path, new: Path) -> list[str]:
    """Return a line for each thing that is not the same in two built sites, in the order of the book.

    Raises
    ------
    InputError
        If a folder is no built site that says what it shows.
    """
    lines = list(_compared("claim", _claims(old), _claims(new)))
    shown = _read(old, SHOWN), _read(new, SHOWN)
    for kind, noun in (("numbers", "number"), ("figures", "figure")):
        lines += _compared(noun, *(site.get(kind, {}) for site in shown))
    return lines


def _read(site: Path, name: str) -> dict[str, Any]:
    path = site / name
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise InputError(
            f"{site} has no {name}: name the folder of a built site, such as _build/html."
        ) from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"{path} cannot be read: {problem}.") from problem
    if not isinstance(found, dict):
        raise InputError(f"{path} is not what dfa-book writes.")
    return found


def _claims(site: Path) -> dict[str, dict[str, str]]:
    found = _read(site, CLAIMS)
    try:
        return {claim["id"]: _said(claim) for claim in found.get("claims", [])}
    except (KeyError, TypeError, AttributeError) as problem:
        raise InputError(f"{site / CLAIMS} is not what dfa-book writes.") from problem


def _said(claim: Mapping[str, Any]) -> dict[str, str]:
    """Return what an entry of ``claims.json`` says, by what it says it of."""
    said = {"text": claim["text"]}
    for number, rule in enumerate(claim["rule"]["numbers"], 1):
        said[f"rule of number {number}"] = f"{rule['what']}: {rule['above']} to {rule['below']}"
    for dataset, judged in claim["verdicts"].items():
        said[f"verdict on {dataset}"] = judged["verdict"]
        for number, found in enumerate(judged["numbers"], 1):
            ends = ", ".join(_short(found[end]) for end in ("mean", "low", "high"))
            said[f"number {number} on {dataset}"] = f"{ends} (n = {found['n']})"
    return said


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _compared(noun: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            yield f"{noun} {name} is gone"
        elif name not in old:
            yield f"{noun} {name} is new"
        elif isinstance(old[name], Mapping):
            yield from _compared(f"{noun} {name},", old[name], new[name])
        elif old[name] != new[name]:
            change = "" if noun == "figure" else f": {old[name]} → {new[name]}"
            yield f"{noun} {name} has moved{change}"
