"""The largest eigenvalue of a rule's Jacobian, against dense Jacobians, autograd and a closed form."""

import math

import pytest
import torch

from dfa_lib.experiments.stability import leading_mode
from dfa_lib.feedback import feedback_matrices
from dfa_lib.learning_rules import backpropagation, direct_feedback_alignment, gradients
from dfa_lib.networks import binary_cross_entropy, forward, initialise_network

WIDTHS = (6, 5, 1)


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(3)
    parameters = initialise_network(WIDTHS, generator)
    parameters |= feedback_matrices(WIDTHS, "uniform", generator, direct=True)
    parameters["B1"] = 3 * parameters["W2"].mT + 0.3 * parameters["B1"]  # aligned: a real eigenvalue
    X = torch.randn(40, WIDTHS[0], generator=generator, dtype=torch.float64)
    y = torch.randint(0, 2, (40, 1), generator=generator).double()
    return {name: 2 * value.double() for name, value in parameters.items()}, X, y


def dense_jacobian(rule, parameters, X, y):
    """The Jacobian as a matrix, by central differences of the flattened update."""
    names = list(gradients(rule(parameters, X, y)))
    sizes = [parameters[name].numel() for name in names]
    theta = torch.cat([parameters[name].flatten() for name in names])

    def update(flat):
        parts = dict(zip(names, flat.split(sizes), strict=True))
        moved = {name: part.view(parameters[name].shape) for name, part in parts.items()}
        found = gradients(rule(parameters | moved, X, y))
        return torch.cat([found[name].flatten() for name in names])

    steps = 1e-6 * torch.eye(len(theta), dtype=torch.float64)
    return torch.stack([(update(theta + h) - update(theta - h)) / 2e-6 for h in steps], dim=1)


@pytest.mark.parametrize("rule", [backpropagation, direct_feedback_alignment])
def test_it_is_the_largest_eigenvalue_of_the_dense_jacobian(problem, rule):
    eigenvalues = torch.linalg.eigvals(dense_jacobian(rule, *problem))
    largest = eigenvalues[eigenvalues.abs().argmax()]
    assert largest.imag == pytest.approx(0, abs=1e-6)
    found = leading_mode(rule, *problem, iterations=200)
    assert found.value == pytest.approx(float(largest.real), rel=1e-6)


def test_for_backpropagation_it_is_that_of_the_hessian_by_autograd(problem):
    parameters, X, y = problem
    names = ["W1", "b1", "W2", "b2"]

    def loss(*values):
        moved = parameters | dict(zip(names, values, strict=True))
        return binary_cross_entropy(forward(moved, X).logits, y)

    blocks = torch.autograd.functional.hessian(loss, tuple(parameters[name] for name in names))
    sizes = [parameters[name].numel() for name in names]
    hessian = torch.cat(
        [
            torch.cat([block.reshape(m, n) for block, n in zip(row, sizes, strict=True)], dim=1)
            for row, m in zip(blocks, sizes, strict=True)
        ]
    )
    eigenvalues = torch.linalg.eigvalsh(hessian)
    largest = eigenvalues[eigenvalues.abs().argmax()]
    assert leading_mode(backpropagation, *problem, iterations=200).value == pytest.approx(float(largest))


@pytest.mark.parametrize("rule", [backpropagation, direct_feedback_alignment])
def test_of_one_linear_unit_it_is_the_closed_form(rule):
    # f = w2 w1 x with n = 1: the eigenvalue is s x² (w1² + w2 transported), s = p (1 - p), where e = 0.
    w1, w2, b, x = 0.8, 1.5, 0.7, 1.2
    p = 1 / (1 + math.exp(-w1 * w2 * x))
    given = {"W1": w1, "W2": w2, "B1": b}
    parameters = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in given.items()}
    X, y = torch.tensor([[x]]).double(), torch.tensor([[p]]).double()
    transported = w2 if rule is backpropagation else b
    expected = p * (1 - p) * x**2 * (w1**2 + w2 * transported)
    found = leading_mode(rule, parameters, X, y, "linear", start={"W1": X, "W2": X}, iterations=50)
    assert found.value == pytest.approx(expected)


def test_a_start_near_the_eigenvector_needs_fewer_products(problem):
    far = leading_mode(direct_feedback_alignment, *problem, iterations=200)
    near = leading_mode(direct_feedback_alignment, *problem, start=far.vector, iterations=1)
    assert near.value == pytest.approx(far.value, rel=1e-9)


def test_of_a_network_without_an_update_it_is_nan(problem):
    parameters, X, _ = problem
    dead = {name: torch.zeros_like(value) for name, value in parameters.items()}
    certain = torch.full((len(X), 1), 0.5, dtype=torch.float64)
    assert math.isnan(leading_mode(backpropagation, dead, X, certain).value)
