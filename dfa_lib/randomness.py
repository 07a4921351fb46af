"""Random numbers: every stream depends on a run's seed and a name only."""

import numpy as np
import torch


def generator(seed: int, stream: str) -> torch.Generator:
    """Return the generator of one named stream of a seed.

    The name says what the numbers are for: ``"weights"``, ``"feedback"``, ``"train"``, … Streams of
    different names, or of different seeds (at least 0), are independent (``numpy.random.SeedSequence``).
    Runs that share a seed share their streams, so comparisons between methods are paired.
    """
    sequence = np.random.SeedSequence([seed, *stream.encode()])
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
