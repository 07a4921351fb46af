"""Networks with several hidden layers: what each rule makes of them, and how their layers learn."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from dfa_lib.alignment import layer_cosines, weight_alignment
from dfa_lib.engine import Engine
from dfa_lib.experiments.kept_table import (
    LOSS,
    REAL,
    SHARE,
    TEXT,
    WHOLE,
    Row,
    TablePath,
)
from dfa_lib.experiments.outcomes import outcome
from dfa_lib.experiments.runner import MOST_SEEDS
from dfa_lib.learning_rules import Products, backpropagation, gradients
from dfa_lib.methods import METHODS
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import (
    ALIGNMENT_EXAMPLES,
    Run,
    evaluate,
    initial_parameters,
    load_problem,
    train_epoch,
    using_threads,
)
from dfa_lib.validation import choice, whole_number

from .followed import followed_table

HELD_LAYERS = {
    "none": ((), 0.0),
    "first": ((1,), 1.0),
    "second": ((2,), 1.0),
    "both": ((1, 2), 1.0),
    "first waits": ((1,), 0.5),
    "second waits": ((2,), 0.5),
}
"""Hidden layers that do not learn, and for which share of the epochs."""
HELD_NAMES = {
    "none": "both learn",
    "first": "only the second learns",
    "second": "only the first learns",
    "both": "neither learns",
    "first waits": "the first waits",
    "second waits": "the second waits",
}

COLUMNS = {
    **{"experiment": TEXT, "method": TEXT, "hidden": TEXT, "learning_rate": REAL, "seed": WHOLE},
    **{"held": TEXT, "layers": WHOLE, "epoch": WHOLE, "layer": WHOLE, "weight_alignment": REAL},
    **{"gradient_alignment": REAL, "test_loss": LOSS, "test_accuracy": SHARE, "test_samples": WHOLE},
}


class Case(NamedTuple):
    """A run without its seed, and what is held in turn: names of ``HELD_LAYERS``."""

    run: Run
    held: tuple[str, ...] = ("none",)


def layers_table(
    cases: Sequence[Case], seeds: int, *, results: TablePath = None, jobs: int = 1
) -> pd.DataFrame:
    """Train networks, some with layers that are held at their first weights, and measure each layer.

    Runs may differ in method, depth and rate; each is trained with the seeds 0 to ``seeds - 1``.
    ``results`` is a CSV to read from and to save to.

    Returns
    -------
    pandas.DataFrame
        One row per run, epoch and hidden layer, from 1: cosines of B with the weights that it replaces
        (nan for BP) and of the rule's update of W with BP's; and the network's loss (nats) and accuracy
        on ``test_samples`` held-out stacks.

    Raises
    ------
    InputError
        If what is held is no name of ``HELD_LAYERS``, the data cannot be loaded, or the CSV is damaged
        or belongs to another experiment.
    """
    for _, held in cases:
        for name in held:
            choice("held", name, HELD_LAYERS)
    by_key = {
        (run.method, "x".join(map(str, run.hidden_widths)), run.learning_rate, seed): (
            replace(run, seed=seed),
            held,
        )
        for seed in range(whole_number("seeds", seeds, maximum=MOST_SEEDS))
        for run, held in cases
    }

    like = cases[0].run
    width = like.hidden_widths[0]
    shared = replace(like, method="bp", feedback=None, hidden=width, learning_rate=1.0, seed=0)
    key = ("method", "hidden", "learning_rate", "seed")
    return followed_table(results, COLUMNS, key, follow_layers, by_key, shared, jobs=jobs, count=True)


def follow_layers(run: Run, held: Sequence[str] = ("none",)) -> list[Row]:
    """Train a run once for each of ``held``; return a row for each epoch and hidden layer of each.

    Rows have the columns from ``held`` on.
    """
    with using_threads(1):
        return [row for name in held for row in _follow(run, name)]


def _follow(run: Run, held: str) -> Iterator[Row]:
    problem, method = load_problem(run), METHODS[run.method]
    layers, share = HELD_LAYERS[held]
    epoch = 0

    def is_held(layer: int) -> bool:
        return layer in layers and epoch < share * run.epochs

    engine = Engine(
        initial_parameters(run, problem.inputs),
        without(method.rule, is_held),
        OPTIMIZERS[run.optimizer],
        learning_rate=run.learning_rate,
        activation=run.activation,
    )
    while epoch < run.epochs:
        examples = problem.training()
        train_epoch(engine, examples, run.batch_size)
        epoch += 1
        parameters, batch = engine.parameters, (*examples.batch(0, ALIGNMENT_EXAMPLES), run.activation)
        exact = gradients(backpropagation(parameters, *batch))
        cosines = layer_cosines(gradients(method.rule(parameters, *batch)), exact)
        direct = method.direct_feedback
        aligned = weight_alignment(parameters, direct=direct) if direct is not None else None
        loss, accuracy = evaluate(method, parameters, problem.held_out(), run.activation)
        network = float(loss) if math.isfinite(loss) else math.nan, float(accuracy), run.test_samples
        for layer, agreement in enumerate(cosines, start=1):
            own = math.nan if aligned is None else float(aligned[layer - 1])
            yield held, len(cosines), epoch, layer, own, float(agreement), *network


def without(rule: Callable[..., Products], held: Callable[[int], bool]) -> Callable[..., Products]:
    """Return a rule whose gradient is zero for the layers that are held at the time of a step."""

    def partly(*args: object) -> Products:
        for name, a, b in rule(*args):
            yield name, (0 * a if held(int(name[1:])) else a), b

    return partly


def with_outcome(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as from ``layers_table`` with a column ``outcome``, which each run has one of."""
    runs = table.groupby(["method", "hidden", "learning_rate", "seed", "held"], sort=False)
    outcomes = pd.Series("", index=table.index, dtype=object)
    for _, rows in runs:
        run = rows[rows["layer"] == 1].sort_values("epoch")
        seen = run["test_loss"].tolist(), run["test_accuracy"].tolist()
        outcomes[rows.index] = outcome(*seen, int(run["test_samples"].iloc[0]))
    return table.assign(outcome=outcomes)
