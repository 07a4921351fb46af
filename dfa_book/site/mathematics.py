"""A Sphinx extension that converts equations to MathML when the site is built.

Pages need no JavaScript for mathematics, and screen readers can read it. TeX that cannot be converted is
a warning, and so an error of the build.
"""

import re
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

TEX = LatexToMathML(fancy_error=False)
ENVIRONMENT = re.compile(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", re.DOTALL)
PRIME = re.compile(r"<msup>((?:(?!<msup>).)*?)<mo>(′+)</mo></msup>")
# As tall as a line, and invisible.
STRUT = '<mspace height="0.7em" depth="0.2em"/>'
logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx load the extension."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    app.connect("config-inited", _choose)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def font() -> Path:
    """Return the font STIX Two Math, which the package ziamath contains."""
    spec = find_spec("ziamath")  # does not import it
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "fonts" / "STIXTwoMath-Regular.ttf"


def _choose(app: Sphinx, config: Config) -> None:
    config.html_math_renderer = "mathml"
    config.html_static_path.append(str(font()))


def mathml(tex: str, *, display: bool) -> str:
    r"""Return TeX as MathML, or raise ``LatexError``; lines split by ``\\`` are aligned at ``&``."""
    if r"\\" in ENVIRONMENT.sub("", tex):
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    drawn = TEX.convert_with_local_state(tex, displaystyle=display)
    # The font's primes are raised, and its lowest root is taller than a letter. Chromium draws a prime
    # in an exponent as a speck, and lets a single letter touch the bar of its root.
    drawn = PRIME.sub(r'<mrow>\1<mo lspace="0" rspace="0">\2</mo></mrow>', drawn)
    # Firefox draws it as tall as a sum where an equation stands by itself.
    drawn = drawn.replace(">⊙</mo>", ' largeop="false">⊙</mo>')
    return drawn.replace("<msqrt>", f"<msqrt>{STRUT}")


def _inline(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(writer.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    writer.body.append(_typeset(node, display=False) + "</span>")
    raise nodes.SkipNode


def _display(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append(_typeset(node, display=True) + "</div>\n")
    raise nodes.SkipNode


def _typeset(node: nodes.Element, *, display: bool) -> str:
    try:
        return mathml(node.astext(), display=display)
    except LatexError as problem:
        logger.warning("%s cannot be typeset: %s", node.astext(), problem, location=node)
        return f"<code>{escape(node.astext())}</code>"
