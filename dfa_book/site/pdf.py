"""The book as one PDF: the pages of the built site, printed by Chromium.

Code that pages hide is left out. Solutions move to the end, as in printed textbooks, followed by the
provenance of figures.
"""

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from posixpath import dirname, join, normpath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag
from pypdf import PdfReader, PdfWriter
from pypdf.generic import Fit

from dfa_lib.experiments.provenance import commit
from dfa_lib.validation import InputError, shown

from ..words import capitalised
from .book import Book, put_in_place, read_config
from .children import run
from .launch import site_address
from .pictures import LOGO
from .web import STYLESHEET

logging.getLogger("pypdf").setLevel(logging.ERROR)  # it warns of Chromium's numbering of objects
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 600.0
# Elements left out in print: hidden code, dropdowns to download or copy from, links to headings and to
# source listings, scripts.
LEFT_OUT = "details.hide, details.dfa-fold, a.headerlink, .viewcode-link, script"
# Elements that move to the end of the book: the title there, and the note in the former place.
TO_THE_END = {
    "div.solution": ("Solutions to the exercises", "Solution: page"),
    "details.dfa-provenance": ("How the figures were made", "How it was made: page"),
}


class Heading(NamedTuple):
    """A line of the table of contents."""

    level: int
    title: str
    target: str


@dataclass(frozen=True)
class Page:
    """A page of the site: the caption of the part that begins with it, its name and content."""

    part: str
    name: str
    article: Tag

    @property
    def id(self) -> str:
        """Target of links."""
        return self.name.replace("/", "-")

    @property
    def title(self) -> str:
        """Its first heading."""
        heading = self.article.h1
        return " ".join(heading.get_text().split()) if heading is not None else self.name


def print_book(book: Book) -> Path:
    """Print the built site into ``_build/book.pdf``, and return its path.

    Raises ``InputError`` without a site or a Chromium that prints it; an earlier PDF stays.
    """
    program = browser()
    if not (book.html / "index.html").is_file():
        raise InputError("there is no site to print: run dfa-book build first.")
    place = book.build / "book.pdf"
    sheet = book.build / "book.html"  # beside the site, for relative links to its images
    text, headings = on_paper(book)
    numbers: dict[str, int] = {}
    with book.workspace() as folder:
        pdf = folder / place.name
        try:
            for _ in range(2):  # the first pass determines page numbers
                sheet.write_text(_numbered(text, numbers), encoding="utf-8")
                _print(program, sheet, pdf)
                numbers = _page_numbers(pdf)
            _add_bookmarks(pdf, headings)
        finally:
            sheet.unlink(missing_ok=True)
        put_in_place(pdf, place)
    return place


def browser() -> str:
    """Return the path of Chromium or Chrome, or raise ``InputError``."""
    given = os.environ.get("DFA_CHROMIUM")
    programs = [path for name in ([given] if given else BROWSERS) if (path := shutil.which(name))]
    if not programs:
        missing = f"{shown(given)}, which DFA_CHROMIUM names, is not" if given else "none is"
        raise InputError(
            f"the PDF is printed by Chromium, and {missing} here: install it (on Debian, apt install "
            "chromium), or let DFA_CHROMIUM name a Chromium or a Chrome."
        )
    return programs[0]


def _print(program: str, sheet: Path, pdf: Path) -> None:
    with TemporaryDirectory() as profile:
        command = [program, "--headless", "--disable-gpu", f"--user-data-dir={profile}"]
        command += ["--no-first-run", "--disable-background-networking", "--disable-component-update"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium's sandbox does not start as root
        command += ["--no-pdf-header-footer", f"--print-to-pdf={pdf}", sheet.as_uri()]
        pipe = subprocess.PIPE
        try:
            done = run(command, timeout=SECONDS, stdout=pipe, stderr=pipe)
        except subprocess.TimeoutExpired as problem:
            raise InputError(
                f"{program} did not print the book within {SECONDS:g} s; an earlier PDF is still there."
            ) from problem
    if done.returncode != 0 or not pdf.is_file():
        message = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise InputError(
            f"{program} did not print the book (exit status {done.returncode}: {message}); an earlier "
            f"PDF is still there."
        )


def _page_numbers(pdf: Path) -> dict[str, int]:
    """Return the page numbers of all link targets in a PDF."""
    reader = PdfReader(pdf)
    return {
        name.removeprefix("/"): page + 1
        for name, place in reader.named_destinations.items()
        if (page := reader.get_destination_page_number(place)) is not None
    }


def _add_bookmarks(pdf: Path, headings: list[Heading]) -> None:
    """Add bookmarks; Chromium's own repeat some headings."""
    places = PdfReader(pdf).named_destinations
    writer = PdfWriter(clone_from=pdf)
    above: list[Any] = []
    for level, title, target in headings:
        place = places[f"/{target}"]
        number = writer.get_destination_page_number(place)
        del above[level:]
        parent, top = above[-1] if above else None, Fit.xyz(top=place.top)
        above.append(writer.add_outline_item(title=title, page_number=number, parent=parent, fit=top))
    writer.write(pdf)


# ---- all pages as one ----


def on_paper(book: Book) -> tuple[str, list[Heading]]:
    """Return the pages of the built site as one HTML file, and its headings."""
    config = read_config(book)
    pages = list(_pages(book))
    names = {page.name: page.id for page in pages}
    for page in pages:
        _prepare(page, names, book.html.name, site_address(book.root))
    if pages[0].article.h1 is not None:  # it repeats the title on the cover
        pages[0].article.h1.string = "At a glance"
    articles = [page.article for page in pages]
    articles += [_gathered(pages, selector, *titles) for selector, titles in TO_THE_END.items()]
    headings = _headings(articles, {page.id: page.part for page in pages})
    style = (book.source / "paper.css").read_text(encoding="utf-8")
    text = (
        '<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8"/>'
        f"<title>{escape(config.get('title', ''))}</title>"
        f'<link rel="stylesheet" href="{book.html.name}/_static/{STYLESHEET}"/>'
        f"<style>{style}</style></head><body>{_cover(book, config)}{_contents(headings)}"
        f"{''.join(map(str, articles))}</body></html>"
    )
    return text, headings


def _pages(book: Book) -> Iterator[Page]:
    for listed in book.pages():
        soup = BeautifulSoup((book.html / f"{listed.name}.html").read_bytes(), "html.parser")
        article = soup.select_one("article.bd-article")
        assert article is not None
        yield Page(listed.part, listed.name, article)


def _prepare(page: Page, names: dict[str, str], folder: str, address: str) -> None:
    """Prepare a page for the combined file: prefix its ids, and adapt its links and images."""
    article = page.article
    for element in article.select(LEFT_OUT):
        element.decompose()
    for image in article.find_all("img"):
        del image["loading"]  # print does not scroll
        image["src"] = f"{folder}/{_beside(page, str(image['src']))}"
    for link in article.find_all("a", href=True):
        path, _, anchor = str(link["href"]).partition("#")
        target = _beside(page, path) if path else f"{page.name}.html"
        if urlsplit(path).scheme:
            continue
        if (name := target.removesuffix(".html")) in names:
            link["href"] = f"#{names[name]}" + (f"--{anchor}" if anchor else "")
        elif address:
            link["href"] = urljoin(address, target)
        else:
            link.unwrap()
    for element in article.find_all(id=True):
        if element.find_parent("svg") is None:  # ids in drawings are unique already
            element["id"] = f"{page.id}--{element['id']}"
    for element in article.find_all("details"):
        element["open"] = ""
    article["id"] = page.id


def _beside(page: Page, path: str) -> str:
    return normpath(join(dirname(page.name), path))


def _gathered(pages: list[Page], selector: str, title: str, there: str) -> Tag:
    """Move selected elements of all pages into a new article, and leave notes with page numbers."""
    soup = BeautifulSoup("", "html.parser")
    name = re.sub(r"\W+", "-", title.lower())
    end = soup.new_tag("article", attrs={"class": "bd-article", "id": name})
    end.append(_heading(soup, "h1", title))
    for page in pages:
        elements = page.article.select(selector)
        if not elements:
            continue
        section = soup.new_tag("section", attrs={"id": f"{name}--{page.id}"})
        section.append(_heading(soup, "h2", page.title, page.id))
        end.append(section)
        for number, element in enumerate(elements):
            target = f"{name}--{page.id}-{number}"
            element["id"] = target
            if element.summary is not None:  # a dropdown below a figure
                element.name = "div"
                element.summary.replace_with(_caption(soup, element))
            note = f'<p class="see">{there} {_page_of(target)}</p>'
            element.replace_with(BeautifulSoup(note, "html.parser"))
            section.append(element)
    return end


def _caption(soup: BeautifulSoup, fold: Tag) -> Tag:
    """Return a heading with the number of the figure above a dropdown, as a link."""
    figure = fold.find_previous("figure")
    assert figure is not None
    number = figure.select_one(".caption-number")
    assert number is not None
    return _heading(soup, "h3", number.get_text(), str(figure["id"]))


def _heading(soup: BeautifulSoup, level: str, text: str, target: str | None = None) -> Tag:
    heading = inner = soup.new_tag(level)
    if target is not None:
        inner = soup.new_tag("a", attrs={"href": f"#{target}"})
        heading.append(inner)
    inner.append(text.strip())
    return heading


def _cover(book: Book, config: dict[str, Any]) -> str:
    made = f"Printed on {datetime.now():%Y-%m-%d} from the site built at commit {commit()}."
    texts = (capitalised(config.get("author", "")), f"© {config.get('copyright', '')}", made)
    lines = [f"<p>{escape(text)}</p>" for text in texts]
    return (
        f'<section class="cover"><img alt="" src="{book.html.name}/_static/{LOGO}"/>'
        f"<h1>{escape(config.get('title', ''))}</h1>{''.join(lines)}</section>"
    )


def _headings(articles: list[Tag], parts: dict[str, str]) -> list[Heading]:
    """Return parts, chapters and sections."""
    headings = []
    deeper = 0
    for article in articles:
        target = str(article["id"])
        if part := parts.get(target):
            headings.append(Heading(0, part, target))
            deeper = 1
        elif part is None:  # a gathered article at the end
            deeper = 0
        for heading in article.find_all(["h1", "h2"]):
            section = heading.parent.get("id") if heading.parent is not None else None
            level = int(heading.name[1]) - 1
            text = " ".join(heading.get_text().split())
            headings.append(Heading(deeper + level, text, str(section) if level else target))
    return headings


def _contents(headings: list[Heading]) -> str:
    lines = [
        f'<p class="level-{level}"><a href="#{target}">{escape(title)}</a>{_page_of(target)}</p>'
        for level, title, target in headings
    ]
    return f'<nav class="book-contents"><h1>Contents</h1>{"".join(lines)}</nav>'


def _page_of(target: str) -> str:
    """Return a placeholder for the page number of a target."""
    return f'<a class="page" href="#{target}"></a>'


def _numbered(text: str, numbers: dict[str, int]) -> str:
    def number(place: re.Match[str]) -> str:
        return f"{place[0]}{numbers.get(place['target'], '')}"

    return re.sub(r'<a class="page" href="#(?P<target>[^"]*)">', number, text)
