"""Alignment of a network with its random matrices (thesis, section 3.2 and figure 3.2)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .learning_rules import Products, backpropagation, gradients
from .networks import Parameters, depth

Rule = Callable[..., Products]


def cosine(
    a: Float[Tensor, "*runs rows columns"], b: Float[Tensor, "*runs rows columns"]
) -> Float[Tensor, "*runs"]:
    """Cosine of the angle between two matrices, flattened to vectors, in [-1, 1]; 0/0 is nan."""
    a, b = a.flatten(-2).double(), b.flatten(-2).double()
    lengths: Tensor = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (a * b).sum(-1) / lengths


def stands_for(parameters: Parameters, layer: int, *, direct: bool) -> Tensor:
    """Return the weights that ``B_l`` replaces, of the same shape.

    ``W_{l+1}ᵀ`` for FA; for DFA (``direct``) the whole path to the output, ``(W_{l+1} … W_L)ᵀ``.
    """
    path = parameters[f"W{layer + 1}"]
    for above in range(layer + 2, depth(parameters) + 1 if direct else 0):
        path = path @ parameters[f"W{above}"]
    return path.mT


def weight_alignment(parameters: Parameters, *, direct: bool = True) -> list[Tensor]:
    """Return, for each hidden layer, the cosine of B with the weights that it replaces.

    With one hidden layer this is cos(B, W2ᵀ). With more, ``direct`` says whether the matrices come
    from the output (DFA) or from the layer above (FA).
    """
    return [
        cosine(parameters[f"B{layer}"], stands_for(parameters, layer, direct=direct))
        for layer in range(1, depth(parameters))
    ]


def sign_agreement(
    parameters: Parameters, *, direct: bool = True, weighted: bool = True
) -> list[Tensor]:
    """Return, for each hidden layer, the share of weights that have the sign of B's entry, in [0, 1].

    With one hidden layer, unit j receives its error with the right sign where ``B_j W2_j > 0``.
    ``weighted`` weights a unit by ``|W2_j|``, its influence on the output:
    ``S = Σ |W2_j| [B_j W2_j > 0] / Σ |W2_j|``. If S > ½, DFA's update of W1 descends on average. 0/0 is
    nan.
    """
    shares = []
    for layer in range(1, depth(parameters)):
        W = stands_for(parameters, layer, direct=direct).flatten(-2).double()
        agree = parameters[f"B{layer}"].flatten(-2) * W > 0
        say = W.abs() if weighted else torch.ones_like(W)
        shares.append((say * agree).sum(-1) / say.sum(-1))
    return shares


def gradient_alignment(
    rule: Rule,
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*runs n 1"],
    activation: str = "relu",
) -> list[Tensor]:
    """Return, for each hidden layer, the cosine of a rule's update of ``W_l`` with backpropagation's.

    ``rule`` is a learning rule, for example ``direct_feedback_alignment``.
    """
    ours = gradients(rule(parameters, X, y, activation))
    exact = gradients(backpropagation(parameters, X, y, activation))
    return layer_cosines(ours, exact)


def layer_cosines(ours: Parameters, exact: Parameters) -> list[Tensor]:
    """Return, for each hidden layer, the cosine of two gradients of ``W_l``."""
    layers = [name for name in exact if name.startswith("W")]
    return [cosine(ours[f"W{l}"], exact[f"W{l}"]) for l in range(1, len(layers))]
