"""Many runs: a results table that is cache and result at once.

A results file is tidy: one row per run and epoch, with the fields of ``Run`` and the metrics of
``History`` as columns. Numbers are written so that they are read back exactly.
"""

import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from .training import METRICS, History, Run, train
from .validation import InputError, nearest, whole_number

FIELDS = tuple(f.name for f in fields(Run))
COLUMNS = (*FIELDS, "epoch", *METRICS)

_WHOLE = ("k", "samples", "test_samples", "dimensions", "labelling", "batch_size", "epochs", "seed")
_REAL = ("learning_rate", "weight_decay")

Results = dict[Run, History]


def run_all(
    runs: Iterable[Run], results: str | os.PathLike[str] | None = None, *, jobs: int = 1
) -> pd.DataFrame:
    """Train every run that is not in ``results`` yet, and return the table of all of them.

    Parameters
    ----------
    runs
        In any order; a run that is given twice is trained once.
    results
        A CSV to read from and to save to, run by run: a kill at any moment loses the runs in flight and
        nothing else. Without it, everything is trained and nothing saved. More seeds of the same runs
        may be in it, and stay there.
    jobs
        Processes, of one thread each. The numbers do not depend on it.

    Returns
    -------
    pandas.DataFrame
        One row per run and epoch, runs in the order given; columns as in the CSV.

    Raises
    ------
    InputError
        If the CSV is damaged, or holds runs that were not asked for, whatever their seeds.
    """
    wanted = list(dict.fromkeys(runs))
    return to_table(list(run_histories(wanted, results, jobs=jobs).values()))


def run_histories(
    runs: Sequence[Run],
    results: str | os.PathLike[str] | None = None,
    *,
    jobs: int = 1,
    shared: bool = False,
) -> Results:
    """Do the work of ``run_all``; ``shared`` results may hold other experiments' runs too."""
    jobs = whole_number("jobs", jobs)
    path = Path(results) if results is not None else None
    done: Results = _read(path) if path is not None and path.exists() else {}
    if path is not None and not shared:
        _refuse_other_runs(path, done, runs)
    missing = [run for run in runs if run not in done]
    with tqdm(total=len(missing), unit="run", disable=None if missing else True) as bar:
        for history in _train_each(missing, jobs):
            done[history.run] = history
            if path is not None:
                _write(path, done)
            bar.update()
    return {run: done[run] for run in runs}


def repeats(runs: Iterable[Run], seeds: int) -> list[Run]:
    """Return each run with the seeds 0, 1, …, ``seeds - 1``."""
    return [replace(run, seed=seed) for run in runs for seed in range(whole_number("seeds", seeds))]


def final_epoch(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each run's last epoch."""
    return table[table["epoch"] == table["epochs"]]


def read_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a results CSV.

    Raises
    ------
    InputError
        If the file is missing, truncated, has a column too many or too few, or a value that is not one.
    """
    return to_table(list(_read(Path(path)).values()))


def to_table(histories: Sequence[History]) -> pd.DataFrame:
    """Return histories as a table of one row per run and epoch.

    Whole numbers that may be missing have pandas' nullable type; other missing values are nan.
    """
    rows = [row for history in histories for row in _rows(history)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(dict.fromkeys(_WHOLE, "Int64") | {"epoch": "int64"})


def _train_each(runs: Sequence[Run], jobs: int) -> Iterable[History]:
    if jobs == 1 or len(runs) <= 1:
        return (train(run) for run in runs)
    parallel = Parallel(n_jobs=min(jobs, len(runs)), return_as="generator_unordered", batch_size=1)
    histories: Iterable[History] = parallel(delayed(train)(run) for run in runs)
    return histories


def _rows(history: History) -> Iterable[dict[str, Any]]:
    spec = asdict(history.run) | {"hidden": _hidden_text(history.run)}
    for epoch in range(history.run.epochs):
        yield spec | {"epoch": epoch + 1} | {m: getattr(history, m)[epoch] for m in METRICS}


def _hidden_text(run: Run) -> str:
    return "x".join(map(str, run.hidden_widths))


def _refuse_other_runs(path: Path, done: Results, wanted: Sequence[Run]) -> None:
    asked_for = {replace(run, seed=0) for run in wanted}
    others = [run for run in done if replace(run, seed=0) not in asked_for]
    if others:
        raise InputError(
            f"{path} belongs to another experiment: {len(others)} of its {len(done)} runs were not "
            f"asked for, the first being {others[0].describe()} for {others[0].epochs} epochs; "
            f"name another file, or move this one away."
        )


# ---- the CSV ----


def _order(run: Run) -> tuple[tuple[bool, Any], ...]:
    """Rows are sorted by the fields, so that the file does not depend on the order of training."""
    values = [run.hidden_widths if name == "hidden" else getattr(run, name) for name in FIELDS]
    return tuple((value is not None, value) for value in values)


def _write(path: Path, results: Results) -> None:
    """Replace the file in one step, so that no reader and no kill ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for history in sorted(results.values(), key=lambda history: _order(history.run)):
                for row in _rows(history):
                    writer.writerow({name: _text(name, value) for name, value in row.items()})
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _text(name: str, value: Any) -> str:
    """A metric that was not measured is left empty; one that a diverged run lost is ``nan``."""
    if name in METRICS and math.isnan(value):
        return "nan" if _always_measured(name) else ""
    return "" if value is None else str(value)


def _always_measured(metric: str) -> bool:
    return metric.endswith(("loss", "accuracy"))


def _read(path: Path) -> Results:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        raise InputError(f"there is no results file {path}.") from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{path} is not a results file: it is not text.") from problem
    lines = list(csv.reader(io.StringIO(text)))
    header = lines[0] if lines else []
    _check_header(path, header)
    rows: dict[Run, list[tuple[str, dict[str, float]]]] = {}
    for number, line in enumerate(lines[1:], start=2):
        last = number == len(lines)
        if len(line) != len(COLUMNS) or (last and not text.endswith("\n")):
            raise InputError(
                f"{path} is damaged: line {number} has {len(line)} of {len(COLUMNS)} values or no end; "
                f"delete that line, and the rest of its run, and the run will be trained again."
            )
        try:
            values = dict(zip(header, line, strict=True))
            run = Run(**{name: _value(name, values[name]) for name in FIELDS})
            metrics = {name: _metric(name, values[name]) for name in METRICS}
            rows.setdefault(run, []).append((values["epoch"], metrics))
        except ValueError as problem:
            raise InputError(f"{path} is damaged: in line {number}, {problem}") from problem
    return {run: _history(path, run, epochs) for run, epochs in rows.items()}


def _check_header(path: Path, header: Sequence[str]) -> None:
    foreign = [name for name in header if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in header]
    if foreign:
        raise InputError(
            f"{path} has a column that results do not have: {foreign[0]!r}"
            f"{nearest(foreign[0], COLUMNS)}; accepted are {', '.join(COLUMNS)}."
        )
    if missing or len(header) != len(COLUMNS):
        problem = f"lacks {', '.join(missing)}" if missing else "names a column twice"
        raise InputError(f"{path} is not a complete results file: its first line {problem}.")


def _value(name: str, text: str) -> Any:
    if text == "":
        return None
    if name in _WHOLE:
        return int(text)
    if name in _REAL:
        return float(text)
    if name == "hidden":
        return tuple(int(width) for width in text.split("x"))
    if name == "biases":
        return {"True": True, "False": False}.get(text, text)
    return text


def _metric(name: str, text: str) -> float:
    """Only what was not measured may be empty, and losses and accuracies always are measured."""
    if text == "" and _always_measured(name):
        raise InputError(f"{name} must be a number or nan, not empty.")
    return float(text or "nan")


def _history(path: Path, run: Run, epochs: Sequence[tuple[str, dict[str, float]]]) -> History:
    if [epoch for epoch, _ in epochs] != [str(epoch) for epoch in range(1, run.epochs + 1)]:
        raise InputError(
            f"{path} is damaged: of {run.describe()} it has the epochs "
            f"{', '.join(epoch for epoch, _ in epochs)} instead of 1 to {run.epochs}."
        )
    history = History(run)
    for _, metrics in epochs:
        history.append(metrics)
    return history
