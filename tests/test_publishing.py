import nbformat
import pytest

PARAMETERS = 'profile = "digits"\nseeds = epochs = jobs = results = None\ndevice = "cpu"'
SENTENCE = "A long enough sentence that says what can be seen in the figure."


def code(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


@pytest.fixture
def small_book(tmp_path, monkeypatch):
    """Make a book of given notebooks: ``small_book(name=[sources of its cells])``."""
    from dfa_lib.publishing.execute import find_book

    def make(**chapters):
        (tmp_path / "book").mkdir()
        names = "".join(f"  - file: {name}\n" for name in chapters)
        (tmp_path / "_toc.yml").write_text(f"format: jb-book\nroot: index\nchapters:\n{names}")
        for name, sources in chapters.items():
            cells = [code(PARAMETERS, "parameters"), *map(code, sources)]
            notebook = nbformat.v4.new_notebook(cells=cells)
            notebook.metadata["kernelspec"] = {
                "name": "python3",
                "display_name": "Python 3",
                "language": "python",
            }
            nbformat.write(notebook, tmp_path / "book" / f"{name}.ipynb")
        monkeypatch.chdir(tmp_path)
        return find_book()

    return make


def staged(book):
    return sorted(path.name for path in book.staging.iterdir())


def test_one_failed_chapter_does_not_lose_the_others(small_book, capsys):
    from dfa_lib.publishing.execute import execute

    book = small_book(one=["1 + 1"], two=["1 / 0"], three=["3"])
    assert execute(book) == ["two"]
    assert staged(book) == ["one.ipynb", "three.ipynb"]
    printed = capsys.readouterr()
    assert "two.ipynb, cell 2 raised ZeroDivisionError: division by zero" in printed.err
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
    from dfa_lib.publishing.execute import execute

    book = small_book(one=[source, "2"])
    assert execute(book) == ["one"]
    assert staged(book) == []
    assert sentence in capsys.readouterr().err


def test_a_chapter_that_hangs_is_stopped(small_book, capsys):
    from dfa_lib.publishing.execute import execute

    book = small_book(one=["import time; time.sleep(600)"])
    assert execute(book, timeout=4.0) == ["one"]
    assert "one.ipynb did not finish within 4 s and was stopped." in capsys.readouterr().err


def test_a_failed_chapter_leaves_the_last_good_one_in_place(small_book):
    from dfa_lib.publishing.execute import execute, status

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
    from dfa_lib.publishing.execute import status

    assert [row["state"] for row in status(small_book(one=["1"]))] == ["missing"]


def figure_source(alt=SENTENCE, caption="What it shows."):
    return (
        "from matplotlib.figure import Figure\n"
        "from dfa_lib.publishing.chapter import show_figure\n"
        "figure = Figure(); figure.subplots().plot([1, 2])\n"
        f"show_figure(figure, name='fig-x', caption={caption!r}, alt={alt!r})"
    )


def test_figures_become_numbered_figures_with_alt_text(small_book):
    from dfa_lib.publishing.execute import execute

    book = small_book(one=[figure_source()])
    assert execute(book) == []
    cell = nbformat.read(book.staging / "one.ipynb", as_version=4).cells[-1]
    assert cell.metadata["mystnb"]["figure"] == {"name": "fig-x", "caption": "What it shows."}
    assert cell.metadata["mystnb"]["image"]["alt"] == SENTENCE
    assert [list(output.data) for output in cell.outputs] == [["image/svg+xml", "text/plain"]]


def test_given_parameters_are_not_shown_on_the_page(small_book):
    from dfa_lib.publishing.execute import execute

    book = small_book(one=["1"])
    execute(book, parameters={"seeds": 2})
    cells = nbformat.read(book.staging / "one.ipynb", as_version=4).cells
    injected = [c for c in cells if "injected-parameters" in c.metadata.get("tags", [])]
    assert [("remove-cell" in c.metadata["tags"], "seeds = 2" in c.source) for c in injected] == [
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
    from dfa_lib.publishing.checks import problems

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
    from dfa_lib.publishing.checks import problems

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
    from dfa_lib.cli import main

    book = small_book(one=["1"])
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert sentence in printed.err
    assert "running" not in printed.out
    assert not book.staging.exists()


def test_outside_a_book_the_command_says_so(tmp_path, monkeypatch, capsys):
    from dfa_lib.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert "there is no book in" in capsys.readouterr().err


def test_a_site_is_not_built_from_half_a_book(small_book, capsys):
    from dfa_lib.cli import main

    small_book(one=["1"], two=["2"])
    assert main(["build", "one"]) == 2
    assert "not executed yet are two" in capsys.readouterr().err


def test_exit_status_counts_failed_chapters(small_book, capsys):
    from dfa_lib.cli import main

    small_book(one=["1 / 0"], two=["1 / 0"], three=["3"])
    assert main(["build"]) == 2
    assert "2 failed: one, two." in capsys.readouterr().err


def test_results_of_the_digits_are_kept_and_trained_anew(small_book):
    from dfa_lib.publishing.execute import execute

    source = (
        "from pathlib import Path; folder = Path(results); folder.mkdir(parents=True, exist_ok=True);"
        "assert not list(folder.iterdir()); (folder / 'x.csv').write_text('')"
    )
    book = small_book(one=[source])
    assert execute(book) == []
    assert execute(book) == []
    assert (book.output / "_build" / "results" / "digits" / "x.csv").exists()


def test_a_relative_data_folder_means_the_callers_folder(small_book, monkeypatch):
    from dfa_lib.publishing.execute import execute

    source = "import os; assert os.environ['DFA_DATA_DIR'] == os.path.dirname(os.getcwd()) + '/here'"
    book = small_book(one=[source])
    monkeypatch.setenv("DFA_DATA_DIR", "here")
    assert execute(book) == []


# ---- training anew, and verifying ----

TRAINS = (
    "from pathlib import Path\n"
    "from dfa_lib import Run, run_all\n"
    "small = dict(learning_rate=0.1, samples=64, test_samples=32, hidden=4, epochs=1)\n"
    "runs = [Run(**small, seed=seed) for seed in (0, 1)]\n"
    "run_all(runs, results=Path(results) / 'some.csv')"
)


def test_a_build_says_how_many_runs_it_trained_and_fresh_trains_them_again(small_book, capsys):
    from dfa_lib.cli import main

    book = small_book(one=[TRAINS])
    for arguments, said in (
        (["execute", "one"], "2 runs were trained."),
        (["execute", "one"], "Nothing was trained: all results were there."),
        (["execute", "one", "--fresh"], "2 runs were trained."),
    ):
        assert main(arguments) == 0
        assert said in capsys.readouterr().out
    assert (book.output / "_build" / "results" / "digits" / "some.csv").exists()


def test_fresh_leaves_committed_results_as_they_are(small_book):
    from dfa_lib.publishing.execute import execute

    book = small_book(one=[TRAINS])
    committed = book.root / "results" / "mnist" / "some.csv"
    committed.parent.mkdir(parents=True)
    committed.write_text("committed")
    assert execute(book, parameters={"profile": "mnist"}, fresh=True) == []
    assert committed.read_text() == "committed"
    assert (book.output / "_build" / "results" / "mnist" / "some.csv").exists()


def test_fresh_and_a_folder_of_results_are_refused_together(small_book, capsys):
    from dfa_lib.cli import main

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
    from dfa_lib.cli import main

    small_book(one=["1"])
    assert main(["verify", "--results", str(results), "--sample", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith(": the same bits") for line in lines] == [True] * 3 + [False]
    assert lines[-1] == "3 of 3 runs agree within 0.02."
    assert main(["verify", "--results", str(results), "--sample", "99"]) == 0
    assert "4 of 4 runs agree" in capsys.readouterr().out


def test_verify_finds_a_number_that_was_made_up(small_book, results, capsys):
    from dfa_lib import read_results
    from dfa_lib.cli import main

    small_book(one=["1"])
    stored = read_results(results / "one.csv")["test_accuracy"].iloc[-1]
    text = (results / "one.csv").read_text()
    (results / "one.csv").write_text(text.replace(f",{stored},", ",0.999,"))
    assert main(["verify", "--results", str(results), "--sample", "4"]) == 1
    assert "again" in next(line for line in capsys.readouterr().out.splitlines() if "DOES NOT" in line)


def test_verify_without_results_is_a_sentence(small_book, capsys):
    from dfa_lib.cli import main

    small_book(one=["1"])
    assert main(["verify"]) == 2
    assert "there are no results in" in capsys.readouterr().err
    assert main(["verify", "--sample", "0"]) == 2
    assert "sample must be a whole number of at least 1" in capsys.readouterr().err
