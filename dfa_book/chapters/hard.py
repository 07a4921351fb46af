"""What the chapter on the hardness of parities shows: steps to learn one, by several methods."""

from dataclasses import replace
from itertools import product
from typing import NamedTuple

import pandas as pd

from dfa_lib.experiments import run_all
from dfa_lib.experiments.statistics import with_outcomes

from ..chapter import Settings
from ..hard import COLUMNS, SMALL_RATE, Case, bits_table, fastest, with_steps

METHODS = ("bp", "dfa")
BITS = 20
RATES = {
    "bits": {"sgd": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), "adam": (0.003, 0.01, 0.03, 0.1, 0.3)},
    "digits": {"sgd": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), "rmsprop": (0.0005, 0.001, 0.002, 0.005)},
}
# The rate of fixed features, whose loss is convex, is not tuned.
FEATURES = ("relu_features", "sgd", 1.0)
FIRST_TUNING_SEED = 1_000
KEY = ["k", "method", "optimizer"]


class Size(NamedTuple):
    """Size of the experiments of a profile."""

    bits: tuple[int, ...]  #: numbers k of relevant bits
    sizes: tuple[int, ...]  #: numbers n of bits, at the small rate
    steps: int  #: at most, on bits
    seeds: int
    digits: dict[int, int]  #: training stacks an epoch for each number of digits
    epochs: int
    digit_seeds: int
    tuning_seeds: int
    every: int = 1  #: which rates of the grids are tried


PUBLISHED = Size(
    (1, 2, 3, 4), (10, 20, 40), 8_192, 20, {1: 128, 2: 1_280, 3: 12_800}, 40, 10, tuning_seeds=3
)
SIZES = {
    "digits": PUBLISHED,
    "mnist": PUBLISHED,
    "class": Size((1, 2, 3), (10, 20), 1_024, 3, {1: 128, 2: 1_280}, 40, 3, 1, every=2),
    "smoke": Size((1, 2), (8, 12), 32, 2, {1: 128, 2: 256}, 2, 2, 1, every=3),
}
"""Sizes by profile. The runs of the MNIST edition are on bits and on the bundled digits, too."""


class Studied(NamedTuple):
    """Runs on bits and on digits, with the column ``step``, and how large they are."""

    bits: pd.DataFrame
    digits: pd.DataFrame
    size: Size


def studied(settings: Settings) -> Studied:
    """Tune and train the runs on bits and on digits, or read them from this edition's results.

    Results that have more seeds than asked for are shown with all of them.
    """
    size = SIZES[settings.profile]
    return Studied(_bits(settings, size), _digits(settings, size), size)


def _tuning_seeds(size: Size) -> range:
    return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + size.tuning_seeds)


def _bits(settings: Settings, size: Size) -> pd.DataFrame:
    cases = [
        Case(k, BITS, method, optimizer, rate)
        for k, method, (optimizer, rates) in product(size.bits, METHODS, RATES["bits"].items())
        for rate in rates[:: size.every]
    ]
    tried = bits_table(
        cases,
        _tuning_seeds(size),
        size.steps,
        results=settings.csv("hard_tuning"),
        jobs=settings.jobs,
    )
    rates = fastest(tried, KEY).to_dict()
    tuned = [each for each in cases if rates[each.k, each.method, each.optimizer] == each.learning_rate]
    fixed = [Case(k, BITS, *FEATURES) for k in size.bits]
    small = [
        Case(k, n, m, "sgd", SMALL_RATE) for k in size.bits[1:] for n in size.sizes for m in METHODS
    ]
    seeds = range(settings.stored_seeds("hard", COLUMNS, size.seeds))
    return bits_table(
        [*tuned, *fixed, *small], seeds, size.steps, results=settings.csv("hard"), jobs=settings.jobs
    )


def _digits(settings: Settings, size: Size) -> pd.DataFrame:
    scale = settings.on_digits
    runs = [
        scale.run(
            k=k, samples=samples, test_samples=1_000, epochs=size.epochs,
            method=method, optimizer=optimizer, learning_rate=rate,
        )
        for (k, samples), method, (optimizer, rates) in product(
            size.digits.items(), METHODS, RATES["digits"].items()
        )
        for rate in rates[:: size.every]
    ]  # fmt: skip
    trials = [
        replace(run, seed=seed, evaluate_on="validation") for run in runs for seed in _tuning_seeds(size)
    ]
    tried = run_all(trials, settings.csv("hard_digits_tuning"), jobs=settings.jobs)
    rates = fastest(with_steps(tried), KEY).to_dict()
    chosen = [run for run in runs if rates[run.k, run.method, run.optimizer] == run.learning_rate]
    repeats = [replace(run, seed=seed) for run in chosen for seed in range(size.digit_seeds)]
    return with_steps(with_outcomes(run_all(repeats, settings.csv("hard_digits"), jobs=settings.jobs)))
