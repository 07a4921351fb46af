"""Differences between two builds of the site: verdicts, numbers and figures."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dfa_lib.validation import InputError

from ..claims.export import NAME as CLAIMS
from .crate import SHOWN


def moved(old: Path, new: Path) -> list[str]:
    """Return a line for each difference, in the order of the book; ``InputError`` without two sites."""
    lines = list(_compared("claim", _claims(old), _claims(new)))
    shown = _read(old, SHOWN), _read(new, SHOWN)
    for kind, noun in (("numbers", "number"), ("figures", "figure")):
        lines += _compared(noun, *(site.get(kind, {}) for site in shown))
    return lines


def _read(site: Path, name: str) -> dict[str, Any]:
    path = site / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise InputError(
            f"{site} has no {name}: name the folder of a built site, such as _build/html."
        ) from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"{path} cannot be read: {problem}.") from problem
    if not isinstance(content, dict):
        raise InputError(f"{path} is not what dfa-book writes.")
    return content


def _claims(site: Path) -> dict[str, dict[str, str]]:
    content = _read(site, CLAIMS)
    try:
        return {claim["id"]: _texts(claim) for claim in content.get("claims", [])}
    except (KeyError, TypeError, AttributeError) as problem:
        raise InputError(f"{site / CLAIMS} is not what dfa-book writes.") from problem


def _texts(claim: Mapping[str, Any]) -> dict[str, str]:
    """Return the compared texts of an entry of ``claims.json`` by their names."""
    texts = {"text": claim["text"]}
    for number, rule in enumerate(claim["rule"]["numbers"], 1):
        texts[f"rule of number {number}"] = f"{rule['what']}: {rule['above']} to {rule['below']}"
    for dataset, judged in claim["verdicts"].items():
        texts[f"verdict on {dataset}"] = judged["verdict"]
        for number, measured in enumerate(judged["numbers"], 1):
            ends = ", ".join(_short(measured[end]) for end in ("mean", "low", "high"))
            texts[f"number {number} on {dataset}"] = f"{ends} (n = {measured['n']})"
    return texts


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
