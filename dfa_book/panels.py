"""Figures as HTML: panels that wrap, in the page's font and theme colours, with values at the cursor.

matplotlib draws each axes of a figure and each legend handle as an SVG of its own. They are inlined into
the page, so that its stylesheet (``book/_static/figures.css``) applies: text has the page's font,
colours follow its theme, and panels wrap. The values of every ``Curve`` are attributes that
``book/_static/figures.js`` shows.
"""

import base64
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import BytesIO, StringIO
from itertools import count
from typing import Any

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

from .plots import Curve, curves_in

# Margin around a panel, in inches.
MARGIN = 0.04
# Makes ids deterministic, so that the same figure is the same text.
SVG: dict[Any, Any] = {"svg.hashsalt": "dfa"}
STYLE = re.compile(r' style="([^"]*)"')
# A panel's letter, before its title.
LETTER = re.compile(r"^\([a-h]\) ?")


def figure_html(figure: Figure, alt: str, name: str) -> str:
    """Return a figure as HTML with an alternative text.

    The ids of markers and glyphs begin with ``name``, so that they are unique on the page.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # keep the layout while all but one panel is hidden
    panels = [axes for axes in figure.axes if axes.axison or axes.has_data()]
    legends = [*figure.legends, *(axes.get_legend() for axes in panels)]
    with mpl.rc_context(SVG | {"svg.fonttype": "none"}):
        with _hidden(*legends):
            boxes = [_box(figure, panel) for panel in panels]
            width = max((box.width for box in boxes), default=0.0)  # of all, for a common scale
            boxes = [Bbox.from_bounds(box.x0, box.y0, width, box.height) for box in boxes]
            readings = [_readings(*of) for of in zip(_names(panels), panels, boxes, strict=True)]
            drawings = [_drawing(figure, *of) for of in zip(panels, boxes, strict=True)]
        parts: list[str] = []
        for panel, svg, values in zip(panels, drawings, readings, strict=True):
            attribute = 'aria-hidden="true"' if parts else f'role="img" aria-label="{escape(alt)}"'
            parts.append(
                f'<div class="dfa-panel"><div class="dfa-drawing"{_data(values)}>'
                f"{svg.replace('<svg', f'<svg {attribute}', 1)}</div>"
                f"{_legend(panel.get_legend())}</div>"
            )
        below = "".join(map(_legend, figure.legends))
    specs = [panel.get_subplotspec() for panel in panels]
    columns = max((spec.get_gridspec().ncols for spec in specs if spec is not None), default=1)
    html = (
        f'<div class="dfa-figure {name}" style="--columns: {columns}; --width: {72 * width:.0f}px">'
        f'<div class="dfa-panels">{"".join(parts)}</div>{below}</div>'
    )
    numbers = count()
    html = re.sub(
        r"<svg.*?</svg>",
        lambda svg: _with_own_ids(svg[0], f"{name}-{next(numbers)}-"),
        html,
        flags=re.DOTALL,
    )
    return _with_shared_styles(html, name)


def _with_own_ids(svg: str, prefix: str) -> str:
    short: defaultdict[str, str] = defaultdict(map(str, count()).__next__)
    ids = r'(\bid="|href="#|url\(#)([^")]*)'
    return re.sub(ids, lambda match: match[1] + prefix + short[match[2]], svg)


def _with_shared_styles(html: str, name: str) -> str:
    """State each style that several elements have once; repeated, it is a third of a figure."""
    html = re.sub(r' clip-path="([^"]*)" style="([^"]*)"', r' style="\2; clip-path: \1"', html)
    counts = Counter(re.findall(STYLE, html))
    shared = [style for style, times in counts.items() if times > 1]
    classes = {style: f"s{number}" for number, style in enumerate(shared)}
    rules = "".join(f".{name} .{key}{{{style}}}" for style, key in classes.items())

    def named(style: re.Match[str]) -> str:
        return f' class="{classes[style[1]]}"' if style[1] in classes else style[0]

    # Within the drawing: SVG, unlike a page's text, may contain style sheets.
    sheet = f"<style>{rules}</style>"
    return re.sub("<svg[^>]*>", lambda tag: tag[0] + sheet, re.sub(STYLE, named, html), count=1)


@contextmanager
def _hidden(*artists: Artist | None) -> Iterator[None]:
    """Hide visible artists within the body."""
    seen = [artist for artist in artists if artist is not None and artist.get_visible()]
    for artist in seen:
        artist.set_visible(False)
    yield
    for artist in seen:
        artist.set_visible(True)


# ---- drawings ----


def _box(figure: Figure, panel: Axes) -> Bbox:
    """Return the bounding box of a panel with its labels, in inches."""
    with _hidden(*(axes for axes in figure.axes if axes is not panel)):
        return figure.get_tightbbox().padded(MARGIN)


def _drawing(figure: Figure, panel: Axes, box: Bbox) -> str:
    with _hidden(*(axes for axes in figure.axes if axes is not panel)):
        return _svg(figure, box)


def _svg(figure: Figure, box: Bbox) -> str:
    """Return the part of a figure within a box, in inches, as SVG for a page."""
    file = StringIO()
    figure.savefig(file, format="svg", bbox_inches=box, transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    # matplotlib's style rule would apply to the whole page; figures.css has it instead.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*</defs>", "", svg).replace("xlink:href", "href")
    svg = re.sub(r".*?<svg[^>]*viewBox", "<svg viewBox", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r' id="line:([^"]*)"', lambda match: f' data-line="{match[1].replace(":", " ")}"', svg)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    # A tenth of a point is below the resolution of screens.
    svg = re.sub(r' (?:d|x|y)="[^"]*"', lambda match: re.sub(r"\d+\.\d{2,}", _rounded, match[0]), svg)
    svg = re.sub(r"(data:image/png;base64,)([^\"]*)", lambda match: match[1] + _lighter(match[2]), svg)
    svg = svg.replace("#000000", INK)  # matplotlib's default, which text does not state
    for name, shade in TURNING.items():
        svg = svg.replace(shade, f"var(--dfa-{name}, {shade})")
    # figures.css sets the font; rotations by 0 degrees and most white space in paths have no effect.
    svg = re.sub(r' font-family: [^;"]*;| transform="rotate\(-0 [^)]*\)"', "", svg)
    svg = re.sub(r"\s*\n(?=[A-Zz\"])", "", svg)
    svg = re.sub(r' d="[^"]*"', lambda match: re.sub(r"(?<=[A-Z]) | (?=-)", "", match[0]), svg)
    svg = re.sub(r'<path d="[^"]*" style="fill: none"/>', "", svg)  # grounds, which are transparent
    return _without_bare_groups(re.sub(r">\s+<", "><", svg).strip())


def _without_bare_groups(svg: str) -> str:
    """Remove groups without attributes: matplotlib puts two around each tick."""
    bare: list[bool] = []

    def kept(tag: re.Match[str]) -> str:
        if tag[0] == "</g>":
            return "" if bare.pop() else tag[0]
        bare.append(tag[0] == "<g>")
        return "" if bare[-1] else tag[0]

    return re.sub(r"<g(?: [^>]*)?>|</g>", kept, svg)


def _lighter(picture: str) -> str:
    """Return a PNG in base64 with a palette of its 256 most frequent colours, if that is shorter."""
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


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.1f}".removesuffix(".0")


# ---- values at the cursor ----


def _names(panels: Sequence[Axes]) -> list[str]:
    """Name panels by their titles, their vertical axes, or both, whatever distinguishes them."""
    titles = [LETTER.sub("", panel.get_title()) for panel in panels]
    axes = [panel.get_ylabel() for panel in panels]
    for names in (titles, axes):
        if all(names) and len(set(names)) == len(panels):
            return names
    return [", ".join(filter(None, both)) for both in zip(axes, titles, strict=True)]


def _readings(name: str, panel: Axes, box: Bbox) -> dict[str, Any]:
    """Return the values of a panel's curves, with positions in per cent of its drawing.

    Of each line there is its name, and at each x its text and its position: from the top, and in rows
    from the left, too; empty or None without a value.
    """

    def percent(points: Any) -> np.ndarray:
        assert panel.figure is not None
        inches = np.asarray(points) / panel.figure.dpi
        return np.column_stack(
            [(inches[:, 0] - box.x0) / box.width, (box.y1 - inches[:, 1]) / box.height]
        ).round(4) * 100  # fmt: skip

    curves = curves_in(panel)
    rows = any(curve.rows for curve in curves)
    axis, scale = (panel.yaxis, panel.get_xscale()) if rows else (panel.xaxis, panel.get_yscale())
    places = sorted({float(x) for curve in curves for x in curve.x if np.isfinite(x)})
    (left, bottom), (right, top) = percent(panel.transAxes.transform([(0, 0), (1, 1)]))
    low = (panel.get_xlim()[0], panel.get_ylim()[0])
    corners = [(low[0], place) if rows else (place, low[1]) for place in places]
    at = percent(panel.transData.transform(corners))[:, int(rows)] if places else ()
    lines: dict[str, dict[str, Any]] = {}
    for curve in curves:
        told: list[list[str]] = [[] for _ in places]
        points: list[list[float] | float | None] = [None for _ in places]
        drawn = percent(panel.transData.transform(curve.get_xydata())).round(1).tolist()
        for i in map(int, np.flatnonzero(np.isfinite(curve.x + curve.y))):
            place = places.index(curve.x[i])
            told[place] = _told(curve, i, curve.form if scale == "linear" else ".2g")
            points[place] = drawn[i] if rows else drawn[i][1]
        lines[_key(curve)] = {"name": curve.entry, "told": told, "at": points}
    known = [sum(bool(line["told"][place]) for line in lines.values()) for place in range(len(places))]
    ticks = dict(zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False))
    title = axis.get_label_text()
    return {
        "name": name,
        "rows": rows,
        "x": [f"{title} {round(x, 3):g}" if title else ticks[x].get_text() for x in places],
        "at": [round(float(x), 1) for x in at],
        **{"top": round(float(top), 1), "right": round(float(right), 1)},
        **{"bottom": round(float(bottom), 1), "left": round(float(left), 1)},
        "lines": lines,
        "start": max(range(len(places)), key=lambda place: (known[place], place), default=0),
    }


def _told(curve: Curve, i: int, form: str) -> list[str]:
    """Return a curve's value at a point, and its interval, if any."""
    ends = [float(end[i]) for end in (curve.low, curve.high) if end is not None]
    told = [format(float(curve.y[i]), form)]
    if ends and np.isfinite(ends).all():
        told.append(f"[{', '.join(format(end, form) for end in ends)}]")
    return [each.replace("-", "−") for each in told]


def _key(artist: Artist) -> str:
    return (artist.get_gid() or "").removeprefix("line:")


def _data(readings: dict[str, Any]) -> str:
    if not readings["x"]:
        return ""
    text = json.dumps(readings, ensure_ascii=False, separators=(",", ":"))
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
    """Return a legend handle as SVG: a piece of the line, or a square in its colour."""
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
