"""Tables of runs: one row per run and epoch, with the fields of ``Run`` and the metrics of ``History``.

Names of registered functions are followed by ``@`` and a digest of their code.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..training import METRICS, History, Run
from ..validation import InputError
from .extension import TABLES, full_name, short_name
from .kept_table import (
    FIELDS,
    LOSS,
    NAME,
    REAL,
    SHARE,
    WHOLE,
    WHOLE_OR_NONE,
    Column,
    KeptTable,
    Row,
    as_frame,
    number,
    table_path,
)

Histories = dict[Run, History]


def _registered(field: str) -> Column:
    return Column(
        lambda text: short_name(field, text) or None,
        None,
        lambda name: "" if name is None else full_name(field, name),
    )


def _measured_or_empty(low: float) -> Column:
    """Return the column of a metric that not every method has; its missing values are empty."""
    return Column(
        lambda text: number(text or "nan", low, 1 + 1e-6),
        "float64",
        lambda value: "" if value != value else str(value),
    )


def _bool(text: str) -> bool | str:
    return {"True": True, "False": False}.get(text, text)


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split("x"))


_COSINES = ("weight_alignment", "gradient_alignment", "update_alignment", "step_alignment")
_SPECIAL = {
    **{field: _registered(field) for field in TABLES},
    "hidden": Column(_widths, None, lambda widths: "x".join(map(str, widths))),
    "biases": Column(_bool, None),
    **dict.fromkeys(("learning_rate", "weight_decay"), REAL),
    **dict.fromkeys(("batch_size", "epochs", "passes", "seed", "epoch"), WHOLE),
    **dict.fromkeys(("k", "samples", "test_samples", "dimensions", "labelling"), WHOLE_OR_NONE),
    **dict.fromkeys(("train_loss", "test_loss"), LOSS),
    **dict.fromkeys(("train_accuracy", "test_accuracy"), SHARE),
    **dict.fromkeys(("sign_agreement", "sign_share"), _measured_or_empty(0.0)),
    **dict.fromkeys(_COSINES, _measured_or_empty(-1 - 1e-6)),
}
COLUMNS = {name: _SPECIAL.get(name, NAME) for name in (*FIELDS, "epoch", *METRICS)}
"""The columns of a table of runs."""


def read_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a results CSV.

    Raises
    ------
    InputError
        If the file is missing, truncated, has wrong columns, values that cannot be parsed or rows that
        do not match its record; or if it holds runs of a method, an optimizer or a random matrix that is
        not registered here, or registered with other code.
    """
    return to_table(read_histories(path).values())


def to_table(histories: Iterable[History]) -> pd.DataFrame:
    """Return histories as a table of one row per run and epoch.

    Integers that may be missing have pandas' nullable type; other missing values are nan.
    """
    table = as_frame(rows_of(histories), COLUMNS)
    return table.assign(hidden=[COLUMNS["hidden"].text(widths) for widths in table["hidden"]])


def rows_of(histories: Iterable[History]) -> list[Row]:
    """Return histories as the rows of a table of runs."""
    rows: list[Row] = []
    for history in histories:
        run = history.run
        fields = [run.hidden_widths if name == "hidden" else getattr(run, name) for name in FIELDS]
        metrics = zip(*(getattr(history, name) for name in METRICS), strict=True)
        rows += [(*fields, epoch, *values) for epoch, values in enumerate(metrics, start=1)]
    return rows


def runs_table(path: str | os.PathLike[str]) -> KeptTable:
    """Return the table of runs in a file."""
    remedy = "delete the rows of that run, and it will be trained again"
    return KeptTable(table_path(path), COLUMNS, remedy=remedy, needs_record=False)


def run_digest(history: History) -> str:
    """Return a run's digest in the record of its table."""
    table = KeptTable(Path(), COLUMNS)
    return table.digests(table.text(rows_of([history])))[0]


def read_histories(path: str | os.PathLike[str]) -> Histories:
    """Do the work of ``read_results``."""
    table = runs_table(path)
    if not table.path.exists():
        raise InputError(f"there is no results file {path}.")
    return histories_in(table)


def histories_in(table: KeptTable, *, unknown: bool = False) -> Histories:
    """Return the runs of a table; ``unknown`` accepts rows that do not match its record."""
    runs: dict[Row, tuple[Run, list[Row]]] = {}
    for line, row in enumerate(table.read(unknown=unknown).rows, start=2):
        spec = row[: len(FIELDS)]
        if spec not in runs:
            try:
                runs[spec] = Run(**dict(zip(FIELDS, spec, strict=True))), []
            except ValueError as problem:
                raise InputError(f"{table.path} is damaged: in line {line}, {problem}") from problem
        runs[spec][1].append(row[len(FIELDS) :])
    return {run: _history(table.path, run, rows) for run, rows in runs.values()}


def _history(path: Path, run: Run, rows: Sequence[Row]) -> History:
    if [epoch for epoch, *_ in rows] != list(range(1, run.epochs + 1)):
        raise InputError(
            f"{path} is damaged: of {run.describe()} it has the epochs "
            f"{', '.join(str(epoch) for epoch, *_ in rows)} instead of 1 to {run.epochs}."
        )
    return History(run, *map(list, list(zip(*rows, strict=True))[1:]))
