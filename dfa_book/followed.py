"""Tables of runs that are followed while they train: a run in a process of its own, kept in a CSV."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from dfa_lib.experiments.kept_table import Columns, Row, TablePath, kept_table
from dfa_lib.experiments.orphans import tied


def experiment(*plan: object) -> dict[str, str]:
    """Return the first column of a table: a digest of what its runs share."""
    shared = repr(plan[0] if len(plan) == 1 else plan)
    return {"experiment": hashlib.sha256(shared.encode()).hexdigest()[:16]}


def followed_table(
    follow: Callable[..., list[Row]],
    arguments: Mapping[Row, Sequence[Any]],
    columns: Columns,
    same: Mapping[str, str],
    key: Sequence[str],
    *,
    runs: Callable[..., int] = lambda *_: 1,
    datasets: Sequence[str],
    results: TablePath = None,
    jobs: int = 1,
) -> pd.DataFrame:
    """Call ``follow`` for each key that the table lacks; return the table.

    ``arguments`` are those of ``follow`` by key. It returns rows without ``same`` and the key; ``runs``
    counts the runs that it trains. The rest is as for ``kept_table``.
    """

    def make(missing: list[Row]) -> Iterator[tuple[list[Row], int]]:
        parallel = Parallel(n_jobs=min(jobs, len(missing)), return_as="generator", batch_size=1)
        followed = parallel(delayed(tied(follow))(*arguments[one]) for one in missing)
        for one, rows in zip(missing, followed, strict=True):
            yield [(*one, *row) for row in rows], runs(*arguments[one])

    return kept_table(
        results, columns, same, make, key=key, wanted=list(arguments), datasets=datasets, jobs=jobs
    )
