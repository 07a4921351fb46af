"""The book on paper."""

import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from pypdf import PdfReader

from dfa_book.site.book import Book
from dfa_book.site.pdf import (
    BROWSERS,
    browser,
    on_paper,
    print_book,
)
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]
TOC = """\
format: jb-book
root: index
parts:
  - chapters:
      - file: one
  - caption: A part
    chapters:
      - file: part/two
        sections:
          - file: three
"""
HOME = """\
<h1>The book<a class="headerlink" href="#x">#</a></h1>
<p id="x">What it is. See <a href="one.html">1</a>.</p>
"""
ONE = """\
<section id="one"><h1>1. One</h1>
<p id="here"><a href="part/two.html#there">to there</a>, <a href="#here">to here</a>,
<a href="_downloads/runs.csv">runs.csv</a>, <a href="https://example.org/">elsewhere</a></p>
<figure id="fig-a"><img alt="a curve" loading="lazy" src="_images/a.svg"/>
<figcaption><span class="caption-number">Fig. 1.1</span> A curve.</figcaption></figure>
<details class="dfa-provenance"><summary>How this figure was made</summary><p>seeds 3</p></details>
<details class="hide"><summary>Show code</summary><pre>hidden = True</pre></details>
<section id="s"><h2>1.1. A section</h2>
<div class="solution"><p>Solution to Exercise 1.1: 42.</p></div></section>
</section>
"""
TWO = '<section id="two"><h1>Two</h1><p id="there">See <a href="../one.html#here">1</a></p></section>'
THREE = '<section id="three"><h1>Three</h1><details><summary>More</summary>unfolded</details></section>'


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A built site of four pages."""
    for name in ("DFA_SITE_URL", "DFA_REPOSITORY_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    book = Book(tmp_path, tmp_path)
    files = {
        "_toc.yml": TOC,
        "_config.yml": "title: The book\nauthor: Somebody\ncopyright: '2026, free'\n",
        "book/paper.css": (ROOT / "book" / "paper.css").read_text(encoding="utf-8"),
        "_build/html/_static/book.css": "h1 { color: black }\n",
        "_build/html/_images/a.svg": '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
    }
    for name, text in {"index": HOME, "one": ONE, "part/two": TWO, "three": THREE}.items():
        page = f'<html><body><nav>menu</nav><article class="bd-article">{text}</article></body></html>'
        files[f"_build/html/{name}.html"] = page
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return book


@pytest.fixture
def paper(book):
    return BeautifulSoup(on_paper(book)[0], "html.parser")


def test_all_pages_stand_in_the_order_of_the_contents_without_menus(paper):
    ids = [article["id"] for article in paper.find_all("article")]
    assert ids[:4] == ["index", "one", "part-two", "three"]
    assert "menu" not in paper.get_text()


def test_the_contents_list_parts_chapters_sections_and_what_is_at_the_end(book):
    lines = [(level, title) for level, title, _ in on_paper(book)[1]]
    assert lines == [
        (0, "At a glance"),
        (0, "1. One"),
        (1, "1.1. A section"),
        (0, "A part"),
        (1, "Two"),
        (1, "Three"),
        (0, "Solutions to the exercises"),
        (1, "1. One"),
        (0, "How the figures were made"),
        (1, "1. One"),
    ]


def test_every_link_within_the_book_leads_to_a_place_in_it(paper):
    ids = [element["id"] for element in paper.find_all(id=True)]
    assert len(ids) == len(set(ids))
    targets = [link["href"] for link in paper.find_all("a", href=True)]
    assert {target for target in targets if not target.startswith("#")} == {"https://example.org/"}
    assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)
    assert "#part-two--there" in targets
    assert "#one--here" in targets


def test_a_download_is_a_link_only_where_the_site_is_published(book, monkeypatch):
    assert "runs.csv" in on_paper(book)[0]
    assert "_downloads" not in on_paper(book)[0]
    monkeypatch.setenv("DFA_SITE_URL", "https://example.org/book")
    assert 'href="https://example.org/book/_downloads/runs.csv"' in on_paper(book)[0]


def test_solutions_and_how_figures_were_made_move_to_the_end(paper):
    one = paper.find(id="one")
    assert "42" not in one.get_text()
    assert "Solution: page" in one.get_text()
    assert "42" in paper.find(id="solutions-to-the-exercises").get_text()
    made = paper.find(id="how-the-figures-were-made")
    assert "seeds 3" in made.get_text()
    assert made.h3.a["href"] == "#one--fig-a"
    assert made.h3.get_text() == "Fig. 1.1"


def test_code_that_pages_hide_is_left_out_and_other_folds_are_open(paper):
    assert "hidden = True" not in paper.get_text()
    assert paper.find(id="three").details.has_attr("open")


def test_figures_are_there_from_the_start(paper):
    (image,) = paper.find_all("img", alt="a curve")
    assert image["src"] == "html/_images/a.svg"
    assert not image.has_attr("loading")


# ---- printing ----


def test_without_chromium_it_says_what_to_install(book, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("DFA_CHROMIUM", raising=False)
    with pytest.raises(InputError, match=r"none is here: install it .*apt install chromium"):
        print_book(book)
    monkeypatch.setenv("DFA_CHROMIUM", "/nowhere/chrome")
    with pytest.raises(InputError, match=r"/nowhere/chrome., which DFA_CHROMIUM names, is not here"):
        browser()


@pytest.mark.skipif(not Path("/bin/false").exists(), reason="there are no such programs")
@pytest.mark.parametrize("program", ["/bin/false", "/bin/true"])
def test_a_program_that_does_not_print_is_a_sentence_and_the_earlier_pdf_stays(
    book, monkeypatch, program
):
    monkeypatch.setenv("DFA_CHROMIUM", program)
    (book.build / "book.pdf").write_text("earlier")
    with pytest.raises(InputError, match=f"^{program} did not print the book .*an earlier PDF is still"):
        print_book(book)
    assert (book.build / "book.pdf").read_text() == "earlier"
    assert sorted(path.name for path in book.build.iterdir()) == ["book.pdf", "html"]


@pytest.fixture
def chromium(monkeypatch):
    if not any(map(shutil.which, BROWSERS)):
        pytest.skip("the PDF is printed by Chromium, and there is none: apt install chromium")


def test_without_a_site_nothing_is_printed(book, chromium):
    (book.html / "index.html").unlink()
    with pytest.raises(InputError, match="there is no site to print: run dfa-book build first"):
        print_book(book)


def test_the_pdf_has_a_title_numbered_contents_and_bookmarks(book, chromium):
    reader = PdfReader(print_book(book))
    assert reader.metadata.title == "The book"
    pages = [page.extract_text() for page in reader.pages]
    assert "The book" in pages[0]
    assert "Somebody" in pages[0]
    assert pages[1].splitlines()[1:5] == ["Contents", "At a glance 3", "1. One 4", "1.1. A section 4"]
    assert "Solutions to the exercises 7" in pages[1]
    for number, title in ((3, "At a glance"), (4, "1. One"), (7, "Solutions to the exercises")):
        assert pages[number - 1].startswith(f"{number}\n{title}\n")
    assert "Solution: page 7" in pages[3]
    assert [line.title for line in reader.outline if not isinstance(line, list)] == [
        "At a glance", "1. One", "A part", "Solutions to the exercises", "How the figures were made"
    ]  # fmt: skip
    assert sorted(path.name for path in book.html.parent.iterdir()) == ["book.pdf", "html"]
