"""Foreign text as Markdown that shows it and does nothing else.

Foreign is all that is not the author's prose: values of records and tables, names of files, addresses.
"""

import re

# CommonMark allows a backslash before each of them, and takes none of them for markup then.
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


def as_text(value: object) -> str:
    """Return Markdown that shows a value as it is, on one line, also in a table."""
    return _PUNCTUATION.sub(r"\\\1", _on_one_line(value))


def as_code(value: object) -> str:
    """Return a code span that shows a value as it is, on one line; in a table, if it has no ``|``."""
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
