"""Labelled examples, assembled batch by batch to save memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Examples:
    """``n`` examples, each the concatenation of k ``items``; or one such set for each run of a batch.

    An MNIST epoch of three-digit stacks would take 564 MB as inputs; as indices of digits it takes
    1.4 MB.
    """

    items: Float[Tensor, "count pixels"]
    index: Int[Tensor, "*runs n k"]
    labels: Float[Tensor, "*runs n 1"]

    def __len__(self) -> int:
        return self.index.shape[-2]

    @property
    def inputs(self) -> int:
        """Numbers in one example: k · pixels."""
        return self.index.shape[-1] * self.items.shape[-1]

    def batch(
        self, start: int, size: int, *, out: Tensor | None = None
    ) -> tuple[Float[Tensor, "*runs batch inputs"], Float[Tensor, "*runs batch 1"]]:
        """Return inputs ``(…, batch, k · pixels)`` and labels of the examples from ``start`` on.

        The last batch of an epoch may be smaller than ``size``. If ``out``, from ``buffer``, is passed,
        the inputs are written there, and the next batch overwrites them.
        """
        rows = self.index[..., start : start + size, :]
        flat = rows.flatten()
        X = torch.index_select(self.items, 0, flat, out=None if out is None else out[: len(flat)])
        return X.view(*rows.shape[:-1], -1), self.labels[..., start : start + size, :]

    def buffer(self, size: int) -> Tensor:
        """Allocate memory for the inputs of a batch."""
        rows = self.index[..., :size, :].numel()
        return self.items.new_empty(rows, self.items.shape[-1])

    def head(self, count: int) -> "Examples":
        """Return the first ``count`` examples."""
        return Examples(self.items, self.index[..., :count, :], self.labels[..., :count, :])

    def shuffled(self, generator: torch.Generator) -> "Examples":
        """Return the examples in a random order."""
        order = torch.randperm(len(self), generator=generator).to(self.index.device)
        return Examples(self.items, self.index[order], self.labels[order])

    def to(self, device: str | torch.device, dtype: torch.dtype) -> "Examples":
        """Return the examples on a device and in a precision."""
        return Examples(
            self.items.to(device, dtype), self.index.to(device), self.labels.to(device, dtype)
        )


def stack(sets: Sequence[Examples]) -> Examples:
    """Stack sets of the same length and k: index and labels get a leading dimension for the runs.

    Items that all sets share are stored once.
    """
    index = torch.stack([examples.index for examples in sets])
    labels = torch.stack([examples.labels for examples in sets])
    items = sets[0].items
    if any(examples.items is not items for examples in sets):
        items = torch.cat([examples.items for examples in sets])
        starts = torch.tensor([0, *(len(examples.items) for examples in sets[:-1])]).cumsum(0)
        index = index + starts.view(-1, 1, 1).to(index.device)
    return Examples(items, index, labels)
