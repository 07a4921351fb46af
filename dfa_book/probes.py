"""Probes and t-SNE maps of the first layer's features of a single digit, and tables of them.

The thesis's appendix B asks whether a network that learns the parity of k digits tells the single digits
apart. ``digit_representation`` computes one digit's features, probes measure how well its class can be
predicted from them, and ``embed`` maps them to two dimensions. The tables compare pixels, untrained
networks and trained ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from dfa_lib.data.images import take
from dfa_lib.experiments.kept_table import (
    REAL,
    SHARE,
    TEXT,
    WHOLE,
    Row,
    TablePath,
    kept_table,
    plan_digest,
)
from dfa_lib.experiments.orphans import tied
from dfa_lib.experiments.runner import MOST_SEEDS
from dfa_lib.networks import ACTIVATIONS, Parameters
from dfa_lib.training import DIGIT_SETS, Run, initial_parameters, train
from dfa_lib.validation import InputError, choice, whole_number

NEIGHBOURS = 10
PERPLEXITY = 30  # scikit-learn's default

Features = Float[Tensor, "n features"]
Labels = Int[Tensor, "n"]
TestFeatures = Float[Tensor, "test_n features"]
TestLabels = Int[Tensor, "test_n"]


def digit_representation(
    parameters: Parameters,
    images: Float[Tensor, "n pixels"],
    position: int,
    k: int,
    activation: str = "relu",
) -> Float[Tensor, "n hidden"]:
    """Return the first hidden layer's features of single digits (thesis, appendix B).

    The rows of ``W1`` are k blocks, one for each digit of a stack. The features of a digit x at a
    position are ``f(x W1[block] + b1)``: those of a stack whose other images are blank. A blank image
    has the normalised pixel value 0, the mean brightness of the training digits.

    ``W1`` is ``(k · pixels, hidden)``; ``b1`` may be missing. ``images`` are normalised single digits,
    one per row; the ``position`` in the stack is from 0 to k - 1.
    """
    W1, pixels = parameters["W1"], images.shape[1]
    k = whole_number("k", k)
    if whole_number("position", position, minimum=0) >= k:
        raise InputError(f"position must be below k = {k}, not {position}.")
    if len(W1) != k * pixels:
        raise InputError(
            f"W1 must have a row for each of {k} · {pixels} pixels, {k * pixels} in all, not {len(W1)}."
        )
    a = images.to(W1) @ W1[position * pixels : (position + 1) * pixels]
    if "b1" in parameters:
        a = a + parameters["b1"]
    return ACTIVATIONS[choice("activation", activation, ACTIVATIONS)].function(a)


# ---- probes and maps ----


def probe_accuracy(
    model: Any, features: Features, labels: Labels, test_features: TestFeatures, test_labels: TestLabels
) -> float:
    """Fit a classifier of scikit-learn to the features of training digits; return its test accuracy.

    The accuracy is in [0, 1], or nan if features are not finite, as of a diverged run.
    """
    if not (features.isfinite().all() and test_features.isfinite().all()):
        return float("nan")
    probe = clone(model).fit(features.double().numpy(), labels.numpy())
    return float(probe.score(test_features.double().numpy(), test_labels.numpy()))


PROBES: dict[str, Callable[[Features, Labels, TestFeatures, TestLabels], float]] = {
    "nearest neighbours": partial(probe_accuracy, KNeighborsClassifier(NEIGHBOURS)),
    "linear": partial(
        probe_accuracy, make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000))
    ),
}
"""The 10 nearest neighbours, by Euclidean distance, measure whether the layer places digits of one class
near each other; logistic regression on standardised features, whether a class is linearly decodable."""


def embed(features: Features) -> Float[np.ndarray, "n 2"]:
    """Return a t-SNE map of the features (thesis, figure B.2); it is deterministic.

    t-SNE starts from the first two principal components. Neighbours on the map are neighbours in feature
    space; distances between groups, and their sizes, mean nothing. Points with equal features coincide:
    all of them, if the layer is dead. ``PERPLEXITY`` distinct points or fewer are too few for t-SNE, so
    their map is the two principal components. If features are not finite, the map is nan.
    """
    if not features.isfinite().all():
        return np.full((len(features), 2), np.nan)
    distinct, place = _distinct(features.double().numpy())
    centred = distinct - (distinct / len(distinct)).sum(0)
    size = np.abs(centred).max()
    # scikit-learn squares distances in float32, and crashes if they underflow or overflow.
    x = distinct if 1e-6 < size < 1e6 else centred / (size or 1.0)
    x = np.pad(x, ((0, 0), (0, max(0, 2 - x.shape[1]))))  # it needs two features
    if len(x) > PERPLEXITY:
        points = TSNE(perplexity=PERPLEXITY, init="pca", random_state=0).fit_transform(x)
    else:
        u, s, _ = np.linalg.svd(np.pad(x - x.mean(0), ((0, 1), (0, 0))), full_matrices=False)
        points = (u * s)[:-1, :2]
    return np.asarray(points[place], dtype=float)


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows by first occurrence, and the index of each row among them."""
    _, first, place = np.unique(x, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return x[first[order]], np.argsort(order)[place.reshape(-1)]


def is_one_place(points: Float[np.ndarray, "n 2"]) -> bool:
    """Return whether all points of a map coincide, as those of a dead layer do."""
    return bool(np.isfinite(points).all() and (points == points[0]).all())


def nearest_alike(points: Float[np.ndarray, "n 2"], labels: Int[np.ndarray, "n"]) -> float:
    """Return the share of a map's points whose nearest neighbour has the same label, in [0, 1].

    It is nan if the map is not finite or all points coincide.
    """
    if not np.isfinite(points).all() or is_one_place(points):
        return float("nan")
    nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)[:, 0]
    return float(np.mean(labels[nearest] == labels))


# ---- tables ----

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
    return plan_digest(spec)
