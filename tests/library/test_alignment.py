import math

import numpy as np
import pytest
import torch

from dfa_lib import train
from dfa_lib.alignment import (
    cosine,
    gradient_alignment,
    sign_agreement,
    weight_alignment,
)
from dfa_lib.learning_rules import (
    backpropagation,
    direct_feedback_alignment,
    feedback_alignment,
    gradients,
)
from dfa_lib.methods import METHODS
from dfa_lib.networks import ACTIVATIONS
from dfa_lib.training import (
    load_problem,
    measure,
    start_engine,
    train_epoch,
)


def test_cosine_by_hand():
    a = torch.tensor([[3.0, 4.0]])
    assert cosine(a, torch.tensor([[30.0, 40.0]])) == pytest.approx(1, abs=1e-15)
    assert cosine(a, torch.tensor([[-3.0, -4.0]])) == pytest.approx(-1, abs=1e-15)
    assert cosine(a, torch.tensor([[-4.0, 3.0]])) == 0
    assert cosine(a, torch.tensor([[1.0, 0.0]])) == pytest.approx(0.6, abs=1e-15)


def test_cosine_takes_matrices_as_vectors_run_by_run():
    source = np.random.default_rng(0)
    a, b = source.normal(size=(3, 4, 5)), source.normal(size=(3, 4, 5))
    cosines = cosine(torch.from_numpy(a), torch.from_numpy(b))
    assert cosines.shape == (3,)
    for run in range(3):
        x, y = a[run].ravel(), b[run].ravel()
        assert cosines[run].item() == pytest.approx(x @ y / np.sqrt(x @ x * (y @ y)), rel=1e-12)


def test_cosine_with_nothing_is_unknown():
    assert math.isnan(cosine(torch.zeros(1, 3), torch.ones(1, 3)))


def test_weight_alignment_is_the_cosine_of_b_with_w2_transposed(random_network):
    p = random_network((5, 7, 1), feedback="dfa")
    b, w = p["B1"].numpy().ravel(), p["W2"].numpy().ravel()
    (alignment,) = weight_alignment(p)
    assert alignment.item() == pytest.approx(b @ w / np.linalg.norm(b) / np.linalg.norm(w), rel=1e-12)


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_dfas_matrices_are_compared_with_the_product_of_the_weights_above(layers, random_network):
    widths = (*(5, 7, 4, 6)[:layers], 1)
    p = random_network(widths, feedback="dfa")
    alignments = weight_alignment(p)
    assert len(alignments) == layers - 1
    for layer, alignment in enumerate(alignments, start=1):
        path = np.linalg.multi_dot(
            [p[f"W{above}"].numpy() for above in range(layer + 1, layers + 1)] + [np.eye(1)]
        )
        b, w = p[f"B{layer}"].numpy().ravel(), path.T.ravel()
        assert alignment.item() == pytest.approx(
            b @ w / np.linalg.norm(b) / np.linalg.norm(w), rel=1e-10
        )


def test_fas_matrices_are_compared_with_the_next_weights_transposed(random_network):
    p = random_network((5, 7, 4, 1), feedback="fa")
    for layer, alignment in enumerate(weight_alignment(p, direct=False), start=1):
        b, w = p[f"B{layer}"].numpy().ravel(), p[f"W{layer + 1}"].numpy().T.ravel()
        assert alignment.item() == pytest.approx(
            b @ w / np.linalg.norm(b) / np.linalg.norm(w), rel=1e-10
        )


def test_a_hidden_layer_as_narrow_as_the_output_does_not_turn_dfa_into_fa(random_network):
    """FA and DFA have B of the same shape here; the first edition compared B2 with W3 alone."""
    p = random_network((6, 8, 1, 5, 1), feedback="dfa")
    for layer in (1, 2, 3):
        path = np.linalg.multi_dot(
            [p[f"W{above}"].numpy() for above in range(layer + 1, 5)] + [np.eye(1)]
        )
        b, w = p[f"B{layer}"].numpy().ravel(), path.T.ravel()
        expected = b @ w / np.linalg.norm(b) / np.linalg.norm(w)
        assert weight_alignment(p)[layer - 1].item() == pytest.approx(expected, rel=1e-10)


def test_sign_agreement_is_the_share_of_w2_on_units_that_have_bs_sign():
    p = {"W1": torch.ones(2, 4), "W2": torch.tensor([[0.5], [-1.0], [2.0], [0.5]])}
    p["B1"] = torch.tensor([[3.0, 1.0, 0.1, -7.0]])
    assert sign_agreement(p)[0].item() == pytest.approx((0.5 + 2.0) / 4.0)
    assert sign_agreement(p, weighted=False)[0].item() == pytest.approx(2 / 4)
    p["B1"] = p["W2"].mT * torch.tensor([[1.0, 5.0, 9.0, 0.2]])
    assert sign_agreement(p)[0].item() == 1
    assert math.isnan(sign_agreement(p | {"W2": torch.zeros(4, 1)})[0])


def test_the_direction_of_unit_updates_follows_the_signs(random_network, random_batch):
    """A unit's update of W1 is the exact gradient's times B_j / W2_j: it descends if the signs agree."""
    p = random_network((5, 7, 1), feedback="dfa")
    X, y = random_batch(11, 5)
    dfa, bp = (gradients(rule(p, X, y))["W1"] for rule in (direct_feedback_alignment, backpropagation))
    uphill = (dfa * bp).sum(0) < 0
    assert torch.equal(~uphill, (p["B1"] * p["W2"].mT > 0)[0])


def test_alignment_is_1_where_b_is_w2_transposed_and_minus_1_where_it_is_turned_round(
    random_network, random_batch
):
    p = random_network((5, 7, 1))
    X, y = random_batch(11, 5)
    for sign in (1, -1):
        p["B1"] = sign * 2 * p["W2"].T
        assert weight_alignment(p)[0].item() == pytest.approx(sign, rel=1e-12)
        (updates,) = gradient_alignment(direct_feedback_alignment, p, X, y)
        assert updates.item() == pytest.approx(sign, rel=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_alignment_is_the_cosine_with_backpropagation_layer_by_layer(
    activation, random_network, random_batch
):
    p = random_network((5, 7, 4, 1), feedback="fa")
    X, y = random_batch(11, 5)
    fa, bp = (
        gradients(feedback_alignment(p, X, y, activation)),
        gradients(backpropagation(p, X, y, activation)),
    )
    alignments = gradient_alignment(feedback_alignment, p, X, y, activation)
    assert len(alignments) == 2
    for layer, alignment in enumerate(alignments, start=1):
        a, b = fa[f"W{layer}"].numpy().ravel(), bp[f"W{layer}"].numpy().ravel()
        assert alignment.item() == pytest.approx(
            a @ b / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-10
        )


def test_backpropagation_is_aligned_with_itself(random_network, random_batch):
    p = random_network((5, 7, 4, 1))
    X, y = random_batch(11, 5)
    for alignment in gradient_alignment(backpropagation, p, X, y):
        assert alignment.item() == pytest.approx(1, rel=1e-12)


def test_alignments_of_a_stack_are_per_run(random_network, random_batch):
    p = random_network((5, 7, 4, 1), runs=(3,), feedback="dfa")
    X, y = random_batch(11, 5, runs=(3,))
    weights, updates = weight_alignment(p), gradient_alignment(direct_feedback_alignment, p, X, y)
    for run in range(3):
        one = {name: value[run] for name, value in p.items()}
        for stacked, alone in zip(weights, weight_alignment(one), strict=True):
            assert stacked[run].item() == pytest.approx(alone.item(), rel=1e-12)
        rule = gradient_alignment(direct_feedback_alignment, one, X[run], y[run])
        for stacked, alone in zip(updates, rule, strict=True):
            assert stacked[run].item() == pytest.approx(alone.item(), rel=1e-12)


@pytest.mark.parametrize("method", ["bp", "ntk", "relu_features"])
def test_alignment_is_not_measured_where_there_are_no_random_matrices(method, small_run):
    history = train(small_run(method=method))
    assert all(map(math.isnan, history.weight_alignment + history.gradient_alignment))
    assert not history.diverged


def test_weights_align_with_b_while_dfa_trains(small_run):
    history = train(small_run(method="dfa", k=1, samples=4_000, hidden=64, epochs=5, learning_rate=0.2))
    assert history.weight_alignment == sorted(history.weight_alignment)
    assert history.weight_alignment[-1] > history.weight_alignment[0] + 0.1
    assert history.gradient_alignment[-1] > 0.5


def test_recorded_alignment_is_the_mean_over_hidden_layers(small_run):
    run = small_run(method="dfa", hidden=(16, 8), precision="float64")
    seen = []
    history = train(run, observe=lambda epoch, parameters: seen.append(weight_alignment(parameters)))
    for recorded, layers in zip(history.weight_alignment, seen, strict=True):
        assert recorded == pytest.approx((layers[0] + layers[1]).item() / 2, rel=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "adam"])
@pytest.mark.parametrize("method", ["bp", "fa", "dfa", "ntk", "relu_features"])
def test_step_alignment_is_that_of_the_step_which_the_optimizer_makes_next(method, optimizer, small_run):
    run = small_run(
        method=method, optimizer=optimizer, learning_rate=0.01, precision="float64", weight_decay=0.01
    )
    examples = load_problem(run).training()
    engine = start_engine([run], examples.inputs)
    train_epoch(engine, examples, run.batch_size)
    X, y = examples.batch(0, 512)
    own = engine.flat(gradients(METHODS[method].rule(engine.parameters, X, y, run.activation)))
    update = engine.next_update(X, y, own)
    before, parameters = engine.theta.clone(), {n: t.clone() for n, t in engine.parameters.items()}
    values = measure(run, engine, examples, examples.head(64))
    assert torch.equal(engine.theta, before), "measuring must not train"
    engine.step(X, y)
    torch.testing.assert_close(before - engine.theta, update)
    rule = METHODS[method].rule if method not in ("fa", "dfa") else backpropagation
    exact = engine.flat(gradients(rule(parameters, X, y, run.activation)))
    expected = (update @ exact / update.norm() / exact.norm()).item()
    assert values["step_alignment"] == [pytest.approx(expected, rel=1e-9)]
    if method in ("fa", "dfa"):
        ours = engine.flat(gradients(METHODS[method].rule(parameters, X, y, run.activation)))
        expected = (ours @ exact / ours.norm() / exact.norm()).item()
        assert values["update_alignment"] == [pytest.approx(expected, rel=1e-9)]


def test_sgd_steps_along_backpropagations_gradient(small_run):
    history = train(small_run(method="bp", precision="float64"))
    assert history.step_alignment == pytest.approx([1.0] * len(history.step_alignment))
