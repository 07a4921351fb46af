"""A Sphinx extension: what pages of the site load, and what they tell other programs of themselves.

The theme and Jupyter Book give every page a dozen stylesheets, most of whose rules nothing in this book
needs, icons as a program of 1.5 MB, and the search's index. Sphinx has no switch for these, so pages are
gone over when they are written. Then they load one stylesheet and few scripts, all the site's own.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape, unescape
from itertools import pairwise
from os.path import normpath, relpath
from pathlib import Path, PurePosixPath
from textwrap import shorten
from typing import Any, cast
from unicodedata import normalize
from urllib.parse import urljoin

import imagesize
import tinycss2
from docutils import nodes
from fontTools import subset
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain
from sphinx.environment import BuildEnvironment

from .accessibility import repaired
from .pictures import CARD, CARD_SAYS

STYLESHEET = "book.css"
# After extensions that write stylesheets when all else is done, at the usual priority of 500.
LAST = 900
# Icons drawn by a program, though the stylesheet draws them too; running code in the page; tabs.
UNUSED = ("fontawesome.js", "sphinx-thebe.js", "design-tabs.js", "*.map", "*-macros.html")
OF_THE_SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
# In code, names, punctuation and spaces look like the text around them: half of all elements of a page.
PLAIN = re.compile(r'<span class="[npw]">([^<]*)</span>')
# What is not prose, with its tags; in what is, the space between a number and its %, and a formula with
# the punctuation after it, which a browser would put on the next line.
VERBATIM = re.compile(r"(<(pre|code|script|style)\b.*?</\2>)", re.DOTALL)
PERCENT = re.compile(r"(?<=\d) (?=%(?!\w))")
FORMULA = re.compile(r'<span class="math [^"]*"><math\b.*?</math></span>([,.;:?!)’]*)', re.DOTALL)
HELD = r'<span class="dfa-held">\g<0></span>'
# In Unicode's italics for mathematics there is no h: that is Planck's constant.
ITALICS = "ℎ" + "".join(map(chr, [*range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)]))
# A page from a file may not read another one, so there results of a search are shown without an excerpt.
FROM_FILES = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'
# Paper is white.
LIGHT_ON_PAPER = """
addEventListener("beforeprint", () => {
  const root = document.documentElement, theme = root.dataset.theme;
  root.dataset.theme = "light";
  addEventListener("afterprint", () => { root.dataset.theme = theme; }, { once: true });
});
"""

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table of a font


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx load the extension."""
    app.add_domain(References, override=True)
    app.add_js_file(None, body=FROM_FILES)
    app.add_js_file(None, body=LIGHT_ON_PAPER)
    app.connect("html-page-context", introduce)
    app.connect("html-page-context", escape_launch_buttons, priority=LAST)
    app.connect("build-finished", _finish, priority=LAST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


class References(StandardDomain):
    """Sphinx's own references, which read a page once to number what is on it.

    Sphinx 7 unpickles the whole page that a ``{numref}`` leads to, for each of them (its issue 12883):
    a third of the time that building this site took.
    """

    def resolve_xref(self, env: BuildEnvironment, *args: Any) -> nodes.Element | None:
        """Return what a reference becomes; parameters are Sphinx's."""
        return super().resolve_xref(cast(BuildEnvironment, _once(env)), *args)


class _ReadOnce:
    """An environment whose pages are for looking only."""

    def __init__(self, env: BuildEnvironment) -> None:
        self._env = env
        self.get_doctree = cache(env.get_doctree)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)


_once = cache(_ReadOnce)


def _finish(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        html = Path(app.outdir)
        lighten(html)
        if app.config.html_baseurl:
            write_sitemap(html, app.config.html_baseurl)


# ---- what a page loads ----


def lighten(html: Path) -> None:
    """Repair a site's pages; let them load one stylesheet, few scripts, and figures that are near."""
    static = html / "_static"
    for unused in [path for name in UNUSED for path in static.rglob(name)]:
        unused.unlink()
    pages = repaired({path: path.read_text(encoding="utf-8") for path in sorted(html.rglob("*.html"))})
    for path, text in pages.items():
        text = _held_together(PLAIN.sub(r"\1", text))
        text = _with_scripts_last(_without_unused_scripts(path, text))
        pages[path] = _with_lazy_images(path, text)
    links = {path: _stylesheets(path, text) for path, text in pages.items()}
    sheets = list(dict.fromkeys(sheet for found in links.values() for sheet in found.values()))
    words = _words([*pages.values(), *(p.read_text(encoding="utf-8") for p in static.rglob("*.*js"))])
    css = "".join(_pruned(_read_stylesheet(sheet, static), words) for sheet in sheets)
    css = '@charset "UTF-8";\n' + _with_small_fonts(css, static, _characters([*pages.values(), css]))
    (static / STYLESHEET).write_text(css, encoding="utf-8")
    version = hashlib.sha256(css.encode()).hexdigest()[:8]
    for path, text in pages.items():
        link = (
            f'<link rel="stylesheet" href="{relpath(static / STYLESHEET, path.parent)}?v={version}" />'
        )
        for tag in links[path]:
            text, link = text.replace(tag, link), ""
        path.write_text(text, encoding="utf-8")
    for sheet in sheets:
        sheet.unlink()


def _held_together(text: str) -> str:
    """Let no line end between a number and its %, or a formula and the punctuation after it."""

    def held(prose: str) -> str:
        prose = FORMULA.sub(lambda found: found.expand(HELD) if found[1] else found[0], prose)
        return PERCENT.sub("\N{NO-BREAK SPACE}", prose)

    parts = VERBATIM.split(text)  # prose, what is verbatim, the name of its tag, prose, …
    return "".join(held(part) if i % 3 == 0 else part for i, part in enumerate(parts) if i % 3 != 2)


def _without_unused_scripts(path: Path, text: str) -> str:
    unused = UNUSED if path.name == "search.html" else UNUSED + OF_THE_SEARCH
    names = "|".join(map(re.escape, unused))
    text = re.sub(rf'<script\b[^>]*\bsrc="[^"]*\b(?:{names})\b[^"]*"[^>]*></script>', "", text)
    return re.sub(r"<script\b[^>]*>[^<]*\bthebe[^<]*</script>", "", text, flags=re.IGNORECASE)


def _with_scripts_last(text: str) -> str:
    """Let a page be shown before its scripts run, but for the one that makes it light or dark."""
    head, end, rest = text.partition("</head>")
    if not end:  # the page only leads to another one
        return text
    scripts = re.findall(r"<script\b(?![^>]*data-cfasync).*?</script>", head, flags=re.DOTALL)
    for script in scripts:
        head = head.replace(script, "", 1)
    return head + end + rest.replace("</body>", "".join(scripts) + "</body>", 1)


def _with_lazy_images(path: Path, text: str) -> str:
    """Give figures their size, so that nothing moves when they come, and let them come when near."""

    def lazy(tag: re.Match[str]) -> str:
        width, height = imagesize.get(path.parent / unescape(tag["src"]))
        size = {"width": round(width), "height": round(height)} if width > 0 < height else {}
        given = {**size, "loading": "lazy"}
        new = "".join(f' {name}="{value}"' for name, value in given.items() if f" {name}=" not in tag[0])
        return tag[0].replace("<img", "<img" + new, 1)

    return re.sub(r'<img\b[^>]*\bsrc="(?P<src>[^":]*\b_images/[^"]*)"[^>]*>', lazy, text)


def _stylesheets(path: Path, text: str) -> dict[str, Path]:
    """Return a page's links to stylesheets, and the file that each leads to."""
    found = {}
    for tag in re.findall(r'<link\b[^>]*\brel="stylesheet"[^>]*>', text):
        (href,) = re.findall(r'\bhref="([^"?]*)', tag)
        found[tag] = Path(normpath(path.parent / href))
    return found


def _words(texts: Iterable[str]) -> set[str]:
    """Return every word of pages and scripts: no element has a class, or gets one, that is not there."""
    return {word for text in texts for word in re.findall(r"[\w-]+", text)}


def _read_stylesheet(path: Path, static: Path) -> str:
    """Return a stylesheet's text, with what it imports, as it has to be in a file in ``static``."""

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
    """Leave out what is for classes that no element has. Licences in comments stay."""
    return "".join(_rules(tinycss2.parse_stylesheet(css, skip_whitespace=True), words)) + "\n"


def _rules(parsed: Iterable[Any], words: set[str]) -> Iterator[str]:
    for rule in parsed:
        if rule.type == "comment":
            if rule.value.startswith("!"):
                yield rule.serialize()
        elif rule.type == "qualified-rule":
            selectors = [s for s in _selectors(rule.prelude) if words.issuperset(_classes(s))]
            if selectors:
                kept = ",".join(tinycss2.serialize(selector) for selector in selectors)
                yield f"{kept}{{{tinycss2.serialize(rule.content)}}}"
        elif rule.lower_at_keyword in ("media", "supports"):
            inner = "".join(_rules(tinycss2.parse_rule_list(rule.content, skip_whitespace=True), words))
            if inner:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}"
        elif rule.lower_at_keyword != "charset":
            yield rule.serialize()


def _selectors(prelude: Sequence[Any]) -> list[list[Any]]:
    selectors: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return selectors


def _classes(selector: Sequence[Any]) -> set[str]:
    """Return the classes that an element must have, which leaves out those in ``:not(…)``."""
    return {after.value for token, after in pairwise(selector) if token == "." and after.type == "ident"}


# ---- fonts ----


def _characters(texts: Iterable[str]) -> set[str]:
    """Return what fonts need: all that pages show, and that stylesheets put around elements."""
    shown: set[str] = set()
    for text in texts:
        shown.update(
            unescape(text), *(chr(int(code, 16)) for code in re.findall(r"\\([0-9a-f]{4})\b", text))
        )
    # A letter in mathematics stands in the page as itself, and is shown in italics.
    return shown | {letter for letter in ITALICS if normalize("NFKC", letter) in shown}


def _with_small_fonts(css: str, static: Path, characters: set[str]) -> str:
    """Keep of each font what the site's pages show, in a file beside the stylesheet."""

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
    options = subset.Options(flavor="woff", layout_features=["*"], notdef_outline=True)
    with subset.load_font(str(source), options) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=map(ord, characters))
        subsetter.subset(font)
        subset.save_font(font, str(target), options)


# ---- what a page tells of itself ----


def introduce(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Tell search engines, and those who show a link to a page, what it is about."""
    if doctree is None:
        return
    about = {"og:type": "article", "og:site_name": app.config.html_title}
    about["og:title"] = re.sub(r"<[^>]*>", "", context["title"])
    description = _description(doctree)
    if description:
        about["og:description"] = description
        context["metatags"] += f'\n<meta name="description" content="{escape(description)}" />'
    address = app.config.html_baseurl
    if address:
        about["og:url"] = urljoin(address, f"{page}.html")
    if address and Path(app.srcdir, "_static", CARD).is_file():
        about["og:image"] = urljoin(address, f"_static/{CARD}")
        about["og:image:alt"] = CARD_SAYS
        context["metatags"] += '\n<meta name="twitter:card" content="summary_large_image" />'
    for name, said in about.items():
        context["metatags"] += f'\n<meta property="{name}" content="{escape(said)}" />'


def escape_launch_buttons(
    app: object, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Escape the addresses of launch buttons, which the theme's template writes as they are."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if "url" in button:
                button["url"] = escape(button["url"])


def _description(doctree: nodes.document) -> str:
    """Return what the reader will know after a page, where it says so, or else how it begins."""
    paragraphs = [" ".join(node.astext().split()) for node in doctree.findall(nodes.paragraph)]
    promise = re.compile(r"What you will know[.:] *")
    texts = [promise.sub("", text) for text in paragraphs if promise.match(text)] or paragraphs
    return shorten(texts[0][:1].upper() + texts[0][1:], 200, placeholder=" …") if texts else ""


def write_sitemap(html: Path, address: str) -> None:
    """List the pages of the site for search engines."""
    pages = sorted(path.relative_to(html).as_posix() for path in html.rglob("*.html"))
    urls = "".join(f"  <url><loc>{escape(urljoin(address, page))}</loc></url>\n" for page in pages)
    (html / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n',
        encoding="utf-8",
    )
