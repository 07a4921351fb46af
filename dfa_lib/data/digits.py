"""The 1,797 handwritten digits of 8 × 8 pixels that scikit-learn ships: real data, no download."""

from functools import cache

import torch

from .images import Digits, DigitSets, normalised, shuffled, take

VALIDATION, TEST = 180, 360


@cache
def load_digits() -> DigitSets:
    """Return 1,257 training, 180 validation and 360 test digits, of 64 pixels each.

    The split is the same for every run. Source: the test part of Alpaydin and Kaynak's *Optical
    Recognition of Handwritten Digits* (UCI Machine Learning Repository), as scikit-learn ships it.
    """
    # Imported here: scikit-learn takes as long to import as a short run, and only these data need it.
    from sklearn.datasets import load_digits as sklearn_digits

    images, labels = sklearn_digits(return_X_y=True)
    digits = shuffled(Digits(torch.from_numpy(images).to(torch.uint8), torch.from_numpy(labels).long()))
    return normalised(
        train=take(digits, VALIDATION + TEST, None),
        validation=take(digits, TEST, VALIDATION + TEST),
        test=take(digits, 0, TEST),
    )
