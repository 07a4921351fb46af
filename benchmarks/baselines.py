"""Baselines: the same training step with PyTorch's modules, autograd and ``torch.optim``.

The two baselines differ in how they load batches. Both start from the weights that ``dfa_lib`` draws for
the run, and use the same stacks in the same order: tests check that they train the same network.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dfa_lib import Run
from dfa_lib.data.examples import Examples
from dfa_lib.data.parity import draw_stacks
from dfa_lib.networks import Parameters, initialise_network
from dfa_lib.randomness import generator
from dfa_lib.training import DIGIT_SETS, PRECISIONS

# With torch's default constants, which dfa_lib has, too.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adadelta": torch.optim.Adadelta,
}


class Network(nn.Module):
    """A network with one hidden layer of rectified linear units, and a logit as its output."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.layer1 = nn.Linear(inputs, hidden)
        self.layer2 = nn.Linear(hidden, 1)

    def forward(self, X: Tensor) -> Tensor:
        """Return the logits, shape ``(n, 1)``."""
        return self.layer2(torch.relu(self.layer1(X)))


class Stacks(Dataset[tuple[Tensor, Tensor]]):
    """The parity problem as a ``Dataset``, which assembles one stack at a time."""

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        digits = [self.examples.items[row] for row in self.examples.index[i]]
        return torch.cat(digits), self.examples.labels[i]


class Baseline:
    """A network, its optimizer and its batches.

    Parameters
    ----------
    run
        A run of ``"digits"`` or ``"mnist"`` with backpropagation.
    in_memory
        Whether batches are gathered by index, as in ``dfa_lib``; else a ``DataLoader`` collates the
        items of a ``Dataset``.
    """

    def __init__(self, run: Run, *, in_memory: bool) -> None:
        sets, dtype = DIGIT_SETS[run.dataset](), PRECISIONS[run.precision]
        assert run.k is not None
        assert run.samples is not None
        (hidden,) = run.hidden_widths
        inputs = run.k * sets.pixels
        self.network = Network(inputs, hidden).to(dtype)
        start = initialise_network((inputs, hidden, 1), generator(run.seed, "weights"))
        self.network.load_state_dict(
            {
                f"layer{layer}.{kind}": value
                for layer in (1, 2)
                for kind, value in (("weight", start[f"W{layer}"].T), ("bias", start[f"b{layer}"][0]))
            }
        )
        self.loss = nn.BCEWithLogitsLoss()
        self.optimizer = OPTIMIZERS[run.optimizer](self.network.parameters(), lr=run.learning_rate)
        stacks = draw_stacks(sets.train, run.k, run.samples, generator(run.seed, "train"))
        examples = stacks.to(run.device, dtype)
        self.batches = (gathered if in_memory else collated)(examples, run.batch_size)

    def step(self) -> None:
        """Make one training step on the next batch."""
        X, y = next(self.batches)
        self.optimizer.zero_grad()
        self.loss(self.network(X), y).backward()
        self.optimizer.step()

    def parameters(self) -> Parameters:
        """Return the weights and biases with the names and shapes that they have in the equations."""
        layers = enumerate((self.network.layer1, self.network.layer2), start=1)
        return {
            name: value.detach()
            for number, layer in layers
            for name, value in ((f"W{number}", layer.weight.T), (f"b{number}", layer.bias.unsqueeze(0)))
        }


def gathered(examples: Examples, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches, epoch after epoch, each by one indexing operation."""
    while True:
        for rows, y in zip(examples.index.split(size), examples.labels.split(size), strict=True):
            yield examples.items[rows].flatten(1), y


def collated(examples: Examples, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches, epoch after epoch, each collated from single items."""
    loader = DataLoader(Stacks(examples), batch_size=size)
    while True:
        yield from loader
