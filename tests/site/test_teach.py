"""The teaching edition: what students get, what instructors get, and that it runs."""

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from dfa_book.site.book import Book
from dfa_book.site.myst import blocks
from dfa_book.site.teach import EDITIONS, glued_results, taught_chapters, teach
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]
CHAPTERS = taught_chapters(Book(ROOT, ROOT))
PARAMETERS = new_code_cell(
    'profile = "digits"  # digits or smoke\njobs = None  # processes', metadata={"tags": ["parameters"]}
)
# What Jupyter would show as it stands.
MYST = {
    "role": r"\{[\w:-]+\}`[^`]+`",
    "directive": r"^\s*(?:`{3,}|:{3,})\{",
    "label": r"^\([\w:.-]+\)=\s*$",
    "labelled equation": r"\$\$\s*\([\w:.-]+\)\s*$",
    "link to a label": r"\]\(#(?:sec|fig|eq|ex|tab)-",
}
REFERENCES = """
@article{one, author = {Nøkland, Arild}, title = {Feedback}, journal = {J}, year = {2016}}
@misc{two, author = {Lillicrap, T. and Cownden, D. and Tweed, D.}, title = {Random weights},
  year = {2014}, howpublished = {arXiv:1411.0247}, url = {https://arxiv.org/abs/1411.0247}}
"""
TOC = """
format: jb-book
root: index
parts:
  - chapters: [{file: introduction}]
  - numbered: true
    chapters: [{file: one}, {file: two}]
  - chapters: [{file: appendix}, {file: glossary}]
"""


def markdown(text, *tags):
    return new_markdown_cell(text, metadata={"tags": list(tags)} if tags else {})


def code(text, *tags):
    return new_code_cell(text, metadata={"tags": list(tags)} if tags else {})


def exercise(name, title):
    return f"```{{exercise-start}} {title}\n:label: {name}\n```\nDo {title}.\n```{{exercise-end}}\n```"


def solution(name, text, *, end=True):
    start = f"```{{solution-start}} {name}\n:label: sol-{name}\n:class: dropdown\n```\n{text}"
    return start + ("\n```{solution-end}\n```" if end else "")


@pytest.fixture
def book(tmp_path):
    """Write a book whose chapters have these cells, below a title and a parameters cell."""

    def write(**chapters):
        source = tmp_path / "book"
        source.mkdir()
        (tmp_path / "_toc.yml").write_text(TOC, encoding="utf-8")
        (tmp_path / "_config.yml").write_text("title: A book\n", encoding="utf-8")
        (source / "references.bib").write_text(REFERENCES, encoding="utf-8")
        titles = {"appendix": "Appendix A. Proofs"}
        for name in ("index", "introduction", "one", "two", "appendix"):
            title = markdown(f"# {titles.get(name, name.capitalize())}")
            notebook = new_notebook(cells=[title, PARAMETERS, *chapters.get(name, [])])
            nbformat.write(notebook, source / f"{name}.ipynb")
        return Book(tmp_path, tmp_path)

    return write


def taught(book, edition, name):
    return nbformat.read(book.output / "_build" / "teach" / edition / f"{name}.ipynb", as_version=4)


def gaps(notebook):
    return [cell for cell in notebook.cells if "gap" in cell.metadata.get("tags", [])]


def shown(book):
    """What a student sees of the Markdown cells of the chapter ``one``."""
    teach(book)
    cells = taught(book, "student", "one").cells
    return "\n\n".join(cell.source for cell in cells[3:] if cell.cell_type == "markdown")


# ---- solutions and gaps ----

SOLVED = [
    markdown("## Exercises\n\n" + exercise("ex-read", "Read the plot")),
    markdown(solution("ex-read", "It is SECRET text."), "solution"),
    markdown(
        exercise("ex-write", "Write it: π") + "\n" + solution("ex-write", "SECRET idea", end=False)
    ),
    code("answer = 'SECRET code'\nassert answer"),
    markdown("SECRET remark\n```{solution-end}\n```\n\n" + exercise("ex-tag", "Tags only")),
    code("print('SECRET tagged')", "solution"),
    markdown("SECRET tagged text", "solution"),
    markdown("The chapter goes on."),
    code("after = 1"),
]


def test_students_get_no_solution_and_a_gap_for_each(book):
    book = book(one=SOLVED)
    counts = teach(book)
    notebook = taught(book, "student", "one")
    assert "SECRET" not in json.dumps(notebook)
    assert counts["one"] == {"exercises": 3, "gaps": 5}
    assert [cell.source for cell in gaps(notebook)] == [
        "**Exercise 1.1 (Read the plot):** *your answer goes here.*",
        "**Exercise 1.2 (Write it: π):** *your answer goes here.*",
        'raise NotImplementedError("Exercise 1.2 (Write it: π): your code goes here.")',
        "**Exercise 1.3 (Tags only):** *your answer goes here.*",
        'raise NotImplementedError("Exercise 1.3 (Tags only): your code goes here.")',
    ]


def test_a_gap_follows_its_exercise(book):
    book = book(one=SOLVED)
    teach(book)
    sources = [cell.source for cell in taught(book, "student", "one").cells]
    places = [
        next(i for i, source in enumerate(sources) if text in source)
        for text in (
            "Do Read",
            "1.1 (Read the plot):",
            "Do Write",
            "1.2 (Write it: π):",
            "Do Tags",
            "goes on",
        )
    ]
    assert places == sorted(places)


def test_instructors_get_solutions_marked_and_not_folded(book):
    book = book(one=SOLVED)
    teach(book)
    notebook = taught(book, "instructor", "one")
    assert gaps(notebook) == []
    secret = [cell for cell in notebook.cells if "SECRET" in cell.source]
    assert len(secret) == 6
    assert all(cell.metadata.tags == ["solution"] for cell in secret)
    assert all("jupyter" not in cell.metadata for cell in secret)
    assert secret[0].source == "#### Solution to exercise 1.1\n\nIt is SECRET text."


def test_all_cells_of_a_student_notebook_run_past_its_gaps(book):
    book = book(one=SOLVED)
    teach(book)
    notebook = taught(book, "student", "one")
    NotebookClient(notebook, kernel_name="python3", timeout=60).execute()
    raised = [
        output.evalue
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    assert raised == [
        "Exercise 1.2 (Write it: π): your code goes here.",
        "Exercise 1.3 (Tags only): your code goes here.",
    ]
    assert notebook.cells[-1].execution_count is not None
    (check,) = [cell for cell in notebook.cells if "check" in cell.metadata.get("tags", [])]
    assert check.outputs[0].text == "ex-write: not answered yet. Your code has to set answer.\n"


def test_code_that_the_site_does_not_show_leaves_no_gap_for_code(book):
    computed = [
        markdown(exercise("ex-read", "Read") + "\n" + solution("ex-read", "", end=False)),
        code("print('SECRET')", "solution", "remove-input"),
        markdown("```{solution-end}\n```"),
    ]
    book = book(one=computed)
    teach(book)
    assert [cell.cell_type for cell in gaps(taught(book, "student", "one"))] == ["markdown"]


def test_solutions_without_an_end_or_an_exercise_are_refused(book):
    unended = [markdown(exercise("ex-a", "A")), markdown(solution("ex-a", "…", end=False))]
    here = book(one=unended)
    with pytest.raises(InputError, match=r"^one: the solution of ex-a has no solution-end\.$"):
        teach(here)
    stray = new_notebook(cells=[PARAMETERS, code("1", "solution")])
    nbformat.write(stray, here.source / "one.ipynb")
    with pytest.raises(InputError, match="is tagged solution, but follows no exercise"):
        teach(here)


# ---- what MyST becomes ----

OTHER = [
    markdown("(sec-far)=\n## Far away\n\n$$\na = b\n$$ (eq-far)"),
    code('show_figure(figure, name="fig-far", caption="…", alt="…")', "hide-input"),
]
APPENDIX = [markdown("```{prf:theorem} Big\n:label: thm-big\nTrue.\n```")]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("$$\nx = 1\n$$ (eq-x)\n\nBy {eq}`eq-x`.", "$$\nx = 1\n\\tag{1.1}\n$$\n\nBy (1.1)."),
        ("See {numref}`fig-far`.", "See [Fig. 2.1](two.ipynb)."),
        ("By {eq}`eq-far`.", "By [(2.1)](two.ipynb)."),
        ("By {prf:ref}`thm-big`.", "By [Theorem A.1](appendix.ipynb)."),
        ("{cite}`one` and {cite:t}`two`.", "(Nøkland, 2016) and Lillicrap et al. (2014)."),
        ("{cite}`one,two`", "(Nøkland, 2016; Lillicrap et al., 2014)"),
        ("a {term}`label`, {term}`labels <label>`", "a label, labels"),
        ("{py:func}`dfa_lib.run_all` {py:func}`~dfa_lib.train`", "`dfa_lib.run_all` `train`"),
        ("{glue:text}`two.ipynb::gap:.2f`", "(*computed in [chapter 2](two.ipynb)*)"),
        ("{glue:text}`appendix.ipynb::x`", "(*computed in [Appendix A](appendix.ipynb)*)"),
        ("{glue:text}`own:.2f`", "(*computed above*)"),
        ("[Far](#sec-far), [](#sec-far)", "[Far](two.ipynb), [Far away](two.ipynb)"),
        ("(sec-a)=\n## At home\n\n{ref}`sec-a`", "## At home\n\n[At home](#At-home)"),
        ("[two](two.ipynb), [words](glossary.md)", "[two](two.ipynb), words"),
        ("[site](https://example.org/a#b)", "[site](https://example.org/a#b)"),
        ("```python\n(sec-a)=\n{eq}`x`\n```", "```python\n(sec-a)=\n{eq}`x`\n```"),
        ("% a comment\ntext", "text"),
        ('text\n\n<script defer src="_static/a.mjs"></script>', "text"),
        ('text\n\n<div class="dfa-live" data-view="turn"></div>\n<p>Without scripts.</p>', "text"),
        ("text\n\n```{only} html\nIt is folded.\n```", "text"),
        ("term\n: what it means", "**term:** what it means"),
        (
            ":::{note}\nTake {eq}`eq-far`.\n:::",
            '<div class="alert alert-info">\n\n**Note.** Take [(2.1)](two.ipynb).\n\n</div>',
        ),
        (
            "::::{admonition} So\n:class: tip\n```{math}\n:label: eq-in\nx\n```\n::::",
            '<div class="alert alert-info">\n\n**So.**\n\n$$\nx\n\\tag{1.1}\n$$\n\n</div>',
        ),
        (
            "```{prf:definition} Lazy\n:label: def-lazy\nIt sleeps.\n```\nBy {prf:ref}`def-lazy`.",
            '<div class="alert alert-info">\n\n**Definition 1.1 (Lazy).** It sleeps.\n\n</div>\n\n'
            "By Definition 1.1.",
        ),
        ("```{prf:proof}\nClear.\n```", "*Proof.* Clear. $\\square$"),
    ],
)
def test_myst_becomes_plain_markdown(book, text, plain):
    book = book(one=[markdown(text)], two=OTHER, appendix=APPENDIX)
    assert shown(book).partition("\n\n## References")[0] == plain


def test_links_to_and_from_a_chapter_in_a_folder_are_relative(book):
    book = book(one=[markdown("See [three](more/three.ipynb).")])
    (book.source / "more").mkdir()
    said = "From [one](../one.ipynb) to [two](../two.ipynb)."
    more = new_notebook(cells=[markdown("# Three"), PARAMETERS, markdown(said)])
    nbformat.write(more, book.source / "more" / "three.ipynb")
    toc = (book.root / "_toc.yml").read_text(encoding="utf-8")
    (book.root / "_toc.yml").write_text(toc.replace("{file: two}", "{file: two}, {file: more/three}"))
    teach(book)
    assert taught(book, "student", "one").cells[-1].source == "See [three](more/three.ipynb)."
    assert taught(book, "student", "more/three").cells[-1].source == said
    for_graders = book.output / "_build" / "teach"
    assert (for_graders / "nbgrader/source/three/three.ipynb").is_file()
    assert (for_graders / "otter/three.ipynb").is_file()


def test_references_are_listed_at_the_end(book):
    book = book(one=[markdown("After {cite}`two`."), code("x = 1")])
    teach(book)
    last = taught(book, "student", "one").cells[-1].source
    assert last.startswith("## References\n\n- T. Lillicrap")
    assert "Random weights" in last
    assert "Nøkland" not in last


def test_roles_in_the_strings_of_code_become_plain_too(book):
    text = "print('{numref}`fig-far` and', f'{{eq}}`eq-far` `{commit}`, `{code}`')"
    book = book(one=[code(text)], two=OTHER)
    teach(book)
    last = taught(book, "student", "one").cells[-1].source
    assert last == "print('[Fig. 2.1](two.ipynb) and', f'[(2.1)](two.ipynb) `{commit}`, `{code}`')"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```{mermaid}\na\n```", "one has the directive {mermaid}, which Jupyter does not show"),
        ("{sparkle}`x`", "one has the role {sparkle}, which Jupyter does not show"),
        ("{eq}`eq-none`", "one refers to eq-none, which is not a label of the book"),
        ("[nine](nine.ipynb)", "one links to nine.ipynb, which is not a page of the book"),
        ("[nine](nine.md#sec)", "one links to nine.md, which is not a page of the book"),
        ("{cite}`none`", "one cites none, which is not in the bibliography"),
        ("```{note}\nnever closed", "the block that begins with '```{note}' has no end"),
    ],
)
def test_what_cannot_be_shown_is_refused(book, text, message):
    book = book(one=[markdown(text)])
    with pytest.raises(InputError, match=re.escape(message)):
        teach(book)


def test_a_result_of_another_chapter_is_quoted_where_that_was_executed(book, monkeypatch):
    book = book(one=[markdown("The gap is {glue:text}`two.ipynb::gap:.2f`.")])
    book.staging.mkdir(parents=True)
    executed = new_notebook(cells=[code("glue('gap', 0.256)")])
    record = {"application/papermill.record/text/plain": "0.256"}
    scrapbook = {"name": "gap", "mime_prefix": "application/papermill.record/"}
    executed.cells[0].outputs = [
        nbformat.v4.new_output("display_data", record, metadata={"scrapbook": scrapbook})
    ]
    nbformat.write(executed, book.staging / "two.ipynb")
    row = {"chapter": "two", "state": "fresh", "parameters": "profile=digits"}
    for changed, text in (
        ({}, "The gap is 0.26."),
        ({"state": "stale"}, "The gap is (*computed in [chapter 2](two.ipynb)*)."),
        ({"parameters": "profile=smoke"}, "The gap is (*computed in [chapter 2](two.ipynb)*)."),
    ):
        monkeypatch.setattr("dfa_book.site.teach.status", lambda _, c=changed: [row | c])
        assert shown(book) == text
        about = taught(book, "student", "one").cells[0].source
        assert ("quotes from other chapters" in about) == (changed == {})


def glued(name, **kinds):
    """The output of ``glue(name, …)``: by the last part of its types, what it shows."""
    prefix = "application/papermill.record/"
    return nbformat.v4.new_output(
        "display_data",
        {f"{prefix}{kind.replace('_', '/')}": data for kind, data in kinds.items()},
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


@pytest.mark.parametrize("stay", ["glue", "glue:any", "glue:figure", "glue:md"])
def test_what_is_glued_and_is_no_text_is_said_to_be_computed_elsewhere(book, monkeypatch, stay):
    """Earlier, a figure that was glued as HTML ended this command with a SyntaxError."""
    directive = f"```{{{stay}}} two.ipynb::home\n```"
    book = book(
        one=[markdown(f"{{{stay}}}`two.ipynb::home`, {{glue:text}}`two.ipynb::n:.1f`\n\n{directive}")]
    )
    executed = new_notebook(cells=[code("…")])
    plain = "<IPython.core.display.HTML object>"
    executed.cells[0].outputs = [
        glued("home", text_html="<p>Hello</p>", text_plain=plain),
        glued(
            "picture", **{"image_svg+xml": "<svg/>", "text_plain": "<Figure size 640x480 with 1 Axes>"}
        ),
        glued("png", image_png="iVBORw0KGgo=", text_plain="<Figure>"),
        glued("math", text_latex="$x$", text_plain="x"),
        glued("table", text_html="<table></table>", text_plain="   a\n0  1"),
        glued("object", text_plain="<object object at 0x7f>"),
        glued("nothing"),
        glued("n", text_plain="0.25"),
    ]
    book.staging.mkdir(parents=True)
    nbformat.write(executed, book.executed("two"))
    row = {"chapter": "two", "state": "fresh", "parameters": "profile=digits"}
    monkeypatch.setattr("dfa_book.site.teach.status", lambda _: [row])
    assert glued_results(book) == {("two", "object"): "<object object at 0x7f>", ("two", "n"): 0.25}
    elsewhere = "(*computed in [chapter 2](two.ipynb)*)"
    assert shown(book) == f"{elsewhere}, 0.2\n\n{elsewhere}"


def test_a_text_in_a_form_for_numbers_is_a_sentence(book, monkeypatch):
    book = book(one=[markdown("{glue:text}`two.ipynb::gap:.2f`")])
    monkeypatch.setattr("dfa_book.site.teach.glued_results", lambda _: {("two", "gap"): "much"})
    with pytest.raises(InputError, match=r"^one shows gap of two, 'much', as '\.2f': Unknown format"):
        teach(book)


# ---- the notebooks as a whole ----


def test_a_notebook_says_what_it_is_and_how_to_install_what_it_needs(book, monkeypatch):
    book = book()
    monkeypatch.setenv("DFA_REPOSITORY_URL", "https://github.com/someone/companion")
    teach(book)
    about = taught(book, "student", "one").cells[0].source
    assert about.startswith("**One**, student edition. From *A book: an executable companion*.")
    assert "https://github.com/someone/companion" in about
    address = "https://github.com/someone/companion"
    found = re.search(r'pip install -c (\S+) "dfa_lib\[notebooks\] @ git\+(\S+)@(\w+)"', about)
    assert found[1] == f"{address}/raw/{found[3]}/requirements.txt"  # with the versions that were tested
    assert found[2] == address


def test_the_class_profile_is_set_and_plotting_code_is_folded(book):
    book = book(two=OTHER)
    teach(book)
    cells = taught(book, "instructor", "two").cells
    assert cells[1].source == "# 2. Two"
    assert cells[2].source.startswith(
        'profile = "class"  # class (within a minute), digits (minutes) or mnist (hours)\n'
    )
    assert cells[2].metadata.tags == ["parameters"]
    assert [cell.source for cell in cells[-2:-1]] == ["**Fig. 2.1**"]
    assert cells[-1].metadata.jupyter == {"source_hidden": True}


def test_the_same_sources_make_the_same_files(book):
    book = book(one=SOLVED, two=OTHER)
    folder = book.output / "_build" / "teach"
    teach(book)
    first = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    teach(book)
    assert {path: path.read_bytes() for path in folder.rglob("*.ipynb")} == first
    assert sorted({path.stem for path in first}) == ["appendix", "introduction", "one", "two"]


def test_kept_learning_rates_come_along(book):
    """A notebook finds them beside it; without them, each student's machine would tune for minutes."""
    book = book()
    kept = book.root / "results" / "class"
    kept.mkdir(parents=True)
    (kept / "tuning.csv").write_text("a table")
    teach(book)
    for edition in EDITIONS:
        there = book.build / "teach" / edition / "results" / "class" / "tuning.csv"
        assert there.read_text() == "a table"


def test_pictures_come_along(book):
    book = book(one=[markdown("![A dot](_static/dot.svg)")])
    (book.source / "_static").mkdir()
    (book.source / "_static" / "dot.svg").write_text("<svg/>")
    teach(book)
    for edition in EDITIONS:
        assert (book.output / "_build/teach" / edition / "_static/dot.svg").read_text() == "<svg/>"


@pytest.mark.parametrize(
    "picture", ["_static/none.png", "../../secret.png", "/etc/hostname", "_static", "../secret.png"]
)
def test_a_picture_that_is_not_in_the_book_is_refused(book, tmp_path, picture):
    (tmp_path / "secret.png").write_text("secret")
    book = book(one=[markdown(f"![A dot]({picture})")])
    (book.source / "_static").mkdir()
    with pytest.raises(InputError, match=f"^one shows {re.escape(picture)}, which is not a file beside"):
        teach(book)
    assert not (book.build / "teach").exists()


def test_notebooks_that_were_written_earlier_stay_where_a_chapter_is_refused(book):
    book = book()
    teach(book)
    folder = book.build / "teach"
    before = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    nbformat.write(new_notebook(cells=[PARAMETERS, code("1", "solution")]), book.notebook("two"))
    with pytest.raises(InputError, match="is tagged solution, but follows no exercise"):
        teach(book)
    assert {path: path.read_bytes() for path in folder.rglob("*.ipynb")} == before
    assert sorted(path.name for path in book.build.iterdir()) == ["teach"]
    # What is written next has nothing of what was there before.
    (folder / "student" / "old.ipynb").write_text("")
    nbformat.write(new_notebook(cells=[PARAMETERS]), book.notebook("two"))
    teach(book)
    assert not (folder / "student" / "old.ipynb").exists()


def test_notebooks_without_ids_are_taught(book):
    """As Colab, VS Code and Notebook 6 save them."""
    book = book(one=SOLVED)
    with_ids = teach(book)
    content = json.loads(book.notebook("one").read_text())
    content["nbformat_minor"] = 4
    for cell in content["cells"]:
        del cell["id"]
    book.notebook("one").write_text(json.dumps(content))
    assert teach(book) == with_ids
    folder = book.build / "teach"
    first = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    for path in first:
        notebook = json.loads(path.read_text())
        nbformat.validate(notebook)
        ids = [cell["id"] for cell in notebook["cells"]]
        assert len(set(ids)) == len(ids)
    teach(book)
    assert {path: path.read_bytes() for path in folder.rglob("*.ipynb")} == first


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([markdown("```{exercise-start} A\n```\nDo.\n```{exercise-end}\n```")], "it has 'none'."),
        ([markdown("```{exercise} A\n:label: a b: c\nDo.\n```")], "it has 'a b: c'."),
        (
            [markdown("### Exercise: own\n\nDo.\n\n**Solution.** Two.")],
            "'### Exercise: own' is a heading",
        ),
        (
            [code("seeds = 3", "parameters")],
            "one: it has 2 cells that are tagged parameters, and needs one",
        ),
    ],
)
def test_what_would_give_a_solution_away_or_has_no_name_is_refused(book, cells, said):
    book = book(one=cells)
    with pytest.raises(InputError, match=re.escape(said)):
        teach(book)


def test_what_editors_and_papermill_add_stays_behind(book):
    book = book(one=[code("seeds = 3; results = '/home/teacher'", "injected-parameters")])
    notebook = nbformat.read(book.notebook("one"), as_version=4)
    notebook.cells.append(nbformat.v4.new_raw_cell("SECRET for LaTeX"))
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata |= {
        "papermill": {"input_path": "/home/teacher"},
        "widgets": {},
        "kernelspec": kernel,
    }
    nbformat.write(notebook, book.notebook("one"))
    teach(book)
    for edition in EDITIONS:
        made = taught(book, edition, "one")
        assert made.metadata == {"kernelspec": kernel}
        assert not re.search("SECRET|/home/teacher", json.dumps(made))


def test_pictures_that_were_pasted_come_along(book):
    pasted = new_markdown_cell("![A](attachment:a.png) and ![B](data:image/png;base64,iVBORw0KGgo=)")
    pasted["attachments"] = {"a.png": {"image/png": "iVBORw0KGgo="}, "b.png": {"image/png": "="}}
    book = book(one=[pasted])
    teach(book)
    for edition in EDITIONS:
        (cell,) = [c for c in taught(book, edition, "one").cells if "attachment" in c.source]
        assert cell.source == pasted.source
        assert cell.attachments == {"a.png": {"image/png": "iVBORw0KGgo="}}


def test_links_to_what_is_on_the_site_alone_lead_there_if_it_is_published(book, monkeypatch):
    monkeypatch.setenv("DFA_SITE_URL", "https://example.org/book")
    book = book(one=[markdown("[two](two.ipynb), [words](glossary.md)")])
    assert shown(book) == "[two](two.ipynb), [words](https://example.org/book/glossary.html)"
    about = taught(book, "student", "one").cells[0].source
    assert "it is a page of the site: <https://example.org/book/one.html>." in about


# ---- the book's own ----


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    book = Book(ROOT, tmp_path_factory.mktemp("teach"))
    return book, teach(book)


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", CHAPTERS)
def test_no_chapter_speaks_of_folds_or_links_that_a_notebook_has_not(own, edition, name):
    text = "\n".join(c.source for c in taught(own[0], edition, name).cells if c.cell_type == "markdown")
    assert not re.search(r"\bfold(?:ed|s)?\b|that is linked", text)


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", CHAPTERS)
def test_no_myst_is_left_in_a_chapter(own, edition, name):
    found = [
        (cell.id, what)
        for cell in taught(own[0], edition, name).cells
        if cell.cell_type == "markdown"
        for what, pattern in MYST.items()
        if re.search(pattern, re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL), re.MULTILINE)
    ]
    assert found == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_exercise_of_a_chapter_has_its_gap_and_no_solution_is_left(own, name):
    book, counts = own
    source = nbformat.read(book.source / f"{name}.ipynb", as_version=4)
    directives = [
        block
        for cell in source.cells
        if cell.cell_type == "markdown"
        for block in blocks(cell.source)
        if not isinstance(block, str)
    ]
    labels = [b.options["label"] for b in directives if b.name in ("exercise", "exercise-start")]
    student = taught(book, "student", name)
    found = gaps(student)
    assert counts[name] == {"exercises": len(labels), "gaps": len(found)}
    text = [cell for cell in found if cell.cell_type == "markdown"]
    assert [cell.id for cell in text] == [f"{label}-answer" for label in labels]
    for cell in text:
        assert re.fullmatch(r"\*\*Exercise [\w.]+ \(.+\):\*\* \*your answer goes here\.\*", cell.source)
    for cell in found:
        if cell.cell_type == "code":
            reminder = r'raise NotImplementedError\("Exercise [\w.]+ \(.+\): your code goes here\."\)'
            assert re.fullmatch(reminder, cell.source)
            assert "raises-exception" in cell.metadata.tags
    instructor = taught(book, "instructor", name)
    solved = [cell for cell in instructor.cells if "solution" in cell.metadata.get("tags", [])]
    left = {line for cell in student.cells for line in cell.source.splitlines()}
    # Comments say what a check reads, in the student's notebook too.
    lines = (line for cell in solved for line in cell.source.splitlines() if len(line) > 40)
    cut = {line for line in lines if not line.startswith("#")}
    assert not left & cut
    assert bool(labels) == bool(solved)


class Blank(ast.NodeTransformer):
    """Leaves texts out of code."""

    def visit_Constant(self, node):
        return ast.Constant(...) if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        return ast.Constant(...)


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", CHAPTERS)
def test_notebooks_have_the_code_of_the_chapter_which_runs_with_the_solutions(own, edition, name):
    """`make book` executes all chapters; in the notebooks no more than texts and the profile differ."""
    cells = [
        {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
        for notebook in (
            nbformat.read(ROOT / "book" / f"{name}.ipynb", as_version=4),
            taught(own[0], edition, name),
        )
    ]
    chapter, made = (
        {id: ast.dump(Blank().visit(ast.parse(cell.source))) for id, cell in found.items()}
        for found in cells
    )
    tags = {id: set(cell.metadata.get("tags", [])) for found in cells for id, cell in found.items()}
    cut = {id for id in chapter if edition == "student" and "solution" in tags[id]}
    gaps = {id for id in made if tags[id] & {"gap", "check"}}
    assert {id: code for id, code in made.items() if id not in gaps} == {
        id: code for id, code in chapter.items() if id not in cut
    }
    assert bool(gaps) <= (edition == "student")
    (parameters,) = [cell.source for cell in cells[1].values() if "parameters" in tags[cell.id]]
    assert re.search('(?m)^profile = "class"  #', parameters)
