"""Tables of runs that are followed while they train, each in a process that takes one thread."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from joblib import Parallel, delayed

from dfa_lib.experiments.kept_table import Columns, Row, TablePath, kept_table, plan_digest
from dfa_lib.experiments.orphans import tied
from dfa_lib.training import Run


def followed_table(
    results: TablePath, columns: Columns, key: Sequence[str], follow: Callable[..., list[Row]],
    arguments: Mapping[Row, Sequence[Any]], shared: Run, *, jobs: int, count: bool = False, **same: str,
) -> pd.DataFrame:  # fmt: skip
    """Call ``follow`` for each key that a table lacks, and return the table.

    ``arguments`` are those of ``follow`` by key; with ``count``, it trains a run for each item of the
    last one. It returns rows without the first columns, ``experiment``, those of ``same``, and ``key``.
    ``shared`` is what all runs have in common.
    """

    def make(missing: list[Row]) -> Iterator[tuple[list[Row], int]]:
        parallel = Parallel(n_jobs=min(jobs, len(missing)), return_as="generator", batch_size=1)
        followed = parallel(delayed(tied(follow))(*arguments[one]) for one in missing)
        for one, rows in zip(missing, followed, strict=True):
            yield [(*one, *row) for row in rows], len(arguments[one][-1]) if count else 1

    first = {"experiment": plan_digest(repr(shared))} | same
    record: dict[str, Any] = {"datasets": [shared.dataset], "jobs": jobs}
    return kept_table(results, columns, first, make, key=key, wanted=list(arguments), **record)
