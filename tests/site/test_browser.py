"""The built site in a real browser: Debian's Chromium, driven by Playwright, other hosts shut out.

``make test-site`` has them look at the site in ``_build/html``; ``--site FOLDER`` names another. Each
page is visited once, and what is seen there is kept; then tests ask one thing of all pages. Other tests
use a page as a reader would.
"""

import functools
import itertools
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from firefox import find_firefox, in_firefox
from pages import wait_until

from dfa_book.site.book import Book
from dfa_book.site.web import NOT_FOUND

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted(f"{name}.html" for name in Book(ROOT, ROOT).chapters())
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
A_SECOND = 1_000
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# What axe looks for, and where not: with each link in code that scrolls, its time for targets doubles.
EVERYTHING = {"runOnly": WCAG, "rules": {"target-size": {"enabled": False}}}, []
TARGETS = {"runOnly": ["target-size"]}, ["pre"]
SCROLLING = {"runOnly": ["scrollable-region-focusable"]}, []
COLOURS = {"runOnly": ["color-contrast", "link-in-text-block"]}, []
# Each element costs axe time. Thousands are parts of code, of which one of each kind is enough, and of
# equations, which have one colour.
THIN_OUT = """() => {
    const kinds = new Map();
    for (const token of document.querySelectorAll("pre span:not(:has(a))"))
        kinds.set(token, token.className + getComputedStyle(token.closest("pre")).backgroundColor);
    const seen = new Set();
    for (const [token, kind] of kinds) {
        if (seen.has(kind)) token.replaceWith(token.textContent);
        seen.add(kind);
    }
    const widths = new Map([...document.querySelectorAll("math")].map(math => [math, math.scrollWidth]));
    for (const [math, width] of widths) math.innerHTML = `<mspace width="${width}px"/>`;
    document.body.normalize();
}"""
LOOK = (Path(__file__).parent / "look_at_page.js").read_text(encoding="utf-8")
FIRST_PAINT = """() => new Promise(resolve => new PerformanceObserver(list => {
    for (const paint of list.getEntriesByName("first-contentful-paint")) resolve(paint.startTime);
}).observe({type: "paint", buffered: true}))"""
WIDE = """() => document.scrollingElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll("main :not(pre *, math *, table *)")]
        .filter(element => element.getBoundingClientRect().right > innerWidth)
        .map(element => element.outerHTML.slice(0, 80))"""

GROUNDS = """() => {
    const ground = element => {
        const colour = getComputedStyle(element).backgroundColor;
        return colour === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : colour;
    };
    return [...document.querySelectorAll(".cell .dfa-figure")]
        .filter(figure => ground(figure) !== ground(figure.closest(".cell").parentElement))
        .map(figure => ground(figure));
}"""
# Letters of a figure that cover others; lines of one name belong together.
COVERED = """() => [...document.querySelectorAll(".dfa-drawing")].flatMap(drawing => {
    const texts = [...drawing.querySelectorAll("text")].filter(text => text.textContent.trim());
    const boxes = texts.map(text => text.getBoundingClientRect());
    const names = texts.map(text => text.closest("[data-line]"));
    const found = [];
    for (let i = 0; i < texts.length; i++) for (let j = 0; j < i; j++) {
        const [a, b] = [boxes[i], boxes[j]];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 2 && !(names[i] && names[i] === names[j]))
            found.push(`${texts[i].textContent} | ${texts[j].textContent}`);
    }
    return found;
})"""
# Roots that are as low as a letter, with a gap behind them.
GAPS = """() => [...document.querySelectorAll("msqrt:not(:has(mfrac, msup, msubsup, mover, munder))")]
    .filter(root => root.getBoundingClientRect().right
        - root.lastElementChild.getBoundingClientRect().right > 1)
    .map(root => root.textContent)"""

# Formulas in the text that are cut off, or may break.
CUT = """() => [...document.querySelectorAll(".bd-article span.math > math")].filter(formula => {
    const column = formula.closest("p, li, dd, td, th, figcaption");
    return !column || !formula.getClientRects().length ? false
        : getComputedStyle(formula).textWrapMode !== "nowrap"
        || (!formula.parentElement.matches(".dfa-wide")
            && formula.getBoundingClientRect().right > column.getBoundingClientRect().right + 1);
}).map(formula => formula.textContent.slice(0, 60))"""


@dataclass
class Visit:
    """What was seen on one page."""

    errors: list[str] = field(default_factory=list)  # on the console
    failed: list[str] = field(default_factory=list)  # requests
    first: list[str] = field(default_factory=list)  # requests of the first view
    later: list[str] = field(default_factory=list)  # further ones, down to the page's end
    readable: float = 0.0  # when text was first painted, in ms
    seen: dict[str, Any] = field(default_factory=dict)  # by look_at_page.js
    axe: dict[str, list[str]] = field(default_factory=dict)  # violations on a phone, in light, in dark
    wide: list[str] = field(default_factory=list)  # what sticks out on a phone
    covered: list[str] = field(default_factory=list)  # letters in figures, by others
    gaps: list[str] = field(default_factory=list)  # behind roots
    cut: list[str] = field(default_factory=list)  # formulas in the text of a phone
    grounds: list[str] = field(default_factory=list)  # of figures in the dark, where not the page's own


class Site:
    """A built site, served to this machine alone."""

    def __init__(self, folder: Path, address: str):
        self.folder, self.address = folder, address
        self.pages = sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*.html")
            if not {"_static", "_sources", "_downloads"} & set(path.relative_to(folder).parts)
            and path != folder / NOT_FOUND  # its links lead to where the site is published
        )

    def file(self, address):
        """The file behind an address, ``None`` where it is of another site."""
        if not address.startswith(self.address):
            return None
        return self.folder / unquote(urlsplit(address).path.lstrip("/"))

    def size(self, addresses):
        """Bytes of what was requested; the server compresses nothing."""
        files = [self.file(address) for address in addresses]
        return sum(path.stat().st_size for path in files if path is not None and path.is_file())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def send_error(self, code, *arguments):
        """Show the site's own page for missing addresses, as GitHub Pages does, as if published here."""
        page = Path(self.directory, NOT_FOUND).read_text(encoding="utf-8")
        published = re.search(r'href="([^"]*/)index\.html"', page)[1]
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.replace(f'="{published}', '="/').encode())


@pytest.fixture(scope="module")
def site(open_chromium, request):
    folder = request.config.getoption("--site")
    if folder is None:
        pytest.skip("no site is named to look at: make test-site looks at that of make book")
    assert (folder / "index.html").is_file(), f"{folder} holds no site: run make book first"
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever).start()
    yield Site(folder, f"http://127.0.0.1:{server.server_port}/")
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(chromium, site):
    """An empty tab of a reader who has not been here before."""
    context = chromium.new_context(viewport=DESKTOP, base_url=site.address, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def visits(open_chromium, site):
    """What is seen on each page; two browsers share them."""

    def look(names):
        with open_chromium() as browser:
            return {name: visit(browser, site, name) for name in names}

    with ThreadPoolExecutor() as threads:
        first, second = threads.map(look, (site.pages[::2], site.pages[1::2]))
    return first | second


def visit(chromium, site, name):
    """Look at a page on a phone, on a wide screen and there in the dark, with nothing cached."""
    made = Visit()
    context = chromium.new_context(viewport=PHONE, reduced_motion="reduce", color_scheme="light")
    page = context.new_page()
    requested, failed = [], []
    page.on("console", lambda told: made.errors.append(told.text) if told.type == "error" else None)
    page.on("pageerror", lambda error: made.errors.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("response", lambda reply: failed.append(reply.url) if reply.status >= 400 else None)

    made.readable = open_slowly(page, site.address + name)
    made.first = [url for url in requested if not url.startswith("data:")]
    page.evaluate(
        "document.querySelectorAll('[loading=lazy]').forEach(image => image.loading = 'eager')"
    )
    wait_until(page, "[...document.images].every(image => image.complete)")
    made.later = [url for url in requested if not url.startswith("data:")][len(made.first) :]
    made.seen = page.evaluate(LOOK)

    made.wide = page.evaluate(WIDE)
    made.covered, made.gaps = page.evaluate(COVERED), page.evaluate(GAPS)
    made.cut = page.evaluate(CUT)
    page.evaluate(Axe().axe_script)
    made.axe["on a phone"] = violations(page, SCROLLING, TARGETS)
    page.evaluate(THIN_OUT)
    page.set_viewport_size(DESKTOP)
    made.covered += page.evaluate(COVERED)
    made.axe["in light"] = violations(page, EVERYTHING, TARGETS)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    made.axe["in dark"] = violations(page, COLOURS)
    made.grounds = page.evaluate(GROUNDS)

    made.failed = failed.copy()  # to open a page again breaks off what may still be on its way: its icon
    for _ in range(2):  # other work of the machine can only add to the time
        if made.readable > A_SECOND:
            made.readable = min(made.readable, open_slowly(page, site.address + name))
    context.close()
    return made


def open_slowly(page, address):
    """Open a page on a processor at a quarter of its speed; return when text was painted, in ms."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    page.goto(address, wait_until="commit")
    painted = page.evaluate(FIRST_PAINT)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    page.wait_for_load_state("load")
    return painted


def violations(page, *looks):
    """What axe finds, by one look after the other."""
    found = []
    for options, exclude in looks:
        context = {"exclude": [[selector] for selector in exclude]}
        options = options | {"resultTypes": ["violations"]}
        found += page.evaluate("look => axe.run(...look)", [context, options])["violations"]
    return [
        f"{rule['id']}, {rule['impact']}: {node['html'][:99]} {node['failureSummary'].partition(':')[2]}"
        for rule in found
        for node in rule["nodes"]
    ]


def where(visits, ask):
    """The pages where ``ask`` finds something, with what it finds."""
    found = {name: ask(made) for name, made in visits.items()}
    return {name: what for name, what in found.items() if what}


# ---- every page ----


def test_no_page_writes_an_error_to_the_console(visits):
    assert where(visits, lambda made: made.errors) == {}


def test_no_request_fails(visits):
    assert where(visits, lambda made: made.failed) == {}


def test_no_page_asks_another_host_for_anything(visits, site):
    def foreign(made):
        # Of blob addresses the page itself has made the content: a worker.
        urls = [url for url in made.first + made.later if not url.startswith("blob:")]
        return [url for url in urls if site.file(url) is None]

    assert where(visits, foreign) == {}


def test_every_equation_is_typeset(visits):
    assert sum(made.seen["equations"] for made in visits.values()) > 500
    assert where(visits, lambda made: made.seen["untypeset"] + made.seen["faulty"]) == {}


def test_every_picture_has_its_size_and_every_figure_says_what_is_seen(visits):
    assert sum(made.seen["figures"] for made in visits.values()) > 20
    for fact in ("unsized", "untold", "unseen"):
        assert where(visits, lambda made, fact=fact: made.seen[fact]) == {}


def test_every_link_to_the_site_itself_leads_to_a_page_and_a_place_on_it(visits, site):
    def broken(made):
        return [link for link in made.seen["links"] if link.startswith(site.address) and not leads(link)]

    def leads(link):
        address, place = urldefrag(link)
        path = site.file(address)
        if path.is_dir():
            path /= "index.html"
        name = str(path.relative_to(site.folder))
        return path.is_file() and (
            not place or name not in visits or unquote(place) in visits[name].seen["ids"]
        )

    assert where(visits, broken) == {}


def test_no_two_things_on_a_page_have_the_same_id(visits):
    assert where(visits, lambda made: made.seen["repeated"]) == {}


def test_every_page_has_its_title_and_its_language(visits):
    assert {made.seen["language"] for made in visits.values()} == {"en"}
    titles = [made.seen["title"] for made in visits.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles)


def test_headings_begin_with_one_of_the_first_level_and_skip_none(visits):
    def disorder(made):
        levels = [level for level, _ in made.seen["headings"]]
        jumps = [
            (above, below)
            for above, below in itertools.pairwise(made.seen["headings"])
            if below[0] > above[0] + 1
        ]
        return jumps or levels[:1] != [1] or levels.count(1) != 1

    assert where(visits, disorder) == {}


def test_every_table_has_headers_and_none_is_empty(visits):
    assert where(visits, lambda made: made.seen["headless"]) == {}


@pytest.mark.parametrize("how", ["on a phone", "in light", "in dark"])
def test_axe_finds_nothing_against_wcag_2_2_aa(visits, how):
    assert where(visits, lambda made: made.axe[how]) == {}


def test_in_the_dark_figures_stand_on_the_pages_ground(visits):
    assert where(visits, lambda made: made.grounds) == {}


def test_no_letters_of_a_figure_cover_others(visits):
    assert where(visits, lambda made: made.covered) == {}


def test_no_gap_is_behind_a_root(visits):
    assert where(visits, lambda made: made.gaps) == {}


def test_formulas_in_the_text_are_in_one_piece_and_scroll_if_they_are_wider_than_a_phone(visits):
    assert where(visits, lambda made: made.cut) == {}


def test_no_page_scrolls_sideways_on_a_phone(visits):
    assert where(visits, lambda made: made.wide) == {}


SCROLLED = """() => {
    document.querySelectorAll("details").forEach(fold => fold.open = true);
    document.querySelectorAll(".toggle-hidden").forEach(fold => fold.classList.remove("toggle-hidden"));
    return [...document.querySelectorAll(".cell_input pre, div.math > math")]
        .filter(part => part.scrollWidth > part.clientWidth + 1)
        .map(part => part.textContent.slice(0, 80));
}"""


@pytest.mark.parametrize("name", CHAPTERS)
def test_code_and_equations_fit_their_column_on_a_wide_screen(page, name):
    page.goto(name)
    assert page.evaluate(SCROLLED) == []


def test_what_is_folded_below_a_figure_fits_a_phone_when_it_is_open(page):
    page.set_viewport_size(PHONE)
    page.goto("experiments.html#fig-sgd")  # which uncovers it
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    ends = page.evaluate("""() => [...document.querySelectorAll(".dfa-strip :is(dl, div.highlight)")]
        .filter(part => part.getClientRects().length)
        .map(part => part.getBoundingClientRect().right)""")
    assert len(ends) > 3
    assert max(ends) <= PHONE["width"]


# In a column as narrow as a phone's, the equations whose beginning is to the left of their box.
CUT_OFF = """(() => {
    document.querySelector(".bd-article").style.width = "280px";
    const left = part => part.getBoundingClientRect().left;
    return [...document.querySelectorAll("div.math")].filter(box =>
        [...box.querySelectorAll("math *")].some(part => left(part) < left(box) - 1)
    ).map(box => box.textContent.slice(0, 80)).join();
})()"""


def test_firefox_shows_the_beginning_of_equations_that_are_too_wide(site):
    program = find_firefox()
    if program is None:
        pytest.skip("Firefox is not here")
    looks = ((site.address + name, CUT_OFF) for name in CHAPTERS)
    # Not strict: Firefox would load the next page ahead, which the site's policy forbids, and says so.
    assert set(in_firefox(program, *looks, strict=False)) == {""}


# ---- weight ----


def test_pages_are_light_and_few_requests(visits, site, record_property):
    # When text is there is told and not asserted: it depends on the machine and its other work.
    lines = [f"{'page':31} {'first view':>22} {'whole page':>23} {'text after':>11}"]
    for name in CHAPTERS:
        made = visits[name]
        counts = (
            f"{site.size(some) / 1e6:8.2f} MB in {len(some):2} requests"
            for some in (made.first, made.first + made.later)
        )
        lines.append(f"{name:30} {' '.join(counts)} {made.readable:8.0f} ms")
    record_property("weight of chapters", "\n".join(lines))
    assert where(visits, lambda made: len(made.first) > 25 and len(made.first)) == {}
    assert where(visits, lambda made: (size := site.size(made.first)) > 930_000 and size) == {}
    assert (
        where(visits, lambda made: (size := site.size(made.first + made.later)) > 3_000_000 and size)
        == {}
    )


# ---- as a reader uses it ----


def test_search_finds_feedback_alignment(page):
    page.goto("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("feedback alignment")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=feedback+alignment")
    results = page.locator("#search-results li a")
    results.first.wait_for()
    found = {link.get_attribute("href").partition("?")[0].partition("#")[0] for link in results.all()}
    assert {"foundations.html", "experiments.html"} <= found


def results_of(page, words):
    """Each result of a search: its page, and whether it is a function."""
    page.goto(f"search.html?q={words}")
    page.locator("#search-results p.search-summary", has_text="found").wait_for()
    return page.evaluate(
        """() => [...document.querySelectorAll("#search-results li")].map(item => [
            item.querySelector("a").getAttribute("href").replace(/[?#].*/, ""),
            /\\(Python /.test(item.textContent),
        ])"""
    )


def test_search_finds_pages_before_functions(page):
    functions = [is_function for _, is_function in results_of(page, "DFA")]
    assert functions == sorted(functions)
    assert functions.count(False) > 10
    assert functions.count(True) > 10


@pytest.mark.parametrize("word", ["collapse", "diverged", "unstable"])
def test_search_finds_words_that_readers_use(page, word):
    assert "glossary.html" in [name for name, _ in results_of(page, word)[:5]]


def test_the_icon_of_the_search_covers_no_text(page):
    page.goto("search.html")
    field = page.locator(".bd-search-container input")
    start = field.evaluate("field => parseFloat(getComputedStyle(field).paddingLeft)")
    icon = page.locator(".bd-search-container .fa-magnifying-glass").first.bounding_box()
    assert icon["x"] + icon["width"] <= field.bounding_box()["x"] + start


def test_the_index_lists_functions_and_terms_and_no_modules(page):
    page.goto("genindex.html")
    names = page.locator(".genindextable a").all_inner_texts()
    assert len(names) > 100
    assert "module" not in names


def test_paper_has_the_title_with_its_number_and_nothing_to_click_on(page):
    page.goto("ledger.html")
    page.emulate_media(media="print")
    titles = [title.inner_text() for title in page.locator("h1:visible").all()]
    assert [title.partition(" ")[0] for title in titles] == ["6."]
    assert page.locator(".dfa-strip:visible, .dfa-filters:visible").count() == 0


@pytest.mark.parametrize("address", ["nowhere.html", "reference/no/where/"])
def test_a_missing_page_has_the_books_look_and_leads_home_at_any_depth(page, address):
    reply = page.goto(address)
    assert reply.status == 404
    assert page.get_by_role("heading", level=1).inner_text() == "Page not found"
    assert "STIX" in page.locator(".bd-article").evaluate("one => getComputedStyle(one).fontFamily")
    assert page.get_by_role("navigation").get_by_role("link", name="Introduction").first.is_visible()
    page.get_by_role("link", name="The home page").click()
    page.wait_for_url("**/index.html")
    assert page.locator(".dfa-home").is_visible()


# What is read, by a reader's eyes, behind each box of 'Predict first' in its section.
BEHIND = """() => [...document.querySelectorAll(".dfa-predict")].map(box => {
    const texts = [];
    for (let next = box.nextElementSibling; next; next = next.nextElementSibling) {
        if (next.matches("section, .dfa-predict")) break;
        if (next.getClientRects().length && next.checkVisibility()) texts.push(next.innerText);
    }
    return texts.join(" ");
})"""


@pytest.mark.parametrize("name", ["learning-problems.html", "experiments.html"])
def test_nothing_gives_a_figures_answer_away_before_its_reader_has_chosen(page, chromium, site, name):
    told = re.compile(r"\d\s?%|\d\.\d|\bAnswer\b|\bholds?\b|The thesis")
    page.goto(name)
    assert [text for text in page.evaluate(BEHIND) if told.search(text)] == []
    page.get_by_role("button", name="Show the figure").first.click()
    first, *others = page.evaluate(BEHIND)
    assert len(told.findall(first)) > 10
    assert [text for text in others if told.search(text)] == []
    context = chromium.new_context(java_script_enabled=False, base_url=site.address)
    plain = context.new_page()
    plain.goto(name)
    for text in ("Does this edition agree?", "The numbers behind the figure"):
        assert all(part.is_visible() for part in plain.get_by_text(text).all())
    assert plain.locator("figure").first.is_visible()
    context.close()


def test_charts_that_are_drawn_in_the_page_cut_no_label_off(page):
    page.add_init_script("""
        window.cut = [];
        window.written = 0;
        const write = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            window.written += 1;
            const start = x - (this.textAlign === "right" ? this.measureText(text).width : 0);
            if (start < 0) window.cut.push(text);
            write.call(this, text, x, y);
        };
    """)
    page.goto("live.html")
    for view in ("race", "clusters"):
        place = page.locator(f".dfa-live[data-view={view}]")
        place.scroll_into_view_if_needed()
        place.get_by_text("Step 0 of").wait_for()
        wait_until(page, "window.written > 0")
    assert page.evaluate("window.cut") == []


def test_links_in_tables_have_the_colour_of_links(page):
    page.goto("introduction.html")
    colour = "link => getComputedStyle(link).color"
    links = (page.locator(f".bd-article {place} a.reference").first for place in ("p", ".table"))
    assert len({link.evaluate(colour) for link in links}) == 1


def test_dark_mode_is_switched_by_a_button_and_stays(page):
    page.goto("introduction.html")
    for _ in range(3):  # it goes round light, dark and what the system says
        page.locator(".theme-switch-button:visible").first.click()
        if page.evaluate("localStorage.mode") == "dark":
            break
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(page.evaluate(brightness)) < 64
    page.goto("conclusion.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert max(page.evaluate(brightness)) < 64
    bars = "getComputedStyle(document.querySelector('.bd-sidebar-primary')).scrollbarColor"
    assert page.evaluate(bars) != "auto"


def test_dark_mode_follows_the_system_of_a_reader_who_chose_nothing(page):
    page.emulate_media(color_scheme="dark")
    page.goto("index.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_data_below_a_figure_unfold_by_keyboard_and_the_table_downloads(page, site):
    page.goto("experiments.html#fig-sgd")  # which uncovers what belongs to it
    fold = page.locator(".dfa-strip > details", has_text="Results").first
    link = fold.locator("a.download[href$='.csv']").first
    assert not link.is_visible()
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    with page.expect_download() as download:
        link.click()
    there = site.file(page.url).parent / link.get_attribute("href")
    assert download.value.path().read_bytes() == there.read_bytes()
    page.keyboard.press("Escape")


def test_a_chapters_plain_notebooks_download(page, site):
    page.goto("experiments.html")
    for edition in ("student", "instructor"):
        page.locator(".dropdown-download-buttons > button").click()
        with page.expect_download() as download:
            page.locator(f".btn-download-{edition}-button").click()
        there = site.folder / "_notebooks" / edition / "experiments.ipynb"
        assert download.value.path().read_bytes() == there.read_bytes()


def test_a_copy_button_copies_its_code(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("extension.html")
    block = page.locator("div.highlight:has(button.copybtn):visible").first
    block.locator("button.copybtn").focus()
    page.keyboard.press("Enter")
    wait_until(page, "navigator.clipboard.readText().then(text => text.length > 0)")
    assert page.evaluate("navigator.clipboard.readText()") == block.locator("pre").inner_text().strip()


def test_the_solution_of_an_exercise_unfolds_and_folds_by_mouse_and_by_keyboard(page):
    page.goto("introduction.html")
    solution = page.locator(".solution").first
    text = solution.locator("section p, section pre").first
    button = solution.locator(".toggle-button")
    assert text.is_hidden()
    button.click()
    assert text.is_visible()
    assert button.get_attribute("aria-expanded") == "true"
    button.focus()
    page.keyboard.press("Space")
    assert text.is_hidden()
    assert button.get_attribute("aria-expanded") == "false"


def test_the_first_tab_leads_past_the_navigation(page):
    page.goto("experiments.html")
    page.keyboard.press("Tab")
    skip = page.locator(":focus")
    assert skip.inner_text() == "Skip to main content"
    assert skip.bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_what_has_the_focus_is_seen_and_looks_it(page):
    """Go through a whole page by Tab: every fold, button and link is met, in sight, and marked."""
    page.goto("extension.html")
    met, unmarked = set(), []
    while stop := press_tab(page):
        met.add(stop["kind"])
        if not stop["marked"]:
            unmarked.append(stop["html"])
    assert unmarked == []
    assert {"a", "button", "summary", "copybtn", "toggle-button"} <= met


def press_tab(page):
    page.keyboard.press("Tab")
    return page.evaluate(
        """() => {
            const element = document.activeElement;
            const marked = part => {
                const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(part);
                const outlined = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
                return part.getClientRects().length && part.checkVisibility({ opacityProperty: true })
                    && (outlined || boxShadow !== "none");
            };
            return element !== document.body && {
                kind: ["toggle-button", "copybtn"].find(name => element.classList.contains(name))
                    || element.localName,
                marked: [element, ...element.children].some(marked),
                html: element.outerHTML.slice(0, 120),
            };
        }"""
    )


def test_nothing_moves_for_a_reader_who_asked_for_rest(page):
    page.goto("introduction.html")
    moving = """() => [...document.querySelectorAll("*")].filter(element => {
        const style = getComputedStyle(element);
        const times = `${style.transitionDuration},${style.animationDuration}`.split(",");
        return Math.max(...times.map(parseFloat)) > 0.01 || style.scrollBehavior === "smooth";
    }).map(element => element.outerHTML.slice(0, 80))"""
    assert page.evaluate(moving) == []
