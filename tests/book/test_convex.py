"""Solvers and kernels against scikit-learn, autograd, closed forms and Monte Carlo."""

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression

from dfa_book.converged import (
    GRADIENT_TOLERANCE,
    gates_kernel,
    kernel_ridge,
    logistic_regression,
    ntk_kernel,
    relu_kernel,
)
from dfa_lib import InputError
from dfa_lib.lazy import ntk_forward
from dfa_lib.networks import binary_cross_entropy, forward, initialise_network
from dfa_lib.training import initial_parameters


def examples(n=60, p=5, seed=0):
    dice = np.random.default_rng(seed)
    X = dice.normal(size=(n, p))
    return X, (X @ dice.normal(size=p) + dice.normal(size=n) > 0.3).astype(float)


# ---- logistic regression ----


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4])
def test_logistic_regression_agrees_with_scikit_learn(penalty):
    X, y = examples()
    fit = logistic_regression(X, y, penalty)
    # scikit-learn's loss is a sum, ours a mean: C = 1 / (n · penalty). Neither penalises the intercept.
    theirs = LogisticRegression(C=1 / (len(y) * penalty), solver="newton-cholesky", tol=1e-12)
    theirs.fit(X, y)
    assert fit.weights == pytest.approx(theirs.coef_[0], rel=1e-6)
    assert fit.intercept == pytest.approx(theirs.intercept_[0], rel=1e-6)


@pytest.mark.parametrize("penalty", [1e-1, 1e-6])
def test_autograd_finds_no_gradient_at_the_solution(penalty):
    X, y = examples()
    fit = logistic_regression(X, y, penalty)
    w = torch.tensor(fit.weights, requires_grad=True)
    b = torch.tensor(fit.intercept, dtype=torch.float64, requires_grad=True)
    logits = (torch.from_numpy(X) @ w + b)[:, None]
    loss = binary_cross_entropy(logits, torch.from_numpy(y)[:, None]) + penalty / 2 * w @ w
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss, (w, b))])
    assert float(gradient.norm()) <= 2 * GRADIENT_TOLERANCE
    assert fit.gradient_norm == pytest.approx(float(gradient.norm()), abs=1e-12)


def test_labels_that_a_plane_separates_are_solved_for_all_but_no_penalty():
    X, _ = examples(n=20, p=40)  # more features than examples
    y = (np.arange(20) % 2).astype(float)
    for penalty in (1.0, 1e-4, 1e-8):
        fit = logistic_regression(X, y, penalty)
        assert fit.gradient_norm <= GRADIENT_TOLERANCE
    assert ((X @ fit.weights + fit.intercept > 0) == (y > 0.5)).all()


def test_a_start_does_not_change_the_solution():
    X, y = examples()
    cold = logistic_regression(X, y, 1e-3)
    warm = logistic_regression(X, y, 1e-3, start=logistic_regression(X, y, 1.0))
    assert warm.weights == pytest.approx(cold.weights, rel=1e-6)


def test_a_regression_that_is_not_solved_says_so(monkeypatch):
    monkeypatch.setattr("dfa_book.converged.NEWTON_STEPS", 2)
    X, y = examples()
    with pytest.raises(InputError, match=r"penalty of 1e-06 is not solved after 2 Newton steps"):
        logistic_regression(X, y, 1e-6)


# ---- kernel ridge regression ----


def test_kernel_ridge_agrees_with_ridge_regression_on_the_features():
    # The closed form: on centred features and labels, (ZᵀZ + λ)⁻¹ Zᵀt.
    Z, y = examples()
    t, penalty = 2 * y - 1, 0.7
    fit = kernel_ridge(Z @ Z.T, t, penalty)
    centred = Z - Z.mean(0)
    w = np.linalg.solve(centred.T @ centred + penalty * np.eye(5), centred.T @ (t - t.mean()))
    expected = Z @ w + t.mean() - Z.mean(0) @ w
    assert Z @ (Z.T @ fit.weights) + fit.intercept == pytest.approx(expected, abs=1e-10)
    assert fit.gradient_norm < 1e-10


def test_kernel_ridge_agrees_with_scikit_learn_where_no_intercept_is_needed():
    # On a sample and its mirror image with mirrored labels the intercept is 0.
    Z, y = examples()
    Z, t = np.vstack([Z, -Z]), np.concatenate([2 * y - 1, 1 - 2 * y])
    fit = kernel_ridge(Z @ Z.T, t, 0.3)
    theirs = KernelRidge(alpha=0.3, kernel="precomputed").fit(Z @ Z.T, t)
    assert fit.intercept == pytest.approx(0, abs=1e-12)
    assert fit.weights == pytest.approx(theirs.dual_coef_, abs=1e-10)


def test_kernel_ridge_leaves_its_kernel_as_it_is():
    Z, y = examples()
    K = Z @ Z.T
    before = K.copy()
    kernel_ridge(K, 2 * y - 1, 1.0)
    assert (before == K).all()


# ---- kernels ----

INPUTS = 64


def inputs(n, seed):
    return np.random.default_rng(seed).normal(size=(n, INPUTS))


def test_infinite_relu_features_are_the_limit_of_the_librarys_own():
    A, B = inputs(6, 0), inputs(4, 1)
    hidden = 200_000
    parameters = initialise_network((INPUTS, hidden, 1), torch.Generator().manual_seed(0))
    h = [forward(parameters, torch.from_numpy(X)).hidden[1] for X in (A, B)]
    estimated = (h[0] @ h[1].mT / hidden).numpy()
    assert relu_kernel(A, B) == pytest.approx(estimated, rel=0.03)


def test_infinite_gates_are_the_limit_of_the_librarys_own(small_run):
    A, B = inputs(6, 0), inputs(4, 1)
    run = small_run(method="ntk", hidden=200_000, precision="float64")
    estimated = ntk_kernel(initial_parameters(run, INPUTS), A, B)
    scale = gates_kernel(A, A).diagonal().mean()
    assert gates_kernel(A, B) / scale == pytest.approx(estimated / scale, abs=0.01)


def test_arc_cosine_kernels_agree_with_their_closed_forms_at_special_angles():
    # With a 1 appended, (1, 0, …) and (-1, 0, …) are at a right angle and of length √2.
    x, opposite = np.zeros((1, INPUTS)), np.zeros((1, INPUTS))
    x[0, 0], opposite[0, 0] = 1, -1
    variance = 1 / (3 * INPUTS)
    assert relu_kernel(x, x) == pytest.approx(2 * variance / 2)  # E relu(g)² is half a variance
    assert relu_kernel(x, opposite) == pytest.approx(2 * variance / (2 * np.pi))
    assert gates_kernel(x, x) == pytest.approx(2 / 2 / 3)  # a gate is open half of the time
    assert gates_kernel(x, opposite) == pytest.approx(0, abs=1e-15)


def test_ntk_kernel_is_the_inner_product_of_the_logits_derivatives(small_run):
    parameters = initial_parameters(small_run(method="ntk", hidden=7, precision="float64"), 3)
    A, B = examples(4, 3, seed=1)[0], examples(5, 3, seed=2)[0]

    def derivatives(X):
        def logits(W1, b1):
            return ntk_forward(parameters | {"W1": W1, "b1": b1}, torch.from_numpy(X)).logits[:, 0]

        jacobians = torch.autograd.functional.jacobian(logits, (parameters["W1"], parameters["b1"]))
        return torch.cat([jacobian.flatten(1) for jacobian in jacobians], dim=1).numpy()

    assert ntk_kernel(parameters, A, B) == pytest.approx(derivatives(A) @ derivatives(B).T)


@pytest.mark.parametrize("kernel", [relu_kernel, gates_kernel])
def test_kernels_are_symmetric_and_positive(kernel):
    A = inputs(300, 0)  # more rows than are worked out together
    K = kernel(A, A)
    assert pytest.approx(K.T, abs=1e-12) == K
    assert np.linalg.eigvalsh(K).min() > 0
