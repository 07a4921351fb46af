"""The files of a built site: ``make test-site`` reads those of ``make book``, or ``--site FOLDER``."""

import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from plain import traces_of_myst

from dfa_book.claims.ledger import CLAIMS, OWN_CLAIMS
from dfa_book.claims.queries import final
from dfa_book.site.book import Book
from dfa_book.site.myst import labels
from dfa_book.site.teach import EDITIONS, read_pages
from dfa_book.site.web import NOT_FOUND
from dfa_book.words import points
from dfa_lib.experiments.provenance import fingerprint
from dfa_lib.experiments.results import read_results

ROOT = Path(__file__).parents[2]
CHAPTERS = Book(ROOT, ROOT).chapters()
FIGURES = {
    "introduction.html": ["Fig. 1", "Fig. 2"],
    "foundations.html": [f"Fig. 1.{number}" for number in range(1, 6)],
    "learning-problems.html": [f"Fig. 2.{number}" for number in range(1, 4)],
    "experiments.html": [f"Fig. 3.{number}" for number in range(1, 8)],
    "conclusion.html": ["Fig. 4.1"],
    "extension.html": [f"Fig. 5.{number}" for number in range(1, 4)],
    "deviations.html": [f"Fig. 7.{number}" for number in range(1, 6)],
    "beyond/edge.html": [f"Fig. 8.{number}" for number in range(1, 4)],
    "beyond/depth.html": [f"Fig. 9.{number}" for number in range(1, 4)],
    "beyond/align.html": [f"Fig. 10.{number}" for number in range(1, 3)],
    "beyond/rich.html": [f"Fig. 11.{number}" for number in range(1, 4)],
    "beyond/hard.html": [f"Fig. 12.{number}" for number in range(1, 4)],
    "appendix-representations.html": [f"Fig. B.{number}" for number in range(1, 4)],
    "appendix-reproducibility.html": [f"Fig. C.{number}" for number in range(1, 7)],
}


@pytest.fixture(scope="session")
def html(request):
    folder = request.config.getoption("--site")
    if folder is None:
        pytest.skip("no site is named to look at: make test-site looks at that of make book")
    return folder


@pytest.fixture(scope="session")
def profile(html):
    """The profile of the edition, which each figure states."""
    text = BeautifulSoup((html / "experiments.html").read_bytes(), "html.parser").get_text()
    return re.search(r"profile (\w+),\s\d+\sseeds", text)[1]


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.links, self.ids = [], set()
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if "id" in attributes:
            self.ids.add(attributes["id"])


def test_every_chapter_is_a_page(html):
    for name in CHAPTERS:
        assert (html / f"{name}.html").is_file()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_numbered_and_say_what_is_seen(html, name):
    page = Page(html / name)
    assert re.findall(r'class="caption-number">(Fig\. [\w.]*\w)', page.text) == FIGURES[name]
    said = re.findall(r'<svg role="img" aria-label="([^"]*)"', page.text)
    assert [len(alt) >= 40 for alt in said] == [True] * len(FIGURES[name])
    assert page.text.count('<div class="dfa-figure ') == len(FIGURES[name])


def test_networks_train_in_the_page_by_one_script_whose_classes_keep_their_rules(html):
    for name, views in (("live", ["turn", "race", "clusters"]), ("foundations", ["turn", "race"])):
        text = (html / f"{name}.html").read_text(encoding="utf-8")
        assert re.findall(r'class="dfa-live" data-view="(\w+)"', text) == views
        assert text.count('src="_static/live.mjs"') == 1
        without = re.findall(r'class="dfa-live"[^>]*></div>\s*<\w+ class="live-still">', text)
        assert len(without) == len(views)  # what stands there without scripts
    static = html / "_static"
    assert not (static / "live").exists()
    assert (static / "live-digits.mjs").is_file()
    assert (static / "live-turn.svg").is_file()
    css = (static / "book.css").read_text(encoding="utf-8")
    assert ".live-needle-thin" in css


def test_references_use_the_letters_of_appendices(html):
    text = (html / "appendix-derivation.html").read_text(encoding="utf-8")
    assert re.findall(r'class="eqno">\((.*?)\)<', text)[:2] == ["A.1", "A.2"]
    assert re.search(r'href="#equation-eq-derivation-loss">\(A\.2\)</a>', text)


@pytest.mark.parametrize("name", FIGURES)
def test_below_each_figure_stands_how_it_was_made(html, profile, name):
    page = BeautifulSoup((html / name).read_bytes(), "html.parser")
    strips = page.select("div.dfa-strip")
    assert len(strips) == len(FIGURES[name])
    for strip in strips:
        titles = [" ".join(summary.get_text().split()) for summary in strip.select("summary")]
        assert titles[-3:] == ["Data", "How made", "Make again"]
        assert titles[:-3] in (["Code"], [])  # where the page does not show it
        text = re.sub(r"\s+", " ", strip.get_text())
        assert re.search(rf"profile {profile}, \d+ seeds, \d+ epochs, device cpu; executed on", text)
        line = f"papermill book/{name.removesuffix('.html')}.ipynb out.ipynb"
        assert line + (" -p profile mnist" if profile == "mnist" else "") in text
        if "nothing was trained" not in text:
            assert re.search(
                r"(?:digits|mnist), checksum \w{16}|(clusters|inputs), which each run", text
            )
            code = r"\w{12}\b" if profile == "mnist" else fingerprint().split()[1]
            assert re.search(f"numerical code {code}", text)
            fresh = "the numerical code, torch and the data are those of this build"
            checked = r"older than the code .*; \d+ runs? trained again on"
            assert fresh in text or (profile == "mnist" and re.search(checked, text))


def test_the_list_of_figures_leads_to_each_and_says_that_it_is_fresh(html, profile):
    text = (html / "figures.html").read_text(encoding="utf-8")
    listed = re.findall(r"<dt><a [^>]*href=\"([^\"#]+)#[^>]*>.*?>(Fig\. [\w.]+)<", text)
    assert listed == [(name, number) for name, numbers in FIGURES.items() for number in numbers]
    assert len(re.findall(r"; fresh(?:</p>|; confirmed on )", text)) == len(listed) or profile == "mnist"


def test_no_page_shows_an_error_or_a_path_of_the_machine(html):
    for path in html.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "Traceback (most recent call last)" not in text
        assert str(html.resolve().parents[1]) not in text


def test_every_internal_link_leads_somewhere(html):
    pages = {path.name: Page(path) for path in html.glob("*.html")}
    broken = []
    for name, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if "://" in link or target.startswith("mailto:"):
                continue
            target = target.partition("?")[0].lstrip("/")  # of the page for missing addresses
            there = pages.get(target or name)
            exists = (html / target).exists() and (not anchor or not there or anchor in there.ids)
            if not exists:
                broken.append((name, link))
    assert broken == []


def said(page):
    """The text of a page, with plain spaces."""
    text = re.sub(r"<[^>]*>", "", page.read_text(encoding="utf-8"))
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "")


def test_home_page_two_minute_page_and_conclusion_say_what_the_ledger_says(html, profile):
    (link,) = [link for link in Page(html / "experiments.html").links if link.endswith("/sgd.csv")]
    results = read_results(html / link)
    gap = final(results, k=3, method="bp") - final(results, k=3, method="dfa")
    entry = said(html / "ledger.html").partition("With three digits and SGD, DFA lags behind BP.")[2]
    here, costs = points(gap.interval().mean), {}
    for name in ("index", "two-minutes", "conclusion"):
        text = said(html / f"{name}.html")
        for dataset in ("On the digits", "On MNIST"):
            cost = re.search(
                rf"{dataset}, BP with SGD .*?\. Random feedback costs ([\d.]+) points \(([^;)]*)", text
            ).groups()
            assert costs.setdefault(dataset, cost) == cost
            assert "{} points (95 % interval: {}".format(*cost) in entry
    assert costs["On MNIST"] == ("7.9", "7.1 to 8.6")
    assert "7.9 points (95 % interval: 7.1 to 8.6; 5 seeds)" in entry
    assert costs["On MNIST" if profile == "mnist" else "On the digits"][0] == here


def test_every_claim_is_a_row_that_a_link_opens(html):
    page = Page(html / "ledger.html")
    rows = re.findall(r'<details class="dfa-claim".*?</details>', page.text, flags=re.DOTALL)
    claims = (*CLAIMS, *OWN_CLAIMS)
    assert len(rows) == len(claims)
    for row, claim in zip(rows, claims, strict=True):
        # The label is inside the fold: browsers open what a link leads into.
        assert f'id="claim-{claim.id}"' in row.partition("</summary>")[2]
        assert row.count('class="dfa-chip ') == 2
    assert page.text.count('src="_static/ledger.mjs"') == 1
    assert (html / "_static" / "ledger.mjs").is_file()


# ---- what pages load ----


def loaded(html, page):
    """Addresses of all that a page loads at once, and of its figures, which come when they are near."""
    text = (html / page).read_text(encoding="utf-8")
    if str(page) == NOT_FOUND:
        text = text.replace(f'="{address_of(html)}', '="')
    tags = re.findall(r'<(?:script|img|source|iframe|link)\b[^>]*\b(?:src|href)="[^>]*>', text)
    tags = [tag for tag in tags if not re.search(r'rel="(?:index|search|next|prev|canonical)"', tag)]
    addresses = {tag: re.search(r'\b(?:src|href)="([^"?]*)', tag)[1] for tag in tags}
    later = {address: None for tag, address in addresses.items() if 'loading="lazy"' in tag}
    at_once = set(addresses.values()) - later.keys()
    for style in [address for address in at_once if address.endswith(".css")]:
        css = ((html / page).parent / style).read_text(encoding="utf-8")
        fonts = re.findall(r'url\("([^"]*\.woff)"\)', css)
        at_once |= {f"{style.rpartition('/')[0]}/{font}" for font in fonts}
    return sorted(at_once), list(later)


def address_of(html):
    """Where the page for missing addresses says that the site is."""
    return re.search(r'href="([^"]*/)index\.html"', (html / NOT_FOUND).read_text(encoding="utf-8"))[1]


def test_the_page_for_missing_addresses_is_found_by_no_search_and_has_no_relative_link(html):
    text = (html / NOT_FOUND).read_text(encoding="utf-8")
    assert '<meta name="robots" content="noindex"' in text
    addresses = re.findall(r' (?:href|src|action|data-content_root)="([^"]*)"', text)
    assert len(addresses) > 40
    assert [a for a in addresses if not re.match(r"#|/|\w+:", a)] == []
    sitemap = html / "sitemap.xml"
    assert not sitemap.exists() or NOT_FOUND not in sitemap.read_text(encoding="utf-8")


def test_no_page_loads_anything_from_elsewhere(html):
    for path in html.rglob("*.html"):
        at_once, later = loaded(html, path.relative_to(html))
        assert [address for address in at_once + later if re.match(r"(?:\w+:)?//", address)] == []
    style = (html / "_static" / "book.css").read_text(encoding="utf-8")
    assert not re.search(r"""(?:url\(|@import)\s*["']?(?:https?:)?//""", style)


def test_every_equation_is_typeset(html):
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert text.count('class="math ') == text.count("<math")
        assert not re.search(
            r"\\[(\[]|\$\$|\$\w+\(|<merror", re.sub(r"<(pre|script).*?</\1>", "", text, flags=re.DOTALL)
        )


def test_every_page_is_in_its_language_and_says_what_it_is_about(html):
    for name in CHAPTERS:
        text = (html / f"{name}.html").read_text(encoding="utf-8")
        assert '<html lang="en"' in text
        assert len(re.search(r'<meta name="description" content="([^"]*)"', text)[1]) > 40


def test_the_card_for_links_is_drawn_from_this_build(html):
    assert (html / "_static" / "card.png").stat().st_size > 10_000


# ---- the reference ----


def test_no_word_of_the_reference_is_taken_for_a_type(html):
    pages = (html / "reference").glob("*.html")
    assert [page.name for page in pages if "Type<span" in page.read_text(encoding="utf-8")] == []


def test_everything_in_the_reference_can_be_linked_to(html):
    from sphinx.util.inventory import InventoryFile

    from dfa_book.site.reference import documented

    with (html / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda folder, page: page)
    known = {name for kind in ("py:function", "py:class", "py:exception") for name in inventory[kind]}
    assert set(documented(ROOT / "book")) <= known


def test_an_entry_has_its_signature_its_source_and_the_chapters_that_use_it(html):
    page = Page(html / "reference" / "runs.html")
    assert "dfa_lib.experiments.runner.run_all" in page.ids
    assert "../_modules/dfa_lib/experiments/runner.html#run_all" in page.links
    entry = page.text.partition('id="dfa_lib.experiments.runner.run_all"')[2].partition(
        '<dt class="sig'
    )[0]
    for part in ("cluster", "Parameters", "Returns", "Raises", "Used in", "../extension.html"):
        assert part in entry
    assert "def run_all(" in re.sub(
        r"<[^>]*>", "", (html / "_modules/dfa_lib/experiments/runner.html").read_text(encoding="utf-8")
    )


# ---- the teaching edition ----


def test_teaching_notebooks_number_everything_as_the_site_does(html):
    numbered = {k: v for k, v in labels(read_pages(Book(ROOT, ROOT))).items() if v.number}
    assert len(numbered) > 50
    assert {name: on_the_site(html, name, label.page) for name, label in numbered.items()} == {
        name: label.text for name, label in numbered.items()
    }


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_chapter_has_a_plain_notebook_that_others_can_show(html, edition):
    folder = html / "_notebooks" / edition
    paths = {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.rglob("*.ipynb")
    }
    assert sorted(paths) == sorted(set(CHAPTERS) - {"index"})
    for name, path in paths.items():
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert 'profile = "class"' in str(notebook)
        assert traces_of_myst(notebook) == []
        page = (html / f"{name}.html").read_text(encoding="utf-8")
        up = "../" * name.count("/")
        assert f'href="{up}_notebooks/{edition}/{name}.ipynb"' in page
    assert not list((html / "_sources").rglob("*.ipynb"))


def test_every_page_has_a_policy_and_no_script_in_its_text(html):
    for path in html.rglob("*.html"):
        page = BeautifulSoup(path.read_bytes(), "html.parser")
        (policy,) = page.find_all("meta", {"http-equiv": "Content-Security-Policy"})
        assert policy["content"].startswith(
            "default-src 'none'; script-src 'self' 'unsafe-hashes' 'sha256-"
        )
        assert path.read_bytes().index(b"charset") < 1024


def on_the_site(html, name, page):
    """The number of a figure, an equation, a statement or an exercise on its page."""
    text = (html / f"{page}.html").read_text(encoding="utf-8")
    found = re.search(
        rf'id="(?:equation-)?{name}".*?(?:class="eqno">|class="caption-number">)([^<]*)<',
        text,
        re.DOTALL,
    )
    return found and found[1].strip()
