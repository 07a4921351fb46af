"""Equations, typeset while the site is built."""

import re
import xml.etree.ElementTree as ET

import pytest
from fontTools.ttLib import TTFont
from math_core import LatexError

from dfa_book.site.mathematics import font, mathml


def test_an_equation_is_mathml_that_a_browser_draws_without_a_program():
    assert mathml("a^2", display=False) == "<math><msup><mi>a</mi><mn>2</mn></msup></math>"


def test_an_equation_of_its_own_stands_in_a_block():
    assert ET.fromstring(mathml(r"\sum_{i=1}^n x_i", display=True)).get("display") == "block"


@pytest.mark.parametrize(
    "tex",
    [r"a &= b \\ c &= d", r"\begin{aligned}a &= b \\ c &= d\end{aligned}"],
    ids=["bare", "aligned"],
)
def test_lines_are_aligned_once_with_and_without_their_environment(tex):
    assert len(re.findall("<mtable", mathml(tex, display=True))) == 1
    assert len(re.findall("<mtr>", mathml(tex, display=True))) == 2


def test_a_matrix_is_not_taken_for_several_lines():
    assert (
        len(re.findall("<mtable", mathml(r"A = \begin{pmatrix}a \\ b\end{pmatrix}", display=True))) == 1
    )


def test_a_prime_stands_beside_its_letter_and_not_in_an_exponent():
    """The font's prime is raised: in an exponent, Chromium draws it as a speck above the letter."""
    beside = '<mrow><mi>f</mi><mo lspace="0" rspace="0">′</mo></mrow>'
    assert mathml("f'", display=False) == f"<math>{beside}</math>"
    assert beside in mathml("x^{f'}", display=False)


def test_a_root_is_as_tall_as_a_line_so_that_its_letter_does_not_touch_the_bar():
    root = ET.fromstring(mathml(r"\sqrt n", display=False)).find("msqrt")
    assert [part.tag for part in root] == ["mspace", "mi"]
    assert root[0].attrib == {"height": "0.7em", "depth": "0.2em"}


def test_a_product_entry_by_entry_is_no_large_operator():
    product = ET.fromstring(mathml(r"a \odot b", display=True)).find("mo")
    assert (product.text, product.get("largeop")) == ("⊙", "false")


def test_tex_that_is_not_known_is_an_error_and_not_left_out():
    with pytest.raises(LatexError, match="nosuchcommand"):
        mathml(r"\nosuchcommand x", display=False)


def test_the_font_knows_how_to_set_mathematics():
    assert "MATH" in TTFont(font())
