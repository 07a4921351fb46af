"""What saving costs a run, from 100 to 10,000 runs in one results file.

The histories are made up, so nothing but bookkeeping takes time:
``python benchmarks/saving.py 100 1000``.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from dfa_lib import Run
from dfa_lib.experiments import repeats, run_all, runner
from dfa_lib.training import METRICS, History


def made_up(run: Run) -> History:
    """Return a history in no time."""
    history = History(run)
    for epoch in range(run.epochs):
        history.append({name: 1 / (3 + epoch + run.seed + i) for i, name in enumerate(METRICS)})
    return history


def milliseconds_a_run(runs: int, epochs: int) -> float:
    """Return what ``run_all`` takes for each of so many runs, all saved in one file."""
    wanted = repeats([Run(method="dfa", learning_rate=0.1, epochs=epochs)], runs)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run_all(wanted, Path(folder) / "results.csv")
        return 1e3 * (time.perf_counter() - start) / runs


def main(counts: list[int]) -> None:
    """Print a row for each number of runs."""
    runner.train = made_up  # type: ignore[assignment]
    print("runs   ms a run, 1 epoch   ms a run, 20 epochs   largest memory, MB")
    for runs in counts:
        short, long = (milliseconds_a_run(runs, epochs) for epochs in (1, 20))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{runs:6d} {short:15.2f} {long:18.2f} {memory:19.0f}", flush=True)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 300, 1_000, 3_000, 10_000])
