"""Results files: a CSV that is read back exactly, and written by one process at a time.

It is tidy: one row per run and epoch, with the fields of ``Run`` and the metrics of ``History`` as
columns, sorted by the fields, so that it does not depend on the order of training. What a reader has
registered has its name followed by ``@`` and a digest of its code.
"""

import csv
import hashlib
import io
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import filelock
import pandas as pd

from ..training import METRICS, History, Run
from ..validation import InputError, nearest
from .extension import TABLES, full_name, short_name
from .files import half_written, replace_text, write_text
from .provenance import record_path

FIELDS = tuple(f.name for f in fields(Run))
COLUMNS = (*FIELDS, "epoch", *METRICS)

_WHOLE = (
    *("k", "samples", "test_samples", "dimensions", "labelling"),
    *("batch_size", "epochs", "passes", "seed"),
)
_REAL = ("learning_rate", "weight_decay")

Results = dict[Run, History]


def read_results(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a results CSV.

    Raises
    ------
    InputError
        If the file is missing, truncated, has a column too many or too few, or a value that is not one;
        or if it holds runs of a method, an optimizer or a random matrix that is not registered here, or
        not with the code that they were trained with.
    """
    return to_table(list(read_histories(Path(path)).values()))


def to_table(histories: Sequence[History]) -> pd.DataFrame:
    """Return histories as a table of one row per run and epoch.

    Whole numbers that may be missing have pandas' nullable type; other missing values are nan.
    """
    rows = [(*_spec(history.run), *epoch) for history in histories for epoch in _epochs(history)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype(dict.fromkeys(_WHOLE, "Int64") | {"epoch": "int64"})


def _spec(run: Run) -> list[Any]:
    return [
        "x".join(map(str, run.hidden_widths)) if name == "hidden" else getattr(run, name)
        for name in FIELDS
    ]


def _epochs(history: History) -> Iterable[tuple[float, ...]]:
    """Return, for each epoch, its number and its metrics."""
    return zip(range(1, history.run.epochs + 1), *(getattr(history, m) for m in METRICS), strict=True)


# ---- writing ----


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Let no other process write ``path`` while the body runs.

    Raises
    ------
    InputError
        If the file or its folder is read-only, or another process is writing the file.
    """
    _check_writable(path)
    lock = filelock.FileLock(_lock_file(path), blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as problem:
        raise InputError(
            f"{path} is being written by another process; nothing was trained or changed here: wait "
            f"until that process has finished, or name another file."
        ) from problem
    except OSError as problem:
        raise InputError(
            f"{path} cannot be written ({_reason(problem)}); nothing was trained: name another file."
        ) from problem
    try:
        yield
    finally:
        # While the lock is still held: whoever is waiting for this very file then finds that it has no
        # name any more, and starts over with a new one. Windows removes it by itself.
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()


def _lock_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def tidy_up(path: Path) -> None:
    """Remove what a killed process left beside ``path``, unless another process is at work there."""
    lock = _lock_file(path)
    halves = [half_written(path), half_written(record_path(path))]
    if lock.exists() or any(half.exists() for half in halves):
        with suppress(InputError), sole_writer(path):
            for half in halves:
                half.unlink(missing_ok=True)


def _check_writable(path: Path) -> None:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    for place in (path, folder):
        # The permissions as well, because root may write where nobody is meant to.
        if place.exists() and not (os.access(place, os.W_OK) and place.stat().st_mode & 0o222):
            raise InputError(
                f"{place} is read-only, so results could not be saved to {path}; nothing was trained: "
                f"make it writable, or name another file."
            )


def save(path: Path, results: Results) -> None:
    """Replace the file in one step, so that no reader and no kill ever sees half of it.

    Raises
    ------
    InputError
        If it cannot be written. The file stays as it is, and a copy of ``results`` is left in the folder
        for temporary files, if that is possible.
    """
    text = _as_csv(results)
    try:
        replace_text(path, text)
    except OSError as problem:
        raise InputError(
            f"{path} could not be written ({_reason(problem)}) and is as it was before; "
            f"{_rescue(path, text, len(results))}."
        ) from problem


def _as_csv(results: Results) -> str:
    lines = [",".join(COLUMNS)]
    for history in sorted(results.values(), key=lambda history: _order(history.run)):
        # Once a run, not once a row: files are written anew after each run. No value has a comma in it.
        spec = ",".join(map(_text, FIELDS, _spec(history.run)))
        lines += [
            ",".join([spec, str(epoch), *map(_text, METRICS, metrics)])
            for epoch, *metrics in _epochs(history)
        ]
    return "\n".join([*lines, ""])


def digest(history: History) -> str:
    """Return the digest that ``digests`` gives to a run once it is saved."""
    return next(iter(digests(_as_csv({history.run: history}))))


def digests(text: str) -> dict[str, dict[str, str]]:
    """Return a digest of the rows of each run in the text of a CSV, and the fields that it has there.

    In a table of another kind, rows that agree in the fields of ``Run`` that it has, the seed for
    example, count as those of a run.
    """
    lines = text.splitlines()
    header = lines[0].split(",") if lines else []
    runs: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for line in lines[1:]:
        row = zip(header, line.split(","), strict=False)  # whether it is damaged, others say
        run = tuple((name, value) for name, value in row if name in FIELDS)
        runs.setdefault(run, lines[:1]).append(line)
    return {
        hashlib.sha256("\n".join(rows).encode()).hexdigest()[:12]: dict(run)
        for run, rows in runs.items()
    }


def _rescue(path: Path, text: str, runs: int) -> str:
    """Write a copy where there may still be room. Return what became of it, and what to do."""
    copy = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f"{path.stem}-", suffix=".csv")
        os.close(descriptor)
        copy = Path(name)
        write_text(copy, text)
    except OSError as problem:
        if copy is not None:
            copy.unlink(missing_ok=True)
        return (
            f"a copy among the temporary files failed too ({_reason(problem)}), so that runs which have "
            f"finished since are lost: make room, and run again"
        )
    return (
        f"all {runs} finished runs are in {copy}: make room, move that file to {path}, and run "
        f"again to train only what is missing"
    )


def _reason(problem: OSError) -> str:
    return problem.strerror or str(problem)


def _order(run: Run) -> tuple[tuple[bool, Any], ...]:
    """Rows are sorted by the fields, so that the file does not depend on the order of training."""
    values = [run.hidden_widths if name == "hidden" else getattr(run, name) for name in FIELDS]
    return tuple((value is not None, value) for value in values)


def _text(name: str, value: Any) -> str:
    """A metric that was not measured is left empty; one that a diverged run lost is ``nan``."""
    if name in METRICS and math.isnan(value):
        return "nan" if _always_measured(name) else ""
    return "" if value is None else full_name(name, str(value))


def _always_measured(metric: str) -> bool:
    return metric.endswith(("loss", "accuracy"))


# ---- reading ----


def read_histories(path: Path) -> Results:
    """Do the work of ``read_results``."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        raise InputError(f"there is no results file {path}.") from problem
    except OSError as problem:
        raise InputError(f"{path} cannot be read ({_reason(problem)}).") from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{path} is not a results file: it is not text.") from problem
    lines = list(csv.reader(io.StringIO(text)))
    header = lines[0] if lines else []
    _check_header(path, header)
    rows: dict[Run, list[tuple[str, dict[str, float]]]] = {}
    runs: dict[tuple[str, ...], Run] = {}  # by their text: making one of each row would take long
    for number, line in enumerate(lines[1:], start=2):
        last = number == len(lines)
        if len(line) != len(COLUMNS) or (last and not text.endswith("\n")):
            raise InputError(
                f"{path} is damaged: line {number} has {len(line)} of {len(COLUMNS)} values or no end; "
                f"delete that line, and the rest of its run, and the run will be trained again."
            )
        values = dict(zip(header, line, strict=True))
        values |= {name: _registered(path, name, values[name]) for name in TABLES}
        spec = tuple(values[name] for name in FIELDS)
        try:
            if spec not in runs:
                runs[spec] = Run(**{name: _value(name, values[name]) for name in FIELDS})
            metrics = {name: _metric(name, values[name]) for name in METRICS}
            rows.setdefault(runs[spec], []).append((values["epoch"], metrics))
        except ValueError as problem:
            raise InputError(f"{path} is damaged: in line {number}, {problem}") from problem
    return {run: _history(path, run, epochs) for run, epochs in rows.items()}


def has_registered(path: Path) -> bool:
    """Return whether a results file has runs that need something registered before it can be read."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return any("@" in (row[name] or "") for row in csv.DictReader(file) for name in TABLES)


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


def _registered(path: Path, name: str, text: str) -> str:
    try:
        return short_name(name, text)
    except InputError as problem:
        raise InputError(f"{path} holds {problem}.") from problem


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
