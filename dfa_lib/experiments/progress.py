"""A progress line for a list of runs: how many are done, the time left, and what is training."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

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
    ``DFA_PROGRESS_FILE`` names a file, that holds the line meanwhile. ``clock`` returns seconds.
    """

    def __init__(self, runs: Sequence[Run], clock: Callable[[], float] = time.monotonic) -> None:
        self._left = dict.fromkeys(runs)  # in the order in which they start
        self._total = len(self._left)
        self._cost = self._cost_left = sum(map(cost, self._left))
        self._clock = clock
        self._start = clock()
        self._contexts = ExitStack()

    def __enter__(self) -> "Progress":
        display = _notebook if _in_jupyter() else _terminal if sys.stderr.isatty() else _log
        self._display = self._contexts.enter_context(display(self._total, self._clock))
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        self._contexts.close()
        _write_file(None)

    def finished(self, run: Run) -> None:
        """Mark a run as done."""
        del self._left[run]
        self._cost_left -= cost(run)
        self._show()

    def _show(self) -> None:
        self._display(self.line(), self._total - len(self._left))
        _write_file(self.line())

    def line(self) -> str:
        """Return the line: ``12 of 60 runs, 4 min left · dfa with …``."""
        done = f"{self._total - len(self._left)} of {self._total} runs"
        elapsed = self._clock() - self._start
        if not self._left:
            return f"{done} in {duration(elapsed)}"
        if self._cost_left < self._cost:
            done += f", {duration(elapsed * self._cost_left / (self._cost - self._cost_left))} left"
        # Of the runs that are training, name the one that started first.
        return f"{done} · {next(iter(self._left)).describe()}"


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


# ---- displays: each yields a function that shows a line, given how many runs are done ----

Show = Callable[[str, int], object]


@contextmanager
def _terminal(total: int, clock: Callable[[], float]) -> Iterator[Show]:
    # tqdm truncates the line to the terminal's width only if there is a bar in it.
    with tqdm(total=total, bar_format="{bar:12} {desc}", dynamic_ncols=True) as bar:

        def show(line: str, done: int) -> None:
            bar.n = done
            bar.set_description_str(line)

        yield show


@contextmanager
def _log(total: int, clock: Callable[[], float]) -> Iterator[Show]:
    start = written = clock()

    def show(line: str, done: int) -> None:
        nonlocal written
        if clock() - written >= LOG_INTERVAL or (done == total and written > start):
            written = clock()
            print(line, file=sys.stderr, flush=True)

    yield show


# Execution count and display handle of the latest cell. All lines of one execution of a cell share one
# output area: ``tune`` alone shows a dozen of them.
_output_area: tuple[int | None, Any] = (None, None)


@contextmanager
def _notebook(total: int, clock: Callable[[], float]) -> Iterator[Show]:
    global _output_area
    from IPython import get_ipython
    from IPython.display import display

    execution = get_ipython().execution_count
    if _output_area[0] != execution:
        _output_area = execution, display({"text/plain": ""}, raw=True, display_id=True)
    handle = _output_area[1]
    yield lambda line, done: handle.update({"text/plain": line}, raw=True)
    # Clear the line: empty HTML shows nothing, empty text/plain would be an empty output box.
    handle.update({"text/html": "", "text/plain": ""}, raw=True)


def _in_jupyter() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and type(ipython.get_ipython()).__name__ == "ZMQInteractiveShell"
