import io
import sys

import pytest

from dfa_lib import run_all
from dfa_lib.experiments import progress, repeats
from dfa_lib.experiments.progress import Progress


class Clock:
    """A clock that tests advance."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def train_for(clock):
    """Simulate runs of so many seconds each."""

    def train(shown, runs, seconds):
        for run in runs:
            clock.now += seconds
            shown.finished(run)

    return train


def test_the_line_says_what_is_done_how_long_the_rest_takes_and_what_is_training(small_run, clock):
    runs = repeats([small_run(method="dfa", optimizer="adam")], 4)
    with Progress(runs, clock) as shown:
        lines = [shown.line()]
        for run, seconds in zip(runs, (7, 7, 400, 3_246), strict=True):
            clock.now += seconds
            shown.finished(run)
            lines.append(shown.line())
    assert lines == [
        "0 of 4 runs · dfa with adam at rate 0.1 on digits k=3, seed 0",
        "1 of 4 runs, 21 s left · dfa with adam at rate 0.1 on digits k=3, seed 1",
        "2 of 4 runs, 14 s left · dfa with adam at rate 0.1 on digits k=3, seed 2",
        "3 of 4 runs, 2 min left · dfa with adam at rate 0.1 on digits k=3, seed 3",
        "4 of 4 runs in 1 h 1 min",
    ]


def test_time_left_counts_long_runs_for_more_than_short_ones(small_run, clock):
    runs = [small_run(epochs=20), small_run(epochs=10), small_run(epochs=2)]
    with Progress(runs, clock) as shown:
        clock.now += 100
        shown.finished(runs[0])
        assert shown.line().startswith("1 of 3 runs, 1 min left · ")
        clock.now += 50
        shown.finished(runs[1])
        assert shown.line().startswith("2 of 3 runs, 10 s left · ")


def test_runs_may_finish_in_any_order(small_run, clock):
    runs = repeats([small_run()], 3)
    with Progress(runs, clock) as shown:
        clock.now += 5
        shown.finished(runs[1])
        assert shown.line() == "1 of 3 runs, 10 s left · bp with sgd at rate 0.1 on digits k=3, seed 0"
        shown.finished(runs[0])
        assert shown.line() == "2 of 3 runs, 2 s left · bp with sgd at rate 0.1 on digits k=3, seed 2"


# ---- where stderr is a file ----


def test_a_log_has_a_line_every_ten_seconds_and_one_at_the_end(small_run, clock, train_for, capsys):
    runs = repeats([small_run()], 8)
    with Progress(runs, clock) as shown:
        train_for(shown, runs, 4)
    assert capsys.readouterr().err == (
        "3 of 8 runs, 20 s left · bp with sgd at rate 0.1 on digits k=3, seed 3\n"
        "6 of 8 runs, 8 s left · bp with sgd at rate 0.1 on digits k=3, seed 6\n"
        "8 of 8 runs in 32 s\n"
    )


@pytest.mark.parametrize(("seconds", "expected"), [(4.9, ""), (5.0, "2 of 2 runs in 10 s\n")])
def test_a_log_says_nothing_of_what_took_less_than_ten_seconds(
    seconds, expected, small_run, clock, train_for, capsys
):
    runs = repeats([small_run()], 2)
    with Progress(runs, clock) as shown:
        train_for(shown, runs, seconds)
    assert capsys.readouterr().err == expected


def test_a_log_of_runs_that_failed_claims_no_end(small_run, clock, train_for, capsys):
    runs = repeats([small_run()], 3)

    def interrupted():
        with Progress(runs, clock) as shown:
            train_for(shown, runs[:1], 60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr().err == (
        "1 of 3 runs, 2 min left · bp with sgd at rate 0.1 on digits k=3, seed 1\n"
    )


def test_a_file_that_is_named_holds_the_line_while_runs_are_trained(
    small_run, clock, train_for, tmp_path, monkeypatch
):
    file = tmp_path / "line"
    monkeypatch.setenv("DFA_PROGRESS_FILE", str(file))
    runs = repeats([small_run()], 2)
    with Progress(runs, clock) as shown:
        for run in runs:
            assert file.read_text() == shown.line()
            train_for(shown, [run], 4)
        assert file.read_text() == "2 of 2 runs in 8 s"
    assert list(tmp_path.iterdir()) == []
    for name in (str(tmp_path / "nowhere" / "line"), ".", "/"):
        monkeypatch.setenv("DFA_PROGRESS_FILE", name)
        run_all(runs)  # is not stopped by a file that cannot be written


# ---- where a person is looking ----


def test_a_terminal_has_one_line_that_is_rewritten(small_run, clock, train_for, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    runs = repeats([small_run()], 3)
    with Progress(runs, clock) as shown:
        train_for(shown, runs, 4)
    written = terminal.getvalue()
    assert written.count("\n") == 1
    assert written.endswith("\n")
    lines = [line[12:].strip() for line in written.split("\r") if line.strip()]  # less the bar
    assert list(dict.fromkeys(lines)) == [
        "0 of 3 runs · bp with sgd at rate 0.1 on digits k=3, seed 0",
        "1 of 3 runs, 8 s left · bp with sgd at rate 0.1 on digits k=3, seed 1",
        "2 of 3 runs, 4 s left · bp with sgd at rate 0.1 on digits k=3, seed 2",
        "3 of 3 runs in 12 s",
    ]


def test_in_jupyter_the_line_is_updated_in_place_and_gone_at_the_end(
    small_run, clock, train_for, monkeypatch, capsys
):
    seen, places = [], []
    monkeypatch.setattr(progress, "_output_area", (None, None))

    class Handle:
        def update(self, data, *, raw):
            assert raw
            seen.append(data)

    def display(data, *, raw, display_id):
        assert raw
        assert display_id
        places.append(ZMQInteractiveShell.execution_count)
        seen.append(data)
        return Handle()

    class ZMQInteractiveShell:
        execution_count = 7

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.get_ipython", ZMQInteractiveShell)
    runs = repeats([small_run()], 2)
    with Progress(runs, clock) as shown:
        train_for(shown, runs, 4)
    assert seen == [
        {"text/plain": ""},
        {"text/plain": "0 of 2 runs · bp with sgd at rate 0.1 on digits k=3, seed 0"},
        {"text/plain": "1 of 2 runs, 4 s left · bp with sgd at rate 0.1 on digits k=3, seed 1"},
        {"text/plain": "2 of 2 runs in 8 s"},
        {"text/html": "", "text/plain": ""},
    ]
    assert places == [7]
    # Twice in the same cell, as ``tune`` does, and in another one.
    for ZMQInteractiveShell.execution_count in (7, 8):
        with Progress(runs, clock):
            pass
    assert places == [7, 8]
    assert capsys.readouterr().err == ""


def test_jupyter_is_known_by_its_shell(monkeypatch):
    import IPython

    for name, expected in [("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False)]:
        shell = type(name, (), {})()
        monkeypatch.setattr(IPython, "get_ipython", lambda shell=shell: shell)
        assert progress._in_jupyter() is expected
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    assert progress._in_jupyter() is False
    monkeypatch.delitem(sys.modules, "IPython")
    assert progress._in_jupyter() is False


def test_nothing_is_shown_when_nothing_is_trained(tmp_path, small_run, monkeypatch):
    run_all([small_run()], tmp_path / "results.csv")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run_all([small_run()], tmp_path / "results.csv")
    run_all([])
    assert terminal.getvalue() == ""
