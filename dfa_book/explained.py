"""Why DFA is as accurate as it is: what its accuracy goes with, BP's lead over time, signs or sizes."""

import math
from itertools import permutations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from dfa_lib.experiments import final_epoch
from dfa_lib.experiments.outcomes import NON_FINITE, UNSTABLE
from dfa_lib.experiments.statistics import (
    UNKNOWN,
    Interval,
    equivalent,
    fisher_interval,
    mean_interval,
    with_outcomes,
)

from .chapter import enumerated
from .claims.judge import LEVEL
from .claims.queries import Sample
from .claims.thesis_claims import ALIKE

MEASURES = {
    "sign_agreement": "S, the share of right signs weighted by |W₂|",
    "sign_share": "the unweighted share of right signs",
    "weight_alignment": "cos(B, W₂ᵀ)",
    "update_alignment": "the cosine of all updates",
    "step_alignment": "the cosine of the optimizer's step",
}
"""The columns of a results table that may explain the accuracy, and what sentences call them."""

# A correlation over fewer optimizers says nothing.
FEWEST = 3


class Explained(NamedTuple):
    """How a measure goes with the accuracy at the last epoch.

    Parameters
    ----------
    rho
        Spearman's rank correlation of the optimizers' means.
    p
        Its exact two-sided p-value: the share of all orders of the optimizers that have one as large.
    ranks
        The same correlation taken for each seed, with an interval over seeds by Fisher's z.
    r2
        The share of the variance over single runs that a straight line explains.
    """

    rho: float
    p: float
    ranks: Interval
    r2: float


def dfa_endings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last epoch of the finite DFA runs of a results table, with their outcomes."""
    last = final_epoch(with_outcomes(table))
    return last[(last["method"] == "dfa") & (last["outcome"] != NON_FINITE)]


def measured(last: pd.DataFrame) -> list[str]:
    """Return the measures that a table has for enough optimizers: older results lack some of them."""
    return [name for name in MEASURES if last["optimizer"][last[name].notna()].nunique() >= FEWEST]


def explain(last: pd.DataFrame, measure: str) -> Explained:
    """Say how a measure goes with the accuracy over the runs of ``last``, one row for each run.

    Numbers are nan where there are too few optimizers, or nothing varies.
    """
    rows = last[[measure, "test_accuracy", "optimizer", "seed"]].dropna()
    rho, p = _rank_correlation(rows.groupby("optimizer")[[measure, "test_accuracy"]].mean())
    by_seed = [
        _rank_correlation(runs[[measure, "test_accuracy"]])[0] for _, runs in rows.groupby("seed")
    ]
    defined = [each for each in by_seed if not math.isnan(each)]
    ranks = fisher_interval(defined) if defined else UNKNOWN
    r2 = math.nan if math.isnan(rho) else stats.pearsonr(rows[measure], rows["test_accuracy"])[0] ** 2
    return Explained(rho, p, ranks, float(r2))


def _rank_correlation(pairs: pd.DataFrame) -> tuple[float, float]:
    """Return Spearman's correlation of two columns, and its p-value over all orders of the rows."""
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
    """Return a Markdown table of how each measure goes with the accuracy."""
    unstable = len(last) - len(stable(last))
    heads = [
        "measure",
        "rank correlation of optimizers",
        "p",
        "95 % interval over seeds",
        "R² over runs",
    ]
    if unstable:
        heads.append(f"R² with {unstable} unstable run" + ("s" if unstable > 1 else ""))
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for measure, name in MEASURES.items():
        if measure in measured(last):
            rho, p, ranks, r2 = explain(stable(last), measure)
            interval = "none" if math.isnan(ranks.low) else f"{ranks.low:+.2f} to {ranks.high:+.2f}"
            cells = [f"{rho:+.2f}", f"{p:.3f}", interval, f"{r2:.2f}"]
            if unstable:
                cells.append(f"{explain(last, measure).r2:.2f}")
        else:
            cells = ["not measured", *[""] * (len(heads) - 2)]
        escaped = name.replace("|", "\\|")
        lines.append(f"| {' | '.join([escaped, *cells])} |")
    return "\n".join(lines)


def which_explains(last: pd.DataFrame) -> str:
    """Say which measures order the optimizers as the accuracy does, and which explains most of it."""
    runs = stable(last)
    found = {name: explain(runs, name) for name in measured(last)}
    found = {name: each for name, each in found.items() if not math.isnan(each.rho)}
    if not found:
        return "There are too few stable runs to say what goes with the accuracy."
    count = runs["optimizer"].nunique()
    groups: dict[str, list[str]] = {"with": [], "against": [], "open": []}
    for name, each in found.items():
        group = "open" if each.p > LEVEL else "with" if each.rho > 0 else "against"
        groups[group].append(f"{MEASURES[name]} ({each.rho:+.2f})")
    starts = {
        "with": "From optimizer to optimizer DFA's accuracy rises with",
        "against": "From optimizer to optimizer DFA's accuracy falls with",
        "open": f"No clearer than chance, among {count} optimizers, is how DFA's accuracy goes with",
    }
    texts = [f"{starts[group]} {enumerated(names)}." for group, names in groups.items() if names]
    best = max(found, key=lambda name: found[name].r2)
    beside = ""
    if best != "weight_alignment" and "weight_alignment" in found:
        beside = f", against {found['weight_alignment'].r2:.2f} for cos(B, W₂ᵀ)"
    texts.append(
        f"Over single runs, most of the variance of the accuracy goes with {MEASURES[best]}: "
        f"R² = {found[best].r2:.2f}{beside}."
    )
    return " ".join(texts)


def signs_or_sizes(last: pd.DataFrame) -> str:
    """Say how far S has risen because signs changed, and how far because sizes did.

    Signs agree for about half of the units at the start. S is now above ½ by as much as the unweighted
    share is, which is the part of signs that have changed, and by what S has beyond that share.
    """
    runs = stable(last)
    if runs.empty or not {"sign_agreement", "sign_share"} <= set(measured(runs)):
        return "How many units have the right sign was not measured in these results."
    shares = runs.groupby("seed")[["sign_agreement", "sign_share"]].mean()
    signs = shares["sign_share"] - 0.5
    sizes = shares["sign_agreement"] - shares["sign_share"]
    more = mean_interval(sizes - signs)
    right, weight = (100 * shares[name].mean() for name in ("sign_share", "sign_agreement"))
    text = (
        f"At the last epoch, over all optimizers, {right:.0f} % of the units have the right sign, and "
        f"these hold {weight:.0f} % of the weight. "
        f"Of the rise of S above one half, {signs.mean():.2f} comes from signs that have changed and "
        f"{sizes.mean():.2f} from sizes."
    )
    if more.low > 0:
        return f"{text} So units with the wrong sign are muted more than they are corrected."
    if more.high < 0:
        return f"{text} So units with the wrong sign are corrected more than they are muted."
    return f"{text} Which of the two is more, these seeds cannot tell."


# ---- BP's lead over time, and the sizes of B's entries ----


def lead_over_time(early: Sample, late: Sample, epochs: tuple[int, int]) -> str:
    """Say how BP's lead over DFA changes with the epochs: claim 4b judges what that means.

    Parameters
    ----------
    early, late
        BP's accuracy minus DFA's, by seed, after each number of ``epochs``. Unstable seeds are left out,
        and said to be.
    """
    early, late, unstable = early.sound, late.sound, early.unstable | late.unstable
    change = early - late
    if len(change) < 2:
        return "How BP's lead changes, too few stable seeds were run to tell."
    then, now, closed = early.interval(), late.interval(), change.interval()
    of = f"Of the {len(change)} stable seeds: " if unstable else ""
    text = (
        f"{of}BP's lead is {_points(then)} after {epochs[0]} epochs and {_points(now)} after {epochs[1]}"
    )
    if closed.low > 0:
        return f"{text}: it shrinks by {_points(closed)}."
    if closed.high < 0:
        grows = Interval(-closed.mean, -closed.high, -closed.low, closed.n)
        return f"{text}: it grows by {_points(grows)}."
    return f"{text}. Whether it shrinks, these seeds cannot tell."


def _points(gap: Interval) -> str:
    return f"{100 * gap.mean:.1f} points ({100 * gap.low:.1f} to {100 * gap.high:.1f})"


def signs_suffice(sign: Sample, uniform: Sample) -> str:
    """Say whether the sizes of B's entries matter: ±1/√h against uniform entries of the same signs."""
    difference = (sign - uniform).sound
    if len(difference) < 2:
        return "Whether the sizes of B's entries matter, too few stable seeds were run to tell."
    interval = difference.interval()
    kept = difference.values.index
    alike, p = equivalent(sign.values[kept], uniform.values[kept], ALIKE)
    if p < 0.05:
        return (
            f"The two are alike to within {100 * ALIKE:.0f} points (90 % interval "
            f"{100 * alike.low:+.1f} to {100 * alike.high:+.1f}): the signs of B suffice."
        )
    if interval.low > 0 or interval.high < 0:
        worse = "lower" if interval.mean > 0 else "raise"
        return (
            f"So the sizes of B's entries matter: equal signs with unequal sizes {worse} the accuracy."
        )
    return "Whether the sizes of B's entries matter, these seeds cannot tell."
