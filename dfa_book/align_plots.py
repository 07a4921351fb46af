"""Figures of the chapter on students of a teacher."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dfa_lib.experiments.names import COLOURS, METHOD_NAMES
from dfa_lib.experiments.statistics import interval_of

from .align import METHODS
from .plots import (
    OPEN,
    REFERENCE_LINE,
    STYLE,
    Curve,
    belongs_to,
    curves_in,
    draw_curve,
    legend_below,
    row_of_panels,
    seeds_entry,
)

SHOWN = ("alignment", "loss")


@mpl.rc_context(STYLE)
def phases(panels_of: Mapping[str, Mapping[tuple[str, str], pd.DataFrame]]) -> Figure:
    """Draw measures against time, a panel for each name.

    A line is a method and one of ``SHOWN``, as times by students; losses are shares of the first.
    """
    figure, panels = row_of_panels(len(panels_of), height=4.0)
    for panel, (title, lines) in zip(panels, panels_of.items(), strict=True):
        for (method, measure), runs in lines.items():
            entry = f"{measure}, {METHOD_NAMES[method]}"
            look: dict[str, Any] = {"color": COLOURS[method], "linewidth": 1.9, "form": ".2f"}
            if measure == "loss":
                look |= {"marker": "s", "markersize": 4, "markevery": 5}
            later = (runs / runs.iloc[0] if measure == "loss" else runs)[runs.index > 0]
            ends = np.array([interval_of(row) for row in later.to_numpy()])[:, :3].T
            seeds = [] if measure == "loss" else [(later.index, later[seed]) for seed in later]
            draw_curve(panel, Curve(entry, later.index, *ends, label=entry, **look), seeds)
        panel.axhline(0.0, **REFERENCE_LINE)
        panel.set(title=title, xscale="log", xlabel="time, steps / D", ylim=(-1.05, 1.15))
    panels[0].set_ylabel("cosine; share of the first loss")
    legend_below(figure, [*curves_in(panels[0]), seeds_entry("single students")])
    return figure


@mpl.rc_context(STYLE)
def against_theory(
    theory: Mapping[str, pd.Series], runs: Mapping[str, pd.DataFrame], distances: pd.DataFrame
) -> Figure:
    """Draw losses of theory and of students against time, and distances against D.

    ``theory`` has a loss by time for each method, ``runs`` losses as times by students, and
    ``distances`` one for each ``method``, ``dimensions`` and ``seed``.
    """
    figure, (left, right) = row_of_panels(2, height=4.2, same_y=False)
    for method in METHODS:
        name, expected = METHOD_NAMES[method], theory[method]
        look: dict[str, Any] = {"label": name, "color": COLOURS[method], "linewidth": 1.9}
        draw_curve(left, Curve(name, expected.index, expected, **look))
        means = runs[method].mean(axis=1)[1:]
        circles = OPEN | {"markeredgecolor": COLOURS[method], "gid": belongs_to(name)}
        left.plot(means.index, means, **circles)
        of_method = distances[distances["method"] == method]
        by_size = of_method.groupby("dimensions")["distance"]
        ends = np.array([interval_of(each, "ratio") for _, each in by_size])[:, :3].T
        right.plot(
            of_method["dimensions"], of_method["distance"], "o",
            color=COLOURS[method], alpha=0.3, markersize=3, markeredgewidth=0, gid=belongs_to(name),
        )  # fmt: skip
        sizes = np.sort(of_method["dimensions"].unique()).astype(float)
        draw_curve(right, Curve(name, sizes, *ends, marker="o", **look))
        right.plot(sizes, ends[0][-1] * (sizes / sizes[-1]) ** -0.5, **REFERENCE_LINE)
    left.set(xscale="log", yscale="log", xlabel="time, steps / D", ylabel="loss")
    left.set_yticks(ticks := [0.02, 0.05, 0.1, 0.2, 0.5], [f"{tick:g}" for tick in ticks])
    right.set(xscale="log", yscale="log", xlabel="dimensions D", ylabel="distance from theory")
    right.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    for panel in (left, right):
        panel.minorticks_off()
    circle = Line2D([], [], **OPEN, markeredgecolor=STYLE["text.color"], label="mean of students")
    legend_below(figure, [*curves_in(left), circle])
    return figure
