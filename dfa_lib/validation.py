"""Checks of what a person passed in: one sentence that names the value and lists what is accepted."""

import difflib
import math
import operator
from collections.abc import Iterable
from typing import Any


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
        f"{name} cannot be {value!r}{nearest(value, accepted)}; accepted are {', '.join(accepted)}."
    )


def nearest(value: Any, accepted: Iterable[str]) -> str:
    """Return `` (did you mean …?)``, or nothing where no accepted name is close to ``value``."""
    close = difflib.get_close_matches(str(value), list(accepted), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def whole_number(name: str, value: Any, minimum: int = 1) -> int:
    """Return ``value`` as an int.

    Raises
    ------
    InputError
        If it is not an integer (booleans are not), or is below ``minimum``.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < minimum:
        raise InputError(f"{name} must be a whole number of at least {minimum}, not {value!r}.")
    return number


def positive_number(name: str, value: Any, *, or_zero: bool = False) -> float:
    """Return ``value`` as a float.

    Raises
    ------
    InputError
        If it is not a number, not finite, or not positive (zero passes where ``or_zero``).
    """
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if math.isfinite(number) and (number > 0 or (or_zero and number == 0)):
        return number
    kind = "zero or a positive, finite number" if or_zero else "a positive, finite number"
    raise InputError(f"{name} must be {kind}, not {value!r}.")
