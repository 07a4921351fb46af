"""Whatever ends a command, what it has started does not go on, and what had finished is not lost."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest

from dfa_book.site import children
from dfa_book.site.book import Book, sole_builder
from dfa_book.site.children import Stopped, run, stoppable
from dfa_book.site.cli import main
from dfa_lib.validation import InputError

ROOT = Path(__file__).parents[2]
# More than a test needs, and much less than the five minutes for which idle workers wait.
PATIENCE = 60.0
DFA_BOOK = "from dfa_book.site.cli import main; raise SystemExit(main())"
PARAMETERS = 'profile = "digits"\nseeds = epochs = jobs = results = None\ndevice = "cpu"'
TRAINS = """\
from dfa_lib import Run, run_all
small = dict(learning_rate=0.1, samples=8_000, test_samples=64, hidden=64, epochs=5)
runs = [Run(**small, seed=seed) for seed in range(40)]
"""


@pytest.fixture(autouse=True)
def signals_end_processes():
    """As in a terminal; what a shell starts in the background ignores Ctrl-C, as would its children."""
    before = {number: signal.getsignal(number) for number in children.STOPPING}
    for number in before:
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def wait_for(fact):
    for _ in range(int(PATIENCE / 0.05)):
        if fact():
            return True
        time.sleep(0.05)
    return False


def family_of(process):
    """All processes that a process has started, and they in turn."""
    return psutil.Process(process.pid).children(recursive=True)


def alive(family):
    """Those that have not ended; a process 1 that reaps nobody, as in containers, leaves zombies."""
    found = [process for process in family if process.is_running()]
    with suppress(psutil.NoSuchProcess):
        return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
    return alive(found)


def saved_runs(results):
    """How many runs are saved in a CSV: each has five epochs."""
    return (len(results.read_text().splitlines()) - 1) // 5 if results.exists() else 0


@pytest.fixture
def book(tmp_path):
    """Write a book of one chapter, in which 40 runs are trained by two processes."""
    (tmp_path / "book").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: one\n")
    cells = [
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(f"{TRAINS}run_all(runs, results=f'{{results}}/some.csv', jobs=2);"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    nbformat.write(notebook, tmp_path / "book" / "one.ipynb")
    return Book(tmp_path, tmp_path)


@pytest.fixture
def start():
    """Start programs of Python that do not outlive the test."""
    started = []

    def popen(*arguments, folder=ROOT):
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, stdout=pipe, stderr=pipe, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def stopped(book, start):
    """Give ``dfa-book execute`` a signal once runs are saved. Return its status, words and processes."""

    def stop(number):
        process = start("-c", DFA_BOOK, "execute", folder=book.root)
        results = book.build / "results" / "digits" / "some.csv"
        assert wait_for(lambda: saved_runs(results) >= 2 or process.poll() is not None)
        family = family_of(process)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, said, family

    return stop


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_terminated_command_ends_all_that_it_has_started_and_goes_on_later(
    book, stopped, monkeypatch, capsys
):
    status, said, family = stopped(signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert len(family) >= 4  # papermill, its kernel and two workers
    assert alive(family) == []
    assert said == (
        "dfa-book: stopped by SIGTERM: the runs that had finished are kept, and an earlier site is "
        "still there; the same command trains only what is missing.\n"
    )
    assert [path.name for path in book.build.glob(".work-*")] == []
    monkeypatch.chdir(book.root)
    assert main(["execute"]) == 0
    trained = int(capsys.readouterr().out.splitlines()[-1].split()[0])
    assert 0 < trained <= 38


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_what_a_killed_command_has_started_ends_by_itself(stopped):
    status, said, family = stopped(signal.SIGKILL)
    assert (status, said) == (-signal.SIGKILL, "")
    assert wait_for(lambda: not alive(family))


# ---- at any moment ----

TRAIN = f"""{TRAINS}
run_all(runs[:12], results="_build/results/digits/some.csv", jobs=2)
"""
ATTACKED = {
    "run_all with two processes": ["-c", TRAIN],
    **{f"dfa-book {name}": ["-c", DFA_BOOK, name] for name in ("execute", "build", "teach")},
}
SIGNALS = 40


@pytest.fixture
def cheap_book(book):
    """The book with fewer runs, a home page, and what Jupyter Book needs of its own."""
    notebook = nbformat.read(book.notebook("one"), as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("# One"))
    notebook.cells[-1].source = notebook.cells[-1].source.replace("run_all(runs,", "run_all(runs[:12],")
    nbformat.write(notebook, book.notebook("one"))
    (book.source / "home.md").write_text("# Home\n\nSee [](one.ipynb).\n")
    (book.root / "_toc.yml").write_text("format: jb-book\nroot: home\nchapters:\n  - file: one\n")
    extensions = "[dfa_book.site.mathematics, dfa_book.site.web]"
    (book.root / "_config.yml").write_text(
        f"execute: {{execute_notebooks: 'off'}}\nsphinx: {{extra_extensions: {extensions}}}\n"
    )
    return book


def tree(folder):
    """The files of a folder, and whether every page is complete."""
    pages = [path for path in folder.rglob("*") if path.is_file()]
    cut = [
        path
        for path in pages
        if path.suffix == ".html" and path.stem != "index" and "</html>" not in path.read_text()
    ]
    assert cut == []
    for path in folder.rglob("*.ipynb"):
        nbformat.read(path, as_version=4)
    return sorted(path.relative_to(folder).as_posix() for path in pages if path.suffix != ".svg")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.long
@pytest.mark.parametrize("name", ATTACKED)
def test_a_signal_at_any_moment_loses_nothing_and_leaves_no_process(name, cheap_book, start, attacks):
    """What was made before stays whole, saved runs stay, and the same command goes on to its end."""
    book, command = cheap_book, ATTACKED[name]
    results = book.build / "results" / "digits" / "some.csv"
    begun = time.monotonic()
    process = start(*command, folder=book.root)
    process.communicate(timeout=600)
    assert process.returncode == 0
    duration = time.monotonic() - begun
    whole = {place: tree(place) for place in (book.html, book.build / "teach") if place.exists()}
    bytes_of_results = results.read_bytes() if results.exists() else None
    chance = random.Random(name)
    numbers = [getattr(signal, each) for each in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")]
    turn = 0
    while turn < SIGNALS:
        number = numbers[turn % 4] if command[1] is DFA_BOOK else numbers[turn % 2]
        saved = saved_runs(results)
        process = start(*command, folder=book.root)
        wait_until = time.monotonic() + chance.uniform(0.05, 1.0) * duration
        family = []
        while time.monotonic() < wait_until and process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                family = family_of(process)
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
        if process.returncode == 0:  # it was over before
            duration *= 0.9
        else:
            turn += 1
            attacks(f"signals to {name}")
            assert process.returncode in (-number, 128 + number), said
            # In a script, and before dfa-book is ready to answer, a signal ends Python in its own way.
            if process.returncode == 128 + number:
                assert said.count("\n") == 1, said
            assert wait_for(lambda family=family: not alive(family)), family
            old = {place: place.with_name(f".{place.name}.old") for place in whole}
            for place, files in whole.items():  # between two renames, the earlier one lies beside
                assert tree(place if place.exists() else old[place]) == files
            assert saved_runs(results) >= saved or saved == 12
        if saved_runs(results) == 12:  # train again
            results.unlink()
            results.with_suffix(".json").unlink(missing_ok=True)
    process = start(*command, folder=book.root)
    process.communicate(timeout=600)
    assert process.returncode == 0
    assert {place: tree(place) for place in whole} == whole
    assert bytes_of_results is None or results.read_bytes() == bytes_of_results
    assert list(book.build.glob(".work-*")) + list(book.build.glob(".*.old")) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "names",
    [
        ["teach"] * 3,
        ["execute", "execute"],
        ["build", "build"],
        ["build", "teach"],
        ["pdf", "build", "teach"],
    ],
)
def test_commands_at_once_work_one_after_the_other_or_say_why_not(names, cheap_book, start, attacks):
    processes = [start("-c", DFA_BOOK, name, folder=cheap_book.root) for name in names]
    told = [process.communicate(timeout=600)[1] for process in processes]
    attacks("processes at once", len(names))
    statuses = [process.returncode for process in processes]
    assert set(statuses) <= {0, 2}
    assert 0 in statuses
    for status, said in zip(statuses, told, strict=True):
        assert said.count("\n") <= 1, said
        assert status == 0 or "is writing" in said or "is not built" in said or "Chromium" in said, said
    for place in (cheap_book.html, cheap_book.build / "teach"):
        tree(place)
    assert list(cheap_book.build.glob(".work-*")) == []


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_workers_of_run_all_end_with_the_process_that_they_train_for(tmp_path, start, name):
    results = tmp_path / "some.csv"
    process = start("-c", f"{TRAINS}run_all(runs, results={str(results)!r}, jobs=2)")
    assert wait_for(lambda: saved_runs(results) >= 2)
    family = family_of(process)
    process.send_signal(getattr(signal, name))
    process.wait(PATIENCE)
    assert len(family) >= 2
    assert wait_for(lambda: not alive(family))


# ---- children ----

# Starts a process in a session of its own, as papermill starts a kernel; neither minds SIGTERM.
STUBBORN = """\
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) < 3:
    child = subprocess.Popen([sys.executable, __file__, sys.argv[1], "child"], start_new_session=True)
    open(sys.argv[1], "w").write(str(child.pid))
time.sleep(600)
"""


@pytest.fixture
def stubborn(tmp_path, monkeypatch):
    """A command that does not end, and the file in which it says what it has started."""
    monkeypatch.setattr(children, "GRACE", 0.5)
    program, told = tmp_path / "stubborn.py", tmp_path / "pid"
    program.write_text(STUBBORN)
    return [sys.executable, str(program), str(told)], told


def gone(told):
    """Whether the process that is named in a file has ended."""
    try:
        process = psutil.Process(int(told.read_text()))
    except psutil.NoSuchProcess:
        return True
    return wait_for(lambda: not alive([process]))


def test_a_program_that_takes_too_long_is_ended_with_all_that_it_has_started(stubborn):
    command, told = stubborn
    with pytest.raises(subprocess.TimeoutExpired):
        run(command, timeout=2.0)
    assert gone(told)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", children.STOPPING, ids=lambda number: number.name)
def test_each_signal_that_asks_to_end_ends_the_children_first(stubborn, number):
    command, told = stubborn

    def interrupt():
        assert wait_for(told.exists)
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    threading.Thread(target=interrupt).start()
    with pytest.raises(Stopped) as stopped, stoppable():
        run(command)
    assert stopped.value.number == number
    assert gone(told)
    assert signal.getsignal(number) == before


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_a_signal_that_is_ignored_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["teach"], "what was there before is unchanged, and the same command begins again"),
        (["pdf"], "what was there before is unchanged, and the same command begins again"),
        (["execute"], "the same command trains only what is missing"),
        (
            ["build", "--fresh", "--profile", "mnist"],
            "with --results {folder}/mnist instead of --fresh trains only what is missing",
        ),
    ],
)
def test_a_command_that_is_stopped_says_what_is_kept(book, monkeypatch, capsys, arguments, kept):
    def stop(*_, **__):
        raise Stopped(signal.SIGINT)

    for name in ("teach.teach", "pdf.print_book", "execute.execute"):
        monkeypatch.setattr(f"dfa_book.site.{name}", stop)
    monkeypatch.chdir(book.root)
    assert main(arguments) == 128 + signal.SIGINT
    said = capsys.readouterr().err
    assert said.startswith("dfa-book: stopped by SIGINT: ")
    assert said.endswith(f"{kept.format(folder=book.build / 'results')}.\n")
    assert said.count("\n") == 1


# ---- one at a time ----


@pytest.mark.parametrize("command", ["execute", "build", "teach", "pdf"])
def test_a_second_command_ends_with_who_is_at_work(book, monkeypatch, capsys, command):
    monkeypatch.chdir(book.root)
    with sole_builder(book):
        assert main([command]) == 2
    said = capsys.readouterr().err
    assert f"another dfa-book (process {os.getpid()}, since " in said
    assert f"is writing {book.build}, so that nothing was done here: wait until it has finished" in said
    assert not (book.build / "results").exists()


def test_a_lock_of_a_killed_process_keeps_nobody_out(book):
    take = (
        "import os, pathlib; from dfa_book.site.book import Book, sole_builder\n"
        f"folder = pathlib.Path({str(book.root)!r}); book = Book(folder, folder)\n"
        "with sole_builder(book), book.workspace(): os._exit(9)"
    )
    done = subprocess.run([sys.executable, "-c", take], cwd=ROOT, check=False)
    assert done.returncode == 9
    assert json.loads((book.build / ".lock.json").read_text()).keys() == {"pid", "since"}
    assert len(list(book.build.glob(".work-*"))) == 1
    with sole_builder(book):
        assert list(book.build.glob(".work-*")) == []


def test_a_folder_that_cannot_be_written_is_a_sentence(book, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(book.root)
    file = tmp_path / "file"
    file.write_text("")
    assert main(["teach", "--output", str(file)]) == 2
    assert f"{file / '_build'} cannot be written (Not a directory)" in capsys.readouterr().err
    with pytest.raises(InputError, match="cannot be written"), sole_builder(Book(book.root, file)):
        pass
