"""Figures of the ledger, of the page on deviations and of appendix C."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from dfa_lib.experiments.names import COLOURS, INK, METHOD_NAMES
from dfa_lib.experiments.outcomes import AT_CHANCE, COIN_LOSS, LEARNED, UNSTABLE, UNSTABLE_END
from dfa_lib.experiments.statistics import Interval, mean_interval, summarise

from .plots import (
    REFERENCE_LINE,
    STYLE,
    Curve,
    against_epoch,
    curves_in,
    draw_curve,
    grid_of_panels,
    legend_below,
    row_of_panels,
    seeds_entry,
)

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Line styles by what Adam counts; the colour is the method's.
COUNTED_STYLES: dict[str, Any] = {"updates": "-", "epochs": (0, (3, 1.2))}


@mpl.rc_context(STYLE)
def adam_curves(factor: np.ndarray, updates_per_epoch: int, table: pd.DataFrame) -> Figure:
    """Draw the step length and the test accuracy of Adam that counts epochs instead of updates.

    ``factor`` is as from ``step_factor``, ``table`` of the experiment ``"adam"``.
    """
    figure, (left, right) = row_of_panels(2, height=4.0, same_y=False)
    epochs = np.arange(1, len(factor) + 1) / updates_per_epoch
    left.plot(epochs, factor, color=INK, linewidth=1.6)
    left.axhline(1.0, **REFERENCE_LINE)
    left.set(yscale="log", ylabel="length of the step, wrong over right")
    left.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}", minor_formatter="")
    for (method, counted), runs in table.groupby(["method", "counted"]):
        summary = summarise(runs, ["epoch"])
        entry = f"{METHOD_NAMES[str(method)]}, {counted} counted"
        curve = Curve(
            entry, summary["epoch"], summary["mean"], summary["low"], summary["high"], label=entry,
            color=COLOURS[str(method)], linestyle=COUNTED_STYLES[str(counted)], linewidth=1.9,
        )  # fmt: skip
        draw_curve(right, curve, shade=0.12)
    right.set_ylabel("test accuracy")
    for panel in (left, right):
        against_epoch(panel)
    legend_below(figure, curves_in(right), columns=2)
    return figure


@mpl.rc_context(STYLE)
def repeats_by_matrix(table: pd.DataFrame) -> Figure:
    """Draw accuracies by random matrix, of the experiment ``"shared"``: dots, a bar at the mean."""
    figure, (panel,) = grid_of_panels(1, 1, 4.6, 3.4)
    for matrix, runs in table.groupby("matrix"):
        x, values = int(str(matrix)) + 1, runs["test_accuracy"]
        panel.plot([x] * len(runs), values, "o", color=COLOURS["dfa"], alpha=0.45, markersize=4)
    means = table.groupby("matrix")["test_accuracy"].mean()
    look: dict[str, Any] = {"linestyle": "", "marker": "_", "markersize": 13, "markeredgewidth": 2}
    panel.add_line(Curve("mean", means.index.astype(int) + 1, means, color=INK, **look))
    panel.axhline(table["test_accuracy"].mean(), **REFERENCE_LINE)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set(xlabel="random matrix B", ylabel="test accuracy, last epoch")
    return figure


@mpl.rc_context(STYLE)
def differences(groups: Mapping[str, Sequence[float] | NDArray[np.float64]], what: str) -> Figure:
    """Draw paired differences, a row for each group: dots, mean and its 95 % Student-t interval.

    ``what`` is the label of the axis.
    """
    figure, panel = _rows({name: mean_interval(list(values)) for name, values in groups.items()}, groups)
    panel.axvline(0.0, **REFERENCE_LINE)
    panel.set_xlabel(fill(what, 45))
    return figure


@mpl.rc_context(STYLE)
def coverages(rows: Mapping[str, Interval], promised: float = 0.95) -> Figure:
    """Draw the coverage of intervals, a row each, beside the nominal one, a dotted line."""
    figure, panel = _rows(rows)
    panel.axvline(promised, **REFERENCE_LINE)
    low = min(0.5, panel.get_xlim()[0])
    panel.set(xlim=(low, 1.005), xlabel="share of intervals that hold the mean")
    return figure


def _rows(
    intervals: Mapping[str, Interval],
    dots: Mapping[str, Sequence[float] | NDArray[np.float64]] = MappingProxyType({}),
) -> tuple[Figure, Axes]:
    """Return a figure with a row for each interval, and faint dots for single values."""
    figure, (panel,) = grid_of_panels(1, 1, 4.6, 1.1 + 0.5 * len(intervals))
    for y, (name, interval) in enumerate(intervals.items()):
        if name in dots:
            panel.plot(dots[name], [y] * len(dots[name]), "o", color=INK, alpha=0.3, markersize=3.5)
        panel.plot([interval.low, interval.high], [y, y], color=INK, linewidth=2.0)
    means, low, high = np.array([each[:3] for each in intervals.values()], float).T
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 7, "color": INK}
    panel.add_line(Curve("mean", range(len(means)), means, low, high, rows=True, **look))
    panel.autoscale_view()
    panel.set_yticks(range(len(intervals)), list(intervals))
    panel.invert_yaxis()
    return figure, panel


@mpl.rc_context(STYLE)
def signal_sizes(sizes: Mapping[tuple[str, str], Sequence[Sequence[float]]]) -> Figure:
    """Draw the size of the error signal δ by hidden layer, one panel for each activation.

    ``sizes`` has a row for each network, from the first hidden layer to the last, by method and
    activation.
    """
    units = list(dict.fromkeys(unit for _, unit in sizes))
    methods = list(dict.fromkeys(method for method, _ in sizes))
    figure, panels = row_of_panels(len(units), height=3.8)
    for panel, unit in zip(panels, units, strict=True):
        for method in methods:
            rows = np.array(sizes[method, unit])[:, ::-1]  # from the last layer to the first
            layers = np.arange(1, rows.shape[1] + 1)
            middle = np.exp(np.log(rows).mean(0))
            curve = Curve(
                METHOD_NAMES[method], layers, middle, label=METHOD_NAMES[method],
                color=COLOURS[method], linewidth=1.9, marker="o", markersize=4,
            )  # fmt: skip
            draw_curve(panel, curve, [(layers, row) for row in rows])
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(_power_of_ten)
        panel.minorticks_off()
        panel.set(title=f"{unit} units", xlabel="hidden layers from the output")
        panel.set_ylabel("size of the signal δ, last layer = 1")
    legend_below(figure, [*curves_in(panels[0]), seeds_entry("single networks")])
    return figure


def _power_of_ten(value: float, _: float) -> str:
    """Write a power of ten as plain text: mathtext would not use the page's font."""
    return "10" + str(round(np.log10(value))).translate(RAISED)


@mpl.rc_context(STYLE)
def outcome_curves(examples: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw training loss and accuracy against epoch; ``examples`` has the epochs of a run by outcome."""
    styles: dict[str, Any] = {LEARNED: "-", AT_CHANCE: (0, (6, 2)), UNSTABLE: (0, (2, 2))}
    figure, panels = row_of_panels(2, height=3.8, same_y=False)
    for panel, metric in zip(panels, ("train_loss", "test_accuracy"), strict=True):
        for name, rows in examples.items():
            look = {"color": INK, "linestyle": styles[name], "linewidth": 1.9}
            draw_curve(panel, Curve(name, rows["epoch"], rows[metric], label=name, **look))
        against_epoch(panel)
    loss, accuracy = panels
    loss.set(yscale="log", ylabel="training loss, nats")
    loss.yaxis.set(major_formatter="{x:g}", minor_formatter="")
    loss.axhline(COIN_LOSS, **REFERENCE_LINE)
    loss.axhline(UNSTABLE_END, color=INK, linewidth=0.8, linestyle="--")
    accuracy.axhline(0.5, **REFERENCE_LINE)
    accuracy.set_ylabel("validation accuracy")
    legend_below(figure, curves_in(loss))
    return figure
