"""A Sphinx extension that numbers figures, equations and theorems of appendix B as B.1, B.2, ….

An appendix is a page whose title begins with ``Appendix`` and a letter, outside the numbered parts of
the table of contents. There Sphinx numbers consecutively over all pages; other such pages keep
consecutive numbers without gaps.
"""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# After Sphinx's own numbering, at the default priority of 500.
LATER = 900


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx load the extension."""
    app.connect("env-get-updated", number_appendices, priority=LATER)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def number_appendices(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Renumber everything outside the numbered parts; return the pages to write again."""
    numbers: dict[str, dict[str, dict[str, tuple[Any, ...]]]] = env.toc_fignumbers
    # Consecutively numbered items of each kind, such as figures.
    unnumbered: dict[str, list[tuple[int, str, str]]] = {}
    for page, kinds in numbers.items():
        for kind, places in kinds.items():
            consecutive = [
                (number[0], page, name) for name, number in places.items() if len(number) == 1
            ]
            unnumbered.setdefault(kind, []).extend(consecutive)
    counts: dict[tuple[str, str], int] = {}
    for kind, consecutive in unnumbered.items():
        for _, page, name in sorted(consecutive):
            appendix = re.match(r"Appendix ([A-Z])\b", env.titles[page].astext())
            letter = appendix[1] if appendix is not None else ""
            counts[kind, letter] = count = counts.get((kind, letter), 0) + 1
            numbers[page][kind][name] = (letter, count) if letter else (count,)
    return sorted({page for consecutive in unnumbered.values() for _, page, _ in consecutive})
