import math
from functools import partial

import pytest
import torch

from dfa_lib import train
from dfa_lib.optimizers import (
    OPTIMIZERS,
    adagrad,
    look_ahead,
    momentum,
    rmsprop,
    sgd,
    step,
)

UPDATES = 50
RATE = {
    "sgd": 0.05,
    "momentum": 0.01,
    "nesterov": 0.01,
    "adagrad": 0.1,
    "adadelta": 1.0,
    "rmsprop": 0.01,
    "adam": 0.01,
}
# Arguments with which torch.optim follows the thesis's equations. Where it places ε differently, the
# docstrings say so, and the scalar calculations below check it.
TORCH = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": partial(torch.optim.Adagrad, eps=0, initial_accumulator_value=1e-8),
    "adadelta": torch.optim.Adadelta,
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.9, eps=0),
    "adam": torch.optim.Adam,
}
OURS = OPTIMIZERS | {"rmsprop": OPTIMIZERS["rmsprop"]._replace(update=partial(rmsprop, epsilon=0.0))}


def start(runs=()):
    source = torch.Generator().manual_seed(0)
    shapes = {"W1": (3, 4), "b1": (1, 4), "B1": (1, 4)}
    return {
        name: torch.randn(*runs, *shape, generator=source, dtype=torch.float64)
        for name, shape in shapes.items()
    }


def slope(theta):
    """A gradient that is nonlinear in the parameters, and not 0 at 0."""
    return 2 * theta + torch.sin(3 * theta) - 0.7


def gradients(point):
    """Of the weights, not of the feedback."""
    return {name: slope(p) for name, p in point.items() if name != "B1"}


def trajectory(optimizer, parameters, updates=UPDATES, **hyperparameters):
    state = {}
    for _ in range(updates):
        parameters, state = step(optimizer, parameters, state, gradients, **hyperparameters)
        yield parameters, state


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_fifty_updates_agree_with_torch(name, weight_decay, relative_error):
    theirs = {n: p.clone().requires_grad_() for n, p in start().items() if n != "B1"}
    optimizer = TORCH[name](list(theirs.values()), lr=RATE[name], weight_decay=weight_decay)
    ours = trajectory(OURS[name], start(), learning_rate=RATE[name], weight_decay=weight_decay)
    count = 0
    for parameters, state in ours:
        for p in theirs.values():
            p.grad = slope(p.detach())
        optimizer.step()
        for n, p in theirs.items():
            # torch keeps the look-ahead point as its parameters.
            point = look_ahead(parameters[n], state[n]) if name == "nesterov" else parameters[n]
            assert relative_error(point, p.detach()) <= 1e-10
        count += 1
    assert count == UPDATES


def test_rmsprop_nears_torch_as_epsilon_goes_to_zero(relative_error):
    (*_, (exact, _)) = trajectory(OURS["rmsprop"], start(), learning_rate=0.01)
    errors = []
    for epsilon in (1e-4, 1e-6, 1e-8):
        optimizer = OPTIMIZERS["rmsprop"]._replace(update=partial(rmsprop, epsilon=epsilon))
        (*_, (ours, _)) = trajectory(optimizer, start(), learning_rate=0.01)
        errors.append(relative_error(ours, exact))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-6


# ---- by hand ----


def scalar(x):
    return torch.tensor([[x]], dtype=torch.float64)


def follow(update, theta, slopes, state, **hyperparameters):
    """Apply an update to a single number for each of the gradients."""
    theta, state, values = scalar(theta), tuple(map(scalar, state)), []
    for g in slopes:
        theta, state = update(theta, scalar(g), state, **hyperparameters)
        values.append(theta.item())
    return values


def test_sgd_by_hand():
    assert follow(sgd, 1.0, [2.0, -1.0], (), learning_rate=0.25) == [0.5, 0.75]


def test_momentum_by_hand():
    # v = 0.5·2 = 1, θ = 0;  v = 0.9 + 0.5·(-1) = 0.4, θ = -0.4
    values = follow(momentum, 1.0, [2.0, -1.0], [0.0], learning_rate=0.5)
    assert values == pytest.approx([0.0, -0.4], abs=1e-15)


def test_nesterov_takes_the_gradient_ahead_by_hand():
    # On the slope θ, from 1, with γ = η = ½: ahead 1, v = ½, θ = ½;
    # ahead ¼, v = ¼ + ⅛, θ = ⅛;  ahead ⅛ - 3/16 = -1/16, v = 3/16 - 1/32 = 5/32, θ = -1/32.
    nesterov = OPTIMIZERS["nesterov"]._replace(
        update=partial(momentum, gamma=0.5), gradient_point=partial(look_ahead, gamma=0.5)
    )
    parameters, state, values = {"W1": scalar(1.0)}, {}, []
    for _ in range(3):
        parameters, state = step(nesterov, parameters, state, dict, learning_rate=0.5)
        values.append(parameters["W1"].item())
    assert values == [0.5, 0.125, -0.03125]


def test_adagrads_epsilon_is_inside_the_root_by_hand():
    # With ε = 7 and g = 3: √(9 + 7) = 4, θ = 1 - 0.4·3/4 = 0.7;  √(18 + 7) = 5, θ = 0.7 - 0.4·3/5.
    values = follow(adagrad, 1.0, [3.0, 3.0], [0.0], learning_rate=0.4, epsilon=7.0)
    assert values == pytest.approx([0.7, 0.46], rel=1e-15)


def test_rmsprops_epsilon_is_inside_the_root_by_hand():
    # ρ = ¾, ε = 7. g = 6: E = 36/4 = 9, √(9 + 7) = 4, θ = 1 - 0.4·6/4 = 0.4;
    # g = 3: E = 0.75·9 + 9/4 = 9, √16 = 4, θ = 0.4 - 0.4·3/4 = 0.1.
    values = follow(rmsprop, 1.0, [6.0, 3.0], [0.0], learning_rate=0.4, rho=0.75, epsilon=7.0)
    assert values == pytest.approx([0.4, 0.1], rel=1e-14)


def test_adadelta_by_hand():
    # g = 1: E[g²] = 0.1, Δ = √1e-6/√0.100001 = 0.0031622618, E[Δ²] = 0.1·Δ² = 9.99990000e-7;
    # g = 1: E[g²] = 0.19, Δ = √1.99999e-6/√0.190001 = 0.0032444118.
    squared = 0.1 * 1e-6 / 0.100001
    updates = [1e-3 / math.sqrt(0.100001), math.sqrt(1e-6 + squared) / math.sqrt(0.190001)]
    assert updates == pytest.approx([0.0031622618489, 0.0032444117737], rel=1e-10)
    values = follow(OPTIMIZERS["adadelta"].update, 1.0, [1.0, 1.0], [0.0, 0.0], learning_rate=0.5)
    assert values == pytest.approx([1 - 0.5 * updates[0], 1 - 0.5 * sum(updates)], rel=1e-14)


def test_adadelta_accumulates_unscaled_updates():
    theta, g = scalar(1.0), scalar(2.0)
    zero = (scalar(0.0), scalar(0.0))
    update = OPTIMIZERS["adadelta"].update
    _, slow = update(theta, g, zero, learning_rate=0.001)
    _, fast = update(theta, g, zero, learning_rate=10.0)
    assert slow == fast
    assert slow[1] > 0


def test_adam_by_hand():
    # Bias-corrected, a constant slope g gives m̂ = g and v̂ = g² at every update, so each one moves by
    # η g/(|g| + ε): with g = 3 and ε = 1, by 0.75 η. Uncorrected, or counting anything but updates, not.
    state = OPTIMIZERS["adam"].initial_state(scalar(1.0))
    theta, moved = scalar(1.0), []
    for _ in range(5):
        new, state = OPTIMIZERS["adam"].update(theta, scalar(3.0), state, learning_rate=0.1, epsilon=1.0)
        moved.append((theta - new).item())
        theta = new
    assert moved == pytest.approx([0.075] * 5, rel=1e-12)


def test_adams_bias_correction_counts_updates():
    for number, (_, state) in enumerate(trajectory(OPTIMIZERS["adam"], start(), learning_rate=0.1), 1):
        for *_, beta1_t, beta2_t in state.values():
            assert beta1_t.item() == pytest.approx(0.9**number, rel=1e-14)
            assert beta2_t.item() == pytest.approx(0.999**number, rel=1e-14)


def test_adams_bias_correction_is_precise_for_float32_parameters():
    # 1 - β₂ᵗ loses half its digits in float32 while t is small.
    theta, g = torch.ones(1, 1), torch.full((1, 1), 0.3)
    update, initial_state = OPTIMIZERS["adam"].update, OPTIMIZERS["adam"].initial_state
    new, _ = update(theta, g, initial_state(theta), learning_rate=0.1)
    assert new.dtype == torch.float32
    assert new.item() == pytest.approx(0.9, rel=2e-7)


# ---- what holds for all of them ----


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_changes_nothing_that_it_was_given(name):
    (*_, (parameters, state)) = trajectory(
        OPTIMIZERS[name], start(), updates=3, learning_rate=RATE[name]
    )
    before = {n: p.clone() for n, p in parameters.items()}
    state_before = {n: tuple(t.clone() for t in s) for n, s in state.items()}
    step(OPTIMIZERS[name], parameters, state, gradients, learning_rate=RATE[name], weight_decay=0.1)
    assert parameters.keys() == before.keys()
    assert all(torch.equal(parameters[n], before[n]) for n in before)
    assert state.keys() == state_before.keys()
    for n, tensors in state_before.items():
        assert all(torch.equal(a, b) for a, b in zip(state[n], tensors, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_has_no_gradient_is_passed_on_untouched_by_weight_decay(name):
    parameters = start()
    new, state = step(OPTIMIZERS[name], parameters, {}, gradients, learning_rate=0.1, weight_decay=0.5)
    assert new["B1"] is parameters["B1"]
    assert state.keys() == {"W1", "b1"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_are_asked_for_once_a_step(name):
    calls = []
    step(
        OPTIMIZERS[name],
        start(),
        {},
        lambda point: calls.append(1) or gradients(point),
        learning_rate=0.1,
    )
    assert calls == [1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_stack_of_runs_takes_one_learning_rate_each(name, relative_error):
    rates = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64) * RATE[name]
    parameters = start(runs=(3,))
    (*_, (stacked, _)) = trajectory(OPTIMIZERS[name], parameters, learning_rate=rates.view(3, 1, 1))
    for run, rate in enumerate(rates.tolist()):
        one = {n: p[run] for n, p in parameters.items()}
        (*_, (alone, _)) = trajectory(OPTIMIZERS[name], one, learning_rate=rate)
        assert relative_error({n: p[run] for n, p in stacked.items()}, alone) <= 1e-12


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_keeps_shape_and_precision(name, dtype):
    parameters = {n: p.to(dtype) for n, p in start().items()}
    (*_, (new, _)) = trajectory(OPTIMIZERS[name], parameters, updates=2, learning_rate=RATE[name])
    for n, p in parameters.items():
        assert new[n].shape == p.shape
        assert new[n].dtype == dtype


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_repeats_share_no_optimizer_state(name, small_run):
    first, second = (small_run(optimizer=name, learning_rate=0.01, seed=seed) for seed in (0, 1))
    alone = train(second)
    again = train(first)
    assert train(second) == alone
    assert train(first) == again


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss_of_backpropagation(name, small_run):
    history = train(small_run(optimizer=name, learning_rate=RATE[name], k=1, samples=1_000, epochs=6))
    assert history.train_loss[-1] < history.train_loss[0]
    assert history.test_accuracy[-1] > 0.6


def test_weight_decay_shrinks_the_weights(small_run):
    norms = []
    for weight_decay in (0.0, 0.1):
        seen = []
        train(
            small_run(weight_decay=weight_decay),
            observe=lambda epoch, parameters, seen=seen: seen.append(parameters["W1"].norm().item()),
        )
        norms.append(seen[-1])
    assert norms[1] < norms[0]


def test_the_test_suite_knows_every_optimizer():
    assert TORCH.keys() == OPTIMIZERS.keys() == RATE.keys()
