"""One function per kind of figure. A colour means one method, a line style one optimizer, everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator

from .data.examples import Examples
from .data.images import Digits
from .statistics import summarise
from .validation import choice

# Okabe and Ito's palette, told apart by colour-blind readers too.
COLOURS = {
    "bp": "#0072B2",
    "fa": "#E69F00",
    "dfa": "#D55E00",
    "ntk": "#009E73",
    "gaussian_features": "#CC79A7",
    "relu_features": "#56B4E9",
    "linear_features": "#7F7F7F",
}
METHOD_NAMES = {
    "bp": "BP",
    "fa": "FA",
    "dfa": "DFA",
    "ntk": "NTK",
    "gaussian_features": "Gaussian features",
    "relu_features": "ReLU features",
    "linear_features": "linear features",
}
OPTIMIZER_NAMES = {
    "sgd": "SGD",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSProp",
    "adam": "Adam",
}
LINE_STYLES: dict[str, Any] = {
    "sgd": "-",
    "adadelta": (0, (5, 1.6)),
    "momentum": (0, (5, 1.5, 1, 1.5)),
    "nesterov": (0, (3, 1, 1, 1, 1, 1)),
    "adagrad": (0, (1, 1)),
    "rmsprop": (0, (3, 1.2)),
    "adam": (0, (8, 2)),
}
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def label(method: str, optimizer: str) -> str:
    """Name a line: the method, and the optimizer where methods are trained with several."""
    lazy = method not in ("bp", "fa", "dfa")
    return METHOD_NAMES[method] if lazy else f"{METHOD_NAMES[method]}, {OPTIMIZER_NAMES[optimizer]}"


def accuracy_curves(
    table: pd.DataFrame, stacks: Mapping[int, Examples] | None = None, digits: Digits | None = None
) -> Figure:
    """Draw test accuracy against epoch, one panel for each k.

    The mean over seeds is a line, its 95 % Student-t interval a band, each seed a faint line. From
    the epoch in which a run diverged, its group has no mean and no band; its legend entry says how many
    diverged.

    Parameters
    ----------
    table
        A results table of parity runs.
    stacks
        For each k, examples of which the first few are shown above its panel, with their labels.
    digits
        The digits that ``stacks`` were drawn from.
    """
    ks = sorted(int(k) for k in table["k"].unique())
    lines = list(table[["method", "optimizer"]].drop_duplicates().itertuples(index=False, name=None))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(ks), 5.6 if stacks else 4.2), layout="constrained")
        strips, body = None, figure
        if stacks:
            strips, body = figure.subfigures(2, 1, height_ratios=[1, 3.4])  # type: ignore[misc]
        panels = body.subplots(1, len(ks), sharey=True, squeeze=False)[0]
        for panel, k in zip(panels, ks, strict=True):
            _accuracy_panel(panel, table[table["k"] == k], lines)
            panel.set_title(f"k = {k}")
        panels[0].set_ylabel("test accuracy")
        body.legend(
            handles=[_legend_line(table, *line) for line in lines],
            loc="outside lower center",
            ncols=min(3, len(lines)),
        )
        if stacks and strips is not None and digits is not None:
            for strip, k in zip(np.atleast_1d(strips.subfigures(1, len(ks))), ks, strict=True):
                _stack_strip(strip, stacks[k], digits)
    return figure


def _accuracy_panel(panel: Axes, table: pd.DataFrame, lines: Sequence[tuple[str, str]]) -> None:
    for method, optimizer in lines:
        runs = table[(table["method"] == method) & (table["optimizer"] == optimizer)]
        if runs.empty:  # not every line has runs for every k
            continue
        colour, style = COLOURS[method], LINE_STYLES[optimizer]
        for _, run in runs.groupby("seed"):
            panel.plot(run["epoch"], run["test_accuracy"], color=colour, alpha=0.25, linewidth=0.7)
        summary = summarise(runs, ["epoch"])
        panel.fill_between(
            summary["epoch"], summary["low"], summary["high"], color=colour, alpha=0.15, linewidth=0
        )
        panel.plot(summary["epoch"], summary["mean"], color=colour, linestyle=style, linewidth=1.9)
    panel.axhline(0.5, color="#555555", linewidth=0.8, linestyle=":", zorder=0)
    panel.set_xlabel("epoch")
    panel.set_ylim(0.45, 1.005)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def _legend_line(table: pd.DataFrame, method: str, optimizer: str) -> Line2D:
    runs = table[(table["method"] == method) & (table["optimizer"] == optimizer)]
    last = runs[runs["epoch"] == runs["epochs"]]
    diverged = int(last["test_accuracy"].isna().sum())
    note = f" ({diverged} of {len(last)} runs diverged)" if diverged else ""
    return Line2D(
        [], [], color=COLOURS[method], linestyle=LINE_STYLES[optimizer], linewidth=1.9,
        label=label(method, optimizer) + note,
    )  # fmt: skip


def _stack_strip(strip: Any, stacks: Examples, digits: Digits, shown: int = 3) -> None:
    k = stacks.index.shape[1]
    side = round(digits.images.shape[1] ** 0.5)
    for axes, row in zip(
        strip.subplots(1, shown, gridspec_kw={"wspace": 0.12}), range(shown), strict=True
    ):
        images = digits.images[stacks.index[row]].view(k, side, side)
        axes.imshow(np.hstack(list(images.numpy())), cmap="gray_r", interpolation="nearest")
        numbers = digits.labels[stacks.index[row]].tolist()
        total = " + ".join(map(str, numbers)) + (f" = {sum(numbers)}" if k > 1 else "")
        axes.set_title(f"{total}\n{'odd' if stacks.labels[row] else 'even'}", fontsize=9.5)
        axes.set_axis_off()


# ---- how the error travels ----

_LAYERS = {"X": 0.0, "h_1": 1.0, "h_2": 2.0, "\\hat{y}": 3.0, "e": 4.0}
_INK = "#333333"


def error_transport(methods: Sequence[str]) -> Figure:
    """Draw how the error travels through two hidden layers, one panel for each method.

    Forward arrows carry activations and are grey; backward arrows carry the error and have the
    method's colour.

    Parameters
    ----------
    methods
        Any of ``"bp"``, ``"fa"``, ``"dfa"``.

    Raises
    ------
    InputError
        If one is another method.
    """
    for method in methods:
        choice("method", method, ("bp", "fa", "dfa"))
    with mpl.rc_context(STYLE | {"mathtext.fontset": "cm", "font.size": 13.0}):
        figure = Figure(figsize=(6.6, 2.3 * len(methods)), layout="constrained")
        for panel, method in zip(
            figure.subplots(len(methods), 1, squeeze=False)[:, 0], methods, strict=True
        ):
            panel.set_xlim(-0.4, 4.4)
            panel.set_ylim(-1.12 if "dfa" in methods else -0.88, 0.62)
            panel.set_aspect("equal")
            panel.set_axis_off()
            if len(methods) > 1:
                panel.set_title(METHOD_NAMES[method], color=COLOURS[method])
            _draw_forward(panel)
            _draw_backward(panel, method)
    return figure


def _draw_forward(panel: Axes) -> None:
    for name, x in _LAYERS.items():
        is_error = name == "e"
        panel.add_patch(
            FancyBboxPatch(
                (x - 0.2, -0.2), 0.4, 0.4, boxstyle="round,pad=0.04", edgecolor=_INK,
                facecolor="#fbe9e7" if is_error else "#f2f2f2", linewidth=1.1,
            )
        )  # fmt: skip
        panel.text(x, 0, f"${name}$", ha="center", va="center", color=_INK)
    for layer, weight in enumerate(("$W_1$", "$W_2$", "$W_3$", "")):
        _arrow(panel, (layer + 0.27, 0.0), (layer + 0.73, 0.0), _INK)
        panel.text(layer + 0.5, 0.1, weight, ha="center", va="bottom", color=_INK)
    panel.text(4, 0.32, "$\\hat{y} - y$", ha="center", va="bottom", color=_INK)


def _draw_backward(panel: Axes, method: str) -> None:
    colour = COLOURS[method]
    if method == "dfa":
        for layer, bend in ((2, -0.32), (1, -0.36)):
            _arrow(panel, (3.95, -0.27), (layer + 0.04, -0.27), colour, bend)
        panel.text(3.0, -0.5, "$B_2$", ha="center", va="bottom", color=colour)
        panel.text(2.5, -0.93, "$B_1$", ha="center", va="top", color=colour)
        return
    last, first = ("$W_3^\\top$", "$W_2^\\top$") if method == "bp" else ("$B_2$", "$B_1$")
    _arrow(panel, (3.95, -0.27), (2.06, -0.27), colour, -0.32)
    _arrow(panel, (1.94, -0.27), (1.06, -0.27), colour, -0.5)
    panel.text(3.0, -0.65, last, ha="center", va="top", color=colour)
    panel.text(1.5, -0.58, first, ha="center", va="top", color=colour)


def _arrow(
    panel: Axes, start: tuple[float, float], end: tuple[float, float], colour: str, bend: float = 0.0
) -> None:
    panel.add_patch(
        FancyArrowPatch(
            start, end, connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=14,
            color=colour, linewidth=1.7, shrinkA=0, shrinkB=0,
        )
    )  # fmt: skip
