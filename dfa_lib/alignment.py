"""How far feedback alignment has come: cosines between what it does and what backpropagation would.

Lillicrap et al. (2014): the signal of a random B helps as long as it lies within 90° of that of
backpropagation, and the weights turn until it does (thesis, section 3.1; Refinetti et al., 2021,
arXiv 2011.12428). A cosine of 1 is perfect alignment, 0 is a right angle.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .learning_rules import backpropagation
from .networks import Parameters, depth


def cosine(
    a: Float[Tensor, "*runs rows columns"], b: Float[Tensor, "*runs rows columns"]
) -> Float[Tensor, "*runs"]:
    """Cosine of the angle between two matrices taken as vectors, in [-1, 1]; 0/0 is nan."""
    a, b = a.flatten(-2).double(), b.flatten(-2).double()
    lengths: Tensor = torch.linalg.vector_norm(a, dim=-1) * torch.linalg.vector_norm(b, dim=-1)
    return (a * b).sum(-1) / lengths


def weight_alignment(parameters: Parameters) -> list[Tensor]:
    """Return, for each hidden layer, the cosine of B with the weights that it stands in for.

    A ``B_l`` from the output (DFA) is compared with ``(W_{l+1} … W_L)ᵀ``, one from the layer above (FA)
    with ``W_{l+1}ᵀ``; the shape tells them apart. With one hidden layer both are cos(B, W2ᵀ).
    """
    alignments = []
    for layer in range(1, depth(parameters)):
        B = parameters[f"B{layer}"]
        path = parameters[f"W{layer + 1}"]
        for above in range(layer + 2, depth(parameters) + 1):
            if path.shape[-1] == B.shape[-2]:
                break
            path = path @ parameters[f"W{above}"]
        alignments.append(cosine(B, path.mT))
    return alignments


def gradient_alignment(
    gradients: Callable[..., Parameters],
    parameters: Parameters,
    X: Float[Tensor, "*runs n inputs"],
    y: Float[Tensor, "*any n 1"],
    activation: str = "relu",
) -> list[Tensor]:
    """Return, for each hidden layer, the cosine of a rule's update of ``W_l`` with backpropagation's.

    ``gradients`` is a learning rule, for example ``direct_feedback_alignment``.
    """
    rule = gradients(parameters, X, y, activation)
    exact = backpropagation(parameters, X, y, activation)
    return [cosine(rule[f"W{l}"], exact[f"W{l}"]) for l in range(1, depth(parameters))]
