"""What the chapter on lazy and rich training shows."""

from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import pandas as pd

from dfa_lib.experiments.names import METHOD_NAMES, OPTIMIZER_NAMES
from dfa_lib.experiments.outcomes import UNSTABLE
from dfa_lib.experiments.tuning import FIRST_SEED, tune
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.training import Run

from ..captions import INTERVALS
from ..chapter import Settings
from ..claims.queries import Sample, sample, select
from ..depth_plots import scale_curves
from ..plots import final_accuracies
from ..rich import COLUMNS, LINEAR, PLAIN, AtScales, at_best_rates, rich_table
from ..words import enumerated, listed, mean, means, number, percent, plural, table

METHODS = ("bp", "dfa")
LAZY = ("ntk", "relu_features")
FULL = ("0.25", "1", "4", "16", "64", "256")
SCALES = {"digits": FULL, "mnist": FULL, "class": ("1", "16", "256"), "smoke": ("1", "256")}
"""Values of α by profile. The runs of the MNIST edition are on the bundled digits, too."""
LAZIEST = FULL[-1]
RATES = (0.02, 0.05, 0.1, 0.14, 0.2, 0.3, 0.5, 1.0, 2.0)
"""Among these a rate is chosen: the grid of the rules' commit."""
HIGHER = (5.0, 10.0)
"""Tried, too, but not chosen: they show that a high rate ends laziness at any α."""
FEW_RATES = (0.02, 0.1, 0.5)
TUNING_SEEDS = 3
K, K_OF_OPTIMIZERS = 2, 3
MEASURES = {
    "moved_1": "distance moved by W₁, relative",
    "kernel": "change of the tangent kernel",
    "first_layer": "first layer's share in the rule's kernel",
}
SHOWN = ("kernel", "moved_1", "moved_2", "gates", "first_layer")


class Trained(NamedTuple):
    """The table of ``rich_table``, that of its tuning, and a run of both."""

    table: pd.DataFrame
    tuning: pd.DataFrame
    like: Run


def trained(settings: Settings) -> Trained:
    """Choose rates and train the repeats, or read them from this edition's results.

    Results that have more seeds than asked for are shown with all of them.
    """
    scale, jobs = settings.on_digits, settings.jobs
    full, alphas = SCALES[settings.profile] == FULL, (*SCALES[settings.profile], LINEAR)
    rates, optimizers = ((*RATES, *HIGHER), OPTIMIZERS) if full else (FEW_RATES, ("sgd", "rmsprop"))
    like = scale.run(method="bp", k=K, evaluate_on="validation")
    trials = [
        AtScales(replace(like, method=method, learning_rate=rate), scales)
        for methods, scales in ((METHODS, alphas), (LAZY, (PLAIN,)))
        for method in methods
        for rate in rates
    ]
    chosen = range(FIRST_SEED, FIRST_SEED + (TUNING_SEEDS if full else 1))
    tuning = rich_table(trials, chosen, results=settings.csv("rich_tuning"), jobs=jobs)
    among = tuning[tuning["learning_rate"] <= RATES[-1]]
    cases = at_best_rates(among, replace(like, evaluate_on="test"))
    own, _ = tune(
        [scale.run(method=m, optimizer=of, k=K_OF_OPTIMIZERS) for m in METHODS for of in optimizers],
        seeds=scale.tuning_seeds,
        results=settings.csv("tuning") if scale is settings else None,
        reuse=scale.kept("tuning"),
        jobs=jobs,
    )
    seeds = range(settings.stored_seeds("rich", COLUMNS, settings.seeds))
    cases += [AtScales(run) for run in own]
    return Trained(rich_table(cases, seeds, results=settings.csv("rich"), jobs=jobs), tuning, like)


def _end(
    shown: Trained, method: str, scale: str, metric: str = "test_accuracy", of: str = "sgd"
) -> Sample:
    """Return a metric at the last epoch of the runs by an optimizer."""
    fields = {"method": method, "scale": scale, "optimizer": of, "epoch": shown.like.epochs}
    return sample(select(shown.table, **fields), metric)


def _both(shown: Trained, scale: str, metric: str, of: str = "sgd") -> str:
    ends = [_end(shown, method, scale, metric, of).sound.mean for method in METHODS]
    return " and ".join(number(end) if not abs(end) < 0.005 else "under 0.01" for end in ends)


def _reached(shown: Trained) -> str:
    """Say what is reached at the largest α, by random features, and at α = 1."""
    lazy, rich = ({METHOD_NAMES[m]: _end(shown, m, scale) for m in METHODS} for scale in (LAZIEST, "1"))
    lazy["random ReLU features"] = _end(shown, "relu_features", PLAIN)
    return f"Accuracies at α = {LAZIEST}: {means(lazy)}. At α = 1: {means(rich)}."


def _changes(shown: Trained) -> str:
    sgd, rmsprop = (_both(shown, PLAIN, "kernel", of) for of in ("sgd", "rmsprop"))
    return f"BP and DFA change the tangent kernel by {sgd} with SGD, and by {rmsprop} with RMSProp"


def _setting(shown: Trained, digits: str) -> str:
    run, seeds = shown.like, shown.table["seed"].nunique()
    return (
        f"the parity of {digits} bundled digits, {run.samples:,} fresh training stacks an epoch, "
        f"{run.hidden} hidden units, {plural(run.epochs, 'epoch')}, {plural(seeds, 'seed')}. Lines and "
        f"upright strokes are means over stable seeds, bands and bars their {INTERVALS}, dots seeds, "
        "crosses unstable ones"
    )


def finding(shown: Trained) -> str:
    """Say in short what lazy and rich training reach."""
    changes = f"In the book's own networks, {_changes(shown)}, where 0 is lazy."
    return f"**What came out.** {_reached(shown)} {changes}"


def _against_alpha(shown: Trained) -> pd.DataFrame:
    """Return the ends of the runs with a scale; the linear model stands beyond the largest α."""
    rows = select(shown.table, epoch=shown.like.epochs)
    rows = rows[rows["scale"] != PLAIN]
    alpha = pd.to_numeric(rows["scale"], errors="coerce")
    return rows.assign(alpha=alpha.fillna(4 * alpha.max()))


def accuracies(shown: Trained) -> dict[str, Any]:
    """Return the figure of accuracy against α."""
    flat = {method: _end(shown, method, PLAIN).interval() for method in LAZY}
    said = listed({METHOD_NAMES[method]: percent(ends.mean) for method, ends in flat.items()})
    metric = {"test_accuracy": "test accuracy, last epoch"}
    ends = _against_alpha(shown)
    lost = select(ends, method="dfa").groupby("alpha")["outcome"].agg(lambda of: (of == UNSTABLE).sum())
    return {
        "figure": scale_curves(ends, metric, flat),
        "results": ("rich", "rich_tuning"),
        "caption": (
            f"{_reached(shown)} Test accuracy at the last epoch against the scale α of the output, and "
            f"of the linear model, for {_setting(shown, 'two')}. Dashed lines are methods of chapter 2, "
            f"which have no α ({said}); the dotted line is chance. Each rule has the rate that was best "
            "at its α on validation digits. Unstable seeds of DFA, from left to right: "
            f"{enumerated([str(count) for count in lost])}."
        ),
        "alt": f"Test accuracy of BP and DFA against α on a logarithmic axis. {_reached(shown)}",
    }


def higher_rates(shown: Trained) -> str:
    """Say what rates beyond those that are chosen from do to BP; nothing where none was tried."""
    last = select(shown.tuning, method="bp", epoch=shown.like.epochs)
    means = last.groupby(["scale", "learning_rate"])["test_accuracy"].mean().unstack("scale")
    if means.index.max() < HIGHER[-1]:
        return ""
    grid, high = means.loc[: RATES[-1]].max(), means.loc[HIGHER[-1] :].max()
    said = {f"α = {of}": f"{percent(grid[of])} and {percent(high[of])}" for of in ("16", "64", LAZIEST)}
    return (
        f"On validation digits, BP gets at its best rate up to {RATES[-1]:g}, and at the rate "
        f"{HIGHER[-1]:g}: with {listed(said)}; the linear model {percent(grid[LINEAR])} and "
        f"{percent(high[LINEAR])}."
    )


def kernels(shown: Trained) -> dict[str, Any]:
    """Return the figure of movement, kernel change and the first layer's share against α."""
    rows, ends = _against_alpha(shown), ("1", LAZIEST)
    said = listed({f"{MEASURES[of]},": "; ".join(_both(shown, a, of) for a in ends) for of in MEASURES})
    shares = [percent(_end(shown, "dfa", alpha, "first_layer").sound.mean) for alpha in ends]
    return {
        "figure": scale_curves(rows[rows["scale"] != LINEAR], MEASURES),
        "results": ("rich", "rich_tuning"),
        "caption": (
            f"In the kernel by which DFA moves the logit, the first layer has a share of {shares[0]} at "
            f"α = 1 and of {shares[1]} at α = {LAZIEST}. (a) How far W₁ moved, in lengths of its start; "
            "(b) 1 minus the centred alignment of the tangent kernels before and after training; (c) "
            "the first layer's share in the trace of the rule's own kernel. BP and DFA at α = 1, then "
            f"at α = {LAZIEST}: {said}. For {_setting(shown, 'two')}."
        ),
        "alt": f"Three panels against α. BP and DFA at α = 1, then at α = {LAZIEST}: {said}.",
    }


def _own(shown: Trained) -> pd.DataFrame:
    """Return the rows of the book's own networks."""
    return select(shown.table, scale=PLAIN, k=K_OF_OPTIMIZERS).assign(epochs=shown.like.epochs)


def optimizers(shown: Trained) -> dict[str, Any]:
    """Return the figure of the kernel's change by each optimizer."""
    rows = _own(shown)
    changes = {of: _both(shown, PLAIN, "kernel", of) for of in rows["optimizer"].unique()}
    said = listed({f"{OPTIMIZER_NAMES[of]}:": change for of, change in changes.items()})
    return {
        "figure": final_accuracies(rows, by="optimizer", metric="kernel"),
        "results": ("rich",),  # the MNIST edition has other tuning runs
        "caption": (
            f"{_changes(shown)}. By optimizer: {said}. 1 minus the centred alignment of the kernels "
            f"before and after training on {_setting(shown, 'three')}. Rates are those that "
            "chapter 3 chose on the bundled digits."
        ),
        "alt": f"A row for each optimizer, change of the kernel by BP and by DFA. {said}.",
    }


def optimizer_table(shown: Trained) -> str:
    """Return the table of what the book's own networks did, by optimizer."""
    own, rows = _own(shown), []
    for of, method in product(own["optimizer"].unique(), METHODS):
        rate = select(own, optimizer=of, method=method)["learning_rate"].iloc[0]
        ends = {name: _end(shown, method, PLAIN, name, of).sound.mean for name in SHOWN}
        moved = [number(ends[name]) for name in SHOWN[:3]]
        shares = [percent(ends[name], ".0f") for name in SHOWN[3:]]
        reached = mean(_end(shown, method, PLAIN, of=of))
        name = f"{METHOD_NAMES[method]}, {OPTIMIZER_NAMES[of]}"
        rows.append([name, reached, *moved, *shares, f"{rate:g}"])
    heads = ["run", "accuracy", "kernel", "W₁", "W₂", "gates flipped", "share of layer 1", "rate"]
    return table(heads, rows)
