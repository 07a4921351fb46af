import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfa_lib import InputError, Run, experiments, read_results, run_all, train
from dfa_lib.experiments import COLUMNS, final_epoch, repeats, run_histories
from dfa_lib.statistics import summarise
from dfa_lib.training import METRICS, History

ROOT = Path(__file__).resolve().parent.parent
MEASURED = [name for name in METRICS if name.endswith(("loss", "accuracy"))]


def same(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def trained(monkeypatch):
    """Record which runs are trained, and make up their numbers."""
    runs = []

    def made_up(run):
        runs.append(run)
        history = History(run)
        for epoch in range(run.epochs):
            history.append({name: 1 / (3 + epoch + run.seed + i) for i, name in enumerate(METRICS)})
        return history

    monkeypatch.setattr(experiments, "train", made_up)
    return runs


# ---- the table ----


def test_the_table_has_a_row_per_run_and_epoch_in_the_order_given(small_run):
    runs = [small_run(method="dfa", seed=1), small_run(method="bp"), small_run(method="dfa", seed=0)]
    table = run_all(runs)
    assert list(table.columns) == list(COLUMNS)
    assert table["method"].tolist() == ["dfa", "dfa", "bp", "bp", "dfa", "dfa"]
    assert table["seed"].tolist() == [1, 1, 0, 0, 0, 0]
    assert table["epoch"].tolist() == [1, 2] * 3
    for i, run in enumerate(runs):
        history = train(run)
        for name in METRICS:
            recorded = table[name][2 * i : 2 * i + 2].tolist()
            assert recorded == pytest.approx(getattr(history, name), rel=0, abs=0, nan_ok=True)


def test_a_run_given_twice_is_trained_once(trained, small_run):
    table = run_all([small_run(), small_run(k=3), small_run(seed=1)])
    assert trained == [small_run(), small_run(seed=1)]
    assert len(table) == 4


def test_repeats_count_seeds_from_zero(small_run):
    runs = repeats([small_run(seed=7), small_run(method="dfa")], 2)
    assert [(run.method, run.seed) for run in runs] == [("bp", 0), ("bp", 1), ("dfa", 0), ("dfa", 1)]


def test_final_epoch_is_the_last_row_of_each_run(trained, small_run):
    table = final_epoch(run_all([small_run(epochs=2), small_run(epochs=3)]))
    assert table["epoch"].tolist() == [2, 3]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_bad_jobs_and_seeds_are_named(value, small_run):
    with pytest.raises(InputError, match=f"jobs must be a whole number of at least 1, not {value!r}"):
        run_all([small_run()], jobs=value)
    with pytest.raises(InputError, match=f"seeds must be a whole number of at least 1, not {value!r}"):
        repeats([small_run()], value)


# ---- in any order, and beside others ----


def test_runs_give_the_same_bits_alone_in_a_pool_and_in_any_order(tmp_path, small_run):
    runs = [
        small_run(method="dfa", optimizer="adam", learning_rate=0.01),
        small_run(method="bp", hidden=(16, 8), seed=1),
        small_run(dataset="clusters", method="ntk"),
    ]
    alone = run_all(runs, tmp_path / "alone.csv")
    pool = run_all(runs, tmp_path / "pool.csv", jobs=2)
    backwards = run_all(runs[::-1], tmp_path / "backwards.csv")
    same(alone, pool)
    same(pd.concat([backwards[4:], backwards[2:4], backwards[:2]], ignore_index=True), alone)
    # The file does not depend on the order of training either.
    content = (tmp_path / "alone.csv").read_bytes()
    assert (tmp_path / "pool.csv").read_bytes() == content
    assert (tmp_path / "backwards.csv").read_bytes() == content


# ---- the CSV is the cache ----


def test_results_are_read_back_exactly(tmp_path, small_run):
    file = tmp_path / "deep" / "er" / "results.csv"
    runs = [
        small_run(method="dfa", hidden=(16, 8), biases=False, weight_decay=1e-3),
        small_run(method="ntk", learning_rate=1 / 3),
        small_run(dataset="clusters", density="uniform"),
        small_run(learning_rate=1e38),
    ]
    table = run_all(runs, file)
    cached = run_all(runs, file)
    same(cached, table)
    read = read_results(file)
    assert set(read.columns) == set(table.columns)
    assert len(read) == len(table)
    assert files(file.parent) == ["results.csv"]


VALUES = st.floats(allow_infinity=False)


@given(
    rows=st.lists(st.tuples(*(VALUES for _ in METRICS)), min_size=1, max_size=4),
    rate=st.floats(min_value=1e-300, max_value=1e300),
    hidden=st.lists(st.integers(1, 999), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**62),
)
def test_any_number_survives_the_csv(rows, rate, hidden, seed, tmp_path_factory):
    run = Run(method="dfa", learning_rate=rate, hidden=hidden, seed=seed, epochs=len(rows))
    history = History(run)
    for row in rows:
        history.append(dict(zip(METRICS, row, strict=True)))
    file = tmp_path_factory.mktemp("csv") / "results.csv"
    experiments._write(file, {run: history})
    (again,) = run_histories([run], file).values()
    assert again.run == run
    for name in METRICS:
        # As text: nan equals itself there, and -0.0 differs from 0.0.
        assert list(map(str, getattr(again, name))) == list(map(str, getattr(history, name)))


def test_a_cached_run_is_not_trained_again(trained, tmp_path, small_run):
    file = tmp_path / "results.csv"
    runs = repeats([small_run()], 2)
    first = run_all(runs, file)
    content = file.read_bytes()
    again = run_all(runs, file)
    assert trained == runs
    same(first, again)
    assert file.read_bytes() == content


def test_a_diverged_run_is_not_trained_again(trained, tmp_path, small_run):
    run = small_run(learning_rate=1e38)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "train", train)
        run_all([run], tmp_path / "results.csv")
    run_all([run], tmp_path / "results.csv")
    assert trained == []


def test_more_seeds_extend_the_file_and_fewer_leave_it(trained, tmp_path, small_run):
    file = tmp_path / "results.csv"
    run_all(repeats([small_run()], 2), file)
    run_all(repeats([small_run()], 3), file)
    assert [run.seed for run in trained] == [0, 1, 2]
    content = file.read_bytes()
    table = run_all(repeats([small_run()], 1), file)
    assert table["seed"].tolist() == [0, 0]
    assert file.read_bytes() == content


def test_each_run_is_saved_as_it_finishes(trained, tmp_path, small_run, monkeypatch):
    file = tmp_path / "results.csv"
    saved, made_up = [], experiments.train

    def watch(run):
        saved.append(len(read_results(file)) // run.epochs if file.exists() else 0)
        return made_up(run)

    monkeypatch.setattr(experiments, "train", watch)
    run_all(repeats([small_run()], 3), file)
    assert saved == [0, 1, 2]


def test_killed_run_resumes_without_retraining(tmp_path, small_run, trained):
    file = tmp_path / "results.csv"
    code = f"""if True:
        import os, signal
        from dfa_lib import Run, experiments
        from dfa_lib.experiments import repeats
        real = experiments.train
        def train(run):
            if run.seed == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(run)
        experiments.train = train
        small = dict(samples=256, test_samples=128, hidden=16, epochs=2, learning_rate=0.1)
        experiments.run_all(repeats([Run(**small)], 4), {str(file)!r})
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert files(tmp_path) == ["results.csv"]
    before = read_results(file)
    assert before["seed"].tolist() == [0, 0, 1, 1]

    table = run_all(repeats([small_run()], 4), file)
    assert [run.seed for run in trained] == [2, 3]
    same(table[:4], before)


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError("No space left on device")])
@pytest.mark.parametrize("moment", ["os.fsync", "pathlib.Path.replace"])
def test_a_write_that_is_cut_off_leaves_the_file_before_it(
    problem, moment, trained, tmp_path, small_run, monkeypatch
):
    file = tmp_path / "results.csv"
    run_all(repeats([small_run()], 1), file)
    content = file.read_bytes()

    def fail(*_):
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(moment, fail)
        with pytest.raises((KeyboardInterrupt, OSError)):
            run_all(repeats([small_run()], 2), file)
    assert file.read_bytes() == content
    assert files(tmp_path) == ["results.csv"]
    run_all(repeats([small_run()], 2), file)
    assert [run.seed for run in trained] == [0, 1, 1]


def test_a_run_that_raises_loses_only_itself(trained, tmp_path, small_run, monkeypatch):
    file, made_up = tmp_path / "results.csv", experiments.train

    def fail_at_seed_1(run):
        if run.seed == 1:
            raise InputError("no data.")
        return made_up(run)

    with monkeypatch.context() as patch:
        patch.setattr(experiments, "train", fail_at_seed_1)
        with pytest.raises(InputError, match="no data"):
            run_all(repeats([small_run()], 3), file)
    assert read_results(file)["seed"].tolist() == [0, 0]
    run_all(repeats([small_run()], 3), file)
    assert [run.seed for run in trained] == [0, 1, 2]


def test_a_relative_path_is_enough(trained, tmp_path, small_run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_all([small_run()], "results.csv")
    assert files(tmp_path) == ["results.csv"]
    assert os.fspath(Path("results.csv").resolve()).startswith(os.fspath(tmp_path))


# ---- divergence ----


def test_a_diverged_run_is_nan_in_the_csv_and_in_every_mean(tmp_path, small_run):
    file = tmp_path / "results.csv"
    runs = [small_run(learning_rate=0.1), small_run(learning_rate=1e38)]
    table = run_all(runs, file)
    lines = [line.split(",") for line in file.read_text().splitlines()]
    where = {name: lines[0].index(name) for name in COLUMNS}
    for line in lines[1:]:
        diverged = line[where["learning_rate"]] == "1e+38"
        assert all((line[where[name]] == "nan") == diverged for name in MEASURED)
        # What was never measured is empty, which is something else.
        assert line[where["weight_alignment"]] == ""

    same(run_all(runs, file), table)
    summary = summarise(final_epoch(table), by=["learning_rate"])
    assert summary["mean"].isna().tolist() == [False, True]
    assert summary["diverged"].tolist() == [0, 1]
    pooled = summarise(final_epoch(table), by=["method"])
    assert pooled["mean"].isna().all()
    assert pooled["diverged"].tolist() == [1]


# ---- files that are not right ----


@pytest.fixture
def results(trained, tmp_path, small_run):
    """A file of two runs, and a check that a file is refused with a sentence and left as it is."""
    file = tmp_path / "results.csv"
    runs = [small_run(method="dfa"), small_run(method="dfa", seed=1)]
    run_all(runs, file)
    trained.clear()
    return file, runs, trained


def assert_refused(file, content, runs, *parts):
    file.write_bytes(content)
    messages = []
    for use in (lambda: run_all(runs, file), lambda: read_results(file)):
        with pytest.raises(InputError) as caught:
            use()
        messages.append(str(caught.value))
    for message in messages:
        for part in (str(file), *parts):
            assert part in message
        assert "\n" not in message
    assert file.read_bytes() == content
    assert files(file.parent) == [file.name]


def test_a_file_truncated_mid_line_is_refused_and_left_alone(results):
    file, runs, trained = results
    content = file.read_bytes()
    assert_refused(file, content[:-40], runs, "line 5", "delete that line")
    assert_refused(file, content[:-1], runs, "line 5", "no end")
    assert trained == []


def test_a_file_cut_anywhere_is_refused_or_holds_whole_runs(results):
    file, _, _ = results
    content = file.read_bytes()
    whole = read_results(file)
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    accepted = []
    for cut in range(len(content)):
        file.write_bytes(content[:cut])
        try:
            table = read_results(file)
        except InputError:
            continue
        accepted.append(cut)
        if len(table):
            same(table, whole[: len(table)])
    # Just the header, with its end of line or without; and the first run.
    assert accepted == [ends[0] - 1, ends[0], ends[2]]


def edited(content, line, column, value):
    lines = [row.split(",") for row in content.decode().splitlines()]
    lines[line - 1][COLUMNS.index(column)] = value
    return "".join(",".join(row) + "\n" for row in lines).encode()


def test_a_foreign_column_is_named_and_the_accepted_ones_listed(results):
    file, runs, _ = results
    content = file.read_bytes()
    misspelt = edited(content, 1, "test_accuracy", "tset_accuracy")
    assert_refused(file, misspelt, runs, "'tset_accuracy'", "did you mean test_accuracy", *COLUMNS)
    assert_refused(file, content.replace(b"\n", b",x\n"), runs, "'x'", *COLUMNS)


def test_a_missing_column_is_named(results):
    file, runs, _ = results
    shorter = b"".join(line.split(b",", 1)[1] + b"\n" for line in file.read_bytes().splitlines())
    assert_refused(file, shorter, runs, "lacks dataset")


def test_a_column_twice_is_refused(results):
    file, runs, _ = results
    content = file.read_bytes()
    assert_refused(file, edited(content, 1, "epoch", "epochs"), runs, "lacks epoch")
    doubled = b"".join(line + b"," + line.split(b",")[0] + b"\n" for line in content.splitlines())
    assert_refused(file, doubled, runs, "names a column twice")


@pytest.mark.parametrize("content", [b"", b"\n", b"hello\n", b"<html>\n<body>\n"])
def test_a_file_that_is_no_results_file_is_refused(content, results):
    file, runs, _ = results
    assert_refused(file, content, runs)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"\x89PNG\r\n\x1a\n\x00"])
def test_a_file_that_is_not_text_is_refused(content, results):
    file, runs, _ = results
    assert_refused(file, content, runs, "not text")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("column", "value", "part"),
    [
        ("method", "bpp", "method cannot be 'bpp'"),
        ("epochs", "two", "two"),
        ("learning_rate", "", "learning_rate must be"),
        ("learning_rate", "-1.0", "learning_rate must be"),
        ("hidden", "16x", "in line 3"),
        ("biases", "maybe", "biases must be True or False"),
        ("test_accuracy", "abc", "abc"),
        ("test_accuracy", "", "test_accuracy"),
        ("train_loss", "", "train_loss"),
        ("gradient_alignment", "?", "?"),
    ],
)
def test_a_value_that_is_not_one_is_named_with_its_line(column, value, part, results):
    file, runs, _ = results
    assert_refused(file, edited(file.read_bytes(), 3, column, value), runs, "line 3", part)


def test_missing_repeated_or_shuffled_epochs_are_refused(results):
    file, runs, trained = results
    header, *rows = file.read_bytes().splitlines(keepends=True)
    for wrong in ([rows[0], *rows[2:]], [rows[0], *rows], [rows[1], rows[0], *rows[2:]], rows[:3]):
        assert_refused(file, b"".join([header, *wrong]), runs, "epochs", "instead of 1 to 2")
    assert trained == []


@pytest.mark.parametrize(
    "other",
    [{"method": "bp"}, {"epochs": 3}, {"learning_rate": 0.2}, {"feedback": "gaussian"}, {"k": 1}],
)
def test_a_file_of_another_experiment_is_refused_and_left_alone(other, results):
    file, runs, trained = results
    content = file.read_bytes()
    with pytest.raises(InputError, match="belongs to another experiment") as caught:
        run_all([replace(run, **other) for run in runs], file)
    assert str(file) in str(caught.value)
    assert "dfa with sgd" in str(caught.value)
    assert file.read_bytes() == content
    assert trained == []


def test_a_results_file_that_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"no results file .*nothing\.csv"):
        read_results(tmp_path / "nothing.csv")


def test_an_empty_list_of_runs_is_an_empty_table(trained, tmp_path):
    table = run_all([], tmp_path / "results.csv")
    assert len(table) == 0
    assert list(table.columns) == list(COLUMNS)
    assert not math.isnan(len(table))
