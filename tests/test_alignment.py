import math

import numpy as np
import pytest
import torch

from dfa_lib import train
from dfa_lib.alignment import cosine, gradient_alignment, weight_alignment
from dfa_lib.learning_rules import backpropagation, direct_feedback_alignment, feedback_alignment
from dfa_lib.networks import ACTIVATIONS


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
    for layer, alignment in enumerate(weight_alignment(p), start=1):
        b, w = p[f"B{layer}"].numpy().ravel(), p[f"W{layer + 1}"].numpy().T.ravel()
        assert alignment.item() == pytest.approx(
            b @ w / np.linalg.norm(b) / np.linalg.norm(w), rel=1e-10
        )


def test_alignment_is_1_where_b_is_w2_transposed_and_minus_1_where_it_is_turned_round(
    random_network, random_batch
):
    p = random_network((5, 7, 1))
    X, y = random_batch(11, 5)
    for sign in (1, -1):
        p["B1"] = sign * 2 * p["W2"].T
        assert weight_alignment(p)[0].item() == pytest.approx(sign, rel=1e-12)
        (gradients,) = gradient_alignment(direct_feedback_alignment, p, X, y)
        assert gradients.item() == pytest.approx(sign, rel=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_alignment_is_the_cosine_with_backpropagation_layer_by_layer(
    activation, random_network, random_batch
):
    p = random_network((5, 7, 4, 1), feedback="fa")
    X, y = random_batch(11, 5)
    fa, bp = feedback_alignment(p, X, y, activation), backpropagation(p, X, y, activation)
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
    weights, gradients = weight_alignment(p), gradient_alignment(direct_feedback_alignment, p, X, y)
    for run in range(3):
        one = {name: value[run] for name, value in p.items()}
        for stacked, alone in zip(weights, weight_alignment(one), strict=True):
            assert stacked[run].item() == pytest.approx(alone.item(), rel=1e-12)
        rule = gradient_alignment(direct_feedback_alignment, one, X[run], y[run])
        for stacked, alone in zip(gradients, rule, strict=True):
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
