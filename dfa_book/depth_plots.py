"""Figures of the chapter on depth."""

from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from dfa_lib.experiments.names import COLOURS, METHOD_NAMES
from dfa_lib.experiments.statistics import summarise

from .plots import (
    MARKERS,
    REFERENCE_LINE,
    STYLE,
    Curve,
    against_epoch,
    curves_in,
    draw_curve,
    grid_of_panels,
    legend_below,
    row_of_panels,
)


@mpl.rc_context(STYLE)
def depth_curves(last: pd.DataFrame) -> Figure:
    """Draw the last test accuracy against the number of hidden layers: a curve a method, a dot a seed.

    ``last`` has a row for each run, with its ``outcome``.
    """
    figure, (panel,) = grid_of_panels(1, 1, 5.2, 3.9)
    for method in last["method"].unique():
        runs = last[last["method"] == method]
        means = summarise(runs, ["layers"])
        ends = [means[end] for end in ("mean", "low", "high")]
        look: dict[str, Any] = {"color": COLOURS[method], "marker": "o", "linewidth": 1.9}
        name = METHOD_NAMES[method]
        draw_curve(panel, Curve(name, means["layers"], *ends, label=name, **look))
        panel.plot(
            runs["layers"], runs["test_accuracy"], "o",
            color=COLOURS[method], alpha=0.35, markersize=3.5, markeredgewidth=0,
        )  # fmt: skip
    panel.axhline(0.5, **REFERENCE_LINE)
    panel.set(xlabel="hidden layers", ylabel="test accuracy, last epoch")
    panel.set_xticks(sorted(last["layers"].unique()))
    legend_below(figure, curves_in(panel))
    return figure


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
