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

They are solved on a fixed sample, the training data of a run's first epoch, with features and gates of
the run's initial parameters. So a row of the table pairs with the run of the same seed that gradient
descent has trained.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from joblib import Parallel, delayed
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from dfa_lib.experiments import repeats
from dfa_lib.experiments.kept_table import (
    REAL,
    SHARE,
    TEXT,
    WHOLE,
    Row,
    TablePath,
    kept_table,
    plan_digest,
)
from dfa_lib.experiments.orphans import tied
from dfa_lib.lazy import open_gates
from dfa_lib.methods import METHODS
from dfa_lib.networks import Parameters, forward
from dfa_lib.training import Run, initial_parameters, load_problem, using_threads
from dfa_lib.validation import InputError, choice, whole_number

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


# ---- models ----

FEATURES = ("relu_features", "gaussian_features", "linear_features")
"""Models with one feature per hidden unit."""
KERNELS: dict[str, Callable[[Parameters, ndarray, ndarray], ndarray]] = {
    "ntk": ntk_kernel,
    "relu_kernel": lambda parameters, A, B: relu_kernel(A, B),
    "gates_kernel": lambda parameters, A, B: gates_kernel(A, B),
}
"""Models solved by their kernel: the NTK of the run's width, and two of infinite width."""
SOLVED = (*FEATURES, *KERNELS)
KERNEL_NAMES = {
    "relu_kernel": "infinitely wide ReLU features",
    "gates_kernel": "infinitely wide NTK (W₁, fixed gates)",
}
"""The labels of the models of infinite width."""
FINITE_WIDTH = {"relu_kernel": "relu_features", "gates_kernel": "ntk"}
"""The same models at finite width, which lend them their colours."""

# Per example, where the features' mean variance is 1.
LOGISTIC_PENALTIES = (1.0, 1e-2, 1e-4, 1e-6, 1e-8)
# For the sum over examples, where the kernel's mean diagonal is 1.
RIDGE_PENALTIES = (1.0, 1e-2, 1e-4)

Case = tuple[Run, str]
"""What to solve: a run, for its data, width and seed, and a model of ``SOLVED``."""

KEYS = {
    **{"dataset": TEXT, "k": TEXT, "dimensions": TEXT, "samples": WHOLE, "hidden": TEXT, "seed": WHOLE},
    "method": TEXT,
}
SOLUTION = {
    **{"penalty": REAL, "gradient_norm": REAL},
    **{"train_accuracy": SHARE, "validation_accuracy": SHARE, "test_accuracy": SHARE},
}
COLUMNS = {"experiment": TEXT, **KEYS, **SOLUTION}


def solve(run: Run, method: str) -> dict[str, float]:
    """Solve a model at each penalty, and return the solution that is best on validation examples.

    Ties go to the larger penalty. The run's data, hidden width and seed are used; its method, optimizer
    and rate are not. Validation and test examples are those that evaluate its first epoch,
    ``run.test_samples`` of each. Return ``penalty``, ``gradient_norm`` (see ``Fit``),
    ``train_accuracy``, ``validation_accuracy`` and ``test_accuracy``.
    """
    choice("method", method, SOLVED)
    lazy = method if method in METHODS else "ntk"
    run = replace(run, method=lazy, precision="float64", device="cpu")
    with using_threads(1):
        X, y = zip(*_examples(run), strict=True)
        parameters = initial_parameters(run, X[0].shape[1])
        fits = _fits(run, method, parameters, X, y[0])
        best: dict[str, float] = {}
        for penalty, fit, logits in fits:
            row = {"penalty": penalty, "gradient_norm": fit.gradient_norm}
            for name, z, labels in zip(("train", "validation", "test"), logits, y, strict=True):
                row[f"{name}_accuracy"] = float(((z > 0) == (labels > 0.5)).mean())
            if not best or row["validation_accuracy"] > best["validation_accuracy"]:
                best = row
    return best


def _examples(run: Run) -> Iterator[tuple[ndarray, ndarray]]:
    """Return inputs and labels of the training, validation and test examples."""
    validation, test = (load_problem(replace(run, evaluate_on=on)) for on in ("validation", "test"))
    for draw in (test.training, validation.held_out, test.held_out):
        examples = draw()
        X, y = examples.batch(0, len(examples))
        yield X.numpy(), y[:, 0].numpy()


def _fits(
    run: Run, method: str, parameters: Parameters, X: Sequence[ndarray], y: ndarray
) -> Iterator[tuple[float, Fit, list[ndarray]]]:
    """Yield each penalty, its solution, and the solution's logits on the three sets of examples."""
    if method in FEATURES:
        features = [_hidden(run, parameters, each) for each in X]
        mean, variance = features[0].mean(0), features[0].var(0).mean()
        features = [(each - mean) / np.sqrt(variance) for each in features]
        fit = None
        for penalty in LOGISTIC_PENALTIES:
            fit = logistic_regression(features[0], y, penalty, start=fit)
            yield penalty, fit, [each @ fit.weights + fit.intercept for each in features]
        return
    kernels = [KERNELS[method](parameters, each, X[0]) for each in X]
    scale = kernels[0].diagonal().mean()
    for K in kernels:
        K /= scale
    for penalty in RIDGE_PENALTIES:
        fit = kernel_ridge(kernels[0], 2 * y - 1, penalty)
        yield penalty, fit, [K @ fit.weights + fit.intercept for K in kernels]


def _hidden(run: Run, parameters: Parameters, X: ndarray) -> ndarray:
    return np.asarray(forward(parameters, torch.from_numpy(X), run.activation).hidden[1].numpy())


# ---- the table ----


def converged_table(
    cases: Sequence[Case], seeds: int, *, results: TablePath = None, jobs: int = 1
) -> pd.DataFrame:
    """Solve each case, a run and one of ``SOLVED``, with the seeds 0, 1, …, ``seeds - 1``.

    ``results`` is a CSV to read from and to append each solution to; it may hold more seeds. ``jobs``
    processes change the numbers by rounding at most. The table has one row per case and seed, in this
    order: ``experiment`` is a digest of the cases; ``k`` and ``dimensions`` are text, empty where they
    do not apply; ``hidden`` is ``inf`` for infinite width; the others are from ``solve``. ``InputError``
    if the data cannot be loaded, or the CSV is damaged or belongs to another experiment.
    """
    by_key = {
        _key(each, method): (each, method) for run, method in cases for each in repeats([run], seeds)
    }

    def make(missing: list[Row]) -> Iterator[tuple[list[Row], int]]:
        # Longest first: a long one that starts last would run alone.
        asked = sorted((by_key[key] for key in missing), key=lambda case: -_cost(*case))
        solved = Parallel(
            n_jobs=whole_number("jobs", jobs), return_as="generator_unordered", batch_size=1
        )(delayed(tied(_solved_row))(*case) for case in asked)
        for row in solved:
            yield [row], 1

    return kept_table(
        results,
        COLUMNS,
        {"experiment": _experiment(cases)},
        make,
        key=[*KEYS],
        wanted=by_key,
        datasets={run.dataset for run, _ in cases},
        jobs=jobs,
    )


def _solved_row(run: Run, method: str) -> Row:
    solution = solve(run, method)
    return (*_key(run, method), *(solution[name] for name in SOLUTION))


def _key(run: Run, method: str) -> Row:
    """Return the values of ``KEYS``, which identify a row."""
    hidden = "inf" if method in KERNELS and method not in METHODS else str(run.hidden)
    k, dimensions = ("" if value is None else str(value) for value in (run.k, run.dimensions))
    return (run.dataset, k, dimensions, run.samples, hidden, run.seed, method)


def _cost(run: Run, method: str) -> int:
    """Return how long a case takes, up to a factor."""
    assert run.samples is not None
    return run.samples**3 if method in KERNELS else run.samples * run.hidden_widths[0] ** 2 * 10


def _experiment(cases: Sequence[Case]) -> str:
    """Return a digest of the cases without their seeds: SHA-256, first 16 hexadecimal digits."""
    each = sorted(
        str((*_key(replace(run, seed=0), method), run.test_samples, run.density))
        for run, method in cases
    )
    spec = repr((each, LOGISTIC_PENALTIES, RIDGE_PENALTIES))
    return plan_digest(spec)
