"""Conversion of the chapters' MyST to plain Markdown, which any Jupyter shows."""

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import urlsplit

from markdown_it.token import Token
from pybtex.backends.markdown import Backend
from pybtex.database import Entry, Person, parse_file
from pybtex.exceptions import PybtexError
from pybtex.richtext import Text
from pybtex.style.formatting.unsrt import Style

from dfa_lib.validation import InputError

from .checks import parser

DIRECTIVE = re.compile(r"\{(?P<name>[\w:-]+)\}[ ]*(?P<argument>.*)")
OPTION = re.compile(r":(?P<name>[\w-]+):[ ]*(?P<value>.*)")
# Tokens without a counterpart in plain Markdown: labels, comments, cell breaks.
UNSEEN = {"myst_target", "myst_line_comment", "myst_block_break"}
# Scripts of the site, and networks that train by them, which notebooks lack.
SCRIPT = re.compile(r'\s*<(script\b|div class="dfa-live").*', re.DOTALL)
# In code cells roles are in strings; f-strings double the braces.
ROLE = re.compile(r"(?P<open>\{{1,2})(?P<name>[\w:-]+)\}{1,2}`(?P<text>[^`]+)`")
IN_CODE = re.compile(r"(cite.*|doc|eq|glue.*|numref|prf:ref|py:.*|ref|term)$")
WITH_TITLE = re.compile(r"^(?P<title>.*?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
LINK = re.compile(r"(?<!!)\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\((?P<path>[^()\s]+)\)")
FIGURE = re.compile(r"""\bname=["'](?P<name>fig-[\w-]+)["']""")

STATEMENTS = (
    "algorithm", "assumption", "axiom", "conjecture", "corollary", "criterion", "definition", "example",
    "lemma", "notation", "observation", "property", "proposition", "remark", "theorem",
)  # fmt: skip
ADMONITIONS = (
    "admonition", "attention", "caution", "danger", "dropdown", "error", "hint", "important", "margin",
    "note", "seealso", "sidebar", "tip", "topic", "warning",
)  # fmt: skip
# Directives whose content is shown without a box.
TRANSPARENT = ("card", "div", "grid", "grid-item", "grid-item-card", "tab-item", "tab-set")
# Directives for the site only.
DROPPED = (
    *("bibliography", "contents", "exercise-end", "index", "only", "solution-end", "tableofcontents"),
    "toctree",
)


# ---- reading ----


@dataclass
class Directive:
    """A directive, such as a note or a theorem."""

    name: str
    argument: str
    options: dict[str, str]
    body: str
    source: str = ""


@cache
def parsed(text: str) -> list[Token]:
    """Return the tokens of a text by the book's parser."""
    return parser().parse(text, {})


def blocks(text: str) -> Iterator[str | Directive]:
    """Yield the directives of a text, and the text between them, in order."""
    lines, place = text.splitlines(), 0
    for token in parsed(text):
        directive = _directive(token)
        if directive is None or token.map is None:
            continue
        start, end = token.map
        mark = lines[end - 1].strip()
        if end - start < 2 or set(mark) != set(token.markup) or len(mark) < len(token.markup):
            raise InputError(f"the block that begins with {lines[start].strip()!r} has no end.")
        if place < start:
            yield "\n".join(lines[place:start])
        yield replace(directive, source="\n".join(lines[start:end]))
        place = end
    if place < len(lines):
        yield "\n".join(lines[place:])


def _directive(token: Token) -> Directive | None:
    found = DIRECTIVE.match(token.info) if token.type in ("fence", "colon_fence") else None
    if found is None:
        return None
    options, lines = {}, token.content.splitlines()
    while lines and (option := OPTION.match(lines[0])):
        options[option["name"]] = option["value"].strip()
        del lines[0]
    return Directive(found["name"], found["argument"].strip(), options, "\n".join(lines).strip("\n"))


# ---- numbering ----


@dataclass(frozen=True)
class Page:
    """A page of the book: its name, its cells as (is code, text), and its chapter number, if any."""

    name: str
    cells: Sequence[tuple[bool, str]]
    chapter: int | None = None

    @property
    def number(self) -> str | None:
        """The chapter's number or the appendix's letter."""
        appendix = re.match(r"Appendix ([A-Z])\b", self.title)
        return str(self.chapter) if self.chapter else appendix[1] if appendix else None

    @cached_property
    def title(self) -> str:
        """The first heading."""
        texts = (text for code, text in self.cells if not code)
        return next((title for text in texts for _, title in _headings(text)), self.name)

    @property
    def called(self) -> str:
        """Name in references from other pages."""
        return f"chapter {self.chapter}" if self.chapter else self.title.partition(". ")[0]


@dataclass(frozen=True)
class Label:
    """A label: its page, the text of a reference to it, its number and title."""

    page: str
    text: str
    number: str = ""
    title: str = ""


def labels(pages: Iterable[Page]) -> dict[str, Label]:
    """Return all labels, numbered as on the site: by kind, within chapters and appendices."""
    counts: dict[tuple[str, str | None], int] = {}
    by_name: dict[str, Label] = {}

    def enter(page: Page, label: str, kind: str, says: str, title: str = "") -> None:
        # Pages outside of chapters and appendices share one count.
        counts[kind, page.number] = counts.get((kind, page.number), 0) + 1
        count = str(counts[kind, page.number])
        number = f"{page.number}.{count}" if page.number else count
        by_name[label] = Label(page.name, says.format(number), number, title)

    def read(page: Page, text: str) -> None:
        for token in parsed(text):
            directive = _directive(token)
            if directive is not None:
                read_directive(page, directive)
            elif token.type == "math_block_label":
                enter(page, token.info, "equation", "({})")
        for target, title in _headings(text):
            if target:
                by_name[target] = Label(page.name, title, title=title)

    def read_directive(page: Page, block: Directive) -> None:
        kind = block.name.removeprefix("prf:")
        label = block.options.get("label", block.options.get("name", ""))
        if kind in STATEMENTS and block.name.startswith("prf:") and "nonumber" not in block.options:
            enter(page, label, kind, f"{kind.capitalize()} {{}}", block.argument)
        elif kind in ("exercise", "exercise-start"):
            enter(page, label, "exercise", "Exercise {}", block.argument)
        elif kind in ("figure", "table", "list-table", "csv-table") and label:
            word = "Fig." if kind == "figure" else "Table"
            enter(page, label, word, f"{word} {{}}")
        elif kind == "math" and label:
            enter(page, label, "equation", "({})")
        read(page, block.body)

    for page in pages:
        for code, text in page.cells:
            if code:
                for figure in FIGURE.finditer(text):
                    enter(page, figure["name"], "Fig.", "Fig. {}")
            else:
                read(page, text)
    return by_name


def _headings(text: str) -> Iterator[tuple[str, str]]:
    """Yield the label of each heading, if it has one, and its title."""
    target = ""
    for token, following in pairwise(parsed(text)):
        if token.type == "heading_open":
            yield target, following.content
        target = token.content if token.type == "myst_target" else ""


# ---- writing ----


class Bibliography:
    """The book's references."""

    def __init__(self, path: Path) -> None:
        try:
            found = parse_file(str(path), encoding="utf-8").entries if path.exists() else {}
        except (PybtexError, UnicodeDecodeError) as problem:
            raise InputError(f"{path} cannot be read: {' '.join(str(problem).split())}.") from problem
        self._entries: dict[str, Entry] = dict(found.items())

    def named(self, key: str, page: str) -> tuple[str, str]:
        """Return the authors of an entry, shortened, and its year."""
        if key not in self._entries:
            raise InputError(f"{page} cites {key}, which is not in the bibliography.")
        entry = self._entries[key]
        authors: list[Person] = entry.persons.get("author", [])
        names = [str(Text.from_latex(" ".join([*a.prelast_names, *a.last_names]))) for a in authors]
        if not names or "year" not in entry.fields:
            raise InputError(f"{key} has no author or no year in the bibliography.")
        several = len(names) > 2 or names[-1] == "others"
        short = f"{names[0]} et al." if several else " and ".join(names)
        return short, entry.fields["year"]

    def listed(self, keys: Iterable[str]) -> str:
        """Return the references with these keys as a list in Markdown, by author and year."""
        style, backend = Style(), Backend()
        entries = sorted((self.named(key, ""), key) for key in set(keys))
        lines = []
        try:
            formatted_entries = list(style.format_entries([self._entries[key] for _, key in entries]))
        except (PybtexError, AttributeError) as problem:  # a field or a style that there is not
            raise InputError(f"the bibliography cannot be shown: {problem}.") from problem
        for formatted in formatted_entries:
            text = formatted.text.render(backend)
            # The backend escapes more than Markdown needs.
            lines.append("- " + re.sub(r"\\([-.()+!#])", r"\1", text).replace("\n", " "))
        return "\n".join(lines)


@dataclass
class Writer:
    """Converts the text of one page to plain Markdown.

    ``results`` are known glued values of other pages, by page and key; with ``names`` of all pages,
    links to others are errors; ``address`` is the published site's. ``cited``, ``images`` and ``quoted``
    collect citations, pictures, and pages whose results were inserted.
    """

    page: Page
    pages: dict[str, Page]
    labels: dict[str, Label]
    bibliography: Bibliography
    results: dict[tuple[str, str], Any] = field(default_factory=dict)
    names: Collection[str] = ()
    address: str = ""
    cited: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    quoted: list[str] = field(default_factory=list)

    def markdown(self, text: str) -> str:
        """Return a Markdown cell as plain Markdown; ``InputError`` for unknown directives or labels."""
        parts = (
            self._directive(b) if isinstance(b, Directive) else self._plain(b) for b in blocks(text)
        )
        return re.sub(r"\n{3,}", "\n\n", "\n\n".join(p.strip("\n") for p in parts if p.strip())).strip()

    def code(self, source: str) -> str:
        """Return a code cell with the roles in its strings converted to plain Markdown."""
        # Other names in braces before a backtick are variables of f-strings.
        return ROLE.sub(lambda r: self._role(r) if IN_CODE.match(r["name"]) else r[0], source)

    def _directive(self, block: Directive) -> str:
        name, kind = block.name, block.name.removeprefix("prf:")
        title = self._inline(block.argument)
        body = self.markdown(block.body)
        if name in DROPPED:
            return ""
        if name == "prf:proof":
            return f"*Proof{f' ({title})' if title else ''}.* {body} $\\square$"
        if name.startswith("prf:") and kind in STATEMENTS:
            label = self.labels.get(block.options.get("label", ""))
            head = label.text if label and "nonumber" not in block.options else kind.capitalize()
            return _box(f"{head} ({title})" if title else head, body)
        if name in ("exercise", "exercise-start"):
            return f"### {self.exercise(block.options['label'])}\n\n{body}"
        if name in ("solution", "solution-start"):
            return f"#### Solution to {self._label(block.argument).text.lower()}\n\n{body}"
        if name in ADMONITIONS:
            head = title if name in ("admonition", "dropdown", "sidebar", "topic") else ""
            if title and not head:  # the text begins on the opening line
                body = f"{title}\n{body}".strip()
            return _box(head or ("See also" if name == "seealso" else name.capitalize()), body)
        if name in TRANSPARENT:
            return f"**{title}**\n\n{body}" if title and name != "div" else body
        if name == "math":
            return self._equation(block.body, block.options.get("label"))
        if name in ("code", "code-block", "sourcecode"):
            return f"```{block.argument}\n{block.body}\n```"
        if name in ("figure", "image"):
            return self._picture(block, body)
        if name.startswith("glue"):
            return self._glued(block.argument)
        if name == "table":
            return f"{body}\n\n*{title}*" if title else body
        raise InputError(
            f"{self.page.name} has the directive {{{name}}}, which Jupyter does not show, and which "
            f"dfa_book.site.myst cannot put into plain Markdown."
        )

    def exercise(self, label: str) -> str:
        """Return an exercise's number and title."""
        target = self._label(label)
        return f"{target.text} ({self._inline(target.title)})" if target.title else target.text

    def _picture(self, block: Directive, caption: str) -> str:
        self.images.append(block.argument)
        picture = f"![{block.options.get('alt', '')}]({block.argument})"
        number = self.labels.get(block.options.get("name", ""))
        caption = f"**{number.text}.** {caption}" if number else caption
        return f"{picture}\n\n{caption}"

    def _equation(self, formula: str, label: str | None) -> str:
        tag = f"\n\\tag{{{self._label(label).number}}}" if label else ""
        return f"$$\n{formula.strip()}{tag}\n$$"

    def _plain(self, text: str) -> str:
        """Convert text without directives, except its code blocks."""
        lines = text.splitlines()
        done: set[tuple[int, int]] = set()
        for token in reversed(parsed(text)):  # from the end, so that earlier line numbers stay valid
            start, end = token.map or (0, 0)
            if token.type in UNSEEN or (token.type == "html_block" and SCRIPT.fullmatch(token.content)):
                lines[start:end] = []
            elif token.type == "math_block_label":
                indent = lines[start][: -len(lines[start].lstrip())]
                equation = self._equation(dedent(token.content), token.info)
                lines[start:end] = [indent + line for line in equation.splitlines()]
            elif token.type == "dd_open":
                while not lines[start].startswith(":"):  # later definitions start at their term
                    start += 1
                if lines[start - 1].strip():
                    term = self._inline(lines[start - 1].strip())
                    said = lines[start].removeprefix(":").strip()
                    lines[start - 1 : start + 1] = [f"**{term}:** {said}"]
            elif token.type == "inline" and start < end and (start, end) not in done:
                done.add((start, end))  # a table row has several inline tokens
                lines[start:end] = self._inline("\n".join(lines[start:end])).splitlines()
        return "\n".join(lines)

    def _inline(self, text: str) -> str:
        for image in IMAGE.finditer(text):
            if not urlsplit(image["path"]).scheme:  # not a web address, attachment or data URL
                self.images.append(image["path"])
        return LINK.sub(self._link, ROLE.sub(self._role, text))

    def _label(self, label: str | None) -> Label:
        if label not in self.labels:
            raise InputError(f"{self.page.name} refers to {label}, which is not a label of the book.")
        return self.labels[label]

    def _reference(self, label: str, title: str = "") -> str:
        """Return the text of a reference, as a link to a section or to another chapter."""
        target = self._label(label)
        text = self._inline(title) or target.text
        if target.page != self.page.name:
            return self._to_page(target.page, text)
        return f"[{text}](#{target.title.replace(' ', '-')})" if not target.number else text

    def _to_page(self, name: str, text: str) -> str:
        if name in self.pages:
            here = posixpath.dirname(self.page.name)
            return f"[{text}]({posixpath.relpath(f'{name}.ipynb', here or '.')})"
        # Pages without a notebook, such as the glossary, are on the site only.
        return f"[{text}]({self.address}{name}.html)" if self.address else text

    def _link(self, link: re.Match[str]) -> str:
        text, target = link["text"], link["target"]
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        if not path and anchor not in self.labels:
            return link[0]  # a converted reference
        if anchor in self.labels:
            return self._reference(anchor, text)
        name = path.removesuffix(".ipynb").removesuffix(".md")
        if name != path:  # relative to the folder of this page
            name = posixpath.normpath(posixpath.join(posixpath.dirname(self.page.name), name))
        if name != path and self.names and name not in self.names:
            raise InputError(f"{self.page.name} links to {path}, which is not a page of the book.")
        page = self.pages.get(name)
        return self._to_page(name, text or (page.title if page else name))

    def _role(self, role: re.Match[str]) -> str:
        name, text = role["name"], " ".join(role["text"].split())
        titled = WITH_TITLE.match(text)
        title, target = (titled["title"], titled["target"]) if titled else ("", text)
        if name.startswith("cite"):
            return self._cite(name, text)
        if name.startswith("glue"):
            return self._glued(text)
        if name.startswith("py:") or name in ("class", "func", "meth", "mod", "attr", "data"):
            short = target.removeprefix("~").rpartition(".")[2] if target.startswith("~") else target
            return f"`{title or short}`"
        if name == "numref" and titled:
            number = self._label(target).number
            return self._reference(target, title.replace("%s", number).replace("{number}", number))
        if name in ("eq", "math:numref", "numref", "prf:ref", "ref"):
            return self._reference(target, title)
        if name in ("term", "abbr"):
            return title or target
        if name == "doc":
            page = self.pages.get(target.removeprefix("/"))
            return self._to_page(target.removeprefix("/"), title or (page.title if page else target))
        if name == "download":
            return title or target
        if name in ("code", "kbd", "literal"):
            return f"`{text}`"
        if name == "math":
            return f"${text}$"
        raise InputError(
            f"{self.page.name} has the role {{{name}}}, which Jupyter does not show, and which "
            f"dfa_book.site.myst cannot put into plain Markdown."
        )

    def _cite(self, role: str, text: str) -> str:
        keys = [key.strip() for key in text.split(",")]
        self.cited += keys
        named = [self.bibliography.named(key, self.page.name) for key in keys]
        if role.startswith("cite:t"):
            return ", ".join(f"{authors} ({year})" for authors, year in named)
        return "(" + "; ".join(f"{authors}, {year}" for authors, year in named) + ")"

    def _glued(self, text: str) -> str:
        """Return another page's result, or name the page that computes it."""
        path, _, key = text.rpartition("::")
        name = path.removesuffix(".ipynb")
        if name in ("", self.page.name):
            return "(*computed above*)"
        key, _, form = key.partition(":")
        if (name, key) in self.results:
            result = self.results[name, key]
            try:
                text = format(result, form)
            except (ValueError, TypeError) as problem:
                raise InputError(
                    f"{self.page.name} shows {key} of {name}, {result!r}, as {form!r}: {problem}."
                ) from problem
            self.quoted.append(name)
            return self._inline(text)
        called = self.pages[name].called if name in self.pages else name
        return f"(*computed in {self._to_page(name, called)}*)"


def _box(title: str, body: str) -> str:
    inline = re.match(r"[\w*\[($\"'`‘“]", body) and not body.startswith(("$$", "```", "* "))
    space = " " if inline else "\n\n"
    return f'<div class="alert alert-info">\n\n**{title}.**{space}{body}\n\n</div>'
