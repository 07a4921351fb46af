"""A site has what the table of contents lists, and takes the earlier one's place when it is whole."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from dfa_book.site import build as site
from dfa_book.site.book import (
    Book,
    Listed,
    put_in_place,
    sole_builder,
)
from dfa_book.site.build import build_site
from dfa_book.site.cli import main
from dfa_book.site.policy import restrict
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]

CONFIG = """\
execute: {execute_notebooks: "off"}
sphinx: {extra_extensions: [dfa_book.site.mathematics, dfa_book.site.web]}
"""
# In the place of Jupyter Book: it writes a page, and ends as it is told, or never.
BUILDER = """\
import pathlib, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--path-output") + 1]) / "_build" / "html"
folder.mkdir(parents=True)
(folder / {page!r}).write_text("new")
{end}
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of a page and two chapters, which are staged as if they had been executed."""
    for name in ("DFA_SITE_URL", "DFA_REPOSITORY_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dfa_book.site.execute.execute", lambda *_, **__: [])
    book = Book(tmp_path, tmp_path)
    book.source.mkdir()
    book.staging.mkdir(parents=True)
    (tmp_path / "_config.yml").write_text(CONFIG)
    (book.source / "home.md").write_text("# Home\n\nSee [](one.ipynb).\n")
    for name in ("one", "two"):
        add_chapter(book, name)
    list_pages(book, "home", "one", "two")
    return book


def list_pages(book, first, *others):
    chapters = "".join(f"  - file: {name}\n" for name in others)
    (book.root / "_toc.yml").write_text(f"format: jb-book\nroot: {first}\nchapters:\n{chapters}")


def add_chapter(book, name):
    """Write a chapter, and put it into the staging folder."""
    cells = [
        nbformat.v4.new_markdown_cell(f"# {name}\n\n(label-of-{name})=\n## A section"),
        nbformat.v4.new_code_cell('profile = "digits"', metadata={"tags": ["parameters"]}),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, book.notebook(name))
    shutil.copyfile(book.notebook(name), book.executed(name))


# ---- the table of contents ----

TOC = """\
format: jb-book
root: index
parts:
  - chapters: [{file: preface.md}]
  - caption: The middle
    numbered: true
    chapters:
      - {file: one, sections: [{file: one/more, sections: [{file: one/most}]}]}
      - {file: two.ipynb}
      - {url: "https://example.org/"}
  - {caption: The end, chapters: [{file: "a name: with a colon"}]}
"""


def test_pages_stand_in_the_order_of_the_table_of_contents_with_parts_and_numbers(tmp_path):
    (tmp_path / "_toc.yml").write_text(TOC)
    assert Book(tmp_path, tmp_path).pages() == [
        Listed("index", "", None),
        Listed("preface", "", None),
        Listed("one", "The middle", 1),
        Listed("one/more", "", 1),
        Listed("one/most", "", 1),
        Listed("two", "", 2),
        Listed("a name: with a colon", "The end", None),
    ]


def test_a_name_in_a_comment_or_in_another_name_is_no_entry(book):
    (book.root / "_toc.yml").write_text("format: jb-book\nroot: home # not one\n# - file: two\n")
    assert book.chapters() == []
    list_pages(book, "home", "two", "one")
    assert book.chapters() == ["two", "one"]
    add_chapter(book, "on")
    assert book.chapters() == ["two", "one"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "toc is not a mapping"),
        ("root: [", "while parsing a flow node"),
        ("chapters: []", "'root' key not found"),
        ("format: jb-book\nroot: home\nchapters:\n- file: one\n- file: one", "multiple times: 'one'"),
        ("format: jb-book\nroot: home\nchapters:\n- glob: '*'", "pages are listed one by one here, not"),
        ("format: jb-book\nroot: ../elsewhere", "../elsewhere is not in the folder of pages"),
        ("format: jb-book\nroot: /etc/passwd", "/etc/passwd is not in the folder of pages"),
        (b"\xff", "invalid start byte"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["status", "teach", "build"])
def test_a_table_of_contents_that_cannot_be_read_is_a_sentence(
    book, capsys, monkeypatch, text, said, command
):
    monkeypatch.undo()
    monkeypatch.chdir(book.root)
    (book.root / "_toc.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main([command]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.startswith(
        f"dfa-book: {book.root / '_toc.yml'} is not a table of contents of Jupyter"
    )
    assert printed.count("\n") == 1


def test_a_page_without_a_file_is_a_sentence(book, capsys):
    list_pages(book, "home", "one", "renamed", "two")
    assert main(["build"]) == 2
    assert "_toc.yml lists renamed, for which" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("book/home.md", b"# \xe9", "home.md cannot be read: 'utf-8' codec can't decode byte 0xe9"),
        (
            "book/references.bib",
            b"@article{a, title = {B",
            "references.bib cannot be read: syntax error",
        ),
        ("book/references.bib", b"@article{a,}@article{a,}", "references.bib cannot be read: repeated"),
        ("_config.yml", b"title: [", "_config.yml cannot be read: while parsing a flow node"),
        ("_config.yml", b"- title", "_config.yml is no mapping of names to values."),
    ],
)
@pytest.mark.parametrize("command", ["build", "teach"])
def test_a_file_that_cannot_be_read_is_a_sentence(book, capsys, name, content, said, command):
    (book.root / name).write_bytes(content)
    assert main([command]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_a_notebook_that_is_not_listed_is_no_chapter(book, capsys, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(book.root)
    list_pages(book, "home", "two")
    assert main(["execute", "one"]) == 2
    assert "one is not a chapter of the book: enter it in _toc.yml first." in capsys.readouterr().err
    list_pages(book, "home")
    (book.root / "_toc.yml").write_text("format: jb-book\nroot: home\n")
    assert main(["execute"]) == 2
    assert "lists no notebook" in capsys.readouterr().err


# ---- what is staged ----


def test_what_the_book_has_no_more_does_no_harm_to_a_build(book, tmp_path):
    """Earlier, labels of a chapter under its old name made this build fail."""
    shutil.copyfile(book.executed("two"), book.executed("old"))  # renamed since, with the same labels
    (book.staging / "gone").mkdir()
    (book.staging / "gone" / "page.md").write_text("# Gone")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file.md").write_text("mine")
    (book.staging / "link").symlink_to(elsewhere)
    (book.source / "_static").mkdir()
    (book.source / "_static" / "own.css").write_text("h1 {color: red}")
    (book.source / "drafts").mkdir()
    for draft in ("draft.ipynb", "drafts/draft.ipynb"):
        shutil.copyfile(book.notebook("one"), book.source / draft)
    (book.source / "notes.md").write_text("# Notes, of which the table of contents knows nothing")

    assert main(["build"]) == 0
    pages = {path.relative_to(book.html).as_posix() for path in book.html.rglob("*.html")}
    assert {"home.html", "one.html", "two.html"} <= pages
    assert not {"old.html", "draft.html", "drafts/draft.html", "notes.html", "gone/page.html"} & pages
    staged = {path.relative_to(book.staging).as_posix() for path in book.staging.rglob("*.ipynb")}
    assert staged == {"one.ipynb", "two.ipynb"}
    assert not (book.staging / "gone").exists()
    assert (book.staging / "_static" / "own.css").exists()
    assert (elsewhere / "file.md").read_text() == "mine"
    assert not (book.staging / "link").exists()


# ---- building aside ----


@pytest.fixture
def builder(monkeypatch):
    """Let a small program be the builder."""

    def use(page="index.html", end=""):
        program = BUILDER.format(page=page, end=end)
        monkeypatch.setattr(site, "python", lambda _: [sys.executable, "-c", program])

    return use


@pytest.fixture
def earlier(book, builder):
    """A site that was built earlier."""
    builder()
    assert build_site(book) == 0
    (book.html / "index.html").write_text("earlier")
    return book


@pytest.mark.parametrize(
    ("page", "end", "status"),
    [("index.html", "sys.exit(3)", 3), ("one.html", "", 1), ("index.html", "1 / 0", 1)],
)
def test_a_failed_build_leaves_the_earlier_site(earlier, builder, capsys, page, end, status):
    builder(page, end)
    assert main(["build"]) == status
    said = capsys.readouterr().err
    assert f"the earlier one is still there: {earlier.html / 'index.html'}." in said
    assert [path.name for path in earlier.html.glob("*.html")] == ["index.html"]
    assert (earlier.html / "index.html").read_text() == "earlier"
    assert list(earlier.build.glob(".work-*")) == []


def test_a_failed_first_build_leaves_none(book, builder, capsys):
    builder(end="sys.exit(1)")
    assert main(["build"]) == 1
    assert "The site has errors or warnings, see above; there is none." in capsys.readouterr().err
    assert not book.html.exists()


def test_a_complete_build_takes_the_place_of_the_earlier_site(earlier, builder):
    (earlier.html / "old.html").write_text("a page that is no more")
    builder()
    assert main(["build"]) == 0
    assert [path.name for path in earlier.html.glob("*.html")] == ["index.html"]
    assert (earlier.html / "index.html").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_build_that_is_stopped_leaves_the_earlier_site(earlier, builder, capsys):
    builder(end="time.sleep(600)")

    def stop():
        while not list(earlier.build.glob(".work-*/_build/html/index.html")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop).start()
    assert main(["build"]) == 128 + signal.SIGTERM
    assert "an earlier site is still there" in capsys.readouterr().err
    assert (earlier.html / "index.html").read_text() == "earlier"
    assert list(earlier.build.glob(".work-*")) == []


def test_a_site_whose_place_a_kill_left_empty_is_put_back(earlier):
    earlier.html.rename(earlier.build / ".html.old")  # as a kill between two renames leaves it
    with sole_builder(earlier):
        assert (earlier.html / "index.html").read_text() == "earlier"
    assert not (earlier.build / ".html.old").exists()


def test_put_in_place_replaces_files_and_folders(tmp_path):
    for name, kind in (("file", "file"), ("folder", "folder")):
        new, place = tmp_path / f"new-{name}", tmp_path / name
        for text in ("first", "second"):
            if kind == "folder":
                new.mkdir()
                (new / text).write_text(text)
            else:
                new.write_text(text)
            put_in_place(new, place)
            found = [path.name for path in place.iterdir()] if kind == "folder" else [place.read_text()]
            assert found == [text]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_chapter_that_has_changed_since_is_named(earlier, capsys):
    notebook = nbformat.read(earlier.executed("one"), as_version=4)
    notebook.metadata["papermill"] = {
        "start_time": "2026-01-01T00:00:00+00:00", "duration": 1.0, "parameters": {}
    }  # fmt: skip
    nbformat.write(notebook, earlier.executed("one"))
    assert main(["build"]) == 0
    said = capsys.readouterr().out
    assert "Changed since they were executed, and on the site as they were: one." in said


def test_the_site_is_not_built_where_a_chapter_is_not_executed(book):
    book.executed("two").unlink()
    with pytest.raises(InputError, match="not executed yet are two"):
        build_site(book)


# ---- the command line ----


@pytest.mark.parametrize("arguments", [["--help"], ["exec"], ["build", "--jobs"]])
def test_help_and_typos_are_answered_without_the_packages_that_do_the_work(arguments):
    program = (
        "import sys\nfrom dfa_book.site.cli import main\ntry: main(sys.argv[1:])\n"
        "except SystemExit: print(list(sys.modules))"
    )
    command = [sys.executable, "-c", program, *arguments]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    loaded = set(re.findall(r"'(\w+)'", said.splitlines()[-1]))
    assert "argparse" in loaded
    assert not loaded & {"torch", "pandas", "matplotlib", "sphinx", "sklearn", "joblib", "nbformat"}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_a_port_that_is_taken_is_a_sentence(book):
    book.html.mkdir(parents=True)
    (book.html / "index.html").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = ["make", "-f", str(ROOT / "Makefile"), "serve", f"PORT={port}"]
        command += [f"BIN={Path(sys.executable).parent}", "-o", ".venv/.installed"]
        # As a person calls it, also where make runs the tests.
        calm = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(
            command, cwd=book.root, env=calm, capture_output=True, text=True, check=False
        )
    assert done.stdout == f"Port {port} is in use: try another, make serve PORT=9000.\n"
    assert "Traceback" not in done.stderr


def test_a_console_that_knows_fewer_letters_shows_what_it_can(book):
    program = "import sys; from dfa_book.site.cli import main; sys.exit(main(['status']))"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    list_pages(book, "home", "../é")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "../? is not in the folder of pages" in done.stderr


# ---- what is wrong with a page ----


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (
            '<img src="https://img.example/badge.svg">',
            "https://img.example/badge.svg is loaded from another",
        ),
        ('<script src="//cdn.example/x.js"></script>', "//cdn.example/x.js is loaded from another host"),
        (
            '<iframe src="https://www.youtube.com/embed/1"></iframe>',
            "www.youtube.com/embed/1 is loaded from",
        ),
        (
            '<p style="background: url(https://a.example/b.png)">',
            "https://a.example/b.png is loaded from",
        ),
        ("<style>@import 'https://a.example/b.css';</style>", "https://a.example/b.css is loaded from"),
        ("<script>1</script>", "a script stands in the text, where browsers do not run it"),
        ('<a href="https://a.example/">A link is welcome.</a><img src="a.png" srcset="b.png 2x">', None),
        (
            '<script type="module" src="_static/a.mjs"></script><img src="data:image/png;base64,AA">',
            None,
        ),
    ],
)
def test_what_a_page_may_not_load_or_run_is_named(html, said):
    page = BeautifulSoup(
        f"<html><head><script>0</script></head><body>{html}</body></html>", "html.parser"
    )
    found = restrict(page)
    assert [said in sentence for sentence in found] == [True] * (said is not None)
    if "https" in (said or "https"):
        hosts = ["img.example", "www.youtube.com", "a.example"]
        assert restrict(page, hosts) == []
        assert page.meta["content"].count("https://a.example") == 6
