"""A Sphinx extension: what is numbered in appendix B is B.1, B.2, …, in captions and in references.

An appendix is a page whose title begins with ``Appendix`` and a letter. It stands outside the numbered
parts of the table of contents, where Sphinx would number figures, equations, theorems and exercises
from 1 through all pages.
"""

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# After Sphinx itself has numbered everything, which it does at the usual priority of 500.
LATER = 900


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx load the extension."""
    app.connect("env-get-updated", number_appendices, priority=LATER)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def number_appendices(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number anew what stands in appendices. Return their names: they have to be written again."""
    numbers: dict[str, dict[str, dict[str, tuple[Any, ...]]]] = env.toc_fignumbers
    appendices = []
    for page, kinds in numbers.items():
        letter = re.match(r"Appendix ([A-Z])\b", env.titles[page].astext())
        if letter is not None:
            appendices.append(page)
            for kind, places in kinds.items():
                in_order = sorted(places, key=lambda name: places[name])
                kinds[kind] = {name: (letter[1], i) for i, name in enumerate(in_order, start=1)}
    return appendices
