"""What chapter 2 says of lazy methods that were solved to convergence: sentences and a table."""

import pandas as pd
from numpy.typing import ArrayLike

from dfa_lib.experiments.names import KERNEL_NAMES, METHOD_NAMES
from dfa_lib.experiments.statistics import Interval, mean_interval, paired_difference

from .chapter import enumerated

COIN = 0.5
NAMES = METHOD_NAMES | KERNEL_NAMES


def percent(share: Interval) -> str:
    """Say a share with its interval: ``53.1 % (52.0–54.2)``; without, where one seed leaves none."""
    if share.n == 1:
        return f"{100 * share.mean:.1f} %"
    return f"{100 * share.mean:.1f} % ({100 * share.low:.1f}–{100 * share.high:.1f})"


def points(difference: Interval) -> str:
    """Say by how many points two shares differ, whichever is larger: ``2.1 points (1.0–3.2)``."""
    sign = -1 if difference.mean < 0 else 1
    size = f"{100 * sign * difference.mean:.1f} points"
    if difference.n == 1:
        return size
    low, high = sorted(100 * sign * end for end in (difference.low, difference.high))
    return f"{size} ({low:.1f} to {high:.1f})" if low < 0 else f"{size} ({low:.1f}–{high:.1f})"


def accuracies(table: pd.DataFrame, k: int, method: str, samples: int | None = None) -> pd.Series:
    """Select test accuracies of a solved model by seed, with the most stacks that it was solved on."""
    rows = table[(table["k"] == str(k)) & (table["method"] == method)]
    chosen = rows[rows["samples"] == (rows["samples"].max() if samples is None else samples)]
    return chosen.set_index("seed")["test_accuracy"].sort_index()


def parity_answers(table: pd.DataFrame) -> list[str]:
    """Say, for each k, how well models do that were solved on most stacks, and what more stacks bring.

    Parameters
    ----------
    table
        As from ``converged_table``, for runs on digits.
    """
    answers = []
    for k in sorted(table["k"].unique(), key=int):
        rows = table[table["k"] == k]
        methods = list(rows["method"].unique())
        ends = {m: mean_interval(accuracies(table, int(k), m)) for m in methods}
        best = max(methods, key=lambda m: ends[m].mean)
        sizes = rows[rows["method"] == best]["samples"]
        digits = {"1": "one digit", "2": "two digits", "3": "three digits"}.get(k, f"{k} digits")
        sentence = (
            f"**With {digits}**, the best model is {NAMES[best]}: from {sizes.max():,} stacks it gets "
            f"{percent(ends[best])} right"
        )
        first = accuracies(table, int(k), best, int(sizes.min()))
        growth = paired_difference(accuracies(table, int(k), best), first)
        more = "more" if growth.mean >= 0 else "fewer"
        sentence += f", {points(growth)} {more} than from {sizes.min():,}." if growth.mean else "."
        if ends[best].n == 1:
            answers.append(f"{sentence} One seed has no interval, so none is told from chance.")
            continue
        at_chance = [NAMES[m] for m in methods if ends[m].low <= COIN]
        above = [NAMES[m] for m in methods if ends[m].low > COIN]
        if at_chance and above:
            sentence += (
                f" Intervals lie above chance for {enumerated(above)}; {enumerated(at_chance)} cannot "
                f"be told from chance."
            )
        else:
            sentence += f" {'All' if above else 'None'} of the intervals lie above chance."
        answers.append(sentence)
    return answers


def accuracy_rows(table: pd.DataFrame) -> str:
    """Return a Markdown table of mean test accuracies: a column for each model."""
    means = table.groupby(["k", "samples", "method"])["test_accuracy"].mean()
    places = sorted({(k, n) for k, n, _ in means.index}, key=lambda place: (int(place[0]), place[1]))
    methods = list(table["method"].unique())
    lines = ["| k | n | " + " | ".join(NAMES[method] for method in methods) + " |"]
    lines.append("|---|---|" + "---|" * len(methods))
    for k, n in places:
        cells = [f"{means[k, n, m]:.3f}" if (k, n, m) in means.index else "" for m in methods]
        lines.append(f"| {k} | {n:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compared(name: str, errors: ArrayLike, other: str, others: ArrayLike) -> str:
    """Say whose error is lower, seed by seed: ``BP errs in 3.1 points (1.2–5.0) fewer cases than …``."""
    gap = paired_difference(errors, others)
    if gap.mean != gap.mean:
        return f"{name} is not compared with {other}: a run diverged"
    if gap.n == 1:
        return f"{name} and {other} differ by {points(gap)} in the one seed that was run"
    if gap.low <= 0 <= gap.high:
        return f"{name} and {other} cannot be told apart: they differ by {points(gap)}"
    return f"{name} errs {points(gap)} {'less' if gap.mean < 0 else 'more'} than {other}"


def changed(name: str, start: str, errors: ArrayLike, end: str, others: ArrayLike) -> str:
    """Say how an error changes, seed by seed: ``From n = 32 to n = 64 the error of BP falls by …``."""
    gap = paired_difference(others, errors)
    way = f"From {start} to {end} the error of {name}"
    if gap.mean != gap.mean:
        return f"{way} is not known: a run diverged"
    if gap.n > 1 and gap.low <= 0 <= gap.high:
        return f"{way} changes by no more than chance may explain, {points(gap)}"
    return f"{way} {'falls' if gap.mean < 0 else 'rises'} by {points(gap)}"
