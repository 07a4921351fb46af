"""Provenance of results: code, versions, machine and data, recorded while they are computed."""

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import reprlib
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import joblib
import torch

from ..data.images import DigitSets
from ..training import DIGIT_SETS
from ..validation import InputError
from .files import replace_text

PACKAGES = (
    *("dfa_lib", "torch", "torchvision", "numpy", "scipy", "pandas", "scikit-learn", "joblib"),
    *("matplotlib", "papermill", "jupyter-book", "Sphinx"),
)
NOT_HERE = "not on this machine"


def versions() -> dict[str, str]:
    """Return the version of Python and of the packages that results and pages depend on."""
    return {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # Colab, for example, has no Sphinx
        return "not installed"


def machine() -> dict[str, str]:
    """Return the operating system, processor, cores and instruction set, and the GPU or ``none``."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores in use": str(joblib.cpu_count()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux, where platform.processor() is empty
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def checksums(datasets: Sequence[str]) -> dict[str, str]:
    """Return the checksum of each dataset of digits; clusters have none.

    It is ``NOT_HERE`` if this machine cannot load the data: the workers of a cluster may have them.
    """
    result = {}
    for name in datasets:
        if name in DIGIT_SETS:
            try:
                result[name] = _checksum(DIGIT_SETS[name]())
            except InputError:
                result[name] = NOT_HERE
    return result


@cache  # every call of run_all asks for it
def _checksum(sets: DigitSets) -> str:
    return sets.checksum()


# ---- the code ----


def source_digest(folder: Path) -> str:
    """Return a digest of the code that a run's numbers depend on.

    It hashes the set of top-level statements of ``numerical_code`` and of these modules' external
    imports, so a statement may move within a module or to another. Comments, docstrings, layout, error
    messages and the labels of methods are left out.
    """
    statements: set[str] = set()
    for tree in numerical_code(folder).values():
        bare = _Bare()
        statements |= {ast.unparse(node) for node in bare.visit(tree).body} | bare.imports
    return hashlib.sha256("\n".join(sorted(statements)).encode()).hexdigest()[:12]


def numerical_code(folder: Path) -> dict[str, ast.Module]:
    """Return the syntax trees of ``training`` and, transitively, of the modules that it imports."""
    code: dict[str, ast.Module] = {}
    names = ["training.py"]
    for name in names:  # grows during the loop
        if name not in code:
            code[name] = ast.parse((folder / name).read_text(encoding="utf-8"))
            names += _imported(folder, name, code[name])
    return code


class _Bare(ast.NodeTransformer):
    """Removes docstrings, error messages, labels and imports; collects external imports."""

    def __init__(self) -> None:
        self.imports: set[str] = set()

    def visit_Import(self, node: ast.Import) -> None:
        self.imports |= {f"{alias.asname or alias.name} is {alias.name}" for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not node.level:
            self.imports |= {
                f"{alias.asname or alias.name} is {alias.name} of {node.module}" for alias in node.names
            }

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        if isinstance(node.value, ast.Constant):
            return None
        self.generic_visit(node)
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        return ast.Raise()

    def visit_keyword(self, node: ast.keyword) -> ast.keyword | None:
        if node.arg == "label":
            return None
        self.generic_visit(node)
        return node


def _imported(folder: Path, name: str, tree: ast.Module) -> list[str]:
    """Return the files of this library that a module imports, relative to ``folder``."""
    files: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = PurePosixPath(name).parents[node.level - 1]
            module = base / (node.module or "").replace(".", "/")
            # ``from . import x`` imports a module, ``from .module import x`` a name of one.
            candidates = [module / f"{alias.name}.py" for alias in node.names]
            if node.module:
                candidates.append(module.with_suffix(".py"))
            files += [path.as_posix() for path in candidates if (folder / path).is_file()]
    return files


# At import: a process may live on while its source files are edited.
_SOURCE = source_digest(Path(__file__).parents[1])


# Digests of earlier code, and of today's code that computes the same numbers: in the first edition,
# rules yielded no factors and the digest hashed file names. ``test_same_numbers.py`` compares.
SAME_NUMBERS = dict.fromkeys(("b4ef636ce6d1", "f577dd5fb28d"), "5a9a264a041d")


def same_numbers(library: str) -> str:
    """Replace the fingerprint of earlier code that computes the same numbers by that of today's code."""
    for then, now in SAME_NUMBERS.items():
        library = library.replace(then, now)
    return library


def fingerprint() -> str:
    """Name the software that a run's numbers depend on: the library's numerical code, and torch."""
    # Without torch's local version (``+cu130``): workers may have another GPU.
    return f"dfa_lib {_SOURCE} with torch {torch.__version__.partition('+')[0]}"


def commit() -> str:
    """Return the commit of the library's source, with ``-dirty`` if it has been edited since.

    It is ``unknown`` where git does not track the source: an installed library may lie inside another
    project's repository, whose commits do not concern it.
    """
    source = Path(__file__).resolve()
    try:
        top = _git("rev-parse", "--show-toplevel")
        _git("ls-files", "--error-unmatch", str(source))
        if Path(top).resolve() != source.parents[2]:
            return "unknown"
        head = _git("rev-parse", "--short=12", "HEAD")
        # This folder only: training itself changes files of results.
        edited = _git("diff", "--name-only", "HEAD", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}-dirty" if edited else head


def _git(*words: str) -> str:
    folder = Path(__file__).parents[1]
    git = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return git.stdout.strip()


# ---- the record of a table ----


def record_path(results: Path) -> Path:
    """Return the path of a table's record: ``sgd.json`` beside ``sgd.csv``; links are followed."""
    return Path(os.path.realpath(results)).with_suffix(".json")


def log_path(results: Path) -> Path:
    """Return the path of the log of an open session: ``.sgd.csv.log``."""
    path = Path(os.path.realpath(results))
    return path.with_name(f".{path.name}.log")


Entry = dict[str, Any]


@dataclass
class Record:
    """What the units of a table were computed with. The ``digests`` of an entry name its units."""

    sessions: list[Entry] = field(default_factory=list)
    """One entry per machine and state of the code that computed units."""
    taken: list[Entry] = field(default_factory=list)
    """The same, of units copied from another table."""
    verified: list[Entry] = field(default_factory=list)
    """One entry for each time that runs were trained again and agreed."""

    @classmethod
    def read(cls, results: Path) -> "Record":
        """Return the record of a table, including the log of an open session.

        A damaged record, or one with a field or value that ``FIELDS`` does not accept, is refused.
        """
        path, record = record_path(results), cls()
        if path.exists():
            try:
                entries = json.loads(path.read_text(encoding="utf-8"))
            except (ValueError, RecursionError, OSError) as problem:
                raise _damaged(path, results, "it is no JSON") from problem
            wrong = _misshapen(entries)
            if wrong is not None:
                raise _damaged(path, results, wrong)
            record = cls(**entries)
        logged = _read_log(log_path(results))
        if logged is not None:
            record.extend(logged)
        return record

    def write(self, results: Path, rows: int | None = None) -> None:
        """Write the record of a table; ``rows`` is the table's length."""
        if rows is not None and self.sessions:
            self.sessions[-1]["rows"] = rows
        text = json.dumps({k: v for k, v in asdict(self).items() if v}, indent=1, ensure_ascii=False)
        replace_text(record_path(results), text + "\n")

    @property
    def entries(self) -> list[Entry]:
        """All entries, of every kind."""
        return [*self.sessions, *self.taken, *self.verified]

    def digests(self) -> set[str]:
        """Return the digests of all units in the record."""
        return {digest for entry in self.entries for digest in digests_of(entry)}

    def take_over(self, other: Path, digests: Iterable[str]) -> None:
        """Copy from another table's record the entries of the units with these digests."""
        source, wanted = Record.read(other), set(digests)
        of_file = {"seconds", "trained by", "rows"}  # of all runs of that file, not only of these
        for entries, theirs in (
            (self.taken, [*source.sessions, *source.taken]),
            (self.verified, source.verified),
        ):
            for entry in theirs:
                common = digests_of(entry) & wanted
                copied = {name: value for name, value in entry.items() if name not in of_file}
                copied.setdefault("taken from", other.name)
                copied |= {"runs": len(common), "digests": " ".join(sorted(common))}
                if common and copied not in entries:  # a killed call may have copied it
                    entries.append(copied)

    def extend(self, session: Entry) -> None:
        """Add a session; merge it into the last one if machine and state of the code are the same."""
        last = self.sessions[-1] if self.sessions else {}
        if digests_of(session) <= self.digests() and last.get("finished") == session["finished"]:
            return  # added already, by a process that was killed before it could remove the log
        own = ("started", "finished", "runs", "seconds", "digests", "rows")
        if any(last.get(name) != value for name, value in session.items() if name not in own):
            self.sessions.append(session)
            return
        last["finished"] = session["finished"]
        last["runs"] += session["runs"]
        last["seconds"] = round(last["seconds"] + session["seconds"], 2)
        last["digests"] = " ".join(sorted(digests_of(last) | digests_of(session)))


def _damaged(path: Path, results: Path, wrong: str) -> InputError:
    return InputError(
        f"{path} is damaged: {wrong}, so it does not say what {results.name} was made with; put it "
        f"back, or move it away with {results.name} and compute anew."
    )


def _misshapen(record: Any) -> str | None:
    """Return what in a record's JSON is not as ``ENTRIES`` and ``FIELDS`` say, or None."""
    if not isinstance(record, dict) or not any(record.values()):
        return "it must be an object with sessions"
    for kind, entries in record.items():
        if kind not in ENTRIES or not isinstance(entries, list):
            return f"{reprlib.repr(kind)} must be a list of entries, under one of {', '.join(ENTRIES)}"
        for entry in entries:
            if not isinstance(entry, dict):
                return f"an entry of {kind} must be an object, not {reprlib.repr(entry)}"
            missing = [name for name in (*ALWAYS, *ENTRIES[kind]) if name not in entry]
            if missing:
                return f"an entry of {kind} lacks {missing[0]!r}"
            for name, value in entry.items():
                if name not in FIELDS or not FIELDS[name](value):
                    value, name = reprlib.repr(value), reprlib.repr(name)
                    return f"an entry of {kind} cannot have {value} as its {name}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _is_time(value: Any) -> bool:
    try:
        time = datetime.fromisoformat(value).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return False
    return bool(time.isoformat(timespec="seconds") == value)


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


# Names of machines and files are free text, which pages escape. Control characters cannot be printed,
# lone surrogates cannot be encoded, and bidirectional controls show a text in another order.
_is_text = _matches(r"[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]{0,300}")


def _texts(*names: str) -> Callable[[Any], bool]:
    """Accept an object of texts that has these keys."""
    return lambda value: (
        isinstance(value, dict)
        and value.keys() >= set(names)
        and all(map(_is_text, (*value, *value.values())))
    )


FIELDS: dict[str, Callable[[Any], bool]] = {
    "commit": _matches(r"unknown|[0-9a-f]{7,40}(-dirty)?"),
    "library": _matches(r"dfa_lib [0-9a-f]{12} with torch [\w.+-]{1,40}"),
    "versions": _texts("Python", "torch"),
    "machine": _texts("system", "processor", "cores in use", "instructions", "GPU"),
    "data": _texts(),
    "started": _is_time,
    "finished": _is_time,
    "date": _is_time,
    "runs": _is_count,
    "rows": _is_count,
    "sample": _is_count,
    "seconds": _is_number,
    "trained by": _is_text,
    "taken from": _is_text,
    "agreement": _is_text,
    "digests": _matches(r"([0-9a-f]{12}( [0-9a-f]{12})*)?"),
}
"""The fields of an entry, and what each accepts. They are checked: contributors send records in."""
ALWAYS = ("commit", "library", "versions", "machine", "data", "runs", "digests")
ENTRIES = {
    "sessions": ("started", "finished", "seconds", "trained by"),
    "taken": ("started", "finished", "taken from"),
    "verified": ("date", "sample", "agreement"),
}
"""The kinds of entries in a record, and the fields that each needs beside ``ALWAYS``."""


def digests_of(entry: Entry) -> set[str]:
    """Return the digests of the units that an entry of a record covers."""
    return set(entry["digests"].split())


def made_with(datasets: Sequence[str]) -> Entry:
    """Return the fields of an entry that describe this process and its data."""
    return {
        "commit": commit(),
        "library": fingerprint(),
        "versions": versions(),
        "machine": machine(),
        "data": checksums(datasets),
    }


class Session:
    """Logs provenance while units are computed: a first line for all of them, then one for each.

    ``how`` is ``"jobs=2"``, or the address of a cluster. ``OSError`` if the log cannot be written.
    """

    def __init__(self, results: Path, datasets: Iterable[str], how: str) -> None:
        entry = made_with(sorted(set(datasets))) | {"trained by": how}
        self._start, self._lines = time.monotonic(), list[Any]()
        path = log_path(results)
        path.unlink(missing_ok=True)  # it may be a link, which open would follow
        self._file = path.open("x", encoding="utf-8")
        try:
            self._write({"started": _now()} | entry)
        except BaseException:
            self.close()
            raise

    def count(self, digests: Iterable[str], runs: int = 1) -> None:
        """Log units that are about to be appended to the table, and how many runs that took."""
        seconds = round(time.monotonic() - self._start, 2)
        self._write([_now(), seconds, runs, " ".join(digests)])

    def close(self) -> Entry:
        """End the log; return the session as an entry of a record."""
        with suppress(OSError):  # the last line may be lost: the entry returned has it
            self._file.close()
        return _as_entry(*self._lines)

    def _write(self, line: Any) -> None:
        self._lines.append(line)
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _read_log(path: Path) -> Entry | None:
    """Return a log as an entry of a record, without a last line that a kill has cut short."""
    try:
        own = path.is_file() and not path.is_symlink()
        text = path.read_text(encoding="utf-8") if own else ""
        entry = _as_entry(*(json.loads(line) for line in text.split("\n")[:-1]))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    return None if _misshapen({"sessions": [entry]}) else entry


def digests_logged(results: Path) -> set[str]:
    """Return the digests of the units that a session has logged, but not yet put into the record."""
    entry = _read_log(log_path(results))
    return digests_of(entry) if entry else set()


def _as_entry(first: Entry, *lines: list[Any]) -> Entry:
    """Return the lines of a log as an entry of a record."""
    finished, seconds, runs, digests = zip(*lines or [[first["started"], 0.0, 0, ""]], strict=True)
    return first | {
        "finished": finished[-1],
        "runs": sum(runs),
        "seconds": seconds[-1],
        "digests": " ".join(sorted(set(" ".join(digests).split()))),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
