"""Many runs: a results table that is cache and result at once."""

import os
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from ..training import History, Run, train
from ..validation import InputError, shown, whole_number
from .batches import train_batches
from .cluster import train_on_cluster
from .extension import ship, train_shipped
from .kept_table import Writer
from .orphans import tied
from .progress import Progress, cost
from .results import Histories, histories_in, read_histories, rows_of, runs_table, to_table

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
        In any order; duplicates are trained once. The longest are trained first.
    results
        A CSV to read from and to save to, run by run: a kill at any moment loses only the runs in
        flight. Without it, everything is trained and nothing saved. It may hold more seeds of the same
        runs, which are kept. Only one process at a time may write it.
    reuse
        Results files of other experiments, from which runs are copied instead of trained.
    jobs
        Processes of one thread each, at most as many as this machine has cores. They do not change the
        numbers. Runs on a GPU train in one process, in batches of one shape.
    cluster
        The address of a Dask scheduler, such as ``"tcp://localhost:8786"``, whose workers train the runs
        instead of this machine; ``jobs`` is ignored then. The workers need the same ``dfa_lib`` and
        torch, but no shared disk: each finds MNIST by its own ``DFA_DATA_DIR``, or downloads it. If a
        worker dies, its run is trained again on another. On the same hardware the numbers are those of
        this machine, bit for bit.

    Returns
    -------
    pandas.DataFrame
        One row per run and epoch, runs in the order given; columns as in the CSV.

    Raises
    ------
    InputError
        If the CSV is damaged, read-only, being written by another process, or holds runs that differ
        from ``runs`` in more than their seeds; if the cluster cannot be used, or processes are killed;
        if the CSV cannot be written any more: it then stays as it was, and a copy of all results is
        saved among the temporary files.
    """
    histories = run_histories(runs, results, reuse=reuse, jobs=jobs, cluster=cluster)
    return to_table(histories.values())


def run_histories(
    runs: Iterable[Run],
    results: str | os.PathLike[str] | None = None,
    *,
    reuse: Iterable[str | os.PathLike[str]] = (),
    jobs: int = 1,
    cluster: str | None = None,
) -> Histories:
    """Do the work of ``run_all``."""
    runs = list(dict.fromkeys(checked_runs(runs)))
    with Trainer(runs, results, reuse=reuse, jobs=jobs, cluster=cluster) as trainer:
        return trainer.histories(runs)


class Trainer:
    """Trains runs of an experiment, step by step, and keeps its table open meanwhile.

    Parameters are those of ``run_all``. ``runs`` are the experiment's; a ``shared`` table may hold runs
    that differ from them in more than their seeds.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        results: str | os.PathLike[str] | None,
        *,
        reuse: Iterable[str | os.PathLike[str]],
        jobs: int,
        cluster: str | None,
        shared: bool = False,
    ) -> None:
        self._experiment = runs
        self._others = _files(reuse)
        self._read: list[Histories] = []  # of the others, in their order
        self._jobs, self._cluster, self._shared = whole_number("jobs", jobs), cluster, shared
        if cluster is None and jobs > joblib.cpu_count():
            cores = joblib.cpu_count()
            raise InputError(f"jobs must be at most {cores}, the cores of this machine, not {jobs}.")
        self._table = runs_table(results) if results is not None else None
        self._writer: Writer | None = None
        self._contexts = ExitStack()
        self._done = self._saved()

    def __enter__(self) -> "Trainer":
        return self

    def __exit__(self, *problem: Any) -> None:
        self._contexts.__exit__(*problem)
        if self._table is not None and self._writer is None:
            self._table.tidy_up()

    def histories(self, runs: Iterable[Run]) -> Histories:
        """Return the histories of runs; train and save those that are missing."""
        runs = list(runs)
        if self._missing(runs) and self._table is not None and self._writer is None:
            self._writer = self._contexts.enter_context(self._table.writer())
            self._done = self._saved()  # another process may have written it meanwhile
        self._take_over(runs)
        self._train(self._missing(runs))
        return {run: self._done[run] for run in runs}

    def _missing(self, runs: Iterable[Run]) -> list[Run]:
        return [run for run in runs if run not in self._done]

    def _saved(self) -> Histories:
        """Read the runs that have been trained already."""
        if self._table is None:
            return {}
        done = histories_in(self._table)
        asked_for = {replace(run, seed=0) for run in self._experiment}
        others = [run for run in done if replace(run, seed=0) not in asked_for]
        if others and not self._shared:
            raise InputError(
                f"{self._table.path} belongs to another experiment: {len(others)} of its {len(done)} "
                f"runs were not asked for, the first being {others[0].describe()} for "
                f"{others[0].epochs} epochs; name another file, or move this one and its record away."
            )
        return done

    def _take_over(self, runs: Sequence[Run]) -> None:
        """Copy runs from other experiments, whose files are read once, and only if needed."""
        for i, file in enumerate(self._others):
            missing = self._missing(runs)
            if not missing:
                break
            if i == len(self._read):
                self._read.append(read_histories(file))
            taken = {run: self._read[i][run] for run in missing if run in self._read[i]}
            if self._writer is not None and taken:
                self._writer.take(Path(file), rows_of(taken.values()))
            self._done |= taken

    def _train(self, runs: Sequence[Run]) -> None:
        """Train runs, and save each as it finishes."""
        if not runs:
            return
        if self._writer is not None:
            how = self._cluster if self._cluster is not None else f"jobs={min(self._jobs, len(runs))}"
            self._writer.start({run.dataset for run in self._experiment}, how)
        # Longest first: a long run that starts last would run alone at the end.
        runs = sorted(runs, key=cost, reverse=True)
        with (
            Progress(runs) as progress,
            closing(_train_each(runs, self._jobs, self._cluster)) as histories,
        ):
            for history in histories:
                self._done[history.run] = history
                if self._writer is not None:
                    self._writer.append(rows_of([history]))
                progress.finished(history.run)


def checked_runs(runs: Iterable[Run]) -> list[Run]:
    """Return the runs, or raise InputError if something else is among them."""
    runs = _listed(runs)
    for run in runs:
        if not isinstance(run, Run):
            raise InputError(f"runs must be a list of Run(...), and {shown(run)} is none.")
    return runs


def _files(reuse: Any) -> list[str | os.PathLike[str]]:
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
    """Return each run with the seeds 0, 1, …, ``seeds - 1``; ``seeds`` is at most 100,000."""
    seeds = whole_number("seeds", seeds, maximum=MOST_SEEDS)
    return [replace(run, seed=seed) for run in runs for seed in range(seeds)]


def final_epoch(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each run's last epoch."""
    return table[table["epoch"] == table["epochs"]]


def _train_each(runs: Sequence[Run], jobs: int, cluster: str | None) -> Generator[History, None, None]:
    """Start runs in this order, and yield each as it finishes; closing cancels the others."""
    if cluster is not None:
        yield from train_on_cluster(runs, cluster)
        return
    yield from train_batches([run for run in runs if run.device == "cuda"])
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
