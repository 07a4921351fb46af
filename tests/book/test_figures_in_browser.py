"""Figures in a real browser, as readers use them: Debian's Chromium, driven by Playwright."""

from pathlib import Path

import pytest

from dfa_book.panels import figure_html
from dfa_book.plots import (
    Curve,
    draw_curve,
    legend_below,
    row_of_panels,
    seeds_entry,
)
from dfa_lib.experiments.names import COLOURS

STATIC = Path(__file__).parents[2] / "book/_static"
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
EPOCHS = [1, 2, 3, 4]


def figure():
    """Two panels along the same epochs, with two methods of two seeds."""
    drawn, panels = row_of_panels(2, height=4.0)
    for name, panel, shift in zip(("near", "far"), panels, (0.0, 0.1), strict=True):
        for method, start in (("bp", 0.5), ("dfa", 0.4)):
            y = [start + shift + 0.05 * epoch for epoch in EPOCHS]
            low, high = [value - 0.1 for value in y], [value + 0.1 for value in y]
            curve = Curve(method, EPOCHS, y, low, high, color=COLOURS[method], label=method)
            draw_curve(panel, curve, [(EPOCHS, low), (EPOCHS, high)])
        panel.set(title=name, xlabel="epoch", ylabel="accuracy", ylim=(0, 1))
    curves = [line for line in panels[0].lines if isinstance(line, Curve)]
    legend_below(drawn, [*curves, seeds_entry()])
    return drawn


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width">'
        f'<link rel="stylesheet" href="{STATIC.as_uri()}/figures.css">'
        f'<script src="{STATIC.as_uri()}/figures.js"></script></head>'
        f'<body style="max-width: 50rem; margin: auto"><figure style="margin: 1rem">'
        f"{figure_html(figure(), 'Rising lines.', 'fig-test')}</figure></body></html>",
        encoding="utf-8",
    )
    return path.as_uri()


@pytest.fixture
def visit(open_page, address):
    return lambda viewport=DESKTOP, **options: open_page(address, viewport=viewport, **options)


@pytest.fixture
def page(visit):
    return visit()


def told(page):
    """What the boxes that are seen say: the place, and each line's values."""
    rows = page.locator(".dfa-box:visible > div")
    return [" ".join(row.inner_text().split()) for row in rows.all()]


AT_EPOCH_2 = ["epoch 2", "bp 0.600 [0.500, 0.700]", "dfa 0.500 [0.400, 0.600]"]


def point_at_epoch_2(page):
    box = page.locator(".dfa-slider").first.bounding_box()
    page.mouse.move(box["x"] + 0.36 * box["width"], box["y"] + 0.5 * box["height"])


# ---- reading ----


def test_without_a_script_the_figure_is_whole(visit):
    page = visit(java_script_enabled=False)
    assert page.locator(".dfa-legend").inner_text().split() == ["bp", "dfa", "single", "seeds"]
    assert page.locator(".dfa-legend button, .dfa-slider, .dfa-hint").count() == 0
    assert page.get_by_role("img", name="Rising lines.").is_visible()


def test_values_are_seen_only_while_somebody_reads_and_a_hint_says_how(page):
    unread = ".dfa-cursor:visible, .dfa-dot:visible, .dfa-box:visible"
    assert page.locator(unread).count() == 0
    assert "point at a panel" in page.locator(".dfa-hint").inner_text()
    point_at_epoch_2(page)
    assert told(page) == AT_EPOCH_2
    page.mouse.move(0, 0)
    assert page.locator(unread).count() == 0


def test_after_it_is_left_the_cursor_is_back_at_the_last_epoch(page):
    point_at_epoch_2(page)
    slider = page.get_by_role("slider", name="Read near")
    assert slider.get_attribute("aria-valuenow") == "1"
    page.mouse.move(0, 0)
    assert slider.get_attribute("aria-valuenow") == "3"


def test_who_points_at_a_panel_sees_where_all_are_that_share_its_axis(page):
    point_at_epoch_2(page)
    assert page.locator(".dfa-cursor:visible").count() == 2
    assert page.locator(".dfa-dot:visible").count() == 4


def test_the_box_stays_within_its_drawing(visit):
    for viewport in (DESKTOP, PHONE):
        page = visit(viewport)
        drawing = page.locator(".dfa-drawing").first.bounding_box()
        slider = page.locator(".dfa-slider").first.bounding_box()
        for share in (0.05, 0.36, 0.6, 0.95):
            page.mouse.move(slider["x"] + share * slider["width"], slider["y"] + 5)
            box = page.locator(".dfa-box:visible").bounding_box()
            assert drawing["x"] - 1 <= box["x"]
            assert box["x"] + box["width"] <= drawing["x"] + drawing["width"] + 1


def test_a_dot_lies_on_its_line(page):
    point_at_epoch_2(page)
    dot = page.locator('.dfa-dot[data-line="bp"]').first.bounding_box()
    panel = page.locator(".dfa-slider").first.bounding_box()
    height = 1 - (dot["y"] + dot["height"] / 2 - panel["y"]) / panel["height"]
    assert height == pytest.approx(0.6, abs=0.01)  # the panel goes from 0 to 1


def test_a_finger_reads_too(visit):
    page = visit(PHONE, has_touch=True)
    slider = page.locator(".dfa-slider").first
    box = slider.bounding_box()
    slider.tap(position={"x": 0.36 * box["width"], "y": 0.5 * box["height"]})
    assert told(page) == AT_EPOCH_2


def test_keys_read_and_what_is_read_is_said(page):
    page.keyboard.press("Tab")
    slider = page.get_by_role("slider", name="Read near")
    assert slider.evaluate("element => element === document.activeElement")
    for key in ("Home", "ArrowRight"):
        page.keyboard.press(key)
    assert told(page) == AT_EPOCH_2
    said = "epoch 2: bp 0.600 [0.500, 0.700]; dfa 0.500 [0.400, 0.600]"
    assert slider.get_attribute("aria-valuetext") == said
    for key in ("PageUp", "ArrowRight"):  # there is nothing beyond the end
        page.keyboard.press(key)
    assert told(page)[0] == "epoch 4"


# ---- choosing ----


def seen(page, entry):
    return page.locator(f'.dfa-drawing svg [data-line~="{entry}"]:visible').count()


@pytest.mark.parametrize(("entry", "others"), [("bp", "dfa"), ("dfa", "bp"), ("seeds", None)])
def test_an_entry_of_the_legend_hides_what_belongs_to_it_and_shows_it_again(page, entry, others):
    name = "single seeds" if entry == "seeds" else entry
    before = {each: seen(page, each) for each in ("bp", "dfa", "seeds")}
    assert min(before.values()) > 0
    button = page.get_by_role("button", name=name)
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    struck = "entry => getComputedStyle(entry).textDecorationLine"
    assert button.locator(".dfa-entry").evaluate(struck) == "line-through"
    assert seen(page, entry) == 0
    if others:
        assert seen(page, others) == before[others]
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    assert {each: seen(page, each) for each in before} == before


def test_an_entry_stands_out_while_it_is_pointed_at(page):
    page.get_by_role("button", name="bp").hover()
    assert page.locator('.dfa-faint[data-line~="bp"]').count() == 0
    assert page.locator('.dfa-faint[data-line~="dfa"]').count() > 0
    page.mouse.move(0, 0)
    assert page.locator(".dfa-faint").count() == 0


def test_entries_are_large_enough_for_a_finger(visit):
    """WCAG 2.2, 2.5.8: 24 pixels."""
    boxes = [button.bounding_box() for button in visit(PHONE).locator(".dfa-legend button").all()]
    assert len(boxes) == 3
    assert min(min(box["width"], box["height"]) for box in boxes) >= 24


# ---- looks ----


def test_panels_stand_side_by_side_where_there_is_room_and_else_below_each_other(visit):
    for viewport, beside in ((DESKTOP, True), (PHONE, False)):
        page = visit(viewport)
        first, second = (panel.bounding_box() for panel in page.locator(".dfa-panel").all())
        assert (first["y"] == second["y"]) == beside
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_letters_are_as_large_as_text(visit, viewport):
    page = visit(viewport)
    sizes = page.locator(".dfa-drawing text").evaluate_all(
        """all => all.map(text => {
            const { a, b } = text.getScreenCTM();  // some are turned
            return parseFloat(getComputedStyle(text).fontSize) * Math.hypot(a, b);
        })"""
    )
    assert 10 <= min(sizes) <= max(sizes) <= 18


def test_letters_and_lines_turn_with_the_theme_and_methods_keep_their_colour(page):
    def colours(selector, what):
        return page.locator(selector).evaluate_all(
            f"all => [...new Set(all.map(mark => getComputedStyle(mark).{what}))]"
        )

    letters, lines = ".dfa-drawing text", '.dfa-drawing [data-line="bp"] path'
    light = colours(letters, "fill"), colours(lines, "stroke")
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark = colours(letters, "fill"), colours(lines, "stroke")
    assert light[0] != dark[0]
    assert light[1] == dark[1]
    page.emulate_media(media="print")  # paper is light
    assert colours(letters, "fill") == light[0]


def test_on_paper_there_is_nothing_to_read_with(page):
    point_at_epoch_2(page)
    page.emulate_media(media="print")
    assert page.locator(".dfa-cursor:visible, .dfa-dot:visible, .dfa-slider:visible").count() == 0


def test_the_script_is_small():
    assert (STATIC / "figures.js").stat().st_size < 10_000
