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
from io import BytesIO, StringIO
from itertools import count
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from PIL import Image

from .plots import INK, TURNING, Curve, curves_in

# Margin around a panel, in inches.
MARGIN = 0.04
# Makes ids deterministic, so that the same figure is the same text.
SVG: dict[Any, Any] = {"svg.hashsalt": "dfa"}
NAMESPACE = "http://www.w3.org/2000/svg"
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
        specs = [panel.get_subplotspec() for panel in panels]
        columns = max((spec.get_gridspec().ncols for spec in specs if spec is not None), default=1)
        size = f"--columns: {columns}; --width: {72 * width:.0f}px"
        whole = Element("div", {"class": f"dfa-figure {name}", "style": size})
        inner = SubElement(whole, "div", {"class": "dfa-panels"})
        described = {"role": "img", "aria-label": alt}
        for panel, svg, values in zip(panels, drawings, readings, strict=True):
            svg.attrib = described | svg.attrib
            described = {"aria-hidden": "true"}  # the first drawing speaks for all
            box = SubElement(inner, "div", {"class": "dfa-panel"})
            SubElement(box, "div", {"class": "dfa-drawing", **_data(values)}).append(svg)
            box.extend(_legend(panel.get_legend()))
        for legend in figure.legends:
            whole.extend(_legend(legend))
    for number, svg in enumerate(whole.iter("svg")):
        _give_own_ids(svg, f"{name}-{number}-")
    _share_styles(whole, name)
    return tostring(whole, encoding="unicode").replace(" />", "/>")


def _give_own_ids(svg: Element, prefix: str) -> None:
    short: defaultdict[str, str] = defaultdict(map(str, count()).__next__)

    def own(name: str, value: str) -> str:
        if name == "id":
            return prefix + short[value]
        reference = "^#" if name == "href" else r"url\(#"
        return re.sub(rf"({reference})([^)]*)", lambda found: found[1] + prefix + short[found[2]], value)

    for element in svg.iter():
        element.attrib = {name: own(name, value) for name, value in element.items()}


def _share_styles(whole: Element, name: str) -> None:
    """State each style that several elements have once; repeated, it is a third of a figure."""
    for element in whole.iter():
        if {"clip-path", "style"} <= element.attrib.keys():
            clip = element.attrib.pop("clip-path")
            element.set("style", f"{element.get('style')}; clip-path: {clip}")
    counts = Counter(element.get("style", "") for element in whole.iter())
    shared = [style for style, times in counts.items() if style and times > 1]
    classes = {style: f"s{number}" for number, style in enumerate(shared)}
    for element in whole.iter():
        if element.get("style") in classes:
            element.attrib = {"class": classes[element.attrib.pop("style")], **element.attrib}
    # Within the first drawing: SVG, unlike a page's text, may contain style sheets.
    sheet = Element("style")
    sheet.text = "".join(f".{name} .{key}{{{style}}}" for style, key in classes.items())
    for svg in whole.findall(".//svg[1]")[:1]:
        svg.insert(0, sheet)


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


def _drawing(figure: Figure, panel: Axes, box: Bbox) -> Element:
    with _hidden(*(axes for axes in figure.axes if axes is not panel)):
        return _svg(figure, box)


def _svg(figure: Figure, box: Bbox) -> Element:
    """Return the part of a figure within a box, in inches, as SVG for a page."""
    file = StringIO()
    figure.savefig(file, format="svg", bbox_inches=box, transparent=True, metadata={"Date": None})
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', file.getvalue()))
    svg = fromstring(file.getvalue())
    for element in svg.iter():
        element.tag = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        pairs = (_attribute(name, value, used) for name, value in element.items())
        element.attrib = {name: value for name, value in pairs if value}
        element.text, element.tail = (
            text if text and text.strip() else None for text in (element.text, element.tail)
        )
    _remove_unseen(svg)
    svg.attrib = {"viewBox": svg.attrib["viewBox"], "xmlns": NAMESPACE, "version": "1.1"}
    return svg


def _attribute(name: str, value: str, used: set[str]) -> tuple[str, str]:
    """Return an attribute as the page needs it; without a value, if it does not."""
    if name == "id" and value.startswith("line:"):
        return "data-line", value.removeprefix("line:").replace(":", " ")
    if name == "id":
        return name, value if value in used else ""
    if name == "transform" and re.fullmatch(r"rotate\(-0 [^)]*\)", value):
        return name, ""
    if name.endswith("href"):
        start, comma, picture = value.partition("base64,")
        return "href", start + comma + _lighter(picture.strip()) if picture else value
    if name in ("d", "x", "y"):  # a tenth of a point is below the resolution of screens
        value = re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)
    if name == "d":  # most white space in paths has no effect
        return name, re.sub(r" (?=[A-Zz-])|(?<=[A-Z]) ", "", " ".join(value.split()))
    if name == "style":  # figures.css sets the font
        value = re.sub(r" font-family: [^;]*;", "", value)
    value = value.replace("#000000", INK)  # matplotlib's default, which text does not state
    for shade_name, shade in TURNING.items():
        value = value.replace(shade, f"var(--dfa-{shade_name}, {shade})")
    return name, value


def _remove_unseen(element: Element) -> None:
    """Remove what has no effect, and bare groups: matplotlib puts two around each tick."""
    children: list[Element] = []
    for child in element:
        _remove_unseen(child)
        ground = child.attrib.keys() == {"d", "style"} and child.get("style") == "fill: none"
        empty = child.tag == "defs" and not len(child)
        if child.tag == "g" and not child.attrib:
            children += child
        # matplotlib's style rule would apply to the whole page; figures.css has it instead.
        elif not (ground or empty or child.tag in ("metadata", "style")):
            children.append(child)
    element[:] = children


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


def _data(readings: dict[str, Any]) -> dict[str, str]:
    text = json.dumps(readings, ensure_ascii=False, separators=(",", ":"))
    return {"data-readings": text} if readings["x"] else {}


# ---- legends ----


def _legend(legend: Legend | None) -> list[Element]:
    if legend is None:
        return []
    entries = Element("ul", {"class": "dfa-legend"})
    if title := legend.get_title().get_text():
        SubElement(entries, "li").text = title
    handles = [handle for handle in legend.legend_handles if handle is not None]
    for handle, text in zip(handles, legend.get_texts(), strict=True):
        item, mark = SubElement(entries, "li", {"data-line": _key(handle)}), _mark(handle)
        SubElement(item, "span", {"class": "dfa-entry"}).append(mark)
        mark.tail, item.tail = text.get_text(), "\n"
    return [entries]


def _mark(handle: Artist) -> Element:
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
    svg.attrib = {"aria-hidden": "true", "width": "30", "height": "10", **svg.attrib}
    return svg
