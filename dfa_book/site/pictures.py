"""The site's logo, favicon, and social card."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Circle, FancyArrowPatch

from dfa_lib.experiments.names import COLOURS
from dfa_lib.experiments.results import read_results

from ..panels import SVG
from ..plots import accuracy_curves
from .figures import Shown

LOGO, ICON, CARD = "logo.svg", "icon.png", "card.png"
ON_THE_CARD = "fig-sgd"
CARD_SAYS = (
    "Two panels of test accuracy against epoch, for the parity of one digit and of several: "
    "backpropagation and direct feedback alignment, each with a mean line and an interval band."
)
# Recommended size of social cards.
CARD_PIXELS = (1200, 630)


def draw_pictures(folder: Path, shown: Sequence[Shown], title: str) -> None:
    """Draw the pictures into a folder; the card only if the book has its figure."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(SVG):
        logo().savefig(folder / LOGO, transparent=True, metadata={"Date": None})
        logo().savefig(folder / ICON, transparent=True, dpi=96)
    for figure in shown:
        if figure.name == ON_THE_CARD:
            drawn = card(figure, title)
            drawn.savefig(folder / CARD, dpi=CARD_PIXELS[0] / drawn.get_figwidth())


def logo() -> Figure:
    """Draw a forward signal and an error that returns by another path."""
    figure = Figure(figsize=(1, 1))
    panel = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(0, 1))
    panel.set_axis_off()
    left, right = (0.14, 0.68), (0.86, 0.68)
    for start, end, bend, colour in (
        (left, right, 0.0, COLOURS["bp"]),
        (right, left, -1.1, COLOURS["dfa"]),
    ):
        panel.add_patch(
            FancyArrowPatch(
                start, end, connectionstyle=f"arc3,rad={bend}", color=colour, linewidth=5,
                shrinkA=0, shrinkB=12, arrowstyle="-|>,head_length=0.5,head_width=0.35",
                mutation_scale=17, joinstyle="miter",
            )
        )  # fmt: skip
    for place in (left, right):
        panel.add_patch(Circle(place, 0.13, color=COLOURS["bp"]))
    return figure


def card(shown: Shown, title: str) -> Figure:
    """Draw the figure again with the book's title, in the shape of the card."""
    figure = accuracy_curves(read_results(shown.files[0]))
    width = figure.get_figwidth()
    figure.set_size_inches(width, width * CARD_PIXELS[1] / CARD_PIXELS[0])
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(w_pad=0.2, h_pad=0.15)
    figure.suptitle(title, fontsize=17, fontweight="bold", parse_math=False)
    return figure
