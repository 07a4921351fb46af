"""One function per kind of figure. A colour means one method, a marker one optimizer, in every figure.

The site shows each axes of a figure as a panel; panels wrap like words. So each panel has its own labels
and is about as wide as a phone. Lines are solid and named at their ends. The legend of a figure stands
below all panels, that of an axes below its own.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression
from torch import Tensor

from dfa_lib.data.clusters import CLUSTERS_PER_SIDE, cluster_centres
from dfa_lib.data.examples import Examples
from dfa_lib.data.images import Digits
from dfa_lib.experiments import final_epoch
from dfa_lib.experiments.names import (
    COLOURS,
    FEEDBACK_NAMES,
    METHOD_NAMES,
    OPTIMIZER_NAMES,
    SPARE_COLOURS,
)
from dfa_lib.experiments.outcomes import NON_FINITE, UNSTABLE, is_unstable
from dfa_lib.experiments.statistics import mean_interval, summarise, with_outcomes
from dfa_lib.methods import METHODS
from dfa_lib.validation import choice

from .claims.queries import select
from .converged import FINITE_WIDTH, KERNEL_NAMES
from .depth import HELD_NAMES

METRIC_NAMES = {
    "train_loss": "training loss, nats",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss, nats",
    "test_accuracy": "test accuracy",
    "weight_alignment": "cos(B, W₂ᵀ)",
    "sign_agreement": "S, |W₂|-weighted share of right signs",
    "sign_share": "share of units with the right sign",
    "gradient_alignment": "cosine of DFA's and BP's update of W₁",
    "update_alignment": "cosine of all updates, DFA and BP",
    "kernel": "change of the tangent kernel",
    "step_alignment": "cosine of the optimizer's step and BP's update",
}
# Neutral colours that change with the theme: book/_static/figures.css has those of the dark theme.
INK = SPARE_COLOURS[0]
TINT = "#f2f2f2"
RULE = "#dddddd"
PAPER = "#ffffff"
TURNING = {"ink": INK, "tint": TINT, "rule": RULE, "paper": PAPER}
"""Neutral colours that change with the theme, by the name of their CSS variable."""
# Legible on light and dark backgrounds.
MUTED = "#7A7A7A"
NAMES_BY = {"optimizer": OPTIMIZER_NAMES, "feedback": FEEDBACK_NAMES, "held": HELD_NAMES}
# Markers by optimizer; none resembles the cross of an unstable run.
MARKERS = ("o", "s", "D", "^", "v", "P", "*")
# Dotted reference line, e.g. chance accuracy.
REFERENCE_LINE: dict[str, Any] = {"color": MUTED, "linewidth": 1.0, "linestyle": ":", "zorder": 0}
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 11.0,
    "axes.titlesize": 12.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


class Curve(Line2D):
    """A line whose values the site shows at the cursor, with the interval from ``low`` to ``high``.

    ``entry`` is its name in the legend and in every panel, ``form`` the format of its values. In rows
    of dots (``rows``), x is the vertical axis; ``shift`` moves the dots of several methods apart.
    """

    def __init__(
        self,
        entry: str,
        x: ArrayLike = (),
        y: ArrayLike = (),
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        *,
        rows: bool = False,
        shift: float = 0.0,
        form: str = ".3f",
        **look: Any,
    ) -> None:
        self.entry, self.rows, self.form = entry, rows, form
        self.x, self.y = np.asarray(x, float), np.asarray(y, float)
        self.low = None if low is None else np.asarray(low, float)
        self.high = None if high is None else np.asarray(high, float)
        drawn = (self.y, self.x + shift) if rows else (self.x + shift, self.y)
        super().__init__(*drawn, gid=belongs_to(entry), **look)


def belongs_to(*entries: str) -> str:
    """Return the ``gid`` by which the site links an artist to legend entries."""
    return "line:" + ":".join(re.sub(r"\W+", "-", entry) for entry in entries)


def curves_in(panel: Axes) -> list[Curve]:
    """Return the curves of a panel, in the order in which they were drawn."""
    return [line for line in panel.lines if isinstance(line, Curve)]


# Classes of interval bands and of digit images in figures.css.
BAND, TILE = "band", "tile"
# Legend entry of all single seeds; more seeds than this are drawn fainter.
SEEDS = "seeds"
MANY_SEEDS = 10
DOTTED_SEEDS = 12
UNSTABLE_SEEDS = "unstable seeds"
UNSTABLE_LINE: Any = (0, (2, 2))
UNSTABLE_MARK: dict[str, Any] = {"marker": "x", "markersize": 5.5, "markeredgewidth": 1.4}
# Open circle: a published value, or a trained run beside lines of solved models.
OPEN: dict[str, Any] = {
    "linestyle": "", "marker": "o", "markersize": 6, "markerfacecolor": PAPER, "markeredgewidth": 1.5,
}  # fmt: skip
# Mean of all seeds, unstable ones included, beside the mean of the stable seeds; ends its entry.
OF_ALL = ", mean of all"
MEAN_OF_ALL: dict[str, Any] = {"marker": "d", "markersize": 6.5, "markerfacecolor": "none"}
# Stands for an optimizer where a model is solved to convergence.
SOLVED = "solved"


def label(method: str, optimizer: str) -> str:
    """Name a line: the method, and the optimizer if the method is trained with several."""
    if optimizer == SOLVED:
        return f"solved {METHOD_NAMES[method]}"
    alone = METHODS[method].lazy
    return METHOD_NAMES[method] if alone else f"{METHOD_NAMES[method]}, {OPTIMIZER_NAMES[optimizer]}"


@mpl.rc_context(STYLE)
def accuracy_curves(
    table: pd.DataFrame,
    stacks: Mapping[int, Examples] | None = None,
    digits: Digits | None = None,
    *,
    published: pd.DataFrame | None = None,
) -> Figure:
    """Draw test accuracy against epoch, one panel for each k.

    The mean over seeds is a line, its 95 % Student-t interval a band, each seed a faint line. Unstable
    and non-finite seeds are dashed lines that end in a cross; the legend counts them, the line and its
    band leave them out, and a thin line is the mean of all seeds.

    Parameters
    ----------
    table
        A results table of parity runs.
    stacks, digits
        For each k, examples; the first three are shown above its panel with their labels.
    published
        Open circles to compare with: ``k``, ``method``, ``epoch``, ``test_accuracy``.
    """
    ks = sorted(int(k) for k in table["k"].unique())
    shown = [(k, "test_accuracy") for k in ks]
    figure, entries = _curves(table, published, shown, 5.4 if stacks else 4.2)
    for panel, k in zip(figure.axes, ks, strict=True):
        if stacks and digits is not None:
            _stack_strip(panel, stacks[k], digits)
        panel.set_title(f"k = {k}", pad=78 if stacks else None)  # points, for the strip
    legend_below(figure, entries)
    return figure


def row_of_panels(count: int, height: float, *, same_y: bool = True) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels side by side, each with tick labels."""
    return grid_of_panels(count, count, 4.4 if count < 3 else 3.4, height, sharey=same_y)


def grid_of_panels(
    count: int, columns: int, width: float, height: float, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a grid of panels; width and height of a panel are in inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for panel in panels[count:]:
        panel.remove()
    for panel in panels[:count]:
        panel.tick_params(labelleft=True, labelbottom=True)
    return figure, panels[:count]


@mpl.rc_context(STYLE)
def metric_curves(
    table: pd.DataFrame, metrics: Sequence[str], *, published: pd.DataFrame | None = None
) -> Figure:
    """Draw metrics (keys of ``METRIC_NAMES``) of runs of one k against epoch, one panel for each.

    Lines, bands and seeds as in ``accuracy_curves``; ``published`` has the columns ``method``, ``epoch``
    and any of ``metrics``. A method whose metric is not measured has no line. Alignments have a second
    axis in degrees.
    """
    figure, entries = _curves(table, published, [(None, metric) for metric in metrics], 4.2)
    legend_below(figure, entries)
    return figure


@mpl.rc_context(STYLE)
def _curves(
    table: pd.DataFrame,
    published: pd.DataFrame | None,
    shown: Sequence[tuple[int | None, str]],
    height: float,
) -> tuple[Figure, list[Line2D]]:
    """Draw a panel for each k (None for all runs) and metric; return the legend entries, too."""
    table = judged(table)
    lines = list(table[["method", "optimizer"]].drop_duplicates().itertuples(index=False, name=None))
    same_y = len({metric for _, metric in shown}) == 1
    figure, panels = row_of_panels(len(shown), height, same_y=same_y)
    for panel, (k, metric) in zip(panels, shown, strict=True):
        _metric_panel(panel, table if k is None else table[table["k"] == k], metric, lines)
        if published is not None and metric in published:
            points = published if k is None else published[published["k"] == k]
            for method, own in points.groupby("method"):
                look = OPEN | {"markeredgecolor": COLOURS[str(method)]}
                panel.plot(own["epoch"], own[metric], **look, gid=belongs_to("published"))
    return figure, _entries(table, lines, published)


def _metric_panel(
    panel: Axes, table: pd.DataFrame, metric: str, lines: Sequence[tuple[str, str]]
) -> None:
    for method, optimizer in lines:
        runs = select(table, method=method, optimizer=optimizer)
        if runs.empty or runs[metric].isna().all():  # not every line has runs in every panel
            continue
        summary = summarise(runs, ["epoch"], metric)
        seeds: dict[bool, list[tuple[Any, Any]]] = {False: [], True: []}
        for _, run in runs.groupby("seed"):
            seeds[bool(is_unstable(run).any())].append((run["epoch"], run[metric]))
        draw_means(
            panel, label(method, optimizer), summary["epoch"], summary, seeds[False], seeds[True],
            mark_all=False, markevery=max(1, len(summary) // 5), **line_look(lines, method, optimizer),
        )  # fmt: skip
    panel.set_ylabel(METRIC_NAMES[metric])
    against_epoch(panel)
    if metric.endswith("accuracy"):
        panel.axhline(0.5, **REFERENCE_LINE)
        panel.set_ylim(0.45, 1.005)
    elif metric.endswith("alignment"):
        panel.axhline(0.0, **REFERENCE_LINE)
        panel.set_ylim(max(-1.005, min(-0.1, panel.get_ylim()[0])), 1.005)
        angle = panel.secondary_yaxis("right", functions=(_angle, _cosine))
        angle.set(yticks=[0, 30, 45, 60, 75, 90], ylabel="angle, degrees")


def against_epoch(panel: Axes) -> None:
    """Let epochs be the horizontal axis, with ticks at whole numbers."""
    panel.set_xlabel("epoch")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_curve(
    panel: Axes,
    curve: Curve,
    seeds: Iterable[tuple[Any, Any]] = (),
    unstable: Iterable[tuple[Any, Any]] = (),
    *,
    shade: float = 0.15,
) -> None:
    """Draw a curve over the band of its interval and over single seeds, given as pairs of x and y."""
    colour, entry, seeds = curve.get_color(), curve.entry, list(seeds)
    faint = 0.3 if len(seeds) <= MANY_SEEDS else 0.15
    for x, y in seeds:
        panel.plot(x, y, color=colour, alpha=faint, linewidth=0.7, gid=belongs_to(entry, SEEDS))
    for x, y in unstable:
        draw_unstable(panel, x, y, color=colour, gid=belongs_to(entry, UNSTABLE_SEEDS))
    if curve.low is not None and curve.high is not None:
        panel.fill_between(
            curve.x, curve.low, curve.high,
            color=colour, alpha=shade, linewidth=0, gid=belongs_to(entry, BAND),
        )  # fmt: skip
    panel.add_line(curve)
    panel.autoscale_view()


def draw_unstable(panel: Axes, x: ArrayLike, y: ArrayLike, **look: Any) -> None:
    """Draw an unstable run: a faint dashed line with a cross at its last finite point."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    last = np.flatnonzero(np.isfinite(y))[-1:]
    look = {"alpha": 0.45, "linestyle": UNSTABLE_LINE, "linewidth": 0.9} | look
    panel.plot(x, y, **look)
    panel.plot(x[last], y[last], **look | UNSTABLE_MARK | {"linestyle": ""})


def seed_dots(panel: Axes, x: pd.Series, y: pd.Series, unstable: pd.Series, **look: Any) -> None:
    """Draw stable seeds as dots, unstable ones as crosses."""
    panel.plot(x[~unstable], y[~unstable], linestyle="", markeredgewidth=0, **look)
    for each in x.index[unstable]:
        draw_unstable(panel, [x[each]], [y[each]], color=look["color"], alpha=0.8, gid=look["gid"])


def draw_means(
    panel: Axes,
    entry: str,
    x: ArrayLike,
    summary: pd.DataFrame,
    seeds: Iterable[tuple[Any, Any]] = (),
    unstable: Iterable[tuple[Any, Any]] = (),
    *,
    error: bool = False,
    mark_all: bool = True,
    shade: float = 0.15,
    **look: Any,
) -> None:
    """Draw the means of the stable seeds over their intervals, and those of all seeds as a thin line.

    ``summary`` has the row of ``summarise`` for each x; ``seeds`` and ``unstable`` are those of
    ``draw_curve``. A non-finite run leaves no mean of all seeds. With ``error``, 1 minus the values is
    drawn; with ``mark_all``, the mean of all seeds has a marker at each point, not only at the last.
    """
    ends = [summary[f"{end}_sound"] for end in ("mean", "low", "high")]
    every = summary["mean"]
    if error:
        ends, every = [1 - ends[0], 1 - ends[2], 1 - ends[1]], 1 - every
    if summary["unstable"].any() and not summary["non_finite"].any():
        thin = MEAN_OF_ALL | {"linewidth": 0.9, "markevery": None if mark_all else [len(every) - 1]}
        draw_curve(panel, Curve(entry + OF_ALL, x, every, **look | thin))
    draw_curve(panel, Curve(entry, x, *ends, **look), seeds, unstable, shade=shade)


def judged(table: pd.DataFrame) -> pd.DataFrame:
    """Return a results table with a column ``outcome``."""
    return table if "outcome" in table else with_outcomes(table)


def unstable_note(last: pd.DataFrame) -> str:
    """Count unstable and non-finite runs, e.g. ``2 of 5 seeds unstable``; empty if there are none.

    ``last`` has one row for each run, with a column ``outcome``.
    """
    noun = "seeds" if last["seed"].is_unique else "runs"
    counts = {"unstable": UNSTABLE, "not finite": NON_FINITE}
    numbers = {word: int((last["outcome"] == outcome).sum()) for word, outcome in counts.items()}
    return " and ".join(f"{n} of {len(last)} {noun} {word}" for word, n in numbers.items() if n)


def _angle(cosine: Any) -> Any:
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def _cosine(angle: Any) -> Any:
    return np.cos(np.radians(angle))


def _entries(
    table: pd.DataFrame, lines: Sequence[tuple[str, str]], published: pd.DataFrame | None = None
) -> list[Line2D]:
    """Return the legend entries of lines, published values, single seeds and unstable seeds."""
    entries: list[Line2D] = [entry for line in lines for entry in _line_entries(table, lines, *line)]
    if published is not None:
        look = OPEN | {"markeredgecolor": INK, "gid": belongs_to("published")}
        entries.append(Line2D([], [], label="published", **look))
    if table["seed"].nunique() > 1:
        entries.append(seeds_entry())
    if is_unstable(table).any():
        entries.append(unstable_entry())
    return entries


def seeds_entry(label: str = "single seeds") -> Line2D:
    """Return the legend entry of single seeds, which are faint lines."""
    return Line2D([], [], color=INK, alpha=0.4, linewidth=0.7, label=label, gid=belongs_to(SEEDS))


def unstable_entry(label: str = "unstable seeds", linestyle: Any = UNSTABLE_LINE) -> Line2D:
    """Return the legend entry of unstable seeds; ``linestyle=""`` for crosses without a line."""
    return Line2D(
        [], [], color=INK, alpha=0.6, linewidth=0.9, linestyle=linestyle, label=label,
        gid=belongs_to(UNSTABLE_SEEDS), **UNSTABLE_MARK,
    )  # fmt: skip


def line_look(lines: Sequence[tuple[str, str]], method: str, optimizer: str) -> dict[str, Any]:
    """Return the style of a line: its method's colour, and markers if optimizers differ."""
    several = sum(method == other for other, _ in lines) > 1
    mark = {"marker": _optimizer_marker(optimizer), "markersize": 4} if several else {}
    if optimizer == SOLVED:
        mark = {"marker": "s", "markersize": 5, "markerfacecolor": PAPER}
    return {"color": COLOURS[method], "linewidth": 1.9, **mark}


def _optimizer_marker(optimizer: str) -> str:
    return MARKERS[[*OPTIMIZER_NAMES, SOLVED].index(optimizer) % len(MARKERS)]


def _line_entries(
    table: pd.DataFrame, lines: Sequence[tuple[str, str]], method: str, optimizer: str
) -> list[Curve]:
    """Return the legend entry of a line and, if seeds are unstable, that of the mean of all seeds."""
    last, name = final_epoch(select(table, method=method, optimizer=optimizer)), label(method, optimizer)
    look, note = line_look(lines, method, optimizer), unstable_note(last)
    if not note:
        return [Curve(name, label=name, **look)]
    entries = []
    if not is_unstable(last).all():
        entries.append(Curve(name, label=f"{name} ({note}; mean of the others)", **look))
        note = ""
    if not (last["outcome"] == NON_FINITE).any():
        thin = look | MEAN_OF_ALL | {"linewidth": 0.9}
        more = f" ({note})" if note else ""
        entries.append(Curve(name + OF_ALL, label=name + OF_ALL + more, **thin))
    return entries or [Curve(name, label=f"{name} ({note})", **look)]


def legend_below(
    figure: Figure, entries: Sequence[Line2D], columns: int = 3, *, named: bool = True
) -> None:
    """Give a figure a legend that the site links to its lines; if ``named``, also name line ends."""
    legend = figure.legend(
        handles=entries, loc="outside lower center", ncols=min(columns, len(entries)), handlelength=3.0
    )
    _own(legend, entries)
    if named:
        _name_ends(figure)


def _own(legend: Legend, entries: Sequence[Line2D]) -> None:
    """Give legend handles the ``gid`` of their entries."""
    for drawn, entry in zip(legend.legend_handles, entries, strict=True):
        if drawn is not None:
            drawn.set_gid(entry.get_gid())


# Height of a line of a name, in points.
NAME_HEIGHT = 12.0


def _name_ends(figure: Figure) -> None:
    """Write the name of each curve beside its end, in panels with several curves.

    What all curves of a figure have in common, a method or an optimizer, is left out.
    """
    curves = [[c for c in curves_in(axes) if c.get_linestyle() != "None"] for axes in figure.axes]
    entries = {line.entry for lines in curves for line in lines}
    optimizers = [
        name for name in OPTIMIZER_NAMES.values() if any(e.endswith(f", {name}") for e in entries)
    ]
    optimizer = f", {optimizers[0]}" if len(optimizers) == 1 else ""
    methods = [f"{m}, " for m in METHOD_NAMES.values() if all(e.startswith(f"{m}, ") for e in entries)]
    method = methods[0] if methods and not optimizer else ""
    names: dict[Axes, list[Annotation]] = {axes: [] for axes in figure.axes}
    # A right-hand axis has a label; insets, such as pictures of digits, have none.
    framed = {axes for axes in figure.axes if any(child.get_ylabel() for child in axes.child_axes)}
    for axes, lines in zip(figure.axes, curves, strict=True):
        shown = [line for line in lines if not line.entry.endswith(OF_ALL) and np.isfinite(line.y).any()]
        for line in shown if len(shown) > 1 else ():
            last = np.flatnonzero(np.isfinite(line.y))[-1]
            low, high = sorted(axes.get_ylim())
            names[axes] += [axes.annotate(
                fill(line.entry.removesuffix(optimizer).removeprefix(method), 22),
                (line.x[last], min(max(line.y[last], low), high)), (5, 0),
                textcoords="offset points", ha="left", va="center", fontsize=9.5, linespacing=1.05,
                gid=line.get_gid(), annotation_clip=False, in_layout=axes not in framed,
            )]  # fmt: skip
    figure.draw_without_rendering()  # computes the layout
    points = 72 / figure.dpi
    for axes, of_axes in names.items():
        if of_axes and axes in framed:  # between the ends and the axis on the right
            _make_room(axes, max(name.get_window_extent().width for name in of_axes) + 10 / points)
        own = {name: axes.transData.transform(name.xy)[1] * points for name in of_axes}
        ordered = sorted(of_axes, key=lambda name: own[name])
        sizes = [NAME_HEIGHT * (1 + name.get_text().count("\n")) for name in ordered]
        bottom, top = (axes.transAxes.transform((0, end))[1] * points for end in (0, 1))
        heights = _apart([own[name] for name in ordered], sizes, bottom - 4, top + 6)
        for name, height in zip(ordered, heights, strict=True):
            name.xyann = (name.xyann[0], name.xyann[1] + height - own[name])


def _make_room(axes: Axes, width: float) -> None:
    """Leave a width, in pixels, free on the right of a panel, without ticks; half of them are left."""
    (left, right), whole = axes.get_xlim(), axes.get_window_extent().width
    ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
    axes.set_xlim(left, left + (right - left) * whole / max(whole - width, 0.4 * whole))
    axes.set_xticks(ticks[::2])


def _apart(heights: Sequence[float], sizes: Sequence[float], bottom: float, top: float) -> list[float]:
    """Shift labels, given by their centres from below, as little as needed so that none overlap.

    All lie between bottom and top; if there is no room for all, some lie below the bottom.
    """
    if not len(heights):
        return []
    stacked = np.cumsum(sizes) - np.asarray(sizes) / 2  # centres of labels that touch
    moved = isotonic_regression(np.asarray(heights) - stacked).x
    # Labels that touch from the bottom, or from the top, move together.
    moved = np.minimum(np.maximum(moved, bottom), top - sum(sizes))
    return [float(height) for height in moved + stacked]


def side_by_side(stacks: Examples, digits: Digits, row: int) -> np.ndarray:
    """Return the images of a stack of digits side by side."""
    images = digits.images[stacks.index[row]].numpy()
    side = round(images.shape[1] ** 0.5)
    return np.hstack(list(images.reshape(-1, side, side)))


def _stack_strip(panel: Axes, stacks: Examples, digits: Digits) -> None:
    for row in range(3):
        axes = panel.inset_axes((row / 3 + 0.01, 1.03, 1 / 3 - 0.02, 0.2))
        images = side_by_side(stacks, digits, row)
        axes.imshow(images, cmap="gray_r", interpolation="nearest", gid=belongs_to(TILE))
        numbers = digits.labels[stacks.index[row]].tolist()
        total = "+".join(map(str, numbers)) + (f" = {sum(numbers)}" if len(numbers) > 1 else "")
        axes.set_title(f"{total}\n{'odd' if stacks.labels[row] else 'even'}", fontsize=8)
        axes.set_axis_off()


# ---- how it ended, and at which rates ----


@mpl.rc_context(STYLE)
def final_accuracies(table: pd.DataFrame, by: str, metric: str = "test_accuracy") -> Figure:
    """Draw a metric of the last epoch for one k, a row for each of ``by``, in ``NAMES_BY``.

    A dot is a seed, an upright stroke the mean, a bar its 95 % Student-t interval. Rows are sorted by
    the distance between the means of the methods, which a grey line joins, or by the mean of a single
    method. Crosses are unstable or non-finite seeds, which stroke and bar leave out; an open diamond is
    the mean of all seeds, and a note beside the row counts the unstable ones.
    """
    names = NAMES_BY[by]
    last = final_epoch(judged(table))
    methods = list(last["method"].unique())
    summary = summarise(last, [by, "method"], metric)
    summary["shown"] = summary["mean_sound"].fillna(summary["mean"])
    means = summary.pivot(index=by, columns="method", values="shown")
    key = means.max(axis=1) - means.min(axis=1) if len(methods) > 1 else means[methods[0]]
    rows = list(key.sort_values(ascending=False).index)
    figure, (panel,) = grid_of_panels(1, 1, 4.6, 1.1 + 0.55 * len(rows))
    panel.set_yticks(range(len(rows)), [names[row] for row in rows])
    panel.set_ylim(len(rows) - 0.5, -0.5)
    for i, row in enumerate(rows if len(methods) > 1 else ()):
        panel.plot([means.loc[row].min(), means.loc[row].max()], [i, i], color=RULE, linewidth=3)
    for place, method in enumerate(methods):
        shift = 0.2 * (place - (len(methods) - 1) / 2)
        own = summary[summary["method"] == method].set_index(by).reindex(rows).reset_index()
        for i, row in enumerate(rows):
            _ending(panel, select(last, **{by: row, "method": method}), i + shift, method, metric)
        panel.add_line(
            Curve(
                METHOD_NAMES[method], np.arange(len(rows)), own["mean_sound"], own["low_sound"],
                own["high_sound"], rows=True, shift=shift, color=COLOURS[method], linestyle="",
                marker="|", markersize=13, markeredgewidth=2.5,
            )
        )  # fmt: skip
    low, high = panel.dataLim.intervalx + np.array([-0.02, 0.02])
    panel.set_xlim(low, high)
    if metric == "test_accuracy" and low < 0.5 < high:
        panel.axvline(0.5, **REFERENCE_LINE)
    panel.set_xlabel(f"{METRIC_NAMES[metric]}, last epoch")
    panel.grid(visible=False, axis="y")
    several = methods if len(methods) > 1 else ()
    entries = [_mark_entry(METHOD_NAMES[method], "o", COLOURS[method]) for method in several]
    if is_unstable(last).any():
        every = Line2D([], [], linestyle="", color=INK, label="mean of all seeds", **MEAN_OF_ALL)
        entries += [every, unstable_entry(linestyle="")]
    if entries:
        legend_below(figure, entries)
    return figure


def _mark_entry(name: str, marker: str, colour: str) -> Line2D:
    """Return a legend entry of markers without a line."""
    look: dict[str, Any] = {"linestyle": "", "marker": marker, "markersize": 7, "color": colour}
    return Line2D([], [], label=name, gid=belongs_to(name), **look)


def _ending(panel: Axes, runs: pd.DataFrame, y: float, method: str, metric: str) -> None:
    """Draw final values of a method at the height ``y``: seeds, and the interval of their mean."""
    if runs.empty:
        return
    look: dict[str, Any] = {"color": COLOURS[method], "gid": belongs_to(METHOD_NAMES[method])}
    unstable = is_unstable(runs)
    summary = summarise(runs, ["method"], metric).iloc[0]
    panel.plot([summary["low_sound"], summary["high_sound"]], [y, y], linewidth=1.4, alpha=0.6, **look)
    dots = look | {"marker": "o", "markersize": 5.5, "alpha": 0.75}
    seed_dots(panel, runs[metric], pd.Series(y, runs.index), unstable, **dots)
    if unstable.any():
        panel.plot(summary["mean"], y, linestyle="", **look | MEAN_OF_ALL)
        # Beside the axes, where it does not cover dots.
        panel.text(
            1.02, y, unstable_note(runs), va="center", fontsize=8.5, gid=look["gid"],
            color=look["color"], transform=panel.get_yaxis_transform(),
        )  # fmt: skip


@mpl.rc_context(STYLE)
def rate_curves(table: pd.DataFrame, scores: pd.DataFrame, by: str) -> Figure:
    """Draw validation accuracy against epoch for every learning rate, one panel for each ``by``.

    A line is the mean over the rate's tuning seeds, more opaque for larger rates. The chosen rate has
    the method's colour and faint lines for its seeds. Rates with an unsound run are dashed and end in a
    cross. ``table`` has the tuning runs of one method and one k, ``scores`` is from ``tune``, and ``by``
    is ``"optimizer"`` or ``"feedback"``.
    """
    names = NAMES_BY[by]
    panels = list(scores[by].unique())
    figure, grid = grid_of_panels(len(panels), 3, 3.5, 3.3, sharex=True, sharey=True)
    for panel, value in zip(grid, panels, strict=True):
        here = scores[scores[by] == value].sort_values("learning_rate")
        for place, row in enumerate(here.itertuples()):
            runs = select(table, **{by: value, "learning_rate": row.learning_rate})
            strength = 0.4 + 0.6 * place / max(1, len(here) - 1)
            _rate_curve(panel, runs, row, 1.0 if row.chosen else strength)
        panel.axhline(0.5, **REFERENCE_LINE)
        panel.set(title=names[value], ylabel="validation accuracy", ylim=(0.45, 1.005))
        against_epoch(panel)
        legend = panel.legend(
            title="rate: unsound seeds", fontsize=7.5, title_fontsize=8, loc="upper left", ncols=2,
            columnspacing=0.8, handlelength=1.6, labelspacing=0.25,
        )  # fmt: skip
        _own(legend, curves_in(panel))
    return figure


def _rate_curve(panel: Axes, runs: pd.DataFrame, score: Any, strength: float) -> None:
    """Draw the tuning runs at a rate; ``score`` is its row of the scores."""
    rate, chosen, unsound = f"{score.learning_rate:g}", bool(score.chosen), int(score.unsound)
    mean = runs.groupby("epoch")["test_accuracy"].apply(lambda values: values.mean(skipna=False))
    curve = Curve(
        rate, mean.index, mean, label=f"{rate}: {unsound} of {score.seeds}", alpha=strength,
        color=COLOURS[str(score.method)] if chosen else INK,
        linestyle=UNSTABLE_LINE if unsound else "-",
        linewidth=2.4 if chosen else 1.2, zorder=3 if chosen else 2,
    )  # fmt: skip
    by_seed = [(run["epoch"], run["test_accuracy"]) for _, run in runs.groupby("seed")]
    draw_curve(panel, curve, by_seed if chosen and len(by_seed) > 1 else ())
    if unsound:
        look = {"color": curve.get_color(), "alpha": strength, "gid": curve.get_gid()}
        draw_unstable(panel, mean.index, mean, **look)


@mpl.rc_context(STYLE)
def score_curves(scores: pd.DataFrame, by: str) -> Figure:
    """Draw the score against the learning rate: a panel for each ``by``, a line for each method.

    A ring is the chosen rate, a cross a rate with an unsound tuning run. ``scores`` are from ``tune``,
    for one k; ``by`` is ``"optimizer"`` or ``"feedback"``.
    """
    values = list(scores[by].unique())
    figure, panels = grid_of_panels(len(values), 3, 3.5, 2.6, sharex=True, sharey=True)
    for panel, value in zip(panels, values, strict=True):
        for method in select(scores, **{by: value})["method"].unique():
            here: Any = select(scores, **{by: value, "method": method}).sort_values("learning_rate")
            name, colour = METHOD_NAMES[method], COLOURS[method]
            curve = Curve(
                name, here["learning_rate"], here["score"], label=name, linewidth=1.2, color=colour,
                marker="o", markersize=4.5, markevery=np.flatnonzero(here["unsound"] == 0).tolist(),
            )  # fmt: skip
            draw_curve(panel, curve)
            look = {"color": colour, "gid": belongs_to(name, UNSTABLE_SEEDS)}
            for row in here[here["unsound"] > 0].itertuples():
                draw_unstable(panel, [row.learning_rate], [row.score], alpha=1.0, **look)
            chosen = here[here["chosen"]]
            panel.plot(
                chosen["learning_rate"], chosen["score"], "o", markersize=12, markerfacecolor="none",
                markeredgecolor=INK, markeredgewidth=1.2, gid=belongs_to(name),
            )  # fmt: skip
        panel.set(xscale="log", xlabel="learning rate", ylabel="validation score")
        panel.xaxis.set(major_formatter="{x:g}", minor_formatter="")
        panel.minorticks_off()  # seven panels of them are a tenth of the page
        panel.axhline(0.5, **REFERENCE_LINE)
        panel.set_title(NAMES_BY[by][value])
    entries: list[Line2D] = list({c.entry: c for panel in panels for c in curves_in(panel)}.values())
    if (scores["unsound"] > 0).any():
        entries.append(unstable_entry("a tuning run is unsound", linestyle=""))
    legend_below(figure, entries)
    return figure


@mpl.rc_context(STYLE)
def explaining_points(last: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Draw the test accuracy at the last epoch against several measures, a panel for each.

    A small marker is a seed, a large one the mean of an optimizer's stable seeds, a cross an unstable
    seed. ``last`` has the last epochs of the runs of one method, with their ``outcome``; ``titles`` are
    those of the panels by their measure, a key of ``METRIC_NAMES``.
    """
    (colour,) = (COLOURS[method] for method in last["method"].unique())
    figure, grid = grid_of_panels(len(titles), 3, 3.5, 3.4, sharey=True)
    for panel, (measure, title) in zip(grid, titles.items(), strict=True):
        for optimizer, runs in last.groupby("optimizer", sort=False):
            name, unstable = OPTIMIZER_NAMES[str(optimizer)], is_unstable(runs)
            look: dict[str, Any] = {"marker": _optimizer_marker(str(optimizer)), "color": colour}
            x, y = runs[measure], runs["test_accuracy"]
            seeds = look | {"markersize": 3.5, "alpha": 0.4, "gid": belongs_to(name)}
            seed_dots(panel, x, y, unstable, **seeds)
            if not unstable.all():
                look |= {"markersize": 8, "markeredgecolor": PAPER, "markeredgewidth": 0.8}
                means = [x[~unstable].mean()], [y[~unstable].mean()]
                panel.add_line(Curve(name, *means, linestyle="", **look))
        panel.axvline(0.5 if measure.startswith("sign") else 0.0, **REFERENCE_LINE)
        panel.set(title=title, xlabel=METRIC_NAMES[measure], ylabel=METRIC_NAMES["test_accuracy"])
    entries = [
        _mark_entry(OPTIMIZER_NAMES[o], _optimizer_marker(o), colour) for o in last["optimizer"].unique()
    ]
    if is_unstable(last).any():
        entries.append(unstable_entry(linestyle=""))
    legend_below(figure, entries, columns=4)
    return figure


# ---- how the error travels ----

LAYERS = {"X": 0.0, "h₁": 1.0, "h₂": 2.0, "ŷ": 3.0, "e": 4.0}
# Backward arrows: x of start and end, bend, and where the label stands.
FROM_ABOVE = ((3.95, 2.06, -0.32, (3.0, -0.65)), (1.94, 1.06, -0.5, (1.5, -0.58)))
FROM_THE_ERROR = ((3.95, 2.04, -0.32, (3.0, -0.3)), (3.95, 1.04, -0.36, (2.5, -0.93)))


@mpl.rc_context(STYLE)
def error_transport(methods: Sequence[str]) -> Figure:
    """Draw how ``"bp"``, ``"fa"`` or ``"dfa"`` sends the error through two hidden layers, a panel each.

    Forward arrows carry activations and are grey; backward arrows carry the error and have the
    method's colour.
    """
    for method in methods:
        choice("method", method, ("bp", "fa", "dfa"))
    figure, panels = grid_of_panels(len(methods), 1, 5.2, 1.9)
    box: dict[str, Any] = {"edgecolor": INK, "facecolor": TINT, "linewidth": 1.1}
    for panel, method in zip(panels, methods, strict=True):
        low = -1.12 if "dfa" in methods else -0.88
        panel.set(xlim=(-0.4, 4.4), ylim=(low, 0.62), aspect="equal")
        panel.set_axis_off()
        if len(methods) > 1:
            panel.set_title(METHOD_NAMES[method])
        for name, x in LAYERS.items():
            panel.add_patch(FancyBboxPatch((x - 0.2, -0.2), 0.4, 0.4, boxstyle="round,pad=0.04", **box))
            panel.text(x, 0, name, ha="center", va="center")
        for layer, weight in enumerate(("W₁", "W₂", "W₃", "")):
            _arrow(panel, (layer + 0.27, 0.0), (layer + 0.73, 0.0), INK)
            panel.text(layer + 0.5, 0.1, weight, ha="center", va="bottom")
        panel.text(4, 0.32, "ŷ − y", ha="center", va="bottom")
        names = ("W₃ᵀ", "W₂ᵀ") if method == "bp" else ("B₂", "B₁")
        arrows = FROM_THE_ERROR if method == "dfa" else FROM_ABOVE
        for (start, end, bend, place), name in zip(arrows, names, strict=True):
            _arrow(panel, (start, -0.27), (end, -0.27), COLOURS[method], bend)
            panel.text(*place, name, ha="center", va="top")
    return figure


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

# Axis label of x, and the other size, which the runs of a panel share: its column and symbol.
_ERROR_AXES = {
    "samples": ("training points n", "dimensions", "d"),
    "dimensions": ("inputs d", "samples", "n"),
}
# Colours for class 0 and 1 (cluster labels, parity); distinct from every method's colour.
LABEL_COLOURS = ("#A97B00", "#5B6BE0")


@mpl.rc_context(STYLE)
def error_curves(
    panels: Sequence[tuple[pd.DataFrame, str, str]],
    points: Mapping[str, Examples] | None = None,
    *,
    solved: pd.DataFrame | None = None,
) -> Figure:
    """Draw the error at the last epoch against the number of points or of inputs.

    Lines and bands as in ``accuracy_curves``; the dotted line is the error of the majority class. Panels
    below draw the test error of each line minus that of BP with SGD (or else of the first line): a dot
    is a seed, with its own labelling.

    Each of ``panels`` has a results table of cluster runs, x (``"samples"`` or ``"dimensions"``), and
    which error to draw (``"test"`` or ``"train"``). The two informative inputs of ``points``, given for
    each density, are shown above; ``solved`` are lazy methods, as from ``converged_table``.
    """
    for _, x, of in panels:
        choice("x", x, _ERROR_AXES)
        choice("judged", of, ("test", "train"))
    panels = [(final_epoch(judged(table)).sort_values(x), x, of) for table, x, of in panels]
    ends = [_with_solved(last, solved, x) for last, x, _ in panels]
    both = pd.concat(ends)[["method", "optimizer"]].drop_duplicates()
    lines = list(both.itertuples(index=False, name=None))
    base = ("bp", "sgd") if ("bp", "sgd") in lines else lines[0]
    tests = [place for place, (_, _, of) in enumerate(panels) if of == "test"]
    count = max(len(panels), len(points or ()))
    differing = len(lines) - 1 if len(tests) else 0
    below = -(-differing * len(tests) // count)
    heights = [4.1] * bool(points) + [4.2] + [2.2] * below
    figure = Figure(figsize=(4.4 * count, sum(heights)), layout="constrained", dpi=160)
    grid = figure.subplots(len(heights), count, squeeze=False, gridspec_kw={"height_ratios": heights})
    for square, (density, shown) in zip(grid[0], (points or {}).items(), strict=False):
        _cluster_panel(square, density, shown)
    first = int(bool(points))
    for panel, rows, (_, x, of) in zip(grid[first], ends, panels, strict=False):
        _error_panel(panel, rows, lines, x, f"{of}_accuracy")
        panel.set_ylabel("test error" if of == "test" else "training error")
    pairs = [(line, place) for line in lines if line != base for place in tests]
    for panel, (line, place) in zip(grid[first + 1 :].flat, pairs, strict=False):
        _difference_panel(panel, ends[place], base, line, panels[place][1])
    for panel in grid.flat:
        if not panel.has_data():
            panel.remove()
    legend_below(figure, _entries(pd.concat(ends).drop_duplicates(), lines))
    return figure


def _with_solved(last: pd.DataFrame, solved: pd.DataFrame | None, x: str) -> pd.DataFrame:
    """Add the models that were solved at the runs' n and d."""
    if solved is None:
        return last
    places = ["samples", "dimensions"]
    added = solved.astype(dict.fromkeys(places, "Int64")).merge(last[places].drop_duplicates())
    return pd.concat([last, added.assign(optimizer=SOLVED, outcome="learned").sort_values(x)])


def _error_panel(
    panel: Axes, rows: pd.DataFrame, lines: Sequence[tuple[str, str]], x: str, accuracy: str
) -> None:
    shade = 0.26 / len(lines)  # bands overlap
    for method, optimizer in lines:
        runs = select(rows, method=method, optimizer=optimizer)
        summary = summarise(runs, [x], accuracy)
        drawn = runs[is_unstable(runs) & (runs["seed"] < DOTTED_SEEDS)]
        unstable = [([run[x]], [1 - run[accuracy]]) for _, run in drawn.iterrows()]
        draw_means(
            panel, label(method, optimizer), summary[x], summary, (), unstable, error=True,
            shade=shade, **line_look(lines, method, optimizer),
        )  # fmt: skip
    clusters = CLUSTERS_PER_SIDE**2
    panel.axhline(clusters // 2 / clusters, **REFERENCE_LINE)
    _along(panel, rows, x)
    _, other, symbol = _ERROR_AXES[x]
    shared = sorted(int(value) for value in rows[other].unique())
    panel.set(title=f"{symbol} = {', '.join(map(str, shared))}", ylim=(-0.01, 0.56))


def _along(panel: Axes, rows: pd.DataFrame, x: str) -> None:
    """Set the horizontal axis: a tick for each n or d that was run."""
    if x == "samples":
        panel.set_xscale("log", base=2)
    values = sorted(int(value) for value in rows[x].unique())
    panel.set_xticks(values, [str(value) for value in values])
    panel.minorticks_off()
    panel.set_xlabel(_ERROR_AXES[x][0])


def _difference_panel(
    panel: Axes, rows: pd.DataFrame, first: tuple[str, str], line: tuple[str, str], x: str
) -> None:
    """Draw a line's test error minus the first line's, in points, paired by seed."""
    of, base = (select(rows, method=m, optimizer=o) for m, o in (line, first))
    pairs = of.merge(
        base[[x, "seed", "test_accuracy", "outcome"]], on=[x, "seed"], suffixes=("", "_base")
    )
    pairs["points"] = 100 * (pairs["test_accuracy_base"] - pairs["test_accuracy"])
    unstable = is_unstable(pairs) | is_unstable(pairs.assign(outcome=pairs["outcome_base"]))
    colour, gid = COLOURS[line[0]], belongs_to(label(*line), SEEDS)
    look: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4, "alpha": 0.4}
    dotted = pairs[pairs["seed"] < DOTTED_SEEDS]  # more would make the page heavy
    seed_dots(panel, dotted[x], dotted["points"], unstable[dotted.index], **look, gid=gid)
    summary = summarise(pairs[~unstable], [x], "points")
    ends = (summary[end] for end in (x, "mean", "low", "high"))
    curve = Curve(label(*line), *ends, form="+.1f", color=colour, linewidth=1.6)
    draw_curve(panel, curve, shade=0.2)
    panel.axhline(0.0, **REFERENCE_LINE)
    _along(panel, rows, x)
    panel.set_title(f"{label(*line)} minus {label(*first)}", fontsize=11)
    panel.set_ylabel("points of test error")


@mpl.rc_context(STYLE)
def converged_curves(table: pd.DataFrame, trained: pd.DataFrame) -> Figure:
    """Draw test accuracy against the number of training stacks: a panel for each k, the last enlarged.

    Lines are lazy methods solved on a fixed sample: of the networks' width (filled markers) or of
    infinite width (open markers), means over seeds with 95 % Student-t intervals and faint lines for
    seeds. Open circles are runs of gradient descent at their last epoch, at the number of stacks that
    they have seen, with intervals as bars; crosses are unstable runs, which mean and interval leave out.

    ``table`` is as from ``converged_table``, ``trained`` has runs with SGD; both are of digits.
    """
    last = final_epoch(judged(trained))
    last = last.assign(seen=last["samples"] * last["epochs"] * last["passes"])
    ks = sorted(table["k"].unique(), key=int)
    figure, panels = grid_of_panels(len(ks) + 1, 2, 4.4, 3.8)
    for panel, k in zip(panels, [*ks, ks[-1]], strict=True):
        for method, rows in table[table["k"] == k].groupby("method", sort=False):
            summary = summarise(rows, ["samples"])
            ends = (summary[end] for end in ("samples", "mean", "low", "high"))
            curve = _width_curve(str(method), *ends)
            seeds = [(run["samples"], run["test_accuracy"]) for _, run in rows.groupby("seed")]
            draw_curve(panel, curve, () if panel is panels[-1] else seeds, shade=0.1)
        for method, runs in last[last["k"] == int(k)].groupby("method"):
            _open_circle(panel, str(method), runs)
        panel.axhline(0.5, **REFERENCE_LINE)
        panel.set(xscale="log", xlabel="training stacks n", ylabel=METRIC_NAMES["test_accuracy"])
        panel.set(title=f"k = {k}", ylim=(0.45, 1.005))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
    shown = table[table["k"] == ks[-1]]
    means, n = summarise(shown, ["method", "samples"])["mean"], shown["samples"]
    panels[-1].set(ylim=(means.min() - 0.02, means.max() + 0.02), xlim=(0.8 * n.min(), 1.25 * n.max()))
    panels[-1].set_title(f"k = {ks[-1]}, enlarged")
    entries: list[Line2D] = [_width_curve(method) for method in table["method"].unique()]
    for method in last["method"].unique():
        if method not in set(table["method"]):
            note = unstable_note(last[last["method"] == method])
            name = f"{label(method, 'sgd')}, trained"
            name += f" ({note}; mean of the others)" if note else ""
            look = OPEN | {"markeredgecolor": COLOURS[method], "gid": belongs_to(f"trained {method}")}
            entries.append(Line2D([], [], label=name, **look))
    if table["seed"].nunique() > 1:
        entries.append(seeds_entry())
    if is_unstable(last).any():
        entries.append(unstable_entry())
    legend_below(figure, entries, named=False)  # lines end in the middle
    return figure


def _width_curve(method: str, *points: ArrayLike) -> Curve:
    name = KERNEL_NAMES[method] if method in KERNEL_NAMES else METHOD_NAMES[method]
    look: dict[str, Any] = {"marker": "o"}
    if method in KERNEL_NAMES:
        look = {"marker": "D", "markerfacecolor": PAPER}
    return Curve(
        name, *points, color=COLOURS[FINITE_WIDTH.get(method, method)], linewidth=1.9, markersize=5,
        label=name, **look,
    )  # fmt: skip


def _open_circle(panel: Axes, method: str, runs: pd.DataFrame) -> None:
    gid = belongs_to(METHOD_NAMES[method] if METHODS[method].lazy else f"trained {method}")
    x, accuracy = int(runs["seen"].iloc[0]), summarise(runs, ["method"]).iloc[0]
    ends = [accuracy["low_sound"], accuracy["high_sound"]]
    panel.plot([x, x], ends, color=COLOURS[method], linewidth=1.5, gid=gid)
    for each in runs["test_accuracy"][is_unstable(runs)].dropna():
        draw_unstable(panel, [x], [each], color=COLOURS[method], alpha=0.8, gid=gid)
    panel.plot(x, accuracy["mean_sound"], **OPEN, markeredgecolor=COLOURS[method], gid=gid)


def _cluster_panel(square: Axes, density: str, points: Examples) -> None:
    X, y = points.batch(0, len(points))
    for number, colour in enumerate(LABEL_COLOURS):
        chosen = X[y[:, 0] == number]
        square.scatter(
            chosen[:, 1], chosen[:, 2], s=4, color=colour, linewidth=0, label=f"label {number}",
            rasterized=True,
        )  # fmt: skip
    radius = 1 / (3 * CLUSTERS_PER_SIDE - 1)
    for centre in cluster_centres().tolist():
        square.add_patch(Circle(centre, radius, fill=False, edgecolor=MUTED, linewidth=0.8))
    square.set_box_aspect(1)
    square.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, markerscale=3)
    ends, ticks = (-0.53, 0.53), (-0.5, 0, 0.5)
    square.set(title=f"density: {density}", xlabel="input 2", ylabel="input 3")
    square.set(xlim=ends, ylim=ends, xticks=ticks, yticks=ticks)


# ---- hidden representations ----

# One for each digit, legible on light and dark backgrounds.
DIGIT_COLOURS = (
    "#B8826B", "#7438FF", "#BD0097", "#945900", "#279AE7",
    "#FF38C3", "#D10069", "#FF570F", "#874BC3", "#0D735E",
)  # fmt: skip
PARITY_COLOURS = dict(zip(("even", "odd"), LABEL_COLOURS, strict=True))
PROBE_MARKERS = {"nearest neighbours": "o", "linear": "s"}
WEIGHTS_COLOURS = {"pixels": MUTED, "untrained": INK}
TARGET_NAMES = {"digit": "which digit it is", "parity": "whether it is odd"}


def weights_label(name: str) -> str:
    """Name the weights of a representation: ``pixels``, ``untrained``, or method and optimizer."""
    if name in WEIGHTS_COLOURS:
        return "raw pixels" if name == "pixels" else name
    return label(*name.split("-"))


@mpl.rc_context(STYLE)
def representation_diagram(
    images: Float[Tensor, "k pixels"], position: int, hidden: int = 512
) -> Figure:
    """Draw how the hidden representation of one digit is cut out of the first layer.

    ``images`` are the digits of a stack; the one at ``position`` and its block of weights are coloured.
    """
    k, pixels = images.shape
    side, accent = round(pixels**0.5), "#009E73"
    low, high = "₀₁₂₃₄₅₆₇₈₉", "⁰¹²³⁴⁵⁶⁷⁸⁹"
    figure, (panel,) = grid_of_panels(1, 1, 5.2, 0.7 * k + 0.4)
    panel.set(xlim=(-0.5, 7.0), ylim=(-0.5, k + 0.1), aspect="equal")
    panel.set_axis_off()
    for i, image in enumerate(images):
        chosen, bottom = i == position, k - 1 - i
        colour = accent if chosen else MUTED
        panel.imshow(
            image.view(side, side).numpy(), cmap="gray_r", interpolation="nearest",
            extent=(0.06, 0.94, bottom + 0.06, bottom + 0.94), alpha=1.0 if chosen else 0.4,
            gid=belongs_to(TILE),
        )  # fmt: skip
        block = f"W₁⁽{high[i + 1]}⁾\n{pixels} × {hidden}"
        shade, ground = to_rgba(accent, 0.25), TINT
        boxes = [
            Rectangle((0.06, bottom + 0.06), 0.88, 0.88, fill=False, ec=colour, lw=2.0),
            Rectangle((2.0, bottom), 1.5, 1, ec=INK, lw=1.1, fc=shade if chosen else ground),
        ]
        panel.text(-0.1, bottom + 0.5, f"x{low[i + 1]}", ha="right", va="center")
        panel.text(2.75, bottom + 0.5, block, ha="center", va="center")
        if chosen:
            for start, end in ((1.02, 1.94), (3.56, 4.3), (4.98, 5.9)):
                _arrow(panel, (start, bottom + 0.5), (end, bottom + 0.5), accent)
            panel.text(4.64, bottom + 0.5, "+ b₁", ha="center", va="center")
            panel.text(5.42, bottom + 0.6, "ReLU", ha="center", va="bottom")
            panel.text(6.28, bottom + 0.5, f"h⁽{high[i + 1]}⁾\n{hidden}", ha="left", va="center")
            boxes.append(Rectangle((5.96, bottom), 0.22, 1, ec=accent, lw=2, fc=shade))
        for box in boxes:
            panel.add_patch(box)
    panel.text(0.5, -0.08, f"a stack of {k}", ha="center", va="top", color=INK)
    panel.text(2.75, -0.08, f"W₁, {k * pixels} × {hidden}", ha="center", va="top", color=INK)
    return figure


@mpl.rc_context(STYLE | {"axes.grid": False})
def representation_maps(table: pd.DataFrame) -> Figure:
    """Draw the maps of a table as from ``embedding_table``, a column for each of the weights.

    The first row is coloured by digit, with each digit's name at the median of its points; the second by
    parity. Points are rasterized, because a vector file would be large.
    """
    names = list(table["weights"].unique())
    figure = Figure(figsize=(2.5 * len(names), 6.2), layout="constrained", dpi=200)
    panels = figure.subplots(2, len(names), squeeze=False)
    for (upper, lower), name in zip(panels.T, names, strict=True):
        points = table[table["weights"] == name]
        odd = points["digit"].mod(2).map({0: "even", 1: "odd"})
        _scatter(upper, points, points["digit"], dict(enumerate(DIGIT_COLOURS)))
        _scatter(lower, points, odd, PARITY_COLOURS)
        around = [withStroke(linewidth=2.5, foreground=PAPER)]
        look: dict[str, Any] = {"fontsize": 12, "fontweight": "bold", "path_effects": around}
        for digit, own in points.groupby("digit"):
            middle = own["x"].median(), own["y"].median()
            upper.text(*middle, str(digit), ha="center", va="center", **look)
        upper.set(title=weights_label(name), xlabel="by digit")
        lower.set(title=weights_label(name), xlabel="by parity")
    colours = dict(enumerate(DIGIT_COLOURS)) | PARITY_COLOURS
    entries = [_mark_entry(str(key), _marker(key), colour) for key, colour in colours.items()]
    legend_below(figure, entries, columns=6)
    return figure


def _marker(key: Any) -> str:
    """Return a marker: odd digits differ in shape, too."""
    return "^" if key == "odd" else "o"


def _scatter(panel: Axes, points: pd.DataFrame, keys: pd.Series, colours: Mapping[Any, str]) -> None:
    size = 9 if len(points) < 1_000 else 4
    for key, colour in colours.items():
        own = points[keys == key]
        panel.scatter(
            own["x"], own["y"], s=size, marker=_marker(key), color=colour, linewidths=0, rasterized=True
        )
    panel.set(xticks=[], yticks=[], box_aspect=1)
    panel.spines[:].set(visible=True, color=RULE)


@mpl.rc_context(STYLE)
def probe_accuracies(table: pd.DataFrame) -> Figure:
    """Draw the probe accuracies of a table as from ``probe_table``, a panel for each target.

    Circles are nearest neighbours, squares linear probes: the mean over seeds with its 95 % Student-t
    interval. Faint markers beside it are single seeds.
    """
    names, targets = list(table["weights"].unique()), list(table["target"].unique())
    figure, panels = row_of_panels(len(targets), height=4.3)
    for panel, target in zip(panels, targets, strict=True):
        panel.set(title=TARGET_NAMES[target], ylabel="test accuracy of the probe")
        for shift, probe in ((-0.17, "nearest neighbours"), (0.17, "linear")):
            rows = table[(table["target"] == target) & (table["probe"] == probe)]
            _probe_marks(panel, names, rows, probe, shift)
        panel.set_xticks(range(len(names)), [weights_label(name) for name in names])
        panel.set_xlim(-0.5, len(names) - 0.5)
        panel.grid(visible=False, axis="x")
    panels[0].set_ylim(top=min(1.005, panels[0].get_ylim()[1]))  # an interval may reach beyond 1
    entries = [_mark_entry(probe, marker, INK) for probe, marker in PROBE_MARKERS.items()]
    legend_below(figure, entries)
    return figure


def _probe_marks(
    panel: Axes, names: Sequence[str], rows: pd.DataFrame, probe: str, shift: float
) -> None:
    intervals = []
    for i, name in enumerate(names):
        accuracies, x = rows["accuracy"][rows["weights"] == name], i + shift
        interval = mean_interval(accuracies)
        intervals.append(interval)
        colour = WEIGHTS_COLOURS.get(name) or COLOURS[name.split("-")[0]]
        look: dict[str, Any] = {"color": colour, "gid": belongs_to(probe)}
        panel.plot([x, x], [interval.low, interval.high], linewidth=1.8, **look)
        look |= {"marker": PROBE_MARKERS[probe], "linestyle": ""}
        dots = {"markersize": 5, "alpha": 0.6, "markeredgewidth": 0} | look
        panel.plot([x + 0.1] * len(accuracies), accuracies, **dots)
        panel.plot([x], [interval.mean], markersize=7, **look)
    ends = np.array([[each.mean, each.low, each.high] for each in intervals]).T
    panel.add_line(Curve(probe, np.arange(len(names)), *ends, shift=shift, linestyle=""))
