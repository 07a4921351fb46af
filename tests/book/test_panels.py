"""Figures as the site shows them."""

import base64
import json
import re
from html import unescape
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from attacks import MARKUP
from bs4 import BeautifulSoup
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from dfa_book.panels import figure_html
from dfa_book.plots import (
    DIGIT_COLOURS,
    INK,
    LABEL_COLOURS,
    MUTED,
    PAPER,
    TURNING,
    Curve,
    draw_curve,
    legend_below,
    row_of_panels,
    seeds_entry,
)
from dfa_lib.experiments.names import COLOURS, SPARE_COLOURS

STYLES = (Path(__file__).parents[2] / "book/_static/figures.css").read_text(encoding="utf-8")
ALT = 'Two panels with a "rising" line.'
SVG = "{http://www.w3.org/2000/svg}"


def two_panels():
    """Two panels of one line with an interval and two seeds; the second has no value at its end."""
    figure, panels = row_of_panels(2, height=3.0)
    for name, panel, end in zip(("near", "far"), panels, (0.75, np.nan), strict=True):
        look = {"color": COLOURS["dfa"], "label": "DFA, SGD"}
        curve = Curve(
            "DFA, SGD", [1, 2, 4], [0.5, 0.625, end], [0.4, 0.5, end], [0.6, 0.75, end], **look
        )
        draw_curve(panel, curve, [([1, 2, 4], [0.5, 0.6, 0.7]), ([1, 2, 4], [0.5, 0.65, 0.8])])
        panel.set(title=name, xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    legend_below(figure, [panels[0].lines[-1], seeds_entry()])
    return figure


def test_no_text_of_a_figure_becomes_markup(attacks):
    def drawn(text):
        figure, (panel,) = row_of_panels(1, height=2.0)
        panel.plot([0, 1], [0, 1], label=text, gid=text)
        panel.set(title=text, xlabel=text, ylabel=text)
        panel.set_xticks([0, 1], [text, text])
        panel.annotate(text, (0.5, 0.5))
        panel.legend(title=text)
        attacks("injections")
        html = figure_html(figure, text, "fig-test")
        tags = BeautifulSoup(html, "html.parser").find_all()
        return {tag.name for tag in tags}, {name for tag in tags for name in tag.attrs}

    plain = drawn("harmless")
    for payload in (*MARKUP, '"><script>x</script>', "]]><script>", "--><script>", "' onload='x"):
        text = payload.replace("$", "")  # between these is TeX, which matplotlib sets
        for start in range(0, len(text), 30):
            tags, attributes = drawn(text[start : start + 30])
            assert tags <= plain[0] | {"g", "use", "tspan"}, text
            assert attributes <= plain[1], text


@pytest.fixture(scope="module")
def html():
    return figure_html(two_panels(), ALT, "fig-test")


@pytest.fixture(scope="module")
def root(html):
    return ElementTree.fromstring(html)  # so it is well-formed, too


@pytest.fixture(scope="module")
def readings(html):
    return [json.loads(unescape(text)) for text in re.findall(r'data-readings="([^"]*)"', html)]


def of_class(root, name):
    return [element for element in root.iter() if element.get("class") == name]


def text(element):
    return " ".join("".join(element.itertext()).split())


# ---- drawings ----


def test_each_panel_is_a_drawing_of_its_own_and_the_first_says_what_all_show(root):
    drawings = [panel.find(f".//{SVG}svg") for panel in of_class(root, "dfa-panel")]
    assert [drawing.get("aria-label") for drawing in drawings] == [ALT, None]
    assert [drawing.get("role") for drawing in drawings] == ["img", None]
    assert [drawing.get("aria-hidden") for drawing in drawings] == [None, "true"]
    for drawing, title in zip(drawings, ("near", "far"), strict=True):
        words = [text(element) for element in drawing.iter(f"{SVG}text")]
        assert {title, "epoch", "accuracy"} <= set(words)


def test_panels_are_drawn_to_one_scale(root):
    widths = {
        svg.get("viewBox").split()[2] for svg in root.iter(f"{SVG}svg") if svg.get("width") is None
    }
    assert len(widths) == 1


def test_letters_are_text(html):
    assert "<text" in html


def test_shades_turn_with_the_page_and_methods_keep_their_colour(html):
    assert f"var(--dfa-ink, {INK})" in html
    assert re.search(rf"(?<!, ){INK}", html) is None
    assert COLOURS["dfa"].lower() in html


def test_a_drawing_leaves_nothing_to_the_page_but_names_that_it_uses_itself(root, html):
    (sheet,) = re.findall(r"<style>(.*?)</style>", html)
    assert all(rule.startswith(".fig-test .") for rule in sheet.split("}") if rule)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', html))
    assert {element.get("id") for element in root.iter()} - {None} <= used


def test_a_style_that_several_elements_have_is_stated_once(html):
    styles = re.findall(r'style="([^"]*)"', html)
    assert len(set(styles)) == len(styles)
    (sheet,) = re.findall(r"<style>(.*?)</style>", html)
    rules = dict(re.findall(r"\.fig-test \.(\w+)\{(.*?)\}", sheet))
    used = re.findall(r'class="(s\d+)"', html)
    assert all(used.count(name) > 1 for name in rules)
    assert set(used) == set(rules)
    assert "clip-path: url(#fig-test-0-" in sheet
    (text,) = {match[1] for match in re.finditer(r'<text class="(\w+)"[^>]*>epoch<', html)}
    assert "text-anchor: middle" in rules[text]


def test_nothing_is_drawn_that_cannot_be_seen(root, html):
    (sheet,) = re.findall(r"<style>(.*?)</style>", html)
    invisible = re.findall(r"\.(s\d+)\{fill: none(?:; clip-path: [^;}]*)?\}", sheet)
    assert invisible == []
    assert not [path for path in root.iter(f"{SVG}path") if path.get("style") == "fill: none"]


def test_the_figure_is_left_as_it_was():
    figure = two_panels()
    figure_html(figure, ALT, "fig-test")
    assert all(artist.get_visible() for artist in [*figure.axes, *figure.legends])


def test_a_figure_without_curves_or_a_legend_is_its_drawings():
    figure = Figure()
    figure.subplots().imshow([[0, 1]])
    html = figure_html(figure, ALT, "fig-test")
    assert html.count("<svg") == 1
    assert "dfa-legend" not in html
    assert "data-readings" not in html


# ---- legends ----


def test_the_legend_is_a_list_without_numbers(root):
    (legend,) = of_class(root, "dfa-legend")
    assert [text(item) for item in legend.iter("li")] == ["DFA, SGD", "single seeds"]


def test_what_belongs_to_an_entry_of_the_legend_bears_its_name(root):
    entries = [item.get("data-line") for item in root.iter("li")]
    assert entries == ["DFA-SGD", "seeds"]
    for panel in of_class(root, "dfa-drawing"):
        marks = [element.get("data-line") for element in panel.iter() if element.get("data-line")]
        assert sorted(marks) == ["DFA-SGD", "DFA-SGD band", "DFA-SGD seeds", "DFA-SGD seeds"]


def test_the_legend_of_what_has_no_values_is_a_list():
    figure = Figure()
    panel = figure.subplots()
    panel.scatter([1, 2], [1, 2], label="points", color="#112233")
    panel.legend()
    root = ElementTree.fromstring(figure_html(figure, ALT, "fig-test"))
    (legend,) = of_class(root, "dfa-legend")
    assert [text(item) for item in legend.iter("li")] == ["points"]
    assert legend in list(of_class(root, "dfa-panel")[0])
    assert "#112233" in ElementTree.tostring(legend, encoding="unicode")


# ---- readings ----


def test_every_value_of_a_curve_comes_along_with_its_interval(readings):
    assert [panel["name"] for panel in readings] == ["near", "far"]
    for panel, end in zip(readings, (["0.750", "[0.750, 0.750]"], []), strict=True):
        assert panel["x"] == ["epoch 1", "epoch 2", "epoch 4"]
        told = panel["lines"]["DFA-SGD"]["told"]
        assert told == [["0.500", "[0.400, 0.600]"], ["0.625", "[0.500, 0.750]"], end]


@pytest.mark.parametrize(
    ("titles", "axes", "names"),
    [
        (("near", "far"), ("y", "y"), ["near", "far"]),
        (("n = 2", "n = 2"), ("test", "training"), ["test", "training"]),
        (("n = 2", ""), ("test", "test"), ["test, n = 2", "test"]),
    ],
)
def test_panels_are_called_by_what_they_differ_in(titles, axes, names):
    figure, panels = row_of_panels(2, height=3.0, same_y=False)
    for panel, title, axis in zip(panels, titles, axes, strict=True):
        draw_curve(panel, Curve("one", [1, 2], [1, 2]))
        panel.set(title=title, ylabel=axis)
    found = re.findall(r'data-readings="([^"]*)"', figure_html(figure, ALT, "fig-test"))
    assert [json.loads(unescape(text))["name"] for text in found] == names


def test_readings_lie_where_the_curve_is_drawn(readings):
    near, far = readings
    at, (low, middle, high) = near["at"], near["lines"]["DFA-SGD"]["at"]
    assert (at[2] - at[1]) / (at[1] - at[0]) == pytest.approx(2, abs=0.02)
    # From 0 at the bottom to 1 at the top, in per cent of the drawing, downwards.
    height = near["bottom"] - near["top"]
    for y, value in ((low, 0.5), (middle, 0.625), (high, 0.75)):
        assert (near["bottom"] - y) / height == pytest.approx(value, abs=0.002)
    assert near["left"] < at[0] < at[2] < near["right"]
    assert far["lines"]["DFA-SGD"]["at"][2] is None


def readings_of(figure):
    (found,) = re.findall(r'data-readings="([^"]*)"', figure_html(figure, ALT, "fig-test"))
    return json.loads(unescape(found))


def test_reading_begins_where_most_lines_have_a_value():
    figure, (panel,) = row_of_panels(1, height=3.0)
    for name, x in (("one", [1, 2]), ("two", [2, 3]), ("three", [2, 4])):
        draw_curve(panel, Curve(name, x, [0.25, 0.5], label=name))
    assert readings_of(figure)["start"] == 1


def test_rows_of_dots_are_read_from_above_where_each_dot_stands():
    figure = Figure()
    panel = figure.subplots()
    for name, shift in (("BP", -0.2), ("DFA", 0.2)):
        look = {"rows": True, "shift": shift, "linestyle": "", "marker": "|"}
        panel.add_line(Curve(name, [0, 1], [0.5, 0.75], [0.4, 0.7], [0.6, 0.8], **look))
    panel.set(yticks=[0, 1], yticklabels=["SGD", "Adam"], ylim=(1.5, -0.5), xlim=(0, 1))
    readings = readings_of(figure)
    assert (readings["rows"], readings["x"]) == (True, ["SGD", "Adam"])
    assert readings["at"][0] < readings["at"][1]
    bp, dfa = (readings["lines"][name] for name in ("BP", "DFA"))
    assert bp["told"] == [["0.500", "[0.400, 0.600]"], ["0.750", "[0.700, 0.800]"]]
    for place, at in enumerate(readings["at"]):
        assert bp["at"][place][1] < at < dfa["at"][place][1]
        assert bp["at"][place][0] == dfa["at"][place][0]


def test_values_are_told_as_a_curve_asks_with_a_true_minus_sign():
    figure, (panel,) = row_of_panels(1, height=3.0)
    draw_curve(panel, Curve("one", [1, 2], [-1.25, 3], form="+.1f"))
    assert readings_of(figure)["lines"]["one"]["told"] == [["−1.2"], ["+3.0"]]


# ---- colours ----


def luminance(colour):
    parts = np.array(to_rgb(colour))
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [
        0.2126,
        0.7152,
        0.0722,
    ]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def dark(name):
    return re.search(rf"--dfa-{name}: (?:var\([\w-]+, )?(#\w+)", STYLES)[1]


@pytest.mark.parametrize(
    "colour", [*COLOURS.values(), *SPARE_COLOURS[1:], *DIGIT_COLOURS, *LABEL_COLOURS, MUTED]
)
def test_a_colour_stands_out_from_a_light_page_and_from_a_dark_one(colour):
    """WCAG 2.2, 1.4.11: 3 to 1."""
    assert contrast(colour, PAPER) >= 3
    assert contrast(colour, dark("paper")) >= 3


@pytest.mark.parametrize("method", ["bp", "dfa"])
def test_bp_and_dfa_are_bright_on_a_dark_page(method):
    assert contrast(COLOURS[method], dark("paper")) >= 4.5


def test_letters_can_be_read_on_light_and_dark_pages_and_in_boxes():
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    for ground in ("paper", "tint"):
        assert contrast(INK, TURNING[ground]) >= 4.5
        assert contrast(dark("ink"), dark(ground)) >= 4.5


def test_every_shade_that_turns_has_another_on_dark_pages():
    assert all(dark(name) != shade for name, shade in TURNING.items())


def test_no_two_things_have_the_same_id_and_each_is_found():
    figures = [figure_html(two_panels(), ALT, name) for name in ("fig-one", "fig-two")]
    ids = [re.findall(r'\bid="([^"]*)"', html) for html in figures]
    used = [set(re.findall(r'(?:href="|url\()#([^")]*)', html)) for html in figures]
    assert all(ids)
    assert [set(found) for found in ids] == used
    assert len({*ids[0], *ids[1]}) == len(ids[0]) + len(ids[1])


def test_a_cloud_of_points_is_a_picture_with_a_palette_and_keeps_its_colours():
    figure = Figure(dpi=200)
    points = np.random.default_rng(0).normal(size=(2, 2_000))
    axes = figure.subplots()
    for half, colour in ((points[:, ::2], "#1f77b4"), (points[:, 1::2], "#d62728")):
        axes.scatter(*half, color=colour, linewidths=0, rasterized=True)
    (picture,) = re.findall(r"data:image/png;base64,([^\"]*)", figure_html(figure, ALT, "fig-cloud"))
    with Image.open(BytesIO(base64.b64decode(picture))) as image:
        assert image.mode == "P"
        counted = image.convert("RGBA").getcolors(1 << 24)
    two = [colour for n, colour in sorted(counted, reverse=True) if colour[3] == 255][:2]
    assert set(two) == {(0x1F, 0x77, 0xB4, 255), (0xD6, 0x27, 0x28, 255)}
