"""Linear stability of a learning rule: the largest eigenvalue of the Jacobian of its update.

A rule maps parameters θ to an update direction g(θ), and SGD's step is ``θ ← θ - η g(θ)``. Near a point
where g vanishes, a step turns a disturbance v into ``(I - η J) v``, where J is the Jacobian of g. So the
direction of a positive eigenvalue λ of J grows if ``η λ > 2``. For backpropagation g is a gradient, J is
the Hessian and λ the *sharpness* (Cohen et al., 2021, arXiv 2103.00065). With random matrices J is not
symmetric.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import jvp

from ..alignment import Rule
from ..learning_rules import gradients
from ..networks import Parameters


class Mode(NamedTuple):
    """An eigenvalue of the Jacobian, and its eigenvector: a tensor for each trained parameter."""

    value: float
    vector: Parameters


def leading_mode(
    rule: Rule,
    parameters: Parameters,
    X: Tensor,
    y: Tensor,
    activation: str = "relu",
    *,
    start: Parameters | None = None,
    iterations: int = 15,
) -> Mode:
    """Estimate the largest eigenvalue by modulus of the Jacobian of a rule's update.

    Parameters
    ----------
    rule, parameters, X, y, activation
        As for a learning rule; X is ``(n, inputs)``, y ``(n, 1)``. Inputs and feedback stay fixed.
    start
        Where power iteration begins, for example the eigenvector a few steps of training ago (default:
        the rule's update itself).
    iterations
        Products with the Jacobian.

    Returns
    -------
    Mode
        The Rayleigh quotient ``vᵀ J v`` of the last unit vector v, and v. It is nan if the rule's update
        or a product is zero or not finite, as in a network whose hidden units are all inactive. A
        complex pair of eigenvalues has no limit here; the quotient then varies with ``iterations``.
    """

    def update(trained: Parameters) -> Parameters:
        return gradients(rule(parameters | trained, X, y, activation))

    first = update(parameters)
    theta = {name: parameters[name] for name in first}
    v = _unit(first if start is None else {name: start[name] for name in first})
    value = float("nan")
    for _ in range(iterations):
        product: Parameters = jvp(update, (theta,), (v,))[1]
        value = float(sum((v[name] * product[name]).sum() for name in v))
        v = _unit(product)
    return Mode(value, v)


def _unit(v: Parameters) -> Parameters:
    length = torch.stack([torch.linalg.vector_norm(value) for value in v.values()]).norm()
    return {name: value / length for name, value in v.items()}
