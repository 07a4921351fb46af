"""``Run``: every setting that the numbers of a training run depend on, checked when it is created."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from .data.clusters import DENSITIES
from .data.digits import load_digits
from .data.images import DigitSets
from .data.mnist import load_mnist
from .feedback import FEEDBACK
from .methods import METHODS, Method
from .networks import ACTIVATIONS
from .optimizers import OPTIMIZERS
from .validation import LARGEST, LARGEST_SEED, InputError, choice, positive_number, shown, whole_number

DIGIT_SETS: dict[str, Callable[[], DigitSets]] = {"digits": load_digits, "mnist": load_mnist}
DATASETS = (*DIGIT_SETS, "clusters")
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
HELD_OUT = ("test", "validation")

# Defaults of the fields that depend on the dataset. With 18,000 stacks of digits per epoch, DFA's lag
# behind BP is visible, and the book still trains in minutes.
DATASET_DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"k": 3, "samples": 18_000, "test_samples": 3_000},
    "mnist": {"k": 3, "samples": 60_000, "test_samples": 10_000},
    "clusters": {
        "samples": 256,
        "test_samples": 4_000,
        "dimensions": 15,
        "labelling": None,
        "density": "centred",
    },
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """All settings of one training run.

    Equal runs give the same numbers, bit for bit, on one machine. A field that does not apply is set to
    None: ``feedback`` where no random matrix is used, ``k`` for clusters, ``dimensions``, ``labelling``
    and ``density`` for digits.

    Parameters
    ----------
    dataset
        ``"digits"`` (bundled with scikit-learn), ``"mnist"`` or ``"clusters"``.
    k
        Digits in a stack, at least 1 (default 3).
    samples
        Training examples per epoch (default 18,000 stacks of digits, 60,000 of MNIST, 256 points).
        Stacks are drawn anew each epoch; the points of the clusters stay the same.
    test_samples
        Held-out examples per epoch (default 3,000, 10,000, 4,000).
    dimensions, labelling, density
        Of the clusters: inputs of a point (at least 3, default 15); the seed of the clusters' labels
        (default: the run's own); ``"centred"`` or ``"uniform"``, see ``draw_clusters``.
    method
        ``"bp"``, ``"fa"``, ``"dfa"``, ``"ntk"``, ``"glu"``, ``"gaussian_features"``,
        ``"relu_features"``, ``"linear_features"``, or the name of a registered method.
    feedback
        The random matrices of FA and DFA: ``"uniform"`` (default), ``"standard_uniform"``,
        ``"gaussian"``, ``"standard_gaussian"``, ``"sign"``, or a registered kind.
    hidden
        Width of the hidden layer (default 512), or the widths of several.
    activation
        Of the hidden units: ``"relu"`` (default), ``"tanh"``, ``"sigmoid"`` or ``"linear"``. Lazy
        methods have their own.
    biases
        Whether layers have biases (default True; Gaussian features have none in the first layer).
    optimizer
        ``"sgd"`` (default), ``"momentum"``, ``"nesterov"``, ``"adagrad"``, ``"adadelta"``,
        ``"rmsprop"``, ``"adam"``, or the name of a registered optimizer.
    learning_rate
        Positive. There is no default: no rate suits every method.
    weight_decay
        λ ≥ 0 (default 0).
    batch_size, epochs
        At least 1 (default 128 and 20).
    passes
        How often an epoch goes through its examples (default 1).
    evaluate_on
        ``"test"`` (default), or ``"validation"`` to choose a learning rate.
    seed
        At least 0, of 64 bits. Weights, random matrices and data are drawn from it.
    precision
        ``"float32"`` (default) or ``"float64"``.
    device
        ``"cpu"`` (default) or ``"cuda"``.

    Other whole numbers are at most 100,000,000.

    Raises
    ------
    InputError
        If a value is not accepted; the message names it and lists the accepted ones.
    """

    dataset: str = "digits"
    k: int | None = None
    samples: int | None = None
    test_samples: int | None = None
    dimensions: int | None = None
    labelling: int | None = None
    density: str | None = None
    method: str = "bp"
    feedback: str | None = None
    hidden: int | tuple[int, ...] = 512
    activation: str = "relu"
    biases: bool = True
    optimizer: str = "sgd"
    learning_rate: float
    weight_decay: float = 0.0
    batch_size: int = 128
    epochs: int = 20
    passes: int = 1
    evaluate_on: str = "test"
    seed: int = 0
    precision: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        choice("dataset", self.dataset, DATASETS)
        method = METHODS[choice("method", self.method, METHODS)]
        self._set_dataset_fields()
        if method.direct_feedback is None:
            self._set("feedback", None)
        else:
            kind = "uniform" if self.feedback is None else self.feedback
            self._set("feedback", choice("feedback", kind, FEEDBACK))
        self._set("hidden", self._checked_hidden(method))
        choice("activation", self.activation, ACTIVATIONS)
        self._set("activation", method.activation or self.activation)
        if not isinstance(self.biases, bool):
            raise InputError(f"biases must be True or False, not {shown(self.biases)}.")
        choice("optimizer", self.optimizer, OPTIMIZERS)
        self._set("learning_rate", positive_number("learning_rate", self.learning_rate))
        self._set("weight_decay", positive_number("weight_decay", self.weight_decay, or_zero=True))
        for name in ("batch_size", "epochs", "passes"):
            self._set(name, whole_number(name, getattr(self, name)))
        choice("evaluate_on", self.evaluate_on, HELD_OUT)
        self._set("seed", whole_number("seed", self.seed, 0, LARGEST_SEED))
        choice("precision", self.precision, PRECISIONS)
        choice("device", self.device, ("cpu", "cuda"))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _set_dataset_fields(self) -> None:
        defaults = DATASET_DEFAULTS[self.dataset]
        limits = {"dimensions": (3, LARGEST), "labelling": (0, LARGEST_SEED)}
        for name in ("k", "samples", "test_samples", "dimensions", "labelling"):
            value = getattr(self, name)
            value = defaults.get(name) if value is None or name not in defaults else value
            if value is not None:
                value = whole_number(name, value, *limits.get(name, ()))
            self._set(name, value)
        density = self.density if self.density is not None else defaults.get("density")
        applies = "density" in defaults
        self._set("density", choice("density", density, DENSITIES) if applies else None)

    def _checked_hidden(self, method: Method) -> int | tuple[int, ...]:
        if isinstance(self.hidden, (tuple, list)):
            widths = tuple(whole_number("hidden", width) for width in self.hidden)
        else:
            widths = (whole_number("hidden", self.hidden),)
        if not widths:
            raise InputError("hidden must be a width of at least 1, or a list of widths, not empty.")
        if method.lazy and len(widths) > 1:
            raise InputError(
                f"hidden must be one width for {self.method}, which has one hidden layer, "
                f"not {shown(self.hidden)}."
            )
        return widths[0] if len(widths) == 1 else widths

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """The width of each hidden layer."""
        return self.hidden if isinstance(self.hidden, tuple) else (self.hidden,)

    def describe(self) -> str:
        """Return a short description for messages."""
        task = f"{self.dataset} k={self.k}" if self.k else f"{self.dataset} d={self.dimensions}"
        return (
            f"{self.method} with {self.optimizer} at rate {self.learning_rate:g} on {task}, "
            f"seed {self.seed}"
        )
