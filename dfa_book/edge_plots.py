"""Figures of the chapter on the edge of stability."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dfa_lib.experiments.names import COLOURS, METHOD_NAMES
from dfa_lib.experiments.statistics import binomial_interval, mean_interval

from .edge import EDGE
from .plots import (
    MARKERS,
    REFERENCE_LINE,
    STYLE,
    Curve,
    against_epoch,
    curves_in,
    draw_curve,
    draw_unstable,
    grid_of_panels,
    legend_below,
    row_of_panels,
    seeds_entry,
    unstable_entry,
)


@mpl.rc_context(STYLE)
def gain_curves(lines: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], epoch: int) -> Figure:
    """Draw gains against epoch, a panel for each name.

    ``lines`` has the measurements of ``edge_table`` and its runs, as from ``ended``; ``epoch`` is the
    number of steps of an epoch.
    """
    figure, panels = row_of_panels(len(lines), height=3.8)
    some_unstable = False
    for panel, (name, (measured, runs)) in zip(panels, lines.items(), strict=True):
        colour = COLOURS[measured["method"].iloc[0]]
        unstable = set(runs["seed"][runs["unstable"]])
        some_unstable |= bool(unstable)
        after = measured[measured["step"] > 0]
        seeds = {seed: (run["step"] / epoch, run["gain"]) for seed, run in after.groupby("seed")}
        stable = after[~after["seed"].isin(unstable)].groupby("step")["gain"].mean()
        entry = "mean of stable runs"
        curve = Curve(
            entry, stable.index / epoch, stable, label=entry, color=colour, linewidth=2.2, form=".2f"
        )
        draw_curve(
            panel,
            curve,
            [line for seed, line in seeds.items() if seed not in unstable],
            [line for seed, line in seeds.items() if seed in unstable],
        )
        panel.axhline(EDGE, **REFERENCE_LINE)
        panel.set(title=name, ylabel="gain ηλ", ylim=(0, 4))
        against_epoch(panel)
    entries = [*curves_in(panels[0])[:1], seeds_entry()]
    legend_below(figure, entries + ([unstable_entry()] if some_unstable else []), named=False)
    return figure


@mpl.rc_context(STYLE)
def unit_curves(gains: Mapping[str, np.ndarray]) -> Figure:
    """Draw the gain of a single unit against step, by method."""
    figure, (panel,) = grid_of_panels(1, 1, 5.0, 3.6)
    for method, gain in gains.items():
        name = METHOD_NAMES[method]
        look: dict[str, Any] = {"label": name, "color": COLOURS[method], "linewidth": 1.9}
        draw_curve(panel, Curve(name, np.arange(len(gain)), gain, **look))
    panel.axhline(EDGE, **REFERENCE_LINE)
    panel.set(xlabel="step", ylabel="gain ηλ", ylim=(0, 3))
    legend_below(figure, curves_in(panel))
    return figure


@mpl.rc_context(STYLE)
def remedy_curves(lines: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw shares of unstable runs and accuracies against the rate, a line for each name."""
    figure, (left, right) = row_of_panels(2, height=4.2, same_y=False)
    for (name, runs), marker in zip(lines.items(), MARKERS, strict=False):
        look: dict[str, Any] = {
            "label": name, "color": COLOURS["dfa"], "marker": marker, "markersize": 6, "linewidth": 1.6,
            "alpha": 1.0 if marker == MARKERS[0] else 0.75,
        }  # fmt: skip
        by_rate = {
            rate: runs[runs["learning_rate"] == rate] for rate in sorted(set(runs["learning_rate"]))
        }
        shares = [binomial_interval(int(of["unstable"].sum()), len(of)) for of in by_rate.values()]
        means = [mean_interval(of["accuracy"].tolist()) for of in by_rate.values()]
        for panel, intervals in ((left, shares), (right, means)):
            ends = [[getattr(i, end) for i in intervals] for end in ("mean", "low", "high")]
            draw_curve(panel, Curve(name, list(by_rate), *ends, **look), shade=0.05)
        for rate, of in by_rate.items():
            for _, run in of[of["unstable"]].iterrows():
                draw_unstable(right, [rate], [run["accuracy"]], color=COLOURS["dfa"], alpha=0.5)
            stable = of[~of["unstable"]]
            right.plot(
                [rate] * len(stable), stable["accuracy"], marker,
                color=COLOURS["dfa"], alpha=0.3, markersize=3, markeredgewidth=0,
            )  # fmt: skip
    rates = sorted({float(rate) for runs in lines.values() for rate in runs["learning_rate"]})
    for panel in (left, right):
        panel.set(xscale="log", xlabel="learning rate η")
        panel.set_xticks(rates, [f"{rate:g}" for rate in rates])
        panel.minorticks_off()
    left.set(ylabel="share of unstable runs", ylim=(-0.03, 1.03))
    right.axhline(0.5, **REFERENCE_LINE)
    right.set_ylabel("accuracy at the end")
    legend_below(figure, curves_in(left))
    return figure
