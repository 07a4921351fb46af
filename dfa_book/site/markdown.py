"""Markdown: escaping of untrusted text (records, file names, addresses), and MyST for Jupyter."""

import re

_LABEL = re.compile(r"^\(([\w:.-]+)\)=\n", re.MULTILINE)
_ROLE = re.compile(r"\{(?P<role>[\w:]+)\}`(?:(?P<title>[^`<>]+?)\s*<[^`<>]+>|(?P<label>[^`]+))`")
_TO_A_LABEL = re.compile(r"\[(?P<title>[^\[\]]+)\]\(#(?!claim-)[\w-]+\)")
# CommonMark treats a backslash before any of these as an escape.
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def plain(text: str) -> str:
    """Return the MyST that code displays as Jupyter shows it, which knows no labels and no roles.

    What code displays is not known when ``make teach`` writes a notebook, nor are numbers of figures
    when code runs. So a reference is its title or, without one, its label, by which code names it.
    """
    text = _LABEL.sub(r'<a id="\1"></a>\n', text)
    return _TO_A_LABEL.sub(r"\g<title>", _ROLE.sub(_plain_role, text))


def _plain_role(found: re.Match[str]) -> str:
    if found["title"]:
        return found["title"]
    if found["role"].startswith("cite"):  # keys are name and year
        keys = re.findall(r"([a-z]+)(\d+)", found["label"])
        return f"({'; '.join(f'{name.capitalize()} {year}' for name, year in keys)})"
    return f"`{found['label']}`"


def as_text(value: object) -> str:
    """Return Markdown that shows a value literally on one line, also in a table."""
    return _PUNCTUATION.sub(r"\\\1", _on_one_line(value))


def as_code(value: object) -> str:
    """Return a code span that shows a value literally on one line; not for a ``|`` in a table."""
    text = _on_one_line(value)
    fence = "`" * (_longest_run_of_backticks(text) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def as_block(line: str, language: str) -> str:
    """Return a code block of one line."""
    text = _on_one_line(line)
    fence = "`" * max(3, _longest_run_of_backticks(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run_of_backticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _on_one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
