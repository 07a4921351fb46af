"""Why DFA is as accurate as it is: what its accuracy goes with, delay or limit, signs or sizes."""

import math
from typing import NamedTuple

import pandas as pd
from scipy import stats

from ..experiments import final_epoch
from ..outcomes import NON_FINITE, UNSTABLE
from ..queries import Sample
from ..statistics import Interval, equivalent, fisher_interval, mean_interval, with_outcomes
from .chapter import enumerated

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

    ``ranks`` is Spearman's rank correlation across optimizers, taken for each seed, with an interval
    over seeds by Fisher's z; ``r2`` the share of the variance over all runs that a straight line
    explains.
    """

    ranks: Interval
    r2: float


def dfa_endings(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last epoch of the finite DFA runs of a results table, with their outcomes."""
    last = final_epoch(with_outcomes(table))
    return last[(last["method"] == "dfa") & (last["outcome"] != NON_FINITE)]


def measured(last: pd.DataFrame) -> list[str]:
    """Return the measures that a table has: older results lack some of them."""
    return [name for name in MEASURES if last[name].notna().any()]


def explain(last: pd.DataFrame, measure: str) -> Explained:
    """Say how a measure goes with the accuracy over the runs of ``last``, one row for each run."""
    rows = last[[measure, "test_accuracy", "optimizer", "seed"]].dropna()
    by_seed = [
        stats.spearmanr(runs[measure], runs["test_accuracy"])[0]
        for _, runs in rows.groupby("seed")
        if len(runs) >= FEWEST and runs[measure].nunique() > 1 and runs["test_accuracy"].nunique() > 1
    ]
    ranks = fisher_interval(by_seed) if by_seed else Interval(math.nan, math.nan, math.nan, 0)
    varied = len(rows) >= FEWEST and rows[measure].nunique() > 1
    r2 = stats.pearsonr(rows[measure], rows["test_accuracy"])[0] ** 2 if varied else math.nan
    return Explained(ranks, float(r2))


def stable(last: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of runs that are not unstable."""
    return last[last["outcome"] != UNSTABLE]


def table_of(last: pd.DataFrame) -> str:
    """Return a Markdown table of how each measure goes with the accuracy."""
    unstable = len(last) - len(stable(last))
    heads = ["measure", "rank correlation across optimizers", "95 % interval", "R² over runs"]
    if unstable:
        heads.append(f"R² with the {unstable} unstable runs")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for measure, name in MEASURES.items():
        if measure not in measured(last):
            cells = ["not measured", *[""] * (len(heads) - 2)]
        else:
            ranks, r2 = explain(stable(last), measure)
            interval = "none" if math.isnan(ranks.low) else f"{ranks.low:+.2f} to {ranks.high:+.2f}"
            cells = [f"{ranks.mean:+.2f}", interval, f"{r2:.2f}"]
            if unstable:
                cells.append(f"{explain(last, measure).r2:.2f}")
        escaped = name.replace("|", "\\|")
        lines.append(f"| {' | '.join([escaped, *cells])} |")
    return "\n".join(lines)


def which_explains(last: pd.DataFrame) -> str:
    """Say which measures order the optimizers as the accuracy does, and which explains most of it."""
    runs = stable(last)
    found = {name: explain(runs, name) for name in measured(last)}
    found = {name: each for name, each in found.items() if not math.isnan(each.ranks.mean)}
    if not found:
        return "There are too few stable runs to say what goes with the accuracy."
    if all(each.ranks.n == 1 for each in found.values()):
        best = max(found, key=lambda name: found[name].ranks.mean)
        return (
            f"One seed was run, which decides nothing: its highest rank correlation with the accuracy "
            f"is that of {MEASURES[best]}, {found[best].ranks.mean:+.2f}."
        )
    groups: dict[str, list[str]] = {"with": [], "open": [], "against": []}
    for name, (ranks, _) in found.items():
        group = "with" if ranks.low > 0 else "against" if ranks.high < 0 else "open"
        groups[group].append(f"{MEASURES[name]} ({ranks.low:+.2f} to {ranks.high:+.2f})")
    starts = {
        "with": "With the accuracy rises, from optimizer to optimizer,",
        "open": "No order that the seeds agree on has",
        "against": "Against the accuracy runs",
    }
    texts = [f"{starts[group]} {enumerated(names)}." for group, names in groups.items() if names]
    best = max(found, key=lambda name: found[name].r2)
    texts.append(
        f"Over single runs, most of the variance of the accuracy goes with {MEASURES[best]}: "
        f"R² = {found[best].r2:.2f}"
        + (
            f", against {found['weight_alignment'].r2:.2f} for cos(B, W₂ᵀ)."
            if _beside(best, found)
            else "."
        )
    )
    return " ".join(texts)


def _beside(best: str, found: dict[str, Explained]) -> bool:
    return best != "weight_alignment" and "weight_alignment" in found


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


# ---- delay or limit, and the sizes of B's entries ----

# Two accuracies are alike if they differ by less: the margin of the ledger's claims.
ALIKE = 0.03


def delay_or_limit(early: Sample, late: Sample, epochs: tuple[int, int]) -> str:
    """Say whether DFA's lag behind BP, once both have more epochs, is a delay or a limit.

    Parameters
    ----------
    early, late
        BP's accuracy minus DFA's, by seed, after each number of ``epochs``.
    """
    early, late = early.sound, late.sound
    change = early - late
    if len(change) < 2:
        return "Whether the lag is a delay or a limit, these seeds cannot tell."
    then, now, closed = early.interval(), late.interval(), change.interval()
    points = (f"{100 * gap.mean:.1f}" for gap in (then, now))
    text = "BP leads by {} points after {} epochs and by {} after {}".format(
        *(part for pair in zip(points, epochs, strict=True) for part in pair)
    )
    if now.low <= 0:
        return f"{text}, where the two cannot be told apart: the lag is a delay."
    if closed.low > 0:
        return (
            f"{text}: the lag shrinks ({100 * closed.low:.1f} to {100 * closed.high:.1f} points) and is "
            f"not over, a delay that outlasts {epochs[1]} epochs or a limit."
        )
    return f"{text}: more epochs do not close it, so within {epochs[1]} epochs the lag is a limit."


def signs_suffice(sign: Sample, uniform: Sample) -> str:
    """Say whether the sizes of B's entries matter: ±1/√h against uniform entries of the same signs."""
    difference = (sign - uniform).sound
    if len(difference) < 2:
        return "Whether the sizes of B's entries matter, these seeds cannot tell."
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
