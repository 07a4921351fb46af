"""Checks of arguments, each with an ``InputError`` of one sentence: the value, and what is accepted."""

import difflib
import math
import operator
import reprlib
from collections.abc import Iterable
from typing import Any

# Limits of whole numbers (samples, widths, epochs …; memory runs out before that), and of 64-bit seeds.
LARGEST, LARGEST_SEED = 100_000_000, 2**63 - 1


class InputError(ValueError):
    """Invalid input. The message is one sentence for the person who passed it."""


def choice(name: str, value: Any, accepted: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``accepted``, or suggest the nearest accepted one."""
    accepted = list(accepted)
    if isinstance(value, str) and value in accepted:
        return value
    raise InputError(
        f"{name} cannot be {shown(value)}{nearest(value, accepted)}; accepted are {', '.join(accepted)}."
    )


def nearest(value: Any, accepted: Iterable[str]) -> str:
    """Return `` (did you mean …?)``, or an empty text if no accepted name is similar."""
    word = value[:100] if isinstance(value, str) else ""
    close = difflib.get_close_matches(word, list(accepted), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def shown(value: Any) -> str:
    """Return the ``repr`` of a value for a message, shortened."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python's limit on converting an integer to text
        return "a number of more than 4,300 digits"


def whole_number(name: str, value: Any, minimum: int = 1, maximum: int = LARGEST) -> int:
    """Return a value between ``minimum`` and ``maximum`` as an int; booleans are no numbers."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < minimum:
        raise InputError(f"{name} must be a whole number of at least {minimum}, not {shown(value)}.")
    if number > maximum:
        raise InputError(f"{name} must be at most {maximum:,}, not {shown(value)}.")
    return number


def positive_number(name: str, value: Any, *, or_zero: bool = False) -> float:
    """Return a finite, positive number as a float (``or_zero``: or 0); texts and booleans are none."""
    truth = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
    try:
        number = float(value) if hasattr(value, "__float__") and not truth else math.nan
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        number = math.nan
    if math.isfinite(number) and (number > 0 or (or_zero and number == 0)):
        return number
    kind = "zero or a positive, finite number" if or_zero else "a positive, finite number"
    raise InputError(f"{name} must be {kind}, not {shown(value)}.")
