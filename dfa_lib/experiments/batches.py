"""Many runs on one GPU: stacks of runs of one shape, as large as memory allows."""

import logging
from collections.abc import Iterator, Sequence

import torch

from ..training import History, Run, stackable, train_stack
from ..validation import InputError
from .extension import stacks

logger = logging.getLogger(__name__)


def train_stacked(runs: Sequence[Run]) -> Iterator[History]:
    """Train runs in stacks, and yield their histories as each stack ends.

    Runs that share a shape (``stackable``) train together, except those whose rule or optimizer has
    been registered and takes one run at a time only. A stack that does not fit in memory is split in
    two, and each half is tried again.

    Raises
    ------
    InputError
        If a single run does not fit.
    """
    shapes: dict[Run, list[Run]] = {}
    for run in runs:
        shapes.setdefault(stackable(run) if stacks(run) else run, []).append(run)
    for together in shapes.values():
        yield from _train_or_split(together)


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
    # Outside of the handler, whose traceback would keep the tensors that did not fit.
    if runs[0].device == "cuda":
        torch.cuda.empty_cache()
    half = len(runs) // 2
    logger.warning("A stack of %d runs does not fit in memory: split in two.", len(runs))
    yield from _train_or_split(runs[:half])
    yield from _train_or_split(runs[half:])
