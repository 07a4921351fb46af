"""The book's experiments: the runs that each compares, how they are tuned, trained or solved."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from dfa_lib.experiments import repeats, run_all
from dfa_lib.experiments.statistics import with_outcomes
from dfa_lib.experiments.tuning import tune
from dfa_lib.feedback import FEEDBACK
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import Run

from .chapter import Settings
from .converged import FEATURES, SOLVED, converged_table

# Epochs of the long runs of figure 3.2, relative to the others: 50 instead of 20.
LONG = 2.5

REPRODUCED = (
    ("bp", "sgd"),
    ("bp", "adadelta"),
    ("ntk", "sgd"),
    ("glu", "sgd"),
    ("gaussian_features", "sgd"),
    ("relu_features", "sgd"),
    ("linear_features", "sgd"),
)
"""The methods of figure 2.1, with their optimizers."""


# MNIST takes about 25 core hours and is trained in parts. Seeds of the fine pass of tuning, by method,
# feedback, optimizer, number of digits and epochs; all others have had the coarse pass only.
FINE_ON_MNIST: dict[tuple[object, ...], int] = {
    ("bp", None, "sgd", 1, 20): 3,
    ("bp", None, "sgd", 3, 20): 3,
    ("dfa", "uniform", "sgd", 1, 20): 5,
    ("dfa", "uniform", "sgd", 3, 20): 5,
    ("dfa", "uniform", "sgd", 3, 50): 5,
    ("dfa", "uniform", "rmsprop", 3, 20): 5,
    ("bp", None, "adadelta", 3, 20): 3,
    ("dfa", "uniform", "adadelta", 3, 20): 5,
    ("dfa", "gaussian", "sgd", 3, 20): 5,
    ("dfa", "standard_gaussian", "sgd", 3, 20): 5,
}


def _not_on_mnist_yet(run: Run) -> bool:
    """Return whether a run has not been trained on MNIST yet; the MNIST edition leaves it out."""
    return run.method == "glu" or run.feedback == "sign" or (run.method == "bp" and run.epochs == 50)


STUDIES: dict[str, Callable[[Settings], list[Run]]] = {
    "sgd": lambda of: [of.run(method=m, k=k) for k in (1, 3) for m in ("bp", "dfa")],
    "random_matrices": lambda of: [of.run(method="dfa", feedback=kind, k=3) for kind in FEEDBACK],
    "adaptive_methods": lambda of: [
        of.run(method=m, optimizer=o, k=3) for o in OPTIMIZERS for m in ("bp", "dfa")
    ],
    "alignment": lambda of: [
        of.run(method=m, optimizer=o, k=3, epochs=round(LONG * of.epochs))
        for m, o in (("dfa", "sgd"), ("dfa", "rmsprop"), ("bp", "sgd"))
    ],
    "reproduction": lambda of: [
        of.run(method=m, optimizer=o, k=k) for k in (1, 3) for m, o in REPRODUCED
    ],
    "memorising": lambda of: [of.run(method=m, k=3) for m in ("bp", "dfa")],
}
"""The untuned runs of each experiment, by the name of its results file."""


class Study(NamedTuple):
    """An experiment with its tuned runs, the results of all repeats, and the scores of its rates."""

    name: str
    runs: list[Run]
    table: pd.DataFrame
    scores: pd.DataFrame


def tuned(experiment: str, settings: Settings) -> tuple[list[Run], pd.DataFrame]:
    """Return the runs of an experiment of ``STUDIES`` at tuned rates, and the rates' scores.

    Tuning runs in the results folder or in the stored results of the book are not trained again.
    """
    runs = STUDIES[experiment](settings)
    seeds = dict.fromkeys(runs, settings.tuning_seeds)
    if settings.profile == "mnist":
        runs = [run for run in runs if not _not_on_mnist_yet(run)]
        seeds = {
            r: FINE_ON_MNIST.get((r.method, r.feedback, r.optimizer, r.k, r.epochs), 0) for r in runs
        }
    at_tuned_rates: dict[Run, Run] = {}
    tables = []
    for number in dict.fromkeys(seeds.values()):
        part = [run for run in runs if seeds[run] == number]
        csv, kept = settings.csv("tuning"), settings.kept("tuning")
        chosen, scores = tune(part, seeds=number, results=csv, reuse=kept, jobs=settings.jobs)
        at_tuned_rates |= dict(zip(part, chosen, strict=True))
        tables.append(scores)
    return [at_tuned_rates[run] for run in runs], pd.concat(tables, ignore_index=True)


def study(experiment: str, settings: Settings) -> Study:
    """Tune the learning rates of an experiment of ``STUDIES``, and train its repeats."""
    runs, scores = tuned(experiment, settings)
    repeated = [
        each for run in runs for each in repeats([run], settings.seeds * _times(experiment, run))
    ]
    return Study(experiment, runs, _trained(experiment, repeated, settings), scores)


def _times(experiment: str, run: Run) -> int:
    """Return by what the number of seeds is multiplied: on one MNIST digit, mistakes are few."""
    return 2 if (experiment, run.dataset, run.k) == ("sgd", "mnist", 1) else 1


def _trained(experiment: str, runs: Sequence[Run], settings: Settings) -> pd.DataFrame:
    """Train runs and return their results with a column ``outcome``."""
    csv, finished = settings.csv(experiment), settings.finished()
    return with_outcomes(run_all(runs, results=csv, reuse=finished, jobs=settings.jobs))


# ---- the clusters ----

POINTS, INPUTS = 256, 15
"""n and d at which the series over n and over d cross."""

CLUSTERS = {
    "clusters_samples": (("bp", "sgd"), ("relu_features", "sgd")),
    "clusters_dimensions": (("bp", "sgd"), ("relu_features", "sgd")),
    "clusters_optimizers": (
        ("bp", "sgd"),
        ("dfa", "sgd"),
        ("bp", "rmsprop"),
        ("dfa", "rmsprop"),
        ("relu_features", "sgd"),
    ),
}
"""The methods of each experiment on the clusters, with their optimizers."""


class ClusterSizes(NamedTuple):
    """Training points n, inputs d, passes over the points per epoch, and test points."""

    ns: tuple[int, ...]
    ds: tuple[int, ...]
    passes: int
    test_samples: int

    @property
    def places(self) -> list[tuple[int, int]]:
        """Pairs of n and d: every n at ``INPUTS``, every d at ``POINTS``."""
        return list(dict.fromkeys([(n, INPUTS) for n in self.ns] + [(POINTS, d) for d in self.ds]))


def cluster_sizes(settings: Settings) -> ClusterSizes:
    """Return the sizes of an edition; an MNIST run makes 500 steps, as in the thesis."""
    if settings.profile == "mnist":
        return ClusterSizes((32, 64, 128, POINTS, 512), (5, 10, INPUTS, 20, 25), 25, 4_000)
    return ClusterSizes((32, 64, 128, POINTS), (5, INPUTS, 25), 10, 2_000)


def cluster_study(experiment: str, settings: Settings) -> Study:
    """Tune the methods of ``CLUSTERS`` at the crossing, and train them over n or over d."""
    sizes = cluster_sizes(settings)
    crossing: dict[str, Any] = {
        **{"dataset": "clusters", "samples": POINTS, "dimensions": INPUTS, "batch_size": POINTS},
        **{"test_samples": sizes.test_samples, "passes": sizes.passes},
    }
    rates = {"sgd": 0.5, "rmsprop": 0.02}
    starts = [
        settings.run(method=method, optimizer=optimizer, learning_rate=rates[optimizer], **crossing)
        for method, optimizer in CLUSTERS[experiment]
    ]
    runs, scores = tune(
        starts, seeds=2 * settings.seeds, results=settings.csv("tuning"), jobs=settings.jobs
    )
    if experiment == "clusters_samples":
        varied = [replace(run, samples=n, batch_size=n) for n in sizes.ns for run in runs]
    else:
        varied = [replace(run, dimensions=d) for d in sizes.ds for run in runs]
    table = _trained(experiment, repeats(varied, settings.labellings), settings)
    return Study(experiment, runs, table, scores)


def solved_clusters(settings: Settings, run: Run) -> Study:
    """Solve the output layer and the NTK at every n and d, for a run of a cluster study."""
    cases = [
        (replace(run, samples=n, dimensions=d), method)
        for n, d in cluster_sizes(settings).places
        for method in ("relu_features", "ntk")
    ]
    table = converged_table(
        cases, settings.labellings, results=settings.csv("clusters_converged"), jobs=settings.jobs
    )
    return Study("clusters_converged", [], table, pd.DataFrame())


def solved_parity(settings: Settings) -> Study:
    """Solve the lazy methods on samples of several sizes, for one, two and three digits."""
    largest = settings.stacks[-1]  # random features only: a kernel of this size takes long
    judged_on = min(4_000, settings.run(method="bp").test_samples or 0)
    cases = [
        (settings.run(method="bp", k=k, samples=n, test_samples=judged_on), method)
        for k in (1, 2, 3)
        for n in settings.stacks
        for method in SOLVED
        if n < largest or method in FEATURES
    ]
    table = converged_table(
        cases, min(settings.seeds, 5), results=settings.csv("parity_converged"), jobs=settings.jobs
    )
    return Study("parity_converged", [], table, pd.DataFrame())
