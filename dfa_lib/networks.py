"""Fully connected networks of any depth with one logistic output (thesis, chapter 1 and appendix A).

A network is a dictionary of plain tensors, named as in the equations: ``W1``, ``b1``, …, ``WL``,
``bL``. Batches are rows, so a layer computes ``a_l = h_{l-1} W_l + b_l`` with ``h_0 = X``, and
``h_l = f(a_l)`` below the output. The output's pre-activation ``a_L`` is the *logit*: the network's
answer is ``sigmoid(a_L)``, but losses and accuracies are computed from logits, which cannot overflow.

Every tensor may have further leading dimensions: a batch of R networks is the same code on ``(R, …)``.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

Parameters = dict[str, Tensor]
"""Tensors by their name in the equations; a gradient is a dictionary with the trained names only."""


class Activation(NamedTuple):
    """A hidden unit: ``function(a)`` and its ``derivative(a)``, both of the pre-activation."""

    function: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]


ACTIVATIONS: dict[str, Activation] = {
    # At a = 0 the ReLU has no derivative; 0 is used, as usual. The sign of the ReLU takes a third of the
    # time of ``(a > 0) * 1.0``.
    "relu": Activation(torch.relu, lambda a: torch.relu(a).sign()),
    "tanh": Activation(torch.tanh, lambda a: 1 - torch.tanh(a) ** 2),
    "sigmoid": Activation(torch.sigmoid, lambda a: torch.sigmoid(a) * (1 - torch.sigmoid(a))),
    "linear": Activation(lambda a: a, torch.ones_like),
}
"""The values of ``Run.activation``."""


class ForwardPass(NamedTuple):
    """The values of a forward pass that the backward pass needs.

    ``hidden[l]`` is ``h_l`` of shape ``(…, n, units of layer l)``, with ``hidden[0] = X``;
    ``pre_activations[l - 1]`` is ``a_l``.
    """

    hidden: list[Tensor]
    pre_activations: list[Tensor]

    @property
    def logits(self) -> Tensor:
        """``a_L``, shape ``(…, n, 1)``."""
        return self.pre_activations[-1]


def depth(parameters: Parameters) -> int:
    """Return L, the number of layers with weights (2 for one hidden layer)."""
    return sum(name.startswith("W") for name in parameters)


def initialise_network(
    widths: Sequence[int], generator: torch.Generator, *, biases: bool = True
) -> Parameters:
    """Draw a network's weights and biases, uniform on ±1/√(fan-in) (thesis, chapter 3).

    ``widths`` are the units of each layer, from the inputs to the output: ``(2352, 512, 1)``. ``W_l`` is
    ``(widths[l-1], widths[l])``, ``b_l`` ``(1, widths[l])``. Numbers are drawn in float64 on the CPU, so
    that one seed gives the same network, up to rounding, in every precision and on every device.
    """
    parameters: Parameters = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(widths), start=1):
        bound = fan_in**-0.5
        parameters[f"W{layer}"] = uniform((fan_in, fan_out), -bound, bound, generator)
        if biases:
            parameters[f"b{layer}"] = uniform((1, fan_out), -bound, bound, generator)
    return parameters


def uniform(
    shape: Sequence[int], low: float, high: float, generator: torch.Generator
) -> Float[Tensor, "..."]:
    """Draw a float64 tensor of ``shape``, uniform on [low, high)."""
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def pre_activation(
    h: Float[Tensor, "*runs n inputs"], parameters: Parameters, layer: int
) -> Float[Tensor, "*runs n units"]:
    """Return ``a_l = h_{l-1} W_l + b_l``."""
    a = h @ parameters[f"W{layer}"]
    return a.add_(parameters[f"b{layer}"]) if f"b{layer}" in parameters else a


def forward(
    parameters: Parameters, X: Float[Tensor, "*runs n inputs"], activation: str = "relu"
) -> ForwardPass:
    """Run a batch through the network (thesis, appendix A).

    ``activation`` names the hidden units: one of ``ACTIVATIONS``.
    """
    hidden, pre_activations = [X], []
    for layer in range(1, depth(parameters) + 1):
        a = pre_activation(hidden[-1], parameters, layer)
        pre_activations.append(a)
        if layer < depth(parameters):
            hidden.append(ACTIVATIONS[activation].function(a))
    return ForwardPass(hidden, pre_activations)


def binary_cross_entropy(
    logits: Float[Tensor, "*runs n 1"], y: Float[Tensor, "*any n 1"]
) -> Float[Tensor, "*runs"]:
    """Mean binary cross-entropy of a batch, from logits (thesis, appendix A).

    With ``ŷ = sigmoid(a)``, ``-y log ŷ - (1-y) log(1-ŷ) = log(1 + eᵃ) - y a``, written here so that
    neither tail overflows. The thesis sums over outputs; over a batch this is the mean, so a learning
    rate does not depend on the batch size.
    """
    # Large terms first: where the answer is right they cancel exactly, and leave the small one whole.
    tail = torch.log1p(torch.exp(-logits.abs()))
    return (logits.clamp(min=0) - y * logits + tail).mean(dim=(-2, -1))


def accuracy(logits: Float[Tensor, "*runs n 1"], y: Float[Tensor, "*any n 1"]) -> Float[Tensor, "*runs"]:
    """Fraction of a batch on the right side of ½, in [0, 1]; a logit of exactly 0 counts as class 0."""
    return ((logits > 0) == (y > 0.5)).double().mean(dim=(-2, -1))
