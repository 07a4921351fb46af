"""The optimizers of the thesis (section 1.4), each a pure function written as its equation.

An optimizer takes a tensor of parameters ``theta``, its gradient ``g`` and its ``state`` (a tuple of
tensors), and returns the new ``theta`` and the new ``state``; it changes nothing in place.
Hyperparameters are keywords. ``learning_rate`` may be a tensor that broadcasts, with one rate for each
run of a batch. Each run starts from ``initial_state``.

Every docstring says how the rule relates to the optimizer of that name in ``torch.optim``. There, as
here, weight decay adds ``weight_decay * theta`` to the gradient before the rule is applied.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .networks import Parameters

Rate = float | Tensor
State = tuple[Tensor, ...]


def sgd(theta: Tensor, g: Tensor, state: State, *, learning_rate: Rate) -> tuple[Tensor, State]:
    """Mini-batch gradient descent: ``θ ← θ - η g``. The same as ``torch.optim.SGD``."""
    return theta - learning_rate * g, state


def momentum(
    theta: Tensor, g: Tensor, state: State, *, learning_rate: Rate, gamma: float = 0.9
) -> tuple[Tensor, State]:
    """Momentum: ``v ← γ v + η g``, ``θ ← θ - v``.

    With a constant rate, the same as ``torch.optim.SGD(momentum=γ)``, whose buffer is ``v/η``. Also
    Nesterov's rule, where ``g`` is the gradient at ``look_ahead(θ, state)``: ``torch.optim.SGD`` with
    ``nesterov=True`` keeps that point as its parameters instead of ``θ``.
    """
    (v,) = state
    v = gamma * v + learning_rate * g
    return theta - v, (v,)


def look_ahead(theta: Tensor, state: State, *, gamma: float = 0.9) -> Tensor:
    """Where Nesterov's rule takes the gradient: ``θ - γ v``."""
    (v,) = state
    return theta - gamma * v


def moving_average(average: Tensor, new: Tensor, decay: float) -> Tensor:
    """``decay · average + (1 - decay) · new``, in one pass."""
    return torch.lerp(average, new, 1 - decay)


def adagrad(
    theta: Tensor, g: Tensor, state: State, *, learning_rate: Rate, epsilon: float = 1e-8
) -> tuple[Tensor, State]:
    """Adagrad: ``G ← G + g²``, ``θ ← θ - η g / √(G + ε)``.

    ``torch.optim.Adagrad`` has ``√G + ε`` instead; with ``eps=0`` and ``initial_accumulator_value=ε``
    it is the same.
    """
    (G,) = state
    G = G + g**2
    return theta - learning_rate * g / torch.sqrt(G + epsilon), (G,)


def adadelta(
    theta: Tensor,
    g: Tensor,
    state: State,
    *,
    learning_rate: Rate,
    rho: float = 0.9,
    epsilon: float = 1e-6,
) -> tuple[Tensor, State]:
    """Adadelta (Zeiler, 2012, arXiv 1212.5701), with a rate η in front.

    ``E[g²] ← ρ E[g²] + (1-ρ) g²``, ``Δ = √(E[Δ²] + ε) / √(E[g²] + ε) g``,
    ``E[Δ²] ← ρ E[Δ²] + (1-ρ) Δ²``, ``θ ← θ - η Δ``. The average is over Δ before it is scaled by η.
    The same as ``torch.optim.Adadelta``.
    """
    squared_gradient, squared_update = state
    squared_gradient = moving_average(squared_gradient, g**2, rho)
    update = torch.sqrt(squared_update + epsilon) / torch.sqrt(squared_gradient + epsilon) * g
    squared_update = moving_average(squared_update, update**2, rho)
    return theta - learning_rate * update, (squared_gradient, squared_update)


def rmsprop(
    theta: Tensor,
    g: Tensor,
    state: State,
    *,
    learning_rate: Rate,
    rho: float = 0.9,
    epsilon: float = 1e-8,
) -> tuple[Tensor, State]:
    """RMSProp (Hinton's lecture 6): ``E[g²] ← ρ E[g²] + (1-ρ) g²``, ``θ ← θ - η g / √(E[g²] + ε)``.

    ``torch.optim.RMSprop(alpha=ρ)`` has ``√E[g²] + ε`` instead: the same only where ε is 0.
    """
    (squared_gradient,) = state
    squared_gradient = moving_average(squared_gradient, g**2, rho)
    return theta - learning_rate * g / torch.sqrt(squared_gradient + epsilon), (squared_gradient,)


def adam(
    theta: Tensor,
    g: Tensor,
    state: State,
    *,
    learning_rate: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Tensor, State]:
    """Adam (Kingma and Ba, 2014, arXiv 1412.6980); t counts updates, and the state holds β₁ᵗ and β₂ᵗ.

    ``m ← β₁ m + (1-β₁) g``, ``v ← β₂ v + (1-β₂) g²``, ``m̂ = m/(1-β₁ᵗ)``, ``v̂ = v/(1-β₂ᵗ)``,
    ``θ ← θ - η m̂ / (√v̂ + ε)``. The same as ``torch.optim.Adam``.
    """
    m, v, beta1_t, beta2_t = state
    beta1_t, beta2_t = beta1_t * beta1, beta2_t * beta2
    m = moving_average(m, g, beta1)
    v = moving_average(v, g**2, beta2)
    m_hat = m / (1 - beta1_t)
    v_hat = v / (1 - beta2_t)
    return theta - learning_rate * m_hat / (torch.sqrt(v_hat) + epsilon), (m, v, beta1_t, beta2_t)


def _zeros(count: int) -> Callable[[Tensor], State]:
    return lambda theta: tuple(torch.zeros_like(theta) for _ in range(count))


def _adam_state(theta: Tensor) -> State:
    # β₁ᵗ and β₂ᵗ at t = 0: tensors, so that one compiled update serves every t; float64, so that
    # 1 - β₂ᵗ is accurate while t is small.
    one = torch.ones((), dtype=torch.float64, device=theta.device)
    return *_zeros(2)(theta), one, one.clone()


class Optimizer(NamedTuple):
    """An update rule, its initial state, and the point where the gradient is taken (default: θ)."""

    update: Callable[..., tuple[Tensor, State]]
    initial_state: Callable[[Tensor], State]
    gradient_point: Callable[[Tensor, State], Tensor] | None = None


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(sgd, _zeros(0)),
    "momentum": Optimizer(momentum, _zeros(1)),
    "nesterov": Optimizer(momentum, _zeros(1), gradient_point=look_ahead),
    "adagrad": Optimizer(adagrad, _zeros(1)),
    "adadelta": Optimizer(adadelta, _zeros(2)),
    "rmsprop": Optimizer(rmsprop, _zeros(1)),
    "adam": Optimizer(adam, _adam_state),
}
"""The values of ``Run.optimizer``."""


def step(
    optimizer: Optimizer,
    parameters: Parameters,
    state: dict[str, State],
    gradients: Callable[[Parameters], Parameters],
    *,
    learning_rate: Rate,
    weight_decay: float = 0.0,
) -> tuple[Parameters, dict[str, State]]:
    """Return the parameters and the state after an update; those without a gradient stay as they are.

    ``gradients`` maps parameters to gradients, and is called once, at the optimizer's
    ``gradient_point``. A name missing from ``state`` starts from ``optimizer.initial_state``. A
    ``weight_decay`` λ ≥ 0 adds ``λ θ`` to every gradient, the gradient of ``λ/2 ‖θ‖²``. The arguments
    are not changed.
    """
    point = parameters
    if optimizer.gradient_point is not None:
        ahead = {name: optimizer.gradient_point(parameters[name], s) for name, s in state.items()}
        point = parameters | ahead
    new_parameters, new_state = dict(parameters), dict(state)
    for name, g in gradients(point).items():
        if weight_decay:
            g = g + weight_decay * point[name]
        new_parameters[name], new_state[name] = optimizer.update(
            parameters[name],
            g,
            state[name] if name in state else optimizer.initial_state(parameters[name]),
            learning_rate=learning_rate,
        )
    return new_parameters, new_state
