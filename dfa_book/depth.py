"""Networks with several hidden layers: what each rule makes of them, and how their layers learn.

Rules, stated after a pilot of 48 runs with one seed. Digits, three of them, RMSProp, each method and
depth at its tuned rate; numbers are means over seeds with 95 % Student-t intervals, as in the ledger.

1. A second hidden layer helps BP: accuracy with two hidden layers minus that with one, above 0.
2. Depth helps DFA less than BP: what BP gains over one hidden layer minus what DFA gains, above 0, with
   two hidden layers and with four.
3. Depth helps FA more than DFA: accuracy of FA minus that of DFA, above 0, with two and with four.
4. DFA's update agrees with BP's less in the first layer than in the last hidden one: cosine at the last
   epoch, first layer minus last hidden layer, below 0, with two hidden layers and with four.
5. In DFA, a layer cannot learn before the layers in front of it are aligned (claim 13f of the thesis):
   with two hidden layers, the epoch at which the first layer's cosine with BP's update is half way to
   its largest value minus the second layer's, below 0; and the accuracy when the first layer is held at
   its random start and the second learns, minus that when both are held, below 2 points.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import pandas as pd
from joblib import Parallel, delayed

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
    kept_table,
)
from dfa_lib.experiments.orphans import tied
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

HELD_LAYERS = {
    "none": ((), 0.0),
    "first": ((1,), 1.0),
    "second": ((2,), 1.0),
    "both": ((1, 2), 1.0),
    "first, at first": ((1,), 0.5),
    "second, at first": ((2,), 0.5),
}
"""Hidden layers that do not learn, and for which share of the epochs."""

COLUMNS = {
    **{"experiment": TEXT, "method": TEXT, "layers": WHOLE, "held": TEXT, "learning_rate": REAL},
    **{"seed": WHOLE, "epoch": WHOLE, "layer": WHOLE, "weight_alignment": REAL},
    **{"gradient_alignment": REAL, "test_loss": LOSS, "test_accuracy": SHARE, "test_samples": WHOLE},
}


class Case(NamedTuple):
    """A run without its seed, and which of its layers are held: a name of ``HELD_LAYERS``."""

    run: Run
    held: str = "none"


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
        If ``held`` is no name of ``HELD_LAYERS``, the data cannot be loaded, or the CSV is damaged or
        belongs to another experiment.
    """
    by_key = {
        (
            run.method,
            len(run.hidden_widths),
            choice("held", held, HELD_LAYERS),
            run.learning_rate,
            seed,
        ): (
            replace(run, seed=seed),
            held,
        )
        for seed in range(whole_number("seeds", seeds, maximum=MOST_SEEDS))
        for run, held in cases
    }

    def make(missing: list[Row]) -> Iterator[tuple[list[Row], int]]:
        parallel = Parallel(n_jobs=min(jobs, len(missing)), return_as="generator", batch_size=1)
        followed = parallel(delayed(tied(follow))(*by_key[key]) for key in missing)
        for key, rows in zip(missing, followed, strict=True):
            yield [(*key, *row) for row in rows], 1

    like = cases[0].run
    width = like.hidden_widths[0]
    shared = replace(like, method="bp", feedback=None, hidden=width, learning_rate=1.0, seed=0)
    return kept_table(
        results,
        COLUMNS,
        {"experiment": hashlib.sha256(repr(shared).encode()).hexdigest()[:16]},
        make,
        key=("method", "layers", "held", "learning_rate", "seed"),
        wanted=list(by_key),
        datasets=[shared.dataset],
        jobs=jobs,
    )


def follow(run: Run, held: str = "none") -> list[Row]:
    """Train a run with layers held; return a row for each epoch and hidden layer, from ``epoch`` on."""
    with using_threads(1):
        return list(_follow(run, held))


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
            yield epoch, layer, own, float(agreement), *network


def without(rule: Callable[..., Products], held: Callable[[int], bool]) -> Callable[..., Products]:
    """Return a rule whose gradient is zero for the layers that are held at the time of a step."""

    def partly(*args: object) -> Products:
        for name, a, b in rule(*args):
            yield name, (0 * a if held(int(name[1:])) else a), b

    return partly
