"""What the chapter on students of a teacher shows: theory and simulation, two phases, solutions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dfa_lib.experiments.names import METHOD_NAMES

from ..align import (
    COLUMNS,
    METHODS,
    SAME_TIMES,
    STARTS,
    STUDENT,
    TEACHER,
    align_table,
    loss,
    same_start,
    theory,
)
from ..align_plots import SHOWN, against_theory, phases
from ..chapter import Settings
from ..claims.judge import Evidence, NotComputed
from ..claims.measures import (
    Quantity,
    aligned_before_learned,
    alignment_before_accuracy,
    alignment_before_loss,
    all_signs,
    finite_size_slope,
    students,
)
from ..claims.queries import Sample
from ..words import DATASETS, enumerated, number, percent, plural, span, table

DIMENSIONS = {
    "digits": (100, 200, 400, 800),
    "mnist": (100, 200, 400, 800),
    "class": (50, 100, 200),
    "smoke": (20, 40),
}
"""Numbers of inputs by profile. The edition of MNIST has the same students."""
SIZES = {"small": "a small start", "large": "a large start"}


def trained(settings: Settings) -> pd.DataFrame:
    """Train the students of this edition, or read them from its results.

    Results that have more seeds than asked for are shown with all of them.
    """
    path = settings.csv("align")
    seeds = settings.stored_seeds("align", COLUMNS, 2 * settings.on_digits.labellings)
    return align_table(DIMENSIONS[settings.profile], seeds, results=path, jobs=settings.jobs)


def _as_evidence(shown: pd.DataFrame) -> Evidence:
    return Evidence("digits", None, tables={"align": shown})


def _setting(shown: pd.DataFrame) -> str:
    return (
        f"{plural(shown['seed'].nunique(), 'student')} with {STUDENT} erf units of a teacher with "
        f"{len(TEACHER)}, each by BP and by DFA on the same inputs"
    )


def _interval(sample: Sample, form: str = ".2f") -> str:
    middle, low, high, n = sample.interval()
    return number(middle, form) + (f" ({span(low, high, form)})" if n > 1 else "")


def _shares(shown: pd.DataFrame) -> dict[tuple[str, str], float]:
    evidence = _as_evidence(shown)
    return {(m, of): all_signs(m, of)(evidence).mean for m in METHODS for of in ("feedback", "start")}


def _order(shown: pd.DataFrame, start: str) -> str:
    """Say how long before or after its loss DFA's alignment is half-way."""
    late = aligned_before_learned(start)(_as_evidence(shown))
    before = late.mean < 0
    size = late.mapped(lambda values: -values) if before else late
    return f"{_interval(size)} {'before' if before else 'after'} its loss"


def _both_orders(shown: pd.DataFrame) -> str:
    small, large = (_order(shown, start) for start in SIZES)
    return (
        f"From a small start, DFA's alignment is half-way {small}, and from a large one {large}, in "
        "steps / D."
    )


def _slopes(shown: pd.DataFrame) -> str:
    evidence = _as_evidence(shown)
    each = [f"{_interval(finite_size_slope(m)(evidence))} for {METHOD_NAMES[m]}" for m in METHODS]
    return enumerated(each)


def finding(shown: pd.DataFrame) -> str:
    """Say in short what the students did."""
    shares = _shares(shown)
    return (
        "**What came out.** Simulations follow the equations: their distance from theory is a power of "
        f"the number of inputs D, with the exponent {_slopes(shown)}, where theory says −½. "
        f"{_both_orders(shown)} Output weights end with "
        f"all signs of the random matrix in {percent(shares['dfa', 'feedback'], '.0f')} of students of "
        f"DFA, and with all signs of their start in {percent(shares['bp', 'start'], '.0f')} of BP's."
    )


def two_phases(shown: pd.DataFrame) -> dict[str, Any]:
    """Return the figure of alignment and loss along training, from both starts."""
    evidence = _as_evidence(shown)
    lines = [("dfa", measure) for measure in SHOWN] + [("bp", "loss")]
    panels = {
        name: {(m, measure): students(evidence, measure, start=start, method=m) for m, measure in lines}
        for start, name in SIZES.items()
    }
    return {
        "figure": phases(panels),
        "results": ("align",),
        "caption": (
            f"{_both_orders(shown)} Cosine of output weights and random matrix, and loss as a share of "
            f"the first, against time, for {_setting(shown)}, with {shown['dimensions'].min()} inputs. "
            "First weights have a standard deviation of "
            f"(a) {STARTS['small']:g} and (b) {STARTS['large']:g}, the teacher's are of "
            "size 1. Lines are means, bands 95 % Student-t intervals, faint lines single students."
        ),
        "alt": (
            "Two panels against time, from a small and from a large start: DFA's alignment, its loss "
            f"and BP's loss. {_both_orders(shown)}"
        ),
    }


def theory_and_students(shown: pd.DataFrame) -> dict[str, Any]:
    """Return the figure of losses by theory and simulation, and of their distance by D."""
    C, v, feedback = same_start()
    times = np.geomspace(SAME_TIMES[1], SAME_TIMES[-1], 60)
    given = dict(zip(METHODS, (None, feedback), strict=True))
    expected = {m: pd.Series(loss(*theory(C, v, of, times)), times) for m, of in given.items()}
    evidence, largest = _as_evidence(shown), int(shown["dimensions"].max())
    of_size = {
        m: students(evidence, "loss", start="same", method=m, dimensions=largest) for m in METHODS
    }
    same = shown[shown["start"] == "same"]
    squares = (same["distance"] ** 2).groupby([same[c] for c in ("method", "dimensions", "seed")])
    slopes = _slopes(shown)
    return {
        "figure": against_theory(expected, of_size, (squares.mean() ** 0.5).reset_index()),
        "results": ("align",),
        "caption": (
            f"The distance from theory is a power of D with the exponent {slopes}; theory says −½. "
            "(a) Loss against time: lines are the integrated equations, circles the means of "
            f"students with {largest} inputs. (b) Distance from theory against the number of inputs D: "
            "the root mean square over all order parameters, output weights and times of a student. "
            "Lines are geometric means with 95 % intervals, small dots students, dotted lines have the "
            f"slope −½. {_setting(shown)}, all from the same order parameters."
        ),
        "alt": (
            "Two panels: losses of theory and of simulations against time, and distances against D on "
            f"logarithmic axes. Slopes: {slopes}."
        ),
    }


def solutions(shown: pd.DataFrame) -> str:
    """Return the table of solutions: whose signs the output weights have at the end."""
    rows, evidence = [], _as_evidence(shown)
    shares = _shares(shown)
    for method in METHODS:
        ends = students(evidence, "loss", start="small", method=method).iloc[-1]
        signs = [percent(shares[method, of], ".0f") for of in ("feedback", "start")]
        cosine = students(evidence, "alignment", start="small", method=method).iloc[-1].abs().mean()
        rows.append([METHOD_NAMES[method], *signs, number(cosine), f"{ends.median():.4f}"])
    heads = ["method", "all signs of B", "all signs of the start", "size of cos(v, B)", "median loss"]
    return (
        "Students at the end, from a small start. By chance, all "
        f"{STUDENT} signs agree in {percent(0.5**STUDENT, '.0f')} of students; BP has no part of B:"
        f"\n\n{table(heads, rows)}"
    )


def parities(evidences: Mapping[str, Evidence]) -> str:
    """Return the table of half-way epochs in the parity runs."""
    asked: dict[str, Quantity] = {
        "the loss": alignment_before_loss(),
        "the accuracy": alignment_before_accuracy(),
    }
    rows = []
    for dataset, name in DATASETS.items():
        try:
            samples = [quantity(evidences[dataset]) for quantity in asked.values()]
        except NotComputed:
            continue
        unstable, n = len(samples[0].unstable), len(samples[0])
        rows.append([name, *(_interval(s, ".1f") for s in samples), f"{unstable} of {n}"])
    if not rows:
        return (
            "The runs on parities are not in this build; they are those of [chapter 3](sec-alignment)."
        )
    heads = ["parities of", *(f"minus that of {of}" for of in asked), "unstable seeds"]
    return (
        "Epoch at which DFA's alignment is half-way minus that at which its loss or its accuracy is, "
        f"with 95 % intervals over seeds:\n\n{table(heads, rows)}"
    )
