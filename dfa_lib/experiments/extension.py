"""Learning rules, optimizers and random matrices of your own, beside the library's.

``register_method``, ``register_optimizer`` and ``register_feedback`` are named after the fields of
``Run`` that take the new name. Each tries the function on a small example first, so that a mistake is
told in one sentence where it was made. From then on the name is accepted wherever the library's names
are: in a ``Run``, on other processes and machines, in results files, and in the figures.

A function of one's own may be edited, so its name alone does not say what was trained. In results files,
and on workers, it is followed by a digest of the code: ``sign_symmetric@3f2a9c41``.
"""

import inspect
import pickle
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
from .names import (
    COLOURS,
    FEEDBACK_NAMES,
    LINE_STYLES,
    METHOD_NAMES,
    OPTIMIZER_NAMES,
    SPARE_COLOURS,
    SPARE_LINE_STYLES,
)

TABLES: dict[str, dict[str, Any]] = {"method": METHODS, "optimizer": OPTIMIZERS, "feedback": FEEDBACK}
"""For each field of ``Run`` that can be extended, its values and what they stand for."""

MOST_STATE = 100
"""Tensors that an optimizer may remember, each as long as all weights together."""

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
        The value of ``Run.method``: small letters, digits and underscores. To give it again, with other
        code perhaps, replaces what it stood for; the library's own names are taken.
    transport
        ``transport(parameters, layer, error, delta)`` returns what reaches hidden layer ``layer``, from
        1: a tensor ``(n, units of the layer)``, not yet multiplied by the derivative of the activation.
        ``parameters`` has every ``W``, ``b`` and ``B``; ``error`` is ``e = (sigmoid(a_L) - y) / n`` at
        the output, ``(n, 1)``; ``delta`` is the signal of the layer above, ``(n, its units)``.
    gradients
        ``gradients(parameters, X, y, activation)`` returns a dictionary with the update direction of
        each tensor that is to be trained, shaped as it is; what has none stays as it was drawn. ``X`` is
        ``(n, inputs)``, ``y`` ``(n, 1)``, ``activation`` a name of ``ACTIVATIONS``.
    direct_feedback
        Whether the rule has random matrices, of the kind that ``Run.feedback`` names: None for no, True
        for ``B_l`` from the output, ``(1, units of l)``, False for ``B_l`` from the layer above, shaped
        as ``W_{l+1}ᵀ``.
    label, colour
        In figures (default: the name, and the next colour that no other method has). A colour is written
        ``#rrggbb``.

    Raises
    ------
    InputError
        If the name is not free, or the function is not usable: it takes other arguments, raises an
        error, returns a tensor of another shape or not at all, gives a number that is not finite,
        changes what it was given, or answers differently when asked again. A transport has to work with
        two hidden layers as well as with one.
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
    _enter(replace(entry, stacks=_try_rule(entry)))
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
        How many tensors like θ the optimizer remembers, at most 100, zeros at first; or a function of
        θ that returns the first state, a tuple of tensors.
    label
        In figures (default: the name).

    Raises
    ------
    InputError
        As ``register_method``.
    """
    entry = _entry("optimizer", name, update, {"state": state})
    label = _checked_label(name, label)
    _enter(replace(entry, stacks=_try_update(entry)))
    OPTIMIZER_NAMES[name] = label
    LINE_STYLES[name] = _kept_or_next(LINE_STYLES, name, SPARE_LINE_STYLES)


def register_feedback(
    name: str,
    draw: Callable[[tuple[int, int], float, torch.Generator], Tensor],
    *,
    label: str | None = None,
) -> None:
    """Add a kind of random matrix, so that ``Run(feedback=name)`` carries the error back with it.

    Parameters
    ----------
    name
        The value of ``Run.feedback``, as for ``register_method``.
    draw
        ``draw(shape, a, generator)`` returns B: a tensor of this ``shape``, drawn from nothing but
        ``generator``. ``a`` is 1/√(units of the layer that B leads to), the scale of the weights that it
        stands in for. With one hidden layer the shape is ``(1, hidden)``.
    label
        In figures (default: the name).

    Raises
    ------
    InputError
        As ``register_method``.
    """
    entry = _entry("feedback", name, draw, {})
    label = _checked_label(name, label)
    _try_draw(entry)
    _enter(entry)
    FEEDBACK_NAMES[name] = label


# ---- what is registered ----


@dataclass(frozen=True)
class Entry:
    """A value that ``Run`` accepts beside the library's: of which field, and the function behind it."""

    field: str
    name: str
    function: Callable[..., Any]
    options: Mapping[str, Any]
    digest: str
    stacks: bool = True  # whether runs can train side by side with it

    @property
    def full_name(self) -> str:
        """The name with the digest of the code."""
        return f"{self.name}@{self.digest}"


REGISTERED: dict[tuple[str, str], Entry] = {}
"""By field and name."""


def entries(run: Run) -> list[Entry]:
    """Return what a run uses beside the library."""
    chosen = ((name, getattr(run, name)) for name in TABLES)
    return [REGISTERED[key] for key in chosen if key in REGISTERED]


def stacks(run: Run) -> bool:
    """Return whether a run can train side by side with others: not if a function here mixes them up."""
    return all(entry.stacks for entry in entries(run))


def full_name(field: str, name: str) -> str:
    """Return the name as it is written to a file: what was registered carries the digest of its code."""
    entry = REGISTERED.get((field, name))
    return name if entry is None else entry.full_name


def short_name(field: str, written: str) -> str:
    """Return the name that ``full_name`` made longer.

    Raises
    ------
    InputError
        If there is no such name here, or it stands for other code.
    """
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


def _entry(field: str, name: Any, function: Any, options: Mapping[str, Any]) -> Entry:
    if not (isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9_]*", name)):
        raise InputError(
            f"the {field}'s name must be small letters, digits and underscores, and begin with a "
            f"letter, not {shown(name)}."
        )
    if name in TABLES[field] and (field, name) not in REGISTERED:
        raise InputError(f"the {field} {name!r} is the library's own: choose another name.")
    if not callable(function):
        raise InputError(f"the {field} {name!r} must be a function, not {shown(function)}.")
    return Entry(field, name, function, options, code_digest((function, dict(options))))


def _enter(entry: Entry, name: str | None = None) -> None:
    """Put an entry in its table, under its own name or another."""
    value: Any = entry.function
    if entry.field == "method":
        value = Method(_rule(entry), direct_feedback=entry.options["direct_feedback"])
    elif entry.field == "optimizer":
        value = Optimizer(entry.function, _initial_state(entry))
    else:
        value = _matrix(entry)
    TABLES[entry.field][name or entry.name] = value
    if name is None:
        REGISTERED[entry.field, entry.name] = entry


def _initial_state(entry: Entry) -> Callable[[Tensor], State]:
    state = entry.options["state"]
    if callable(state):
        return cast(Callable[[Tensor], State], state)
    return lambda theta: tuple(torch.zeros_like(theta) for _ in range(state))


def _checked_label(name: str, label: str | None) -> str:
    if label is not None and not (isinstance(label, str) and label.strip() and label.isprintable()):
        raise InputError(f"label must be a text that figures show for {name!r}, not {shown(label)}.")
    return label or name


def _checked_colour(name: str, colour: Any) -> str:
    if colour is None:
        return str(_kept_or_next(COLOURS, name, SPARE_COLOURS))
    if not (isinstance(colour, str) and re.fullmatch("#[0-9A-Fa-f]{6}", colour)):
        raise InputError(f"colour must be red, green and blue, as in '#D100A7', not {shown(colour)}.")
    for other, theirs in COLOURS.items():
        if other != name and colour.lower() == theirs.lower():
            raise InputError(f"colour {colour!r} is that of {other}: a colour means one method.")
    return colour


def _kept_or_next(table: Mapping[str, Any], name: str, spare: tuple[Any, ...]) -> Any:
    """Return what ``name`` has, or the first that is free; when none is, they are given again."""
    used = list(table.values())
    free = [value for value in spare if value not in used]
    return table.get(name, free[0] if free else spare[len(used) % len(spare)])


# ---- on other processes and machines ----


def ship(run: Run) -> bytes:
    """Return a run for ``train_shipped``, with the functions that it uses beside the library."""
    needed = entries(run)
    functions = [value for e in needed for value in (e.function, *e.options.values()) if callable(value)]
    with _by_value({module for module in map(_module, functions) if module is not None}):
        return bytes(cloudpickle.dumps((run, needed)))


def train_shipped(shipped: bytes) -> History:
    """Train a run in another process than the one where its functions were registered.

    There they go by their full names: two people, or a function before and after it was edited, do not
    get in each other's way.
    """
    run, needed = pickle.loads(shipped)
    for entry in needed:
        if entry.full_name not in TABLES[entry.field]:
            _enter(entry, entry.full_name)
    renamed = replace(run, **{entry.field: entry.full_name for entry in needed})
    return replace(train(renamed), run=run)


def _module(function: Callable[..., Any]) -> ModuleType | None:
    """Return the module that defines a function, if that is one of the reader's own."""
    while isinstance(function, partial):
        function = function.func
    name = function.__module__ if isinstance(function, FunctionType) else "torch"
    known = name.partition(".")[0] in ("__main__", "dfa_book", "dfa_lib", "torch")
    return None if known else sys.modules.get(name)


@contextmanager
def _by_value(modules: set[ModuleType]) -> Iterator[None]:
    """Let pickles hold what these modules define: workers may not have them."""
    new = [m for m in modules if m.__name__ not in cloudpickle.list_registry_pickle_by_value()]
    for module in new:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new:
            cloudpickle.unregister_pickle_by_value(module)


# ---- what a function does, in the terms of the library ----


def _rule(entry: Entry, call: Callable[..., Any] | None = None) -> Callable[..., Products]:
    """Return a registered rule as a function of ``(parameters, X, y, activation)``."""
    function, what, call = entry.function, f"the method {entry.name!r}", call or _called

    def transported(parameters: Parameters, X: Tensor, y: Tensor, activation: str = "relu") -> Products:
        def transport(layer: int, error: Tensor, delta: Tensor) -> Tensor:
            signal = call(what, function, parameters, layer, error, delta)
            width = parameters[f"W{layer}"].shape[-1]
            return _shaped(
                f"the signal of {what} for layer {layer}", signal, (*X.shape[:-1], width), X.dtype
            )

        return backward(parameters, forward(parameters, X, activation), y, activation, transport)

    def whole(parameters: Parameters, X: Tensor, y: Tensor, activation: str = "relu") -> Products:
        found = call(what, function, dict(parameters), X, y, activation)
        if not isinstance(found, dict) or not found:
            raise InputError(f"{what} must return a dictionary of gradients, not {shown(found)}.")
        for name, gradient in found.items():
            if name not in parameters:
                raise InputError(
                    f"{what} returned a gradient for {shown(name)}; there are {', '.join(parameters)}."
                )
            value = parameters[name]
            shape = tuple(value.shape)
            found[name] = _shaped(f"the gradient of {name} from {what}", gradient, shape, value.dtype)
        return ((name, *_as_product(gradient)) for name, gradient in found.items())

    return transported if entry.options["form"] == "transport" else whole


def _as_product(g: Tensor) -> tuple[Tensor, Tensor]:
    """Return a gradient as the product that an engine wants: with a one of the smaller size."""
    one = torch.eye(min(g.shape[-2:]), dtype=g.dtype, device=g.device)
    one = one.expand(*g.shape[:-2], *one.shape)
    return (one, g) if g.shape[-2] <= g.shape[-1] else (g, one)


def _matrix(entry: Entry) -> Callable[..., Tensor]:
    what = f"the random matrix {entry.name!r}"

    def draw(shape: tuple[int, int], a: float, generator: torch.Generator) -> Tensor:
        return _shaped(what, _called(what, entry.function, shape, a, generator), tuple(shape)).double()

    return draw


def _called(what: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call a reader's function, and tell in one sentence what it raises."""
    try:
        return function(*given, **named)
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as problem:
        reason = (str(problem).splitlines() or [""])[0]
        if isinstance(problem, KeyError) and given and isinstance(given[0], dict):
            reason += f"; there are {', '.join(given[0])}"
            if "B1" not in given[0]:
                reason += ", and random matrices with direct_feedback=True or False only"
        raise InputError(f"{what} raised {type(problem).__name__}: {reason}") from problem


def _called_with_copies(what: str, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call a reader's function, and refuse one that changes what it is given."""
    copies = [_copied(value) for value in given]
    found = _called(what, function, *copies, **named)
    if not all(_equal(a, b) for a, b in zip(copies, given, strict=True)):
        raise InputError(f"{what} must leave what it is given as it is, and it changes that in place.")
    return found


def _shaped(what: str, value: Any, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor of this shape and type (None: of real numbers), without its history."""
    if not isinstance(value, Tensor):
        raise InputError(f"{what} must be a tensor of shape {shape}, not {shown(value)}.")
    if tuple(value.shape) != shape:
        raise InputError(f"{what} must have the shape {shape}, not {tuple(value.shape)}.")
    if value.layout != torch.strided or value.is_meta or value.is_complex():
        raise InputError(f"{what} must be a plain tensor of real numbers, not {shown(value)}.")
    if dtype is not None and value.dtype != dtype:
        raise InputError(f"{what} must be of {dtype}, as what it is computed from, not {value.dtype}.")
    return value.detach()


# ---- the trials ----

# Widths of the networks that a rule is tried on, all different, and examples.
_SHALLOW, _DEEP, _EXAMPLES = (5, 4, 1), (5, 4, 3, 1), 6


def _try_rule(entry: Entry) -> bool:
    """Try a rule on a small network. Return whether two runs can train side by side with it."""
    what, direct = f"the method {entry.name!r}", entry.options["direct_feedback"]
    arguments = {
        "transport": ("parameters", "layer", "error", "delta"),
        "gradients": ("parameters", "X", "y", "activation"),
    }
    _check_signature(what, entry.function, *arguments[entry.options["form"]])
    side_by_side = _try_widths(entry, _SHALLOW)
    if entry.options["form"] == "transport":
        try:
            _try_widths(entry, _DEEP)
        except InputError as problem:
            shape = {True: "(1, units of l)", False: "shaped as the transpose of W_{l+1}"}.get(direct)
            matrix = f"; with direct_feedback={direct}, B_l is {shape}" if shape else ""
            said = str(problem).removesuffix(".")
            raise InputError(f"with two hidden layers, {said}{matrix}.") from problem
    return side_by_side


def _try_widths(entry: Entry, widths: tuple[int, ...]) -> bool:
    """Try a rule on networks of these widths. Return whether two runs can train side by side with it."""
    what, direct = f"the method {entry.name!r}", entry.options["direct_feedback"]
    products, networks, batches = _rule(entry, _called_with_copies), [], []

    def rule(*given: Any) -> Parameters:
        return gradients(products(*given))

    for seed in range(2):
        source = torch.Generator().manual_seed(seed)
        network = initialise_network(widths, source)
        if direct is not None:
            network |= feedback_matrices(widths, "uniform", source, direct=direct)
        networks.append({name: value.float() for name, value in network.items()})
        X = torch.randn(_EXAMPLES, widths[0], generator=source)
        batches.append((X, torch.arange(_EXAMPLES)[:, None] % 2.0))
    alone = [
        _same_again(what, rule, n, X, y, "relu") for n, (X, y) in zip(networks, batches, strict=True)
    ]
    for found in alone:
        if direct is not None and "W1" not in found:
            raise InputError(
                f"{what} has random matrices, so it must return a gradient for every W, and W1 has none."
            )
        for name, gradient in found.items():
            _check_finite(f"the gradient of {name} from {what}", gradient)
    together = {name: torch.stack([n[name] for n in networks]) for name in networks[0]}
    X, y = (torch.stack(column) for column in zip(*batches, strict=True))
    return _agree(lambda: rule(together, X, y, "relu"), alone)


def _try_update(entry: Entry) -> bool:
    """Make two updates of a small vector. Return whether two runs can train side by side with it."""
    what, state = f"the optimizer {entry.name!r}", entry.options["state"]
    count = isinstance(state, int) and not isinstance(state, bool) and 0 <= state <= MOST_STATE
    if not (callable(state) or count):
        raise InputError(
            f"state must be how many tensors {what} keeps, at most {MOST_STATE}, or a function, "
            f"not {shown(state)}."
        )
    _check_signature(what, entry.function, "theta", "g", "state", learning_rate=0.1)
    source = torch.Generator().manual_seed(0)
    start, g = torch.randn(2, 2, 7, generator=source)

    def updated(theta: Tensor, g: Tensor, rate: float | Tensor) -> Parameters:
        state = _called_with_copies(what, _initial_state(entry), theta)
        if not (isinstance(state, tuple) and all(isinstance(value, Tensor) for value in state)):
            raise InputError(
                f"the first state of {what} must be a tuple of tensors, not {shown(state)}."
            )
        for _ in range(2):
            found = _called_with_copies(what, entry.function, theta, g, state, learning_rate=rate)
            if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], tuple)):
                raise InputError(
                    f"{what} must return the new theta and the new state, a tuple of tensors, "
                    f"not {shown(found)}."
                )
            if len(found[1]) != len(state):
                raise InputError(
                    f"{what} must keep a state of {len(state)} tensors, as it began with, "
                    f"not {len(found[1])}."
                )
            theta = _shaped(f"the new theta of {what}", found[0], tuple(theta.shape), theta.dtype)
            state = tuple(
                _shaped(f"the new state of {what}", new, tuple(old.shape), old.dtype)
                for new, old in zip(found[1], state, strict=True)
            )
        return {"theta": theta}

    alone = [_same_again(what, updated, start[i], g[i], 0.1) for i in range(2)]
    for found in alone:
        _check_finite(f"the new theta of {what}", found["theta"])
    return _agree(lambda: updated(start, g, torch.full((2, 1), 0.1)), alone)


def _try_draw(entry: Entry) -> None:
    what, draw = f"the random matrix {entry.name!r}", _matrix(entry)
    _check_signature(what, entry.function, "shape", "a", "generator")
    for shape in ((1, 16), (8, 16)):
        first, again = (draw(shape, 0.25, torch.Generator().manual_seed(0)) for _ in range(2))
        _check_finite(what, first)
        if not torch.equal(first, again):
            raise InputError(
                f"{what} must be drawn from the generator that it is given, and nothing else."
            )


def _same_again(what: str, function: Callable[..., Parameters], *given: Any) -> Parameters:
    """Call a function twice. Return what it gave, if that is the same."""
    first, again = function(*given), function(*given)
    if not _equal(first, again):
        raise InputError(
            f"{what} must give the same for the same, so that runs can be repeated, and it does not."
        )
    return first


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: tensor.clone() for name, tensor in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_copied, value))
    return value.clone() if isinstance(value, Tensor) else value


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, Tensor):
        return torch.equal(a.nan_to_num(), b.nan_to_num())
    return bool(a == b)


def _agree(stacked: Callable[[], Parameters], alone: list[Parameters]) -> bool:
    """Return whether a stack of runs comes out as its runs do one by one."""
    try:
        together = stacked()
        return all(
            torch.allclose(together[name][i], value, rtol=1e-4, atol=1e-6)
            for i, values in enumerate(alone)
            for name, value in values.items()
        )
    except Exception:
        return False


def _check_signature(what: str, function: Callable[..., Any], *given: Any, **named: Any) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some that are not written in Python have none
        return
    try:
        signature.bind(*given, **named)
    except TypeError as problem:
        wanted = ", ".join([*given, *named])
        raise InputError(f"{what} must be a function of ({wanted}), not of {signature}.") from problem


def _check_finite(what: str, value: Tensor) -> None:
    if not bool(torch.isfinite(value).all()):
        raise InputError(f"{what} must be finite, and has {value[~torch.isfinite(value)][0]:g} in it.")
