"""The table of methods, from backpropagation to random features.

To add a method, add its row here, its functions, a test, and its colour in ``experiments/names.py``.
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
    """A method of training.

    Its learning rule is called with ``(parameters, X, y, activation)``, its forward pass with
    ``(parameters, X, activation)``. ``draw(widths, stream, biases=…)`` draws every tensor but the random
    matrices, from the generators that ``stream(name)`` returns. ``direct_feedback`` says whether B comes
    from the output (DFA, True) or from the layer above (FA, False); None: without B. ``lazy`` methods
    have fixed gates or features; some prescribe the ``activation`` of the hidden units. ``products`` is
    the number of matrix products per step, for the cost model: 2 (forward and gradient of ``W1``), 3
    with gates, 1 for fixed features. ``label`` is the name in figures.
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
"""The values of ``Run.method``."""
