"""Many runs on one GPU: batches of runs of one shape, as large as memory allows."""

import logging
from collections.abc import Iterator, Sequence

import torch

from ..training import History, Run, stackable, train_stack
from ..validation import InputError
from .extension import registrations

logger = logging.getLogger(__name__)


def train_batches(runs: Sequence[Run]) -> Iterator[History]:
    """Train runs in batches, and yield their histories as each batch ends.

    Runs that share a shape (``stackable``) train together, except those with a registered function that
    takes one run at a time. A batch that does not fit in memory is split in two, again and again, until
    a single run does not fit (``InputError``).
    """
    shapes: dict[Run, list[Run]] = {}
    for run in runs:
        alone = not all(registration.batches for registration in registrations(run))
        shapes.setdefault(run if alone else stackable(run), []).append(run)
    for batch in shapes.values():
        yield from _train_or_split(batch)


def _train_or_split(runs: list[Run]) -> Iterator[History]:
    try:
        histories = train_stack(runs)
    except torch.OutOfMemoryError as problem:
        if len(runs) == 1:
            raise InputError(
                f"{runs[0].describe()} does not fit in the memory of {runs[0].device}; a smaller "
                f"hidden, batch_size or test_samples takes less."
            ) from problem
        histories = []
    if histories:
        yield from histories
        return
    # Outside the except block: its traceback would keep the tensors alive.
    if runs[0].device == "cuda":
        torch.cuda.empty_cache()
    half = len(runs) // 2
    logger.warning("A batch of %d runs does not fit in memory: split in two.", len(runs))
    yield from _train_or_split(runs[:half])
    yield from _train_or_split(runs[half:])
