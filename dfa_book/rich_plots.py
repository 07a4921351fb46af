"""Figures of the chapter on lazy and rich training."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from dfa_lib.experiments.names import COLOURS, METHOD_NAMES
from dfa_lib.experiments.statistics import Interval

from .depth_plots import method_curves
from .plots import (
    REFERENCE_LINE,
    STYLE,
    Curve,
    curves_in,
    draw_curve,
    grid_of_panels,
    legend_below,
    row_of_panels,
)


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
        panel.minorticks_off()
    if "test_accuracy" in panels_of:
        panels[0].axhline(0.5, **REFERENCE_LINE)
    legend_below(figure, curves_in(panels[0]))
    return figure
