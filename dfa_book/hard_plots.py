"""Figures of the chapter on the hardness of parities."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dfa_lib.experiments.names import COLOURS, METHOD_NAMES
from dfa_lib.experiments.statistics import interval_of

from .claims.queries import select
from .plots import (
    REFERENCE_LINE,
    STYLE,
    Curve,
    belongs_to,
    curves_in,
    draw_curve,
    label,
    legend_below,
    line_look,
    row_of_panels,
)


@mpl.rc_context(STYLE)
def step_curves(
    panels_of: Mapping[str, pd.DataFrame], x: str, axis: str, *, log: bool = False
) -> Figure:
    """Draw geometric means of steps against a column x, a panel for each title.

    Tables have a row for each run: ``method``, ``optimizer``, ``steps`` and whether it ``reached`` the
    goal. Where a run did not, there is an open circle.
    """
    figure, panels = row_of_panels(len(panels_of), height=4.1)
    entries: dict[str, Curve] = {}
    for panel, (title, table) in zip(panels, panels_of.items(), strict=True):
        lines = list(table[["method", "optimizer"]].drop_duplicates().itertuples(index=False, name=None))
        for method, optimizer in lines:
            by_x = select(table, method=method, optimizer=optimizer).groupby(x)
            ends = np.array([interval_of(each, "ratio") for _, each in by_x["steps"]])[:, :3].T
            name, places = label(method, optimizer), np.sort(by_x[x].first().to_numpy(float))
            look = line_look(lines, method, optimizer)
            curve = Curve(name, places, *ends, label=name, form=",.0f", **look)
            draw_curve(panel, curve)
            entries.setdefault(name, curve)
            lost = ~by_x["reached"].all().to_numpy()
            panel.plot(
                places[lost], ends[0][lost], "o",
                color=COLOURS[method], markersize=10, markerfacecolor="none", gid=belongs_to(name),
            )  # fmt: skip
        panel.set(title=title, xlabel=axis, yscale="log", xscale="log" if log else "linear")
        panel.set_xticks(sorted(table[x].unique()), [str(place) for place in sorted(table[x].unique())])
        panel.xaxis.set_minor_locator(NullLocator())
    panels[0].set_ylabel("steps to 75 % of test examples")
    legend_below(figure, list(entries.values()))
    return figure


@mpl.rc_context(STYLE)
def progress_curves(rows: pd.DataFrame, marks: Sequence[float]) -> Figure:
    """Draw accuracy and relative movement of relevant inputs' weights against the step.

    ``rows`` has the runs of one problem, ``marks`` the reference lines of both panels.
    """
    figure, panels = row_of_panels(2, height=3.9, same_y=False)
    shown = {"test_accuracy": "test accuracy", "relevant": "movement, relevant over others"}
    for panel, (metric, what), mark in zip(panels, shown.items(), marks, strict=True):
        for method, runs in rows.groupby("method"):
            by_step = runs.pivot(index="step", columns="seed", values=metric).ffill()
            ends = np.array([interval_of(each, "t") for each in by_step.to_numpy()])[:, :3].T
            name = METHOD_NAMES[str(method)]
            look = line_look([], str(method), "sgd")
            draw_curve(panel, Curve(name, by_step.index, *ends, label=name, form=".2f", **look))
        panel.axhline(mark, **REFERENCE_LINE)
        panel.set(xscale="log", xlabel="step", ylabel=what)
    legend_below(figure, curves_in(panels[0]))
    return figure
