"""One function per kind of figure. A colour means one method, a line style one optimizer, everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from .data.clusters import CLUSTERS_PER_SIDE, cluster_centres
from .data.examples import Examples
from .data.images import Digits
from .experiments import final_epoch
from .names import COLOURS as COLOURS
from .names import FEEDBACK_NAMES as FEEDBACK_NAMES
from .names import LINE_STYLES as LINE_STYLES
from .names import METHOD_NAMES as METHOD_NAMES
from .names import OPTIMIZER_NAMES as OPTIMIZER_NAMES
from .statistics import mean_interval, summarise
from .training import METHODS
from .validation import choice

METRIC_NAMES = {
    "train_loss": "training loss, nats",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss, nats",
    "test_accuracy": "test accuracy",
    "weight_alignment": "cos(B, W₂ᵀ)",
    "gradient_alignment": "cosine of DFA's and BP's update of W₁",
}
# Tell lines of one colour apart where they cross.
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
# A coin, or whoever knows nothing.
REFERENCE_LINE: dict[str, Any] = {"color": "#555555", "linewidth": 0.8, "linestyle": ":", "zorder": 0}
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
    alone = METHODS[method].lazy
    return METHOD_NAMES[method] if alone else f"{METHOD_NAMES[method]}, {OPTIMIZER_NAMES[optimizer]}"


def accuracy_curves(
    table: pd.DataFrame,
    stacks: Mapping[int, Examples] | None = None,
    digits: Digits | None = None,
    *,
    published: pd.DataFrame | None = None,
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
    published
        Values to compare with, drawn as open circles: ``k``, ``method``, ``epoch``, ``test_accuracy``.
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
            _metric_panel(panel, table[table["k"] == k], "test_accuracy", lines)
            if published is not None:
                _published_points(panel, published[published["k"] == k], "test_accuracy")
            panel.set_title(f"k = {k}")
        panels[0].set_ylabel(METRIC_NAMES["test_accuracy"])
        _legend_below(body, table, lines, published)
        if stacks and strips is not None and digits is not None:
            for strip, k in zip(np.atleast_1d(strips.subfigures(1, len(ks))), ks, strict=True):
                _stack_strip(strip, stacks[k], digits)
    return figure


def metric_curves(
    table: pd.DataFrame, metrics: Sequence[str], *, published: pd.DataFrame | None = None
) -> Figure:
    """Draw metrics against epoch, one panel for each, for one k.

    Lines, bands and seeds as in ``accuracy_curves``. An alignment has its angle in degrees on a second
    axis.

    Parameters
    ----------
    table
        A results table.
    metrics
        Columns of it: names of ``METRIC_NAMES``.
    published
        Values to compare with, drawn as open circles: ``method``, ``epoch``, and any of ``metrics``.
    """
    lines = list(table[["method", "optimizer"]].drop_duplicates().itertuples(index=False, name=None))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(metrics), 4.2), layout="constrained")
        for panel, metric in zip(
            figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True
        ):
            _metric_panel(panel, table, metric, lines)
            if published is not None:
                _published_points(panel, published, metric)
            panel.set_ylabel(METRIC_NAMES[metric])
        _legend_below(figure, table, lines, published)
    return figure


def _metric_panel(
    panel: Axes, table: pd.DataFrame, metric: str, lines: Sequence[tuple[str, str]]
) -> None:
    for method, optimizer in lines:
        runs = table[(table["method"] == method) & (table["optimizer"] == optimizer)]
        if runs.empty:  # not every line has runs in every panel
            continue
        colour, style = COLOURS[method], LINE_STYLES[optimizer]
        for _, run in runs.groupby("seed"):
            panel.plot(run["epoch"], run[metric], color=colour, alpha=0.25, linewidth=0.7)
        summary = summarise(runs, ["epoch"], metric)
        panel.fill_between(
            summary["epoch"], summary["low"], summary["high"], color=colour, alpha=0.15, linewidth=0
        )
        panel.plot(summary["epoch"], summary["mean"], color=colour, linestyle=style, linewidth=1.9)
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if metric.endswith("accuracy"):
        panel.axhline(0.5, **REFERENCE_LINE)
        panel.set_ylim(0.45, 1.005)
    elif metric.endswith("alignment"):
        panel.axhline(0.0, **REFERENCE_LINE)
        panel.set_ylim(min(-0.1, panel.get_ylim()[0]), 1.005)
        angle = panel.secondary_yaxis("right", functions=(_angle, _cosine))
        angle.set_yticks([0, 30, 45, 60, 75, 90])
        angle.set_ylabel("angle, degrees")


def _angle(cosine: Any) -> Any:
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _cosine(angle: Any) -> Any:
    return np.cos(np.radians(angle))


def _published_points(panel: Axes, published: pd.DataFrame, metric: str) -> None:
    if metric not in published:
        return
    for method, points in published.groupby("method"):
        panel.plot(
            points["epoch"], points[metric], linestyle="", marker="o", markersize=6,
            markerfacecolor="white", markeredgecolor=COLOURS[str(method)], markeredgewidth=1.5,
        )  # fmt: skip


def _legend_below(
    figure: Any, table: pd.DataFrame, lines: Sequence[tuple[str, str]], published: pd.DataFrame | None
) -> None:
    handles = [_legend_line(table, *line) for line in lines]
    if published is not None:
        handles.append(
            Line2D(
                [], [], linestyle="", marker="o", markersize=6, markerfacecolor="white",
                markeredgecolor=_INK, markeredgewidth=1.5, label="published",
            )
        )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, len(handles)))


def _legend_line(table: pd.DataFrame, method: str, optimizer: str) -> Line2D:
    runs = table[(table["method"] == method) & (table["optimizer"] == optimizer)]
    last = final_epoch(runs)
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


# ---- how it ended, and at which rates ----


def final_accuracies(table: pd.DataFrame, by: str) -> Figure:
    """Draw the test accuracy of the last epoch, one row for each value of ``by``.

    A small dot is a seed, a large one the mean of all, a bar its 95 % Student-t interval. A group with
    a diverged run has no mean, and says how many diverged.

    Parameters
    ----------
    table
        A results table, for one k.
    by
        ``"optimizer"`` or ``"feedback"``.
    """
    names = {"optimizer": OPTIMIZER_NAMES, "feedback": FEEDBACK_NAMES}[by]
    last = final_epoch(table)
    rows, methods = list(last[by].unique()), list(last["method"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 1.1 + 0.62 * len(rows)), layout="constrained")
        panel = figure.subplots()
        for (row, method), runs in last.groupby([by, "method"]):
            offset = 0.17 * (methods.index(method) - (len(methods) - 1) / 2)
            y, colour = rows.index(row) + offset, COLOURS[str(method)]
            accuracies = runs["test_accuracy"]
            panel.plot(accuracies, [y] * len(runs), "o", color=colour, alpha=0.4, markersize=3.5)
            summary = summarise(runs, ["method"], "test_accuracy").iloc[0]
            panel.plot([summary["low"], summary["high"]], [y, y], color=colour, linewidth=2.0)
            panel.plot(summary["mean"], y, "o", color=colour, markersize=7)
            if diverged := int(accuracies.isna().sum()):
                panel.text(0.5, y, f" {diverged} of {len(runs)} diverged", color=colour, va="center")
        panel.axvline(0.5, **REFERENCE_LINE)
        panel.set_yticks(range(len(rows)), [names[row] for row in rows])
        panel.set_ylim(len(rows) - 0.5, -0.5)
        panel.set_xlabel("test accuracy, last epoch")
        if len(methods) > 1:
            handles = [
                Line2D(
                    [],
                    [],
                    linestyle="",
                    marker="o",
                    markersize=7,
                    color=COLOURS[m],
                    label=METHOD_NAMES[m],
                )
                for m in methods
            ]
            figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def rate_curves(table: pd.DataFrame, scores: pd.DataFrame, by: str) -> Figure:
    """Draw how a learning rate was chosen: one panel for each value of ``by``.

    The accuracy on validation digits against epoch, darker for larger rates; the chosen rate is drawn
    in the method's colour.

    Parameters
    ----------
    table
        The tuning runs, of one method and one k.
    scores
        Of ``tune``: the chosen rates.
    by
        ``"optimizer"`` or ``"feedback"``.
    """
    names = {"optimizer": OPTIMIZER_NAMES, "feedback": FEEDBACK_NAMES}[by]
    panels = list(scores[by].unique())
    columns = min(4, len(panels))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.0 * columns, 2.9 * -(-len(panels) // columns)), layout="constrained")
        grid = figure.subplots(
            -(-len(panels) // columns), columns, sharex=True, sharey=True, squeeze=False
        )
        for panel in grid.flat[len(panels) :]:
            panel.set_axis_off()
        for panel, value in zip(grid.flat, panels, strict=False):
            here = scores[scores[by] == value].sort_values("learning_rate")
            for place, row in enumerate(here.itertuples()):
                runs = table[(table[by] == value) & (table["learning_rate"] == row.learning_rate)]
                mean = runs.groupby("epoch")["test_accuracy"].mean()
                shade = str(0.75 - 0.6 * place / max(1, len(here) - 1))
                panel.plot(
                    mean.index, mean, label=f"{row.learning_rate:g}",
                    color=COLOURS[str(row.method)] if row.chosen else shade,
                    linewidth=2.2 if row.chosen else 1.2, zorder=3 if row.chosen else 2,
                )  # fmt: skip
            panel.axhline(0.5, **REFERENCE_LINE)
            panel.set_title(names[value])
            panel.legend(title="rate", fontsize=8, title_fontsize=8, loc="upper left")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
            panel.set_ylim(0.45, 1.005)
        for panel in grid[-1]:
            panel.set_xlabel("epoch")
        for panel in grid[:, 0]:
            panel.set_ylabel("validation accuracy")
    return figure


def score_curves(scores: pd.DataFrame, by: str) -> Figure:
    """Draw the score against the learning rate, one line for each value of ``by``, chosen rates marked.

    Parameters
    ----------
    scores
        Of ``tune``, for one k.
    by
        ``"optimizer"``, in which case every method has a panel of its own, or ``"feedback"``.
    """
    names = {"optimizer": OPTIMIZER_NAMES, "feedback": FEEDBACK_NAMES}[by]
    methods = list(scores["method"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(methods), 4.0), layout="constrained")
        panels = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for panel, method in zip(panels, methods, strict=True):
            of_method = scores[scores["method"] == method]
            for place, value in enumerate(of_method[by].unique()):
                here = of_method[of_method[by] == value].sort_values("learning_rate")
                colour, marker = COLOURS[method], MARKERS[place % len(MARKERS)]
                panel.plot(
                    here["learning_rate"], here["score"], label=names[value], color=colour,
                    linestyle=LINE_STYLES.get(value, "-"), linewidth=1.2, marker=marker, markersize=4.5,
                )  # fmt: skip
                chosen = here[here["chosen"]]
                panel.plot(
                    chosen["learning_rate"], chosen["score"], "o", markersize=12,
                    markerfacecolor="none", markeredgecolor=_INK, markeredgewidth=1.2,
                )  # fmt: skip
            panel.set_xscale("log")
            panel.axhline(0.5, **REFERENCE_LINE)
            panel.set_title(METHOD_NAMES[method])
            panel.set_xlabel("learning rate")
        panels[0].set_ylabel("score on validation digits")
        handles, labels = panels[-1].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(4, len(labels)), handlelength=3.5
        )
    return figure


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


# ---- the clusters ----

# What x says on its axis, and what else a panel's runs share: its name and symbol.
_ERROR_AXES = {
    "samples": ("training points n", "dimensions", "d"),
    "dimensions": ("inputs d", "samples", "n"),
}
# Shades, because colours mean methods.
_LABEL_SHADES = ("#b0b0b0", "#222222")


def error_curves(
    panels: Sequence[tuple[pd.DataFrame, str, str]], points: Mapping[str, Examples] | None = None
) -> Figure:
    """Draw the error at the last epoch against the number of points or of inputs.

    The mean over seeds is a line, its 95 % Student-t interval a band, each seed a faint line. The
    dotted line is the error of whoever knows nothing and always gives the likelier answer.

    Parameters
    ----------
    panels
        For each panel the results table of cluster runs, x (``"samples"`` or ``"dimensions"``), and
        the points that are judged (``"test"`` or ``"train"``).
    points
        For each density, points of which the two inputs that matter are shown above the panels.

    Raises
    ------
    InputError
        If x or the points judged are something else.
    """
    for _, x, judged in panels:
        choice("x", x, _ERROR_AXES)
        choice("judged", judged, ("test", "train"))
    runs = pd.concat([table for table, _, _ in panels]).drop_duplicates()
    lines = list(runs[["method", "optimizer"]].drop_duplicates().itertuples(index=False, name=None))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(panels), 8.3 if points else 4.2), layout="constrained")
        body = figure
        if points:
            top, body = figure.subfigures(2, 1)  # type: ignore[misc]
            squares = top.subplots(1, len(points), squeeze=False)[0]
            for square, (density, shown) in zip(squares, points.items(), strict=True):
                _cluster_panel(square, density, shown)
            top.legend(
                *squares[0].get_legend_handles_labels(),
                loc="outside lower center",
                ncols=2,
                markerscale=3,
            )
        for panel, (table, x, judged) in zip(
            body.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
        ):
            last = final_epoch(table).sort_values(x)
            _error_panel(panel, last, lines, x, f"{judged}_accuracy")
            panel.set_ylabel("test error" if judged == "test" else "training error")
        body.legend(
            handles=[_legend_line(runs, *line) for line in lines],
            loc="outside lower center",
            ncols=min(3, len(lines)),
        )
    return figure


def _error_panel(
    panel: Axes, last: pd.DataFrame, lines: Sequence[tuple[str, str]], x: str, accuracy: str
) -> None:
    shade = 0.26 / len(lines)  # many bands lie over each other
    for method, optimizer in lines:
        runs = last[(last["method"] == method) & (last["optimizer"] == optimizer)]
        colour, style = COLOURS[method], LINE_STYLES[optimizer]
        for _, run in runs.groupby("seed"):
            panel.plot(run[x], 1 - run[accuracy], color=colour, alpha=0.25, linewidth=0.7)
        summary = summarise(runs, [x], accuracy)
        panel.fill_between(
            summary[x].astype(int), 1 - summary["high"], 1 - summary["low"],
            color=colour, alpha=shade, linewidth=0,
        )  # fmt: skip
        panel.plot(
            summary[x], 1 - summary["mean"],
            color=colour, linestyle=style, linewidth=1.9, marker="o", markersize=4,
        )  # fmt: skip
    clusters = CLUSTERS_PER_SIDE**2
    panel.axhline(clusters // 2 / clusters, **REFERENCE_LINE)
    name, other, symbol = _ERROR_AXES[x]
    if x == "samples":
        panel.set_xscale("log", base=2)
    values = sorted(int(value) for value in last[x].unique())
    panel.set_xticks(values, [str(value) for value in values])
    panel.set_xlabel(name)
    panel.set_title(f"{symbol} = " + ", ".join(str(value) for value in sorted(last[other].unique())))
    panel.set_ylim(-0.01, 0.56)


def _cluster_panel(square: Axes, density: str, points: Examples) -> None:
    X, y = points.batch(0, len(points))
    for shade, number in zip(_LABEL_SHADES, (0, 1), strict=True):
        chosen = X[y[:, 0] == number]
        square.scatter(
            chosen[:, 1], chosen[:, 2], s=3, color=shade, linewidth=0, label=f"label {number}"
        )
    radius = 1 / (3 * CLUSTERS_PER_SIDE - 1)
    for centre in cluster_centres().tolist():
        square.add_patch(Circle(centre, radius, fill=False, edgecolor="#888888", linewidth=0.6))
    square.set_aspect("equal")
    square.set_title(f"density: {density}")
    square.set_xlabel("input 2")
    square.set_ylabel("input 3")
    square.set_xlim(-0.53, 0.53)
    square.set_ylim(-0.53, 0.53)
    square.set_xticks([-0.5, 0, 0.5])
    square.set_yticks([-0.5, 0, 0.5])


# ---- hidden representations ----

# Paul Tol's qualitative "muted" palette and a grey, one for each digit; his "high contrast" for parity.
DIGIT_COLOURS = (
    "#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE",
    "#882255", "#44AA99", "#999933", "#AA4499", "#777777",
)  # fmt: skip
PARITY_COLOURS = {"even": "#004488", "odd": "#DDAA33"}
PROBE_MARKERS = {"nearest neighbours": "o", "linear": "s"}
TARGET_NAMES = {"digit": "which digit it is", "parity": "whether it is odd"}


def weights_label(name: str) -> str:
    """Name what a representation comes from: ``pixels``, ``untrained``, or a run's, as ``bp-sgd``."""
    names = {"pixels": "raw pixels", "untrained": "untrained"}
    return names[name] if name in names else label(*name.split("-"))


def _weights_colour(name: str) -> str:
    greys = {"pixels": "#999999", "untrained": "#444444"}
    return greys[name] if name in greys else COLOURS[name.split("-")[0]]


def representation_diagram(
    images: Float[Tensor, "k pixels"], position: int, hidden: int = 512
) -> Figure:
    """Draw how the hidden representation of one digit is cut out of the first layer.

    Parameters
    ----------
    images
        The digits of a stack.
    position
        The digit that is represented, from 0 to k - 1; it and its block of weights are coloured.
    hidden
        Units of the hidden layer, named in the drawing.
    """
    k, pixels = images.shape
    side, accent = round(pixels**0.5), "#009E73"
    with mpl.rc_context(STYLE | {"mathtext.fontset": "cm", "font.size": 12.0}):
        figure = Figure(figsize=(8.4, 1.25 * k + 0.9), layout="constrained")
        panel = figure.subplots()
        panel.set_xlim(-0.75, 7.3)
        panel.set_ylim(-0.42, k + 0.12)
        panel.set_aspect("equal")
        panel.set_axis_off()
        for i, image in enumerate(images):
            chosen, bottom = i == position, k - 1 - i
            colour = accent if chosen else "#aaaaaa"
            panel.imshow(
                image.view(side, side).numpy(), cmap="gray_r", interpolation="nearest",
                extent=(0.06, 0.94, bottom + 0.06, bottom + 0.94), alpha=1.0 if chosen else 0.4,
            )  # fmt: skip
            panel.add_patch(
                Rectangle((0.06, bottom + 0.06), 0.88, 0.88, fill=False, edgecolor=colour, linewidth=2.0)
            )
            panel.add_patch(
                Rectangle(
                    (2.0, bottom), 1.5, 1, edgecolor=_INK, linewidth=1.1,
                    facecolor="#bfe5d9" if chosen else "#f2f2f2",
                )
            )  # fmt: skip
            ink = _INK if chosen else "#707070"
            panel.text(-0.1, bottom + 0.5, f"$x_{{{i + 1}}}$", ha="right", va="center", color=ink)
            block = f"$W_1^{{({i + 1})}}$\n{pixels} × {hidden}"
            panel.text(2.75, bottom + 0.5, block, ha="center", va="center", color=ink)
            if chosen:
                _arrow(panel, (1.02, bottom + 0.5), (1.94, bottom + 0.5), accent)
                _arrow(panel, (3.56, bottom + 0.5), (4.3, bottom + 0.5), accent)
                _arrow(panel, (4.98, bottom + 0.5), (5.9, bottom + 0.5), accent)
                panel.text(4.64, bottom + 0.5, "$+\\ b_1$", ha="center", va="center", color=_INK)
                panel.text(5.42, bottom + 0.6, "ReLU", ha="center", va="bottom", color=_INK)
                panel.add_patch(
                    Rectangle(
                        (5.96, bottom), 0.22, 1, edgecolor=accent, facecolor="#bfe5d9", linewidth=2
                    )
                )
                result = f"$h^{{({i + 1})}}$\n{hidden} numbers"
                panel.text(6.28, bottom + 0.5, result, ha="left", va="center", color=_INK)
        panel.text(0.5, -0.08, f"a stack of {k}", ha="center", va="top", color=_INK)
        panel.text(2.75, -0.08, f"$W_1$, {k * pixels} × {hidden}", ha="center", va="top", color=_INK)
    return figure


def representation_maps(table: pd.DataFrame) -> Figure:
    """Draw the maps of an embedding table: one column for each of the weights.

    The upper row is coloured by digit, with each digit's name at the median of its points; the lower
    row by parity. Points are pixels even in a vector file, which would be large otherwise.

    Parameters
    ----------
    table
        As from ``embedding_table``.
    """
    names = list(table["weights"].unique())
    with mpl.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(2.75 * len(names), 5.7), layout="constrained", dpi=160)
        panels = figure.subplots(2, len(names), squeeze=False)
        for (upper, lower), name in zip(panels.T, names, strict=True):
            points = table[table["weights"] == name]
            upper.set_title(weights_label(name))
            _scatter(upper, points, points["digit"], dict(enumerate(DIGIT_COLOURS)))
            for digit, own in points.groupby("digit"):
                upper.text(
                    own["x"].median(), own["y"].median(), str(digit), ha="center", va="center",
                    fontsize=12, fontweight="bold",
                    path_effects=[withStroke(linewidth=2.5, foreground="white")],
                )  # fmt: skip
            odd = points["digit"].mod(2).map({0: "even", 1: "odd"})
            _scatter(lower, points, odd, PARITY_COLOURS)
        legends: dict[str, dict[Any, str]] = {
            "digit": dict(enumerate(DIGIT_COLOURS)),
            "parity": PARITY_COLOURS,
        }
        for panel, (title, colours) in zip(panels[:, -1], legends.items(), strict=True):
            handles = [
                Line2D([], [], linestyle="", marker=_marker(key), markersize=5, color=c, label=str(key))
                for key, c in colours.items()
            ]
            panel.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _marker(key: Any) -> str:
    """Odd digits differ in shape too where parity is shown."""
    return "^" if key == "odd" else "o"


def _scatter(panel: Axes, points: pd.DataFrame, keys: pd.Series, colours: Mapping[Any, str]) -> None:
    size = 9 if len(points) < 1_000 else 4
    for key, colour in colours.items():
        own = points[keys == key]
        panel.scatter(
            own["x"], own["y"], s=size, marker=_marker(key), color=colour, linewidths=0, rasterized=True
        )
    panel.set_xticks([])
    panel.set_yticks([])
    panel.set_box_aspect(1)
    for spine in panel.spines.values():
        spine.set_visible(True)
        spine.set_color("#bbbbbb")


def probe_accuracies(table: pd.DataFrame) -> Figure:
    """Draw probe accuracies, one panel for each target.

    Each of the weights has a circle for nearest neighbours and a square for the linear probe: the mean
    over seeds with its 95 % Student-t interval. Faint marks beside it are single seeds.

    Parameters
    ----------
    table
        As from ``probe_table``.
    """
    names, targets = list(table["weights"].unique()), list(table["target"].unique())
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(targets), 4.3), layout="constrained")
        panels = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
        for panel, target in zip(panels, targets, strict=True):
            panel.set_title(TARGET_NAMES[target])
            for i, name in enumerate(names):
                for shift, probe in ((-0.17, "nearest neighbours"), (0.17, "linear")):
                    own = table[
                        (table["target"] == target)
                        & (table["weights"] == name)
                        & (table["probe"] == probe)
                    ]
                    _probe_mark(panel, i + shift, own["accuracy"], probe, _weights_colour(name))
            panel.set_xticks(range(len(names)), [weights_label(name) for name in names])
            panel.set_xlim(-0.5, len(names) - 0.5)
            panel.grid(visible=False, axis="x")
        panels[0].set_ylabel("test accuracy of the probe")
        panels[0].set_ylim(top=min(1.005, panels[0].get_ylim()[1]))  # an interval may reach beyond 1
        handles = [
            Line2D([], [], linestyle="", marker=marker, color="#222222", label=probe)
            for probe, marker in PROBE_MARKERS.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _probe_mark(panel: Axes, x: float, accuracies: pd.Series, probe: str, colour: str) -> None:
    interval, marker = mean_interval(accuracies), PROBE_MARKERS[probe]
    panel.plot(
        [x + 0.1] * len(accuracies), accuracies, linestyle="", marker=marker, markersize=4,
        color=colour, alpha=0.5, markeredgewidth=0,
    )  # fmt: skip
    panel.plot([x, x], [interval.low, interval.high], color=colour, linewidth=1.8)
    panel.plot([x], [interval.mean], linestyle="", marker=marker, markersize=7, color=colour)
