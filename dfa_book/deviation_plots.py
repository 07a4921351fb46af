"""Figures of the pages on claims and deviations: what was counted, shared, or chosen."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from dfa_lib.experiments.names import (
    COLOURS,
    INK,
    METHOD_NAMES,
    OPTIMIZER_NAMES,
)
from dfa_lib.experiments.outcomes import AT_CHANCE, COIN_LOSS, LEARNED, UNSTABLE, UNSTABLE_END
from dfa_lib.experiments.statistics import Interval, mean_interval, summarise

from .plots import (
    REFERENCE_LINE,
    STYLE,
    Curve,
    draw_curve,
    legend_below,
    row_of_panels,
    seeds_entry,
)

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# What a style means is said in the legend; a colour means a method.
COUNTED_STYLES: dict[str, Any] = {"updates": "-", "epochs": (0, (3, 1.2))}


def adam_curves(factor: np.ndarray, updates_per_epoch: int, table: pd.DataFrame) -> Figure:
    """Draw how counting epochs changes the length of Adam's step, and what that does to the accuracy.

    Parameters
    ----------
    factor
        As from ``step_factor``.
    updates_per_epoch
        Of those.
    table
        As from ``adam_table``.
    """
    with mpl.rc_context(STYLE):
        figure, (left, right) = row_of_panels(2, height=4.0, same_y=False)
        epochs = np.arange(1, len(factor) + 1) / updates_per_epoch
        left.plot(epochs, factor, color=INK, linewidth=1.6)
        left.axhline(1.0, **REFERENCE_LINE)
        left.set_yscale("log")
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_major_formatter("{x:g}")
        left.yaxis.set_minor_formatter("")
        left.set_ylabel("length of the step, wrong over right")
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
            panel.set_xlabel("epoch")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, [line for line in right.lines if isinstance(line, Curve)], columns=2)
    return figure


def repeats_by_matrix(table: pd.DataFrame) -> Figure:
    """Draw the accuracies of runs with each of several random matrices: dots, and a bar at their mean.

    Parameters
    ----------
    table
        As from ``shared_table``.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        panel = figure.subplots()
        for matrix, runs in table.groupby("matrix"):
            x, values = int(str(matrix)) + 1, runs["test_accuracy"]
            panel.plot([x] * len(runs), values, "o", color=COLOURS["dfa"], alpha=0.45, markersize=4)
            panel.plot([x - 0.3, x + 0.3], [values.mean()] * 2, color=INK, linewidth=2)
        panel.axhline(table["test_accuracy"].mean(), **REFERENCE_LINE)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("random matrix B")
        panel.set_ylabel("test accuracy, last epoch")
    return figure


def differences(groups: Mapping[str, Sequence[float] | NDArray[np.float64]], what: str) -> Figure:
    """Draw paired differences, one row a group: dots, their mean and its 95 % Student-t interval.

    Parameters
    ----------
    groups
        By their names.
    what
        Says on the axis what is subtracted from what.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 1.1 + 0.5 * len(groups)), layout="constrained")
        panel = figure.subplots()
        for y, values in enumerate(groups.values()):
            interval = mean_interval(list(values))
            panel.plot(values, [y] * len(values), "o", color=INK, alpha=0.3, markersize=3.5)
            _row(panel, y, interval)
        panel.axvline(0.0, **REFERENCE_LINE)
        panel.set_yticks(range(len(groups)), list(groups))
        panel.invert_yaxis()
        panel.set_xlabel(fill(what, 45))
    return figure


def coverages(rows: Mapping[str, Interval], promised: float = 0.95) -> Figure:
    """Draw how often intervals hold what they should, one row each, beside what they promise.

    Parameters
    ----------
    rows
        Shares, by what the interval is; one without an interval of its own is drawn as a dot.
    promised
        Where a dotted line is drawn.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 1.1 + 0.5 * len(rows)), layout="constrained")
        panel = figure.subplots()
        for y, interval in enumerate(rows.values()):
            _row(panel, y, interval)
        panel.axvline(promised, **REFERENCE_LINE)
        panel.set_yticks(range(len(rows)), list(rows))
        panel.invert_yaxis()
        panel.set_xlim(min(0.5, panel.get_xlim()[0]), 1.005)
        panel.set_xlabel("share of intervals that hold the mean")
    return figure


def _row(panel: Any, y: int, interval: Interval) -> None:
    panel.plot([interval.low, interval.high], [y, y], color=INK, linewidth=2.0)
    panel.plot(interval.mean, y, "o", color=INK, markersize=7)


def signal_sizes(sizes: Mapping[tuple[str, str], Sequence[Sequence[float]]]) -> Figure:
    """Draw the size of the error's signal on its way back, one panel for each kind of unit.

    Parameters
    ----------
    sizes
        For each method and kind of unit, one row a network: sizes from the first hidden layer to the
        last.
    """
    units = list(dict.fromkeys(unit for _, unit in sizes))
    with mpl.rc_context(STYLE):
        methods = list(dict.fromkeys(method for method, _ in sizes))
        figure, panels = row_of_panels(len(units), height=3.8)
        for panel, unit in zip(panels, units, strict=True):
            for method in methods:
                rows = np.array(sizes[method, unit])[:, ::-1]  # as the signal goes
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
            panel.set_title(f"{unit} units")
            panel.set_xlabel("hidden layers from the output")
            panel.set_ylabel("size of the signal δ, last layer = 1")
        entries = [line for line in panels[0].lines if isinstance(line, Curve)]
        legend_below(figure, [*entries, seeds_entry("single networks")])
    return figure


def _power_of_ten(value: float, _: float) -> str:
    """Write a power of ten in letters of the page, which mathematics is not set in."""
    return "10" + str(round(np.log10(value))).translate(RAISED)


def optimizer_repeat(optimizer: str, repeat: int) -> str:
    """Name a row of the figure on states that are carried over."""
    return f"{OPTIMIZER_NAMES[optimizer]}, repeat {repeat}"


def outcome_curves(examples: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw training loss and accuracy against epoch, a run for each outcome.

    Parameters
    ----------
    examples
        The rows of a run's epochs, by its outcome.
    """
    styles: dict[str, Any] = {LEARNED: "-", AT_CHANCE: (0, (6, 2)), UNSTABLE: (0, (2, 2))}
    with mpl.rc_context(STYLE):
        figure, panels = row_of_panels(2, height=3.8, same_y=False)
        for panel, metric in zip(panels, ("train_loss", "test_accuracy"), strict=True):
            for name, rows in examples.items():
                look = {"color": INK, "linestyle": styles[name], "linewidth": 1.9}
                draw_curve(panel, Curve(name, rows["epoch"], rows[metric], label=name, **look))
            panel.set_xlabel("epoch")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0].set_yscale("log")
        panels[0].yaxis.set_major_formatter("{x:g}")
        panels[0].yaxis.set_minor_formatter("")
        panels[0].axhline(COIN_LOSS, **REFERENCE_LINE)
        panels[0].axhline(UNSTABLE_END, color=INK, linewidth=0.8, linestyle="--")
        panels[0].set_ylabel("training loss, nats")
        panels[1].axhline(0.5, **REFERENCE_LINE)
        panels[1].set_ylabel("validation accuracy")
        legend_below(figure, [line for line in panels[0].lines if isinstance(line, Curve)])
    return figure
