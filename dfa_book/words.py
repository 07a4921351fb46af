"""Numbers in sentences and tables: percent and points, minus signs, intervals without line breaks."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dfa_lib.experiments.statistics import Interval

from .claims.queries import Sample

# No-break space.
SPACE = "\u00a0"
DATASETS = {"digits": "the digits", "mnist": "MNIST"}
"""Names of datasets in sentences."""


class Scale(NamedTuple):
    """How numbers of a kind are written."""

    factor: float  #: by which a number is multiplied
    form: str
    unit: str
    unit_of_differences: str
    kind: str  #: of the interval of a mean, see ``statistics.interval_of``
    widest: float = math.inf  #: the largest possible difference


SHARE = Scale(100, ".1f", f"{SPACE}%", f"{SPACE}points", "logit", 1)
"""Accuracies and errors: percent, their differences in points."""
COSINE = Scale(1, ".2f", "", "", "fisher", 2)


def number(value: float, form: str = ".2f") -> str:
    """Return a number with a minus sign (U+2212), and none before a rounded zero."""
    if math.isnan(value):
        return "not defined"
    text = f"{value:{form}}"
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("-+")
    return text.replace("-", "−")


def points(share: float) -> str:
    """Return a share in percent, or a difference of shares in points, without the unit."""
    return number(100 * share, ".1f")


def percent(share: float, form: str = ".1f") -> str:
    """Return a share in percent."""
    return "not defined" if math.isnan(share) else f"{number(100 * share, form)}{SPACE}%"


def span(low: float, high: float, form: str = ".2f") -> str:
    """Return the ends of an interval, joined by no-break spaces."""
    return SPACE.join([number(low, form), "to", number(high, form)])


def mean(sample: Sample, scale: Scale = SHARE, *, interval: bool = False) -> str:
    """Return the mean, e.g. ``64.0 % (2 of 5 seeds unstable; the other 3: 70.1 %)``.

    With ``interval``, the 95 % interval follows if all seeds are stable and there are two or more.
    """
    lost, n = int(sample.values.isna().sum()), len(sample)
    if lost or not n:
        return f"no value ({lost} of {n} seeds not finite)" if lost else "no value"
    text = _written(sample.mean, scale)
    if sample.unstable:
        sound = sample.sound
        others = f"; {the_other(len(sound))}: {_written(sound.mean, scale)}" if len(sound) else ""
        return f"{text} ({len(sample.unstable)} of {n} seeds unstable{others})"
    if not interval or n < 2:
        return text
    _, low, high, _ = sample.interval(scale.kind)
    return f"{text} ({span(scale.factor * low, scale.factor * high, scale.form)})"


def the_other(count: int) -> str:
    """Return ``the other`` for one seed, ``the other 3`` for three."""
    return "the other" if count == 1 else f"the other {count}"


def _written(value: float, scale: Scale) -> str:
    return number(scale.factor * value, scale.form) + scale.unit


def size(difference: Interval, scale: Scale = SHARE) -> str:
    """Return the absolute difference with its interval: ``2.1 points (1.0 to 3.2)``."""
    sign = -1 if difference.mean < 0 else 1
    low, high = sorted((sign * difference.low, sign * difference.high))
    return signed(Interval(sign * difference.mean, low, high, difference.n), scale, plus=False)


def signed(difference: Interval, scale: Scale = SHARE, *, plus: bool = True, unit: bool = True) -> str:
    """Return a difference with its sign and its interval, clipped at the largest possible difference."""
    if math.isnan(difference.mean):
        return "a run is not finite"
    mean, low, high = (scale.factor * min(max(x, -scale.widest), scale.widest) for x in difference[:3])
    sign = "+" if plus else ""
    text = number(mean, sign + scale.form) + (scale.unit_of_differences if unit else "")
    return text if math.isnan(low) else f"{text} ({span(low, high, sign + scale.form)})"


def gap(difference: Sample, scale: Scale = SHARE) -> str:
    """Return a paired difference for a table cell; its interval is over the stable seeds."""
    if not len(difference):
        return "no seeds in common"
    interval = difference.interval()
    if not difference.unstable or math.isnan(interval.mean):
        return signed(interval, scale, unit=False)
    sound = difference.sound
    note = f"{len(difference.unstable)} of {len(difference)} seeds unstable"
    others = f"; the others: {signed(sound.interval(), scale, unit=False)}" if len(sound) else ""
    return f"{number(scale.factor * interval.mean, '+' + scale.form)} ({note}{others})"


def enumerated(names: Sequence[str]) -> str:
    """Join names: ``SGD, momentum and Adam``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def listed(means: Mapping[str, str]) -> str:
    """Join names and values: ``BP 80.0 %; DFA 65.0 %``."""
    return "; ".join(f"{name} {words}" for name, words in means.items())


def means(samples: Mapping[str, Sample]) -> str:
    """Join names and means: ``BP 80.0 %; DFA 65.0 %``."""
    return listed({name: mean(sample) for name, sample in samples.items()})


def direction(difference: Interval) -> int:
    """Return 1 or -1 if a whole interval lies above or below 0, and 0 if it contains 0."""
    return int(difference.low > 0) - int(difference.high < 0)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 seed``, ``2 seeds``."""
    return f"{count:,}{SPACE}{noun}" + ("" if count == 1 else "s")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = True) -> str:
    """Return a Markdown table; all columns but the first are aligned to the right, or to the left.

    On a phone the last columns of a wide table are out of sight: those that answer come first.
    """
    others = ("--:|" if right else "---|") * (len(heads) - 1)
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0], f"|---|{others}", *lines[1:]])


def capitalised(text: str) -> str:
    """Capitalise the first letter only."""
    return text[:1].upper() + text[1:]
