"""Backpropagation, feedback alignment and direct feedback alignment, for networks of any depth.

The three rules differ in one thing: how the error reaches a hidden layer. Write
``e = (sigmoid(a_L) - y) / n`` for the error at the output and ``δ_l`` for the signal at layer l, so
that ``δ_L = e`` and ``δ_l = (what arrives) ⊙ f'(a_l)``. What arrives is

=========================  ====================  =========================================
backpropagation            ``δ_{l+1} W_{l+1}ᵀ``  Rumelhart, Hinton, Williams (1986)
feedback alignment         ``δ_{l+1} B_l``       Lillicrap et al. (2014), arXiv 1411.0247
direct feedback alignment  ``e B_l``             Nøkland (2016), arXiv 1609.01596
=========================  ====================  =========================================

and in all three the update direction is ``h_{l-1}ᵀ δ_l`` for ``W_l`` and the column sums of ``δ_l``
for ``b_l`` (thesis, section 1.2 and appendix A). No rule changes the output layer's gradient.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .networks import ACTIVATIONS, ForwardPass, Parameters, depth, forward, product

Transport = Callable[[int, Tensor, Tensor], Tensor]
"""``transport(l, e, δ_{l+1})`` returns what reaches hidden layer l, shape ``(…, n, units of l)``."""

Emit = Callable[[str, Tensor, Tensor], Tensor]
"""``emit(name, a, b)`` is told the gradient of a parameter as a product ``a @ b``. ``multiply`` returns
it; an engine writes it straight to where it is needed."""


def output_error(
    logits: Float[Tensor, "*runs n 1"], y: Float[Tensor, "*any n 1"]
) -> Float[Tensor, "*runs n 1"]:
    """Return ``e = (sigmoid(a_L) - y) / n``, the gradient of the mean cross-entropy in the logits."""
    return (torch.sigmoid(logits) - y) / logits.shape[-2]


def multiply(name: str, a: Tensor, b: Tensor) -> Tensor:
    """Return the gradient of the parameter ``name``, given as a product: plainly, ``a @ b``."""
    return product(a, b)


def backward(
    parameters: Parameters,
    passed: ForwardPass,
    y: Tensor,
    activation: str,
    transport: Transport,
    emit: Emit = multiply,
) -> Parameters:
    """Turn a forward pass into update directions, given how the error travels.

    Parameters
    ----------
    parameters
        Every ``W`` and ``b``; what else ``transport`` needs, it brings.
    passed
        The forward pass of a batch of n examples.
    y
        Their labels, ``(n, 1)``, 0 or 1.
    activation
        Of the hidden units: a name of ``ACTIVATIONS``.
    transport
        ``transport(l, e, δ_{l+1})`` returns what reaches hidden layer l, ``(n, units of l)``.
    emit
        What becomes of each gradient (default: it is computed, and returned).

    Returns
    -------
    gradients
        One tensor for every ``W`` and ``b``, shaped as they are. For backpropagation these are the
        gradients of the mean cross-entropy; for the other rules they stand in for them.
    """
    derivative = ACTIVATIONS[activation].derivative
    error = delta = output_error(passed.logits, y)
    precision = passed.hidden[0].dtype  # of the products
    gradients: Parameters = {}
    for layer in range(depth(parameters), 0, -1):
        above = delta
        if layer > 1:
            # Before the gradient is emitted: that may change the weights which the error passes here.
            arrived = transport(layer - 1, error.to(precision), above.to(precision))
            delta = arrived * derivative(passed.pre_activations[layer - 2])
        gradients |= layer_gradients(parameters, layer, passed.hidden[layer - 1], above, emit)
    return gradients


def layer_gradients(
    parameters: Parameters, layer: int, h: Tensor, delta: Tensor, emit: Emit = multiply
) -> Parameters:
    """Return ``h_{l-1}ᵀ δ_l`` for ``W_l``, and ``1ᵀ δ_l``, the column sums, for ``b_l``."""
    W, b = f"W{layer}", f"b{layer}"
    gradients = {W: emit(W, h.mT, delta)}
    if b in parameters:
        gradients[b] = bias_gradient(b, delta, emit)
    return gradients


def bias_gradient(name: str, delta: Tensor, emit: Emit = multiply) -> Tensor:
    """Return ``1ᵀ δ_l``, the column sums of a layer's signal."""
    return emit(name, delta.new_ones(*delta.shape[:-2], 1, delta.shape[-2]), delta)


def backpropagation(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
    emit: Emit = multiply,
) -> Parameters:
    """Gradients of the mean cross-entropy (thesis, appendix A): ``δ_l = δ_{l+1} W_{l+1}ᵀ ⊙ f'(a_l)``.

    Parameters
    ----------
    parameters
        Every ``W`` and ``b`` of the network.
    X, y
        Inputs and labels, 0 or 1, of a batch of n examples.
    activation
        Of the hidden units: a name of ``ACTIVATIONS``.
    emit
        What becomes of each gradient (default: it is computed, and returned).

    Returns
    -------
    gradients
        A tensor for every ``W`` and ``b``, shaped as they are.
    """

    def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
        return product(delta, parameters[f"W{layer + 1}"].mT)

    return backward(parameters, forward(parameters, X, activation), y, activation, transport, emit)


def feedback_alignment(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
    emit: Emit = multiply,
) -> Parameters:
    """Lillicrap et al. (2014): ``δ_l = δ_{l+1} B_l ⊙ f'(a_l)``; ``B_l`` is shaped as ``W_{l+1}ᵀ``.

    Arguments and what is returned are as for backpropagation; ``parameters`` has every ``B`` too.
    """

    def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
        return product(delta, parameters[f"B{layer}"])

    return backward(parameters, forward(parameters, X, activation), y, activation, transport, emit)


def direct_feedback_alignment(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
    emit: Emit = multiply,
) -> Parameters:
    """Nøkland (2016); thesis, section 1.2: ``δ_l = e B_l ⊙ f'(a_l)``; ``B_l`` is ``(1, units of l)``.

    Arguments and what is returned are as for backpropagation; ``parameters`` has every ``B`` too.
    """

    def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
        return product(error, parameters[f"B{layer}"])

    return backward(parameters, forward(parameters, X, activation), y, activation, transport, emit)
