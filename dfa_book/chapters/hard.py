"""What the chapter on the hardness of parities shows: steps to learn one, by several methods."""

from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from dfa_lib.experiments import run_all
from dfa_lib.experiments.names import METHOD_NAMES, OPTIMIZER_NAMES
from dfa_lib.experiments.results import COLUMNS as RESULT_COLUMNS
from dfa_lib.experiments.statistics import interval_of, with_outcomes
from dfa_lib.experiments.tuning import FIRST_SEED
from dfa_lib.training import Run

from ..chapter import Settings
from ..claims.judge import Evidence
from ..claims.measures import (
    hidden_progress,
    size_slope,
    small_rate,
    steps_at_small_rate,
    steps_on_bits,
)
from ..claims.queries import Sample
from ..hard import (
    BATCH,
    BITS,
    COLUMNS,
    GOAL,
    HIDDEN,
    SMALL_RATE,
    UNMOVED,
    BitsCase,
    bits_table,
    fastest,
    steps_needed,
    with_steps,
)
from ..hard_plots import progress_curves, step_curves
from ..plots import label
from ..words import enumerated, listed, number, percent, plural, span, table

METHODS = ("bp", "dfa")
RATES = {
    "bits": {"sgd": (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), "adam": (0.003, 0.01, 0.03, 0.1, 0.3)},
    "digits": {"sgd": (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), "rmsprop": (0.0005, 0.001, 0.002, 0.005)},
}
# The rate of fixed features, whose loss is convex, is not tuned.
FEATURES = ("relu_features", "sgd", 1.0)
KEY = ["k", "method", "optimizer"]


class Size(NamedTuple):
    """Size of the experiments of a profile."""

    bits: tuple[int, ...]  #: numbers k of relevant bits
    sizes: tuple[int, ...]  #: numbers n of bits, at the small rate
    steps: int  #: at most, on bits
    digits: dict[int, int]  #: training stacks an epoch for each number of digits
    epochs: int = 40
    tuning_seeds: int = 1
    every: int = 1  #: which rates of the grids are tried


PUBLISHED = Size((1, 2, 3, 4), (10, 20, 40), 8_192, {1: 128, 2: 1_280, 3: 12_800}, tuning_seeds=3)
SIZES = {
    "digits": PUBLISHED,
    "mnist": PUBLISHED,
    "class": Size((1, 2, 3), (10, 20), 1_024, {1: 128, 2: 1_280}, every=2),
    "smoke": Size((1, 2, 3), (12, 20), 16, {1: 128, 2: 256}, epochs=2, every=3),
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
    trials = range(FIRST_SEED, FIRST_SEED + size.tuning_seeds)
    return Studied(_bits(settings, size, trials), _digits(settings, size, trials), size)


def _bits(settings: Settings, size: Size, trials: range) -> pd.DataFrame:
    def trained(name: str, cases: list[BitsCase], seeds: range) -> pd.DataFrame:
        return bits_table(cases, seeds, size.steps, results=settings.csv(name), jobs=settings.jobs)

    cases = [
        BitsCase(k, BITS, method, optimizer, rate)
        for k, method, (optimizer, rates) in product(size.bits, METHODS, RATES["bits"].items())
        for rate in rates[:: size.every]
    ]
    rates = fastest(trained("hard_tuning", cases, trials), KEY).to_dict()
    tuned = [each for each in cases if rates[each.k, each.method, each.optimizer] == each.learning_rate]
    fixed = [BitsCase(k, BITS, *FEATURES) for k in size.bits]
    small = [
        BitsCase(k, n, m, "sgd", SMALL_RATE) for k in size.bits[1:] for n in size.sizes for m in METHODS
    ]
    seeds = range(settings.stored_seeds("hard", COLUMNS, settings.seeds))
    return trained("hard", [*tuned, *fixed, *small], seeds)


def _digits(settings: Settings, size: Size, trials: range) -> pd.DataFrame:
    def trained(name: str, runs: list[Run], seeds: range, judged: str) -> pd.DataFrame:
        each = [replace(run, seed=seed, evaluate_on=judged) for run in runs for seed in seeds]
        return with_steps(run_all(each, settings.csv(name), jobs=settings.jobs))

    runs = [
        settings.on_digits.run(
            k=k, samples=samples, test_samples=1_000, epochs=size.epochs,
            method=method, optimizer=optimizer, learning_rate=rate,
        )
        for k, samples in size.digits.items()
        for method, (optimizer, rates) in product(METHODS, RATES["digits"].items())
        for rate in rates[:: size.every]
    ]  # fmt: skip
    rates = fastest(trained("hard_digits_tuning", runs, trials, "validation"), KEY).to_dict()
    chosen = [run for run in runs if rates[run.k, run.method, run.optimizer] == run.learning_rate]
    seeds = range(settings.stored_seeds("hard_digits", RESULT_COLUMNS, settings.seeds))
    return with_outcomes(trained("hard_digits", chosen, seeds, "test"))


def _evidence(shown: Studied) -> Evidence:
    return Evidence("digits", None, tables={"hard": shown.bits, "hard_digits": shown.digits})


def _times(sample: Sample) -> str:
    """Write a ratio of steps with the interval of its geometric mean."""
    middle, low, high, n = sample.interval("ratio")
    return number(middle) + (f" ({span(low, high)})" if n > 1 else "")


def _lags(shown: Studied) -> str:
    """Say how many times the steps of BP each optimizer's DFA needs."""
    evidence, each = _evidence(shown), []
    for o in RATES["bits"]:
        ratios = [steps_on_bits(k, "dfa", o) / steps_on_bits(k, "bp", o) for k in shown.size.bits[1:]]
        means = [number(ratio(evidence).interval("ratio").mean, ".1f") for ratio in ratios]
        each.append(f"with {OPTIMIZER_NAMES[o]} {enumerated(means)} times")
    return (
        f"The parity of {_parts(shown)} of {BITS} bits takes DFA {' and '.join(each)} the steps of BP, "
        "each at its tuned rate."
    )


def _parts(shown: Studied) -> str:
    return enumerated([str(k) for k in shown.size.bits[1:]])


def _powers(shown: Studied) -> str:
    """Say how steps grow with n, and with the last bit, at the small rate."""
    some, evidence = shown.size.bits[1:], _evidence(shown)
    before, last = shown.size.bits[-2:]
    powers, ratios = {}, {}
    for method in METHODS:
        slopes = [number(size_slope(k, method)(evidence).mean, ".1f") for k in some]
        powers[METHOD_NAMES[method]] = enumerated(slopes)
        ratio = steps_at_small_rate(last, method) / steps_at_small_rate(before, method)
        ratios[METHOD_NAMES[method]] = _times(ratio(evidence))
    return (
        f"At the same small rate, steps for {last} bits over steps for {before} are {listed(ratios)}. "
        f"Steps grow as powers of the number n of bits; the exponents for k = {_parts(shown)} are "
        f"{listed(powers)}."
    )


def finding(shown: Studied) -> str:
    """Say in short how the effort grows."""
    return f"**What came out.** {_lags(shown)} {_powers(shown)}"


def effort(shown: Studied) -> dict[str, Any]:
    """Return the figure of steps against k, on bits and on digits, at tuned rates."""
    bits = shown.bits[shown.bits["learning_rate"] != SMALL_RATE]
    tables = {"bits": bits, "digits": shown.digits}
    runs = {title: steps_needed(of, [*KEY, "seed"]).reset_index() for title, of in tables.items()}
    lost = sum(int((~of["reached"]).sum()) for of in runs.values())
    return {
        "figure": step_curves(runs, "k", "parts k of the parity"),
        "results": ("hard", "hard_tuning", "hard_digits", "hard_digits_tuning"),
        "caption": (
            f"{_lags(shown)} Steps until the test accuracy is first {percent(GOAL, '.0f')}, against the "
            f"number of parts of the parity: (a) k among {BITS} bits, {HIDDEN} hidden units, batches of "
            f"{BATCH}, {plural(bits['seed'].nunique(), 'seed')}; (b) k bundled digits, the book's "
            f"network, {plural(shown.digits['seed'].nunique(), 'seed')}. Rates are tuned on other "
            "seeds, but for fixed features. Lines are geometric means, bands their 95 % intervals. "
            f"Circles: some runs did not get there ({lost} in all), and count with the steps that they "
            "were given."
        ),
        "alt": f"Two panels of steps against k, logarithmic, for bits and digits. {_lags(shown)}",
    }


def growth(shown: Studied) -> dict[str, Any]:
    """Return the figure of steps against the number of bits, at the small rate."""
    small = shown.bits[shown.bits["learning_rate"] == SMALL_RATE]
    needed = steps_needed(small, [*KEY, "dimensions", "seed"]).reset_index()
    panels = {f"k = {k}": rows for k, rows in needed.groupby("k")}
    said = _powers(shown)
    return {
        "figure": step_curves(panels, "dimensions", "bits n", log=True),
        "results": ("hard",),
        "caption": (
            f"{said} Steps until the test accuracy is "
            f"first {percent(GOAL, '.0f')} against the number n of bits, for SGD at the rate "
            f"{SMALL_RATE:g}, {plural(small['seed'].nunique(), 'seed')}, {HIDDEN} hidden units, batches "
            f"of {BATCH}. Lines are geometric means, bands their 95 % intervals."
        ),
        "alt": f"Steps of BP and DFA against n on logarithmic axes, a panel for each k. {said}",
    }


def progress(shown: Studied) -> dict[str, Any]:
    """Return the figure of accuracy and of the first layer's movement along training."""
    k, evidence = shown.size.bits[-1], _evidence(shown)
    each = {METHOD_NAMES[m]: _times(hidden_progress(k, m)(evidence)) for m in METHODS}
    said = (
        f"Before the accuracy is {percent(UNMOVED, '.0f')}, relevant inputs' weights have moved by "
        f"these multiples of the others' movement: {listed(each)}."
    )
    rows = small_rate(evidence, k=k, dimensions=BITS)
    return {
        "figure": progress_curves(rows, (0.5, 1.0)),
        "results": ("hard",),
        "caption": (
            f"{said} (a) Test accuracy and (b) root mean square movement of first-layer weights of "
            f"the {k} relevant inputs over that of the other {BITS - k}, for SGD at the rate "
            f"{SMALL_RATE:g}. Lines are means over {plural(rows['seed'].nunique(), 'seed')}, bands 95 % "
            "Student-t intervals; a run that has ended keeps its last value. Dotted: chance, and equal "
            "movement."
        ),
        "alt": f"Two panels against the step: accuracy, and movement of relevant weights. {said}",
    }


def rates(shown: Studied) -> str:
    """Return the table of steps and tuned rates, and of runs that did not reach the goal."""
    rows: dict[str, list[str]] = {}
    for name, of in (("bits", shown.bits), ("digits", shown.digits)):
        tuned = of[of["learning_rate"] != SMALL_RATE]
        needed = steps_needed(tuned, [*KEY, "learning_rate", "seed"])
        for (_, method, optimizer, rate), runs in needed.groupby([*KEY, "learning_rate"]):
            lost = int((~runs["reached"]).sum())
            note = f", {lost} of {len(runs)} not reached" if lost else ""
            cell = f"{interval_of(runs['steps'], 'ratio').mean:,.0f} (at {rate:g}{note})"
            rows.setdefault(f"{name}, {label(str(method), str(optimizer))}", []).append(cell)
    heads = [f"k = {k}" for k in shown.size.bits]
    full = [[name, *cells, *[""] * (len(heads) - len(cells))] for name, cells in rows.items()]
    return table(["parities and method", *heads], full)
