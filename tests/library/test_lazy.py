import pytest
import torch
import torch.nn.functional as F

from dfa_lib import train
from dfa_lib.lazy import (
    gaussian_first_layer,
    glu_forward,
    glu_gradients,
    ntk_forward,
    ntk_gradients,
    output_layer_gradients,
)
from dfa_lib.learning_rules import backpropagation, gradients
from dfa_lib.methods import METHODS
from dfa_lib.networks import forward
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import initial_parameters

LAZY = [name for name, method in METHODS.items() if method.lazy]
TRAINED = {
    "ntk": {"W1", "b1", "b2"},
    "glu": {"W1", "b1", "W2", "b2"},
    "gaussian_features": {"W2", "b2"},
    "relu_features": {"W2", "b2"},
    "linear_features": {"W2", "b2"},
}


@pytest.fixture
def ntk(random_network):
    gates = random_network((5, 7), seed=9)
    return random_network((5, 7, 1)) | {"V1": gates["W1"], "c1": gates["b1"]}


def ntk_logits(p, X):
    """The model of the thesis, section 1.3.1, written with torch.nn.functional."""
    gates = F.linear(X, p["V1"].T, p["c1"][0]) > 0
    return F.linear(torch.where(gates, F.linear(X, p["W1"].T, p["b1"][0]), 0.0), p["W2"].T, p["b2"][0])


def gradients_by_autograd(logits, parameters, names, X, y):
    leaves = {name: parameters[name].clone().requires_grad_() for name in names}
    loss = F.binary_cross_entropy_with_logits(logits(parameters | leaves, X), y)
    return dict(zip(names, torch.autograd.grad(loss, list(leaves.values())), strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", LAZY)
def test_only_the_linear_model_trains_and_the_features_stay_bitwise(method, optimizer, small_run):
    run = small_run(method=method, optimizer=optimizer, learning_rate=0.01, weight_decay=0.01)
    start = initial_parameters(run, 3 * 64)
    seen = []
    train(run, observe=lambda epoch, parameters: seen.append(parameters))
    assert len(seen) == run.epochs
    for parameters in seen:
        assert parameters.keys() == start.keys()
        changed = {name for name, p in parameters.items() if not torch.equal(p, start[name])}
        assert changed == TRAINED[method]


@pytest.mark.parametrize("method", LAZY)
def test_what_has_a_gradient_is_what_the_table_of_lazy_methods_says(method, small_run, random_batch):
    parameters = initial_parameters(small_run(method=method, precision="float64"), 5)
    X, y = random_batch(6, 5)
    found = gradients(METHODS[method].rule(parameters, X, y, METHODS[method].activation))
    assert found.keys() == TRAINED[method]
    assert all(found[name].shape == parameters[name].shape for name in found)


def test_ntk_forward_pass_is_a_gated_linear_model(ntk, random_batch, relative_error):
    X, _ = random_batch(11, 5)
    assert relative_error(ntk_forward(ntk, X).logits, ntk_logits(ntk, X)) <= 1e-14


def test_ntk_gradients_agree_with_autograd(ntk, random_batch, relative_error):
    X, y = random_batch(11, 5)
    expected = gradients_by_autograd(ntk_logits, ntk, ("W1", "b1", "b2"), X, y)
    assert relative_error(gradients(ntk_gradients(ntk, X, y)), expected) <= 1e-10


def test_glu_gradients_agree_with_autograd_and_with_torchs_gated_linear_unit(
    ntk, random_batch, relative_error
):
    """Thesis, section 1.3.1: first and extra layer, concatenated, enter a gated linear unit."""

    def logits(p, X):
        first = F.linear(X, p["W1"].T, p["b1"][0])
        extra = F.linear(X, p["V1"].T, p["c1"][0])
        return F.linear(F.glu(torch.cat([first, extra], dim=-1)), p["W2"].T, p["b2"][0])

    X, y = random_batch(11, 5)
    torch.testing.assert_close(glu_forward(ntk, X).logits, logits(ntk, X))
    expected = gradients_by_autograd(logits, ntk, ("W1", "b1", "W2", "b2"), X, y)
    assert relative_error(gradients(glu_gradients(ntk, X, y)), expected) <= 1e-10


def test_ntk_without_biases_agrees_with_autograd(random_network, random_batch, relative_error):
    parameters = random_network((5, 7, 1), biases=False)
    parameters["V1"] = random_network((5, 7), seed=9)["W1"]
    X, y = random_batch(11, 5)

    def logits(p, X):
        return ((X @ p["W1"]) * (X @ p["V1"] > 0)) @ p["W2"]

    expected = gradients_by_autograd(logits, parameters, ("W1",), X, y)
    assert relative_error(gradients(ntk_gradients(parameters, X, y)), expected) <= 1e-10


def test_ntk_is_exactly_linear_in_what_it_trains(ntk, random_network, random_batch, relative_error):
    trained = ("W1", "b1", "b2")
    other = random_network((5, 7, 1), seed=4)
    X, _ = random_batch(11, 5)

    def logits(s, t):
        return ntk_forward(ntk | {n: s * ntk[n] + t * other[n] for n in trained}, X).logits

    combined = 2.5 * logits(1, 0) - 30 * logits(0, 1)
    assert relative_error(logits(2.5, -30), combined) <= 1e-12
    assert logits(0, 0).abs().max() == 0


def test_ntk_would_not_be_linear_if_it_trained_w2_too(ntk, random_batch, relative_error):
    X, _ = random_batch(11, 5)
    doubled = ntk_forward(ntk | {name: 2 * ntk[name] for name in ("W1", "b1", "b2", "W2")}, X).logits
    assert relative_error(doubled, 2 * ntk_forward(ntk, X).logits) > 0.1


def test_ntk_starts_as_the_relu_network_where_gates_and_first_layer_coincide(
    random_network, random_batch
):
    network = random_network((5, 7, 1))
    ntk = network | {"V1": network["W1"], "c1": network["b1"]}
    X, y = random_batch(11, 5)
    torch.testing.assert_close(ntk_forward(ntk, X).logits, forward(network, X).logits)
    bp = gradients(backpropagation(network, X, y))
    for name, g in gradients(ntk_gradients(ntk, X, y)).items():
        torch.testing.assert_close(g, bp[name])


def test_gates_are_drawn_apart_from_the_first_layer(small_run):
    start = initial_parameters(small_run(method="ntk", hidden=400), 100)
    assert start["V1"].shape == start["W1"].shape
    assert start["c1"].shape == start["b1"].shape
    assert start["V1"].abs().max() <= 0.1 + 1e-7
    correlation = torch.corrcoef(torch.stack([start["V1"].flatten(), start["W1"].flatten()]))[0, 1]
    assert abs(correlation) < 5 / start["V1"].numel() ** 0.5


@pytest.mark.parametrize("activation", ["relu", "linear"])
@pytest.mark.parametrize("first_bias", [True, False])
def test_gradients_of_random_features_agree_with_autograd(
    activation, first_bias, random_network, random_batch, relative_error
):
    parameters = random_network((5, 7, 1))
    if not first_bias:
        del parameters["b1"]
    X, y = random_batch(11, 5)

    def logits(p, X):
        h = F.linear(X, p["W1"].T, p["b1"][0] if first_bias else None)
        return F.linear(F.relu(h) if activation == "relu" else h, p["W2"].T, p["b2"][0])

    expected = gradients_by_autograd(logits, parameters, ("W2", "b2"), X, y)
    assert (
        relative_error(gradients(output_layer_gradients(parameters, X, y, activation)), expected)
        <= 1e-10
    )


@pytest.mark.parametrize("runs", [(3,), (2, 2)])
def test_a_stack_of_lazy_runs_is_as_many_separate_calls(
    runs, random_network, random_batch, relative_error
):
    gates = random_network((5, 7), runs=runs, seed=9)
    parameters = random_network((5, 7, 1), runs=runs) | {"V1": gates["W1"], "c1": gates["b1"]}
    features = {name: p for name, p in parameters.items() if name not in ("V1", "c1")}
    X, y = random_batch(6, 5, runs=runs)
    first = (0,) * len(runs)
    for rule, p in ((ntk_gradients, parameters), (output_layer_gradients, features)):
        stacked = gradients(rule(p, X, y))
        one = {name: value[first] for name, value in p.items()}
        alone = gradients(rule(one, X[first], y[first]))
        assert relative_error({name: g[first] for name, g in stacked.items()}, alone) <= 1e-12


def test_gaussian_features_have_the_released_codes_scale_and_no_first_bias(small_run):
    W1 = gaussian_first_layer(300, 500, torch.Generator().manual_seed(0))
    std = (6 / 800) ** 0.5
    assert W1.shape == (300, 500)
    assert W1.mean().item() == pytest.approx(0, abs=5 * std / W1.numel() ** 0.5)
    assert W1.std().item() == pytest.approx(std, abs=5 * std / W1.numel() ** 0.5)
    start = initial_parameters(small_run(method="gaussian_features"), 64)
    assert start.keys() == {"W1", "W2", "b2"}


def test_linear_features_make_a_linear_model_of_the_inputs(small_run, random_batch, relative_error):
    start = initial_parameters(small_run(method="linear_features", precision="float64"), 5)
    (X, _), (Z, _) = random_batch(6, 5), random_batch(6, 5, seed=2)

    def logits(inputs):
        return METHODS["linear_features"].forward(start, inputs, "linear").logits

    assert relative_error(logits((X + Z) / 2), (logits(X) + logits(Z)) / 2) <= 1e-12
