import pytest
import torch
import torch.nn.functional as F

from dfa_lib.networks import (
    ACTIVATIONS,
    accuracy,
    binary_cross_entropy,
    depth,
    forward,
    initialise_network,
)

WIDTHS = {1: (5, 1), 2: (5, 7, 1), 3: (5, 7, 4, 1), 4: (5, 7, 4, 6, 1)}
TORCH = {"relu": F.relu, "tanh": F.tanh, "sigmoid": F.sigmoid, "linear": lambda a: a}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("layers", WIDTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("biases", [True, False])
def test_forward_pass_agrees_with_torch(
    layers, activation, biases, random_network, random_batch, relative_error
):
    parameters = random_network(WIDTHS[layers], biases=biases)
    X, _ = random_batch(6, 5)
    passed = forward(parameters, X, activation)
    h = X
    for layer in range(1, layers + 1):
        bias = parameters[f"b{layer}"][0] if biases else None
        a = F.linear(h, parameters[f"W{layer}"].T, bias)
        assert relative_error(passed.pre_activations[layer - 1], a) <= 1e-14
        h = TORCH[activation](a)
    assert depth(parameters) == layers
    assert passed.logits.shape == (6, 1)
    assert [tuple(h.shape) for h in passed.hidden] == [(6, units) for units in WIDTHS[layers][:-1]]


def test_the_test_suite_knows_every_activation():
    assert TORCH.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivative_of_activation_agrees_with_autograd(activation):
    a = torch.linspace(-6, 6, 50, dtype=torch.float64, requires_grad=True)  # leaves out 0
    (expected,) = torch.autograd.grad(TORCH[activation](a).sum(), a)
    torch.testing.assert_close(
        ACTIVATIONS[activation].derivative(a.detach()), expected, rtol=1e-10, atol=1e-15
    )


def test_derivative_of_relu_at_zero_is_zero():
    assert ACTIVATIONS["relu"].derivative(torch.tensor([-1.0, 0.0, 1.0])).tolist() == [0, 0, 1]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_saturated_units_stay_finite(activation):
    function, derivative = ACTIVATIONS[activation]
    a = torch.tensor([-1000.0, 1000.0])
    assert torch.isfinite(function(a)).all()
    assert derivative(a).tolist() == [0, 0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("runs", [(3,), (2, 3)])
def test_a_stack_of_networks_is_as_many_separate_networks(
    activation, runs, random_network, random_batch, relative_error
):
    parameters = random_network((5, 7, 4, 1), runs=runs)
    X, _ = random_batch(6, 5, runs=runs)
    stacked = forward(parameters, X, activation).logits
    assert stacked.shape == (*runs, 6, 1)
    for run in torch.cartesian_prod(*map(torch.arange, runs)).reshape(-1, len(runs)):
        one = tuple(run.tolist())
        alone = forward({name: p[one] for name, p in parameters.items()}, X[one], activation).logits
        assert relative_error(stacked[one], alone) <= 1e-13


def test_weights_and_biases_start_uniform_within_one_over_root_fan_in():
    network = initialise_network((100, 400, 25, 1), generator())
    fan_in = {1: 100, 2: 400, 3: 25}
    assert {name: tuple(p.shape) for name, p in network.items()} == {
        "W1": (100, 400),
        "b1": (1, 400),
        "W2": (400, 25),
        "b2": (1, 25),
        "W3": (25, 1),
        "b3": (1, 1),
    }
    for name, p in network.items():
        bound = fan_in[int(name[1])] ** -0.5
        assert p.dtype == torch.float64
        assert p.abs().max() <= bound
    for name in ("W1", "W2"):
        bound = fan_in[int(name[1])] ** -0.5
        assert network[name].abs().max() > 0.99 * bound
        # Of a uniform variable: mean 0, standard deviation bound/√3; five standard errors either way.
        error = bound / 3**0.5 / network[name].numel() ** 0.5
        assert abs(network[name].mean()) < 5 * error
        assert abs(network[name].std() - bound / 3**0.5) < 5 * error


def test_network_without_biases_has_weights_only():
    assert initialise_network((4, 3, 1), generator(), biases=False).keys() == {"W1", "W2"}


def test_one_seed_gives_one_network():
    first, same, other = (initialise_network((4, 3, 1), generator(seed)) for seed in (7, 7, 8))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_cross_entropy_from_logits_agrees_with_torch(relative_error):
    logits = torch.linspace(-1000, 1000, 201, dtype=torch.float64).reshape(-1, 1)
    near = torch.linspace(-40, 40, 161, dtype=torch.float64).reshape(-1, 1)
    for a in (logits, near):
        for y in (torch.zeros_like(a), torch.ones_like(a), (torch.arange(len(a)) % 2).double()[:, None]):
            expected = F.binary_cross_entropy_with_logits(a, y)
            assert relative_error(binary_cross_entropy(a, y), expected) <= 1e-14


@pytest.mark.parametrize(
    ("logit", "label", "loss"), [(1000, 0, 1000), (-1000, 1, 1000), (1000, 1, 0), (-1000, 0, 0)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cross_entropy_of_huge_logits_is_exact(logit, label, loss, dtype):
    a, y = torch.tensor([[logit]], dtype=dtype), torch.tensor([[label]], dtype=dtype)
    assert binary_cross_entropy(a, y).item() == loss


@pytest.mark.parametrize(("logit", "label"), [(40, 1), (-40, 0)])
def test_cross_entropy_keeps_the_tail_of_a_confident_right_answer(logit, label):
    # log(1 + e⁻⁴⁰) = e⁻⁴⁰ up to rounding; 1 + e⁻⁴⁰ would round to 1, and 40 + e⁻⁴⁰ to 40.
    a, y = torch.tensor([[logit]]).double(), torch.tensor([[label]]).double()
    assert binary_cross_entropy(a, y).item() == pytest.approx(4.248354255291589e-18, rel=1e-12, abs=0)


def test_loss_and_accuracy_of_a_stack_are_per_run(random_batch):
    logits, y = random_batch(6, 1, runs=(3,))
    for run in range(3):
        one_loss, one_accuracy = binary_cross_entropy(logits[run], y[run]), accuracy(logits[run], y[run])
        assert binary_cross_entropy(logits, y)[run] == pytest.approx(one_loss.item(), rel=1e-14)
        assert accuracy(logits, y)[run] == one_accuracy


def test_accuracy_counts_the_right_side_of_one_half_and_zero_as_class_0():
    logits = torch.tensor([[2.0], [-2.0], [0.0], [0.0]])
    y = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
    assert accuracy(logits, y).item() == 0.75
