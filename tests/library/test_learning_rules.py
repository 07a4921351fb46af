import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dfa_lib import learning_rules
from dfa_lib.learning_rules import gradients, output_error
from dfa_lib.networks import ACTIVATIONS, binary_cross_entropy, forward


def multiplied(rule):
    return lambda *given: gradients(rule(*given))


backpropagation, feedback_alignment, direct_feedback_alignment = map(
    multiplied,
    (
        learning_rules.backpropagation,
        learning_rules.feedback_alignment,
        learning_rules.direct_feedback_alignment,
    ),
)

RULES = {"bp": backpropagation, "fa": feedback_alignment, "dfa": direct_feedback_alignment}
WIDTHS = {1: (5, 1), 2: (5, 7, 1), 3: (5, 7, 4, 1), 4: (5, 7, 4, 6, 1)}
TORCH = {"relu": F.relu, "tanh": F.tanh, "sigmoid": F.sigmoid, "linear": lambda a: a}


def autograd(parameters, X, y, activation):
    leaves = {name: p.clone().requires_grad_() for name, p in parameters.items()}
    layers = sum(name[0] == "W" for name in leaves)
    h = X
    for layer in range(1, layers + 1):
        bias = leaves[f"b{layer}"][0] if f"b{layer}" in leaves else None
        a = F.linear(h, leaves[f"W{layer}"].T, bias)
        h = TORCH[activation](a)
    loss = F.binary_cross_entropy_with_logits(a, y)
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


@pytest.mark.parametrize("layers", WIDTHS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("biases", [True, False])
def test_backpropagation_agrees_with_autograd(
    layers, activation, biases, random_network, random_batch, relative_error
):
    parameters = random_network(WIDTHS[layers], biases=biases)
    X, y = random_batch(11, 5)
    expected = autograd(parameters, X, y, activation)
    assert relative_error(backpropagation(parameters, X, y, activation), expected) <= 1e-10


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear"])
def test_backpropagation_agrees_with_finite_differences(
    activation, random_network, random_batch, relative_error
):
    parameters = random_network((3, 4, 2, 1))
    X, y = random_batch(6, 3)

    def loss(name, flat_index, change):
        moved = parameters[name].clone()
        moved.view(-1)[flat_index] += change
        return binary_cross_entropy(forward(parameters | {name: moved}, X, activation).logits, y)

    h = 1e-5
    slopes = {
        name: torch.stack([(loss(name, i, h) - loss(name, i, -h)) / (2 * h) for i in range(p.numel())])
        for name, p in parameters.items()
    }
    expected = {name: slopes[name].view_as(p) for name, p in parameters.items()}
    assert relative_error(backpropagation(parameters, X, y, activation), expected) <= 1e-7


def test_output_error_is_the_gradient_of_the_loss_in_the_logits(random_batch, relative_error):
    logits, y = random_batch(8, 1)
    logits.requires_grad_()
    (expected,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(logits, y), logits)
    assert relative_error(output_error(logits.detach(), y), expected) <= 1e-14


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("runs", [(3,), (2, 3)])
def test_a_stack_of_runs_is_as_many_separate_calls(
    rule, activation, runs, random_network, random_batch, relative_error
):
    parameters = random_network(WIDTHS[3], runs=runs, feedback=rule)
    X, y = random_batch(6, 5, runs=runs)
    stacked = RULES[rule](parameters, X, y, activation)
    for one in np.ndindex(*runs):
        alone = RULES[rule]({name: p[one] for name, p in parameters.items()}, X[one], y[one], activation)
        assert relative_error({name: g[one] for name, g in stacked.items()}, alone) <= 1e-12


@pytest.mark.parametrize("rule", RULES)
def test_a_stack_of_runs_may_share_its_batch(rule, random_network, random_batch, relative_error):
    parameters = random_network(WIDTHS[3], runs=(3,), feedback=rule)
    X, y = random_batch(6, 5)
    stacked = RULES[rule](parameters, X.expand(3, 6, 5), y)
    for run in range(3):
        alone = RULES[rule]({name: p[run] for name, p in parameters.items()}, X, y)
        assert relative_error({name: g[run] for name, g in stacked.items()}, alone) <= 1e-12


def written_out(rule, parameters, X, y, f, derivative):
    """The equations of a network of three layers, line by line."""
    p = {name: value.numpy() for name, value in parameters.items()}
    X, y = X.numpy(), y.numpy()
    a1 = X @ p["W1"] + p["b1"]
    h1 = f(a1)
    a2 = h1 @ p["W2"] + p["b2"]
    h2 = f(a2)
    a3 = h2 @ p["W3"] + p["b3"]
    e = (1 / (1 + np.exp(-a3)) - y) / len(X)
    if rule == "dfa":
        d2 = (e @ p["B2"]) * derivative(a2)
        d1 = (e @ p["B1"]) * derivative(a1)
    else:
        d2 = (e @ p["B2"]) * derivative(a2)
        d1 = (d2 @ p["B1"]) * derivative(a1)
    found = {"W3": h2.T @ e, "W2": h1.T @ d2, "W1": X.T @ d1}
    found |= {"b3": e.sum(0)[None], "b2": d2.sum(0)[None], "b1": d1.sum(0)[None]}
    return {name: torch.from_numpy(g) for name, g in found.items()}


@pytest.mark.parametrize("rule", ["fa", "dfa"])
@pytest.mark.parametrize(
    ("activation", "f", "derivative"),
    [
        ("relu", lambda a: np.maximum(a, 0), lambda a: np.where(a > 0, 1.0, 0.0)),
        ("tanh", np.tanh, lambda a: np.cosh(a) ** -2),
        ("sigmoid", lambda a: 1 / (1 + np.exp(-a)), lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2),
        ("linear", lambda a: a, np.ones_like),
    ],
)
def test_fa_and_dfa_agree_with_their_equations_written_out(
    rule, activation, f, derivative, random_network, random_batch, relative_error
):
    parameters = random_network((5, 7, 4, 1), feedback=rule)
    X, y = random_batch(11, 5)
    expected = written_out(rule, parameters, X, y, f, derivative)
    assert relative_error(RULES[rule](parameters, X, y, activation), expected) <= 1e-10


def test_the_first_update_of_dfa_by_hand():
    # One example and two hidden units, the second inactive; all numbers can be checked by hand.
    parameters = {
        "W1": torch.tensor([[1.0, -1.0]]).double(),
        "W2": torch.tensor([[1.0], [1.0]]).double(),
        "B1": torch.tensor([[3.0, 5.0]]).double(),
    }
    X, y = torch.tensor([[0.0]]).double() + 2, torch.zeros(1, 1).double()
    e = 1 / (1 + np.exp(-2.0))
    found = direct_feedback_alignment(parameters, X, y)
    assert found["W2"].flatten().tolist() == pytest.approx([2 * e, 0])
    assert found["W1"].flatten().tolist() == pytest.approx([2 * 3 * e, 0])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("biases", [True, False])
def test_dfa_and_fa_agree_with_one_hidden_layer(activation, biases, random_network, random_batch):
    parameters = random_network((5, 7, 1), biases=biases, feedback="dfa")
    X, y = random_batch(11, 5)
    fa = feedback_alignment(parameters, X, y, activation)
    dfa = direct_feedback_alignment(parameters, X, y, activation)
    assert fa.keys() == dfa.keys()
    assert all(torch.equal(fa[name], dfa[name]) for name in fa)


def test_dfa_and_fa_differ_in_deeper_networks(random_network, random_batch):
    # The matrices are shaped so that both rules accept them: every layer above the first has one unit.
    parameters = random_network((5, 7, 1, 1), feedback="dfa")
    X, y = random_batch(11, 5)
    fa = feedback_alignment(parameters, X, y, "tanh")
    dfa = direct_feedback_alignment(parameters, X, y, "tanh")
    assert torch.equal(fa["W2"], dfa["W2"])
    assert not torch.allclose(fa["W1"], dfa["W1"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dfa_is_backpropagation_when_b_is_w2_transposed(activation, random_network, random_batch):
    parameters = random_network((5, 7, 1))
    parameters["B1"] = parameters["W2"].T
    X, y = random_batch(11, 5)
    dfa, bp = (RULES[rule](parameters, X, y, activation) for rule in ("dfa", "bp"))
    assert all(torch.equal(dfa[name], bp[name]) for name in bp)


@pytest.mark.parametrize("layers", [2, 3, 4])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_fa_is_backpropagation_when_every_b_is_the_next_weight_transposed(
    layers, activation, random_network, random_batch
):
    parameters = random_network(WIDTHS[layers])
    parameters |= {f"B{layer}": parameters[f"W{layer + 1}"].T for layer in range(1, layers)}
    X, y = random_batch(11, 5)
    fa, bp = (RULES[rule](parameters, X, y, activation) for rule in ("fa", "bp"))
    assert all(torch.equal(fa[name], bp[name]) for name in bp)


def test_deep_linear_dfa_is_backpropagation_when_b_is_the_product_of_the_weights_above(
    random_network, random_batch, relative_error
):
    parameters = random_network((5, 7, 4, 1))
    parameters["B1"] = (parameters["W2"] @ parameters["W3"]).T
    parameters["B2"] = parameters["W3"].T
    X, y = random_batch(11, 5)
    dfa, bp = (RULES[rule](parameters, X, y, "linear") for rule in ("dfa", "bp"))
    assert relative_error(dfa, bp) <= 1e-12


@pytest.mark.parametrize("rule", ["fa", "dfa"])
@pytest.mark.parametrize("layers", [2, 3, 4])
def test_the_last_layers_gradient_is_backpropagations_in_every_rule(
    rule, layers, random_network, random_batch
):
    parameters = random_network(WIDTHS[layers], feedback=rule)
    X, y = random_batch(11, 5)
    other, bp = RULES[rule](parameters, X, y, "tanh"), backpropagation(parameters, X, y, "tanh")
    for name in (f"W{layers}", f"b{layers}"):
        assert torch.equal(other[name], bp[name])


@pytest.mark.parametrize("rule", ["fa", "dfa"])
@pytest.mark.parametrize("layers", [2, 3, 4])
def test_hidden_layers_do_not_silently_get_backpropagations_gradient(
    rule, layers, random_network, random_batch
):
    parameters = random_network(WIDTHS[layers], feedback=rule)
    X, y = random_batch(11, 5)
    other, bp = RULES[rule](parameters, X, y, "tanh"), backpropagation(parameters, X, y, "tanh")
    for layer in range(1, layers):
        for name in (f"W{layer}", f"b{layer}"):
            cosine = F.cosine_similarity(other[name].flatten(), bp[name].flatten(), dim=0)
            assert abs(cosine) < 0.99


@pytest.mark.parametrize("rule", ["fa", "dfa"])
def test_feedback_rules_do_not_read_w2_on_the_way_back(rule, random_network, random_batch):
    # Two identical hidden units: moving weight in W2 from one to the other does not change the output,
    # so a rule whose backward pass does not use W2 gives the same gradients.
    before = random_network((5, 2, 1), feedback=rule)
    before["W1"][:, 1], before["b1"][:, 1] = before["W1"][:, 0], before["b1"][:, 0]
    before["W2"] = torch.tensor([[1.0], [2.0]]).double()
    after = before | {"W2": torch.tensor([[5.0], [-2.0]]).double()}
    X, y = random_batch(11, 5)
    torch.testing.assert_close(forward(before, X).logits, forward(after, X).logits)
    torch.testing.assert_close(RULES[rule](before, X, y)["W1"], RULES[rule](after, X, y)["W1"])
    assert not torch.allclose(backpropagation(before, X, y)["W1"], backpropagation(after, X, y)["W1"])


@pytest.mark.parametrize("rule", RULES)
def test_weights_and_biases_have_gradients_and_feedback_matrices_have_none(
    rule, random_network, random_batch
):
    parameters = random_network(WIDTHS[3], feedback=rule)
    X, y = random_batch(6, 5)
    found = RULES[rule](parameters, X, y)
    assert found.keys() == {"W1", "b1", "W2", "b2", "W3", "b3"}
    assert all(found[name].shape == parameters[name].shape for name in found)


@pytest.mark.parametrize("rule", RULES)
def test_rules_leave_their_arguments_as_they_were(rule, random_network, random_batch):
    parameters = random_network(WIDTHS[3], feedback=rule)
    X, y = random_batch(6, 5)
    copies = {name: p.clone() for name, p in parameters.items()} | {"X": X.clone(), "y": y.clone()}
    RULES[rule](parameters, X, y)
    assert all(torch.equal(copies[name], p) for name, p in (parameters | {"X": X, "y": y}).items())


@pytest.mark.parametrize("rule", RULES)
def test_gradients_stay_finite_at_huge_logits(rule, random_network, random_batch):
    parameters = {name: 1e3 * p for name, p in random_network(WIDTHS[3], feedback=rule).items()}
    X, y = random_batch(6, 5)
    assert forward(parameters, X).logits.abs().max() > 1e6
    assert all(torch.isfinite(g).all() for g in RULES[rule](parameters, X, y).values())
