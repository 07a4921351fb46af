"""Training on a Dask cluster: a ``Run`` is sent to a worker, and its ``History`` comes back.

Registered functions are sent along with the runs that use them.
"""

import importlib
import socket
from collections.abc import Callable, Generator, Sequence
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import torch

from ..training import History, Run
from ..validation import InputError, shown
from .extension import ship, train_shipped
from .provenance import fingerprint

# Seconds to wait for an answer of the scheduler, and for its workers.
CONNECT_TIMEOUT = 10.0
WORKERS_TIMEOUT = 30.0

_KEPT = "what had finished is kept where results are saved, and running again trains the rest"


def train_on_cluster(runs: Sequence[Run], address: str) -> Generator[History, None, None]:
    """Train runs on the workers of a Dask scheduler, started in this order; yield each as it finishes.

    Dask does the scheduling: if a worker dies, its run is restarted on another, until more workers have
    died of it than the cluster's ``distributed.scheduler.allowed-failures`` permits (3). Closing the
    generator cancels the runs that have not started. ``InputError`` if there is no such cluster, it has
    no workers, or workers with another library; if the connection is lost, or a run was given up.
    """
    distributed = _import_distributed()
    _check_address(address)
    try:
        _check_greeting(address)
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except OSError as problem:
        raise InputError(
            f"there is no Dask scheduler at {address} (no answer in {CONNECT_TIMEOUT:g} s); nothing was "
            f"trained: start one with `dask scheduler`, or correct the address."
        ) from problem
    with client:  # closing the client cancels its pending futures
        work, library = _worker_code(), fingerprint()
        _check_workers(client, work, library, address)
        pending = {
            client.submit(work, library, ship(run), pure=False, priority=-place): run
            for place, run in enumerate(runs)
        }
        while pending:
            finished = _finished(distributed, client, list(pending), address)
            # Handle successes first: a failed future raises, and results after it would be lost.
            for future in sorted(finished, key=lambda future: future.status != "finished"):
                yield _history(distributed, future, pending.pop(future))


def _finished(distributed: ModuleType, client: Any, pending: list[Any], address: str) -> list[Any]:
    while True:
        try:
            with client.as_current():
                waited = distributed.wait(pending, WORKERS_TIMEOUT, return_when="FIRST_COMPLETED")
            return list(waited.done)
        except TimeoutError:
            if not client.nthreads():
                raise InputError(
                    f"the cluster at {address} has lost all its workers; {_KEPT}."
                ) from None
        except (OSError, distributed.CancelledError) as problem:
            raise InputError(f"the cluster at {address} was lost; {_KEPT}.") from problem


def _history(distributed: ModuleType, future: Any, run: Run) -> History:
    problem = future.exception()
    if isinstance(problem, distributed.KilledWorker):
        raise InputError(
            f"{run.describe()}, was given up, because {problem.allowed_failures + 1} workers died while "
            f"they had it, of too little memory perhaps; {_KEPT}."
        ) from problem
    if problem is not None and not isinstance(problem, ImportError):
        raise problem
    outcome = problem or future.result()
    if not isinstance(outcome, History):
        raise _other_library("a worker that has come later", outcome)
    return outcome


# ---- what the workers have ----


def train_here(library: str, shipped: bytes | None = None) -> History | str:
    """Train a run on this worker. Without a run, or if the libraries differ, return the fingerprint."""
    here = fingerprint()
    if shipped is None or here != library:
        return here
    # Never reset: the thread count is process-wide, and runs may share a worker.
    torch.set_num_threads(1)
    return train_shipped(shipped)


def _worker_code() -> Callable[..., Any]:
    """Return the function that workers call.

    A lambda is pickled by value, so neither the scheduler nor a worker needs the library to receive it:
    a worker without the library then raises an ImportError that we can report.
    """
    return lambda *args: importlib.import_module("dfa_lib.experiments.cluster").train_here(*args)


def _check_workers(client: Any, work: Callable[..., Any], library: str, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_TIMEOUT)
    except TimeoutError as problem:
        raise InputError(
            f"the cluster at {address} has no workers, and none came in {WORKERS_TIMEOUT:g} s; nothing "
            f"was trained: start some with `dask worker {address}`."
        ) from problem
    for worker, answer in client.run(work, library, on_error="return").items():
        # An OSError means that the worker is dying. Each worker is checked again with its first run.
        if answer != library and not isinstance(answer, OSError):
            raise _other_library(f"the worker {worker}", answer)


def _other_library(worker: str, answer: object) -> InputError:
    if isinstance(answer, Exception):
        answer = f"none that could be used ({answer})"
    return InputError(
        f"{worker} has another library, {answer}, and this machine has {fingerprint()}: numbers could "
        f"differ; install the same dfa_lib and torch on all of them, and restart the workers."
    )


# ---- before connecting ----


def _import_distributed() -> ModuleType:
    try:
        return importlib.import_module("distributed")
    except ImportError as problem:
        raise InputError(
            "cluster needs Dask, which is not installed here: pip install dfa_lib[cluster]."
        ) from problem


def _check_greeting(address: str) -> None:
    """Raise OSError if no Dask server answers; Dask's client would notice after minutes only.

    A Dask server speaks first: its greeting starts with a length of 8 bytes.
    """
    parts = urlsplit(address)
    if parts.scheme == "tcp":
        place = (parts.hostname, parts.port)
        with socket.create_connection(place, timeout=CONNECT_TIMEOUT) as connection:
            length = int.from_bytes(connection.recv(8), "little")
        if not 0 < length < 1 << 20:
            raise ConnectionRefusedError("what answers is no Dask server")


def _check_address(address: Any) -> None:
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
        right = parts.scheme in ("tcp", "tls") and bool(parts.hostname) and parts.port is not None
    except (AttributeError, TypeError, ValueError):
        right = False
    if not right:
        raise InputError(
            f"cluster must be the address of a Dask scheduler, such as tcp://localhost:8786, "
            f"not {shown(address)}."
        )
