"""Tables of appendix B: probes and maps of pixels, of untrained networks, and of trained ones.

The thesis asks whether a network that learns the parity of k digits tells the single digits apart.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from joblib import Parallel, delayed
from torch import Tensor

from dfa_lib.data.images import take
from dfa_lib.experiments.kept_table import REAL, SHARE, TEXT, WHOLE, Row, TablePath, kept_table
from dfa_lib.experiments.orphans import tied
from dfa_lib.experiments.representations import PROBES, digit_representation, embed
from dfa_lib.experiments.runner import MOST_SEEDS
from dfa_lib.networks import Parameters
from dfa_lib.training import DIGIT_SETS, Run, initial_parameters, train
from dfa_lib.validation import InputError, choice, whole_number

# Most digits used: the first of their set, which is shuffled. The bundled digits are fewer.
PROBE_DIGITS = 10_000
EMBEDDED_DIGITS = 2_000

TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "digit": lambda labels: labels,
    "parity": lambda labels: labels % 2,
}
"""What probes ask of a digit."""
PROBE_COLUMNS = {
    **{"experiment": TEXT, "seed": WHOLE, "weights": TEXT, "probe": TEXT, "target": TEXT},
    **{"fitted_on": WHOLE, "judged_on": WHOLE, "accuracy": SHARE},
}
EMBEDDING_COLUMNS = {"experiment": TEXT, "weights": TEXT, "digit": WHOLE, "x": REAL, "y": REAL}

_first_layers: dict[Run, Parameters] = {}  # of runs trained by this process


def weights_names(runs: Sequence[Run]) -> list[str]:
    """Return the names of the compared features: ``pixels``, ``untrained``, then ``bp-sgd`` etc."""
    return ["pixels", "untrained", *(f"{run.method}-{run.optimizer}" for run in runs)]


def probe_table(
    runs: Sequence[Run], seeds: int, *, results: TablePath = None, jobs: int = 1
) -> pd.DataFrame:
    """Measure every probe's accuracy on raw pixels, untrained weights and each run's trained weights.

    Probes are fitted on training digits and evaluated on test digits, at most 10,000 of each, all at the
    first position of the stack. ``runs`` of BP, FA or DFA may differ in method, feedback, optimizer and
    rate only, so that those of one seed start from the same first layer; each is trained with the seeds
    0, 1, …, ``seeds - 1``. ``results`` is a CSV to read from and to save to; it may hold more seeds.
    ``jobs`` processes change the numbers by rounding at most.

    Returns
    -------
    pandas.DataFrame
        One row per seed, weights (see ``weights_names``), probe and target, with the ``accuracy`` in
        [0, 1], nan if the run diverged; the numbers of digits it was ``fitted_on`` and ``judged_on``;
        and ``experiment``, a digest of the runs.

    Raises
    ------
    InputError
        If runs cannot be compared, the data cannot be loaded, or the CSV is damaged or belongs to
        another experiment.
    """

    def make(missing: list[Row]) -> Iterator[tuple[list[Row], int]]:
        before = len(_first_layers)
        rows = _probe(runs, [seed for (seed,) in missing], jobs)
        yield rows, len(_first_layers) - before

    return kept_table(
        results,
        PROBE_COLUMNS,
        {"experiment": _experiment(runs)},
        make,
        key=["seed"],
        wanted=[(seed,) for seed in range(whole_number("seeds", seeds, maximum=MOST_SEEDS))],
        datasets=[runs[0].dataset],
        jobs=jobs,
    )


def embedding_table(runs: Sequence[Run], *, results: TablePath = None, jobs: int = 1) -> pd.DataFrame:
    """Return t-SNE maps of raw pixels, untrained weights and each run's trained weights, for seed 0.

    The points are the same in every map: at most 2,000 test digits, at the first position. Parameters
    and errors are those of ``probe_table``.

    Returns
    -------
    pandas.DataFrame
        One row for each of the ``weights`` and each test digit: its class ``digit``, its ``x`` and
        ``y``, and ``experiment``, a digest of the runs.
    """

    def make(_: list[Row]) -> Iterator[tuple[list[Row], int]]:
        before, names = len(_first_layers), weights_names(runs)
        test = take(DIGIT_SETS[runs[0].dataset]().test, 0, EMBEDDED_DIGITS)
        features = _representations(runs, 0, [test.images], jobs)
        maps = Parallel(n_jobs=whole_number("jobs", jobs))(
            delayed(tied(embed))(features[name][0]) for name in names
        )
        rows = [
            (name, digit, *point)
            for name, points in zip(names, maps, strict=True)
            for digit, point in zip(test.labels.tolist(), points.tolist(), strict=True)
        ]
        yield rows, len(_first_layers) - before

    return kept_table(
        results,
        EMBEDDING_COLUMNS,
        {"experiment": _experiment(runs)},
        make,
        datasets=[runs[0].dataset],
        jobs=jobs,
    )


def _probe(runs: Sequence[Run], seeds: Sequence[int], jobs: int) -> list[Row]:
    sets = DIGIT_SETS[runs[0].dataset]()
    fitted, judged = (take(digits, 0, PROBE_DIGITS) for digits in (sets.train, sets.test))
    _train_first_layers([replace(run, seed=seed) for seed in seeds for run in runs], jobs)
    scores: list[list[Row]] = Parallel(n_jobs=jobs)(
        delayed(tied(_scores))((seed, name), *features, fitted.labels, judged.labels)
        for seed in seeds
        for name, features in _representations(runs, seed, [fitted.images, judged.images], jobs).items()
    )
    return [row for rows in scores for row in rows]


def _scores(
    start: Row, features: Tensor, test_features: Tensor, labels: Tensor, test_labels: Tensor
) -> list[Row]:
    """Return a row for each target and probe, with the columns of ``start`` first."""
    sizes = len(features), len(test_features)
    return [
        (*start, name, target, *sizes, probe(features, of(labels), test_features, of(test_labels)))
        for target, of in TARGETS.items()
        for name, probe in PROBES.items()
    ]


def _representations(
    runs: Sequence[Run], seed: int, images: Sequence[Tensor], jobs: int
) -> dict[str, list[Tensor]]:
    """Return by ``weights_names`` the features of each set of images."""
    run, seeded = runs[0], [replace(run, seed=seed) for run in runs]
    assert run.k is not None
    layers = [
        initial_parameters(replace(seeded[0], device="cpu"), run.k * images[0].shape[1]),
        *_train_first_layers(seeded, jobs),
    ]
    represented = [
        [digit_representation(layer, each, 0, run.k, run.activation) for each in images]
        for layer in layers
    ]
    return dict(zip(weights_names(runs), [list(images), *represented], strict=True))


def _train_first_layers(runs: Sequence[Run], jobs: int) -> list[Parameters]:
    """Return the trained first layers. Each run is trained once: probes and maps share it."""
    missing = [run for run in runs if run not in _first_layers]
    if missing:
        trained = Parallel(n_jobs=min(whole_number("jobs", jobs), len(missing)), batch_size=1)(
            delayed(tied(_first_layer))(run) for run in missing
        )
        _first_layers.update(zip(missing, trained, strict=True))
    return [_first_layers[run] for run in runs]


def _first_layer(run: Run) -> Parameters:
    last: Parameters = {}
    history = train(run, observe=lambda epoch, parameters: last.update(parameters))
    if history.diverged:  # the last observed weights are not the trained ones
        sets = DIGIT_SETS[run.dataset]()
        assert run.k is not None
        last = {
            name: torch.full_like(value, float("nan"))
            for name, value in initial_parameters(run, run.k * sets.pixels).items()
        }
    return {name: last[name].cpu() for name in ("W1", "b1") if name in last}


def _experiment(runs: Sequence[Run]) -> str:
    """Return a digest of the runs without their seeds: SHA-256, first 16 hexadecimal digits."""
    if not runs:
        raise InputError("runs must hold at least one run, not none.")
    shared: dict[str, Any] = {"seed": 0, "method": "bp", "feedback": None, "optimizer": "sgd"}
    shared["learning_rate"] = 1.0
    for run in runs:
        choice("dataset", run.dataset, DIGIT_SETS)
        choice("method", run.method, ("bp", "fa", "dfa"))
        if replace(run, **shared) != replace(runs[0], **shared):
            raise InputError(
                f"runs may differ in method, feedback, optimizer and rate only: {run.describe()} does "
                f"not go with {runs[0].describe()}."
            )
    names = weights_names(runs)
    if len(set(names)) < len(names):
        raise InputError(f"runs must differ in method or optimizer, not be {', '.join(names[2:])}.")
    spec = repr([replace(run, seed=0) for run in runs])
    return hashlib.sha256(spec.encode()).hexdigest()[:16]
