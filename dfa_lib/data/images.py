"""Handwritten digits in three sets that share no image."""

import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Digits(NamedTuple):
    """Images as rows of pixels, and the digits that they show (0 to 9)."""

    images: Float[Tensor, "count pixels"]
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
    """Scale pixels by the training digits' mean and standard deviation, one of each for all pixels."""
    pixels = train.images.double()
    mean, std = pixels.mean(), pixels.std()

    def scale(digits: Digits) -> Digits:
        return Digits(((digits.images.double() - mean) / std).float(), digits.labels)

    return DigitSets(scale(train), scale(validation), scale(test))
