"""The training step in place, almost as fast as its two large matrix products.

A learning rule yields gradients, and an optimizer turns them into an update; ``dfa_lib.optimizers.step``
is the plain form. The engine calls the same functions, and saves time and memory:

- All trained tensors are views of one vector θ, and their gradients of another. So an optimizer is one
  pass over one vector, and no step allocates memory of their size.
- For a long run that pass is compiled: one loop instead of one per operation of the equation.
- SGD needs neither the pass nor the gradients: the matrix product itself adds ``-η hᵀ δ`` to θ.

Runs of one shape can train as a batch of runs, with a leading dimension for the runs. That pays on a GPU
and not on a CPU.
"""

import logging
from collections.abc import Callable
from functools import cache
from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor

from .learning_rules import Products, gradients
from .networks import Parameters
from .optimizers import Optimizer, Rate, State, sgd

# Compiling pays from this many updated numbers on (steps × trained parameters). With a warm cache it
# costs a process 1 to 2 s, and saves about 0.5 ns (momentum) to 4 ns (Adadelta) per number.
WORTH_COMPILING = 4e9

logger = logging.getLogger(__name__)

Advance = Callable[..., State]


class Engine:
    """A run in training, or a batch of them: parameters, optimizer state, and the step.

    ``parameters`` are all tensors of the network, trained and fixed, each ``(…, rows, columns)``; they
    are copied. The learning ``rule``, for example ``direct_feedback_alignment``, decides what is
    trained. ``learning_rate`` is a number, or for a batch of runs a tensor ``(runs, 1)``. The planned
    number of ``steps`` decides whether compiling pays.
    """

    def __init__(
        self,
        parameters: Parameters,
        rule: Callable[..., Products],
        optimizer: Optimizer,
        *,
        learning_rate: Rate,
        weight_decay: float = 0.0,
        activation: str = "relu",
        steps: int = 0,
    ) -> None:
        first = parameters["W1"]
        X = first.new_zeros(*first.shape[:-2], 1, first.shape[-2])
        names = {name for name, *_ in rule(parameters, X, X.new_zeros(*X.shape[:-1], 1), activation)}
        trained = {name: parameters[name] for name in parameters if name in names}

        self.theta, views = _flattened(trained)
        self.gradient, self._gradient_views = _flattened(trained)
        self.parameters = parameters | views
        self.state = optimizer.initial_state(self.theta)
        # Where the gradient is taken: at θ itself, or (Nesterov) at a point of its own.
        self._point, self._at = self.theta, self.parameters
        if optimizer.gradient_point is not None:
            self._point, ahead = _flattened(trained)
            self._at = parameters | ahead

        self._rule = rule
        self._activation = activation
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._advance: Advance = advance
        self._descends = optimizer.update is sgd and self._can_descend()
        if not self._descends and steps * self.theta.numel() >= WORTH_COMPILING:
            self._advance = compiled_advance(optimizer)
            if not isinstance(learning_rate, Tensor):
                # As a tensor, so that one compiled update serves every rate.
                self._learning_rate = torch.tensor(learning_rate, dtype=torch.float64)

    def step(self, X: Tensor, y: Tensor) -> None:
        """Update the parameters by one batch: inputs ``(…, n, inputs)``, labels ``(…, n, 1)``."""
        products = self._rule(self._at, X, y, self._activation)
        if self._descends:
            for name, a, b in products:
                self._descend(name, a, b)
            return
        for name, a, b in products:
            torch.matmul(a, b, out=self._gradient_views[name])
        self.state = self._advance(
            self.theta,
            self.gradient,
            self.state,
            self._point,
            optimizer=self._optimizer,
            learning_rate=self._learning_rate,
            weight_decay=self._weight_decay,
        )

    def next_update(self, X: Tensor, y: Tensor, gradient: Tensor) -> Tensor:
        """Return the update θ - θ' that ``step`` would make, ``(…, all numbers)``; nothing changes.

        ``gradient`` is the rule's at θ on this batch, from ``flat``. Nesterov's is taken elsewhere.
        """
        if self._at is not self.parameters:
            gradient = self.flat(gradients(self._rule(self._at, X, y, self._activation)))
        g = gradient + self._weight_decay * self._point
        new, _ = self._optimizer.update(self.theta, g, self.state, learning_rate=self._learning_rate)
        return self.theta - new

    def flat(self, tensors: Parameters) -> Tensor:
        """Return a tensor for each trained parameter as one vector, like θ; zeros where missing."""
        views = self._gradient_views
        found = [tensors.get(name, torch.zeros_like(view)) for name, view in views.items()]
        return torch.cat([tensor.flatten(-2) for tensor in found], dim=-1)

    def _descend(self, name: str, a: Tensor, b: Tensor) -> None:
        """Take SGD's step, ``θ ← (1 - ηλ) θ - η a b``, within the product."""
        rate = cast(float, self._learning_rate)
        keep = 1 - rate * self._weight_decay
        self.parameters[name].addmm_(a, b, beta=keep, alpha=-rate)

    def _can_descend(self) -> bool:
        """Whether a product can be added to θ: for one run, at rates that its precision can hold."""
        if isinstance(self._learning_rate, Tensor):
            return False
        largest = self._learning_rate * max(1.0, self._weight_decay)
        return self.theta.dim() == 1 and largest < torch.finfo(self.theta.dtype).max


def advance(
    theta: Tensor,
    g: Tensor,
    state: State,
    point: Tensor,
    *,
    optimizer: Optimizer,
    learning_rate: Rate,
    weight_decay: float,
) -> State:
    """Apply an optimizer in place: to ``theta``, its ``state``, and the ``point`` where ``g`` is taken.

    The returned state has the same tensors, except for single numbers (Adam's βᵗ), which are new: torch
    2.13 loses a change in place of those when it compiles.
    """
    if weight_decay:
        g = g + weight_decay * point
    new_theta, new_state = optimizer.update(theta, g, state, learning_rate=learning_rate)
    theta.copy_(new_theta)
    if optimizer.gradient_point is not None:
        point.copy_(optimizer.gradient_point(new_theta, new_state))
    return tuple(old.copy_(new) if old.dim() else new for old, new in zip(state, new_state, strict=True))


@cache
def compiled_advance(optimizer: Optimizer) -> Advance:
    """Return ``advance`` compiled for an optimizer, or as it is where there is no compiler for it.

    ``torch.compile`` does the work, and keeps what it made on disk: later processes start with that.
    """
    # One version for each size and precision of θ: more than the 8 that torch keeps by default.
    compiled: Advance = torch.compile(  # type: ignore[call-overload]
        advance, dynamic=False, recompile_limit=256, isolate_recompiles=True
    )
    # A trial, so that a compiler that does not work is found before training.
    theta = torch.ones(64)
    try:
        compiled(
            theta,
            theta.clone(),
            optimizer.initial_state(theta),
            theta.clone(),
            optimizer=optimizer,
            learning_rate=torch.tensor(0.1, dtype=torch.float64),
            weight_decay=0.0,
        )
    except Exception as problem:  # whatever a missing or broken C++ compiler makes of it
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        logger.warning("Updates are not compiled (%s): results are the same, but take longer.", reason)
        return advance
    return compiled


def _flattened(tensors: Parameters) -> tuple[Tensor, Parameters]:
    """Copy tensors ``(…, rows, columns)`` into one ``(…, all numbers)``; return it, and views."""
    flat = torch.cat([tensor.flatten(-2) for tensor in tensors.values()], dim=-1)
    ends = accumulate((tensor.shape[-2:].numel() for tensor in tensors.values()), initial=0)
    views = {
        name: flat[..., start:end].view(tensor.shape)
        for (name, tensor), (start, end) in zip(tensors.items(), pairwise(ends), strict=True)
    }
    return flat, views
