"""Escaping of untrusted text in Markdown: values of records and tables, file names, addresses."""

import re

# CommonMark treats a backslash before any of these as an escape.
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


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
