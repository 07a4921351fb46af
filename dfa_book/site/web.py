"""A Sphinx extension that reduces what pages load, and adds their metadata and notebook buttons.

By default every page loads a dozen stylesheets, most of whose rules are unused, icons as JavaScript of
1.5 MB, and the search index. Sphinx has no switch for these, so the written pages are processed. Then
they load one stylesheet and few scripts from the site itself.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html import escape, unescape
from itertools import pairwise
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath
from textwrap import shorten
from typing import Any, cast
from unicodedata import normalize
from urllib.parse import quote, unquote, urljoin, urlsplit

import imagesize
import tinycss2
from bs4 import BeautifulSoup
from bs4.builder import HTMLTreeBuilder
from bs4.builder._htmlparser import HTMLParserTreeBuilder
from bs4.dammit import EntitySubstitution
from bs4.element import NavigableString, Tag
from bs4.formatter import HTMLFormatter
from docutils import nodes
from fontTools import subset
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.domains.std import StandardDomain
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger

from .accessibility import Repairs
from .launch import NOTEBOOKS, PAGE
from .policy import restrict
from .strips import lay_out_strips

STYLESHEET = "book.css"
TEXT_FONT = "fonts/STIXTwoText-Regular.woff2"
# After extensions that write stylesheets at the end, at the default priority of 500.
LAST = 900
# Before sphinxext.opengraph.
FIRST = 100
# Theme JavaScript that we drop: Font Awesome (icons come from CSS), Thebe, tabs.
UNUSED = ("fontawesome.js", "sphinx-thebe.js", "design-tabs.js", "*.map", "*-macros.html")
# It sets the classes of a dozen components, of which pages use these.
BOOTSTRAP = "bootstrap.js"
OF_BOOTSTRAP = ("bs-tooltip", "collapse", "collapsing", "dropdown", "fade", "show", "tooltip")
NOTEBOOK_BUTTONS = {"student": ".ipynb", "instructor": ".ipynb with solutions"}
OF_THE_SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
# Pygments classes without a colour: names, punctuation, spaces.
PLAIN = ["n", "p", "w"]
VERBATIM = ["pre", "code", "math"]
# Spaces in 95 % and in k = 3.
TIED = re.compile(r"(?<=\d) (?=%(?!\w))|(?<=\b\w) (?== \d)|(?<=\b\w =) (?=\d)")
# A number, perhaps with a unit, and what qualifies it in parentheses.
NUMBER = re.compile(
    r"[+−-]?\d[\d.,]*(e[+−-]?\d+)?(\s?(%|s|seconds|minutes|hours|points?|nats|°))?(\s\(.*\))?"
)
# Letters of a number with its interval, +13.5 (+9.1 to +17.9); what is longer says more, and breaks.
UNBROKEN = 26
PUNCTUATION = re.compile(r"[,.;:?!)’]+")
LONG_NAME = re.compile(r"\bdfa_(?:lib|book)\.")
# Void elements: those of HTML, and the most frequent ones of SVG and MathML.
EMPTY = {*(HTMLTreeBuilder.DEFAULT_EMPTY_ELEMENT_TAGS or ())} | {
    *("path", "use", "rect", "circle", "line", "mspace")
}
# Placeholder in pages until the stylesheet is written.
VERSION = "VERSION-OF-THE-STYLESHEET"
UNUSED_INLINE = re.compile(r"\b(?:thebe|kernelName|searchInput)", re.IGNORECASE)
# Mathematical italics; h is Planck's constant in Unicode.
ITALICS = "ℎ" + "".join(map(chr, [*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)]))
# Pages opened from files cannot read others, so search results have no excerpts there.
FROM_FILES = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'
# Print in the light theme.
LIGHT_ON_PAPER = """
addEventListener("beforeprint", () => {
  const root = document.documentElement, theme = root.dataset.theme;
  root.dataset.theme = "light";
  addEventListener("afterprint", () => { root.dataset.theme = theme; }, { once: true });
});
"""


MOVED = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Moved</title><meta name="robots" content="noindex">
<meta http-equiv="refresh" content="0; url={0}"></head>
<body><p>This page has moved to <a href="{0}">{0}</a>.</p></body></html>
"""

# GitHub Pages shows it for addresses without a page.
NOT_FOUND = "404.html"
NOT_FOUND_SAYS = """\
<section id="page-not-found"><h1>Page not found</h1>
<p>There is no page at this address. It may have been mistyped, or the page may have been renamed.</p>
<ul><li><a href="index.html">The home page</a></li>
<li><a href="two-minutes.html">The result in two minutes</a></li>
<li><a href="search.html">Search the book</a></li></ul></section>
"""


class _InOrder(HTMLFormatter):
    """Writes attributes in their original order."""

    def attributes(self, tag: Tag) -> Iterable[tuple[str, Any]]:
        return tag.attrs.items()


AS_WRITTEN = _InOrder(EntitySubstitution.substitute_xml)
logger = getLogger(__name__)
logging.getLogger("fontTools").setLevel(logging.WARNING)  # it logs every table of a font


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx load the extension."""
    app.add_domain(References, override=True)
    app.add_config_value("dfa_other_hosts", [], "html", [list])
    app.add_config_value("dfa_notebooks", [], "html", [list])
    app.add_config_value("dfa_launch", {}, "html", [dict])
    app.add_config_value("dfa_moved", {}, "html", [dict])
    app.add_config_value("dfa_complete", False, "html", [bool])
    app.add_config_value("dfa_other_edition", None, "html")
    app.add_js_file(None, body=FROM_FILES)
    app.add_js_file(None, body=LIGHT_ON_PAPER)
    app.connect("config-inited", _order_results)
    app.connect("html-collect-pages", _not_found)
    app.connect("html-page-context", introduce, priority=FIRST)
    app.connect("html-page-context", offer_notebooks, priority=LAST)
    app.connect("html-page-context", link_editions)
    app.connect("build-finished", _finish, priority=LAST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _order_results(app: Sphinx, config: Config) -> None:
    """Let the search find pages first. Sphinx would look for the scorer where the build was started."""
    scorer = Path(app.confdir, "_static", "scorer.js")
    if scorer.is_file():
        config.html_search_scorer = str(scorer)


class References(StandardDomain):
    """Sphinx's references with a cache: Sphinx 7 unpickles the target page for each ``{numref}``.

    That took a third of the build (Sphinx issue 12883).
    """

    def resolve_xref(self, env: BuildEnvironment, *args: Any) -> nodes.Element | None:
        """Resolve a reference as Sphinx does."""
        return super().resolve_xref(cast(BuildEnvironment, _once(env)), *args)


class _ReadOnce:
    """An environment with cached, read-only pages."""

    def __init__(self, env: BuildEnvironment) -> None:
        self._env = env
        self.get_doctree = cache(env.get_doctree)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


_once = cache(_ReadOnce)


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        config = app.config
        hosts, complete = config.dfa_other_hosts, config.dfa_complete
        for problem in lighten(Path(app.outdir), hosts, complete=complete, address=config.html_baseurl):
            logger.warning(problem)
        redirect(Path(app.outdir), config.dfa_moved)


def redirect(html: Path, moved: Mapping[str, str]) -> None:
    """Let the addresses of pages that were renamed lead to the new ones: by old name, the new."""
    for old, new in moved.items():
        page, target = html / f"{old}.html", html / f"{new}.html"
        if page.exists() or not target.is_file():
            logger.warning(f"dfa_moved: {old} is a page of the site, or {new} is none")
            continue
        address = quote(Path(relpath(target, page.parent)).as_posix())
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(MOVED.format(address), encoding="utf-8")


# ---- what pages load ----


def lighten(
    html: Path, hosts: Sequence[str] = (), *, complete: bool = False, address: str = ""
) -> list[str]:
    """Repair a site's pages; let them load one stylesheet, few scripts, and images lazily.

    Return the problems, a sentence each: loading from other hosts than ``hosts``, scripts in the text,
    and, of a ``complete`` site, unused repairs. ``address`` is where the site is published, or empty.
    """
    static = html / "_static"
    for unused in [path for name in UNUSED for path in static.rglob(name)]:
        unused.unlink()
    repair = Repairs()
    texts: dict[Path, str] = {}
    sheets: dict[Path, None] = {}  # in the order of the pages' links
    wrong: list[str] = []
    for path in sorted(html.rglob("*.html"), key=lambda path: ("_modules" in path.parts, path)):
        page = BeautifulSoup(path.read_bytes(), builder=HTMLParserTreeBuilder(empty_element_tags=EMPTY))
        repair(path, page)
        lay_out_strips(page)
        _unwrap_plain_code(page)
        _hold_together(page)
        _let_names_break(page)
        _align_numbers(page)
        _drop_unused_scripts(page, search=path.name == "search.html")
        wrong += [f"{path.relative_to(html)}: {problem}" for problem in restrict(page, hosts)]
        _put_scripts_last(page)
        _let_images_be_lazy(path.parent, page)
        sheets |= dict.fromkeys(_replace_stylesheets(path.parent, page, static))
        if path == html / NOT_FOUND:
            _make_absolute(page, address or "/")
        texts[path] = page.decode(formatter=AS_WRITTEN)
    words = _words(texts.values())
    for script in static.rglob("*.*js"):
        found = _words([script.read_text(encoding="utf-8")])
        words |= {w for w in found if script.name != BOOTSTRAP or w.startswith(OF_BOOTSTRAP)}
    css = "".join(_read_stylesheet(sheet, static) for sheet in sheets)
    for _ in range(2):  # then without the properties that only removed rules used
        css = _pruned(css, words | set(re.findall(r"var\(\s*(--[\w-]+)", css)))
    css = '@charset "UTF-8";\n' + _with_small_fonts(css, static, _characters([*texts.values(), css]))
    (static / STYLESHEET).write_text(css, encoding="utf-8")
    version = hashlib.sha256(css.encode()).hexdigest()[:8]
    for path, text in texts.items():
        path.write_text(text.replace(VERSION, version), encoding="utf-8")
    for sheet in sheets:
        sheet.unlink()
    unneeded = repair.unused if complete else []
    return wrong + [f"no page needs the repair of {name} any more: remove it" for name in unneeded]


def _unwrap_plain_code(page: BeautifulSoup) -> None:
    """Unwrap code tokens without a colour: code has a third of a page's elements."""
    for token in page.find_all("span", class_=PLAIN):
        if len(token.get_attribute_list("class")) == 1 and not token.find(True):
            token.unwrap()


def _hold_together(page: BeautifulSoup) -> None:
    """Prevent line breaks between a number and its % or name, a formula and what touches it."""
    for text in list(page.find_all(string=TIED)):
        # Scripts and styles are subclasses of NavigableString.
        if type(text) is NavigableString and text.find_parent(VERBATIM) is None:
            text.replace_with(TIED.sub("\N{NO-BREAK SPACE}", text))
    for link in page.select(".admonition-title > a"):  # of a solution: its line begins with a space
        title = link.find(string=True)
        if title is not None and title.startswith(" "):
            link.insert_before(" ")
            title.replace_with(title.lstrip())
    for formula in page.find_all("span", class_="math"):
        if formula.math is None:
            continue
        before, after = formula.previous_sibling, formula.next_sibling
        start = end = ""
        if type(before) is NavigableString and before.endswith("("):
            start = "("
            before.replace_with(before[:-1])
        if type(after) is NavigableString and (mark := PUNCTUATION.match(after)) is not None:
            end = mark[0]
            after.replace_with(after[mark.end() :])
        if start or end:
            held = formula.wrap(page.new_tag("span", attrs={"class": "dfa-held"}))
            held.insert(0, start)
            held.append(end)


def _let_names_break(page: BeautifulSoup) -> None:
    """Let the library's long names break behind their dots, before they break anywhere."""
    for name in page.select(".sig-prename .pre, :not(pre) > code .pre, .genindextable a"):
        if name.string and LONG_NAME.search(name.string):
            parts = re.split(r"(?<=\w\.)", name.string)
            name.clear()
            for part in parts:
                name.extend([page.new_tag("wbr"), part] if name.contents else [part])


def _align_numbers(page: BeautifulSoup) -> None:
    """Let columns that hold nothing but numbers be aligned to the right."""
    for table in page.select("table.table"):
        rows = [row.find_all(["th", "td"], recursive=False) for row in table.find_all("tr")]
        body = [row for row in rows if all(cell.find_parent("tbody") for cell in row)]
        if not body or any(len(row) != len(rows[0]) for row in rows):
            continue  # cells that span several
        for column in range(len(rows[0])):
            texts = [text for row in body if (text := row[column].get_text().strip()) not in ("", "–")]
            if texts and all(NUMBER.fullmatch(text) for text in texts):
                for row in rows:
                    classes = row[column].get_attribute_list("class")
                    whole = "dfa-whole" if len(row[column].get_text()) <= UNBROKEN else ""
                    row[column]["class"] = " ".join(filter(None, [*classes, "dfa-number", whole]))


def _drop_unused_scripts(page: BeautifulSoup, *, search: bool) -> None:
    unused = UNUSED if search else UNUSED + OF_THE_SEARCH
    for script in page.find_all("script"):
        name = PurePosixPath(urlsplit(str(script.get("src", ""))).path).name
        if name in unused or UNUSED_INLINE.search(f"{script.get('type')} {script.string}"):
            script.decompose()
    if search and (field := page.select_one(".bd-search-container input")):
        field["autofocus"] = ""  # as a dropped script of the theme does


def _put_scripts_last(page: BeautifulSoup) -> None:
    """Move scripts to the end of the page, except the one that sets its theme."""
    if page.head is not None and page.body is not None:  # else the page is a redirect
        for script in page.head.find_all("script"):
            if not script.has_attr("data-cfasync"):
                page.body.append(script.extract())


def _let_images_be_lazy(folder: Path, page: BeautifulSoup) -> None:
    """Give images their size, which avoids layout shifts, and load them lazily."""
    for image in page.find_all("img", src=re.compile(r"^[^:]*\b_images/")):
        width, height = imagesize.get(folder / unquote(str(image["src"])))
        size = {"width": str(round(width)), "height": str(round(height))} if width > 0 < height else {}
        image.attrs = {**size, "loading": "lazy", **image.attrs}


def _replace_stylesheets(folder: Path, page: BeautifulSoup, static: Path) -> list[Path]:
    """Replace a page's links to stylesheets by one; return the replaced files."""
    links = page.find_all("link", rel="stylesheet")
    if links:
        address = f"{relpath(static / STYLESHEET, folder)}?v={VERSION}"
        links[0].insert_before(page.new_tag("link", attrs={"rel": "stylesheet", "href": address}))
        if (static / TEXT_FONT).is_file():  # else it is asked for after the stylesheet has come
            preload = {"rel": "preload", "as": "font", "type": "font/woff2", "crossorigin": ""}
            address = relpath(static / TEXT_FONT, folder)
            links[0].insert_before(page.new_tag("link", attrs=preload | {"href": address}))
    sheets = [Path(normpath(folder / urlsplit(str(link["href"])).path)) for link in links]
    for link in links:
        link.decompose()
    return sheets


def _make_absolute(page: BeautifulSoup, address: str) -> None:
    """Let a page that is shown at any address find what belongs to it."""
    for name in ("href", "src", "action", "data-content_root"):
        for tag in page.select(f'[{name}]:not([{name}^="#"])'):
            tag[name] = urljoin(address, str(tag[name]))


def _words(texts: Iterable[str]) -> set[str]:
    """Return all words of pages and scripts, which include every class that an element can have."""
    return {word for text in texts for word in re.findall(r"[\w-]+", text)}


def _read_stylesheet(path: Path, static: Path) -> str:
    """Return a stylesheet with its imports and with addresses relative to ``static``."""

    def imported(rule: re.Match[str]) -> str:
        return _read_stylesheet(Path(normpath(path.parent / rule["address"])), static)

    def moved(url: re.Match[str]) -> str:
        if url["address"].startswith(("data:", "#")):
            return url[0]
        return f'url("{relpath(normpath(path.parent / url["address"]), static)}")'

    text = path.read_text(encoding="utf-8")
    text = re.sub(r"""url\(\s*(?P<quote>["']?)(?P<address>.*?)(?P=quote)\s*\)""", moved, text)
    return re.sub(r"""@import\s+(?P<quote>["'])(?P<address>.*?)(?P=quote)\s*;""", imported, text)


def _pruned(css: str, words: set[str]) -> str:
    """Remove rules that no element matches, and unread properties; keep licences in comments."""
    return "".join(_rules(tinycss2.parse_stylesheet(css, skip_whitespace=True), words)) + "\n"


def _rules(parsed: Iterable[Any], words: set[str]) -> Iterator[str]:
    for rule in parsed:
        if rule.type == "comment":
            if rule.value.startswith("!"):
                yield rule.serialize()
        elif rule.type == "qualified-rule":
            selectors = [s for s in _selectors(rule.prelude) if words.issuperset(_names(s))]
            content = [
                part
                for part in tinycss2.parse_blocks_contents(
                    rule.content, skip_comments=True, skip_whitespace=True
                )
                if part.type != "error" and not _unread(part, words)
            ]
            if selectors and content:
                kept = ",".join(tinycss2.serialize(selector) for selector in selectors)
                yield f"{kept}{{{tinycss2.serialize(content)}}}"
        elif rule.lower_at_keyword in ("media", "supports"):
            inner = "".join(_rules(tinycss2.parse_rule_list(rule.content, skip_whitespace=True), words))
            if inner:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}"
        elif rule.lower_at_keyword != "charset":
            yield rule.serialize()


def _unread(part: Any, words: set[str]) -> bool:
    """Return whether a part of a rule is a custom property, such as ``--bs-teal``, that nothing uses."""
    return part.type == "declaration" and part.name.startswith("--") and part.name not in words


def _selectors(prelude: Sequence[Any]) -> list[list[Any]]:
    selectors: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def _names(selector: Sequence[Any]) -> set[str]:
    """Return the classes and ids that an element must have, without those in ``:not(…)``."""
    classes = {
        after.value for token, after in pairwise(selector) if token == "." and after.type == "ident"
    }
    return classes | {token.value for token in selector if token.type == "hash"}


# ---- fonts ----


def _characters(texts: Iterable[str]) -> set[str]:
    """Return the characters that fonts need: those in pages and in generated content of stylesheets."""
    shown: set[str] = set()
    for text in texts:
        shown.update(
            unescape(text), *(chr(int(code, 16)) for code in re.findall(r"\\([0-9a-f]{4})\b", text))
        )
    # Browsers show single letters of mathematics in italics.
    return shown | {letter for letter in ITALICS if normalize("NFKC", letter) in shown}


def _with_small_fonts(css: str, static: Path, characters: set[str]) -> str:
    """Replace each font by a subset with the site's characters, beside the stylesheet."""

    def smaller(face: re.Match[str]) -> str:
        sources = re.findall(r'url\("([^"]*)"\)', face[0])
        source = next((name for name in sources if name.endswith(".ttf")), None)
        if source is None:
            return face[0]
        target = static / f"{PurePosixPath(source).stem}.woff"
        if (static / source).is_file():
            _subset(static / source, target, characters)
        for name in sources:
            (static / name).unlink(missing_ok=True)
        return re.sub(r"src:[^;}]*", f'src:url("{target.name}") format("woff")', face[0])

    return re.sub(r"@font-face\s*\{[^}]*\}", smaller, css)


def _subset(source: Path, target: Path, characters: set[str]) -> None:
    # Hinting is a third of the font of mathematics; screens of today hardly need it.
    options = subset.Options(flavor="woff", layout_features=["*"], notdef_outline=True, hinting=False)
    with subset.load_font(str(source), options) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=map(ord, characters))
        subsetter.subset(font)
        subset.save_font(font, str(target), options)


# ---- metadata and buttons ----


def _not_found(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    metatags = '<meta name="robots" content="noindex" />'
    context = {"title": "Page not found", "body": NOT_FOUND_SAYS, "metatags": metatags}
    yield NOT_FOUND.removesuffix(".html"), context, "page.html"


def introduce(
    app: object, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add a page's description for search engines and link previews."""
    if doctree is not None and (description := _description(doctree)):
        context["metatags"] += f'\n<meta name="description" content="{escape(description)}" />'
        # sphinxext.opengraph would use the page's first words.
        context["meta"] = {**(context["meta"] or {}), "og:description": escape(description)}


def link_editions(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let each page of the book link to the same page of the book's other edition, below its title."""
    if app.config.dfa_other_edition and doctree is not None:
        address, data = app.config.dfa_other_edition
        name = "" if page == app.config.root_doc else f"{quote(page)}.html"
        link = f'<a href="{escape(address)}{name}">This page, trained on {escape(data)}</a>'
        context["body"] = context["body"].replace(
            "</h1>", f'</h1>\n<p class="dfa-edition">{link}</p>', 1
        )


def offer_notebooks(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let a chapter's buttons download and open its plain notebooks instead of its MyST source."""
    if not context.get("page_source_suffix", "").endswith("ipynb"):
        return
    context["sourcename"] = ""  # so that Sphinx publishes no copy
    group = next(g for g in context["header_buttons"] if g.get("label") == "download-buttons")
    kept = [button for button in group["buttons"] if button["label"] != "download-source-button"]
    if page not in app.config.dfa_notebooks:
        group["buttons"] = kept
        return
    folder = context["pathto"](NOTEBOOKS, 1)
    group["buttons"] = [
        _link(text, f"{folder}/{edition}/{quote(page)}.ipynb", "fas fa-file")
        | {"tooltip": f"Download the notebook for {edition}s", "label": f"download-{edition}-button"}
        for edition, text in NOTEBOOK_BUTTONS.items()
    ] + kept
    opened = [
        _link(name, address.replace(PAGE, quote(page)), f"_static/images/logo_{name.lower()}.{ending}")
        | {"tooltip": f"Open on {name}"}
        for name, address in app.config.dfa_launch.items()
        for ending in ("png" if name == "Colab" else "svg",)
    ]
    if opened:
        launch = {"type": "group", "icon": "fas fa-rocket", "label": "launch-buttons", "buttons": opened}
        context["header_buttons"].append(launch | {"tooltip": "Open the notebook elsewhere"})


def _link(text: str, address: str, icon: str) -> dict[str, str]:
    # The theme's template does not escape addresses.
    return {"type": "link", "text": text, "url": escape(address), "icon": icon}


def _description(doctree: nodes.document) -> str:
    """Return a page's paragraph "What you will know", or else its beginning, shortened."""
    paragraphs = [" ".join(node.astext().split()) for node in doctree.findall(nodes.paragraph)]
    promise = re.compile(r"What you will know[.:] *")
    texts = [promise.sub("", text) for text in paragraphs if promise.match(text)] or paragraphs
    return shorten(texts[0][:1].upper() + texts[0][1:], 200, placeholder=" …") if texts else ""
