"""Tables of results: CSV files, each with a record that reveals changed numbers.

Rows that agree in the fields of ``Run`` were computed together and form a *unit*, for example a run. The
record beside the table (``sgd.json`` beside ``sgd.csv``, see ``provenance``) has the provenance and a
digest of each unit. Rows that do not match their digest are refused.

A writer appends unit by unit, after logging each unit's digest (``.sgd.csv.log``). A killed process
leaves the log behind; rows at the end of the table that are neither in the log nor in the record were
being written, and are dropped. At the end the rows are sorted: their order does not depend on timing.
"""

import hashlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
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
TablePath = str | os.PathLike[str] | None
"""Where a table is kept, or None for nowhere."""


# ---- columns ----


class Column(NamedTuple):
    """How a column's text is parsed and written, and its type in pandas (None: any)."""

    parse: Callable[[str], Any]
    dtype: str | None
    text: Callable[[Any], str] = str


def number(text: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Parse a number in a range, or nan; raise ValueError for anything else."""
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
"""A text, or None where the field does not apply."""
WHOLE = Column(_whole, "int64")
WHOLE_OR_NONE = Column(_or_none(_whole), "Int64", _text_or_empty)
REAL = Column(number, "float64")
"""A finite number, or nan."""
LOSS = Column(partial(number, low=0.0), "float64")
SHARE = Column(partial(number, low=0.0, high=1.0), "float64")
"""For example an accuracy; nan where a run diverged."""

Columns = Mapping[str, Column]
Row = tuple[Any, ...]


def as_frame(rows: Iterable[Row], columns: Columns) -> pd.DataFrame:
    """Return rows as a data frame with the columns' types."""
    types = {name: column.dtype for name, column in columns.items() if column.dtype}
    return pd.DataFrame(list(rows), columns=list(columns)).astype(types)


# ---- a table ----


class Content(NamedTuple):
    """The rows of a table, as lines of the file and as values."""

    lines: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class KeptTable:
    """A table in a CSV file, at a path from ``table_path``.

    The rows of a ``whole`` table are computed at once: none may be missing, and their order is kept.
    ``remedy`` says in messages what to do about damage. A table that ``needs_record`` is refused
    without one.
    """

    path: Path
    columns: Columns
    whole: bool = False
    remedy: str = "delete it, and it will be computed again"
    needs_record: bool = True

    def read(self, *, unknown: bool = False) -> Content:
        """Return the rows; none if there is no file.

        ``InputError`` if the file cannot be read, is truncated, has wrong columns or values that cannot
        be parsed, or rows that do not match the record (``unknown`` accepts those).
        """
        text, logged = _read_text(self.path)
        if text is None:
            return Content([], [])
        header, *lines = text.removesuffix("\n").replace("\r\n", "\n").split("\n")
        self._check_header(header)
        record = Record.read(self.path)
        known = record.digests()
        units = _units(header, lines)
        while logged and units and next(reversed(units)) not in known:
            lines = lines[: units.popitem()[1][0]]
            units = _units(header, lines)  # the dropped lines may have been amid another unit
        if logged and self.whole and not digests_logged(self.path) <= units.keys():
            lines, units = [], {}  # an unfinished table that is computed as a whole
        width = len(self.columns)
        for i, line in enumerate(lines):
            cells = line.count(",") + 1
            last = i == len(lines) - 1 and not text.endswith("\n")
            # A last line without a line break is complete only if its unit's digest is known.
            if cells != width or (last and next(reversed(units)) not in known):
                raise self._damaged(f"line {i + 2} has {cells} of {width} values or no end")
        if self.needs_record and not lines and not logged:
            raise self._damaged("it has no rows")
        rows = self._values(lines)
        if not unknown and (record != Record() or self.needs_record):
            changed = [unit for digest, unit in units.items() if digest not in known]
            for unit in changed[:1]:
                where = f"line {unit[0] + 2}" if len(unit) == 1 else f"lines {unit[0] + 2} and following"
                raise self._damaged(
                    f"{where} ({len(changed)} of {len(units)} units of rows) are not what its record "
                    f"{record_path(self.path).name} knows, so a number was changed by other means than "
                    f"computing it; put back what was saved, or"
                )
        if self.whole and record.sessions and record.sessions[-1].get("rows", len(rows)) != len(rows):
            raise self._damaged(f"it has {len(rows)} of {record.sessions[-1]['rows']} rows")
        return Content(lines, rows)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a data frame; errors as for ``read``."""
        return as_frame(self.read().rows, self.columns)

    @property
    def header(self) -> str:
        """The first line of the file."""
        return ",".join(self.columns)

    def text(self, rows: Iterable[Row]) -> list[str]:
        """Return rows as lines of the file."""
        writers = [column.text for column in self.columns.values()]
        return [
            ",".join([text(value) for text, value in zip(writers, row, strict=True)]) for row in rows
        ]

    def digests(self, lines: Iterable[str]) -> list[str]:
        """Return the digests of the units in lines of the file."""
        return list(_units(self.header, list(lines)))

    @contextmanager
    def writer(self) -> Iterator["Writer"]:
        """Lock the table while the body runs, see ``sole_writer``; sort it at the end."""
        with sole_writer(self.path):
            writer = Writer(self)
            writer.finish()  # the session of a killed process
            if Record.read(self.path) == Record() and self.read().lines:
                raise InputError(
                    f"{self.path} has no record {record_path(self.path).name} beside it, so a changed "
                    f"number in it would not be noticed: put the record back, name another file, or "
                    f"move this one away."
                )
            try:
                yield writer
            except BaseException:
                with suppress(InputError):  # unsorted rows can be read, too
                    writer.finish()
                raise
            writer.finish()

    def tidy_up(self) -> None:
        """Finish the session of a killed process, unless another process is writing the table."""
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
        """Parse the lines; each distinct text of a column is parsed once."""
        cells = list(zip(*(line.split(",") for line in lines), strict=True))
        values = []
        for (name, column), texts in zip(self.columns.items(), cells, strict=bool(lines)):
            parsed: dict[str, Any] = {}
            for i, text in enumerate(texts):
                if text not in parsed:
                    try:
                        parsed[text] = column.parse(text)
                    except InputError as problem:
                        raise InputError(f"{self.path} holds {problem}.") from problem
                    except ValueError as problem:
                        raise self._damaged(f"in line {i + 2}, {name}: {problem}") from problem
            values.append([parsed[text] for text in texts])
        return list(zip(*values, strict=True))

    def _damaged(self, wrong: str) -> InputError:
        joint = " " if wrong.endswith(" or") else "; "
        return InputError(f"{self.path} is damaged: {wrong}{joint}{self.remedy}.")


class Writer:
    """Appends units to a table; ``KeptTable.writer`` yields it."""

    def __init__(self, table: KeptTable) -> None:
        self._table = table
        self._session: Session | None = None
        self._added: list[str] = []

    def start(self, datasets: Iterable[str], how: str) -> None:
        """Open a session, if none is; ``datasets`` and ``how`` are those of ``provenance.Session``."""
        if self._session is not None:
            return
        path = self._table.path
        try:
            self._session = Session(path, datasets, how)
        except OSError as problem:
            raise InputError(
                f"{path} cannot be written ({reason(problem)}); nothing was computed or changed."
            ) from problem

    def append(self, rows: Iterable[Row], runs: int = 1) -> None:
        """Append one or more units; they are on the disk when this returns.

        If they cannot be written, the file stays as it was, and a copy of the table with these rows is
        saved among the temporary files, if that is possible.
        """
        path, lines = self._table.path, self._table.text(rows)
        try:
            if self._session is not None:
                self._session.count(self._table.digests(lines), runs)
            _append(path, self._table.header, lines)
            self._added += lines
        except OSError as problem:
            raise InputError(
                f"{path} could not be written ({reason(problem)}) and is as it was before; "
                f"{self._rescue(lines)}."
            ) from problem

    def take(self, other: Path, rows: Iterable[Row]) -> None:
        """Copy units from another table, with the entries of its record."""
        self.finish()  # before its log is replaced
        rows, path = list(rows), self._table.path
        record = Record.read(path)
        record.take_over(other, self._table.digests(self._table.text(rows)))
        record.write(path)
        log_path(path).unlink(missing_ok=True)
        log_path(path).touch(exist_ok=False)
        self.append(rows, 0)

    def finish(self) -> None:
        """Sort the rows, write the record, and remove log and temporary files."""
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
                replace_text(path, "\n".join([self._table.header, *(lines[i] for i in order), ""]))
            for left in (log_path(path), *_halves(path)):
                left.unlink(missing_ok=True)
        except OSError as problem:
            raise InputError(
                f"{path} has all that is finished, but its rows could not be put in order "
                f"({reason(problem)}): run again, to read them or to go on."
            ) from problem

    def _put_back(self, session: Entry) -> None:
        """Restore what was removed meanwhile, for example by ``git stash`` or ``git clean``."""
        path = self._table.path
        record, there = Record.read(path), set(self._table.read(unknown=True).lines)
        record.extend(session)
        lost = [line for line in self._added if line not in there]
        if lost or not log_path(path).exists():
            record.write(path)
            log_path(path).touch()
            _append(path, self._table.header, lost)

    def _order(self, rows: Sequence[Row]) -> list[int]:
        """Return the order of the rows by the fields of ``Run``, None first."""
        where = [i for i, name in enumerate(self._table.columns) if name in FIELDS]
        keys: dict[Row, Row] = {}
        for row in rows:
            fields = tuple(row[i] for i in where)
            if fields not in keys:
                keys[fields] = tuple((value is not None, value) for value in fields)
        sorted_by = [keys[tuple(row[i] for i in where)] for row in rows]
        return sorted(range(len(rows)), key=sorted_by.__getitem__)

    def _rescue(self, lines: Sequence[str]) -> str:
        """Save a copy among the temporary files. Return a sentence that says where, and what to do."""
        path, folder = self._table.path, None
        try:
            folder = Path(tempfile.mkdtemp(prefix=f"{path.stem}-"))
            copy, saved = folder / path.name, self._table.read().lines
            replace_text(copy, "\n".join([self._table.header, *saved, *lines, ""]))
            Record.read(path).write(copy, rows=len(saved) + len(lines))
        except OSError as problem:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
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
    results: TablePath,
    columns: Columns,
    same: Mapping[str, str],
    make: Callable[[list[Row]], Iterable[tuple[list[Row], int]]],
    *,
    key: Sequence[str] = (),
    wanted: Iterable[Row] = ((),),
    datasets: Iterable[str],
    jobs: int = 1,
) -> pd.DataFrame:
    """Return the wanted rows of a table; compute and save those that are missing.

    Parameters
    ----------
    results
        The CSV file. Without it, everything is computed and nothing saved.
    same
        The first columns, which have one value in all rows: the experiment, or the dataset.
    make
        Given the missing keys, yields batches of rows without the columns of ``same``, and the number
        of runs trained for each. A batch is saved at once.
    key, wanted
        The columns that identify rows computed together, and their wanted values. Without them, the
        table is computed as a whole.
    datasets, jobs
        For the record.
    """
    table = KeptTable(table_path(results), columns, whole=not key) if results is not None else None
    wanted, places = list(wanted), [list(columns).index(name) for name in key]
    by_key: dict[Row, list[Row]] = {}

    def add(rows: Iterable[Row]) -> None:
        for row in rows:
            by_key.setdefault(tuple(row[place] for place in places), []).append(row)

    def missing() -> list[Row]:
        if table is not None:
            rows = table.read().rows
            for (name, value), values in zip(same.items(), zip(*rows, strict=True), strict=False):
                other = next((each for each in values if each != value), None)
                if other is not None:
                    raise InputError(
                        f"{table.path} belongs to another experiment: its {name} is {other!r} and not "
                        f"{value!r}; name another file, or move this one and its record away."
                    )
            by_key.clear()
            add(rows)
        return [each for each in wanted if each not in by_key]

    if missing():
        with table.writer() if table is not None else nullcontext() as writer:
            new = missing()  # read again: another process may have written it meanwhile
            if new and writer is not None:
                writer.start(datasets, f"jobs={jobs}")
            for batch, runs in make(new) if new else ():
                rows = [(*same.values(), *row) for row in batch]
                if writer is not None:
                    writer.append(rows, runs)
                add(rows)
    elif table is not None:
        table.tidy_up()
    return as_frame((row for each in wanted for row in by_key.get(each, [])), columns)


def plan_digest(plan: str) -> str:
    """Return 16 hexadecimal digits for what all rows of a table share, for its first column."""
    return hashlib.sha256(plan.encode()).hexdigest()[:16]


# ---- units ----


@cache  # called for each figure of a table
def unit_digests(text: str) -> dict[str, dict[str, str]]:
    """Return the digest of each unit in a CSV's text, and the unit's fields of ``Run``."""
    header, *lines = text.splitlines() or [""]
    cells_of = {digest: lines[unit[0]].split(",") for digest, unit in _units(header, lines).items()}
    return {
        digest: {n: cell for n, cell in zip(header.split(","), cells, strict=False) if n in FIELDS}
        for digest, cells in cells_of.items()
    }


def units_in(path: Path) -> dict[str, dict[str, str]]:
    """Return a table's ``unit_digests`` without an unfinished unit; values are not checked."""
    text, logged = _read_text(path)
    units = dict(unit_digests(text or ""))
    known = Record.read(path).digests() if logged else set()
    while logged and units and next(reversed(units)) not in known:
        units.popitem()
    return units


def _units(header: str, lines: Sequence[str]) -> dict[str, list[int]]:
    """Return the line numbers of each unit by its digest, in the order of their first lines."""
    where = [i for i, name in enumerate(header.split(",")) if name in FIELDS]
    units: dict[tuple[str, ...], list[int]] = {}
    for place, line in enumerate(lines):
        cells = line.split(",")
        units.setdefault(tuple(cells[i] for i in where if i < len(cells)), []).append(place)
    return {_digest([header, *(lines[i] for i in unit)]): unit for unit in units.values()}


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()[:12]


# ---- files ----


def table_path(results: str | os.PathLike[str]) -> Path:
    """Return the file of a table; links are followed, and what is no path of a table is refused."""
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
    """Lock ``path`` while the body runs, unless it is read-only or another process is writing it."""
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
        # Unlink while the lock is held: a waiting process then sees that its file has no name any more,
        # and opens a new one. Windows removes the file itself.
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
        # Check the permissions too: for root, os.access is always true.
        if place.exists() and not (os.access(place, os.W_OK) and place.stat().st_mode & 0o222):
            raise InputError(
                f"{place} is read-only, so results could not be saved to {path}; nothing was trained: "
                f"make it writable, or name another file."
            )


def _append(path: Path, header: str, lines: Sequence[str]) -> None:
    """Append lines to a file, or create it. If that fails, the file stays as it was."""
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
    """Return the text of a table, None if there is none, and whether it has a log.

    If the file changes meanwhile, it is read again: another process may be sorting it.
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
        if all(getattr(before, n) == getattr(after, n) for n in ("st_mtime_ns", "st_size", "st_ino")):
            break
    return text, logged
