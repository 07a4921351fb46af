"""The parity problem: whether the sum of k digits side by side is odd (thesis, section 2.1)."""

import torch
from jaxtyping import Int
from torch import Tensor

from .examples import Examples
from .images import Digits


def draw_stacks(digits: Digits, k: int, samples: int, generator: torch.Generator) -> Examples:
    """Draw stacks of k ≥ 1 digits, each digit uniformly and independently from ``digits``.

    Inputs are ``(samples, k · pixels)``, labels 1 where the digits' sum is odd. Pixels are ordered digit
    by digit, not row by row of the wide image; for a fully connected network the order does not matter.
    """
    index = torch.randint(len(digits), (samples, k), generator=generator)
    return Examples(digits.images, index, parity(digits.labels[index]))


def parity(labels: Int[Tensor, "n k"]) -> Tensor:
    """Return 1.0 where the sum of a row of digits is odd, else 0.0; shape ``(n, 1)``, float32."""
    return (labels.sum(dim=1, keepdim=True) % 2).float()
