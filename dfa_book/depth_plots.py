"""Figures of the chapters on depth and on lazy and rich training."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dfa_lib.experiments.names import COLOURS, METHOD_NAMES
from dfa_lib.experiments.outcomes import is_unstable
from dfa_lib.experiments.statistics import Interval, summarise

from .plots import (
    MARKERS,
    REFERENCE_LINE,
    STYLE,
    Curve,
    against_epoch,
    belongs_to,
    curves_in,
    draw_curve,
    grid_of_panels,
    legend_below,
    row_of_panels,
    seed_dots,
)


@mpl.rc_context(STYLE)
def depth_curves(last: pd.DataFrame) -> Figure:
    """Draw the last test accuracy against the number of hidden layers: a curve a method, a dot a seed.

    ``last`` has a row for each run, with its ``outcome``.
    """
    figure, (panel,) = grid_of_panels(1, 1, 5.2, 3.9)
    method_curves(panel, last, "layers")
    panel.axhline(0.5, **REFERENCE_LINE)
    panel.set(xlabel="hidden layers", ylabel="test accuracy, last epoch")
    panel.set_xticks(sorted(last["layers"].unique()))
    legend_below(figure, curves_in(panel))
    return figure


def method_curves(panel: Axes, last: pd.DataFrame, x: str, metric: str = "test_accuracy") -> None:
    """Draw means of stable runs against a column x, a curve a method; runs are dots, or crosses."""
    for method in last["method"].unique():
        runs = last[last["method"] == method].sort_values(x)
        means = summarise(runs, [x], metric)
        ends = [means[f"{end}_sound"] for end in ("mean", "low", "high")]
        name, colour = METHOD_NAMES[method], COLOURS[method]
        look: dict[str, Any] = {"color": colour, "marker": "o", "linewidth": 1.9}
        draw_curve(panel, Curve(name, means[x], *ends, label=name, **look))
        dots: dict[str, Any] = {"color": colour, "gid": belongs_to(name), "alpha": 0.35}
        seed_dots(panel, runs[x], runs[metric], is_unstable(runs), marker="o", markersize=3.5, **dots)


@mpl.rc_context(STYLE)
def layer_curves(table: pd.DataFrame) -> Figure:
    """Draw each hidden layer's cosine of the rule's update with BP's against epoch, a panel a method.

    ``table`` is as from ``depth.layers_table``, of networks of one depth.
    """
    methods = list(table["method"].unique())
    figure, panels = row_of_panels(len(methods), height=3.9)
    for panel, method in zip(panels, methods, strict=True):
        for layer, rows in table[table["method"] == method].groupby("layer"):
            means = summarise(rows, ["epoch"], "gradient_alignment")
            ends = [means[end] for end in ("mean", "low", "high")]
            name = f"layer {layer}"
            look: dict[str, Any] = {
                "color": COLOURS[method], "marker": MARKERS[int(str(layer)) - 1], "markersize": 5,
                "markevery": 3, "linewidth": 1.7,
            }  # fmt: skip
            draw_curve(panel, Curve(name, means["epoch"], *ends, label=name, form=".2f", **look))
        panel.axhline(0.0, **REFERENCE_LINE)
        panel.set(title=METHOD_NAMES[method], ylabel="cosine with BP's update", ylim=(-0.4, 1.005))
        against_epoch(panel)
    legend_below(figure, curves_in(panels[0]), columns=4)
    return figure


@mpl.rc_context(STYLE)
def scale_curves(
    last: pd.DataFrame, panels_of: Mapping[str, str], flat: Mapping[str, Interval] | None = None
) -> Figure:
    """Draw metrics of the last epoch against α, a panel for each, with its label.

    ``last`` has a row for each run with its ``outcome`` and ``alpha``; beyond the largest number stands
    the linear model, if it is there. ``flat`` are accuracies that no α belongs to, by method.
    """
    count = len(panels_of)
    figure, panels = (
        grid_of_panels(1, 1, 5.6, 4.0) if count == 1 else row_of_panels(count, 3.7, same_y=False)
    )
    names = last.drop_duplicates("scale").set_index("alpha")["scale"].sort_index()
    for panel, (metric, what) in zip(panels, panels_of.items(), strict=True):
        method_curves(panel, last, "alpha", metric)
        for method, (mean, low, high, _) in (flat or {}).items():
            ends = [[value, value] for value in (mean, low, high)]
            name, x = METHOD_NAMES[method], [names.index[0], names.index[-1]]
            look: dict[str, Any] = {"label": name, "color": COLOURS[method], "linestyle": "--"}
            draw_curve(panel, Curve(name, x, *ends, **look), shade=0.1)
        panel.set(xscale="log", xlabel="scale α of the output", ylabel=what)
        panel.set_xticks(names.index, names)
        if metric == "moved_1":
            panel.set_yscale("log")
        panel.minorticks_off()
    if "test_accuracy" in panels_of:
        panels[0].axhline(0.5, **REFERENCE_LINE)
    legend_below(figure, curves_in(panels[0]))
    return figure
