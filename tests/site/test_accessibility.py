"""Pages as the theme and its companions write them, put right; test_browser.py looks at whole pages."""

from pathlib import Path

from bs4 import BeautifulSoup

from dfa_book.site.accessibility import REPAIRS, Repairs


def repaired(text, path="page.html", repair=None):
    page = BeautifulSoup(text, "html.parser")
    (repair or Repairs())(Path(path), page)
    return str(page)


TABLE = """\
<table class="table">
<tbody>
<tr class="row-odd"><td><p>BP</p></td>
<td><p>W</p></td>
</tr>
<tr class="row-even"><td><p>DFA</p></td>
<td><p>B</p></td>
</tr>
</tbody>
</table>"""
SIGNATURE = """\
<dt class="sig"><span class="sig-paren">(</span>

<dl>
<dd><em class="sig-param"><span>run</span></em>,</dd>
<dd><em class="sig-param"><span>jobs</span></em>,</dd>
</dl></dt>
"""


def test_the_rows_of_a_table_without_a_head_have_headers():
    page = repaired(TABLE)
    assert page.count('<th scope="row">') == 2
    assert '<th scope="row"><p>DFA</p></th>\n<td><p>B</p></td>' in page


def test_a_table_with_a_head_stays_as_it_is():
    table = TABLE.replace("<tbody>", "<thead><tr><th>rule</th><th>matrix</th></tr></thead>\n<tbody>", 1)
    assert repaired(table) == table


def test_the_parameters_of_a_signature_are_no_list_of_definitions():
    page = repaired(SIGNATURE)
    assert "<dl>" not in page
    assert "<dd>" not in page
    assert page.count("<div>") == 2


def test_a_link_from_the_source_to_what_the_reference_lacks_is_left_out():
    link = '<a class="viewcode-back" href="../reference.html#dfa_lib.{}">[docs]</a>'
    repair = Repairs()
    repaired('<dt class="sig" id="dfa_lib.train">', "reference.html", repair)
    links = link.format("train") + link.format("save")
    assert repaired(links, "_modules/dfa_lib.html", repair) == link.format("train")


def test_a_repair_that_no_page_needed_is_named():
    repair = Repairs()
    assert repair.unused == list(REPAIRS)
    repaired(TABLE + SIGNATURE, repair=repair)
    assert repair.unused == [name for name in REPAIRS if not name.startswith(("dt.sig", "table.table"))]


def test_the_second_proof_of_a_page_has_not_the_id_of_the_first():
    proof = '<div class="proof admonition" id="proof"><section id="proof-content"></section></div>'
    page = repaired(proof)
    assert page == '<div class="proof admonition"><section></section></div>'


def test_what_has_no_name_and_no_role_gets_one():
    sidebar = '<div id="pst-primary-sidebar" class="bd-sidebar"><summary><span class="toctree-toggle">'
    index = '<table style="width: 100%" class="indextable genindextable">'
    page = repaired(sidebar + index)
    assert 'aria-label="Pages of this part"' in page
    assert 'role="region"' in page
    assert 'role="presentation"' in page
