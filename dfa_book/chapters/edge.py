"""What the chapter on the edge of stability shows: where DFA with SGD becomes unstable, and why."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dfa_lib.experiments.names import FEEDBACK_NAMES, METHOD_NAMES
from dfa_lib.experiments.statistics import binomial_interval
from dfa_lib.training import Run

from ..chapter import Settings
from ..edge import (
    COLUMNS,
    REMEDIES,
    STRIDE,
    best_rate,
    edge_table,
    ended,
    table_name,
)
from ..edge_plots import gain_curves, remedy_curves, unit_curves
from ..words import SPACE, capitalised, gap, listed, mean, number, plural, span, table

BP = "bp"
Rates = Mapping[str, tuple[float, ...]]
"""Learning rates by BP, or the random matrix of DFA."""

PLAIN: Rates = {
    "uniform": (0.07, 0.1, 0.14, 0.2),
    "gaussian": (0.05, 0.07, 0.1, 0.14),
    BP: (0.2, 0.5, 1.0),
}
HELPED: Rates = {"uniform": (0.1, 0.14, 0.2, 0.3), "gaussian": (0.1, 0.14)}
CLIPPED: Rates = {"uniform": (0.1, 0.14, 0.2, 0.3, 0.5), "gaussian": (0.1, 0.14), BP: (0.5, 1.0, 2.0)}
FULL = {"none": PLAIN, "clip": CLIPPED, "hold": HELPED, "warm_up": HELPED}
IN_SMOKE: Rates = {"uniform": (0.2,), BP: (0.5,)}
PLANS: dict[str, dict[str, Rates]] = {
    "digits": FULL,
    "mnist": FULL,
    "class": {
        "none": {"uniform": (0.1, 0.2), BP: (0.5,)},
        "clip": {"uniform": (0.2,), BP: (0.5,)},
    },
    "smoke": {"none": IN_SMOKE, "clip": IN_SMOKE},
}
"""Rates by profile and remedy. The runs of the MNIST edition are on the bundled digits, too."""


class Followed(NamedTuple):
    """The tables of ``edge_table``, and their runs as from ``ended``, by remedy."""

    tables: dict[str, pd.DataFrame]
    runs: dict[str, pd.DataFrame]
    like: Run


def followed(settings: Settings) -> Followed:
    """Train the runs of this edition's plan, or read them from its results.

    Results that have more seeds than asked for are shown with all of them.
    """
    scale = settings.on_digits
    tables, like = {}, scale.run(method="bp", k=3)
    for remedy, rates_of in PLANS[settings.profile].items():
        runs = [
            replace(like, learning_rate=rate)
            if kind == BP
            else scale.run(method="dfa", feedback=kind, k=3, learning_rate=rate)
            for kind, rates in rates_of.items()
            for rate in rates
        ]
        name = table_name(remedy)
        seeds, path = settings.stored_seeds(name, COLUMNS, settings.seeds), settings.csv(name)
        tables[remedy] = edge_table(runs, seeds, remedy=remedy, results=path, jobs=settings.jobs)
    return Followed(tables, {name: ended(each) for name, each in tables.items()}, like)


def line_name(method: str, feedback: Any, rate: float | None = None) -> str:
    """Return the name of runs: method, random matrix and rate."""
    kind = "" if pd.isna(feedback) else f", B {FEEDBACK_NAMES[feedback]}"
    return f"{METHOD_NAMES[method]}{kind}" + ("" if rate is None else f", η = {rate:g}")


def _setting(run: Run) -> str:
    return (
        f"the parity of three bundled digits, {run.samples:,} fresh training stacks an epoch, "
        f"{run.hidden} hidden units, {plural(run.epochs, 'epoch')}"
    )


def _passed(runs: pd.DataFrame) -> tuple[int, int, int, int]:
    """Count unstable runs that had passed 2, unstable runs, stable runs that passed 2, stable runs."""
    passed, unstable = runs["passed"].notna(), runs["unstable"]
    counted = (passed & unstable, unstable, passed & ~unstable, ~unstable)
    hits, burst, alarms, quiet = (int(each.sum()) for each in counted)
    return hits, burst, alarms, quiet


def _passing(runs: pd.DataFrame) -> str:
    hits, burst, alarms, stable = _passed(runs[runs["method"] == "dfa"])
    return (
        f"Of {plural(burst, 'unstable run')} of DFA, {hits} had passed a gain of 2 before, and of "
        f"{plural(stable, 'stable run')} {alarms} ever did."
    )


def finding(shown: Followed) -> str:
    """Say in short what became of the runs."""
    plain, clipped = shown.runs["none"], shown.runs["clip"]
    lost, _, kept, _ = _passed(_kind(plain, BP))
    bp = best_rate(_kind(plain, BP)).accuracy
    lags = [gap(bp - best_rate(_kind(runs, "uniform")).accuracy) for runs in (plain, clipped)]
    return (
        f"**What came out.** {_passing(plain)} Of {lost + kept} runs of BP that passed it, {lost} "
        "became unstable. BP minus DFA with uniform B, each at its best "
        f"rate, is {lags[0]} points; with DFA's updates clipped, which allows a higher rate, it is "
        f"{lags[1]} points."
    )


# ---- along training ----


def _drawn(runs: pd.DataFrame) -> list[tuple[str, Any, float]]:
    """Return, for each method and random matrix, the rate whose share of unstable runs is nearest ½."""
    chosen = []
    shares = runs.groupby(["method", "feedback", "learning_rate"], dropna=False)["unstable"].mean()
    for _, of_kind in shares.reset_index().groupby(["method", "feedback"], dropna=False, sort=False):
        of_kind = of_kind.sort_values("learning_rate")
        row = of_kind.iloc[int(np.argmin((of_kind["unstable"] - 0.5).abs().to_numpy()))]
        if not of_kind["unstable"].any():
            row = of_kind.iloc[-1]
        chosen.append((row["method"], row["feedback"], row["learning_rate"]))
    return chosen


def _of(rows: pd.DataFrame, method: str, feedback: Any, rate: float) -> pd.DataFrame:
    of_kind = _kind(rows, BP if method == BP else feedback)
    return of_kind[of_kind["learning_rate"] == rate]


def gains(shown: Followed) -> dict[str, Any]:
    """Return the figure of gains along training."""
    measured, runs = shown.tables["none"], shown.runs["none"]
    epoch = -(-shown.like.samples // shown.like.batch_size)  # type: ignore[operator]
    lines = {line_name(*key): (_of(measured, *key), _of(runs, *key)) for key in _drawn(runs)}
    counts = listed(
        {f"{name}:": f"{int(of['unstable'].sum())} of {len(of)}" for name, (_, of) in lines.items()}
    )
    return {
        "figure": gain_curves(lines, epoch),
        "results": ("edge",),
        "caption": (
            f"{_passing(runs)} Unstable of the runs drawn: {counts}. The gain ηλ against epoch, "
            "measured twice an epoch on 1,000 of its stacks, for SGD on "
            f"{_setting(shown.like)}. A line is a seed; a dashed line with a cross is a run that ends "
            "unstable, up to its last measurement before the explosion; the thick line is the mean of "
            "the others. Above 2, the dotted line, small disturbances grow from step to step. Each "
            "method and random matrix is drawn at the rate whose share of unstable runs is nearest to "
            "one half."
        ),
        "alt": (
            f"{plural(len(lines), 'panel')} of gains against epoch, with a line at 2. Unstable runs: "
            f"{counts}."
        ),
    }


def _share(hits: int, n: int) -> str:
    if not n:
        return "–"
    _, low, high, _ = binomial_interval(hits, n)
    return f"{hits} of {n} ({span(100 * low, 100 * high, '.0f')}{SPACE}%)"


def prediction(shown: Followed) -> str:
    """Return the table of hits, misses and false alarms of a gain above 2 as a sign of an explosion."""
    rows = []
    runs = shown.runs["none"]
    for (method, feedback), of in runs.groupby(["method", "feedback"], dropna=False, sort=False):
        hits, burst, alarms, stable = _passed(of)
        ahead = ((of["exploded"] - of["passed"]) / (2 * STRIDE))[of["unstable"]].median()
        rows.append(
            [
                line_name(str(method), feedback),
                _share(hits, burst),
                _share(alarms, stable),
                number(ahead, ".1f") if ahead == ahead else "–",
            ]
        )
    heads = ["method", "unstable runs that had passed 2", "stable runs that passed 2"]
    return (
        "Does a gain above 2 announce the explosion? Runs at all rates, with exact 95 % intervals, and "
        "the median number of epochs from the first such gain to the explosion:\n\n"
        f"{table([*heads, 'epochs ahead'], rows)}"
    )


# ---- one unit ----


def one_unit(gains_of: Mapping[str, np.ndarray], rate: float) -> dict[str, Any]:
    """Return the figure of the gain of a single linear unit."""
    steps = max(map(len, gains_of.values()))
    ends = listed(
        {
            METHOD_NAMES[m]: f"from {g[0]:.2f} to {g[-1]:.2f}" if len(g) == steps else "it explodes"
            for m, g in gains_of.items()
        }
    )
    return {
        "figure": unit_curves(gains_of),
        "caption": (
            f"A network of one linear unit with noisy labels, at the rate {rate:g}: its gain against "
            "step, by BP and by DFA from the same start. BP's gain falls to that of the balanced "
            "solution; DFA's rises until it passes 2 (dotted). The steps of DFA end where the unit's "
            "output has exploded."
        ),
        "alt": f"Gain against step for two rules. {ends}.",
    }


# ---- what helps ----


def _helping(runs: Mapping[str, pd.DataFrame]) -> str:
    """Say which remedy leaves the fewest runs unstable, at the rates at which all were tried."""
    common = set.intersection(*(set(of["learning_rate"]) for of in runs.values()))
    unstable = {name: of["unstable"][of["learning_rate"].isin(common)] for name, of in runs.items()}
    counts = {name: f"{of.sum()} of {plural(len(of), 'run')}" for name, of in unstable.items()}
    best = min((name for name in unstable if name != "none"), key=lambda name: unstable[name].mean())
    return (
        f"With {REMEDIES[best].label}, {counts[best]} become unstable; without a remedy, "
        f"{counts['none']} (at the rates at which all were tried)."
    )


def remedies(shown: Followed) -> dict[str, Any]:
    """Return the figure of unstable runs and accuracies by rate and remedy, for uniform B."""
    runs = {name: _kind(of, "uniform") for name, of in shown.runs.items()}
    lines = {REMEDIES[name].label: of for name, of in runs.items()}
    said = listed(
        {
            f"{name}:": f"{int(r['unstable'].sum())} of {plural(len(r), 'run')}"
            for name, r in lines.items()
        }
    )
    tried = listed({f"*{REMEDIES[name].label}*:": REMEDIES[name].about for name in shown.runs})
    return {
        "figure": remedy_curves(lines),
        "results": tuple(map(table_name, shown.runs)),
        "caption": (
            f"{_helping(runs)} The share of runs that end unstable, with exact 95 % intervals "
            "(first), and the mean accuracy at the end on held-out stacks, with 95 % Student-t "
            "intervals (second), against the learning rate, for DFA with uniform B and SGD on "
            f"{_setting(shown.like)}. Small marks are seeds, crosses unstable ones, means of all seeds. "
            f"{capitalised(tried)}."
        ),
        "alt": f"Two panels against the rate, a line for each remedy. Unstable: {said}.",
    }


def remedies_table(shown: Followed) -> str:
    """Return the best accuracies of BP and of DFA with uniform B, by remedy, and their lag behind BP."""
    bp, rows = best_rate(_kind(shown.runs["none"], BP)).accuracy, []
    for kind in (BP, "uniform"):
        for name, runs in shown.runs.items():
            if not (of := _kind(runs, kind)).empty:
                best = best_rate(of)
                lag = "–" if (kind, name) == (BP, "none") else gap(bp - best.accuracy)
                method = f"{'BP' if kind == BP else 'DFA'}, {REMEDIES[name].label}"
                reached = mean(best.accuracy, interval=True)
                rows.append([method, str(len(best.accuracy)), f"{best.rate:g}", reached, lag])
    heads = ["method", "seeds", "rate", "accuracy", "behind BP, points"]
    return (
        "Each at its best rate: the one with the highest mean accuracy among those at which no run is "
        "unstable, or among all if there is none; DFA with uniform B. The lag is behind BP without a "
        f"remedy, over common seeds, with 95 % intervals:\n\n{table(heads, rows)}"
    )


def _kind(runs: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the runs of BP, or of DFA with a random matrix."""
    return runs[runs["feedback"].isna() if kind == BP else runs["feedback"] == kind]
