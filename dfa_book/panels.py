"""Figures as HTML: panels that flow, the page's letters and shades, lines that can be read.

matplotlib draws each axes of a figure, and the mark of each entry of its legend, as an SVG of its own.
They go into the page itself, where its style sheet (``book/_static/figures.css``) reaches them: letters
are in the page's font, shades turn with its theme, and panels stand side by side or below each other as
there is room. The values of every ``Curve`` come along, for ``book/_static/figures.js`` to show.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from io import BytesIO, StringIO
from itertools import count
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from PIL import Image

from dfa_lib.experiments.names import INK, TURNING

from .plots import Curve

# Around a panel, in inches.
MARGIN = 0.04
# The same figure is the same text.
SVG: dict[Any, Any] = {"svg.hashsalt": "dfa"}


def figure_html(figure: Figure, alt: str, name: str) -> str:
    """Return a figure as HTML that says ``alt`` to those who cannot see it.

    ``name`` is the figure's own: with it begin the ids of what its drawings repeat, markers and letters,
    so that no two things of a page have the same.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # nothing moves while all but one thing is hidden
    panels = [axes for axes in figure.axes if axes.axison or axes.has_data()]
    legends = [*figure.legends, *(axes.get_legend() for axes in panels)]
    with mpl.rc_context(SVG | {"svg.fonttype": "none"}):
        with _hidden(*legends):
            boxes = [_box(figure, panel) for panel in panels]
            width = max(
                (box.width for box in boxes), default=0.0
            )  # of all: so they are drawn to one scale
            boxes = [Bbox.from_bounds(box.x0, box.y0, width, box.height) for box in boxes]
            readings = [_readings(*of) for of in zip(_names(panels), panels, boxes, strict=True)]
            drawings = [_drawing(figure, *of) for of in zip(panels, boxes, strict=True)]
        parts: list[str] = []
        for panel, svg, values in zip(panels, drawings, readings, strict=True):
            said = 'aria-hidden="true"' if parts else f'role="img" aria-label="{escape(alt)}"'
            parts.append(
                f'<div class="dfa-panel"><div class="dfa-drawing"{_data(values)}>'
                f"{svg.replace('<svg', f'<svg {said}', 1)}</div>"
                f"{_legend(panel.get_legend())}</div>"
            )
        below = "".join(map(_legend, figure.legends))
    specs = [panel.get_subplotspec() for panel in panels]
    columns = max((spec.get_gridspec().ncols for spec in specs if spec is not None), default=1)
    html = (
        f'<div class="dfa-figure" style="--columns: {columns}; --width: {72 * width:.0f}px">'
        f'<div class="dfa-panels">{"".join(parts)}</div>{below}</div>'
    )
    numbers = count()
    return re.sub(
        r"<svg.*?</svg>",
        lambda svg: _with_own_ids(svg[0], f"{name}-{next(numbers)}-"),
        html,
        flags=re.DOTALL,
    )


def _with_own_ids(svg: str, prefix: str) -> str:
    return re.sub(r'\bid="|href="#|url\(#', lambda found: found[0] + prefix, svg)


@contextmanager
def _hidden(*artists: Artist | None) -> Iterator[None]:
    """Hide what is seen of these, for a while."""
    seen = [artist for artist in artists if artist is not None and artist.get_visible()]
    for artist in seen:
        artist.set_visible(False)
    yield
    for artist in seen:
        artist.set_visible(True)


# ---- drawings ----


def _box(figure: Figure, panel: Axes) -> Bbox:
    """Return what a panel takes up with all that is written around it, in inches."""
    with _hidden(*(axes for axes in figure.axes if axes is not panel)):
        return figure.get_tightbbox().padded(MARGIN)


def _drawing(figure: Figure, panel: Axes, box: Bbox) -> str:
    with _hidden(*(axes for axes in figure.axes if axes is not panel)):
        return _svg(figure, box)


def _svg(figure: Figure, box: Bbox) -> str:
    """Return what is seen within a box, in inches, as SVG for a page."""
    file = StringIO()
    figure.savefig(file, format="svg", bbox_inches=box, transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    # matplotlib's rule for strokes would hold for the whole page: figures.css has it.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg).replace("xlink:href", "href")
    svg = re.sub(r".*?<svg[^>]*viewBox", "<svg viewBox", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' id="line:([^"]*)"', lambda found: f' data-line="{found[1].replace(":", " ")}"', svg)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    # A tenth of a point is finer than any screen.
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda found: re.sub(r"\d+\.\d{2,}", _rounded, found[0]), svg)
    svg = re.sub(r"(data:image/png;base64,)([^\"]*)", lambda found: found[1] + _lighter(found[2]), svg)
    svg = svg.replace("#000000", INK)  # matplotlib's own, which it leaves out of letters
    for name, shade in TURNING.items():
        svg = svg.replace(shade, f"var(--dfa-{name}, {shade})")
    # figures.css sets the typeface; turns by 0 degrees and line breaks between commands change nothing.
    svg = re.sub(r' font-family: [^;"]*;| transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r"\s*\n(?=[A-Zz])", "", svg)
    return _without_bare_groups(re.sub(r">\s+<", "><", svg).strip())


def _without_bare_groups(svg: str) -> str:
    """Take away groups without attributes: matplotlib puts two around each mark of an axis."""
    bare: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return "" if bare.pop() else tag[0]
        bare.append(tag[0] == "<g>")
        return "" if bare[-1] else tag[0]

    return re.sub(r"<g(?: [^>]*)?>|</g>", kept, svg)


def _lighter(picture: str) -> str:
    """Return a PNG in base64 with a palette of its most frequent colours: points have few others."""
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        pixels = np.asarray(image.convert("RGBA"))
    colours, place, counts = np.unique(
        pixels.reshape(-1, 4), axis=0, return_inverse=True, return_counts=True
    )
    palette = colours[np.argsort(-counts, kind="stable")[:256]]
    nearest = np.square(colours[:, None].astype(np.int32) - palette).sum(-1).argmin(1)
    flat = Image.fromarray(nearest[place].reshape(pixels.shape[:2]).astype(np.uint8))
    flat.putpalette(palette.tobytes(), "RGBA")
    file = BytesIO()
    flat.save(file, "PNG", optimize=True)
    return min(picture, base64.b64encode(file.getvalue()).decode(), key=len)


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")


# ---- what can be read ----


class Line(NamedTuple):
    """A curve: what it is called, and at each place its value and point, nothing where it has none."""

    name: str
    told: list[list[str]]
    at: list[list[float] | None]  # how far from the left and from the top


@dataclass(frozen=True)
class Readings:
    """The values of a panel's curves, and where they stand in its drawing, in per cent of it."""

    name: str  # of the panel
    rows: bool  # places stand below each other
    x: list[str]  # each place as it is told
    at: list[float]  # how far from the left, or from the top
    top: float  # where the axes end
    right: float
    bottom: float
    left: float
    lines: dict[str, Line]  # by entry of the legend
    start: int  # the last place where most lines have a value


def _names(panels: Sequence[Axes]) -> list[str]:
    """Return what panels differ in: their titles, their vertical axes, or both."""
    titles = [panel.get_title() for panel in panels]
    axes = [panel.get_ylabel() for panel in panels]
    for names in (titles, axes):
        if all(names) and len(set(names)) == len(panels):
            return names
    return [", ".join(filter(None, both)) for both in zip(axes, titles, strict=True)]


def _readings(name: str, panel: Axes, box: Bbox) -> Readings:
    def percent(points: Any) -> np.ndarray:
        assert panel.figure is not None
        inches = np.asarray(points) / panel.figure.dpi
        return np.column_stack(
            [(inches[:, 0] - box.x0) / box.width, (box.y1 - inches[:, 1]) / box.height]
        ).round(4) * 100  # fmt: skip

    curves = [line for line in panel.lines if isinstance(line, Curve)]
    rows = any(curve.rows for curve in curves)
    axis, scale = (panel.yaxis, panel.get_xscale()) if rows else (panel.xaxis, panel.get_yscale())
    places = sorted({float(x) for curve in curves for x in curve.x if np.isfinite(x)})
    (left, bottom), (right, top) = percent(panel.transAxes.transform([(0, 0), (1, 1)]))
    low = (panel.get_xlim()[0], panel.get_ylim()[0])
    corners = [(low[0], place) if rows else (place, low[1]) for place in places]
    at = percent(panel.transData.transform(corners))[:, int(rows)] if places else ()
    lines = {}
    for curve in curves:
        told: list[list[str]] = [[] for _ in places]
        points: list[list[float] | None] = [None for _ in places]
        drawn = percent(panel.transData.transform(curve.get_xydata())).round(2).tolist()
        for i in map(int, np.flatnonzero(np.isfinite(curve.x + curve.y))):
            place = places.index(curve.x[i])
            told[place] = _told(curve, i, curve.form if scale == "linear" else ".2g")
            points[place] = drawn[i]
        lines[_key(curve)] = Line(curve.entry, told, points)
    known = [sum(bool(line.told[place]) for line in lines.values()) for place in range(len(places))]
    ticks = dict(zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False))
    title = axis.get_label_text()
    return Readings(
        name=name,
        rows=rows,
        x=[f"{title} {round(x, 3):g}" if title else ticks[x].get_text() for x in places],
        at=[round(float(x), 2) for x in at],
        top=round(float(top), 2),
        right=round(float(right), 2),
        bottom=round(float(bottom), 2),
        left=round(float(left), 2),
        lines=lines,
        start=max(range(len(places)), key=lambda place: (known[place], place), default=0),
    )


def _told(curve: Curve, i: int, form: str) -> list[str]:
    """Return a curve's value at a point and, where it has one, its interval."""
    ends = [float(end[i]) for end in (curve.low, curve.high) if end is not None]
    told = [format(float(curve.y[i]), form)]
    if ends and np.isfinite(ends).all():
        told.append(f"[{', '.join(format(end, form) for end in ends)}]")
    return [each.replace("-", "−") for each in told]


def _key(artist: Artist) -> str:
    return (artist.get_gid() or "").removeprefix("line:")


def _data(readings: Readings) -> str:
    if not readings.x:
        return ""
    about = vars(readings) | {"lines": {key: line._asdict() for key, line in readings.lines.items()}}
    text = json.dumps(about, ensure_ascii=False, separators=(",", ":"))
    return f' data-readings="{escape(text)}"'


# ---- legends ----


def _legend(legend: Legend | None) -> str:
    if legend is None:
        return ""
    handles = [handle for handle in legend.legend_handles if handle is not None]
    title = legend.get_title().get_text()
    items = "\n".join(
        f'<li data-line="{escape(_key(handle))}">'
        f'<span class="dfa-entry">{_mark(handle)}{escape(text.get_text())}</span></li>'
        for handle, text in zip(handles, legend.get_texts(), strict=True)
    )
    return f'<ul class="dfa-legend">{f"<li>{escape(title)}</li>" if title else ""}{items}</ul>'


def _mark(handle: Artist) -> str:
    """Return how an entry is drawn: a piece of its line, or its colour."""
    figure = Figure(figsize=(0.42, 0.14))
    line = Line2D([], [])
    if isinstance(handle, Line2D):
        line.update_from(handle)
    else:
        line.set(linestyle="", marker="s", color=handle.get_facecolor())  # type: ignore[attr-defined]
    line.set(xdata=[0.04, 0.5, 0.96], ydata=[0.5] * 3, markevery=[1], transform=figure.transFigure)
    figure.add_artist(line)
    svg = _svg(figure, Bbox.from_bounds(0, 0, *figure.get_size_inches()))
    return svg.replace("<svg", '<svg aria-hidden="true" width="30" height="10"', 1)
