"""Child processes of ``dfa-book``, which end with all their descendants when it is stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

import dfa_lib

# Seconds from SIGTERM to SIGKILL.
GRACE = 2.0
# Seconds between two calls of ``meanwhile``.
INTERVAL = 0.5
STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Stopped(BaseException):
    """A signal that asks this program to end; no ``except Exception`` catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise ``Stopped`` in the body when a signal asks the program to end, so that it can clean up."""
    if threading.current_thread() is not threading.main_thread():  # only that thread may set handlers
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        for other in STOPPING:  # cleaning up takes seconds and must not be interrupted
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(
    command: Sequence[str],
    *,
    timeout: float | None = None,
    meanwhile: Callable[[], None] = lambda: None,
    **options: Any,
) -> "subprocess.CompletedProcess[str]":
    """Run a program as ``subprocess.run`` does, in its own session, and end all its descendants.

    ``meanwhile`` is called twice a second; ``options`` are those of ``subprocess.Popen``. Raises
    ``subprocess.TimeoutExpired`` after ``timeout`` seconds.
    """
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    with subprocess.Popen(command, start_new_session=True, text=True, **options) as process:
        try:
            while True:
                left = deadline - time.monotonic()
                try:
                    stdout, stderr = process.communicate(timeout=max(0.0, min(INTERVAL, left)))
                    break
                except subprocess.TimeoutExpired:
                    if left <= INTERVAL:
                        raise
                    meanwhile()
        finally:
            if process.returncode is None:
                _end(process)
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def python(function: str) -> list[str]:
    """Return the start of a command that calls ``module:function`` with the rest as ``sys.argv``.

    The process ends soon after this one, even if this one is killed.
    """
    program = Path(dfa_lib.__file__).parent / "experiments" / "orphans.py"
    return [sys.executable, "-P", str(program), str(os.getpid()), function]


def _end(process: "subprocess.Popen[str]") -> None:
    """End a program and its descendants: kernels are in sessions of their own."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for member in family:
            with suppress(psutil.NoSuchProcess):
                end(member)
        deadline = time.monotonic() + GRACE
        while (family := list(filter(_alive, family))) and time.monotonic() < deadline:
            time.sleep(0.02)


def _alive(process: psutil.Process) -> bool:
    try:
        # In some containers process 1 does not reap, so that zombies stay.
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
