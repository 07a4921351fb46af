"""A progress line for a list of runs: how many are done, the time left, and what is training."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Protocol

from tqdm import tqdm

from ..methods import METHODS
from ..training import Run

# Seconds between two lines in a log.
LOG_INTERVAL = 10.0
# Environment variable with the file through which ``dfa-book`` reads the line of a chapter's kernel.
PROGRESS_FILE = "DFA_PROGRESS_FILE"

_PIXELS = {"digits": 64, "mnist": 784}


def cost(run: Run) -> int:
    """Return how long a run takes, up to a factor: the multiplications of all its epochs."""
    assert run.samples is not None
    inputs = run.dimensions if run.dimensions is not None else _PIXELS[run.dataset] * (run.k or 1)
    widths = (inputs, *run.hidden_widths, 1)
    # Other optimizers than SGD cost about one more product.
    products = METHODS[run.method].products + (run.optimizer != "sgd")
    return run.epochs * run.passes * run.samples * products * sum(map(prod, pairwise(widths)))


class Progress:
    """Show the line while ``runs`` are trained, in their order or in parallel.

    In a terminal and in Jupyter the line is updated in place; in Jupyter it disappears at the end. Where
    stderr is a file, a line is added at most every ten seconds. If the environment variable
    ``DFA_PROGRESS_FILE`` names a file, that holds the line meanwhile.

    Parameters
    ----------
    clock
        Returns seconds.
    """

    def __init__(self, runs: Sequence[Run], clock: Callable[[], float] = time.monotonic) -> None:
        self._order = list(dict.fromkeys(runs))
        self._done: set[Run] = set()
        self._first = 0  # index of the first run that is not done
        self._total = len(self._order)
        self._cost, self._done_cost = sum(map(cost, self._order)), 0
        self._clock = clock
        self._start = clock()
        self._display: _Display

    def __enter__(self) -> "Progress":
        kind = _Notebook if _in_jupyter() else _Terminal if sys.stderr.isatty() else _Log
        self._display = kind(self.line(), self._total)
        _write_file(self.line())
        return self

    def __exit__(self, *_: object) -> None:
        self._display.close()
        _write_file(None)

    def finished(self, run: Run) -> None:
        """Mark a run as done."""
        self._done.add(run)
        self._done_cost += cost(run)
        while self._first < self._total and self._order[self._first] in self._done:
            self._first += 1
        self._display.show(self.line(), self._elapsed(), last=self._first == self._total)
        _write_file(self.line())

    def line(self) -> str:
        """Return the line: ``12 of 60 runs, 4 min left · dfa with …``."""
        done = f"{len(self._done)} of {self._total} runs"
        if self._first == self._total:
            return f"{done} in {duration(self._elapsed())}"
        if self._done_cost:
            left = self._elapsed() * (self._cost - self._done_cost) / self._done_cost
            done += f", {duration(left)} left"
        # Of the runs that are training, name the one that started first.
        return f"{done} · {self._order[self._first].describe()}"

    def _elapsed(self) -> float:
        return self._clock() - self._start


def _write_file(line: str | None) -> None:
    """Write the line to the progress file, if there is one; None removes the file."""
    name = os.environ.get(PROGRESS_FILE)
    if name:
        file = Path(name)
        with suppress(OSError):  # a full disk must not stop the training
            if line is None:
                file.unlink(missing_ok=True)
            else:  # atomically: another process reads it
                new = file.with_suffix(".new")
                new.write_text(line, encoding="utf-8")
                new.replace(file)


def duration(seconds: float) -> str:
    """Format a duration: ``40 s``, ``3 min``, ``1 h 5 min``."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


class _Display(Protocol):
    def show(self, line: str, elapsed: float, *, last: bool) -> None: ...

    def close(self) -> None: ...


class _Terminal:
    def __init__(self, line: str, total: int) -> None:
        # tqdm truncates the line to the terminal's width only if there is a bar in it.
        self._bar = tqdm(total=total, desc=line, bar_format="{bar:12} {desc}", dynamic_ncols=True)
        self._bar.set_description_str(line)

    def show(self, line: str, elapsed: float, *, last: bool) -> None:
        self._bar.n += 1
        self._bar.set_description_str(line)

    def close(self) -> None:
        self._bar.close()


class _Log:
    def __init__(self, line: str, total: int) -> None:
        self._written = 0.0

    def show(self, line: str, elapsed: float, *, last: bool) -> None:
        if elapsed - self._written >= LOG_INTERVAL or (last and self._written):
            self._written = elapsed
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class _Notebook:
    # Execution count and display handle. All lines of one execution of a cell share one output area:
    # ``tune`` alone shows a dozen of them.
    _place: ClassVar[tuple[int | None, Any]] = (None, None)

    def __init__(self, line: str, total: int) -> None:
        from IPython import get_ipython
        from IPython.display import display

        execution = get_ipython().execution_count
        if self._place[0] != execution:
            type(self)._place = (execution, display({"text/plain": ""}, raw=True, display_id=True))
        self._handle = self._place[1]
        self._handle.update({"text/plain": line}, raw=True)

    def show(self, line: str, elapsed: float, *, last: bool) -> None:
        self._handle.update({"text/plain": line}, raw=True)

    def close(self) -> None:
        # Clear the line: empty HTML shows nothing, empty text/plain would be an empty output box.
        self._handle.update({"text/html": "", "text/plain": ""}, raw=True)


def _in_jupyter() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
