"""Random numbers: every stream depends on a run's seed and a name only."""

import numpy as np
import torch


def generator(seed: int, stream: str) -> torch.Generator:
    """Return the generator of one named stream of a seed.

    Streams of different names, or of different seeds, are independent (``numpy.random.SeedSequence``).
    Runs that share a seed share their streams, so comparisons between methods are paired.

    Parameters
    ----------
    seed
        A whole number of at least 0.
    stream
        The purpose of the numbers: ``"weights"``, ``"feedback"``, ``"train"``, …
    """
    sequence = np.random.SeedSequence([seed, *stream.encode()])
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
