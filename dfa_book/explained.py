"""What explains DFA's accuracy: correlations with measures of alignment, training time, signs, sizes."""

import math
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dfa_lib.experiments import final_epoch
from dfa_lib.experiments.outcomes import NON_FINITE, UNSTABLE
from dfa_lib.experiments.statistics import UNKNOWN, Interval, interval_of, mean_interval

from .claims.judge import LEVEL
from .claims.queries import Sample
from .claims.significance import EQUIVALENCE_CONFIDENCE, p_value
from .claims.thesis_claims import ALIKE
from .plots import judged
from .words import SPACE, direction, enumerated, number, percent, plural, signed, size, span, table

MEASURES = {
    "sign_agreement": "S, the share of right signs weighted by |W₂|",
    "sign_share": "the unweighted share of right signs",
    "weight_alignment": "cos(B, W₂ᵀ)",
    "update_alignment": "the cosine of all updates",
    "step_alignment": "the cosine of the optimizer's step",
}
"""Columns of a results table that may explain the accuracy, and their names in sentences."""

# The least number of optimizers for a correlation.
FEWEST = 3


class Explained(NamedTuple):
    """Correlation of a measure with the accuracy at the last epoch."""

    rho: float  # Spearman's rank correlation of the optimizers' means
    p: float  # its exact two-sided p-value over all permutations of the optimizers
    ranks: Interval  # the correlation for each seed, with an interval over seeds by Fisher's z
    r2: float  # the share of the variance between runs that a linear fit explains


def dfa_endings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last epoch of the finite DFA runs of a results table, with their outcomes."""
    last = final_epoch(judged(table))
    return last[(last["method"] == "dfa") & (last["outcome"] != NON_FINITE)]


def measured(last: pd.DataFrame) -> list[str]:
    """Return the measures that were recorded for enough optimizers; older results lack some."""
    return [name for name in MEASURES if last["optimizer"][last[name].notna()].nunique() >= FEWEST]


def explain(last: pd.DataFrame, measure: str) -> Explained:
    """Correlate a measure with the accuracy over ``last``, which has one row for each run.

    Numbers are nan if there are too few optimizers, or if a column is constant.
    """
    rows = last[[measure, "test_accuracy", "optimizer", "seed"]].dropna()
    rho, p = _rank_correlation(rows.groupby("optimizer")[[measure, "test_accuracy"]].mean())
    by_seed = [
        _rank_correlation(runs[[measure, "test_accuracy"]])[0] for _, runs in rows.groupby("seed")
    ]
    defined = [each for each in by_seed if not math.isnan(each)]
    ranks = interval_of(defined, "fisher") if defined else UNKNOWN
    r2 = math.nan if math.isnan(rho) else stats.pearsonr(rows[measure], rows["test_accuracy"])[0] ** 2
    return Explained(rho, p, ranks, float(r2))


def _rank_correlation(pairs: pd.DataFrame) -> tuple[float, float]:
    """Return Spearman's correlation of two columns, and its p-value over all permutations of rows."""
    if len(pairs) < FEWEST or (pairs.nunique() == 1).any():
        return math.nan, math.nan
    a, b = (stats.rankdata(pairs[name]) - (len(pairs) + 1) / 2 for name in pairs)
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    rho = float(a @ b) / length
    orders = a[np.array(list(permutations(range(len(a)))))]
    return rho, float((np.abs(orders @ b) / length >= abs(rho) - 1e-9).mean())


def stable(last: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of runs that are not unstable."""
    return last[last["outcome"] != UNSTABLE]


def table_of(last: pd.DataFrame) -> str:
    """Return a Markdown table of each measure's correlation with the accuracy."""
    runs, unstable = stable(last), len(last) - len(stable(last))
    heads = ["measure", "rank correlation of optimizers", "p", f"95{SPACE}% interval over seeds"]
    heads.append("R² over runs")
    if unstable:
        heads.append(f"R² with {plural(unstable, 'unstable run')}")
    rows = []
    for measure, name in MEASURES.items():
        if measure in measured(last):
            rho, p, ranks, r2 = explain(runs, measure)
            interval = "none" if math.isnan(ranks.low) else span(ranks.low, ranks.high)
            cells = [number(rho), number(p, ".3f"), interval, number(r2, ".2f")]
            if unstable:
                cells.append(number(explain(last, measure).r2, ".2f"))
        else:
            cells = ["not measured", *[""] * (len(heads) - 2)]
        rows.append([name.replace("|", "\\|"), *cells])
    return table(heads, rows)


def closest(last: pd.DataFrame) -> str:
    """Name the measure whose order of the optimizers is most like that of their accuracies."""
    runs = stable(last)
    each = {name: explain(runs, name).rho for name in measured(last)}
    each = {name: rho for name, rho in each.items() if not math.isnan(rho)}
    if not each:
        return "Too few optimizers have stable runs to compare their order."
    best = max(each, key=lambda name: each[name])
    if len(each) == 1:
        return (
            f"{MEASURES[best]}, the only measure here, has ρ = {number(each[best])} with the accuracy."
        )
    return (
        f"Of {len(each)} measures, the one that orders the optimizers most as their accuracy does is "
        f"{MEASURES[best]} (ρ = {number(each[best])})."
    )


def which_explains(last: pd.DataFrame) -> str:
    """Say which measures rank the optimizers as the accuracy does, and which explains most variance."""
    runs = stable(last)
    each = {name: explain(runs, name) for name in measured(last)}
    each = {name: goes for name, goes in each.items() if not math.isnan(goes.rho)}
    if not each:
        return "Too few optimizers have stable runs to correlate the accuracy with a measure."
    groups: dict[str, list[str]] = {}
    for name, goes in each.items():
        group = "open" if goes.p > LEVEL else "with" if goes.rho > 0 else "against"
        groups.setdefault(group, []).append(f"{MEASURES[name]} (ρ = {number(goes.rho)})")
    starts = {
        "with": "From optimizer to optimizer, DFA's accuracy rises with",
        "against": "From optimizer to optimizer, DFA's accuracy falls with",
        "open": f"Among {runs['optimizer'].nunique()} optimizers, chance may explain how DFA's accuracy "
        "goes with",
    }
    texts = [f"{starts[group]} {enumerated(groups[group])}." for group in starts if group in groups]
    best = max(each, key=lambda name: each[name].r2)
    text = f"Over single runs, {MEASURES[best]} explains {percent(each[best].r2, '.0f')} of the variance"
    if best != "weight_alignment" and "weight_alignment" in each:
        share = percent(each["weight_alignment"].r2, ".0f")
        text += f", and {MEASURES['weight_alignment']} {share}"
    return " ".join([*texts, f"{text}."])


def signs_or_sizes(last: pd.DataFrame) -> str:
    """Say how much of the rise of S is due to changed signs, and how much to changed sizes.

    At the start signs agree for about half of the units. The unweighted share of right signs minus ½ is
    the part of changed signs; S minus the unweighted share is the part of changed sizes.
    """
    runs = stable(last)
    if runs.empty or not {"sign_agreement", "sign_share"} <= set(measured(runs)):
        return "These results lack the number of units with the right sign."
    shares = runs.groupby("seed")[["sign_agreement", "sign_share"]].mean()
    signs = shares["sign_share"] - 0.5
    sizes = shares["sign_agreement"] - shares["sign_share"]
    more = mean_interval(sizes - signs)
    text = (
        f"At the last epoch, over all optimizers, {percent(shares['sign_share'].mean(), '.0f')} of the "
        f"units have the right sign, and {percent(shares['sign_agreement'].mean(), '.0f')} of the "
        f"weight. Changed signs move S by {number(100 * signs.mean(), '+.0f')}{SPACE}points from one "
        f"half, and changed sizes by {number(100 * sizes.mean(), '+.0f')}{SPACE}points."
    )
    if more.low > 0:
        return f"{text} DFA mutes units with the wrong sign more than it corrects their signs."
    if more.high < 0:
        return f"{text} DFA corrects the signs of units more than it mutes units with the wrong sign."
    return f"{text} Chance may explain which of the two is more."


def lead_over_time(early: Sample, late: Sample, epochs: tuple[int, int]) -> str:
    """Say how BP's lead over DFA changes between two numbers of ``epochs``.

    ``early`` and ``late`` are BP's accuracy minus DFA's by seed; unstable seeds are left out and
    counted.
    """
    seeds, unstable = len(early - late), early.unstable | late.unstable
    early, late = (
        Sample(each.values[~each.values.index.isin(list(unstable))]) for each in (early, late)
    )
    change = early - late
    if len(change) < 2:
        return "Too few seeds are stable to say how BP's lead over DFA changes."
    of = f"Over the {len(change)} of {seeds} seeds that are stable, " if unstable else ""
    lead = "BP's lead over DFA"
    before, after = (signed(each.interval(), plus=False) for each in (early, late))
    text = f"{of}{lead} is {before} after {epochs[0]} epochs and {after} after {epochs[1]}"
    closed = change.interval()
    if closed.low <= 0 <= closed.high:
        return f"{text}; the change may be chance."
    return f"{text}: the lead {'shrinks' if closed.mean > 0 else 'grows'} by {size(closed)}."


def signs_suffice(sign: Sample, uniform: Sample) -> str:
    """Say whether the sizes of B's entries matter: ±1/√h against uniform entries with the same signs."""
    difference = (sign - uniform).sound
    if len(difference) < 2:
        return "Too few seeds are stable to say whether the sizes of B's entries matter."
    interval = difference.interval()
    alike = difference.interval("equivalence", EQUIVALENCE_CONFIDENCE)
    if p_value(difference.values, -ALIKE, ALIKE, "equivalence") < LEVEL:
        return (
            f"The signs of B suffice: with and without unequal sizes, DFA's accuracy is alike to within "
            f"{100 * ALIKE:.0f} points (90{SPACE}% interval "
            f"{span(100 * alike.low, 100 * alike.high, '+.1f')})."
        )
    if direction(interval):
        worse = "lower" if interval.mean > 0 else "raise"
        return f"Unequal sizes of B's entries {worse} DFA's accuracy by {size(interval)}."
    return (
        "These seeds do not decide whether the sizes of B's entries matter (equal minus unequal sizes: "
        f"{signed(interval)})."
    )
