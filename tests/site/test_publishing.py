import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
import yaml
from attacks import MARKUP
from firefox import find_firefox, in_firefox

ROOT = Path(__file__).parents[2]
PARAMETERS = 'profile = "digits"\nseeds = epochs = jobs = results = None\ndevice = "cpu"'
SENTENCE = "A long enough sentence that says what can be seen in the figure."


def code(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def write_book(root, **chapters):
    """Write a book of given notebooks: ``write_book(root, name=[sources of its cells])``."""
    (root / "book").mkdir()
    write_toc(root, *chapters)
    for name, sources in chapters.items():
        cells = [code(PARAMETERS, "parameters"), *map(code, sources)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, root / "book" / f"{name}.ipynb")


def write_toc(root, first, *others):
    names = "".join(f"  - file: {name}\n" for name in others)
    toc = f"format: jb-book\nroot: {first}\n" + (f"chapters:\n{names}" if others else "")
    (root / "_toc.yml").write_text(toc)


@pytest.fixture
def small_book(tmp_path, monkeypatch):
    """Make a book here, as ``write_book`` does."""
    from dfa_book.site.book import find_book

    def make(**chapters):
        write_book(tmp_path, **chapters)
        monkeypatch.chdir(tmp_path)
        return find_book()

    return make


def staged(book):
    return sorted(path.name for path in book.staging.glob("*"))


def test_one_failed_chapter_does_not_lose_the_others_and_is_counted(small_book, capsys):
    from dfa_book.site.cli import main

    book = small_book(one=["1 + 1"], two=["1 / 0"], three=["3"])
    assert main(["build"]) == 1
    assert staged(book) == ["one.ipynb", "three.ipynb"]
    printed = capsys.readouterr()
    assert "two.ipynb, cell 2 raised ZeroDivisionError: division by zero" in printed.err
    assert "1 failed: two." in printed.err
    assert "The site was not built; what was built before is still there." in printed.err
    assert "three  done in" in printed.out


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import sys; sys.exit(0)", "cell 2 raised SystemExit: 0"),
        ("import os; os._exit(1)", "was not executed: the kernel stopped before it."),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the kernel stopped before it."),
    ],
)
def test_a_kernel_that_stops_is_no_success(small_book, capsys, source, sentence):
    from dfa_book.site.execute import execute

    book = small_book(one=[source, "2"])
    assert execute(book) == ["one"]
    assert staged(book) == []
    assert sentence in capsys.readouterr().err


def test_a_chapter_that_hangs_is_stopped(small_book, capsys):
    from dfa_book.site.execute import execute

    book = small_book(one=["import time; time.sleep(600)"])
    assert execute(book, timeout=4.0) == ["one"]
    assert "one.ipynb did not finish within 4 s and was stopped." in capsys.readouterr().err


def test_a_failed_chapter_leaves_the_last_good_one_in_place(small_book):
    from dfa_book.site.execute import execute
    from dfa_book.site.status import status

    book = small_book(one=["1 + 1"])
    assert execute(book) == []
    before = (book.staging / "one.ipynb").read_bytes()
    assert status(book)[0]["state"] == "fresh"

    path = book.source / "one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].source = "1 / 0"
    nbformat.write(notebook, path)
    assert status(book)[0]["state"] == "stale"
    assert execute(book) == ["one"]
    assert (book.staging / "one.ipynb").read_bytes() == before


def test_status_of_a_chapter_that_was_never_executed_is_missing(small_book):
    from dfa_book.site.status import status

    assert [row["state"] for row in status(small_book(one=["1"]))] == ["missing"]


def figure_source(alt=SENTENCE, caption="What it shows."):
    return (
        "from matplotlib.figure import Figure\n"
        "from dfa_book.chapter import show_figure\n"
        "figure = Figure(); figure.subplots().plot([1, 2])\n"
        f"show_figure(figure, name='fig-x', caption={caption!r}, alt={alt!r})"
    )


def test_figures_become_numbered_figures_with_alt_text(executed):
    cell = nbformat.read(executed / "_build" / "book" / "one.ipynb", as_version=4).cells[-1]
    assert cell.metadata["mystnb"] == {"figure": {"name": "fig-x", "caption": "What it shows."}}
    (output,) = cell.outputs
    assert output.data.keys() == {"text/html", "text/plain"}
    assert f'role="img" aria-label="{SENTENCE}"' in output.data["text/html"]


def test_given_parameters_are_not_shown_on_the_page(executed):
    cells = nbformat.read(executed / "_build" / "book" / "one.ipynb", as_version=4).cells
    injected = [c for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert [("remove-cell" in c.metadata["tags"], "results = " in c.source) for c in injected] == [
        (True, True)
    ]


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ([("fig-x", "Caption.", "figure")], "must say what is seen"),
        ([("fig-x", " ", SENTENCE)], "figure 'fig-x' has no caption"),
        ([("fig-x", "C.", SENTENCE), ("fig-y", "C.", SENTENCE)], "shows 2 figures"),
        ([("fig-x", "C.", SENTENCE), ("fig-x", "C.", SENTENCE)], "two figures with the name 'fig-x'"),
        ([None], "shows an image that is no figure: use show_figure."),
    ],
)
def test_figures_without_what_a_reader_needs_are_refused(outputs, sentence):
    from dfa_book.site.checks import problems

    cell = code("draw()")
    cell["execution_count"] = 1
    for about in outputs:
        names = dict(zip(("name", "caption", "alt"), about, strict=True)) if about else None
        metadata = {"dfa_figure": names} if names else {}
        cell["outputs"].append(
            nbformat.v4.new_output("display_data", {"image/png": ""}, metadata=metadata)
        )
    assert any(sentence in problem for problem in problems({"cells": [cell]}))


def test_cells_out_of_order_are_refused():
    from dfa_book.site.checks import problems

    cells = [code("1"), code("2")]
    for cell, count in zip(cells, (2, 1), strict=True):
        cell["execution_count"] = count
    assert problems({"cells": cells}) == [
        "cell 1 was executed as number 2, not 1: the cells did not run once each, in order."
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["execute", "-p", "epoch", "5"], "epoch is not a parameter of this book's chapters (did you"),
        (["build", "-p", "epoch", "5"], "mean epochs?); accepted are profile, seeds, epochs, jobs"),
        (["execute", "--profile", "digit"], "profile cannot be 'digit' (did you mean digits?)"),
        (["execute", "-p", "seeds", "0"], "seeds must be a whole number of at least 1, not 0."),
        (["build", "-p", "epochs", "2.5"], "epochs must be a whole number of at least 1, not 2.5."),
        (["build", "-p", "jobs", "many"], "jobs must be a whole number of at least 1, not 'many'."),
        (["execute", "-p", "device", "tpu"], "device cannot be 'tpu'"),
        (["execute", "two"], "a chapter cannot be 'two'; accepted are one."),
        (["execute", "--timeout", "0"], "timeout must be a positive, finite number, not 0.0."),
    ],
)  # fmt: skip
def test_bad_arguments_end_in_a_sentence_before_anything_runs(
    small_book, capsys, unchecked, arguments, sentence
):
    from dfa_book.site.cli import main

    book = small_book(one=["1"])
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert "running" not in printed.out
    assert not book.staging.exists()


def test_outside_a_book_the_command_says_so(tmp_path, monkeypatch, capsys):
    from dfa_book.site.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert "there is no book in" in capsys.readouterr().err


def test_a_site_is_not_built_from_half_a_book(small_book, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"], two=["2"])
    assert main(["build", "one"]) == 2
    assert "not executed yet are two" in capsys.readouterr().err


def test_a_relative_data_folder_means_the_callers_folder(small_book, monkeypatch):
    from dfa_book.site.execute import execute

    source = "import os; assert os.environ['DFA_DATA_DIR'] == os.path.dirname(os.getcwd()) + '/here'"
    book = small_book(one=[source])
    monkeypatch.setenv("DFA_DATA_DIR", "here")
    assert execute(book) == []


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (None, "one.ipynb: it has no cells that are tagged parameters, and needs one"),
        (
            PARAMETERS.replace("digits", "class"),
            "set profile to 'digits', not to 'class': set it back, and",
        ),
    ],
)
def test_a_chapter_without_its_parameters_is_not_executed(small_book, capsys, parameters, said):
    from dfa_book.site.cli import main

    book = small_book(one=["1"])
    notebook = nbformat.read(book.notebook("one"), as_version=4)
    notebook.cells[:1] = [code(parameters, "parameters")] if parameters else []
    nbformat.write(notebook, book.notebook("one"))
    for command in ("execute", "teach"):
        assert main([command]) in (1, 2)
        assert said.removeprefix("one.ipynb: ") in capsys.readouterr().err
    assert staged(book) == []


def test_a_chapter_that_changes_what_is_not_its_own_is_found_out(small_book, capsys):
    from dfa_book.site.execute import execute

    write = "import pathlib; pathlib.Path('{}').{}"
    table = "../_build/results/digits/kept.csv"
    book = small_book(
        one=[write.format(table, "write_text('x,y')")],
        two=[
            write.format("../_build/book/one.ipynb", "write_text('{}')"),
            write.format(table, "unlink()"),
            write.format("one.ipynb", "touch()"),
            "print('x' * 6_000_000)",
        ],
    )
    assert execute(book) == ["two"]
    printed = capsys.readouterr()
    for path in (book.executed("one"), book.build / "results" / "digits" / "kept.csv"):
        assert f"two.ipynb has changed or removed {path}, which is not its own." in printed.err
    assert f"{book.notebook('one')} has changed meanwhile: by its author, or by a cell of two." in (
        printed.out
    )
    assert "two.ipynb, cell 5 shows 6 MB, and no more than 5 MB of a cell can" in printed.err


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("DFA ends at 0.73 on three digits.", "0.73"),
        ("DFA ends at .73.", ".73"),
        ("A value of 1,234.5 was found.", "1,234.5"),
        ("The loss is 3e-4 at the end.", "3e-4"),
        ("It is right about 80 % of the digits.", "80 %"),
        ("It is right about 80\u00a0% of the digits.", "80\u00a0%"),
        ("It is right about 80 per cent of the digits.", "80 per cent"),
        ("An interval of 95 % from 0.71 on.", "0.71"),
        ("Figure 3.1 shows an accuracy of 0.73.", "0.73"),
        ("# DFA ends at 0.73", "0.73"),
        ("- one\n- ends at 0.73", "0.73"),
        ("- cited {cite}`lillicrap2014`\n- ends at 0.73", "0.73"),
        ("Cited {cite}`lillicrap2014`.\n\nIt ends at 0.73.", "0.73"),
        ("| method | accuracy |\n|---|---|\n| {cite}`a` | none |\n| DFA | 0.73 |", "0.73"),
        ("```{note} A title\n:class: wide\nIt ends at 0.73.\n```", "0.73"),
        (":::{admonition} It ends at 0.73\n:class: tip\nSo it does.\n:::", "0.73"),
        ("```{figure} a.png\n---\nwidth: 50%\n---\nIt ends at 0.73.\n```", "0.73"),
        ("[It ends at 0.73](somewhere.md)", "0.73"),
        ("<div class='x'>It ends at 0.73.</div>", "0.73"),
        ("DFA\n: ends at 0.73", "0.73"),
    ],
)  # fmt: skip
def test_a_result_typed_by_hand_is_found(text, number):
    from dfa_book.site.checks import text_problems

    (problem,) = text_problems(text)
    assert problem.startswith(f"{number} is typed by hand in ")
    assert "compute it and glue it" in problem


@pytest.mark.parametrize(
    "text",
    [
        "DFA {cite}`nokland2016` ends at 0.73, right about 98 % of the digits.",
        "- DFA ends at 0.73, as in {cite}`nokland2016`.",
        "| method | accuracy |\n|---|---|\n| DFA {cite}`nokland2016` | 0.73 |",
        "Intervals are 95 % Student-t, here and at the 95% level.",
        "A rate $\\eta = 0.5$ and $$\\eta = 0.9$$",
        "```{math}\n:label: eq-0.5\n\\rho = 0.9\n```",
        "```{code-block} python\nrate = 0.5\n```\n\n```python\nrate = 0.5\n```",
        "The rate `0.5`, from [there](https://example.org/0.5) or https://example.org/0.5.",
        "```{prf:theorem} A title\n:label: thm-0.5\n:width: 50%\nWords.\n```",
        "(sec-0.5)=\n# 1.2 A title",
        "Appendix 2.1 and figures 3.1 to 3.4, section 2.1 and (figure 2.1).",
        "Python 3.11, torch 2.13.0, version 1.2, CC BY 4.0, v1.2.",
        "2026-11-24, 24.11.2026, 8×8 pixels, 1,797 digits.",
        "arXiv:1609.01596, 10.1038/ncomms13276, k = 1, 2, 5, … and {glue:text}`a.ipynb::b:.2f` %",
        "% a remark: 0.73\n\n<!-- 0.73 -->",
    ],
)  # fmt: skip
def test_what_is_no_result_may_be_typed(text):
    from dfa_book.site.checks import text_problems

    assert text_problems(text) == []


def test_prose_is_read_with_the_extensions_of_the_book():
    from dfa_book.site.checks import EXTENSIONS

    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert sorted(EXTENSIONS) == sorted(config["parse"]["myst_enable_extensions"])


def test_a_number_typed_into_a_chapter_fails_it_before_anything_is_executed(small_book, capsys):
    from dfa_book.site.cli import main

    book = small_book(one=["1 / 0"])
    path = book.source / "one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("DFA ends at 0.73."))
    nbformat.write(notebook, path)
    assert main(["build"]) == 1
    printed = capsys.readouterr()
    assert "one.ipynb, cell 3: 0.73 is typed by hand in 'DFA ends at 0.73.'" in printed.err
    assert "The site was not built" in printed.err
    assert staged(book) == []


def test_a_number_typed_into_a_page_fails_the_build(small_book, capsys):
    from dfa_book.site.cli import main

    book = small_book(one=["1"])
    (book.source / "page.md").write_text("# A page\n\nDFA ends at 0.73.\n")
    (book.root / "_config.yml").write_text("")
    assert main(["build"]) == 1
    assert "page.md: 0.73 is typed by hand in 'DFA ends at 0.73.'" in capsys.readouterr().err
    assert not book.html.exists()


def test_a_figure_without_an_alt_text_fails_the_build(small_book, capsys):
    from dfa_book.site.cli import main

    book = small_book(one=[figure_source(alt="")])
    assert main(["build"]) == 1
    assert "the alt text of figure 'fig-x' must say what is seen" in capsys.readouterr().err
    assert not book.html.exists()


# ---- training anew, and verifying ----


@pytest.fixture
def in_this_process(monkeypatch):
    """Execute chapters without papermill and a kernel, whose start takes longer than the training."""

    def run(source, target, parameters, timeout, shown):
        notebook, names = nbformat.read(source, as_version=4), {}
        for count, cell in enumerate(notebook.cells, start=1):
            exec(cell.source, names)
            names |= parameters if "parameters" in cell.metadata["tags"] else {}
            cell.execution_count = count
        about = {"start_time": "2026-01-01T00:00:00+00:00", "duration": 1.0, "parameters": parameters}
        notebook.metadata["papermill"] = about
        nbformat.write(notebook, target)
        return []

    monkeypatch.setattr("dfa_book.site.execute._papermill", run)


TRAINS = (
    "from pathlib import Path\n"
    "from dfa_lib import Run, run_all\n"
    "small = dict(learning_rate=0.1, samples=64, test_samples=32, hidden=4, epochs=1)\n"
    "runs = [Run(**small, seed=seed) for seed in (0, 1)]\n"
    "run_all(runs, results=Path(results) / 'some.csv')"
)


@pytest.mark.usefixtures("in_this_process")
def test_a_build_says_how_many_runs_it_trained_and_fresh_trains_them_again(small_book, capsys):
    from dfa_book.site.cli import main

    book = small_book(one=[TRAINS])
    for arguments, said in (
        (["execute", "one"], "2 runs were trained."),
        (["execute", "one"], "Nothing was trained: all results were there."),
        (["execute", "one", "--fresh"], "2 runs were trained."),
    ):
        assert main(arguments) == 0
        assert said in capsys.readouterr().out
    assert (book.output / "_build" / "results" / "digits" / "some.csv").exists()


@pytest.mark.usefixtures("in_this_process")
def test_executing_all_chapters_again_trains_only_what_is_missing(small_book, capsys):
    """Earlier, it removed all results of the digits first."""
    from dfa_book.site.cli import main

    book = small_book(one=[TRAINS])
    assert main(["execute"]) == 0
    assert capsys.readouterr().out.endswith("2 runs were trained.\n")
    some = book.build / "results" / "digits" / "some.csv"
    before = some.read_bytes()
    edit_last_run(some, some.read_text().splitlines()[-1] + "\n", "")  # as if stopped before it
    assert main(["execute"]) == 0
    assert capsys.readouterr().out.endswith("1 run was trained.\n")
    assert some.read_bytes() == before
    assert main(["execute"]) == 0
    assert capsys.readouterr().out.endswith("Nothing was trained: all results were there.\n")


def test_runs_of_other_epochs_have_a_folder_of_their_own(small_book, capsys):
    """Earlier, they were refused beside those of the profile, or added to the stored tables of MNIST."""
    from dfa_book.chapter import check_parameters
    from dfa_book.site.kept import results_folder

    book = small_book(one=["1"])
    for given, folder in (
        ({}, book.build / "results" / "digits"),
        ({"epochs": 20, "seeds": 9}, book.build / "results" / "digits"),
        ({"epochs": 5}, book.build / "results" / "digits-5-epochs"),
        ({"profile": "smoke", "device": "cuda"}, book.build / "results" / "smoke-cuda"),
        ({"profile": "mnist"}, book.root / "results" / "mnist"),
        ({"profile": "mnist", "epochs": 5}, book.build / "results" / "mnist-5-epochs"),
    ):
        assert results_folder(book, check_parameters(given)) == folder


def test_a_profile_that_is_given_twice_is_refused(small_book, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    assert main(["execute", "--profile", "digits", "-p", "profile", "smoke"]) == 2
    assert "profile is given twice: digits and smoke." in capsys.readouterr().err


@pytest.mark.usefixtures("in_this_process")
def test_fresh_leaves_committed_results_as_they_are(small_book):
    from dfa_book.site.execute import execute

    book = small_book(one=[TRAINS])
    committed = book.root / "results" / "mnist" / "some.csv"
    committed.parent.mkdir(parents=True)
    committed.write_text("committed")
    assert execute(book, parameters={"profile": "mnist"}, fresh=True) == []
    assert committed.read_text() == "committed"
    assert (book.output / "_build" / "results" / "mnist" / "some.csv").exists()


def test_fresh_and_a_folder_of_results_are_refused_together(small_book, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    assert main(["execute", "--fresh", "--results", "here"]) == 2
    assert "does not go with results" in capsys.readouterr().err


@pytest.fixture
def results(tmp_path, small_run):
    from dfa_lib import run_all

    folder = tmp_path / "kept"
    for name, method in (("one", "bp"), ("two", "dfa")):
        run_all(
            [small_run(method=method, seed=seed) for seed in range(2)], results=folder / f"{name}.csv"
        )
    (folder / "other.csv").write_text("x,y\n1,2\n")
    return folder


def test_verify_trains_runs_again_to_the_same_bits(small_book, results, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    assert main(["verify", "--results", str(results), "--sample", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["one.csv", "two.csv"]
    assert [line.endswith(": the same bits") for line in lines] == [True, True, False, False]
    assert lines[2] == "2 of 2 runs agree within 0.02."
    assert main(["verify", "--results", str(results), "--sample", "99"]) == 0
    assert "4 of 4 runs agree" in capsys.readouterr().out


def test_verify_trains_a_run_that_is_in_two_files_once(small_book, results, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    shutil.copy(results / "one.csv", results / "again.csv")
    assert main(["verify", "--results", str(results), "--sample", "2", "--jobs", "1"]) == 0
    assert "6 of 6 runs agree" in capsys.readouterr().out


def test_verify_finds_a_number_that_was_made_up(small_book, results, capsys):
    from dfa_book.site.cli import main
    from dfa_lib import read_results

    small_book(one=["1"])
    stored = read_results(results / "one.csv")["test_accuracy"].iloc[-1]
    text = (results / "one.csv").read_text()
    (results / "one.csv").write_text(text.replace(f",{stored},", ",0.999,"))
    assert main(["verify", "--results", str(results), "--sample", "4"]) == 1
    assert "again" in next(line for line in capsys.readouterr().out.splitlines() if "DOES NOT" in line)


def test_verify_without_results_is_a_sentence(small_book, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    assert main(["verify"]) == 2
    assert "there are no results in" in capsys.readouterr().err
    assert main(["verify", "--sample", "0"]) == 2
    assert "sample must be a whole number of at least 1" in capsys.readouterr().err


# ---- freshness ----


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The folder of a book with one figure, executed."""
    from dfa_book.site.book import Book
    from dfa_book.site.execute import execute

    root = tmp_path_factory.mktemp("executed")
    figure = figure_source().replace("name='fig-x'", "name='fig-x', results=['some']")
    write_book(root, one=[TRAINS, figure])
    (root / "_config.yml").write_text("")
    assert execute(Book(root, root)) == []
    return root


@pytest.fixture
def copied(executed, tmp_path, monkeypatch):
    """A copy of that book, of a test's own, and its results file."""
    from dfa_book.site.book import Book

    shutil.copytree(executed, tmp_path, dirs_exist_ok=True)
    book = Book(tmp_path, tmp_path)
    (chapter,) = book.staging.glob("*.ipynb")
    chapter.write_text(chapter.read_text().replace(str(executed), str(tmp_path)))  # where results are
    monkeypatch.chdir(tmp_path)
    return book, book.output / "_build" / "results" / "digits" / "some.csv"


@pytest.fixture
def drawn(copied, monkeypatch):
    """The same, and what is built: the site itself is not."""
    from dfa_book.site import build as site

    built = []
    monkeypatch.setattr(site, "_jupyter_book", lambda *_: built.append(1) or 0)
    return *copied, built


def edit_record(path, change):
    record = path.with_suffix(".json")
    found = json.loads(record.read_text())
    change(found)
    record.write_text(json.dumps(found))


def edit_last_run(path, old, new):
    *before, last = path.read_text().splitlines(keepends=True)
    assert old in last
    path.write_text("".join([*before, last.replace(old, new)]))


def other_code(record):
    record["sessions"][0]["library"] = "dfa_lib 0123456789ab with torch 2.13.0"


def other_data(record):
    record["sessions"][0]["data"] = {"digits": "0123456789abcdef"}


def test_results_of_this_build_are_fresh(drawn):
    from dfa_book.site.build import build_site

    book, _, built = drawn
    assert build_site(book) == 0
    assert built == [1]


def test_what_a_page_has_judged_is_in_the_site_as_it_was_executed(small_book, tmp_path):
    from dfa_book.site.crate import write_data
    from dfa_book.site.execute import execute

    judged = "from dfa_book.claims.export import publish\npublish([], {})"
    glued = "from myst_nb import glue\nglue('gap', 0.5, display=False)"
    book = small_book(one=[judged, glued])
    assert execute(book) == []
    (tmp_path / "site").mkdir()
    write_data(book, tmp_path / "site")
    claims = json.loads((tmp_path / "site" / "claims.json").read_text())
    assert (claims["$schema"], claims["claims"]) == ("claims.schema.json", [])
    shown = json.loads((tmp_path / "site" / "shown.json").read_text())
    assert shown["numbers"] == {"one::gap": "0.5"}


def test_a_fold_and_the_list_of_figures_say_who_has_confirmed_them(drawn, monkeypatch, capsys):
    from dfa_book.site import figures
    from dfa_book.site.build import build_site
    from dfa_book.site.confirmations import Report
    from dfa_lib.experiments.kept_table import units_in

    book, path, _ = drawn
    (book.source / "figures.md").write_text(f"# Figures\n\n{figures.PLACE}\n")
    (book.root / "_toc.yml").write_text("format: jb-book\nroot: one\nchapters:\n- file: figures\n")
    report = Report("a.json", ("<Fast>", "AVX2", "none"), dict.fromkeys(units_in(path), True))
    monkeypatch.setattr(figures, "confirmations", lambda book: ([report], ["b.json is refused."]))
    assert build_site(book) == 0
    said = r"confirmed on 1 machine, 1 to the bit (\<Fast\>, AVX2)"
    assert f"; {said}" in (book.staging / "figures.md").read_text()
    fold = next(c for c in nbformat.read(book.executed("one"), 4).cells if "dfa_fold" in c.metadata)
    assert f"By others\n: {said}" in fold.source
    assert capsys.readouterr().err == "b.json is refused.\n"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (other_code, "holds 2 runs computed with dfa_lib 0123456789ab with torch 2.13.0, while here is"),
        (other_data, "holds 2 runs trained on digits of checksum 0123456789abcdef, while here it is"),
    ],
)
def test_results_of_other_code_or_data_fail_the_build(drawn, capsys, change, sentence):
    from dfa_book.site.build import build_site

    book, path, built = drawn
    edit_record(path, change)
    assert build_site(book) == 1
    said = capsys.readouterr().err
    assert f"stale results: {path}, drawn in fig-x, {sentence}" in said
    assert f"run dfa-book verify --results {path.parent}" in said
    assert built == []


def test_a_results_file_that_was_edited_fails_the_build(drawn, capsys):
    from dfa_book.site.build import build_site

    book, path, built = drawn
    edit_last_run(path, "cpu,1,0.", "cpu,1,0.9")
    assert build_site(book) == 1
    said = capsys.readouterr().err
    assert "fig-x, holds one run that its record some.json does not know, added or changed by" in said
    assert built == []


def test_a_run_added_by_hand_fails_the_build(drawn, capsys):
    from dfa_book.site.build import build_site

    book, path, _ = drawn
    before = path.read_text()
    edit_last_run(path, "test,1,float32", "test,2,float32")
    path.write_text(before + path.read_text().splitlines()[-1] + "\n")
    assert build_site(book) == 1
    assert "that its record some.json does not know, added or changed by" in capsys.readouterr().err


def test_results_without_a_record_or_without_a_file_fail_the_build(drawn, capsys):
    from dfa_book.site.build import build_site

    book, path, _ = drawn
    path.with_suffix(".json").unlink()
    assert build_site(book) == 1
    assert "holds 2 runs that its record some.json does not know" in capsys.readouterr().err
    path.unlink()
    assert build_site(book) == 1
    assert (
        "some.csv, drawn in fig-x, is not there; execute the chapter again." in capsys.readouterr().err
    )


def test_a_run_that_was_removed_and_one_that_a_kill_lost_do_no_harm(drawn):
    from dfa_book.site.freshness import staleness

    _, path, _ = drawn
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert staleness(path) is None


def test_runs_taken_from_another_file_are_as_fresh_as_they_were_there(drawn, small_run):
    from dfa_book.site.freshness import staleness
    from dfa_lib import run_all
    from dfa_lib.experiments.provenance import Record
    from dfa_lib.experiments.results import read_histories

    _, path, _ = drawn
    runs, taker = list(read_histories(path)), path.with_name("taker.csv")
    run_all([*runs, small_run()], results=taker, reuse=[path])
    assert staleness(taker) is None
    record = Record.read(taker)
    assert [(entry["taken from"], entry["runs"]) for entry in record.taken] == [("some.csv", 2)]
    assert [entry["runs"] for entry in record.sessions] == [1]

    edit_record(path, other_code)
    stale_taker = path.with_name("stale.csv")
    run_all([*runs, small_run()], results=stale_taker, reuse=[path])
    assert staleness(stale_taker).startswith("holds 2 runs computed with dfa_lib 0123456789ab")


def test_data_that_are_not_on_this_machine_are_those_of_the_record(drawn, monkeypatch):
    from dfa_book.site import freshness

    _, path, _ = drawn
    edit_record(path, other_data)
    assert freshness.staleness(path) is not None
    monkeypatch.setattr(freshness, "_checksum_here", lambda name: freshness.NOT_HERE)
    assert freshness.staleness(path) is None


def test_verifying_makes_results_of_older_code_fresh(drawn, capsys):
    from dfa_book.site.cli import main
    from dfa_book.site.freshness import staleness
    from dfa_lib.experiments.provenance import Record, fingerprint

    _, path, _ = drawn
    edit_record(path, other_code)
    assert staleness(path) is not None
    assert main(["verify", "--sample", "1"]) == 0
    assert "The records of some.csv say so." in capsys.readouterr().out
    assert staleness(path) is None
    (entry,) = Record.read(path).verified
    assert (entry["sample"], entry["runs"]) == (1, 2)
    assert (entry["library"], entry["agreement"]) == (fingerprint(), "to the same bits")
    # From now on, this file cannot be edited unseen either.
    edit_last_run(path, "cpu,1,0.", "cpu,1,0.9")
    assert "holds one run that its record" in staleness(path)


def test_verifying_speaks_for_no_run_that_does_not_agree(drawn, capsys):
    from dfa_book.site.cli import main
    from dfa_lib.experiments.provenance import Record
    from dfa_lib.experiments.results import read_results

    _, path, _ = drawn
    stored = read_results(path)["test_accuracy"].iloc[-1]
    head, _, tail = path.read_text().rpartition(f",{stored},")
    path.write_text(f"{head},0.999,{tail}")
    assert main(["verify", "--sample", "1"]) == 1  # the run that its record does not know comes first
    assert "say so" not in capsys.readouterr().out
    assert Record.read(path).verified == []


def test_verifying_speaks_for_no_unknown_run_that_was_not_trained_again(drawn):
    from dfa_book.site.cli import main
    from dfa_book.site.freshness import staleness

    _, path, _ = drawn
    path.with_suffix(".json").unlink()
    assert main(["verify", "--sample", "1"]) == 0
    assert "holds one run that its record" in staleness(path)
    assert main(["verify", "--sample", "2"]) == 0
    assert staleness(path) is None


# ---- text from elsewhere ----


@pytest.mark.parametrize(
    ("value", "text", "code"),
    [
        ("AMD EPYC 7B13 64-Core", r"AMD EPYC 7B13 64\-Core", "`AMD EPYC 7B13 64-Core`"),
        ("a\n\n<b>", r"a \<b\>", "`a <b>`"),
        ("`x`` |", r"\`x\`\` \|", "``` `x`` | ```"),
        ("\x1b[31m", "\N{REPLACEMENT CHARACTER}\\[31m", "`\N{REPLACEMENT CHARACTER}[31m`"),
        (2, "2", "`2`"),
    ],
)
def test_foreign_text_is_one_line_of_markdown(value, text, code):
    from dfa_book.site.markdown import as_code, as_text

    assert as_text(value) == text
    assert as_code(value) == code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("(claim-1a)=\n**Made in:** 2", '<a id="claim-1a"></a>\n**Made in:** 2'),
        ("{ref}`1a <claim-1a>` holds", "1a holds"),
        ("Its figure is {numref}`fig-sgd`.", "Its figure is `fig-sgd`."),
        ("so {cite}`refinetti2021,launay2019` say", "so (Refinetti 2021; Launay 2019) say"),
        ("[Below](#sec-adaptive) and [1a](#claim-1a)", "Below and [1a](#claim-1a)"),
        ("[two](two.ipynb), `{x}`, {a: b}", "[two](two.ipynb), `{x}`, {a: b}"),
        (r"\{ref\}\`x\`", r"\{ref\}\`x\`"),  # foreign text
    ],
)
def test_what_code_displays_is_plain_in_jupyter(text, shown):
    from dfa_book.site.markdown import plain

    assert plain(text) == shown


def test_what_code_displays_is_plain_in_jupyter_and_myst_on_the_site(small_book):
    from dfa_book.site import execute as executing
    from dfa_book.site.cli import main

    book = small_book(one=["from dfa_book.chapter import show\nshow('By {ref}`1a <claim-1a>`.')"])
    prepare, shown = executing._prepare, []

    def watched(notebook):
        for when in (lambda _: None, prepare):
            when(notebook)
            shown.append(notebook.cells[-1].outputs[0]["data"]["text/markdown"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executing, "_prepare", watched)
        assert main(["execute", "one"]) == 0
    assert shown == ["By 1a.", "By {ref}`1a <claim-1a>`."]
    stored = nbformat.read(book.executed("one"), as_version=4)
    assert stored.cells[-1].outputs[0]["data"] == {"text/markdown": "By {ref}`1a <claim-1a>`."}


def test_a_code_block_ends_where_it_should():
    from dfa_book.site.markdown import as_block

    assert as_block("papermill 'a\n```\n<b>'", "bash") == "````bash\npapermill 'a ``` <b>'\n````"


def test_a_figure_with_markup_in_its_name_is_refused():
    from dfa_book.site.checks import problems

    cell = code("show")
    cell.execution_count = 1
    about = {"name": 'fig"><b>', "caption": "A caption.", "alt": SENTENCE, "results": ["sgd`"]}
    shown = nbformat.v4.new_output("display_data", {"image/png": "="}, metadata={"dfa_figure": about})
    cell.outputs = [shown]
    said = problems({"cells": [cell]})
    assert [sentence.partition(" must be letters")[0] for sentence in said] == [
        f"cell 1: the name {name!r} of a figure or its results" for name in ('fig"><b>', "sgd`")
    ]


# ---- records are other people's ----

MISSHAPEN = (
    None,
    [],
    {},
    True,
    -1,
    float("inf"),
    "x" * 1000,
    "a\nb",
    "\x1b[31m",
    "\ud800",
    "2026-02-30",
)


def rich_record(path):
    """Give a results file a record with entries of every kind, all of which are shown."""
    record = json.loads(path.with_suffix(".json").read_text())
    (session,) = record["sessions"]
    session["versions"] = {name: session["versions"][name] for name in ("Python", "torch", "numpy")}
    old = session | {"library": "dfa_lib 0123456789ab with torch 2.13.0"}
    kept = {name: value for name, value in old.items() if name not in ("seconds", "trained by")}
    record["sessions"] = [old]
    record["taken"] = [kept | {"taken from": "other.csv", "commit": "0123456789ab"}]
    made = {name: session[name] for name in ("commit", "library", "versions", "machine", "data", "runs")}
    about = {"date": session["finished"], "sample": 1, "agreement": "to the same bits"}
    record["verified"] = [made | about | {"digests": session["digests"]}]
    return record


def leaves(value, path=()):
    """Walk a record: yield the way to each of its values."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def replaced(record, path, value):
    changed = json.loads(json.dumps(record))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


class Structure(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.policy = [], [], ""
        self.feed(html)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))
        if ("http-equiv", "Content-Security-Policy") in attributes:
            self.policy = dict(attributes)["content"]

    def handle_data(self, data):
        self.words.append(data)


def told(book, figure):
    """Everything that pages tell of the record of a figure's results, read with the book's Markdown."""
    from dfa_book.claims.ledger import _staleness
    from dfa_book.site.checks import parser
    from dfa_book.site.figures import (
        LIST,
        PLACE,
        _fold,
        write_list,
    )

    (book.staging / LIST).write_text(PLACE)
    write_list(book, [figure])
    directives = "\n".join([_fold(book, figure), (book.staging / LIST).read_text()])
    inside, fences = re.subn(r"(?m)^:{3,4}(\{(container|dropdown)\} .*(\n:class-.*)?)?$", "", directives)
    assert fences == 10  # a container of three dropdowns, and that of the list
    return Structure(parser().render(f"{inside}\n\n({_staleness(figure.files[0])})"))


def test_whatever_a_record_has_is_refused_or_shown_as_text(copied, attacks):
    from dfa_book.site.figures import figures
    from dfa_lib import InputError

    book, path = copied
    (figure,) = figures(book)
    record, outcomes, refusals = rich_record(path), {}, []

    def tell(value):
        attacks("injections")
        path.with_suffix(".json").write_text(json.dumps(value))
        try:
            return told(book, figure)
        except InputError as refused:
            refusals.append(str(refused))
            return None

    plain = tell(record)
    for way in leaves(record):
        harmless = tell(replaced(record, way, "harmless"))
        outcomes[way] = harmless and harmless.text != plain.text
        for payload in MARKUP:
            page = tell(replaced(record, way, payload))
            assert (page is None) == (harmless is None), (way, payload)
            if page is not None:
                assert page.tags == harmless.tags, (way, payload)
                assert page.text == harmless.text.replace("harmless", " ".join(payload.split()))
        for payload in MISSHAPEN:
            tell(replaced(record, way, payload))
        if isinstance(way[-1], str):
            # A name that nobody gave: where any is accepted, it is as harmless.
            page = tell(replaced(record, (*way[:-1], MARKUP[0]), "x"))
            assert page is None or page.tags in (plain.tags, harmless and harmless.tags)
    assert {said.partition(": ")[0] for said in refusals} == {f"{path.with_suffix('.json')} is damaged"}
    assert all(said.isprintable() and said.endswith(" anew.") for said in refusals)
    shown = {way[2:] for way, outcome in outcomes.items() if outcome}
    assert {("machine", "system"), ("machine", "processor"), ("taken from",), ("agreement",)} <= shown
    assert {outcomes[way] for way in outcomes if way[2] in ("commit", "library", "digests")} == {None}


PAYLOAD = (
    "<script>document.title = 4711</script> `<img src=x onerror=document.title=4711>` "
    "[x](javascript:document.title=4711) <javascript:document.title=4711>"
)
# As if escaping failed: what would run without a policy.
INTRUDER = """<div id="intruder"><script>document.title = 4711</script>
<script src="data:text/javascript,document.title=4711"></script>
<svg onload="document.title = 4711"></svg>
<img src="x" onerror="document.title = 4711"><a href="javascript:document.title=4711">x</a>
<iframe srcdoc="<script>parent.document.title = 4711</script>"></iframe>
<button onclick="document.title = 4711">x</button></div>"""
CLICK = "document.querySelectorAll('#intruder a, #intruder button').forEach(element => element.click())"
# Scripts of the site, inline and in files, have run, and workers may.
# Whether an intruder has run, and whether the site's own scripts have, inline and in files, and workers.
OURS = """new Promise(resolve => {
    const worker = new Worker(URL.createObjectURL(new Blob(["postMessage(1)"])));
    worker.onmessage = () => setTimeout(() => resolve([
        document.title === "4711",
        ["light", "dark"].includes(document.documentElement.dataset.theme),
        Boolean(DOCUMENTATION_OPTIONS.pagename),
    ]), 300);
})"""


@pytest.fixture
def hostile(copied, monkeypatch):
    """The site of a book in which everything that may come from elsewhere is hostile."""
    from dfa_book.site.book import Book
    from dfa_book.site.build import build_site

    book, path = copied
    for name in ("DFA_SITE_URL", "DFA_REPOSITORY_URL", "DFA_JUPYTERHUB_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(
        "DFA_FOOTER", '<img src="x" onerror="document.title=4711"> <a href="javascript:x">x</a>'
    )
    record = rich_record(path)
    for way in leaves(record):
        if way[2] in ("machine", "taken from", "agreement"):
            record = replaced(record, way, f"{PAYLOAD} {way[-1]}")
    path.with_suffix(".json").write_text(json.dumps(record))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    del config["sphinx"]["config"]["dfa_complete"]
    (book.root / "_config.yml").write_text(yaml.safe_dump(config))
    (book.source / "references.bib").write_text("")
    chapter = nbformat.read(book.staging / "one.ipynb", as_version=4)
    chapter.cells.insert(0, nbformat.v4.new_markdown_cell("# One"))
    frame = {"text/html": "<table><tr><td>&lt;script&gt;4711&lt;/script&gt;</td></tr></table>"}
    chapter.cells.append(nbformat.v4.new_code_cell("table"))
    chapter.cells[-1].outputs = [nbformat.v4.new_output("display_data", frame)]
    nbformat.write(chapter, book.staging / "one.ipynb")
    folder = book.root / "a <img src=x onerror=document.title=4711>"
    folder.mkdir()
    for name in ("book", "_build", "_config.yml", "_toc.yml"):
        (book.root / name).rename(folder / name)
    staged = folder / "_build" / "book" / "one.ipynb"
    moved = json.dumps(str(book.build))[1:-1], json.dumps(str(folder / "_build"))[1:-1]
    staged.write_text(staged.read_text().replace(*moved))
    book = Book(folder, folder)
    assert build_site(book) == 0
    return book.html


def test_nothing_from_elsewhere_becomes_a_script_of_the_built_site(hostile, open_chromium):
    page = Structure((hostile / "one.html").read_text(encoding="utf-8"))
    plain = " ".join(PAYLOAD.split())
    for name in ("system", "instructions", "processor", "GPU", "taken from", "agreement"):
        assert f"{plain} {name}" in page.text
    handlers = {value for _, attributes in page.tags for name, value in attributes if name[:2] == "on"}
    assert handlers == {"toggleFullScreen()", "window.print()", "document.title=4711"}  # of the footer
    assert "https" not in page.policy
    text = (hostile / "one.html").read_text(encoding="utf-8")
    assert "<article" in text
    intruded = text.replace("</article>", INTRUDER + "</article>", 1)
    (hostile / "two.html").write_text(intruded)
    (hostile / "bare.html").write_text(intruded.replace('http-equiv="Content-Security-Policy"', ""))
    addresses = [(hostile / f"{name}.html").as_uri() for name in ("one", "two", "search", "bare")]
    with open_chromium() as chromium:
        tab = chromium.new_page()
        for address, said in zip(addresses, [[False, True, True]] * 3 + [[True] * 3], strict=True):
            tab.goto(address)
            tab.evaluate(CLICK)
            assert tab.evaluate(OURS) == said, address
    if program := find_firefox():
        _, said = in_firefox(program, (addresses[1], CLICK, f"{OURS}.then(String)"), strict=False)
        assert said == "false,true,true"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_results_that_cannot_be_saved_are_a_sentence(small_book, tmp_path, capsys, place):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    (tmp_path / "file").write_text("")
    assert main(["execute", "--results", str(tmp_path / place)]) == 2
    assert f"results cannot be saved in {tmp_path / place} (" in capsys.readouterr().err


def test_a_data_folder_of_nobody_is_a_sentence(small_book, monkeypatch, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    monkeypatch.setenv("DFA_DATA_DIR", "~nobody-here/data")
    assert main(["execute"]) == 2
    assert "DFA_DATA_DIR does not name a folder: " in capsys.readouterr().err


def test_a_name_that_no_file_can_have_is_a_sentence(small_book, capsys):
    from dfa_book.site.cli import main

    small_book(one=["1"])
    assert main(["execute", "x" * 300]) == 2
    assert capsys.readouterr().err.endswith("File name too long.\n")


# ---- what a build finds of earlier results ----


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: edit_record(path, other_code), "holds 2 runs computed with dfa_lib 0123456789ab"),
        (lambda path: edit_last_run(path, "cpu,1,0.", "cpu,1,0.9"), "holds one run that its record"),
        (lambda path: path.write_text(path.read_text()[:-5]), "holds one run that its record"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\xff\n"), ""),
        (lambda path: path.with_suffix(".json").write_text("{"), "its record is damaged"),
    ],
)
def test_executing_all_chapters_moves_stale_and_damaged_tables_aside(drawn, damage, reason):
    from dfa_book.digit_tables import digit_counts
    from dfa_book.site.kept import put_aside_stale

    _, path, _ = drawn
    digit_counts("digits", results=path.parent / "digit_counts.csv")
    fresh = path.with_name("fresh.csv")
    for suffix in (".csv", ".json"):
        shutil.copyfile(path.with_suffix(suffix), fresh.with_suffix(suffix))
    assert put_aside_stale(path.parent) == []
    damage(path)
    damaged = path.read_bytes()
    (sentence,) = put_aside_stale(path.parent)
    assert sentence.startswith(f"Moved into {path.parent / 'stale'}, and trained anew, because stale: ")
    assert f": some.csv ({reason}" in sentence
    assert (path.parent / "stale" / "some.csv").read_bytes() == damaged
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "digit_counts.csv", "digit_counts.json", "fresh.csv", "fresh.json", "stale"
    ]  # fmt: skip


@pytest.mark.usefixtures("in_this_process")
def test_a_stale_table_is_trained_anew_by_all_chapters_and_left_alone_by_one(drawn, capsys):
    from dfa_book.site.cli import main

    _, path, _ = drawn
    edit_record(path, other_code)
    stale = path.with_suffix(".json").read_bytes()
    assert main(["execute", "one"]) == 0
    assert path.with_suffix(".json").read_bytes() == stale
    assert main(["execute"]) == 0
    said = capsys.readouterr().out
    assert said.count("because stale: some.csv (holds 2 runs computed with") == 1
    assert said.endswith("2 runs were trained.\n")


@pytest.fixture
def keeps(drawn):
    """A book that keeps the table of its results, and has built none."""
    book, path, _ = drawn
    kept = book.root / "results" / "digits" / path.name
    kept.parent.mkdir(parents=True)
    for suffix in (".csv", ".json"):
        path.with_suffix(suffix).rename(kept.with_suffix(suffix))
    return book, kept, path


@pytest.mark.usefixtures("in_this_process")
def test_a_kept_table_is_where_a_build_begins(keeps, capsys):
    from dfa_book.site.cli import main

    _, kept, path = keeps
    assert main(["execute"]) == 0
    said = capsys.readouterr().out
    assert f"Taken from {kept.parent}: some.csv.\n" in said
    assert said.endswith("Nothing was trained: all results were there.\n")
    for suffix in (".csv", ".json"):
        assert path.with_suffix(suffix).read_bytes() == kept.with_suffix(suffix).read_bytes()
    assert main(["execute"]) == 0
    assert "Taken from" not in capsys.readouterr().out  # it is there, and may have been extended


def test_a_kept_table_takes_the_place_of_a_stale_one(keeps):
    from dfa_book.site.kept import take_kept

    book, kept, path = keeps
    for suffix in (".csv", ".json"):
        shutil.copyfile(kept.with_suffix(suffix), path.with_suffix(suffix))
    edit_record(path, other_code)
    assert take_kept(book, path.parent) == [f"Taken from {kept.parent}: some.csv."]
    assert path.with_suffix(".json").read_bytes() == kept.with_suffix(".json").read_bytes()
    assert "0123456789ab" in (path.parent / "stale" / "some.json").read_text()


@pytest.mark.usefixtures("in_this_process")
def test_a_stale_kept_table_is_said_and_trained_anew(keeps, capsys):
    from dfa_book.site.cli import main

    _, kept, path = keeps
    edit_record(kept, other_code)
    before = kept.with_suffix(".json").read_bytes()
    assert main(["execute"]) == 0
    said = capsys.readouterr().out
    assert f"Not taken from {kept.parent}, and trained anew, because stale: some.csv (holds 2 ru" in said
    assert said.endswith("2 runs were trained.\n")
    assert path.exists()
    assert kept.with_suffix(".json").read_bytes() == before


@pytest.mark.usefixtures("in_this_process")
def test_fresh_and_a_named_folder_take_nothing_that_is_kept(keeps, capsys):
    from dfa_book.site.cli import main

    book, _, _ = keeps
    for arguments in (["--fresh"], ["--results", str(book.root / "own")]):
        assert main(["execute", *arguments]) == 0
        said = capsys.readouterr().out
        assert "Taken from" not in said
        assert said.endswith("2 runs were trained.\n")


# ---- while a chapter runs ----


def test_a_log_has_the_librarys_line_now_and_then(small_book, capsys, monkeypatch):
    from dfa_book.site import execute

    monkeypatch.setattr(execute, "LOG_INTERVAL", 0.0)
    training = "from dfa_lib import Run; import time\n"
    training += "from dfa_lib.experiments.progress import Progress; r = [Run("
    training += "learning_rate=0.1, seed=s) for s in (0, 1)]\nwith Progress(r) as p: time.sleep(1.5)"
    assert execute.execute(small_book(one=["import time; time.sleep(1.5)"], two=[training])) == []
    said = capsys.readouterr().out
    assert "one  running for 1 s\n" in said
    assert "two  0 of 2 runs · bp with sgd at rate 0.1 on digits k=3, seed 0\n" in said


def test_a_terminal_has_one_line_of_a_chapter_that_is_rewritten(monkeypatch, tmp_path):
    import io
    import sys

    from dfa_book.site.execute import _Shown

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "40")
    shown = _Shown("one")
    (tmp_path / "progress").write_text("12 of 60 runs, 4 min left · dfa with sgd at rate 0.1 on digits")
    shown(tmp_path / "progress")
    (tmp_path / "progress").unlink()
    shown(tmp_path / "progress")
    shown.close()
    assert "\n" not in terminal.getvalue()
    lines = terminal.getvalue().split("\r")
    assert lines[1] == "one  12 of 60 runs, 4 min left · dfa wi\x1b[K"
    assert lines[0] == "one  running …"
    assert lines[2:] == ["one  running for 1 s\x1b[K", "\x1b[K"]
