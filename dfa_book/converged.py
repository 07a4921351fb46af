"""Lazy methods solved to convergence on a fixed sample by ``convex``, and tables of them.

The sample is the training data of a run's first epoch, and features and gates are those of the run's
initial parameters, so a row pairs with the run of the same seed that gradient descent has trained.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from numpy import ndarray

from dfa_lib.experiments import repeats
from dfa_lib.experiments.convex import (
    Fit,
    gates_kernel,
    kernel_ridge,
    logistic_regression,
    ntk_kernel,
    relu_kernel,
)
from dfa_lib.experiments.kept_table import REAL, SHARE, TEXT, WHOLE, Row, TablePath, kept_table
from dfa_lib.experiments.orphans import tied
from dfa_lib.methods import METHODS
from dfa_lib.networks import Parameters, forward
from dfa_lib.training import Run, initial_parameters, load_problem, using_threads
from dfa_lib.validation import choice, whole_number

FEATURES = ("relu_features", "gaussian_features", "linear_features")
"""Models with one feature per hidden unit."""
KERNELS: dict[str, Callable[[Parameters, ndarray, ndarray], ndarray]] = {
    "ntk": ntk_kernel,
    "relu_kernel": lambda parameters, A, B: relu_kernel(A, B),
    "gates_kernel": lambda parameters, A, B: gates_kernel(A, B),
}
"""Models solved by their kernel: the NTK of the run's width, and two of infinite width."""
SOLVED = (*FEATURES, *KERNELS)

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
    return hashlib.sha256(spec.encode()).hexdigest()[:16]
