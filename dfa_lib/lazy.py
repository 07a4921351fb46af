"""Lazy methods: random gates or features that stay fixed (thesis, section 1.3).

All have one hidden layer and are trained by the same gradient descent as the networks that they are
compared with.

==================  ====================================  =========  ===============================
method              hidden representation h               trained    first layer drawn from
==================  ====================================  =========  ===============================
NTK                 ``(X W1 + b1) ⊙ 1{X V1 + c1 > 0}``    W1 b1 b2   uniform on ±1/√inputs
GLU                 ``(X W1 + b1) ⊙ sigmoid(X V1 + c1)``  all W, b   uniform on ±1/√inputs
ReLU features       ``relu(X W1 + b1)``                   W2 b2      uniform on ±1/√inputs
Gaussian features   ``relu(X W1)``                        W2 b2      N(0, 6/(inputs + hidden))
linear features     ``X W1 + b1``                         W2 b2      uniform on ±1/√inputs
==================  ====================================  =========  ===============================

All but GLU are linear in their trained parameters. GLU is the thesis's 'NTK' (section 1.3.1): the first
layer and a frozen extra layer are the input of a gated linear unit, whose gate is a sigmoid
(Dauphin et al., 2017, arXiv 1612.08083). The step gate of NTK is that of Fiat, Malach and
Shalev-Shwartz (2019, arXiv 1906.05032). The Gaussian scale is that of the thesis's released code.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from .learning_rules import Products, bias_gradient, layer_gradients, output_error
from .networks import ACTIVATIONS, ForwardPass, Parameters, forward, initialise_network, pre_activation

open_gates = ACTIVATIONS["relu"].derivative


def ntk_forward(
    parameters: Parameters, X: Float[Tensor, "*runs n inputs"], activation: str = "relu"
) -> ForwardPass:
    """Forward pass with ReLU gates computed by a second, frozen first layer ``V1``, ``c1``.

    ``activation`` is not used: the gate is the derivative of the ReLU, at frozen weights.
    """
    return _gated(parameters, X, open_gates)


def glu_forward(
    parameters: Parameters, X: Float[Tensor, "*runs n inputs"], activation: str = "relu"
) -> ForwardPass:
    """Forward pass of a gated linear unit: as ``ntk_forward``, with sigmoid gates."""
    return _gated(parameters, X, torch.sigmoid)


def _gated(parameters: Parameters, X: Tensor, gate: Callable[[Tensor], Tensor]) -> ForwardPass:
    """Forward pass whose first pre-activations are those of the gates."""
    gates = X @ parameters["V1"]
    if "c1" in parameters:
        gates = gates + parameters["c1"]
    hidden = pre_activation(X, parameters, 1) * gate(gates)
    return ForwardPass([X, hidden], [gates, pre_activation(hidden, parameters, 2)])


def ntk_gradients(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
) -> Products:
    """Gradients for the first layer and the output's bias; ``W2``, ``V1`` and ``c1`` have none.

    With ``W2`` and the gates fixed, the logit is exactly linear in ``W1``, ``b1`` and ``b2``: gradient
    descent here is gradient descent with the part of the tangent kernel (Jacot et al., 2018, arXiv
    1806.07572) that belongs to those parameters.
    """
    passed = ntk_forward(parameters, X, activation)
    error = output_error(passed.logits, y)
    delta = (error @ parameters["W2"].mT) * open_gates(passed.pre_activations[0])
    yield from layer_gradients(parameters, 1, X, delta)
    if "b2" in parameters:
        yield bias_gradient("b2", error)


def glu_gradients(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
) -> Products:
    """Gradients for both layers; ``V1`` and ``c1`` have none.

    The logit is a product of the two trained layers, so it is not linear in its parameters.
    """
    passed = glu_forward(parameters, X, activation)
    error = output_error(passed.logits, y)
    delta = (error @ parameters["W2"].mT) * torch.sigmoid(passed.pre_activations[0])
    yield from layer_gradients(parameters, 2, passed.hidden[1], error)
    yield from layer_gradients(parameters, 1, X, delta)


def output_layer_gradients(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
) -> Products:
    """Gradients for ``W2`` and ``b2`` alone: logistic regression on random features.

    Rahimi and Recht (2007); thesis, section 1.3.2. The first layer is not trained.
    """
    passed = forward(parameters, X, activation)
    yield from layer_gradients(parameters, 2, passed.hidden[1], output_error(passed.logits, y))


def draw_with_gates(
    widths: Sequence[int], stream: Callable[[str], torch.Generator], *, biases: bool = True
) -> Parameters:
    """Draw a network and its gates ``V1``, ``c1``: as ``W1``, ``b1``, but from another stream."""
    gates = initialise_network(widths[:2], stream("gates"), biases=biases)
    names = {"W1": "V1", "b1": "c1"}
    network = initialise_network(widths, stream("weights"), biases=biases)
    return network | {names[name]: value for name, value in gates.items()}


def draw_with_gaussian_features(
    widths: Sequence[int], stream: Callable[[str], torch.Generator], *, biases: bool = True
) -> Parameters:
    """Draw a network whose ``W1`` is ``gaussian_first_layer``, without ``b1``."""
    network = initialise_network(widths, stream("weights"), biases=biases)
    network["W1"] = gaussian_first_layer(widths[0], widths[1], stream("features"))
    network.pop("b1", None)
    return network


def gaussian_first_layer(inputs: int, hidden: int, generator: torch.Generator) -> Tensor:
    """Draw ``W1`` for Gaussian features: ``(inputs, hidden)``, N(0, 6/(inputs + hidden)), float64."""
    std = math.sqrt(6 / (inputs + hidden))
    return std * torch.randn(inputs, hidden, generator=generator, dtype=torch.float64)
