"""Lazy methods: models that are linear in what they train (thesis, section 1.3).

Each keeps the features that its random start gives it and fits only a linear model on them, by the
same gradient descent as the networks it is compared with. All have one hidden layer.

==================  ====================================  =========  ===============================
method              hidden representation h               trained    first layer drawn from
==================  ====================================  =========  ===============================
NTK                 ``(X W1 + b1) ⊙ 1{X V1 + c1 > 0}``    W1 b1 b2   uniform on ±1/√inputs
ReLU features       ``relu(X W1 + b1)``                   W2 b2      uniform on ±1/√inputs
Gaussian features   ``relu(X W1)``                        W2 b2      N(0, 6/(inputs + hidden))
linear features     ``X W1 + b1``                         W2 b2      uniform on ±1/√inputs
==================  ====================================  =========  ===============================

The Gaussian scale is that of the thesis's released code.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from .learning_rules import Emit, bias_gradient, layer_gradients, multiply, output_error
from .networks import ACTIVATIONS, ForwardPass, Parameters, forward, pre_activation, product

open_gates = ACTIVATIONS["relu"].derivative


def ntk_forward(
    parameters: Parameters, X: Float[Tensor, "*runs n inputs"], activation: str = "relu"
) -> ForwardPass:
    """Forward pass with ReLU gates that a second, frozen first layer ``V1``, ``c1`` opens and shuts.

    ``activation`` is not used: the gate *is* the derivative of the ReLU, at weights that do not move.
    """
    gate = product(X, parameters["V1"])
    if "c1" in parameters:
        gate = gate + parameters["c1"]
    hidden = (pre_activation(X, parameters, 1) * open_gates(gate)).to(X.dtype)
    # The gates take the place of a_1 for the backward pass: both ask only where it is positive.
    return ForwardPass([X, hidden], [gate, pre_activation(hidden, parameters, 2)])


def ntk_gradients(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
    emit: Emit = multiply,
) -> Parameters:
    """Gradients for the first layer and the output's bias; ``W2``, ``V1`` and ``c1`` have none.

    With ``W2`` and the gates fixed, the logit is exactly linear in ``W1``, ``b1`` and ``b2``: gradient
    descent here is gradient descent with the part of the tangent kernel (Jacot et al., 2018, arXiv
    1806.07572) that belongs to those parameters. Training ``W2`` as well, as the thesis's released code
    does, makes it a product of two trained layers, no longer linear.
    """
    passed = ntk_forward(parameters, X, activation)
    error = output_error(passed.logits, y)
    arrived = product(error.to(X.dtype), parameters["W2"].mT)
    delta = arrived * open_gates(passed.pre_activations[0])
    gradients = layer_gradients(parameters, 1, X, delta, emit)
    if "b2" in parameters:
        gradients["b2"] = bias_gradient("b2", error, emit)
    return gradients


def output_layer_gradients(
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
    emit: Emit = multiply,
) -> Parameters:
    """Gradients for ``W2`` and ``b2`` alone: logistic regression on random features.

    Rahimi and Recht (2007); thesis, section 1.3.2. The first layer stays as it was drawn.
    """
    passed = forward(parameters, X, activation)
    error = output_error(passed.logits, y)
    return layer_gradients(parameters, 2, passed.hidden[1], error, emit)


def gaussian_first_layer(inputs: int, hidden: int, generator: torch.Generator) -> Tensor:
    """Draw ``W1`` for Gaussian features: ``(inputs, hidden)``, N(0, 6/(inputs + hidden)), float64."""
    std = math.sqrt(6 / (inputs + hidden))
    return std * torch.randn(inputs, hidden, generator=generator, dtype=torch.float64)
