"""What pages of the site load, and what they tell of themselves."""

import re
from types import SimpleNamespace
from unittest.mock import Mock

import imagesize
import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from fontTools.ttLib import TTFont
from nbformat.v4 import new_notebook
from sphinx.application import Sphinx
from sphinx.util.docutils import new_document

from dfa_book.site import web
from dfa_book.site.figures import Shown
from dfa_book.site.launch import site_address
from dfa_book.site.mathematics import font
from dfa_book.site.pictures import (
    CARD_PIXELS,
    ICON,
    LOGO,
    card,
    draw_pictures,
)
from dfa_book.site.web import (
    STYLESHEET,
    introduce,
    lighten,
    offer_notebooks,
)
from dfa_lib import run_all

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="72pt" height="36pt" viewBox="0 0 72 36"></svg>'
PAGE = """\
<html><head>
<script data-cfasync="false">document.documentElement.dataset.theme = "dark";</script>
<link href="{root}_static/styles/theme.css?digest=1" rel="stylesheet" />
<link rel="stylesheet" type="text/css" href="{root}_static/own.css?v=2" />
<script defer src="{root}_static/scripts/fontawesome.js?digest=3"></script>
<script async="async" src="{root}_static/sphinx-thebe.js?v=4"></script>
<script>const THEBE_JS_URL = "https://unpkg.com/thebe"; const thebe_selector = ".cell"</script>
<script src="{root}_static/searchtools.js"></script>
<script src="{root}searchindex.js"></script>
<script src="{root}_static/theme.js"></script>
</head><body class="page">
<img alt="two curves" class="dfa-figure" src="{root}_images/curves.svg" />
<math><mi>a</mi></math>
<pre><span class="k">def</span><span class="w"> </span>f<span class="p">():</span></pre>
<p>A 95 % interval, k = 3.</p>
<p><span class="math x"><math>b</math></span>, and (<span class="math x"><math>c</math></span></p>
<pre>5 % 3</pre>
<style>p {{ width: 5 % }}</style>
</body></html>
"""
THEME = """\
@charset "UTF-8";/*! Licence */@import "../basic.css";
.page,.never{color:red}.never{color:blue}p:not(.never){color:green}
@media print{.never{color:red}.set-by-script{color:blue}.set-by-module{color:blue}}
.modal{color:red}.tooltip{color:red}#absent{color:red}
@media screen{.never{color:red}}
@font-face{font-family:Icons;src:url(../icons.ttf) format("truetype")}
.page:before{content:"\\221e"}
:root{--set-by-script:1;--read:2;--unread:url("a;b");--of-never:3}p{width:var(--read)}
.never{width:var(--of-never)}
.page{background:url("../paper.png")}
.page:after{content:url("data:image/png;base64,AA==")}
"""


@pytest.fixture
def html(tmp_path):
    """A site of three pages, with all that it loads."""
    files = {
        "one.html": PAGE.format(root=""),
        "search.html": PAGE.format(root=""),
        "folder/two.html": PAGE.format(root="../"),
        "_images/curves.svg": SVG,
        "_static/styles/theme.css": THEME,
        "_static/basic.css": "body{margin:0}\n",
        "_static/own.css": "/* words */ .page > p { color: black; }\n",
        "_static/theme.js": 'document.body.classList.add("set-by-script", "--set-by-script");',
        "_static/live.mjs": 'document.body.classList.add("set-by-module");',
        "_static/scripts/bootstrap.js": 'const components = ["modal", "tooltip"];',
        "_static/scripts/fontawesome.js": 'const icons = ["never"];',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "_static" / "icons.ttf").write_bytes(font().read_bytes())
    return tmp_path


def css(html):
    return (html / "_static" / STYLESHEET).read_text(encoding="utf-8")


# ---- what a page loads ----


def test_a_page_loads_one_stylesheet_and_the_scripts_that_it_uses(html):
    lighten(html)
    for name, root in (("one.html", ""), ("folder/two.html", "../")):
        page = (html / name).read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:link|script)[^>]*(?:href|src)="([^"?]*)', page)
        assert loaded == [f"{root}_static/{STYLESHEET}", f"{root}_static/theme.js"]
        assert "https://" not in page


@pytest.mark.parametrize("address", ["", "https://a.org/b/"])
def test_the_page_for_missing_addresses_finds_what_it_loads_from_any_depth(html, address):
    page = (html / "one.html").read_text(encoding="utf-8")
    links = '<a href="#top">.</a><a href="one.html#b">.</a><a href="https://b.org">.</a></body>'
    (html / "404.html").write_text(page.replace("</body>", links), encoding="utf-8")
    lighten(html, address=address)
    page = BeautifulSoup((html / "404.html").read_bytes(), "html.parser")
    root = address or "/"
    assert [link["href"] for link in page.find_all("a")] == [
        "#top",
        f"{root}one.html#b",
        "https://b.org",
    ]
    assert page.link["href"].startswith(f"{root}_static/{STYLESHEET}?v=")
    assert page.img["src"] == f"{root}_images/curves.svg"
    assert page.select_one("script[src]")["src"] == f"{root}_static/theme.js"


def test_long_names_break_behind_their_dots_and_the_link_of_a_solution_begins_with_a_letter(html):
    body = (
        '<p><code><span class="pre">dfa_lib.b_c.d()</span></code></p>'
        '<p><code><span class="pre">a.c</span></code></p>'
        '<dt><span class="sig-prename"><span class="pre">dfa_lib.b.</span></span></dt>'
        '<p class="admonition-title">Solution to<a href="#x"> Exercise 1</a></p>'
    )
    (html / "one.html").write_text(f"<html><head></head><body>{body}</body></html>", encoding="utf-8")
    lighten(html)
    page = (html / "one.html").read_text(encoding="utf-8")
    assert "dfa_lib.<wbr/>b_c.<wbr/>d()" in page
    assert ">a.c<" in page
    assert "dfa_lib.<wbr/>b.<wbr/></span>" in page
    assert 'Solution to <a href="#x">Exercise 1</a>' in page


def test_a_page_is_shown_before_its_scripts_run_in_their_order(html):
    lighten(html)
    head, body = (html / "search.html").read_text(encoding="utf-8").split("</head>")
    assert re.findall("<script[^>]*>", head) == ['<script data-cfasync="false">']
    assert re.findall('<script src="([^"]*)">', body) == [
        "_static/searchtools.js", "searchindex.js", "_static/theme.js"
    ]  # fmt: skip
    assert body.endswith("</script></body></html>\n")


def test_the_search_page_keeps_the_search(html):
    lighten(html)
    page = (html / "search.html").read_text(encoding="utf-8")
    assert "_static/searchtools.js" in page
    assert '"searchindex.js"' in page


def test_the_stylesheet_has_what_the_others_had_in_their_order(html):
    lighten(html)
    assert re.findall(r"body|\.page\{color:red|\.page > p", css(html)) == [
        "body",
        ".page{color:red",
        ".page > p",
    ]
    assert not (html / "_static" / "styles" / "theme.css").exists()


def test_rules_for_classes_that_nothing_has_are_left_out_and_licences_are_not(html):
    lighten(html)
    assert re.findall(r"\.never[^)]|\.modal|#absent", css(html)) == []
    assert ".tooltip" in css(html)
    for kept in ("/*! Licence */", "p:not(.never)", "@media print{.set-by-script"):
        assert kept in css(html)


def test_custom_properties_that_neither_a_rule_nor_a_script_reads_are_left_out(html):
    lighten(html)
    assert ":root{--set-by-script:1;--read:2;}" in css(html)


def test_a_class_that_a_script_may_set_keeps_its_rules(html):
    lighten(html)
    assert "set-by-script" in css(html)
    assert "set-by-module" in css(html)


def test_addresses_in_the_stylesheet_lead_where_they_led(html):
    lighten(html)
    assert 'url("paper.png")' in css(html)
    assert 'url("data:image/png;base64,AA==")' in css(html)


def test_a_font_keeps_the_characters_that_the_site_shows(html):
    lighten(html)
    assert 'src:url("icons.woff") format("woff")' in css(html)
    known = TTFont(html / "_static" / "icons.woff").getBestCmap()
    assert {ord("a"), 0x1D44E, 0x221E} <= set(known)  # a, a in italics, ∞ from the stylesheet
    assert ord("Ω") not in known
    assert not (html / "_static" / "icons.ttf").exists()


def test_figures_have_their_size_and_come_when_they_are_near(html):
    lighten(html)
    (tag,) = re.findall("<img[^>]*>", (html / "folder" / "two.html").read_text(encoding="utf-8"))
    assert tag.startswith('<img width="96" height="48" loading="lazy" alt="two curves"')


def test_code_keeps_the_elements_that_have_a_colour_of_their_own(html):
    lighten(html)
    page = (html / "one.html").read_text(encoding="utf-8")
    assert '<pre><span class="k">def</span> f():</pre>' in page


def test_no_line_ends_between_a_number_and_percent_or_a_formula_and_its_comma_or_parenthesis(html):
    lighten(html)
    page = (html / "one.html").read_text(encoding="utf-8")
    assert "<p>A 95\N{NO-BREAK SPACE}% interval, k\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}3.</p>" in page
    assert '<p><span class="dfa-held"><span class="math x"><math>b</math></span>,</span> and ' in page
    assert ' and <span class="dfa-held">(<span class="math x"><math>c</math></span></span></p>' in page
    assert "<pre>5 % 3</pre>" in page  # code stays what it is, also when it is copied
    assert "<style>p { width: 5 % }</style>" in page


def test_columns_of_numbers_are_aligned_to_the_right(html):
    rows = [
        ("BP", "0.81 (0.79 to 0.83)", "−2 points", "seed 1"),
        ("DFA", "0.65 (0.61 to 0.69)", "", "3"),
    ]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    head = "<thead><tr><th>a</th><th>b</th><th>c</th><th>d</th></tr></thead>"
    page = html / "one.html"
    text = page.read_text(encoding="utf-8")
    table = f'<table class="table">{head}<tbody>{body}</tbody></table>'
    page.write_text(text.replace("</body>", f"{table}</body>"), encoding="utf-8")
    lighten(html)
    found = BeautifulSoup(page.read_bytes(), "html.parser").select("table.table tr")
    right = [["dfa-number" in cell.get("class", []) for cell in row.select("th, td")] for row in found]
    assert right == [[False, True, True, False]] * 3


def test_a_page_that_loads_from_another_host_is_a_warning_and_so_an_error_of_the_build(
    html, monkeypatch
):
    page = html / "one.html"
    page.write_text(page.read_text().replace("</body>", "<img src='https://img.example/b.svg'></body>"))
    given = {"dfa_other_hosts": [], "dfa_complete": True, "dfa_moved": {}, "html_baseurl": ""}
    config, said = SimpleNamespace(**given), []
    app = Mock(Sphinx, builder=SimpleNamespace(format="html"), outdir=html, config=config)
    monkeypatch.setattr(web.logger, "warning", said.append)
    web._finish(app, None)
    assert said[0] == (
        "one.html: https://img.example/b.svg is loaded from another host, which dfa_other_hosts in "
        "_config.yml does not name"
    )
    assert said[1].startswith("no page needs the repair of ")


# ---- what it tells of itself ----


def introduced(paragraphs):
    document = new_document("page")
    document.extend(nodes.paragraph(text=text) for text in paragraphs)
    context = {"metatags": "", "meta": None}
    introduce(None, "one", "page.html", context, document)
    (meta,) = BeautifulSoup(context["metatags"], "html.parser").find_all("meta")
    assert meta["name"] == "description"
    return meta["content"], context["meta"]["og:description"]


def test_a_page_says_what_the_reader_will_know():
    said, shown = introduced(
        ["What you need: little.", 'What you will know: a "much"\nlonger <b> story.']
    )
    assert said == 'A "much" longer <b> story.'
    assert shown == "A &quot;much&quot; longer &lt;b&gt; story."  # sphinxext.opengraph does not escape
    assert introduced(["Text."]) == ("Text.", "Text.")


@pytest.mark.parametrize(
    ("repository", "address"),
    [
        ("https://github.com/Someone/companion.git", "https://someone.github.io/companion/"),
        ("https://github.com/someone/someone.github.io", "https://someone.github.io/"),
        ("https://example.org/someone/companion", ""),
        ("", ""),
    ],
)
def test_the_site_is_where_the_repository_has_its_pages(tmp_path, monkeypatch, repository, address):
    for name in ("DFA_SITE_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DFA_REPOSITORY_URL", repository)
    assert site_address(tmp_path) == address
    monkeypatch.setenv("DFA_SITE_URL", "https://example.org/digits")
    assert site_address(tmp_path) == "https://example.org/digits/"


# ---- pictures ----


def test_logo_and_icon_are_drawn_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        draw_pictures(tmp_path / name, [], "The book")
    for name in (LOGO, ICON):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted([LOGO, ICON])


def test_the_card_is_figure_3_1_from_the_results_that_it_is_drawn_from(small_run, tmp_path):
    runs = [small_run(dataset="digits", k=k, method="dfa") for k in (1, 3)]
    run_all(runs, results=tmp_path / "sgd.csv")
    notebook = new_notebook(metadata={"papermill": {"parameters": {"results": str(tmp_path)}}})
    shown = Shown("experiments", notebook, 0, {"name": "fig-sgd", "results": ["sgd"]})
    assert [panel.get_title() for panel in card(shown, "The book").axes] == ["k = 1", "k = 3"]
    draw_pictures(tmp_path, [shown], "Of $x_ and {$")
    assert imagesize.get(tmp_path / "card.png") == CARD_PIXELS


def test_references_to_figures_read_the_page_once_and_are_numbered_as_by_sphinx(tmp_path, monkeypatch):
    (tmp_path / "index.rst").write_text("Book\n====\n\n.. toctree::\n   :numbered:\n\n   one\n")
    figure = ".. figure:: x.svg\n   :name: here\n\n   A figure.\n\n"
    (tmp_path / "one.rst").write_text("One\n===\n\n" + figure + 5 * ":numref:`here`\n\n")
    (tmp_path / "x.svg").write_text(SVG)
    settings = {"numfig": True, "extensions": ["dfa_book.site.web"]}
    folders = tmp_path, None, tmp_path / "out", tmp_path / "trees"
    app = Sphinx(*folders, "xml", settings, status=None, warningiserror=True)
    read, get_doctree = [], type(app.env).get_doctree

    def watched(env, name):
        read.append(name)
        return get_doctree(env, name)

    monkeypatch.setattr(type(app.env), "get_doctree", watched)
    app.build()
    written = (tmp_path / "out" / "one.xml").read_text()
    assert written.count('title="Fig. %s"') == written.count("Fig. 1.1") == 5
    # To write the page, and for all references together.
    assert read.count("one") == 2


def buttons(page="one", **config):
    """The buttons of a page, by the group that they are in."""
    source = {"type": "link", "label": "download-source-button", "url": "_sources/one.ipynb"}
    groups = [{"type": "group", "label": "download-buttons", "buttons": [source]}]
    context = {"header_buttons": groups, "page_source_suffix": ".ipynb", "sourcename": "one.ipynb"}
    context["pathto"] = lambda place, _: f"../{place}"
    app = Mock(Sphinx, config=SimpleNamespace(**{"dfa_notebooks": ["one"], "dfa_launch": {}} | config))
    offer_notebooks(app, page, "page.html", context, None)
    assert context["sourcename"] == ""
    return {group["label"]: [b["url"] for b in group["buttons"]] for group in context["header_buttons"]}


def test_a_chapters_buttons_download_its_notebooks_and_not_its_source():
    folder = "../_notebooks"
    assert buttons() == {
        "download-buttons": [f"{folder}/student/one.ipynb", f"{folder}/instructor/one.ipynb"]
    }
    assert buttons("index") == {"download-buttons": []}


def test_addresses_of_launch_buttons_are_escaped():
    found = buttons(dfa_launch={"Binder": 'https://example.org/"><script>?a=1&b=PAGE-NAME'})
    assert found["launch-buttons"] == ["https://example.org/&quot;&gt;&lt;script&gt;?a=1&amp;b=one"]


def test_the_old_address_of_a_page_leads_to_the_new_one(tmp_path, caplog):
    for name in ("new", "reference/new"):
        (tmp_path / f"{name}.html").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.html").write_text("here")
    web.redirect(tmp_path, {"old/page": "new", "old": "reference/new"})
    for old, address in (("old/page", "../new.html"), ("old", "reference/new.html")):
        page = BeautifulSoup((tmp_path / f"{old}.html").read_bytes(), "html.parser")
        assert page.a["href"] == address
        assert page.find("meta", {"http-equiv": "refresh"})["content"] == f"0; url={address}"
    assert caplog.messages == []


@pytest.mark.parametrize("moved", [{"new": "new"}, {"old": "none"}])
def test_a_redirect_that_hides_a_page_or_leads_nowhere_is_a_warning(tmp_path, monkeypatch, moved):
    said = []
    monkeypatch.setattr(web.logger, "warning", said.append)
    (tmp_path / "new.html").write_text("here")
    web.redirect(tmp_path, moved)
    assert len(said) == 1
    assert (tmp_path / "new.html").read_text() == "here"
    assert not (tmp_path / "old.html").exists()


def test_a_figures_title_is_its_captions_first_sentence_and_no_part_of_a_bracket():
    caption = (
        "DFA goes from 0.0 (3 of 5 seeds unstable; the others: 0.1) to 0.5; it rises. (a) Accuracy."
    )
    assert Shown("experiments", new_notebook(), 0, {"caption": caption}).title == (
        "DFA goes from 0.0 (3 of 5 seeds unstable; the others: 0.1) to 0.5"
    )
