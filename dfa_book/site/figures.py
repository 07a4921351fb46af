"""Provenance of figures: in a dropdown below each, and in the list of all figures."""

import hashlib
import re
import shlex
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat

from dfa_lib.experiments.kept_table import units_in
from dfa_lib.experiments.provenance import Entry, Record, digests_of, record_path

from ..chapter import PARAMETERS, check_parameters
from ..words import plural
from .book import Book
from .confirmations import confirmations, confirmed
from .freshness import misfit, staleness
from .markdown import as_block, as_code, as_text
from .notebooks import read_notebook
from .strips import FOLD, MADE, strip_of
from .verify import is_results

LIST = "figures.md"
PLACE = "% The list of figures stands here."
# Folder of copied results files, in the staging folder.
DOWNLOADS = "results"
TUNING = "tuning"
NOT_OF_THE_NUMBERS = ("jobs", "results")
COLUMNS = (
    "{py:class}`what a run is <dfa_lib.run.Run>`, the epoch, {py:class}`what was measured "
    "<dfa_lib.training.History>`"
)
NO_REFERENCE = "what a run is, the epoch, what was measured"


@dataclass(frozen=True)
class Shown:
    """A figure of an executed chapter."""

    chapter: str
    notebook: nbformat.NotebookNode
    place: int  # its cell
    about: dict[str, Any]

    @property
    def name(self) -> str:
        """Its label."""
        return str(self.about["name"])

    @property
    def title(self) -> str:
        """The first sentence of its caption, up to a semicolon."""
        return re.split(r"[.;] (?![^()]*\))", self.about["caption"].strip(), maxsplit=1)[0].rstrip(".")

    @property
    def given(self) -> dict[str, Any]:
        """The chapter's parameters that differ from the defaults."""
        given = self.notebook.metadata["papermill"]["parameters"].items()
        return {n: v for n, v in given if n not in NOT_OF_THE_NUMBERS and v != PARAMETERS[n]}

    @cached_property
    def files(self) -> list[Path]:
        """The results files that it is drawn from."""
        folder = Path(self.notebook.metadata["papermill"]["parameters"].get("results", ""))
        return [folder / f"{experiment}.csv" for experiment in self.about.get("results", [])]

    @property
    def drawn(self) -> str:
        """The date on which it was drawn."""
        return _day(self.notebook.metadata["papermill"]["start_time"])


def figures(book: Book) -> list[Shown]:
    """Return the figures of all executed chapters, in the order of the book."""
    shown = []
    for chapter in book.chapters():
        notebook = read_notebook(book.executed(chapter))
        shown += [
            Shown(chapter, notebook, place, output.metadata["dfa_figure"])
            for place, cell in enumerate(notebook.cells)
            for output in cell.get("outputs", [])
            if "dfa_figure" in output.get("metadata", {})
        ]
    return shown


def stale_results(shown: Sequence[Shown]) -> list[str]:
    """Return a sentence with the remedy for each results file of a figure that is stale."""
    sentences = []
    for path in dict.fromkeys(path for figure in shown for path in figure.files):
        if reason := staleness(path):
            names = " and ".join(figure.name for figure in shown if path in figure.files)
            sentences.append(f"stale results: {path}, drawn in {names}, {reason}; {_remedy(path)}.")
    return sentences


def _remedy(path: Path) -> str:
    if not path.exists():
        return "execute the chapter again"
    again = "delete it and build again to compute it anew"
    if not is_results(path):
        return again
    return (
        f"run dfa-book verify --results {path.parent}, which trains some of its runs again and vouches "
        f"for it if they agree, or {again}"
    )


# ---- the strip below a figure ----


def add_folds(book: Book, shown: Sequence[Shown]) -> None:
    """Put a strip of dropdowns below each figure of the staged chapters, and copy the results."""
    shutil.rmtree(book.staging / DOWNLOADS, ignore_errors=True)
    for chapter in dict.fromkeys(figure.chapter for figure in shown):
        by_place = {figure.place: figure for figure in shown if figure.chapter == chapter}
        notebook = next(iter(by_place.values())).notebook
        cells = []
        for place, cell in enumerate(notebook.cells):
            if "dfa_fold" not in cell.metadata:  # of an earlier build
                cells.append(cell)
            if place in by_place:
                text = _fold(book, by_place[place])
                fold = nbformat.v4.new_markdown_cell(text, metadata={"dfa_fold": True})
                fold["id"] = re.sub(r"[^\w-]", "-", f"fold-{by_place[place].name}")[:64]
                cells.append(fold)
        notebook.cells = cells
        nbformat.write(notebook, book.executed(chapter))


def _fold(book: Book, figure: Shown) -> str:
    """Return the strip below a figure as MyST, from the records and the notebook."""
    data = [("Results", ["none: nothing was trained for this figure"])]
    made = [("Chapter", [_chapter(figure)])]
    if figure.files:
        data = [
            ("Results", [_results(path, _download(book, path)) for path in figure.files]),
            ("Columns", [COLUMNS if (book.source / "reference").is_dir() else NO_REFERENCE]),
            ("Data", _data(figure.files)),
        ]
        made += [("Trained", _trained(figure.files)), ("Freshness", [_freshness(figure)])]
        if by_others := confirmed(confirmations(book)[0], figure.files):
            made.append(("By others", [by_others]))
    given = "".join(f" -p {name} {shlex.quote(str(value))}" for name, value in figure.given.items())
    line = f"papermill {book.source.name}/{figure.chapter}.ipynb out.ipynb{given}"
    where = "in the repository's folder, after `make test` or `make book`, with `.venv` activated"
    seconds = figure.notebook.metadata["papermill"]["duration"]
    again = [
        ("Command", [as_block(line, "bash").replace("\n", "\n  ")]),
        ("Where", [where]),
        ("Time", [f"the whole chapter is executed: {_seconds(seconds)} when this page was made"]),
    ]
    return strip_of([("Data", FOLD, data), ("How made", MADE, made), ("Make again", FOLD, again)])


def _chapter(figure: Shown) -> str:
    values: dict[str, Any] = {}
    for cell in figure.notebook.cells:
        if {"parameters", "injected-parameters"}.intersection(cell.metadata.get("tags", [])):
            exec(cell.source, values)  # as the chapter's kernel did
    settings = check_parameters({name: values.get(name, PARAMETERS[name]) for name in PARAMETERS})
    metadata = figure.notebook.metadata
    return (
        f"profile {settings.profile}, {plural(settings.seeds, 'seed')}, "
        f"{plural(settings.epochs, 'epoch')}, device {settings.device}; executed on {figure.drawn} in "
        f"{_seconds(metadata['papermill']['duration'])}, at commit "
        f"{as_code(metadata.get('dfa_commit', 'unknown'))}"
    )


def _results(path: Path, copy: str) -> str:
    runs = units_in(path).values()
    seeds = sorted({int(run["seed"]) for run in runs if run.get("seed", "").isdecimal()})
    record = f", {{download}}`its record <{copy}.json>`" if record_path(path).exists() else ""
    count = f": {plural(len(runs), 'run')}" if is_results(path) else ""
    spans = f"{', ' if count else ': '}{_spans(seeds)}" if seeds else ""
    return f"{{download}}`{path.name} <{copy}.csv>`{record}{count}{spans}"


def _download(book: Book, path: Path) -> str:
    """Copy a results file and its record into the staging folder; return the path without suffix."""
    folder = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    target = book.staging / DOWNLOADS / folder / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    if record_path(path).exists():
        shutil.copyfile(record_path(path), record_path(target))
    return f"/{DOWNLOADS}/{folder}/{path.stem}"


def _data(files: Sequence[Path]) -> list[str]:
    # The tuning file has runs of all experiments on all datasets.
    own = [path for path in files if path.stem != TUNING] or files
    used = {run.get("dataset", "") for path in own for run in units_in(path).values()}
    sums = [
        f"{as_text(name)}, checksum {as_code(value)}"
        for entry in chain.from_iterable(map(_speaking, own))
        for name, value in entry["data"].items()
        if name in used or "" in used  # tables without runs have no dataset
    ]
    if "clusters" in used:
        sums.append("clusters, which each run draws from its seed")
    return list(dict.fromkeys(sums)) or ["inputs, which each run draws from its seed"]


def _trained(files: Sequence[Path]) -> list[str]:
    """Say which runs were trained, grouped by machine, versions and numerical code."""
    groups: dict[str, dict[str, list[Entry]]] = {}
    for path in files:
        for entry in _speaking(path):
            if "sample" not in entry:  # a verification has trained nothing
                taken = f" from {as_text(entry['taken from'])}" if "taken from" in entry else ""
                of_group = groups.setdefault(_made_with(entry), {})
                of_group.setdefault(path.name + taken, []).append(entry)
    texts = []
    for made_with, files_of in groups.items():
        entries = list(chain.from_iterable(files_of.values()))
        days = sorted({_day(entry[end]) for entry in entries for end in ("started", "finished")})
        counts = []
        for name, of_file in files_of.items():
            runs, seconds = (sum(e.get(part, 0) for e in of_file) for part in ("runs", "seconds"))
            spent = f" in {_seconds(seconds)}" if "seconds" in of_file[0] else ""
            # No runs, if a table was computed from networks of another one.
            counts.append((f"{plural(runs, 'run')} of " if runs else "") + name + spent)
        when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        commits = list(dict.fromkeys(as_code(entry["commit"]) for entry in entries))
        named = f"{'commit' if len(commits) == 1 else 'commits'} {', '.join(commits)}"
        texts += [f"**{', '.join(counts)}**, {when}", f"{made_with}, {named}"]
    return texts or ["no record says with what"]


def _made_with(entry: Entry) -> str:
    machine, versions = (
        {name: as_text(value) for name, value in entry[kind].items()} for kind in ("machine", "versions")
    )
    gpu = "no GPU" if machine["GPU"] == "none" else machine["GPU"]
    return (
        f"{machine['processor']}, {machine['cores in use']} cores, {machine['instructions']}, {gpu}, "
        f"{machine['system']}; torch {versions['torch']}, Python {versions['Python']}; numerical code "
        f"{_code(entry)}"
    )


def _freshness(figure: Shown) -> str:
    verified = _verified(figure)
    if not verified:
        return "the numerical code, torch and the data are those of this build"
    texts = [
        f"{plural(entry['sample'], 'run')} trained again on {_day(entry['date'])}, with numerical code "
        f"{_code(entry)} on {as_text(entry['machine']['processor'])}, "
        f"agreed {as_text(entry['agreement'])}"
        for entry in verified
    ]
    return f"older than the code or the data of this build; {'; '.join(dict.fromkeys(texts))}"


def _verified(figure: Shown) -> list[Entry]:
    """Return the verifications that make a figure fresh; none if its training does."""
    entries = list(chain.from_iterable(map(_speaking, figure.files)))
    trained = [entry for entry in entries if "sample" not in entry]
    if trained and all(misfit(entry) is None for entry in trained):
        return []
    return [entry for entry in entries if "sample" in entry]


def _speaking(path: Path) -> list[Entry]:
    """Return the record's entries on runs that are in a results file."""
    present = units_in(path).keys()
    return [e for e in Record.read(path).entries if digests_of(e) & present]


# ---- the list of all figures ----


def write_list(book: Book, shown: Sequence[Shown]) -> None:
    """Write the list of figures into its page, if the book has one."""
    page = book.staging / LIST
    if page.exists():
        text = page.read_text(encoding="utf-8")
        reports, refused = confirmations(book)
        print("".join(f"{sentence}\n" for sentence in refused), end="", file=sys.stderr, flush=True)
        entries = "\n\n".join(
            f"{{numref}}`{f.name}`\n: {f.title}\n: {_briefly(f, confirmed(reports, f.files))}"
            for f in shown
        )
        listed = f":::{{container}} dfa-figures\n{entries}\n:::"
        page.write_text(text.replace(PLACE, listed), encoding="utf-8")


def _briefly(figure: Shown, by_others: str = "") -> str:
    """Summarise the files, date, code, freshness and confirmations of a figure."""
    if not figure.files:
        return f"nothing trained; drawn on {figure.drawn}; fresh"
    trained = [e for path in figure.files for e in _speaking(path) if "sample" not in e]
    verified = max((_day(entry["date"]) for entry in _verified(figure)), default="")
    computed = max((_day(entry["finished"]) for entry in trained), default="on an unknown day")
    codes = ", ".join(dict.fromkeys(map(_code, trained))) or "unknown"
    return (
        f"from {', '.join(path.stem for path in figure.files)}; computed {computed}; numerical code "
        f"{codes}; {f'verified {verified}' if verified else 'fresh'}"
        f"{'; ' if by_others else ''}{by_others}"
    )


# ---- in words ----


def _code(entry: Entry) -> str:
    return as_code(entry["library"].split()[1])


def _day(when: str) -> str:
    return datetime.fromisoformat(when).date().isoformat()


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _spans(seeds: Iterable[int]) -> str:
    """Abbreviate a list of seeds: ``seeds 0 to 4, 1000``."""
    spans: list[list[int]] = []
    for seed in seeds:
        if not spans or seed != spans[-1][-1] + 1:
            spans.append([])
        spans[-1].append(seed)
    texts = [f"{s[0]}" if len(s) == 1 else f"{s[0]} to {s[-1]}" for s in spans]
    return f"{'seed' if spans == [spans[0][:1]] else 'seeds'} {', '.join(texts)}"
