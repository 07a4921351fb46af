"""Lazy methods solved to convergence: logistic regression on features, and kernel ridge regression.

A lazy method is linear in its trained parameters, so its loss is convex, with a minimum that no learning
rate changes. Newton's method solves models with few features. Where features outnumber the examples, or
there are infinitely many, ridge regression on the labels ±1 needs only their inner products, the
*kernel*. Neither penalises the intercept.

- Random features, ``"relu_features"``, ``"gaussian_features"`` and ``"linear_features"``, are the hidden
  layer of the lazy method of this name at its initial parameters: ``logistic_regression``.
- ``"ntk"`` has the derivatives of its logit in W1 and b1, behind its initial gates: ``ntk_kernel``, for
  ``kernel_ridge``.
- Infinitely many ReLU features or gates have ``relu_kernel`` and ``gates_kernel``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from ..lazy import open_gates
from ..networks import Parameters
from ..validation import InputError

# Rounding alone leaves about 1e-15, where the features' mean variance is 1.
GRADIENT_TOLERANCE = 1e-9
NEWTON_STEPS = 100
# Rows of a kernel computed at a time, few enough for the processor's cache.
ROWS = 128

Inputs = Float[ndarray, "n inputs"]
OtherInputs = Float[ndarray, "m inputs"]
Kernel = Float[ndarray, "n m"]


class Fit(NamedTuple):
    """A linear model, ``logit = features @ weights + intercept``, and how exact the solution is."""

    weights: Float[ndarray, "p"]
    intercept: float
    gradient_norm: float
    """Norm of the gradient (of the linear system's residual for ridge regression) at the solution."""


# ---- solvers ----


def logistic_regression(
    features: Float[ndarray, "n p"], y: Float[ndarray, "n"], penalty: float, start: Fit | None = None
) -> Fit:
    """Minimise the mean cross-entropy plus ``penalty/2 · |weights|²``, by Newton's method.

    Labels are 0 or 1. The penalty is positive: without it, linearly separable examples have no minimum.
    ``start`` (default: 0) may be the solution for a nearby penalty, which saves steps. ``InputError`` if
    the gradient's norm does not fall to ``GRADIENT_TOLERANCE`` within ``NEWTON_STEPS``.
    """
    n, p = features.shape
    Z = np.column_stack([features, np.ones(n)])
    ridge = np.append(np.full(p, penalty), 0.0)
    theta = np.zeros(p + 1) if start is None else np.append(start.weights, start.intercept)

    def objective(theta: ndarray) -> float:
        logits = Z @ theta
        return float(np.mean(np.logaddexp(0, logits) - y * logits) + ridge @ theta**2 / 2)

    norm = float("nan")
    for _ in range(NEWTON_STEPS):
        probability = expit(Z @ theta)
        gradient = Z.T @ (probability - y) / n + ridge * theta
        norm = float(np.linalg.norm(gradient))
        if norm <= GRADIENT_TOLERANCE:
            return Fit(theta[:-1], float(theta[-1]), norm)
        weighted = np.sqrt(probability * (1 - probability) / n)[:, None] * Z
        hessian = weighted.T @ weighted
        hessian[np.diag_indices(p + 1)] += ridge
        step = cho_solve(cho_factor(hessian, lower=True), gradient)
        # Halve the step until the loss falls by a fraction of the linear prediction (Armijo, 1966). The
        # slack allows for rounding: near the minimum the loss stops changing before the gradient does.
        size, before, slope = 1.0, objective(theta), float(gradient @ step)
        slack = 1e-12 * abs(before)
        while size > 1e-6 and objective(theta - size * step) > before - 1e-4 * size * slope + slack:
            size /= 2
        theta = theta - size * step
    raise InputError(
        f"logistic regression with a penalty of {penalty:g} is not solved after {NEWTON_STEPS} Newton "
        f"steps, the gradient's norm is still {norm:g}; a larger penalty makes it easier."
    )


def kernel_ridge(K: Float[ndarray, "n n"], t: Float[ndarray, "n"], penalty: float) -> Fit:
    """Minimise ``|t - K α - b|² + penalty · αᵀ K α`` by a Cholesky factor; ``weights`` are α.

    The logit at a new input is its row of kernel values with the training inputs, times α, plus b.
    """
    n = len(t)
    system = K.copy().T  # Fortran order, so that LAPACK makes no copy; K is symmetric
    system[np.diag_indices(n)] += penalty
    factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    # Eliminate α from (K + penalty) α + b 1 = t and 1ᵀ α = 0.
    for_t, for_ones = cho_solve(factor, np.column_stack([t, np.ones(n)]), check_finite=False).T
    b = float(for_t.sum() / for_ones.sum())
    alpha = for_t - b * for_ones
    residual = K @ alpha + penalty * alpha + b - t
    return Fit(alpha, b, float(np.linalg.norm(residual)))


# ---- kernels ----


def relu_kernel(A: Inputs, B: OtherInputs) -> Kernel:
    """Return the kernel of infinitely many ReLU features, per unit: ``E[relu(x·w + c) relu(x'·w + c)]``.

    The arc-cosine kernel of order 1 (Cho and Saul, 2009): ``|x||x'| (sin θ + (π - θ) cos θ) / (2π)``,
    with θ the angle between inputs to which a 1 is appended for the bias, times a weight's variance. It
    is exact for Gaussian weights. The library's are uniform on ±1/√inputs, with the variance
    1/(3 · inputs) that is used here: sums of many such weights are nearly Gaussian.
    """

    def formula(lengths: ndarray, cosine: ndarray) -> ndarray:
        angle = np.arccos(cosine)
        return np.asarray(lengths * (np.sin(angle) + (np.pi - angle) * cosine))

    return np.asarray(_of_angles(A, B, formula) / (6 * np.pi * A.shape[1]))


def gates_kernel(A: Inputs, B: OtherInputs) -> Kernel:
    """Return the kernel of infinitely many fixed gates: ``(x·x' + 1) · P(gate open at both) / 3``.

    The arc-cosine kernel of order 0 (Cho and Saul, 2009) times the inner product: the part of the neural
    tangent kernel (Jacot et al., 2018) that belongs to W1 and b1. Gates are drawn apart from the trained
    layer, as in a GaLU network (Fiat et al., 2019). One is open at both inputs with probability
    ``(π - θ) / (2π)``, exact for Gaussian gate weights (see ``relu_kernel``). The squares of W2, uniform
    on ±1/√hidden, add up to 1/3.
    """

    def formula(lengths: ndarray, cosine: ndarray) -> ndarray:
        return np.asarray(lengths * cosine * (np.pi - np.arccos(cosine)))

    return np.asarray(_of_angles(A, B, formula) / (6 * np.pi))


def ntk_kernel(parameters: Parameters, A: Inputs, B: OtherInputs) -> Kernel:
    """Return the inner products of an NTK's features: the derivatives of its logit in W1 and b1."""
    gates_A, gates_B = (
        open_gates(X @ parameters["V1"] + parameters["c1"])
        for X in (torch.from_numpy(A), torch.from_numpy(B))
    )
    common = (gates_A * parameters["W2"].mT ** 2) @ gates_B.mT
    return np.asarray((_with_one(A) @ _with_one(B).T) * common.numpy())


def _of_angles(A: ndarray, B: ndarray, formula: Callable[[ndarray, ndarray], ndarray]) -> ndarray:
    """Return ``formula(|x||x'|, cosine)`` for each pair of inputs, with a 1 appended to both."""
    A, B = _with_one(A), _with_one(B)
    lengths = [np.sqrt(np.einsum("ij,ij->i", X, X)) for X in (A, B)]
    K: ndarray = A @ B.T
    for start in range(0, len(A), ROWS):
        rows = slice(start, start + ROWS)
        both = lengths[0][rows, None] * lengths[1]
        K[rows] = formula(both, np.clip(K[rows] / both, -1, 1))
    return K


def _with_one(X: ndarray) -> ndarray:
    return np.column_stack([X, np.ones(len(X))])
