"""Training: ``train`` turns a ``Run`` into its ``History``."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cache, partial
from typing import NamedTuple, cast

import torch
from torch import Tensor

from .alignment import cosine, layer_cosines, sign_agreement, weight_alignment
from .data.clusters import draw_clusters, label_clusters
from .data.examples import Examples, stack
from .data.images import Digits
from .data.parity import draw_stacks
from .engine import Engine
from .feedback import feedback_matrices
from .learning_rules import backpropagation, gradients
from .methods import METHODS, Method
from .networks import Parameters, accuracy, binary_cross_entropy
from .optimizers import OPTIMIZERS, Rate
from .randomness import generator
from .run import DIGIT_SETS as DIGIT_SETS
from .run import PRECISIONS
from .run import Run as Run
from .validation import InputError, shown, whole_number

# Rows of an evaluation batch: enough for efficient products, few enough for the cache.
EVALUATION_BATCH = 1_000
# The operating system kills a process that asks for many thousands of threads.
MOST_THREADS = 512
# Training examples on which an epoch's gradient alignment is measured.
ALIGNMENT_EXAMPLES = 512


@dataclass(frozen=True)
class History:
    """The metrics of a run: one value per epoch, measured at the epoch's end.

    Losses are mean binary cross-entropies in nats, accuracies lie in [0, 1], alignments are cosines.
    ``train_*`` are measured on examples of the epoch, as many as there are held-out ones; ``test_*`` on
    the held-out examples that ``run.evaluate_on`` names. The others:

    - ``weight_alignment``, ``sign_agreement``, ``sign_share`` compare B with the weights that it
      replaces: cosine, share of equal signs weighted by the weights' size, and unweighted share;
    - ``gradient_alignment``, ``update_alignment``: cosine of the rule's update with
      backpropagation's, mean over the hidden layers' ``W``, and over all parameters at once;
    - ``step_alignment``: cosine of the optimizer's step with backpropagation's gradient; for methods
      without random matrices, with their own gradient.

    The first five are nan for methods without random matrices; those by layer are means over layers.
    Updates are compared on 512 training examples.

    If a loss is not finite, training stops, and every value is nan from that epoch on.
    """

    run: Run
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    weight_alignment: list[float] = field(default_factory=list)
    sign_agreement: list[float] = field(default_factory=list)
    sign_share: list[float] = field(default_factory=list)
    gradient_alignment: list[float] = field(default_factory=list)
    update_alignment: list[float] = field(default_factory=list)
    step_alignment: list[float] = field(default_factory=list)

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite."""
        return any(math.isnan(loss) for loss in self.test_loss)

    def append(self, values: dict[str, float]) -> None:
        """Add an epoch."""
        for name in METRICS:
            getattr(self, name).append(values.get(name, math.nan))


METRICS = tuple(f.name for f in fields(History) if f.name != "run")
"""The names of a ``History``'s metrics."""


class Problem(NamedTuple):
    """A run's data: two sources of examples, and the number of inputs of an example."""

    inputs: int
    training: Callable[[], Examples]  # the examples of the next epoch
    held_out: Callable[[], Examples]


def load_problem(run: Run) -> Problem:
    """Return the data of a run, drawn from its seed and on its device."""
    assert run.samples is not None
    assert run.test_samples is not None
    dtype = PRECISIONS[run.precision]
    train_stream, held_out_stream = (generator(run.seed, s) for s in ("train", run.evaluate_on))

    if run.dataset == "clusters":
        assert run.dimensions is not None
        assert run.density is not None
        labelling = run.seed if run.labelling is None else run.labelling
        labels = label_clusters(generator(labelling, "labelling"))
        points, held_out_points = (
            draw_clusters(labels, n, run.dimensions, run.density, stream).to(run.device, dtype)
            for n, stream in ((run.samples, train_stream), (run.test_samples, held_out_stream))
        )
        return Problem(run.dimensions, lambda: points.shuffled(train_stream), lambda: held_out_points)

    assert run.k is not None
    sets = DIGIT_SETS[run.dataset]()
    digits = _moved(sets.train, run.device, dtype)
    held_out_digits = _moved(
        sets.test if run.evaluate_on == "test" else sets.validation, run.device, dtype
    )

    def stacks(source: Digits, n: int, stream: torch.Generator) -> Examples:
        assert run.k is not None
        return draw_stacks(source, run.k, n, stream).to(run.device, dtype)

    return Problem(
        run.k * sets.pixels,
        partial(stacks, digits, run.samples, train_stream),
        partial(stacks, held_out_digits, run.test_samples, held_out_stream),
    )


@cache
def _moved(digits: Digits, device: str, dtype: torch.dtype) -> Digits:
    """Return the digits on a device and in a precision; cached, so that all runs share them."""
    return digits.to(device, dtype)


def initial_parameters(run: Run, inputs: int) -> Parameters:
    """Draw every tensor of a run, trained or fixed, from its seed.

    Methods that share a seed start from the same ``W`` and ``b``: ``B``, ``V1`` and ``c1``, and the
    Gaussian features' ``W1``, have separate random streams.
    """
    method = METHODS[run.method]
    widths = (inputs, *run.hidden_widths, 1)
    parameters = method.draw(widths, partial(generator, run.seed), biases=run.biases)
    if method.direct_feedback is not None:
        assert run.feedback is not None
        parameters |= feedback_matrices(
            widths, run.feedback, generator(run.seed, "feedback"), direct=method.direct_feedback
        )
    dtype = PRECISIONS[run.precision]
    return {name: value.to(run.device, dtype) for name, value in parameters.items()}


def train(
    run: Run,
    *,
    threads: int = 1,
    observe: Callable[[int, Parameters], None] | None = None,
) -> History:
    """Train one run from its seed.

    Parameters
    ----------
    threads
        CPU threads for the matrix products, at most 512. One gives the same bits as ``run_all``; more
        are faster for a single large run, and may change the last digit.
    observe
        Called after each epoch with its number, from 1, and a copy of the parameters.

    Raises
    ------
    InputError
        If the data cannot be loaded, the run does not fit in memory, or ``device`` is ``"cuda"`` and
        there is no such device.
    """
    with using_threads(whole_number("threads", threads, maximum=MOST_THREADS)):
        return _train([run], observe)[0]


def stackable(run: Run) -> Run:
    """Return the fields that runs of one batch share: all but seed, rate, matrices and labelling."""
    return replace(run, seed=0, learning_rate=1.0, feedback=None, labelling=None)


def train_stack(runs: Sequence[Run]) -> list[History]:
    """Train runs of one shape as a batch of runs: one computation on tensors ``(runs, …)``.

    Runs of one shape are equal in everything but seed, learning rate, random matrices and the labelling
    of clusters. The results are those of ``train``, up to rounding, in the order of ``runs``; one that
    diverges does not stop the others. On a GPU this is fast; on a CPU, one run after the other is.

    Raises
    ------
    InputError
        As ``train``, or if the runs do not share a shape.
    torch.OutOfMemoryError
        If the batch is too large for the device.
    """
    runs = list(runs)
    if not runs:
        raise InputError("runs must hold at least one run, not none.")
    for run in runs:
        if stackable(run) != stackable(runs[0]):
            raise InputError(
                f"runs in one batch may differ in seed, learning_rate, feedback and labelling only: "
                f"{run.describe()} does not go with {runs[0].describe()}."
            )
    with using_threads(1):
        return _train(runs, None)


def _train(runs: Sequence[Run], observe: Callable[[int, Parameters], None] | None) -> list[History]:
    run = runs[0]
    if not isinstance(run, Run):
        raise InputError(f"run must be a Run(...), not {shown(run)}.")
    if run.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cannot be 'cuda': this machine has no CUDA GPU; accepted is cpu.")
    try:
        return _train_epochs(runs, observe)
    except torch.OutOfMemoryError:  # of a GPU; a batch of runs can be split
        raise
    except (MemoryError, RuntimeError) as problem:
        if isinstance(problem, RuntimeError) and not re.search("alloc|overflow", str(problem)):
            raise
        raise InputError(
            f"{run.describe()} does not fit in memory; a smaller k, samples, test_samples, hidden, "
            f"dimensions or batch_size takes less."
        ) from problem


def _train_epochs(
    runs: Sequence[Run], observe: Callable[[int, Parameters], None] | None
) -> list[History]:
    run, problems = runs[0], [load_problem(run) for run in runs]
    engine = start_engine(runs, problems[0].inputs)
    histories, finite = [History(run) for run in runs], [True] * len(runs)
    for epoch in range(1, run.epochs + 1):
        examples = _side_by_side([problem.training() for problem in problems])
        for _ in range(run.passes):
            train_epoch(engine, examples, run.batch_size)
        held_out = _side_by_side([problem.held_out() for problem in problems])
        values = measure(run, engine, examples, held_out)
        for i, history in enumerate(histories):
            row = {name: column[i] for name, column in values.items()}
            finite[i] &= math.isfinite(row["train_loss"]) and math.isfinite(row["test_loss"])
            history.append(row if finite[i] else {})
        if not any(finite):
            break
        if observe is not None:
            observe(epoch, {name: value.clone() for name, value in engine.parameters.items()})
    for history in histories:
        for _ in range(len(history.test_loss), run.epochs):
            history.append({})
    return histories


def start_engine(runs: Sequence[Run], inputs: int) -> Engine:
    """Return the engine of a run, or of a batch of runs, before its first step."""
    run = runs[0]
    networks = [initial_parameters(run, inputs) for run in runs]
    parameters, rate = networks[0], cast(Rate, run.learning_rate)
    if len(runs) > 1:
        parameters = {name: torch.stack([each[name] for each in networks]) for name in parameters}
        W1 = parameters["W1"]
        rate = torch.tensor([[run.learning_rate] for run in runs], dtype=W1.dtype, device=W1.device)
    assert run.samples is not None
    return Engine(
        parameters,
        METHODS[run.method].rule,
        OPTIMIZERS[run.optimizer],
        learning_rate=rate,
        weight_decay=run.weight_decay,
        activation=run.activation,
        steps=run.epochs * run.passes * math.ceil(run.samples / run.batch_size),
    )


def _side_by_side(sets: Sequence[Examples]) -> Examples:
    return stack(sets) if len(sets) > 1 else sets[0]


def train_epoch(engine: Engine, examples: Examples, batch_size: int) -> None:
    """Make one step per batch of the examples, in their order."""
    buffer = examples.buffer(batch_size)
    for start in range(0, len(examples), batch_size):
        engine.step(*examples.batch(start, batch_size, out=buffer))


def measure(run: Run, engine: Engine, training: Examples, held_out: Examples) -> dict[str, list[float]]:
    """Return the metrics of an epoch by name, each with one value per run; alignments if defined."""
    method, parameters = METHODS[run.method], engine.parameters
    values: dict[str, Tensor] = {}
    for name, examples in (("train", training.head(len(held_out))), ("test", held_out)):
        loss, correct = evaluate(method, parameters, examples, run.activation)
        values |= {f"{name}_loss": loss, f"{name}_accuracy": correct}
    batch = (*training.batch(0, ALIGNMENT_EXAMPLES), run.activation)
    ours = gradients(method.rule(parameters, *batch))
    exact, direct = ours, method.direct_feedback
    if direct is not None:
        exact = gradients(backpropagation(parameters, *batch))
        values["weight_alignment"] = _mean(weight_alignment(parameters, direct=direct))
        values["sign_agreement"] = _mean(sign_agreement(parameters, direct=direct))
        values["sign_share"] = _mean(sign_agreement(parameters, direct=direct, weighted=False))
        values["gradient_alignment"] = _mean(layer_cosines(ours, exact))
        values["update_alignment"] = _as_vectors(engine.flat(ours), engine.flat(exact))
    update = engine.next_update(*batch[:2], engine.flat(ours))
    values["step_alignment"] = _as_vectors(update, engine.flat(exact))
    return {name: value.flatten().tolist() for name, value in values.items()}


def _as_vectors(a: Tensor, b: Tensor) -> Tensor:
    """Return the cosine of vectors ``(…, numbers)``."""
    return cosine(a.unsqueeze(-2), b.unsqueeze(-2))


def evaluate(
    method: Method, parameters: Parameters, examples: Examples, activation: str
) -> tuple[Tensor, Tensor]:
    """Return mean cross-entropy and accuracy over all ``examples``: float64, one value per run."""
    losses, correct, buffer = [], [], examples.buffer(EVALUATION_BATCH)
    for start in range(0, len(examples), EVALUATION_BATCH):
        X, y = examples.batch(start, EVALUATION_BATCH, out=buffer)
        logits = method.forward(parameters, X, activation).logits
        n = y.shape[-2]
        losses.append(binary_cross_entropy(logits.double(), y.double()) * n)
        correct.append(accuracy(logits, y) * n)
    n = len(examples)
    return torch.stack(losses).sum(0) / n, torch.stack(correct).sum(0) / n


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean(0)


# The settings behind ``torch.set_float32_matmul_precision``, for products on a CPU and on a GPU.
_PRECISION_OF = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)  # type: ignore[attr-defined]


@contextmanager
def using_threads(count: int) -> Iterator[None]:
    """Run the body with this many threads for torch's products, and with torch's default settings.

    So the numbers of a run do not depend on what a notebook has set: default type and device, precision
    of float32 products, deterministic mode, denormal numbers, autocast.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    precisions = [backend.fp32_precision for backend in _PRECISION_OF]
    flushed = not torch.tensor([5e-324], dtype=torch.float64, device="cpu").mul(1).any()
    try:
        torch.set_num_threads(count)
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)
        torch.set_flush_denormal(False)
        for backend in _PRECISION_OF:
            backend.fp32_precision = "ieee"
        with ExitStack() as contexts:
            # Entered only if needed: a default device slows down every call of torch.
            if torch.get_default_device().type != "cpu":
                contexts.enter_context(torch.device("cpu"))
            for kind in ("cpu", "cuda"):
                if torch.is_autocast_enabled(kind):
                    contexts.enter_context(torch.autocast(kind, enabled=False))
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_flush_denormal(flushed)
        for backend, precision in zip(_PRECISION_OF, precisions, strict=True):
            backend.fp32_precision = precision
