import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

distributed = pytest.importorskip("distributed", reason="Dask is not installed: dfa_lib[cluster]")

from dask import config as dask_config  # noqa: E402

from dfa_lib import (  # noqa: E402
    InputError,
    read_results,
    register_method,
    register_optimizer,
    run_all,
    tune,
)
from dfa_lib.experiments import cluster, repeats  # noqa: E402
from dfa_lib.experiments.kept_table import Writer  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def dask():
    """Two worker processes of two threads each, which are restarted when they die."""
    # A worker that is not restarted in time is given up; a busy machine may need the default 15 s.
    patient = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    with (
        dask_config.set(patient),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=True, dashboard_address=":0", silence_logs=50
        ) as running,
    ):
        yield running


@pytest.fixture
def address(dask):
    """The cluster, with both workers up and no work left over from earlier tests."""
    wait_until(lambda: len(dask.scheduler.workers) == 2 and not dask.scheduler.tasks)
    return dask.scheduler_address


@pytest.fixture
def other_workers():
    """Start a cluster in this process, so that a test can patch the workers."""
    with contextlib.ExitStack() as stack:

        def start(n_workers):
            return stack.enter_context(
                distributed.LocalCluster(
                    n_workers=n_workers,
                    threads_per_worker=1,
                    processes=False,
                    protocol="tcp",
                    dashboard_address=":0",
                    silence_logs=50,
                )
            )

        yield start


@pytest.fixture
def after_first_save(monkeypatch):
    """Do something once, after the first run has been saved and while others are training."""
    real = Writer.append

    def set_up(action):
        actions = [action]

        def append(writer, rows):
            real(writer, rows)
            if actions:
                actions.pop()()

        monkeypatch.setattr(Writer, "append", append)

    return set_up


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_a_busy_worker(dask):
    """Kill a worker while runs are training. Return how many it had."""
    wait_until(lambda: any(worker.processing for worker in dask.scheduler.workers.values()))
    busy = max(dask.scheduler.workers.values(), key=lambda worker: len(worker.processing))
    (nanny,) = [n for n in dask.workers.values() if n.worker_address == busy.address]
    lost = len(busy.processing)
    os.kill(nanny.pid, signal.SIGKILL)
    return lost


def long_runs(small_run, n=12):
    return repeats([small_run(method="dfa", samples=10_000, hidden=64, epochs=4)], n)


# ---- the same results ----


def test_a_cluster_gives_the_bytes_of_this_machine(address, tmp_path, small_run):
    runs = repeats(
        [
            small_run(method="dfa", optimizer="adam", learning_rate=0.01, feedback="gaussian"),
            small_run(method="fa", hidden=(16, 8), optimizer="nesterov", weight_decay=1e-3),
            small_run(method="ntk", precision="float64", batch_size=50),
            small_run(dataset="clusters", method="gaussian_features", density="uniform"),
            small_run(learning_rate=1e38),
        ],
        2,
    )
    here = run_all(runs, tmp_path / "here.csv")
    there = run_all(runs, tmp_path / "there.csv", cluster=address, jobs=1_000)
    assert here.equals(there)
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "here.csv", "here.json", "there.csv", "there.json",
    ]  # fmt: skip


def test_what_a_reader_has_registered_goes_to_the_workers(address, tmp_path, small_run, registered):
    runs = repeats([small_run(method=registered, optimizer=registered, learning_rate=1e-3)], 3)
    here = run_all(runs, tmp_path / "here.csv")
    assert here.equals(run_all(runs, tmp_path / "there.csv", cluster=address))
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


@pytest.fixture
def registered(registrations_end):
    """A learning rule and an optimizer of this name, which are not the library's."""

    def transport(parameters, layer, error, delta):
        return delta @ parameters[f"W{layer + 1}"].sign().mT

    def update(theta, g, state, learning_rate):
        return theta - learning_rate * g.sign(), state

    register_method("of_a_reader", transport)
    register_optimizer("of_a_reader", update)
    return "of_a_reader"


def test_tuning_on_a_cluster_chooses_as_on_this_machine(address, small_run):
    runs = [small_run(), small_run(method="dfa")]
    chosen, scores = tune(runs, cluster=address)
    chosen_here, scores_here = tune(runs)
    assert chosen == chosen_here
    assert scores.equals(scores_here)


@pytest.mark.posix
def test_a_worker_killed_amid_its_runs_changes_no_byte(
    dask, address, tmp_path, small_run, after_first_save
):
    runs, lost = long_runs(small_run), []
    run_all(runs, tmp_path / "here.csv")
    after_first_save(lambda: lost.append(kill_a_busy_worker(dask)))
    before = set(dask.scheduler.workers)
    run_all(runs, tmp_path / "there.csv", cluster=address)
    assert lost[0] >= 1
    assert len(before & set(dask.scheduler.workers)) == 1
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


# ---- runs that do not come to an end ----


@pytest.mark.posix
def test_a_run_whose_workers_keep_dying_is_given_up_and_what_finished_is_saved(
    dask, address, tmp_path, small_run, after_first_save, monkeypatch
):
    file, runs = tmp_path / "results.csv", long_runs(small_run)
    monkeypatch.setattr(dask.scheduler, "allowed_failures", 0)
    after_first_save(lambda: kill_a_busy_worker(dask))
    with pytest.raises(InputError, match="was given up, because 1 workers died") as caught:
        run_all(runs, file, cluster=address)
    assert "dfa with sgd at rate 0.1 on digits k=3, seed" in str(caught.value)
    saved = len(read_results(file)) // 4
    assert 1 <= saved < len(runs)
    # Nothing is trained for a client that has disconnected.
    wait_until(lambda: not dask.scheduler.tasks)


def test_an_interrupt_saves_what_finished_and_drops_the_rest(
    dask, address, tmp_path, small_run, after_first_save
):
    def interrupt():
        raise KeyboardInterrupt

    file, clients = tmp_path / "results.csv", set(dask.scheduler.clients)
    after_first_save(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_all(long_runs(small_run, 100), file, cluster=address)
    assert len(read_results(file)) == 4
    wait_until(lambda: not dask.scheduler.tasks and set(dask.scheduler.clients) <= clients, 5)


def test_what_a_run_raises_on_a_worker_is_raised_here(address, small_run, monkeypatch):
    # This test assumes that the worker has no GPU either.
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(InputError, match="device cannot be 'cuda'"):
        run_all([small_run(device="cuda")], cluster=address)


def test_a_cluster_that_loses_all_workers_is_given_up(
    other_workers, tmp_path, small_run, after_first_save, monkeypatch
):
    running = other_workers(1)

    def dismiss():
        monkeypatch.setattr(cluster, "WORKERS_TIMEOUT", 0.5)
        running.scale(0)
        wait_until(lambda: not running.scheduler.workers)

    after_first_save(dismiss)
    with pytest.raises(InputError, match="has lost all its workers; what had finished is kept"):
        run_all(long_runs(small_run), tmp_path / "results.csv", cluster=running.scheduler_address)
    assert len(read_results(tmp_path / "results.csv")) >= 4


def test_a_cluster_that_goes_away_is_said_to_be_lost(
    other_workers, tmp_path, small_run, after_first_save, monkeypatch
):
    running = other_workers(1)
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 1)
    after_first_save(running.close)
    with pytest.raises(InputError, match=r"the cluster at tcp://.* was lost; what had finished is kept"):
        run_all(long_runs(small_run), tmp_path / "results.csv", cluster=running.scheduler_address)
    assert len(read_results(tmp_path / "results.csv")) >= 4


# ---- workers with something else ----


def test_workers_with_another_library_are_refused_before_anything_is_trained(
    address, tmp_path, small_run, monkeypatch
):
    real = cluster.fingerprint()
    monkeypatch.setattr(cluster, "fingerprint", lambda: "dfa_lib 000 with torch 9.9.9")
    with pytest.raises(InputError, match="has another library") as caught:
        run_all([small_run()], tmp_path / "results.csv", cluster=address)
    assert real in str(caught.value)
    assert "dfa_lib 000 with torch 9.9.9" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_comes_later_with_another_library_trains_nothing(address, small_run, monkeypatch):
    monkeypatch.setattr(cluster, "fingerprint", lambda: "dfa_lib 000 with torch 9.9.9")
    monkeypatch.setattr(cluster, "_check_workers", lambda *_: None)
    with pytest.raises(InputError, match="a worker that has come later has another library"):
        run_all([small_run()], cluster=address)


def test_a_worker_without_the_library_is_named(other_workers, small_run, monkeypatch):
    running = other_workers(1)
    monkeypatch.setitem(sys.modules, "dfa_lib.experiments.cluster", None)
    with pytest.raises(InputError, match=r"the worker .* has another library, none that could be used"):
        run_all([small_run()], cluster=running.scheduler_address)


def test_the_fingerprint_changes_with_the_version_of_torch_but_not_with_its_build(monkeypatch):
    seen = []
    for version in ("2.13.0+cpu", "2.13.0+cu130", "2.14.0"):
        monkeypatch.setattr(cluster.torch, "__version__", version)
        seen.append(cluster.fingerprint())
    assert seen[0].endswith(" with torch 2.13.0")
    assert seen[1] == seen[0] != seen[2]


# ---- no cluster ----


def test_a_cluster_without_workers_is_given_up(other_workers, small_run, monkeypatch):
    monkeypatch.setattr(cluster, "WORKERS_TIMEOUT", 0.5)
    running = other_workers(0)
    with pytest.raises(InputError, match=r"has no workers, and none came in 0\.5 s") as caught:
        run_all([small_run()], cluster=running.scheduler_address)
    assert f"dask worker {running.scheduler_address}" in str(caught.value)


def test_an_address_where_nothing_answers_is_named_in_time(tmp_path, small_run, monkeypatch):
    assert cluster.CONNECT_TIMEOUT == 10
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 0.5)
    start = time.monotonic()
    with pytest.raises(InputError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9 "):
        run_all([small_run()], tmp_path / "results.csv", cluster="tcp://127.0.0.1:9")
    assert time.monotonic() - start < 30
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9, b"\x01" * 64, b"\xff" * 64]
)
def test_a_server_of_another_kind_is_no_scheduler(answer, small_run, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connections.append(connection)
                    connection.sendall(answer)

        connections = []
        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(InputError, match="there is no Dask scheduler at tcp://127"):
            run_all([small_run()], cluster=f"tcp://127.0.0.1:{server.getsockname()[1]}")
        for connection in connections:
            connection.close()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "value", ["", "localhost:8786", "tcp://localhost", "tcp://host:port", "http://localhost:8786", 8786]
)
def test_an_address_that_is_none_is_named(value, small_run):
    with pytest.raises(InputError, match="such as tcp://localhost:8786, not ") as caught:
        run_all([small_run()], cluster=value)
    assert repr(value) in str(caught.value)


def test_without_dask_a_cluster_asks_for_it(small_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install dfa_lib\[cluster\]"):
        run_all([small_run()], cluster="tcp://localhost:8786")


def test_dask_is_not_imported_without_a_cluster():
    code = "import sys, dfa_lib, dfa_lib.experiments.cluster; sys.exit('distributed' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
