"""Many runs: a results table that is cache and result at once."""

import os
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from ..training import History, Run, train
from ..validation import InputError, shown, whole_number
from .batches import train_stacked
from .cluster import train_on_cluster
from .extension import ship, train_shipped
from .kept_table import KeptTable, Writer
from .orphans import tied
from .progress import Progress, cost
from .results import (
    COLUMNS,
    Results,
    histories_in,
    read_histories,
    read_results,
    rows_of,
    runs_table,
    to_table,
)

__all__ = [
    "COLUMNS",
    "Results",
    "final_epoch",
    "read_results",
    "repeats",
    "run_all",
    "run_histories",
    "to_table",
]


MOST_SEEDS = 100_000


def run_all(
    runs: Iterable[Run],
    results: str | os.PathLike[str] | None = None,
    *,
    reuse: Iterable[str | os.PathLike[str]] = (),
    jobs: int = 1,
    cluster: str | None = None,
) -> pd.DataFrame:
    """Train every run that is not in ``results`` yet, and return the table of all of them.

    Parameters
    ----------
    runs
        In any order; a run that is given twice is trained once. Long ones are trained first.
    results
        A CSV to read from and to save to, run by run: a kill at any moment loses the runs in flight and
        nothing else. Without it, everything is trained and nothing saved. More seeds of the same runs
        may be in it, and stay there. One process at a time may write it.
    reuse
        Results files of other experiments: a run that is in one of them is taken from there.
    jobs
        Processes of this machine, of one thread each, at most as many as it has cores. The numbers do
        not depend on it. Runs on a GPU train in one process instead, those of one shape as a stack.
    cluster
        The address of a Dask scheduler, such as ``"tcp://localhost:8786"``, whose workers train the runs
        instead of this machine; ``jobs`` has no effect then. The workers need the same ``dfa_lib`` and
        torch as here, and no disk in common: each finds MNIST by its own ``DFA_DATA_DIR``, or downloads
        it. A run whose worker dies is trained again on another. On the same hardware the numbers are
        those of this machine, bit for bit.

    Returns
    -------
    pandas.DataFrame
        One row per run and epoch, runs in the order given; columns as in the CSV.

    Raises
    ------
    InputError
        If the CSV is damaged, read-only, being written by another process, or holds runs that were not
        asked for, whatever their seeds; if the cluster cannot be used, or processes are killed. Also if
        the CSV cannot be written any more: it stays as it was, and a copy of all results is left among
        the temporary files.
    """
    histories = run_histories(runs, results, reuse=reuse, jobs=jobs, cluster=cluster)
    return to_table(list(histories.values()))


def run_histories(
    runs: Iterable[Run],
    results: str | os.PathLike[str] | None = None,
    *,
    reuse: Iterable[str | os.PathLike[str]] = (),
    jobs: int = 1,
    cluster: str | None = None,
    shared: bool = False,
) -> Results:
    """Do the work of ``run_all``; ``shared`` results may hold other experiments' runs too."""
    runs, reuse = list(dict.fromkeys(checked_runs(runs))), checked_files(reuse)
    jobs = whole_number("jobs", jobs)
    if cluster is None and jobs > joblib.cpu_count():
        cores = joblib.cpu_count()
        raise InputError(f"jobs must be at most {cores}, the cores of this machine, not {jobs}.")
    table = runs_table(results) if results is not None else None
    done = _saved(table, runs, shared)
    if any(run not in done for run in runs):
        with table.writer() if table is not None else nullcontext() as writer:
            # Again: another process may have written it until now.
            done = _saved(table, runs, shared)
            _take_over(runs, done, writer, reuse)
            _train_missing(runs, done, writer, jobs, cluster)
    elif table is not None:
        table.tidy_up()
    return {run: done[run] for run in runs}


def checked_runs(runs: Iterable[Run]) -> list[Run]:
    """Return the runs, or raise InputError if something else is among them."""
    runs = _listed(runs)
    for run in runs:
        if not isinstance(run, Run):
            raise InputError(f"runs must be a list of Run(...), and {shown(run)} is none.")
    return runs


def checked_files(reuse: Iterable[str | os.PathLike[str]] | None) -> list[str | os.PathLike[str]]:
    """Return the results files to take runs from: of one, None or a list of them."""
    if reuse is None:
        return []
    return [reuse] if isinstance(reuse, (str, os.PathLike)) else _listed(reuse)


def _listed(values: Any) -> list[Any]:
    try:
        return list(values)
    except TypeError:  # no list, so that what it is is named later
        return [values]


def repeats(runs: Iterable[Run], seeds: int) -> list[Run]:
    """Return each run with the seeds 0, 1, …, ``seeds - 1``, at most 100,000 of them."""
    seeds = whole_number("seeds", seeds, maximum=MOST_SEEDS)
    return [replace(run, seed=seed) for run in runs for seed in range(seeds)]


def final_epoch(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each run's last epoch."""
    return table[table["epoch"] == table["epochs"]]


def _saved(table: KeptTable | None, wanted: Sequence[Run], shared: bool) -> Results:
    """Read what has been trained already."""
    if table is None:
        return {}
    done = histories_in(table)
    asked_for = {replace(run, seed=0) for run in wanted}
    others = [run for run in done if replace(run, seed=0) not in asked_for]
    if others and not shared:
        raise InputError(
            f"{table.path} belongs to another experiment: {len(others)} of its {len(done)} runs were "
            f"not asked for, the first being {others[0].describe()} for {others[0].epochs} epochs; "
            f"name another file, or move this one and its record away."
        )
    return done


def _take_over(
    runs: Sequence[Run],
    done: Results,
    writer: Writer | None,
    reuse: Sequence[str | os.PathLike[str]],
) -> None:
    """Add the runs that other experiments have trained, and save them."""
    for other in reuse:
        if all(run in done for run in runs):
            break
        found = read_histories(other)
        taken = {run: found[run] for run in runs if run in found and run not in done}
        if writer is not None and taken:
            writer.take(Path(other), rows_of(taken.values()))
        done |= taken


def _train_missing(
    runs: Sequence[Run], done: Results, writer: Writer | None, jobs: int, cluster: str | None
) -> None:
    """Add the runs that are not ``done`` to it, and save each as it finishes."""
    # A long run that begins last would keep everybody waiting at the end.
    missing = sorted((run for run in runs if run not in done), key=cost, reverse=True)
    if not missing:
        return
    if writer is not None:
        how = cluster if cluster is not None else f"jobs={min(jobs, len(missing))}"
        writer.start({run.dataset for run in missing}, how)
    with Progress(missing) as progress, closing(_train_each(missing, jobs, cluster)) as histories:
        for history in histories:
            done[history.run] = history
            if writer is not None:
                writer.append(rows_of([history]))
            progress.finished(history.run)


def _train_each(runs: Sequence[Run], jobs: int, cluster: str | None) -> Generator[History, None, None]:
    """Train runs, begun in this order, and give each as it finishes. Closed, it drops the others."""
    if cluster is not None:
        yield from train_on_cluster(runs, cluster)
        return
    yield from train_stacked([run for run in runs if run.device == "cuda"])
    runs = [run for run in runs if run.device != "cuda"]
    if jobs == 1 or len(runs) <= 1:
        for run in runs:
            yield train(run)
    else:
        parallel = joblib.Parallel(
            n_jobs=min(jobs, len(runs)), return_as="generator_unordered", batch_size=1
        )
        try:
            yield from parallel(joblib.delayed(tied(train_shipped))(ship(run)) for run in runs)
        except BrokenProcessPool as problem:
            raise InputError(
                f"one of {jobs} processes was killed, for want of memory perhaps; what had finished is "
                f"kept where results are saved: run again, with fewer jobs, to train the rest."
            ) from problem
