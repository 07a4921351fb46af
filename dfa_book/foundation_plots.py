"""Figures of chapter 1: a small network that trains by DFA, and the paths of seven optimizers."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from dfa_lib.experiments.names import COLOURS, OPTIMIZER_NAMES, SPARE_COLOURS

from .plots import (
    INK,
    MUTED,
    REFERENCE_LINE,
    STYLE,
    Curve,
    belongs_to,
    curves_in,
    draw_curve,
    legend_below,
    row_of_panels,
)

COSINES = {"weights": ("cos(B, W₂ᵀ)", "-"), "updates": ("cosine of the updates", (0, (3, 1.2)))}


@mpl.rc_context(STYLE)
def training_course(rows: pd.DataFrame) -> Figure:
    """Draw loss and alignments, the columns of ``rows``, against the training step."""
    figure, (left, right) = row_of_panels(2, height=3.6, same_y=False)
    draw_curve(left, _course("loss", rows, "loss", "-"))
    left.set_ylabel("loss, nats")
    for column, (name, style) in COSINES.items():
        draw_curve(right, _course(name, rows, column, style))
    right.axhline(0.0, **REFERENCE_LINE)
    right.set(ylabel="cosine", ylim=(None, 1.0))
    for panel in (left, right):
        panel.set_xlabel("step")
    legend_below(figure, curves_in(right))
    return figure


def _course(name: str, rows: pd.DataFrame, column: str, style: Any) -> Curve:
    look: dict[str, Any] = {"color": COLOURS["dfa"], "linestyle": style, "linewidth": 1.9}
    return Curve(name, rows["step"], rows[column], label=name, **look)


@mpl.rc_context(STYLE)
def valley_paths(
    paths: Mapping[str, np.ndarray], steepness: Sequence[float], groups: Mapping[str, Sequence[str]]
) -> Figure:
    """Draw the paths of optimizers through a valley, over lines of equal loss.

    ``paths`` has the points of each optimizer's path, ``(steps + 1, 2)``, ``steepness`` λ₁ and λ₂ of the
    loss ½(λ₁θ₁² + λ₂θ₂²), and ``groups`` the optimizers of each panel by its title.
    """
    figure, panels = row_of_panels(len(groups), height=3.9)
    for panel, (title, names) in zip(panels, groups.items(), strict=True):
        for loss in np.geomspace(0.02, 4.0, 6):
            axes = (2 * np.sqrt(2 * loss / steep) for steep in steepness)
            panel.add_patch(Ellipse((0, 0), *axes, fill=False, edgecolor=MUTED, alpha=0.4))
        for name, colour in zip(names, SPARE_COLOURS, strict=False):
            panel.plot(
                *paths[name].T, color=colour, marker="o", markersize=3.2, markevery=2, linewidth=1.3,
                label=OPTIMIZER_NAMES[name], gid=belongs_to(OPTIMIZER_NAMES[name]),
            )  # fmt: skip
        panel.plot(0, 0, "*", color=INK, markersize=10)
        panel.grid(visible=False)
        panel.set(xlim=(-1.25, 0.45), ylim=(-0.62, 0.62), title=title)
        panel.set(xlabel="θ₁, along the valley", ylabel="θ₂, across")
        panel.legend(loc="upper right", fontsize=9)
    return figure
