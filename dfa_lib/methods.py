"""The ways to train: one table says what a method is.

To add a method, add its row here, its functions, a test, and its colour in ``names``.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from .lazy import (
    draw_with_gates,
    draw_with_gaussian_features,
    glu_forward,
    glu_gradients,
    ntk_forward,
    ntk_gradients,
    output_layer_gradients,
)
from .learning_rules import Products, backpropagation, direct_feedback_alignment, feedback_alignment
from .networks import ForwardPass, Parameters, forward, initialise_network


def draw_network(
    widths: Sequence[int], stream: Callable[[str], torch.Generator], *, biases: bool = True
) -> Parameters:
    """Draw a network's weights and biases from the stream ``"weights"``, see ``initialise_network``."""
    return initialise_network(widths, stream("weights"), biases=biases)


class Method(NamedTuple):
    """A way to train: how its parameters start, what it computes, and which way it moves.

    Parameters
    ----------
    rule
        A function of ``(parameters, X, y, activation)``: a learning rule, which yields products.
    forward
        A function of ``(parameters, X, activation)``: the forward pass.
    draw
        A function of ``(widths, stream, biases=…)``: draws every tensor but the random matrices, from
        the generators that ``stream(name)`` returns.
    direct_feedback
        Of a rule with random matrices: whether B comes straight from the output (DFA) or from the layer
        above (FA). None for a rule without.
    lazy
        Whether gates or features stay as they were drawn.
    activation
        Of the hidden units, where the method leaves no choice.
    products
        Products with the weights in a step, for the cost model: forward pass and gradient of ``W1``,
        and that of the gates where there are any; fixed features have no gradient of ``W1``.
    label
        What figures call the method.
    """

    rule: Callable[..., Products]
    forward: Callable[..., ForwardPass] = forward
    draw: Callable[..., Parameters] = draw_network
    direct_feedback: bool | None = None
    lazy: bool = False
    activation: str | None = None
    products: int = 2
    label: str = ""


METHODS: dict[str, Method] = {
    "bp": Method(backpropagation, label="BP"),
    "fa": Method(feedback_alignment, direct_feedback=False, label="FA"),
    "dfa": Method(direct_feedback_alignment, direct_feedback=True, label="DFA"),
    "ntk": Method(
        *(ntk_gradients, ntk_forward, draw_with_gates),
        lazy=True,
        activation="relu",
        products=3,
        label="NTK (W₁, fixed gates)",
    ),
    "glu": Method(
        *(glu_gradients, glu_forward, draw_with_gates),
        lazy=True,
        activation="linear",
        products=3,
        label="NTK (thesis, GLU)",
    ),
    "gaussian_features": Method(
        output_layer_gradients,
        draw=draw_with_gaussian_features,
        lazy=True,
        activation="relu",
        products=1,
        label="Gaussian features",
    ),
    "relu_features": Method(
        output_layer_gradients, lazy=True, activation="relu", products=1, label="ReLU features"
    ),
    "linear_features": Method(
        output_layer_gradients, lazy=True, activation="linear", products=1, label="linear features"
    ),
}
"""The values of ``Run.method``, and what they stand for."""
