"""Checks of what a person passed in: one sentence that names the value and lists what is accepted."""

import difflib
import math
import operator
import reprlib
from collections.abc import Iterable
from typing import Any

# Largest whole number that is accepted, of samples, widths, digits in a stack, epochs and so on; memory
# sets a limit before that. Seeds may be larger, and are 64 bits long.
LARGEST, LARGEST_SEED = 100_000_000, 2**63 - 1


class InputError(ValueError):
    """Input that cannot be used. Its message is one sentence, written for the person who gave it."""


def choice(name: str, value: Any, accepted: Iterable[str]) -> str:
    """Return ``value`` if it is one of ``accepted``.

    Raises
    ------
    InputError
        If it is not; the message suggests the nearest accepted value.
    """
    accepted = list(accepted)
    if isinstance(value, str) and value in accepted:
        return value
    raise InputError(
        f"{name} cannot be {shown(value)}{nearest(value, accepted)}; accepted are {', '.join(accepted)}."
    )


def nearest(value: Any, accepted: Iterable[str]) -> str:
    """Return `` (did you mean …?)``, or nothing where no accepted name is close to ``value``."""
    word = value[:100] if isinstance(value, str) else ""
    close = difflib.get_close_matches(word, list(accepted), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def shown(value: Any) -> str:
    """Return a value as a message shows it: cut where it is long."""
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to write an integer of more than 4,300 digits
        return "a number of more than 4,300 digits"


def whole_number(name: str, value: Any, minimum: int = 1, maximum: int = LARGEST) -> int:
    """Return ``value`` as an int.

    Raises
    ------
    InputError
        If it is not an integer (booleans are not), is below ``minimum`` or above ``maximum``.
    """
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
    """Return ``value`` as a float.

    Raises
    ------
    InputError
        If it is not a number (texts, bytes and truth values are not), not finite, or not positive (zero
        passes where ``or_zero``).
    """
    truth = isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")
    try:
        number = float(value) if hasattr(value, "__float__") and not truth else math.nan
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        number = math.nan
    if math.isfinite(number) and (number > 0 or (or_zero and number == 0)):
        return number
    kind = "zero or a positive, finite number" if or_zero else "a positive, finite number"
    raise InputError(f"{name} must be {kind}, not {shown(value)}.")
