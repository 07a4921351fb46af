"""What results were computed with: code, versions, machine and data, read when they are computed."""

import ast
import hashlib
import importlib.metadata
import json
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
    "dfa_lib",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "joblib",
    "matplotlib",
    "papermill",
    "jupyter-book",
    "Sphinx",
)


NOT_HERE = "not on this machine"


def versions() -> dict[str, str]:
    """Return the version of Python and of the packages that results and pages depend on."""
    return {"Python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # a chapter on Colab needs none that builds sites
        return "not installed"


def machine() -> dict[str, str]:
    """Return the operating system, processor, cores, and GPU if there is one."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores in use": str(joblib.cpu_count()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "GPU": gpu,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def checksums(datasets: Sequence[str]) -> dict[str, str]:
    """Return the checksum of each of these datasets that consists of digits."""
    return {name: _checksum(DIGIT_SETS[name]()) for name in datasets if name in DIGIT_SETS}


@cache
def _checksum(sets: DigitSets) -> str:
    return sets.checksum()  # once for a process: every call that trains asks for it


def checksums_here(datasets: Sequence[str]) -> dict[str, str]:
    """Return the checksums, or ``NOT_HERE`` for datasets that this machine cannot read."""
    try:
        return checksums(datasets)
    except InputError:  # a cluster's workers may have what this machine has not
        return dict.fromkeys(datasets, NOT_HERE)


# ---- the code ----


def source_digest(folder: Path) -> str:
    """Return a digest of the code that decides a run's numbers.

    It is taken over the set of bare top-level statements of ``numerical_code`` and of the names that
    these modules import from elsewhere, so a statement may move to another place or module. Comments,
    docstrings, layout, the messages of errors and the labels of methods do not count.
    """
    statements: set[str] = set()
    for tree in numerical_code(folder).values():
        bare = _Bare()
        statements |= {ast.unparse(node) for node in bare.visit(tree).body} | bare.imports
    return hashlib.sha256("\n".join(sorted(statements)).encode()).hexdigest()[:12]


def numerical_code(folder: Path) -> dict[str, ast.Module]:
    """Return the modules that a run's numbers come from, parsed: ``training`` and what it imports."""
    code: dict[str, ast.Module] = {}
    names = ["training.py"]
    for name in names:  # grows while it is read
        if name not in code:
            code[name] = ast.parse((folder / name).read_text(encoding="utf-8"))
            names += _imported(folder, name, code[name])
    return code


class _Bare(ast.NodeTransformer):
    """Removes docstrings, error messages, labels and imports; collects imports of other packages."""

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
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = PurePosixPath(name).parents[node.level - 1]
            module = base / (node.module or "").replace(".", "/")
            # ``from . import x`` names modules, ``from .module import x`` names what is in one.
            candidates = [module / f"{alias.name}.py" for alias in node.names]
            if node.module:
                candidates.append(module.with_suffix(".py"))
            found += [path.as_posix() for path in candidates if (folder / path).is_file()]
    return found


# As imported: a process may live on while its files are edited.
_SOURCE = source_digest(Path(__file__).parents[1])


# Digests of earlier code, and of the code that computes the same numbers as it did: the first edition's
# rules yielded no factors, and its digest counted file names. ``tests/test_same_numbers.py`` compares.
SAME_NUMBERS = {"b4ef636ce6d1": "f577dd5fb28d"}


def same_numbers(library: str) -> str:
    """Return the fingerprint of today's code where a record's is of code that gave the same numbers."""
    for then, now in SAME_NUMBERS.items():
        library = library.replace(then, now)
    return library


def fingerprint() -> str:
    """Return what decides a run's numbers, as text: the library's numerical code and torch's version."""
    # Without the build, which says for which GPUs: a cluster may well have better ones.
    return f"dfa_lib {_SOURCE} with torch {torch.__version__.partition('+')[0]}"


def commit() -> str:
    """Return the commit of the library's source, with ``-dirty`` if it has been edited since."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        # Of this folder alone: training itself changes files of results, which are no source.
        edited = _git("diff", "--name-only", "HEAD", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}-dirty" if edited else head


def _git(*words: str) -> str:
    said = subprocess.run(
        ["git", *words], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    return said.stdout.strip()


# ---- beside a results file ----


def record_path(results: Path) -> Path:
    """Return where the provenance of a results file lies: ``sgd.csv`` has ``sgd.json``."""
    return results.with_suffix(".json")


Entry = dict[str, Any]


@dataclass
class Record:
    """What a results file was made with.

    An entry's ``digests`` say which runs of the file it speaks of: see ``results.digests``. Entries that
    were written before there were digests have none, and say how many runs they speak of.
    """

    sessions: list[Entry] = field(default_factory=list)
    """For each machine and state of the code that trained runs: which, when and how long."""
    taken: list[Entry] = field(default_factory=list)
    """The same, of runs that another experiment had trained."""
    verified: list[Entry] = field(default_factory=list)
    """For each time that runs were trained again and agreed: with what, and how many."""

    @classmethod
    def read(cls, results: Path) -> "Record":
        """Return the record of a results file: an empty one, if there is none.

        Raises
        ------
        InputError
            If the record is damaged, or has anything else than ``FIELDS`` accept.
        """
        path = record_path(results)
        if not path.exists():
            return cls()
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as problem:
            raise _damaged(path, results, "it is no JSON") from problem
        wrong = _misshapen(found)
        if wrong is not None:
            raise _damaged(path, results, wrong)
        return cls(**found)

    def write(self, results: Path) -> None:
        """Replace the record of a results file."""
        text = json.dumps({k: v for k, v in asdict(self).items() if v}, indent=1, ensure_ascii=False)
        replace_text(record_path(results), text + "\n")


def _damaged(path: Path, results: Path, wrong: str) -> InputError:
    return InputError(
        f"{path} is damaged: {wrong}, so it does not say what {results.name} was made with; move it "
        f"away, and what is trained from now on is recorded anew."
    )


def _misshapen(found: Any) -> str | None:
    """Say what in the JSON of a record is not as ``ENTRIES`` and ``FIELDS`` have it; None if all is."""
    if not isinstance(found, dict) or not any(found.values()):
        return "it must be an object with sessions"
    for kind, entries in found.items():
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
                    said, field_said = reprlib.repr(value), reprlib.repr(name)
                    return f"an entry of {kind} cannot have {said} as its {field_said}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _is_time(value: Any) -> bool:
    if not _matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")(value):
        return False
    with suppress(ValueError):  # of a 31st of February
        return datetime.fromisoformat(value) is not None
    return False


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


# Names of machines and files are free text, which pages escape. Control characters and lone surrogates
# cannot be printed, or not be saved again.
_is_text = _matches(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{0,300}")


def _texts(*names: str) -> Callable[[Any], bool]:
    """Accept an object whose values are all texts, these among them."""
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
    "sample": _is_count,
    "seconds": _is_number,
    "trained by": _is_text,
    "taken from": _is_text,
    "agreement": _is_text,
    "digests": _matches(r"([0-9a-f]{12}( [0-9a-f]{12})*)?"),
}
"""What an entry of a record may have, and what each accepts. Records come from other people too."""
ALWAYS = ("commit", "library", "versions", "machine", "data", "runs")
ENTRIES = {
    "sessions": ("started", "finished", "seconds", "trained by"),
    "taken": ("started", "finished", "taken from", "digests"),
    "verified": ("date", "sample", "agreement", "digests"),
}
"""The kinds of entries in a record, and what each has beside ``ALWAYS``."""


def read_record(results: Path) -> list[Entry]:
    """Return what runs were trained with into a results file: the ``sessions`` of its record."""
    return Record.read(results).sessions


def digests_of(entry: Entry) -> set[str]:
    """Return the digests of the runs that an entry of a record speaks of."""
    return set(entry.get("digests", "").split())


def take_over(results: Path, other: Path, digests: Iterable[str]) -> None:
    """Record that a results file takes runs from another, with what the other's record says of them."""
    record, source, wanted = Record.read(results), Record.read(other), set(digests)

    def about(entries: Sequence[Entry]) -> list[Entry]:
        kept = [entry | {"taken from": entry.get("taken from", other.name)} for entry in entries]
        of_file = {"seconds", "trained by"}  # not of these runs
        return [
            {name: value for name, value in entry.items() if name not in of_file}
            | {"runs": len(common), "digests": " ".join(sorted(common))}
            for entry in kept
            if (common := digests_of(entry) & wanted)
        ]

    record.taken += about([*source.sessions, *source.taken])
    record.verified += about(source.verified)
    if record != Record():
        record.write(results)


def made_with(datasets: Sequence[str]) -> Entry:
    """Return what is computed with here and now, as it stands in a record."""
    return {
        "commit": commit(),
        "library": fingerprint(),
        "versions": versions(),
        "machine": machine(),
        "data": checksums_here(datasets),
    }


class Session:
    """Records what runs are trained with, beside the file that they are saved to.

    Parameters
    ----------
    results
        The results file.
    datasets
        What is trained on.
    how
        ``"jobs=2"``, or the address of a cluster.
    """

    def __init__(self, results: Path, datasets: Iterable[str], how: str) -> None:
        self._results = results
        self._record = Record.read(results)
        self._start = time.monotonic()
        entry = made_with(sorted(set(datasets))) | {"trained by": how}
        last = self._record.sessions[-1] if self._record.sessions else {}
        if "digests" in last and entry == {name: last.get(name) for name in entry}:
            self._entry = last
        else:
            now = _now()
            counts = {"started": now, "finished": now, "runs": 0, "seconds": 0.0}
            self._entry = counts | entry | {"digests": ""}
            self._record.sessions.append(self._entry)
        self._before = float(self._entry["seconds"])

    def count(self, digests: Iterable[str], runs: int = 1) -> None:
        """Count runs that are about to be saved.

        The record is written before the results: a kill between the two leaves a run in the record that
        is trained once more, and never one in the results that no record knows.
        """
        self._entry["runs"] += runs
        self._entry["finished"] = _now()
        self._entry["seconds"] = round(self._before + time.monotonic() - self._start, 2)
        self._entry["digests"] = " ".join(sorted(digests_of(self._entry) | set(digests)))
        # Where the record cannot be written, the results cannot either; whoever saves those says so.
        with suppress(OSError):
            self._record.write(self._results)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
