"""``dfa-book``: execute the chapters, build the site, and report the status."""

import argparse
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from dfa_lib.validation import InputError, choice, positive_number

# Commands import what they need: torch, Sphinx and others take seconds.
from .book import TOC, Book, find_book, sole_builder
from .children import Stopped, stoppable

# Messages when a command is stopped: what is kept, and how to continue.
STOPPED = "what was there before is unchanged, and the same command begins again"
STOPPED_TRAINING = (
    "the runs that had finished are kept, and an earlier site is still there; the same command{} trains "
    "only what is missing"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    This is 0, 2 for invalid input, the number of failed chapters, or 128 plus the signal that stopped
    it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # print "?" for characters that the console lacks
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        with stoppable():
            status = int(options.run(options))
            sys.stdout.flush()
            return status
    except InputError as problem:
        print(f"dfa-book: {problem}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + getattr(signal, "SIGPIPE", 13)
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename is not None else ""
        print(f"dfa-book: {place}{problem.strerror or problem}.", file=sys.stderr)
        return 2
    except Stopped as stopped:
        with suppress(OSError):  # the terminal may be gone
            name = signal.Signals(stopped.number).name
            print(f"dfa-book: stopped by {name}: {options.stopped(options)}.", file=sys.stderr)
        return 128 + stopped.number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dfa-book", description=__doc__)
    parser.set_defaults(stopped=lambda _: STOPPED)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("execute", _execute, "execute chapters with papermill, into a staging copy of the book"),
        ("build", _build, "execute chapters, then build the site from all of them"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("chapters", nargs="*", metavar="CHAPTER", help="default: all chapters")
        command.add_argument("--profile", help="short for -p profile PROFILE")
        command.add_argument("--results", help="short for -p results FOLDER")
        command.add_argument(
            "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters",
            help="a parameter of the chapters, such as seeds 20; a name that is none lists them all",
        )  # fmt: skip
        command.add_argument(
            "--fresh", action="store_true", help="train everything anew, into _build/results"
        )
        command.add_argument("--timeout", type=float, help="seconds for each chapter (default: 3600)")
        _add_output(command)
        command.set_defaults(run=run, stopped=_training_goes_on)
    text = "train some runs of each results file again, picked at random, and compare"
    command = commands.add_parser(
        "verify",
        help=text,
        description=f"{text}; where all agree, each file's record vouches for it with the code of today",
    )
    command.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all tables")
    command.add_argument("--profile", default="digits", help="whose results (default: digits)")
    command.add_argument("--results", help="folder of results (default: that of the profile)")
    command.add_argument("--sample", type=int, default=3, help="runs of each file (default: 3)")
    command.add_argument("--seed", type=int, default=0, help="decides which runs (default: 0)")
    command.add_argument("--jobs", type=int, help="processes (default: as many as there are cores)")
    command.add_argument(
        "--report", metavar="FILE", help="write a report to be sent in; the records stay as they are"
    )
    _add_output(command)
    command.set_defaults(run=_verify)
    for name, run, text in (
        ("status", _status, "say which chapters are executed, and how fresh they are"),
        ("pdf", _pdf, "print the built site as one PDF, with Chromium"),
        ("teach", _teach, "write notebooks for students and for instructors"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        _add_output(command)
        command.set_defaults(run=run)
    text = "list every verdict, number and figure that is not the same in two built sites"
    command = commands.add_parser("diff", help=text, description=f"{text}; exit status 1 if any is not")
    command.add_argument("old", type=Path, metavar="OLD", help="folder of a built site")
    command.add_argument("new", type=Path, metavar="NEW", help="folder of another")
    command.set_defaults(run=_diff)
    text = "let Colab install dfa_lib from this repository, in the first code cell of every chapter"
    command = commands.add_parser("colab", help=text, description=text)
    command.add_argument("url", nargs="?", metavar="URL", help="default: that of git's remote origin")
    command.set_defaults(run=_colab)
    return parser


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", help="folder for _build (default: the book's own)")


def _parameters(options: argparse.Namespace) -> dict[str, Any]:
    given = {name: _value(text) for name, text in options.parameters}
    for name in ("profile", "results"):
        value = getattr(options, name)
        if value is not None:
            if given.get(name, value) != value:
                raise InputError(f"{name} is given twice: {value} and {given[name]}.")
            given[name] = value
    return given


def _training_goes_on(options: argparse.Namespace) -> str:
    instead = ""
    if options.fresh:
        from ..chapter import check_parameters
        from .kept import results_folder

        with suppress(InputError):  # stopped before its parameters were checked
            settings = check_parameters(_parameters(options))
            folder = results_folder(find_book(options.output), settings, fresh=True)
            instead = f" with --results {shlex.quote(str(folder))} instead of --fresh"
    return STOPPED_TRAINING.format(instead)


def _value(text: str) -> Any:
    """Parse a value as papermill's command line does: a number, True, False, None, or text."""
    named = {"True": True, "False": False, "None": None}
    if text in named:
        return named[text]
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _execute(options: argparse.Namespace) -> int:
    book = find_book(options.output)
    with sole_builder(book):
        return _execute_chapters(options, book)


def _execute_chapters(options: argparse.Namespace, book: Book) -> int:
    from .execute import TIMEOUT, execute

    timeout = TIMEOUT if options.timeout is None else positive_number("timeout", options.timeout)
    failed = execute(book, options.chapters, _parameters(options), timeout, fresh=options.fresh)
    if failed:
        print(f"{len(failed)} failed: {', '.join(failed)}.", file=sys.stderr)
    return len(failed)


def _build(options: argparse.Namespace) -> int:
    book = find_book(options.output)
    with sole_builder(book):
        failed = _execute_chapters(options, book)
        if failed:
            print("The site was not built; what was built before is still there.", file=sys.stderr)
            return failed
        from .build import build_site

        print("building the site …", flush=True)
        code = build_site(book)
    index = book.html / "index.html"
    if code:
        earlier = f"the earlier one is still there: {index}" if index.exists() else "there is none"
        print(f"The site has errors or warnings, see above; {earlier}.", file=sys.stderr)
        print(
            f"Line 170002 of a notebook is line 2 of the 17th cell in {book.staging}.", file=sys.stderr
        )
        return code
    print(f"The site is ready: {index}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    import joblib

    from ..chapter import PROFILES, check_parameters
    from .confirmations import check_place, write_report
    from .kept import results_folder
    from .verify import TOLERANCE, certify, verify

    book = find_book(options.output)
    profile = choice("profile", options.profile, PROFILES)
    own = results_folder(book, check_parameters({"profile": profile}))
    folder = Path(options.results) if options.results else own
    report = Path(options.report) if options.report else None
    if report:
        check_place(book, folder, report)
    started = time.monotonic()
    jobs = joblib.cpu_count() if options.jobs is None else options.jobs
    rows = verify(folder, options.sample, only=options.experiments, jobs=jobs, seed=options.seed)
    for row in rows:
        verdict = "the same bits" if row.same_bits else "agrees" if row.agrees else "DOES NOT AGREE"
        print(
            f"{row.file}: {row.run.describe()}: test accuracy {row.stored:.4f}, again {row.again:.4f}: "
            f"{verdict}"
        )
    wrong = sum(not row.agrees for row in rows)
    print(f"{len(rows) - wrong} of {len(rows)} runs agree within {TOLERANCE:g}.")
    if report:
        write_report(report, folder, rows, time.monotonic() - started)
        print(f"The report is written: {report}")
    elif certified := certify(folder, rows):
        print(f"The records of {', '.join(certified)} say so.")
    return wrong


def _status(options: argparse.Namespace) -> int:
    from .status import status

    book = find_book(options.output)
    rows = status(book)
    if not rows:
        print(f"{book.root / TOC} lists no notebook that is in {book.source}.")
        return 0
    if not any(row["problem"] for row in rows):
        rows = [{name: text for name, text in row.items() if name != "problem"} for row in rows]
    header = {name: name for name in rows[0]}
    widths = {name: max(len(row[name]) for row in [header, *rows]) for name in header}
    for row in [header, *rows]:
        print("  ".join(f"{row[name]:{widths[name]}}" for name in header).rstrip())
    return 0


def _pdf(options: argparse.Namespace) -> int:
    from .pdf import print_book

    book = find_book(options.output)
    with sole_builder(book):
        print(f"The book is printed: {print_book(book)}")
    return 0


def _teach(options: argparse.Namespace) -> int:
    from .teach import teach

    book = find_book(options.output)
    with sole_builder(book):
        written = teach(book)
    for chapter, counts in written.items():
        print(f"{chapter}: {', '.join(f'{count} {name}' for name, count in counts.items())}")
    print(f"The notebooks are ready, for students and for instructors: {book.build / 'teach'}")
    return 0


def _diff(options: argparse.Namespace) -> int:
    from .diff import moved

    lines = moved(options.old, options.new)
    print("\n".join(lines) or "Nothing has moved.")
    return bool(lines)


def _colab(options: argparse.Namespace) -> int:
    from .crate import cite_repository
    from .launch import repository, write_colab_cells

    book = find_book()
    published = repository(book.root)
    url = options.url or (published.url if published else "")
    changed = write_colab_cells(book, url)
    cite_repository(book, url)
    print(f"Colab installs dfa_lib from {url or 'the address that is filled in there'}.")
    print(f"Chapters that were changed: {', '.join(changed) or 'none'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
