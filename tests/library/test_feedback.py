import pytest
import torch

from dfa_lib import train
from dfa_lib.feedback import FEEDBACK, feedback_matrices
from dfa_lib.training import initial_parameters

WIDTHS = (6, 400, 500, 1)


def draw(kind, direct, seed=0, widths=WIDTHS):
    return feedback_matrices(widths, kind, torch.Generator().manual_seed(seed), direct=direct)


@pytest.mark.parametrize("kind", FEEDBACK)
def test_direct_feedback_comes_from_the_output_and_fa_from_the_layer_above(kind):
    direct, layered = draw(kind, True), draw(kind, False)
    assert {name: tuple(B.shape) for name, B in direct.items()} == {"B1": (1, 400), "B2": (1, 500)}
    assert {name: tuple(B.shape) for name, B in layered.items()} == {"B1": (500, 400), "B2": (1, 500)}


@pytest.mark.parametrize(
    ("kind", "mean", "std", "low", "high"),
    [
        ("uniform", 0, 0.05 / 3**0.5, -0.05, 0.05),  # a = 1/√400
        ("standard_uniform", 0.5, 12**-0.5, 0, 1),
        ("gaussian", 0.05, 0.05, None, None),
        ("standard_gaussian", 0, 1, None, None),
        ("sign", 0, 0.05, -0.05, 0.05),
    ],
)
def test_each_kind_of_feedback_has_its_range_and_moments(kind, mean, std, low, high):
    B = draw(kind, direct=False)["B1"]  # 200,000 numbers
    error = std / B.numel() ** 0.5
    assert B.dtype == torch.float64
    assert B.mean().item() == pytest.approx(mean, abs=5 * error)
    assert B.std().item() == pytest.approx(std, abs=5 * error)
    if low is None:  # normal: 68.3 % within a standard deviation, and tails beyond four
        assert ((B - mean).abs() < std).double().mean().item() == pytest.approx(0.6827, abs=0.005)
        assert (B - mean).abs().max() > 4 * std
    else:
        assert low <= B.min() < low + 0.001 * (high - low)
        assert high >= B.max() > high - 0.001 * (high - low)


def test_the_test_suite_knows_every_kind_of_feedback():
    assert set(FEEDBACK) == {"uniform", "standard_uniform", "gaussian", "standard_gaussian", "sign"}


def test_sign_feedback_has_the_signs_of_uniform_feedback_and_one_size():
    signs, uniform = (draw(kind, direct=True)["B1"] for kind in ("sign", "uniform"))
    assert torch.equal(signs, 400**-0.5 * uniform.sign())


@pytest.mark.parametrize("kind", FEEDBACK)
def test_fa_and_dfa_draw_the_same_matrix_with_one_hidden_layer(kind):
    widths = (6, 9, 1)
    assert torch.equal(draw(kind, True, widths=widths)["B1"], draw(kind, False, widths=widths)["B1"])


@pytest.mark.parametrize("kind", FEEDBACK)
def test_each_seed_draws_its_own_feedback(kind, small_run):
    first, same, other = (
        initial_parameters(small_run(method="dfa", feedback=kind, seed=seed), 64)["B1"]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", FEEDBACK)
@pytest.mark.parametrize("method", ["fa", "dfa"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_feedback_matrices_are_bitwise_fixed_while_weights_train(kind, method, optimizer, small_run):
    # Weight decay must not reach them either.
    run = small_run(
        method=method,
        feedback=kind,
        hidden=(16, 8),
        optimizer=optimizer,
        learning_rate=0.01,
        weight_decay=0.01,
    )
    start = initial_parameters(run, 3 * 64)
    seen = []
    train(run, observe=lambda epoch, parameters: seen.append(parameters))
    assert len(seen) == run.epochs
    for parameters in seen:
        for name, value in parameters.items():
            assert torch.equal(value, start[name]) == name.startswith("B"), name


def test_methods_with_one_seed_start_from_the_same_weights(small_run):
    starts = {
        method: initial_parameters(small_run(method=method, seed=3), 64)
        for method in ("bp", "fa", "dfa", "ntk", "relu_features", "linear_features")
    }
    for start in starts.values():
        for name in ("W1", "b1", "W2", "b2"):
            assert torch.equal(start[name], starts["bp"][name])
