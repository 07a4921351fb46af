"""Tables of results: CSV files, each with a record by which a changed number is noticed.

The rows of a table that agree in the fields of ``Run`` were made together: they are a *unit*, a run
for example. The record beside the table (``sgd.csv`` has ``sgd.json``, see ``provenance``) says what
each unit was computed with, and has a digest of its rows. Rows that do not match it are refused.

A writer appends unit after unit, and names each in a log first (``.sgd.csv.log``). A kill leaves that
log behind; rows at the end of the table that neither log nor record knows are what it interrupted, and
are left out. At the end the rows are put in order, so the file does not depend on which came first.
"""

import hashlib
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import pandas as pd

from ..training import Run
from ..validation import InputError, nearest, shown
from .files import half_written, reason, replace_text
from .provenance import Entry, Record, Session, digests_logged, log_path, record_path

FIELDS = tuple(f.name for f in fields(Run))
Results = str | os.PathLike[str] | None
"""Where a table is kept, or None for nowhere."""


# ---- columns ----


class Column(NamedTuple):
    """What a column holds: how its text is read and written, and its type in pandas (None: any)."""

    parse: Callable[[str], Any]
    dtype: str | None
    text: Callable[[Any], str] = str


def number(text: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a number in a range, or nan, from its text; raise ValueError for anything else."""
    value = float(text) if re.fullmatch(r"-?\d+(\.\d+)?(e[+-]?\d+)?|nan", text, re.ASCII) else math.inf
    if math.isinf(value) or not (math.isnan(value) or low <= value <= high):
        wanted = f"from {low:g} to {high:g}" if low > -math.inf else "that is finite"
        raise ValueError(f"{text!r} is not a number {wanted}")
    return value


def _whole(text: str) -> int:
    if not re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _or_none(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: parse(text) if text else None


def _text_or_empty(value: Any) -> str:
    return "" if value is None else str(value)


TEXT = Column(str, "str")
NAME = Column(_or_none(str), None, _text_or_empty)
"""A text, or None where it does not apply."""
WHOLE = Column(_whole, "int64")
WHOLE_OR_NONE = Column(_or_none(_whole), "Int64", _text_or_empty)
REAL = Column(number, "float64")
"""A finite number, or nan."""
LOSS = Column(partial(number, low=0.0), "float64")
SHARE = Column(partial(number, low=0.0, high=1.0), "float64")
"""An accuracy, for example; nan where a run diverged."""

Columns = Mapping[str, Column]
Row = tuple[Any, ...]


def as_frame(rows: Iterable[Row], columns: Columns) -> pd.DataFrame:
    """Return rows as a table, each column in its type."""
    types = {name: column.dtype for name, column in columns.items() if column.dtype}
    return pd.DataFrame(list(rows), columns=list(columns)).astype(types)


# ---- a table ----


class Content(NamedTuple):
    """The rows of a table, as they stand in the file and as values."""

    lines: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class KeptTable:
    """A table in a CSV file.

    Parameters
    ----------
    path
        Where it is; a link is followed. See ``table_path``.
    columns
        The name of each column, and what it holds.
    whole
        Whether all rows are made at once: then none may be missing, and they stay in their order.
    remedy
        What becomes of rows that are deleted, for messages.
    """

    path: Path
    columns: Columns
    whole: bool = False
    remedy: str = "delete it, and it will be computed again"
    needs_record: bool = True

    def read(self, *, unknown: bool = False) -> Content:
        """Return the rows; none, if there is no file.

        Parameters
        ----------
        unknown
            Whether rows are accepted that the record does not know.

        Raises
        ------
        InputError
            If the file cannot be read, is cut short, has another column or a value that is not one, or
            a number that is not what its record says was saved.
        """
        text, logged = _read_text(self.path)
        if text is None:
            return Content([], [])
        header, *lines = text.removesuffix("\n").replace("\r\n", "\n").split("\n")
        self._check_header(header)
        record = Record.read(self.path)
        known = record.digests()
        units = _units(header, lines)
        while logged and units and _digest(header, lines, units[-1]) not in known:
            lines = lines[: units.pop()[0]]
            # A damaged row is a unit of its own, amid another.
            units = [[i for i in unit if i < len(lines)] for unit in units]
        if logged and self.whole and not digests_logged(self.path) <= {*_digests(header, lines)}:
            lines, units = [], []  # a part of a table that is made as a whole is none
        width = len(self.columns)
        for i, line in enumerate(lines):
            cells = line.count(",") + 1
            last = i == len(lines) - 1 and not text.endswith("\n")
            # Without its last line break, a line is whole only if its unit's digest says so.
            if cells != width or (last and _digest(header, lines, units[-1]) not in known):
                raise self._damaged(f"line {i + 2} has {cells} of {width} values or no end")
        if self.needs_record and not lines and not logged:
            raise self._damaged("it has no rows")
        rows = self._values(lines)
        if not unknown and (record != Record() or self.needs_record):
            changed = [unit for unit in units if _digest(header, lines, unit) not in known]
            for unit in changed[:1]:
                where = f"line {unit[0] + 2}" if len(unit) == 1 else f"lines {unit[0] + 2} and following"
                raise self._damaged(
                    f"{where} ({_few(len(changed))} of {len(units)}) are not what its record "
                    f"{record_path(self.path).name} knows, so a number was changed by other means than "
                    f"computing it; put back what was saved, or"
                )
        if self.whole and record.sessions and record.sessions[-1].get("rows", len(rows)) != len(rows):
            raise self._damaged(f"it has {len(rows)} of {record.sessions[-1]['rows']} rows")
        return Content(lines, rows)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a table; errors as of ``read``."""
        return as_frame(self.read().rows, self.columns)

    def text(self, rows: Iterable[Row]) -> list[str]:
        """Return rows as the lines of the file."""
        writers = [column.text for column in self.columns.values()]
        return [
            ",".join([text(value) for text, value in zip(writers, row, strict=True)]) for row in rows
        ]

    @contextmanager
    def writer(self) -> Iterator["Writer"]:
        """Let no other process write the table while the body runs; put it in order at the end.

        Raises
        ------
        InputError
            If the file, its record or its folder is read-only, or another process is writing the table.
        """
        with sole_writer(self.path):
            writer = Writer(self)
            writer.finish()  # what a kill has left
            if Record.read(self.path) == Record() and self.read().lines:
                raise InputError(
                    f"{self.path} has no record {record_path(self.path).name} beside it, so a changed "
                    f"number in it would not be noticed: put the record back, name another file, or "
                    f"move this one away."
                )
            try:
                yield writer
            except BaseException:
                # Errors are suppressed, because what is appended can be read in any order.
                with suppress(InputError):
                    writer.finish()
                raise
            writer.finish()

    def tidy_up(self) -> None:
        """Put in order what a killed process left, unless another process is at work there."""
        left = [log_path(self.path), _lock_file(self.path), *_halves(self.path)]
        if any(os.path.lexists(path) for path in left):
            with suppress(InputError), self.writer():
                pass

    def _check_header(self, header: str) -> None:
        names, accepted = header.split(","), list(self.columns)
        foreign = [name for name in names if name not in accepted]
        missing = [name for name in accepted if name not in names]
        if foreign:
            raise self._damaged(
                f"it has a column that it should not have, {shown(foreign[0])}"
                f"{nearest(foreign[0], accepted)}; accepted are {', '.join(accepted)}; move it away or"
            )
        if names != accepted:
            problem = f"lacks {', '.join(missing)}" if missing else "names columns twice or out of order"
            raise self._damaged(f"its first line {problem}")

    def _values(self, lines: Sequence[str]) -> list[Row]:
        """Return lines as values; each text of a column is read once."""
        cells = list(zip(*(line.split(",") for line in lines), strict=True))
        values = []
        for (name, column), texts in zip(self.columns.items(), cells, strict=bool(lines)):
            found: dict[str, Any] = {}
            for i, text in enumerate(texts):
                if text not in found:
                    try:
                        found[text] = column.parse(text)
                    except InputError as problem:
                        raise InputError(f"{self.path} holds {problem}.") from problem
                    except ValueError as problem:
                        raise self._damaged(f"in line {i + 2}, {name}: {problem}") from problem
            values.append([found[text] for text in texts])
        return list(zip(*values, strict=True))

    def _damaged(self, wrong: str) -> InputError:
        joint = " " if wrong.endswith(" or") else "; "
        return InputError(f"{self.path} is damaged: {wrong}{joint}{self.remedy}.")


class Writer:
    """What ``KeptTable.writer`` yields: adds units to a table, each of which is kept when it returns."""

    def __init__(self, table: KeptTable) -> None:
        self._table = table
        self._session: Session | None = None
        self._added: list[str] = []

    def start(self, datasets: Iterable[str], how: str) -> None:
        """Say what the next units are computed from, and by how many processes.

        Raises
        ------
        InputError
            If the record is damaged, or the log cannot be written.
        """
        path = self._table.path
        try:
            self._session = Session(path, datasets, how)
        except OSError as problem:
            raise InputError(
                f"{path} cannot be written ({reason(problem)}); nothing was computed or changed."
            ) from problem

    def append(self, rows: Iterable[Row], runs: int = 1) -> None:
        """Add a unit or several; they are on the disk when this returns.

        Raises
        ------
        InputError
            If they cannot be written. The file stays as it was, and a copy of the table with these rows
            is left in the folder for temporary files, if that is possible.
        """
        path, lines = self._table.path, self._table.text(rows)
        header = ",".join(self._table.columns)
        try:
            if self._session is not None:
                self._session.count(_digests(header, lines), runs)
            _append(path, header, lines)
            self._added += lines
        except OSError as problem:
            raise InputError(
                f"{path} could not be written ({reason(problem)}) and is as it was before; "
                f"{self._rescue(header, lines)}."
            ) from problem

    def take(self, other: Path, rows: Iterable[Row]) -> None:
        """Add units of another table, and what its record says of them."""
        rows, path = list(rows), self._table.path
        record = Record.read(path)
        record.take_over(other, _digests(",".join(self._table.columns), self._table.text(rows)))
        record.write(path)
        log_path(path).unlink(missing_ok=True)
        log_path(path).touch(exist_ok=False)
        self.append(rows, 0)

    def finish(self) -> None:
        """Put the rows in order, and close the record; nothing is left beside the two."""
        path, session = self._table.path, None
        if self._session is not None:
            session, self._session = self._session.close(), None
        try:
            if session is not None:
                self._put_back(session)
            logged = os.path.lexists(log_path(path))
            if path.exists() and (logged or not path.read_bytes().endswith(b"\n")):
                lines, rows = self._table.read()
                if logged:
                    Record.read(path).write(path, rows=len(rows))
                order = range(len(rows)) if self._table.whole else self._order(rows)
                header = ",".join(self._table.columns)
                replace_text(path, "\n".join([header, *(lines[i] for i in order), ""]))
            for left in (log_path(path), *_halves(path)):
                left.unlink(missing_ok=True)
        except OSError as problem:
            raise InputError(
                f"{path} has all that is finished, but its rows could not be put in order "
                f"({reason(problem)}): run again, to read them or to go on."
            ) from problem

    def _put_back(self, session: Entry) -> None:
        """Restore what others have removed since, by ``git stash`` or ``git clean`` for example."""
        path, header = self._table.path, ",".join(self._table.columns)
        record, there = Record.read(path), set(self._table.read(unknown=True).lines)
        record.extend(session)
        lost = [line for line in self._added if line not in there]
        if lost or not log_path(path).exists():
            record.write(path)
            log_path(path).touch()
            _append(path, header, lost)

    def _order(self, rows: Sequence[Row]) -> list[int]:
        """Return the places of the rows sorted by the fields of ``Run``, None first."""
        where = [i for i, name in enumerate(self._table.columns) if name in FIELDS]
        keys: dict[Row, Row] = {}
        for row in rows:
            fields = tuple(row[i] for i in where)
            if fields not in keys:
                keys[fields] = tuple((value is not None, value) for value in fields)
        sorted_by = [keys[tuple(row[i] for i in where)] for row in rows]
        return sorted(range(len(rows)), key=sorted_by.__getitem__)

    def _rescue(self, header: str, lines: Sequence[str]) -> str:
        """Write a copy where there may still be room. Return what became of it, and what to do."""
        path = self._table.path
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{path.stem}-"))
            copy, saved = folder / path.name, self._table.read().lines
            replace_text(copy, "\n".join([header, *saved, *lines, ""]))
            Record.read(path).write(copy, rows=len(saved) + len(lines))
        except OSError as problem:
            with suppress(OSError, UnboundLocalError):
                for left in folder.iterdir():
                    left.unlink()
                folder.rmdir()
            return (
                f"a copy among the temporary files failed too ({reason(problem)}), so that what has "
                f"been computed since is lost: make room, and run again"
            )
        return (
            f"all that is finished is in {folder}: make room, move {copy.name} and "
            f"{record_path(copy).name} from there to {path.parent}, and run again to compute only what "
            f"is missing"
        )


def kept_table(
    results: Results,
    columns: Columns,
    same: Mapping[str, str],
    make: Callable[[list[Row]], Iterable[tuple[list[Row], int]]],
    *,
    key: Sequence[str] = (),
    wanted: Iterable[Row] = ((),),
    datasets: Iterable[str],
    jobs: int = 1,
) -> pd.DataFrame:
    """Return the wanted rows of a table, after computing and saving those that are missing.

    Parameters
    ----------
    results
        The CSV file. Without it, everything is computed and nothing saved.
    same
        What every row has in the first columns, by their names: which experiment, or dataset, it is.
    make
        Given the missing keys, yields rows without the columns of ``same``, which are saved at once, and
        how many runs were trained for them.
    key, wanted
        The columns that tell what rows belong together, and their wanted values. Without them, the table
        is made as a whole.

    Raises
    ------
    InputError
        If the file is damaged, another experiment's, or cannot be written.
    """
    table = None
    if results is not None:
        table = KeptTable(table_path(results), columns, whole=not key)
    wanted, places = list(wanted), [list(columns).index(name) for name in key]
    rows: list[Row] = []

    def missing() -> list[Row]:
        nonlocal rows
        if table is not None:
            rows = table.read().rows
            for place, (name, value) in enumerate(same.items()):  # the first columns
                other = next((row[place] for row in rows if row[place] != value), None)
                if other is not None:
                    raise InputError(
                        f"{table.path} belongs to another experiment: its {name} is {other!r} and not "
                        f"{value!r}; name another file, or move this one and its record away."
                    )
        present = {tuple(row[i] for i in places) for row in rows}
        return [each for each in wanted if each not in present]

    new = missing()
    if new and table is None:
        rows = [(*same.values(), *row) for made, _ in make(new) for row in made]
    elif new and table is not None:
        with table.writer() as writer:
            new = missing()  # again: another process may have written it until now
            if new:
                writer.start(datasets, f"jobs={jobs}")
                for made, runs in make(new):
                    writer.append([(*same.values(), *row) for row in made], runs)
        rows = table.read().rows
    elif table is not None:
        table.tidy_up()
    by_key: dict[Row, list[Row]] = {}
    for row in rows:
        by_key.setdefault(tuple(row[i] for i in places), []).append(row)
    return as_frame((row for each in wanted for row in by_key.get(each, [])), columns)


# ---- units ----


def digests(text: str) -> dict[str, dict[str, str]]:
    """Return a digest of each unit in the text of a CSV, and the fields of ``Run`` that it has."""
    header, *lines = text.splitlines() or [""]
    names = header.split(",")
    found = {}
    for unit in _units(header, lines):
        cells = zip(names, lines[unit[0]].split(","), strict=False)
        found[_digest(header, lines, unit)] = {n: value for n, value in cells if n in FIELDS}
    return found


_cached_digests = cache(digests)  # each figure that is drawn from a table asks for its units


def units_in(path: Path) -> dict[str, dict[str, str]]:
    """Return the ``digests`` of a table, without what a kill has left of an unfinished unit.

    Whether its values are accepted is not looked at.
    """
    text, logged = _read_text(path)
    found = dict(_cached_digests(text or ""))
    known = Record.read(path).digests() if logged else set()
    while logged and found and next(reversed(found)) not in known:
        found.popitem()
    return found


def _digests(header: str, lines: Sequence[str]) -> list[str]:
    return [_digest(header, lines, unit) for unit in _units(header, lines)]


def _units(header: str, lines: Sequence[str]) -> list[list[int]]:
    """Return the places of each unit's lines, in the order of their first."""
    where = [i for i, name in enumerate(header.split(",")) if name in FIELDS]
    units: dict[tuple[str, ...], list[int]] = {}
    for place, line in enumerate(lines):
        cells = line.split(",")
        units.setdefault(tuple(cells[i] for i in where if i < len(cells)), []).append(place)
    return list(units.values())


def _digest(header: str, lines: Sequence[str], unit: Sequence[int]) -> str:
    text = "\n".join([header, *(lines[i] for i in unit)])
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:12]


def _few(count: int) -> str:
    return "one unit of rows" if count == 1 else f"{count} units of rows"


# ---- files ----


def table_path(results: str | os.PathLike[str]) -> Path:
    """Return the file of a table. A link is followed: the file that it leads to is the table.

    Raises
    ------
    InputError
        If it is no path, or would have the name of its own record.
    """
    if not isinstance(results, (str, os.PathLike)) or isinstance(os.fspath(results), bytes):
        raise InputError(f"results must be the path of a CSV file, not {shown(results)}.")
    try:
        path = Path(os.path.realpath(results))
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as problem:
        raise InputError(f"{results} cannot be read or written ({reason(problem)}).") from problem
    except ValueError as problem:  # a name that no file can have
        raise InputError(f"results cannot be {shown(results)} ({problem}).") from problem
    if record_path(path) == path:
        raise InputError(
            f"results cannot be {results}, which is the name of a record: name a CSV file, such as "
            f"{path.stem}.csv."
        )
    for place in (path, record_path(path)):
        if place.exists() and not place.is_file():  # a pipe would be waited for, a device never ends
            raise InputError(f"{place} cannot be read or written (it is no regular file).")
    return path


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Let no other process write ``path`` while the body runs.

    Raises
    ------
    InputError
        If the file, its record or its folder is read-only, or another process is writing the file.
    """
    _check_writable(path)
    lock = filelock.FileLock(_lock_file(path), blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _lock_file(path)
        if os.path.lexists(held) and (held.is_symlink() or held.stat().st_nlink > 1):
            held.unlink()  # whoever takes the lock empties that file
        lock.acquire()
    except filelock.Timeout as problem:
        raise InputError(
            f"{path} is being written by another process; nothing was trained or changed here: wait "
            f"until that process has finished, or name another file."
        ) from problem
    except OSError as problem:
        raise InputError(
            f"{path} cannot be written ({reason(problem)}); nothing was trained: name another file."
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


def _halves(path: Path) -> list[Path]:
    return [half_written(path), half_written(record_path(path))]


def _check_writable(path: Path) -> None:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    for place in (path, record_path(path), folder):
        # The permissions as well, because root may write where nobody is meant to.
        if place.exists() and not (os.access(place, os.W_OK) and place.stat().st_mode & 0o222):
            raise InputError(
                f"{place} is read-only, so results could not be saved to {path}; nothing was trained: "
                f"make it writable, or name another file."
            )


def _append(path: Path, header: str, lines: Sequence[str]) -> None:
    """Add lines to a file, or write it with these. It is left as it was if that fails."""
    if not path.exists():
        replace_text(path, "\n".join([header, *lines, ""]))
        return
    size = path.stat().st_size
    try:
        with path.open("a", newline="", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.truncate(path, size)
        raise


def _read_text(path: Path) -> tuple[str | None, bool]:
    """Return the text of a table, None if there is none, and whether a log is beside it.

    If the file changes meanwhile, it is read again: another process may be putting it in order.
    """
    for _ in range(100):
        try:
            before = path.stat()
            text = path.read_text(encoding="utf-8")
            logged, after = log_path(path).exists(), path.stat()
        except FileNotFoundError:
            return None, False
        except OSError as problem:
            raise InputError(f"{path} cannot be read ({reason(problem)}).") from problem
        except UnicodeDecodeError as problem:
            raise InputError(f"{path} is damaged: it is not text.") from problem
        if (before.st_mtime_ns, before.st_size, before.st_ino) == (
            *(after.st_mtime_ns, after.st_size),
            after.st_ino,
        ):
            break
    return text, logged
