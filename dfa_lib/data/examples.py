"""Labelled examples that are put together batch by batch, so that an epoch never fills the memory."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """``n`` examples, each the concatenation of k ``items``.

    An MNIST epoch of three-digit stacks would take 564 MB if it were laid out; as row numbers into
    the digits it takes 1.4 MB.
    """

    items: Float[Tensor, "count pixels"]
    index: Int[Tensor, "n k"]
    labels: Float[Tensor, "n 1"]

    def __len__(self) -> int:
        return len(self.index)

    def batch(
        self, start: int, size: int
    ) -> tuple[Float[Tensor, "batch inputs"], Float[Tensor, "batch 1"]]:
        """Return inputs ``(batch, k · pixels)`` and labels of the examples from ``start`` on.

        The last batch of an epoch may be smaller than ``size``.
        """
        rows = self.index[start : start + size]
        X = self.items.index_select(0, rows.flatten()).view(len(rows), -1)
        return X, self.labels[start : start + size]

    def head(self, count: int) -> "Examples":
        """Return the first ``count`` examples."""
        return Examples(self.items, self.index[:count], self.labels[:count])

    def shuffled(self, generator: torch.Generator) -> "Examples":
        """Return the examples in a random order."""
        order = torch.randperm(len(self), generator=generator).to(self.index.device)
        return Examples(self.items, self.index[order], self.labels[order])

    def to(self, device: str | torch.device, dtype: torch.dtype) -> "Examples":
        """Return the examples on a device; items and labels in a precision."""
        return Examples(
            self.items.to(device, dtype), self.index.to(device), self.labels.to(device, dtype)
        )
