"""Pages as the theme and its companions write them, put right; test_browser.py looks at whole pages."""

from dfa_lib.publishing.accessibility import repaired

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
<span class="sig-paren">(</span>

<dl>
<dd><em class="sig-param"><span>run</span></em>,</dd>
<dd><em class="sig-param"><span>jobs</span></em>,</dd>
</dl>
"""


def test_the_rows_of_a_table_without_a_head_have_headers(tmp_path):
    page = repaired(TABLE, tmp_path / "page.html")
    assert page.count('<th scope="row">') == 2
    assert '<th scope="row"><p>DFA</p></th>\n<td><p>B</p></td>' in page


def test_a_table_with_a_head_stays_as_it_is(tmp_path):
    table = TABLE.replace("<tbody>", "<thead><tr><th>rule</th><th>matrix</th></tr></thead>\n<tbody>", 1)
    assert repaired(table, tmp_path / "page.html") == table


def test_the_parameters_of_a_signature_are_no_list_of_definitions(tmp_path):
    page = repaired(SIGNATURE, tmp_path / "page.html")
    assert "<dl>" not in page
    assert "<dd>" not in page
    assert page.count("<div>") == 2


def test_a_link_from_the_source_to_what_the_reference_lacks_is_left_out(tmp_path):
    (tmp_path / "reference.html").write_text('<dt id="dfa_lib.train">', encoding="utf-8")
    link = '<a class="viewcode-back" href="reference.html#dfa_lib.{}">[docs]</a>'
    page = repaired(link.format("train") + link.format("save"), tmp_path / "page.html")
    assert page == link.format("train")


def test_the_second_proof_of_a_page_has_not_the_id_of_the_first(tmp_path):
    proof = '<div class="proof admonition" id="proof"><section id="proof-content"></section></div>'
    page = repaired(proof, tmp_path / "page.html")
    assert page == '<div class="proof admonition"><section></section></div>'


def test_a_repaired_page_stays_as_it_is(tmp_path):
    sidebar = '<div id="pst-primary-sidebar" class="bd-sidebar"><summary><span class="toctree-toggle">'
    index = '<table style="width: 100%" class="indextable genindextable">'
    once = repaired(sidebar + index + TABLE + SIGNATURE, tmp_path / "page.html")
    assert repaired(once, tmp_path / "page.html") == once
    assert 'aria-label="Pages of this part"' in once
    assert 'role="region"' in once
    assert 'role="presentation"' in once
