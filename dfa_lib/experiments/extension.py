"""Learning rules, optimizers and random matrices that a reader adds to the library.

``register_method``, ``register_optimizer`` and ``register_feedback`` are named after the field of
``Run`` that takes the new name. Each first tries the function on a small example, so that a mistake is
reported where it was made, in one sentence. From then on the name is accepted wherever the library's
names are: in a ``Run``, on other processes and machines, in results files and in figures.

A reader may edit the function, so its name alone does not say what was trained. In results files and on
workers, the name is followed by a digest of the code: ``sign_symmetric@3f2a9c41``.
"""

import inspect
import pickle
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, cast

import cloudpickle
import torch
from torch import Tensor

from ..feedback import FEEDBACK, feedback_matrices
from ..learning_rules import Products, backward, gradients
from ..methods import METHODS, Method
from ..networks import Parameters, forward, initialise_network
from ..optimizers import OPTIMIZERS, Optimizer, State
from ..training import History, Run, train
from ..validation import InputError, shown
from .digest import code_digest
from .names import COLOURS, FEEDBACK_NAMES, METHOD_NAMES, OPTIMIZER_NAMES, SPARE_COLOURS

TABLES: dict[str, dict[str, Any]] = {"method": METHODS, "optimizer": OPTIMIZERS, "feedback": FEEDBACK}
"""For each field of ``Run`` that can be extended, the table of its values."""

MOST_STATE = 100
"""The most tensors that an optimizer may keep; each is as long as all weights together."""

Gradients = Callable[[Parameters, Tensor, Tensor, str], Parameters]


def register_method(
    name: str,
    transport: Callable[[Parameters, int, Tensor, Tensor], Tensor] | None = None,
    *,
    gradients: Gradients | None = None,
    direct_feedback: bool | None = None,
    label: str | None = None,
    colour: str | None = None,
) -> None:
    """Add a learning rule, so that ``Run(method=name)`` trains with it.

    Most rules differ only in what carries the error to a hidden layer. Such a rule is a ``transport``;
    any other is a ``gradients``. Backpropagation and DFA are, as transports,

    .. code-block:: python

        def bp(parameters, layer, error, delta):
            return delta @ parameters[f"W{layer + 1}"].mT

        def dfa(parameters, layer, error, delta):
            return error @ parameters[f"B{layer}"]

    Parameters
    ----------
    name
        The value of ``Run.method``: small letters, digits and underscores. Registering a name again
        replaces its function; the library's own names are taken.
    transport
        ``transport(parameters, layer, error, delta)`` returns what reaches hidden layer ``layer``, from
        1: a tensor ``(n, units of the layer)``, not yet multiplied by the derivative of the activation.
        ``parameters`` has every ``W``, ``b`` and ``B``; ``error`` is ``e = (sigmoid(a_L) - y) / n`` at
        the output, ``(n, 1)``; ``delta`` is the signal of the layer above, ``(n, its units)``.
    gradients
        ``gradients(parameters, X, y, activation)`` returns a dictionary with the update direction of
        each tensor to be trained, of the same shape; the other tensors stay as they were drawn. ``X`` is
        ``(n, inputs)``, ``y`` ``(n, 1)``, ``activation`` a name of ``ACTIVATIONS``.
    direct_feedback
        Whether the rule has random matrices, of the kind that ``Run.feedback`` names: None for no, True
        for ``B_l`` from the output, ``(1, units of l)``, False for ``B_l`` from the layer above, shaped
        as ``W_{l+1}ᵀ``.
    label, colour
        In figures (default: the name, and the next unused colour). A colour is written ``#rrggbb``.

    Raises
    ------
    InputError
        If the name is taken, or the function cannot be used: it takes other arguments, raises an error,
        returns no tensor or one of another shape, returns a number that is not finite, changes its
        arguments in place, or is not deterministic. A transport must work with one and with two hidden
        layers.
    """
    if (transport is None) == (gradients is None):
        raise InputError(f"method {shown(name)} needs either a transport or gradients, and not both.")
    if not (direct_feedback is None or isinstance(direct_feedback, bool)):
        raise InputError(f"direct_feedback must be None, True or False, not {shown(direct_feedback)}.")
    options = {
        "form": "gradients" if transport is None else "transport",
        "direct_feedback": direct_feedback,
    }
    entry = _entry("method", name, gradients if transport is None else transport, options)
    label, colour = _checked_label(name, label), _checked_colour(name, colour)
    _enter(replace(entry, batches=_try_rule(entry)))
    METHOD_NAMES[name], COLOURS[name] = label, colour


def register_optimizer(
    name: str,
    update: Callable[..., tuple[Tensor, State]],
    *,
    state: int | Callable[[Tensor], State] = 0,
    label: str | None = None,
) -> None:
    """Add an optimizer, so that ``Run(optimizer=name)`` trains with it.

    All trained numbers of a network lie in one vector θ, so a rule sees neither layers nor matrices.
    Gradient descent with momentum is, with ``state=1``,

    .. code-block:: python

        def momentum(theta, g, state, learning_rate):
            (v,) = state
            v = 0.9 * v + learning_rate * g
            return theta - v, (v,)

    Parameters
    ----------
    name
        The value of ``Run.optimizer``, as for ``register_method``.
    update
        ``update(theta, g, state, learning_rate=…)`` returns the new ``theta`` and the new ``state``, and
        changes nothing in place. ``theta`` and the gradient ``g`` are vectors; ``learning_rate`` is a
        number, or a tensor of one.
    state
        How many tensors shaped like θ the optimizer keeps, at most 100, zeros at first; or a function of
        θ that returns the first state, a tuple of tensors.
    label
        In figures (default: the name).

    What is refused is as for ``register_method``.
    """
    entry = _entry("optimizer", name, update, {"state": state})
    label = _checked_label(name, label)
    _enter(replace(entry, batches=_try_update(entry)))
    OPTIMIZER_NAMES[name] = label


def register_feedback(
    name: str,
    draw: Callable[[tuple[int, int], float, torch.Generator], Tensor],
    *,
    label: str | None = None,
) -> None:
    """Add a kind of random matrix, so that ``Run(feedback=name)`` sends the error back through it.

    Parameters
    ----------
    name
        The value of ``Run.feedback``, as for ``register_method``.
    draw
        ``draw(shape, a, generator)`` returns B: a tensor of this ``shape``, with ``generator`` as its
        only source of randomness. ``a`` is 1/√(units of the layer that B leads to), the scale of the
        weights that B replaces. With one hidden layer the shape is ``(1, hidden)``.
    label
        In figures (default: the name).

    What is refused is as for ``register_method``.
    """
    entry = _entry("feedback", name, draw, {})
    label = _checked_label(name, label)
    _try_draw(entry)
    _enter(entry)
    FEEDBACK_NAMES[name] = label


# ---- the registry ----


@dataclass(frozen=True)
class Registration:
    """A function that a reader has registered, and the field and value of ``Run`` that choose it."""

    field: str
    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any]
    digest: str
    batches: bool = True
    """Whether several runs can be computed with it as one batch."""

    @property
    def full_name(self) -> str:
        """The name with the digest of the code."""
        return f"{self.name}@{self.digest}"

    @property
    def what(self) -> str:
        """The name in messages."""
        return f"the {'random matrix' if self.field == 'feedback' else self.field} {self.name!r}"


REGISTERED: dict[tuple[str, str], Registration] = {}
"""By field and name."""


def registrations(run: Run) -> list[Registration]:
    """Return the registered functions that a run uses."""
    keys = ((field, getattr(run, field)) for field in TABLES)
    return [REGISTERED[key] for key in keys if key in REGISTERED]


def full_name(field: str, name: str) -> str:
    """Return a name as results files have it: a registered one with the digest of its code."""
    entry = REGISTERED.get((field, name))
    return name if entry is None else entry.full_name


def short_name(field: str, written: str) -> str:
    """Invert ``full_name``, or refuse a name that is not registered here, or with other code."""
    name, _, digest = written.partition("@")
    entry = REGISTERED.get((field, name))
    if entry is None and digest:
        raise InputError(
            f"runs with the {field} {name!r}, which is not registered here: call register_{field} first"
        )
    if entry is not None and digest != entry.digest:
        raise InputError(
            f"runs with another {field} {name!r} ({digest or 'of unknown code'}) than is registered "
            f"now ({entry.digest}), whose code differs: give the new one a name of its own, or move the "
            f"file away to train again"
        )
    return name


def _entry(field: str, name: Any, function: Any, options: Mapping[str, Any]) -> Registration:
    if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
        raise InputError(
            f"the {field}'s name must be small letters, digits and underscores, and begin with a "
            f"letter, not {shown(name)}."
        )
    if name in TABLES[field] and (field, name) not in REGISTERED:
        raise InputError(f"the {field} {name!r} is the library's own: choose another name.")
    if not callable(function):
        raise InputError(f"the {field} {name!r} must be a function, not {shown(function)}.")
    return Registration(field, name, function, options, code_digest((function, dict(options))))


def _enter(entry: Registration) -> None:
    REGISTERED[entry.field, entry.name] = entry
    TABLES[entry.field][entry.name] = _value(entry)
    for function in (entry.function, *entry.options.values()):
        module = _own_module(function)
        if module is not None:  # workers may lack it: pickle its functions by value
            cloudpickle.register_pickle_by_value(module)


def _own_module(function: Any) -> ModuleType | None:
    """Return the module that defines a function, if it is the reader's own."""
    while isinstance(function, partial):
        function = function.func
    name = function.__module__ if isinstance(function, FunctionType) else "torch"
    known = name.partition(".")[0] in ("__main__", "dfa_book", "dfa_lib", "torch")
    return None if known else sys.modules.get(name)


def _value(entry: Registration) -> Any:
    """Return what stands in the library's table of the field."""
    if entry.field == "method":
        return Method(_rule(entry), direct_feedback=entry.options["direct_feedback"])
    if entry.field == "optimizer":
        return Optimizer(entry.function, _initial_state(entry))
    return _matrix(entry)


def _checked_label(name: str, label: str | None) -> str:
    if label is not None and not (isinstance(label, str) and label.strip() and label.isprintable()):
        raise InputError(f"label must be a text that figures show for {name!r}, not {shown(label)}.")
    return label or name


def _checked_colour(name: str, colour: Any) -> str:
    if colour is None:
        unused = [spare for spare in SPARE_COLOURS if spare not in COLOURS.values()]
        repeated = SPARE_COLOURS[len(COLOURS) % len(SPARE_COLOURS)]
        return COLOURS.get(name, unused[0] if unused else repeated)
    if not (isinstance(colour, str) and re.fullmatch("#[0-9A-Fa-f]{6}", colour)):
        raise InputError(f"colour must be red, green and blue, as in '#D100A7', not {shown(colour)}.")
    for other, theirs in COLOURS.items():
        if other != name and colour.lower() == theirs.lower():
            raise InputError(f"colour {colour!r} is that of {other}: a colour means one method.")
    return colour


# ---- other processes and machines ----


def ship(run: Run) -> bytes:
    """Pickle a run for ``train_shipped``, together with the registered functions that it uses."""
    return bytes(cloudpickle.dumps((run, registrations(run))))


def train_shipped(shipped: bytes) -> History:
    """Train a run in another process than the one where its functions were registered.

    That process knows them by their full names, so two versions of a function cannot be mixed up.
    """
    run, needed = pickle.loads(shipped)
    for entry in needed:
        TABLES[entry.field].setdefault(entry.full_name, _value(entry))
    renamed = replace(run, **{entry.field: entry.full_name for entry in needed})
    return replace(train(renamed), run=run)


# ---- a reader's function in the place of the library's ----


def _call(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a reader's function, and report in one sentence what it raises."""
    try:
        return function(*arguments, **named)
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as problem:
        reason = (str(problem).splitlines() or [""])[0]
        if isinstance(problem, KeyError) and arguments and isinstance(arguments[0], dict):
            reason += f"; there are {', '.join(arguments[0])}"
            if "B1" not in arguments[0]:
                reason += ", and random matrices with direct_feedback=True or False only"
        raise InputError(f"{what} raised {type(problem).__name__}: {reason}") from problem


def _pure_call(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call a reader's function twice; refuse one that changes its arguments or is not deterministic."""
    results = []
    for _ in range(2):
        copies = _copied(arguments)
        results.append(_call(what, function, *copies, **named))
        if not _equal(copies, arguments):
            raise InputError(
                f"{what} must leave what it is given as it is, and it changes that in place."
            )
    if not _equal(*results):
        raise InputError(
            f"{what} must give the same for the same, so that runs can be repeated, and it does not."
        )
    return results[0]


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: tensor.clone() for name, tensor in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_copied, value))
    return value.clone() if isinstance(value, Tensor) else value


def _is_dense(value: Tensor) -> bool:
    return value.layout == torch.strided and not value.is_meta


def _equal(a: Any, b: Any) -> bool:
    """Whether tensors, or dictionaries or tuples of them, are equal; other values are not compared."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor) and _is_dense(a) and _is_dense(b):
        same_type = a.dtype == b.dtype and a.shape == b.shape
        return same_type and bool(((a == b) | ((a != a) & (b != b))).all())
    return type(a) is type(b)


def _rule(entry: Registration, call: Callable[..., Any] = _call) -> Callable[..., Products]:
    """Return a registered rule as a function of ``(parameters, X, y, activation)``."""
    function, what = entry.function, entry.what

    def by_transport(parameters: Parameters, X: Tensor, y: Tensor, activation: str = "relu") -> Products:
        def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
            signal = call(what, function, parameters, layer, error, delta)
            width = parameters[f"W{layer}"].shape[-1]
            shape = (*X.shape[:-1], width)
            return _shaped(f"the signal of {what} for layer {layer}", signal, shape, X.dtype)

        return backward(parameters, forward(parameters, X, activation), y, activation, transport)

    def by_gradients(parameters: Parameters, X: Tensor, y: Tensor, activation: str = "relu") -> Products:
        result = call(what, function, dict(parameters), X, y, activation)
        if not isinstance(result, dict) or not result:
            raise InputError(f"{what} must return a dictionary of gradients, not {shown(result)}.")
        for name, gradient in result.items():
            if name not in parameters:
                raise InputError(
                    f"{what} returned a gradient for {shown(name)}; there are {', '.join(parameters)}."
                )
            shape, dtype = tuple(parameters[name].shape), parameters[name].dtype
            result[name] = _shaped(f"the gradient of {name} from {what}", gradient, shape, dtype)
        return ((name, *_as_product(gradient)) for name, gradient in result.items())

    return by_transport if entry.options["form"] == "transport" else by_gradients


def _as_product(g: Tensor) -> tuple[Tensor, Tensor]:
    """Factor a gradient as the engine wants it: times an identity matrix, of the smaller size."""
    one = torch.eye(min(g.shape[-2:]), dtype=g.dtype, device=g.device)
    one = one.expand(*g.shape[:-2], *one.shape)
    return (one, g) if g.shape[-2] <= g.shape[-1] else (g, one)


def _initial_state(entry: Registration) -> Callable[[Tensor], State]:
    state = entry.options["state"]
    if callable(state):
        return cast(Callable[[Tensor], State], state)
    return lambda theta: tuple(torch.zeros_like(theta) for _ in range(state))


def _matrix(entry: Registration) -> Callable[..., Tensor]:
    def draw(shape: tuple[int, int], a: float, generator: torch.Generator) -> Tensor:
        drawn = _call(entry.what, entry.function, shape, a, generator)
        return _shaped(entry.what, drawn, tuple(shape)).double()

    return draw


def _shaped(what: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor if it has this shape and type (None: any real type), detached from autograd."""
    if not isinstance(value, Tensor):
        raise InputError(f"{what} must be a tensor of shape {shape}, not {shown(value)}.")
    if tuple(value.shape) != shape:
        raise InputError(f"{what} must have the shape {shape}, not {tuple(value.shape)}.")
    if not _is_dense(value) or value.is_complex():
        raise InputError(f"{what} must be a plain tensor of real numbers, not {shown(value)}.")
    if dtype is not None and value.dtype != dtype:
        raise InputError(f"{what} must be of {dtype}, as what it is computed from, not {value.dtype}.")
    return value.detach()


# ---- trials ----

# Layer widths of the trial networks, all different so that a wrong shape shows, and examples.
_SHALLOW, _DEEP, _EXAMPLES = (5, 4, 1), (5, 4, 3, 1), 6


def _try_rule(entry: Registration) -> bool:
    """Try a rule on small networks. Return whether runs can be computed with it as one batch."""
    direct, form = entry.options["direct_feedback"], entry.options["form"]
    arguments = {
        "transport": ("parameters", "layer", "error", "delta"),
        "gradients": ("parameters", "X", "y", "activation"),
    }
    _check_signature(entry.what, entry.function, *arguments[form])
    batches = _try_widths(entry, _SHALLOW)
    if form == "transport":
        try:
            _try_widths(entry, _DEEP)
        except InputError as problem:
            shape = {True: "(1, units of l)", False: "shaped as the transpose of W_{l+1}"}.get(direct)
            matrix = f"; with direct_feedback={direct}, B_l is {shape}" if shape else ""
            message = str(problem).removesuffix(".")
            raise InputError(f"with two hidden layers, {message}{matrix}.") from problem
    return batches


def _try_widths(entry: Registration, widths: tuple[int, ...]) -> bool:
    what, direct = entry.what, entry.options["direct_feedback"]
    rule, networks, batches = _rule(entry, _pure_call), [], []
    for seed in range(2):
        source = torch.Generator().manual_seed(seed)
        network = initialise_network(widths, source)
        if direct is not None:
            network |= feedback_matrices(widths, "uniform", source, direct=direct)
        networks.append({name: value.float() for name, value in network.items()})
        X = torch.randn(_EXAMPLES, widths[0], generator=source)
        batches.append((X, torch.arange(_EXAMPLES)[:, None] % 2.0))
    alone = [gradients(rule(n, X, y, "relu")) for n, (X, y) in zip(networks, batches, strict=True)]
    for result in alone:
        if direct is not None and "W1" not in result:
            raise InputError(
                f"{what} has random matrices, so it must return a gradient for every W, and W1 has none."
            )
        for name, gradient in result.items():
            _check_finite(f"the gradient of {name} from {what}", gradient)
    together = {name: torch.stack([n[name] for n in networks]) for name in networks[0]}
    X, y = (torch.stack(column) for column in zip(*batches, strict=True))
    return _agree(lambda: gradients(rule(together, X, y, "relu")), alone)


def _try_update(entry: Registration) -> bool:
    """Make two updates of a small vector. Return whether runs can be computed with it as one batch."""
    what, state = entry.what, entry.options["state"]
    count = isinstance(state, int) and not isinstance(state, bool) and 0 <= state <= MOST_STATE
    if not (callable(state) or count):
        raise InputError(
            f"state must be how many tensors {what} keeps, at most {MOST_STATE}, or a function, "
            f"not {shown(state)}."
        )
    _check_signature(what, entry.function, "theta", "g", "state", learning_rate=0.1)
    start, g = torch.randn(2, 2, 7, generator=torch.Generator().manual_seed(0))

    def updated(theta: Tensor, g: Tensor, rate: float | Tensor) -> Parameters:
        state = _pure_call(what, _initial_state(entry), theta)
        if not (isinstance(state, tuple) and all(isinstance(value, Tensor) for value in state)):
            raise InputError(
                f"the first state of {what} must be a tuple of tensors, not {shown(state)}."
            )
        for _ in range(2):
            result = _pure_call(what, entry.function, theta, g, state, learning_rate=rate)
            if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], tuple)):
                raise InputError(
                    f"{what} must return the new theta and the new state, a tuple of tensors, "
                    f"not {shown(result)}."
                )
            if len(result[1]) != len(state):
                raise InputError(
                    f"{what} must keep a state of {len(state)} tensors, as it began with, "
                    f"not {len(result[1])}."
                )
            theta = _shaped(f"the new theta of {what}", result[0], tuple(theta.shape), theta.dtype)
            state = tuple(
                _shaped(f"the new state of {what}", new, tuple(old.shape), old.dtype)
                for new, old in zip(result[1], state, strict=True)
            )
        return {"theta": theta}

    alone = [updated(start[i], g[i], 0.1) for i in range(2)]
    for result in alone:
        _check_finite(f"the new theta of {what}", result["theta"])
    return _agree(lambda: updated(start, g, torch.full((2, 1), 0.1)), alone)


def _try_draw(entry: Registration) -> None:
    what, draw = entry.what, _matrix(entry)
    _check_signature(what, entry.function, "shape", "a", "generator")
    for shape in ((1, 16), (8, 16)):
        first, again = (draw(shape, 0.25, torch.Generator().manual_seed(0)) for _ in range(2))
        _check_finite(what, first)
        if not torch.equal(first, again):
            raise InputError(
                f"{what} must be drawn from the generator that it is given, and nothing else."
            )


def _agree(batch: Callable[[], Parameters], alone: list[Parameters]) -> bool:
    """Return whether a batch of runs has the results of its runs one by one."""
    try:
        together = batch()
        return all(
            torch.allclose(together[name][i], value, rtol=1e-4, atol=1e-6)
            for i, values in enumerate(alone)
            for name, value in values.items()
        )
    except Exception:
        return False


def _check_signature(what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # a function written in C may have none
        return
    try:
        signature.bind(*arguments, **named)
    except TypeError as problem:
        wanted = ", ".join([*arguments, *named])
        raise InputError(f"{what} must be a function of ({wanted}), not of {signature}.") from problem


def _check_finite(what: str, value: Tensor) -> None:
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{what} must be finite, and has {value[~torch.isfinite(value)][0]:g} in it.")
