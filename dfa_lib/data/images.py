"""Handwritten digits in three sets that share no image."""

import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class Digits(NamedTuple):
    """Images as rows of pixels, and their labels (0 to 9)."""

    images: Float[Tensor, "count pixels"] | UInt8[Tensor, "count pixels"]  # normalised, or as scanned
    labels: Int[Tensor, "count"]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str, dtype: torch.dtype) -> "Digits":
        """Return the digits with their images on a device and in a precision; labels stay on the CPU."""
        return Digits(self.images.to(device, dtype), self.labels)


class DigitSets(NamedTuple):
    """Training, validation (for choosing rates) and test digits (for results)."""

    train: Digits
    validation: Digits
    test: Digits

    @property
    def pixels(self) -> int:
        """Pixels of one image."""
        return self.train.images.shape[1]

    def checksum(self) -> str:
        """SHA-256 over all three sets, first 16 hexadecimal digits, for the provenance of results."""
        digest = hashlib.sha256()
        for digits in self:
            digest.update(digits.images.numpy().tobytes())
            digest.update(digits.labels.numpy().tobytes())
        return digest.hexdigest()[:16]


def shuffled(digits: Digits, seed: int = 0) -> Digits:
    """Return the digits in a random order that is the same in every run."""
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    return Digits(digits.images[order], digits.labels[order])


def take(digits: Digits, start: int, stop: int | None) -> Digits:
    """Return the digits from ``start`` to before ``stop``."""
    return Digits(digits.images[start:stop], digits.labels[start:stop])


def normalised(train: Digits, validation: Digits, test: Digits) -> DigitSets:
    """Normalise pixels by the training digits' mean and standard deviation over all pixels.

    Images are uint8 before and float32 after.
    """
    train, validation, test = (
        Digits(digits.images.to(torch.float32, copy=True), digits.labels)
        for digits in (train, validation, test)
    )
    # In place, because a second copy of MNIST would take another 172 MB.
    std, mean = torch.std_mean(train.images)
    for digits in (train, validation, test):
        digits.images.sub_(mean).div_(std)
    return DigitSets(train, validation, test)
