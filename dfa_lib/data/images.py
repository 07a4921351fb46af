"""Handwritten digits in three sets that share no image."""

import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class Digits(NamedTuple):
    """Images as rows of pixels, and the digits that they show (0 to 9)."""

    images: Float[Tensor, "count pixels"] | UInt8[Tensor, "count pixels"]  # normalised, or as scanned
    labels: Int[Tensor, "count"]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str, dtype: torch.dtype) -> "Digits":
        """Return the digits with their images on a device and in a precision; labels stay put."""
        return Digits(self.images.to(device, dtype), self.labels)


class DigitSets(NamedTuple):
    """Training, validation and test digits: rates are chosen on validation, results reported on test."""

    train: Digits
    validation: Digits
    test: Digits

    @property
    def pixels(self) -> int:
        """Pixels of one image."""
        return self.train.images.shape[1]

    def checksum(self) -> str:
        """SHA-256 over all three sets, first 16 hexadecimal digits: names the data of a result."""
        digest = hashlib.sha256()
        for digits in self:
            digest.update(digits.images.numpy().tobytes())
            digest.update(digits.labels.numpy().tobytes())
        return digest.hexdigest()[:16]


def shuffled(digits: Digits, seed: int = 0) -> Digits:
    """Return the digits in an order that is fixed once and for all, the same in every run."""
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    return Digits(digits.images[order], digits.labels[order])


def take(digits: Digits, start: int, stop: int | None) -> Digits:
    """Return the digits from ``start`` to before ``stop``."""
    return Digits(digits.images[start:stop], digits.labels[start:stop])


def normalised(train: Digits, validation: Digits, test: Digits) -> DigitSets:
    """Scale pixels by the training digits' mean and standard deviation, one of each for all pixels.

    The digits are those that were scanned, with pixels in uint8; what comes out is float32.
    """
    train, validation, test = (
        Digits(digits.images.to(torch.float32, copy=True), digits.labels)
        for digits in (train, validation, test)
    )
    # In place: MNIST takes 172 MB, and no second copy is made.
    std, mean = torch.std_mean(train.images)
    for digits in (train, validation, test):
        digits.images.sub_(mean).div_(std)
    return DigitSets(train, validation, test)
