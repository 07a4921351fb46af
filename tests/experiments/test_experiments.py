import contextlib
import errno
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import joblib
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib.externals.loky import reusable_executor

from dfa_book.site.freshness import staleness
from dfa_lib import (
    InputError,
    Run,
    read_results,
    run_all,
    train,
)
from dfa_lib.experiments import final_epoch, repeats, run_histories
from dfa_lib.experiments import runner as experiments
from dfa_lib.experiments.kept_table import KeptTable, Writer, sole_writer
from dfa_lib.experiments.progress import cost
from dfa_lib.experiments.results import COLUMNS as RUN_COLUMNS
from dfa_lib.experiments.results import rows_of, runs_table
from dfa_lib.experiments.statistics import summarise
from dfa_lib.training import METRICS, History

ROOT = Path(__file__).parents[2]
COLUMNS = list(RUN_COLUMNS)
MEASURED = [name for name in METRICS if name.endswith(("loss", "accuracy"))]


def same(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def files(folder):
    """Return the names of a folder's files, without records."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".json")


def interrupted(seeds, file, seed, happens):
    """Source of a process that trains ``small_run`` with these seeds; something happens before one."""
    return f"""if True:
        import os, signal
        from dfa_lib import Run
        from dfa_lib.experiments import runner as experiments
        from dfa_lib.experiments import repeats
        real = experiments.train
        def train(run):
            if run.seed == {seed}:
                {happens}
            return real(run)
        experiments.train = train
        small = dict(samples=256, test_samples=128, hidden=16, epochs=2, learning_rate=0.1)
        experiments.run_all(repeats([Run(**small)], {seeds}), {str(file)!r})
    """


@pytest.fixture
def trained(monkeypatch):
    """Fake the training: record the runs, and invent their numbers."""
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


@pytest.fixture
def two_cores(monkeypatch):
    """Pretend to have at least two cores."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)


@pytest.mark.usefixtures("two_cores")
def test_runs_give_the_same_bits_alone_in_a_pool_and_in_any_order(tmp_path, small_run):
    runs = [
        small_run(method="dfa", optimizer="adam", learning_rate=0.01),
        small_run(method="bp", hidden=(16, 8), seed=1),
        small_run(dataset="clusters", method="ntk"),
        small_run(method="fa", optimizer="nesterov", activation="tanh", weight_decay=1e-3),
        small_run(method="gaussian_features", optimizer="rmsprop", precision="float64"),
        small_run(learning_rate=1e38),
    ]
    alone = run_all(runs, tmp_path / "alone.csv")
    pool = run_all(runs, tmp_path / "pool.csv", jobs=2)
    backwards = run_all(runs[::-1], tmp_path / "backwards.csv")
    same(alone, pool)
    turned = [backwards[2 * i : 2 * i + 2] for i in reversed(range(len(runs)))]
    same(pd.concat(turned, ignore_index=True), alone)
    # Nor does the file depend on the order of training.
    content = (tmp_path / "alone.csv").read_bytes()
    assert (tmp_path / "pool.csv").read_bytes() == content
    assert (tmp_path / "backwards.csv").read_bytes() == content


@pytest.mark.posix
@pytest.mark.usefixtures("two_cores")
def test_a_killed_process_of_the_pool_loses_what_was_in_training_and_says_so(
    tmp_path, small_run, monkeypatch
):
    file, real, kills = tmp_path / "results.csv", Writer.append, []

    def append_and_kill(writer, rows):
        real(writer, rows)
        if not kills:
            kills.extend(reusable_executor._executor._processes)
            for pid in kills:
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(Writer, "append", append_and_kill)
    with pytest.raises(InputError, match=r"one of 2 processes was killed, .* is kept"):
        run_all(repeats([small_run(samples=10_000)], 20), file, jobs=2)
    assert 2 <= len(read_results(file)) < 40
    assert files(tmp_path) == ["results.csv"]


def test_more_jobs_than_cores_are_refused(trained, tmp_path, small_run, monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    message = "jobs must be at most 4, the cores of this machine, not 5."
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        run_all([small_run()], tmp_path / "results.csv", jobs=5)
    assert trained == []
    assert files(tmp_path) == []
    run_all([small_run()], jobs=4)


def test_the_longest_run_is_trained_first_and_equals_in_the_order_given(trained, small_run):
    runs = [
        small_run(seed=1),
        small_run(hidden=512),
        small_run(seed=0),
        small_run(dataset="clusters"),
        small_run(dataset="mnist"),
        small_run(epochs=20),
        small_run(samples=512),
    ]
    table = run_all(runs)
    assert trained == [runs[i] for i in (1, 4, 5, 6, 0, 2, 3)]
    assert table["seed"][:2].tolist() == [1, 1]
    assert table["hidden"][2] == "512"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dataset": "digits", "k": 3, "hidden": 16}, 2 * 2 * 256 * (3 * 64 * 16 + 16)),
        ({"dataset": "mnist", "k": 1, "hidden": (16, 8)}, 2 * 2 * 256 * (784 * 16 + 16 * 8 + 8)),
        ({"dataset": "clusters", "dimensions": 5, "epochs": 7}, 2 * 7 * 256 * (5 * 16 + 16)),
        ({"optimizer": "adam", "k": 1, "hidden": 16}, 3 * 2 * 256 * (64 * 16 + 16)),
        ({"method": "ntk", "k": 1, "hidden": 16}, 3 * 2 * 256 * (64 * 16 + 16)),
        ({"method": "relu_features", "k": 1, "hidden": 16}, 2 * 256 * (64 * 16 + 16)),
    ],
)
def test_the_cost_of_a_run_is_its_multiplications(fields, expected, small_run):
    assert cost(small_run(**fields)) == expected


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


LOSSES = st.floats(0, allow_infinity=False) | st.just(math.nan)
SHARES = st.floats(0, 1) | st.just(math.nan)
COSINES = st.floats(-1, 1) | st.just(math.nan)
VALUES = {"loss": LOSSES, "accuracy": SHARES, "sign_agreement": SHARES, "sign_share": SHARES}


def values_of(metric):
    return next((found for ending, found in VALUES.items() if metric.endswith(ending)), COSINES)


@given(
    rows=st.lists(st.tuples(*map(values_of, METRICS)), min_size=1, max_size=4),
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
    with runs_table(file).writer() as writer:
        writer.start(["digits"], "jobs=1")
        writer.append(rows_of([history]))
    (again,) = run_histories([run], file).values()
    assert again.run == run
    for name in METRICS:
        # Compare texts: there, nan equals nan, and -0.0 differs from 0.0.
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


@pytest.mark.posix
def test_killed_run_resumes_without_retraining(tmp_path, small_run, trained):
    file = tmp_path / "results.csv"
    code = interrupted(4, file, 2, "os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert files(tmp_path) == [".results.csv.lock", ".results.csv.log", "results.csv"]
    before = read_results(file)
    assert before["seed"].tolist() == [0, 0, 1, 1]

    table = run_all(repeats([small_run()], 4), file)
    assert [run.seed for run in trained] == [2, 3]
    same(table[:4], before)
    # No lock and no temporary file is left.
    assert files(tmp_path) == ["results.csv"]


def test_what_a_kill_left_of_a_write_is_gone_after_the_next_run(trained, tmp_path, small_run):
    file, half = tmp_path / "results.csv", tmp_path / ".results.csv.tmp"
    half.write_text("dataset,k,sam", encoding="utf-8")
    run_all([small_run()], file)
    assert files(tmp_path) == ["results.csv"]


def at_the(number, real, happens):
    """Wrap ``real`` so that something happens at one of the calls."""
    calls = []

    def call(*given, **named):
        calls.append(given)
        if len(calls) == number:
            happens()
        return real(*given, **named)

    return call


def interrupt():
    raise KeyboardInterrupt


def use_up_quota():
    raise OSError(errno.EDQUOT, "Disk quota exceeded")


MOMENTS = [("os.fsync", number) for number in range(1, 6)] + [
    ("pathlib.Path.replace", number) for number in range(1, 3)
]


@pytest.mark.parametrize(("moment", "number"), MOMENTS)
@pytest.mark.parametrize("happens", [interrupt, use_up_quota])
def test_a_write_that_is_stopped_anywhere_costs_at_most_its_run(
    happens, moment, number, trained, tmp_path, small_run, monkeypatch
):
    file, whole = tmp_path / "results.csv", tmp_path / "whole" / "results.csv"
    run_all(repeats([small_run()], 2), whole)
    run_all(repeats([small_run()], 1), file)
    before = file.read_bytes()
    trained.clear()
    module, _, name = moment.rpartition(".")
    owner = os if module == "os" else Path
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, at_the(number, getattr(owner, name), happens))
        with pytest.raises((KeyboardInterrupt, InputError)):
            run_all(repeats([small_run()], 2), file)
    saved = len(read_results(file)) // 2
    assert saved == 2 or file.read_bytes() == before
    run_all(repeats([small_run()], 2), file)
    assert trained.count(small_run(seed=1)) == (1 if saved == 2 or number == 1 else 2)
    assert file.read_bytes() == whole.read_bytes()
    assert files(tmp_path) == ["results.csv", "whole"]
    assert staleness(file) is None


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


# ---- disks and other processes ----


@pytest.fixture
def no_space(monkeypatch, tmp_path):
    """Simulate a full disk in some folders; temporary files are in ``tmp_path / "tmp"``."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    full, real = [], Path.open

    def open_(path, mode="r", *args, **kwargs):
        if set(mode) & set("wxa") and not {*path.parents}.isdisjoint(full):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_)
    return full


@pytest.fixture
def full_while_training(no_space, monkeypatch):
    """Simulate full disks from the next run on."""
    made_up = experiments.train

    def fill(*folders):
        def train_and_fill(run):
            monkeypatch.setattr(experiments, "train", made_up)
            no_space.extend(folders)
            return made_up(run)

        monkeypatch.setattr(experiments, "train", train_and_fill)

    return fill


def test_a_full_disk_leaves_the_old_file_and_a_copy_with_all_results(
    trained, tmp_path, small_run, no_space, full_while_training
):
    folder = tmp_path / "results"
    file, runs = folder / "sgd.csv", repeats([small_run()], 3)
    run_all(runs[:1], file)
    content = file.read_bytes()
    full_while_training(folder)
    with pytest.raises(InputError) as caught:
        run_all(runs, file)
    (copy,) = (tmp_path / "tmp").iterdir()
    assert str(caught.value) == (
        f"{file} could not be written (No space left on device) and is as it was before; all that is "
        f"finished is in {copy}: make room, move sgd.csv and sgd.json from there to {folder}, and run "
        f"again to compute only what is missing."
    )
    assert file.read_bytes() == content
    assert read_results(file)["seed"].tolist() == [0, 0]
    assert read_results(copy / "sgd.csv")["seed"].tolist() == [0, 0, 1, 1]

    # Follow the advice of the message.
    no_space.clear()
    for name in ("sgd.csv", "sgd.json"):
        (copy / name).replace(folder / name)
    run_all(runs, file)
    assert [run.seed for run in trained] == [0, 1, 2]
    assert staleness(file) is None
    assert files(folder) == ["sgd.csv"]


def test_disks_that_are_full_everywhere_leave_the_old_file(
    trained, tmp_path, small_run, no_space, full_while_training
):
    folder = tmp_path / "results"
    file = folder / "sgd.csv"
    run_all([small_run()], file)
    content = file.read_bytes()
    full_while_training(folder, tmp_path / "tmp")
    with pytest.raises(InputError, match=r"as it was before; a copy .* failed too .*: make room"):
        run_all(repeats([small_run()], 2), file)
    assert file.read_bytes() == content


def test_a_disk_that_is_full_already_is_told_before_anything_is_trained(
    trained, tmp_path, small_run, no_space
):
    folder = tmp_path / "results"
    run_all([small_run()], folder / "sgd.csv")
    no_space.append(folder)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\); nothing"):
        run_all(repeats([small_run()], 2), folder / "sgd.csv")
    assert len(trained) == 1
    assert files(folder) == ["sgd.csv"]


@pytest.mark.posix
@pytest.mark.parametrize("read_only", ["file", "record", "folder"])
def test_what_is_read_only_is_refused_before_anything_is_trained(
    read_only, trained, tmp_path, small_run
):
    folder = tmp_path / "results"
    file = folder / "sgd.csv"
    run_all([small_run()], file)
    trained.clear()
    place = {"file": file, "record": folder / "sgd.json", "folder": folder}[read_only]
    record = (folder / "sgd.json").read_bytes()
    mode = place.stat().st_mode
    place.chmod(mode & ~0o222)
    try:
        with pytest.raises(InputError, match=f"^{place} is read-only, .* nothing was trained"):
            run_all(repeats([small_run()], 2), file)
        # Reading is allowed.
        run_all([small_run()], file)
        if read_only == "folder":
            with pytest.raises(InputError, match=f"^{place} is read-only"):
                run_all([small_run()], folder / "deep" / "er.csv")
    finally:
        place.chmod(mode)
    assert trained == []
    assert files(folder) == ["sgd.csv"]
    assert (folder / "sgd.json").read_bytes() == record


def test_a_folder_is_no_results_file(trained, tmp_path, small_run):
    for use in (lambda: run_all([small_run()], tmp_path), lambda: read_results(tmp_path)):
        with pytest.raises(InputError, match=f"{tmp_path} cannot be read"):
            use()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be read or written"):
        run_all([small_run()], tmp_path / "file" / "results.csv")
    assert trained == []


def test_a_second_process_is_refused_and_neither_loses_anything(trained, tmp_path, small_run):
    file = tmp_path / "results.csv"
    code = interrupted(3, file, 1, 'print("halfway", flush=True); input()')
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "halfway\n"
        content = file.read_bytes()
        with pytest.raises(InputError, match=f"{file} is being written by another process") as caught:
            run_all(repeats([small_run()], 4), file)
        assert "nothing was trained or changed here" in str(caught.value)
        assert file.read_bytes() == content
        # Nothing to train or write: reading works meanwhile.
        assert len(run_all([small_run()], file)) == 2
        first.communicate("\n")
    assert first.returncode == 0
    assert trained == []
    assert files(tmp_path) == ["results.csv"]
    run_all(repeats([small_run()], 4), file)
    assert [run.seed for run in trained] == [3]


def test_what_another_process_has_written_meanwhile_is_not_trained_again(
    trained, tmp_path, small_run, monkeypatch
):
    file, real = tmp_path / "results.csv", KeptTable.writer

    @contextlib.contextmanager
    def late(table):
        with monkeypatch.context() as patch:
            patch.setattr(KeptTable, "writer", real)
            run_all(repeats([small_run()], 2), file)
        with real(table) as writer:
            yield writer

    monkeypatch.setattr(KeptTable, "writer", late)
    run_all(repeats([small_run()], 3), file)
    assert [run.seed for run in trained] == [0, 1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks files in its own way")
def test_one_writer_at_a_time_though_the_lock_is_removed_each_time(tmp_path):
    inside, times = [], []

    def write_often():
        entered = 0
        while entered < 300:
            with contextlib.suppress(InputError), sole_writer(tmp_path / "results.csv"):
                inside.append(1)
                times.append(len(inside))
                time.sleep(0)
                inside.pop()
                entered += 1

    writers = [threading.Thread(target=write_often) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert times == [1] * 1_200
    assert files(tmp_path) == []


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
        # A metric that was not measured is empty.
        assert line[where["weight_alignment"]] == ""

    same(run_all(runs, file), table)
    summary = summarise(final_epoch(table), by=["learning_rate"])
    assert summary["mean"].isna().tolist() == [False, True]
    assert summary["non_finite"].tolist() == [0, 1]
    pooled = summarise(final_epoch(table), by=["method"])
    assert pooled["mean"].isna().all()
    assert pooled["non_finite"].tolist() == [1]


# ---- files that are not right ----


@pytest.fixture
def results(trained, tmp_path, small_run):
    """A file of two runs, and a check that damage is reported and the file is not changed."""
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
    assert_refused(file, content[:-40], runs, "line 5", "delete the rows of that run")
    assert_refused(file, content[:-2], runs, "line 5", "no end")
    assert trained == []


def test_a_file_that_lacks_only_its_last_line_break_costs_no_run(results):
    file, runs, trained = results
    content, table = file.read_bytes(), read_results(file)
    file.write_bytes(content[:-1])
    same(read_results(file), table)
    run_all([*runs, replace(runs[0], seed=2)], file)
    assert [run.seed for run in trained] == [2]
    assert file.read_bytes().startswith(content)


def test_without_a_record_a_last_line_that_has_no_end_is_refused(results):
    file, runs, _ = results
    file.with_suffix(".json").unlink()
    assert_refused(file, file.read_bytes()[:-1], runs, "line 5", "no end")


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
    # Only the header, or whole runs, each with and without a line break at the end.
    assert accepted == [ends[0] - 1, ends[0], ends[2] - 1, ends[2], ends[4] - 1]


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
    twice = content.replace(b"epoch,train", b"epochs,train", 1)
    assert_refused(file, twice, runs, "lacks epoch")
    doubled = b"".join(line + b"," + line.split(b",")[0] + b"\n" for line in content.splitlines())
    assert_refused(file, doubled, runs, "names columns twice or out of order")


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
        ("epochs", "1_0", "1_0"),
        ("seed", "١", "١"),
        ("samples", "9" * 40, "9" * 40),
        ("test_accuracy", "1.7", "'1.7' is not a number from 0 to 1"),
        ("test_accuracy", "-3", "-3"),
        ("train_accuracy", "inf", "inf"),
        ("test_loss", "1e400", "1e400"),
        ("test_loss", "-0.1", "-0.1"),
        ("gradient_alignment", "1.5", "1.5"),
        ("feedback", "x" * 200_000, "feedback cannot be"),
        ("learning_rate", "", "'' is not a number"),
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
    wrong = edited(file.read_bytes(), 3, column, value)
    assert_refused(file, wrong, runs)
    file.with_suffix(".json").unlink()
    assert_refused(file, wrong, runs, "line 3", part)


def test_missing_repeated_or_shuffled_epochs_are_refused(results):
    file, runs, trained = results
    header, *rows = file.read_bytes().splitlines(keepends=True)
    for wrong in ([rows[0], *rows[2:]], [rows[0], *rows], [rows[1], rows[0], *rows[2:]], rows[:3]):
        assert_refused(file, b"".join([header, *wrong]), runs, "not what its record results.json knows")
    file.with_suffix(".json").unlink()
    for wrong in ([rows[0], *rows[2:]], [rows[0], *rows], [rows[1], rows[0], *rows[2:]], rows[:3]):
        assert_refused(file, b"".join([header, *wrong]), runs, "epochs", "instead of 1 to 2")
    assert trained == []


def test_a_changed_or_rounded_number_is_noticed(results):
    file, runs, trained = results
    content = file.read_bytes()
    known = "is damaged: lines 2 and following (1 of 2 units of rows) are not what its record"
    assert_refused(file, edited(content, 3, "test_accuracy", "0.99"), runs, known)
    rounded = pd.read_csv(file, dtype={"learning_rate": str, "weight_decay": str})
    text = rounded.to_csv(index=False, float_format="%.4f").encode()
    assert_refused(file, text, runs, "record results.json knows")
    assert trained == []


def test_a_run_whose_rows_are_gone_is_trained_again_into_the_same_bytes(results):
    file, runs, trained = results
    content = file.read_bytes()
    file.write_bytes(b"".join(content.splitlines(keepends=True)[:3]))
    run_all(runs, file)
    assert trained == [runs[1]]
    assert file.read_bytes() == content
    assert staleness(file) is None


def test_nothing_is_added_to_a_file_whose_record_is_lost(results):
    file, runs, trained = results
    file.with_suffix(".json").unlink()
    assert len(run_all(runs, file)) == 4
    with pytest.raises(InputError, match=r"results\.csv has no record results\.json beside it"):
        run_all([*runs, replace(runs[0], seed=2)], file)
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


# ---- runs that another experiment has trained ----


def test_a_run_of_another_experiment_is_taken_over_and_saved(trained, small_run, tmp_path):
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    shared, new = small_run(), small_run(method="dfa")
    run_all([shared], results=first)
    table = run_all([shared, new], results=second, reuse=[first])
    assert trained == [shared, new]
    assert read_results(second)["method"].tolist() == ["bp", "bp", "dfa", "dfa"]
    taken = table[table["method"] == "bp"]
    assert taken["test_loss"].tolist() == read_results(first)["test_loss"].tolist()


def test_a_damaged_file_to_reuse_is_named_and_nothing_is_trained(trained, small_run, tmp_path):
    (tmp_path / "other.csv").write_text("not,a,results,file\n")
    with pytest.raises(InputError, match=r"other\.csv"):
        run_all([small_run()], results=tmp_path / "own.csv", reuse=[tmp_path / "other.csv"])
    assert trained == []
    assert files(tmp_path) == ["other.csv"]


def test_what_a_process_left_that_was_killed_at_its_very_end_is_tidied_up(trained, small_run, tmp_path):
    # All runs are saved, so the next call trains nothing and takes no lock.
    path = tmp_path / "some.csv"
    run_all([small_run()], results=path)
    names = (".some.csv.lock", ".some.csv.log", ".some.csv.tmp", ".some.json.tmp")
    left = [tmp_path / name for name in names]
    for place in left:
        place.touch()
    run_all([small_run()], results=path)
    assert [place.exists() for place in left] == [False] * 4
    assert trained == [small_run()]


def test_reading_leaves_the_files_of_a_process_at_work_alone(trained, small_run, tmp_path):
    path = tmp_path / "some.csv"
    run_all([small_run()], results=path)
    with sole_writer(path):
        (tmp_path / ".some.csv.tmp").touch()
        run_all([small_run()], results=path)
        assert (tmp_path / ".some.csv.tmp").exists()
        assert (tmp_path / ".some.csv.lock").exists()


@pytest.mark.parametrize("removed", [["some.csv"], [".some.csv.log"], ["some.csv", ".some.csv.log"]])
def test_what_others_remove_while_runs_are_trained_is_put_back(
    removed, trained, small_run, tmp_path, monkeypatch
):
    """As ``git stash`` does, or ``git clean``."""
    file, whole = tmp_path / "some.csv", tmp_path / "whole" / "some.csv"
    run_all(repeats([small_run()], 4), whole)
    run_all(repeats([small_run()], 1), file)
    before, made_up = file.read_bytes(), experiments.train

    def train_and_remove(run):
        if run.seed == 3:
            for name in removed:
                (tmp_path / name).unlink()
            if not file.exists():
                file.write_bytes(before)
        return made_up(run)

    monkeypatch.setattr(experiments, "train", train_and_remove)
    run_all(repeats([small_run()], 4), file)
    assert file.read_bytes() == whole.read_bytes()
    assert staleness(file) is None
    assert files(tmp_path) == ["some.csv", "whole"]


# ---- links, and files that others have put there ----


@pytest.mark.posix
def test_a_results_file_that_is_a_link_stays_one_and_its_target_has_the_results(
    trained, small_run, tmp_path
):
    target, link = tmp_path / "disk" / "sgd.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    link.symlink_to(target)
    for seeds in (1, 2):  # first it leads nowhere
        run_all(repeats([small_run()], seeds), link)
        assert link.is_symlink()
        assert len(read_results(target)) == len(read_results(link)) == 2 * seeds
    assert files(target.parent) == ["sgd.csv"]
    assert staleness(link) is None
    record, elsewhere = target.with_suffix(".json"), tmp_path / "disk" / "elsewhere"
    record.rename(elsewhere)
    record.symlink_to(elsewhere)
    run_all(repeats([small_run()], 3), link)
    assert record.is_symlink()
    assert staleness(link) is None
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match=r"loop\.csv cannot be read"):
        run_all([small_run()], loop)


PLANTED = [".some.csv.tmp", ".some.json.tmp", ".some.csv.log", ".some.csv.lock"]


@pytest.mark.posix
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_link_is_not_written_through(name, trained, small_run, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / name).symlink_to(victim)
    run_all([small_run()], tmp_path / "some.csv")
    assert victim.read_text() == "precious"
    assert files(tmp_path) == ["some.csv", "victim"]
    assert staleness(tmp_path / "some.csv") is None


def test_a_planted_log_does_not_vouch_for_rows(results):
    file, *_ = results
    changed = edited(file.read_bytes(), 5, "test_accuracy", "0.99")
    file.write_bytes(changed)
    (file.parent / ".results.csv.log").write_text("{}\n[1, 2]\nnonsense")
    assert read_results(file)["seed"].tolist() == [0, 0]  # the changed run counts as unfinished


@pytest.mark.posix
def test_a_file_keeps_its_permissions(trained, small_run, tmp_path):
    file = tmp_path / "some.csv"
    run_all([small_run()], file)
    file.chmod(0o640)
    run_all(repeats([small_run()], 2), file)
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("results", "message"),
    [
        ("runs.json", r"results cannot be runs\.json, which is the name of a record"),
        (5, "results must be the path of a CSV file, not 5"),
        (b"runs.csv", "results must be the path of a CSV file, not b'runs.csv'"),
        ("a\0b.csv", "embedded null byte"),
        ("x" * 300 + ".csv", "cannot be read or written"),
    ],
)
def test_what_cannot_be_a_results_file_is_told_before_anything_is_trained(
    results, message, trained, small_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run_all([small_run()], results)
    assert trained == []
    assert files(tmp_path) == []


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("runs", [None, [None], "abc", 3, [{"method": "bp"}]])
def test_what_is_no_list_of_runs_is_refused_in_a_sentence(runs):
    with pytest.raises(InputError, match=r"runs must be a list of Run\(\.\.\.\), and .* is none"):
        run_all(runs)


def test_readers_beside_a_writer_see_whole_runs_only(trained, small_run, tmp_path):
    file, wanted, seen = tmp_path / "some.csv", repeats([small_run()], 60), []

    def read_often():
        while not seen or seen[-1] < len(wanted):
            with contextlib.suppress(FileNotFoundError):
                seen.append(len(read_results(file)) // 2 if file.exists() else 0)

    reader = threading.Thread(target=read_often)
    reader.start()
    run_all(wanted, file)
    reader.join(60)
    assert not reader.is_alive()
    assert seen == sorted(seen)
