"""Backpropagation, feedback alignment and direct feedback alignment, for networks of any depth.

The three rules differ in one thing: how the error reaches a hidden layer. Write
``e = (sigmoid(a_L) - y) / n`` for the error at the output and ``δ_l`` for the signal at layer l, so
that ``δ_L = e`` and ``δ_l = (transported error) ⊙ f'(a_l)``. The transported error is

=========================  ====================  =========================================
backpropagation            ``δ_{l+1} W_{l+1}ᵀ``  Rumelhart, Hinton, Williams (1986)
feedback alignment         ``δ_{l+1} B_l``       Lillicrap et al. (2014), arXiv 1411.0247
direct feedback alignment  ``e B_l``             Nøkland (2016), arXiv 1609.01596
=========================  ====================  =========================================

and in all three the update direction is ``h_{l-1}ᵀ δ_l`` for ``W_l`` and the column sums of ``δ_l``
for ``b_l`` (thesis, section 1.2 and appendix A). No rule changes the output layer's gradient.

A rule yields each update direction as two factors, ``(name, a, b)``, whose product is ``a @ b``:
``gradients(backpropagation(parameters, X, y))`` multiplies them out.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from .networks import ACTIVATIONS, ForwardPass, Parameters, depth, forward

Products = Iterator[tuple[str, Tensor, Tensor]]
"""A rule's output: names of parameters, each with two factors of its gradient ``a @ b``."""

Transport = Callable[[int, Tensor, Tensor], Tensor]
"""``transport(l, e, δ_{l+1})`` returns what reaches hidden layer l, shape ``(…, n, units of l)``."""


def gradients(products: Iterable[tuple[str, Tensor, Tensor]]) -> Parameters:
    """Multiply out the gradients that a rule yields: a tensor per name, of the parameter's shape."""
    return {name: a @ b for name, a, b in products}


def output_error(
    logits: Float[Tensor, "*runs n 1"], y: Float[Tensor, "*any n 1"]
) -> Float[Tensor, "*runs n 1"]:
    """Return ``e = (sigmoid(a_L) - y) / n``, the gradient of the mean cross-entropy in the logits."""
    return (torch.sigmoid(logits) - y) / logits.shape[-2]


def backpropagation(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
) -> Products:
    """Gradients of the mean cross-entropy (thesis, appendix A): ``δ_l = δ_{l+1} W_{l+1}ᵀ ⊙ f'(a_l)``.

    Parameters
    ----------
    parameters
        Every ``W`` and ``b`` of the network.
    X, y
        Inputs and labels, 0 or 1, of a batch of n examples.
    activation
        Of the hidden units: a name of ``ACTIVATIONS``.

    Yields
    ------
    name, a, b
        For every ``W`` and ``b``, from the output down: the gradient is ``a @ b``.
    """

    def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
        return delta @ parameters[f"W{layer + 1}"].mT

    return backward(parameters, forward(parameters, X, activation), y, activation, transport)


def feedback_alignment(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
) -> Products:
    """Lillicrap et al. (2014): ``δ_l = δ_{l+1} B_l ⊙ f'(a_l)``; ``B_l`` is shaped as ``W_{l+1}ᵀ``.

    Arguments and what is yielded are as for backpropagation; ``parameters`` has every ``B`` too.
    """

    def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
        return delta @ parameters[f"B{layer}"]

    return backward(parameters, forward(parameters, X, activation), y, activation, transport)


def direct_feedback_alignment(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
) -> Products:
    """Nøkland (2016); thesis, section 1.2: ``δ_l = e B_l ⊙ f'(a_l)``; ``B_l`` is ``(1, units of l)``.

    Arguments and what is yielded are as for backpropagation; ``parameters`` has every ``B`` too.
    """

    def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
        return error @ parameters[f"B{layer}"]

    return backward(parameters, forward(parameters, X, activation), y, activation, transport)


def backward(
    parameters: Parameters, passed: ForwardPass, y: Tensor, activation: str, transport: Transport
) -> Products:
    """Compute update directions from a forward pass and the rule's transport of the error.

    ``transport(l, e, δ_{l+1})`` returns what reaches hidden layer l, ``(n, units of l)``. The other
    arguments and what is yielded are as for backpropagation.
    """
    derivative = ACTIVATIONS[activation].derivative
    error = delta = output_error(passed.logits, y)
    for layer in range(depth(parameters), 0, -1):
        above = delta
        if layer > 1:
            # Propagate the error first: consuming the gradient may update W_l in place.
            delta = transport(layer - 1, error, above) * derivative(passed.pre_activations[layer - 2])
        yield from layer_gradients(parameters, layer, passed.hidden[layer - 1], above)


def layer_gradients(parameters: Parameters, layer: int, h: Tensor, delta: Tensor) -> Products:
    """Yield ``h_{l-1}ᵀ δ_l`` for ``W_l``, and ``1ᵀ δ_l``, the column sums, for ``b_l``."""
    yield f"W{layer}", h.mT, delta
    if f"b{layer}" in parameters:
        yield bias_gradient(f"b{layer}", delta)


def bias_gradient(name: str, delta: Tensor) -> tuple[str, Tensor, Tensor]:
    """Return ``1ᵀ δ_l``, the column sums of a layer's signal, as a product."""
    return name, delta.new_ones(*delta.shape[:-2], 1, delta.shape[-2]), delta
