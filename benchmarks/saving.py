"""Overhead per run: of saving 100 to 10,000 runs to one results file, and of a Dask cluster.

``python benchmarks/saving.py 100 1000`` fakes the histories, so that only saving takes time.
``python benchmarks/saving.py --workers 1 2 4 8`` trains tiny runs on a cluster of this machine.
"""

import resource
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from dfa_lib import Run, train
from dfa_lib.experiments import repeats, run_all, runner
from dfa_lib.training import METRICS, History


def made_up(run: Run) -> History:
    """Return a fake history instead of training."""
    history = History(run)
    for epoch in range(run.epochs):
        history.append({name: 1 / (3 + epoch + run.seed + i) for i, name in enumerate(METRICS)})
    return history


def milliseconds_a_run(runs: int, epochs: int) -> float:
    """Return the time per run of ``run_all``, with all runs saved in one file."""
    wanted = repeats([Run(method="dfa", learning_rate=0.1, epochs=epochs)], runs)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run_all(wanted, Path(folder) / "results.csv")
        return 1e3 * (time.perf_counter() - start) / runs


def on_a_cluster(workers: int, runs: int = 200) -> tuple[float, float]:
    """Return the milliseconds per tiny run on so many workers, and for training one alone, here."""
    from dask.distributed import LocalCluster

    tiny = Run(k=1, samples=256, test_samples=128, hidden=16, epochs=1, learning_rate=0.1)
    wanted = repeats([tiny], runs)
    start = time.perf_counter()
    for run in wanted[:20]:
        train(run)
    alone = 1e3 * (time.perf_counter() - start) / 20
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        tempfile.TemporaryDirectory() as folder,
    ):
        address = cluster.scheduler_address
        run_all(repeats([replace(tiny, epochs=2)], 2 * workers), cluster=address)  # imports the library
        start = time.perf_counter()
        run_all(wanted, Path(folder) / "results.csv", cluster=address)
        return 1e3 * (time.perf_counter() - start) / runs, alone


def main(words: list[str]) -> None:
    """Print a row per number of runs, or of workers."""
    if words[:1] == ["--workers"]:
        print("workers   ms a run, 200 tiny runs   ms to train one alone")
        for workers in map(int, words[1:]):
            each, alone = on_a_cluster(workers)
            print(f"{workers:7d} {each:25.1f} {alone:23.1f}", flush=True)
        return
    counts = [int(word) for word in words] or [100, 300, 1_000, 3_000, 10_000]
    runner.train = made_up  # type: ignore[assignment]
    print("runs   ms a run, 1 epoch   ms a run, 20 epochs   largest memory, MB")
    for runs in counts:
        short, long = (milliseconds_a_run(runs, epochs) for epochs in (1, 20))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{runs:6d} {short:15.2f} {long:18.2f} {memory:19.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
