"""What the chapter on depth shows: what BP, FA and DFA make of more hidden layers."""

from typing import Any, NamedTuple

import pandas as pd

from dfa_lib.experiments.names import METHOD_NAMES
from dfa_lib.experiments.tuning import tune
from dfa_lib.training import Run

from ..captions import INTERVALS
from ..chapter import Settings
from ..claims.queries import Sample, sample, select
from ..depth import COLUMNS, HELD_LAYERS, HELD_NAMES, Case, layers_table, with_outcome
from ..depth_plots import depth_curves, layer_curves
from ..plots import final_accuracies
from ..words import enumerated, gap, listed, mean, means, number, percent, plural, table

DEPTHS = {"digits": (1, 2, 4), "mnist": (1, 2, 4), "class": (1, 2), "smoke": (1, 2)}
"""Numbers of hidden layers by profile. The runs of the MNIST edition are on the bundled digits, too."""
METHODS = ("bp", "fa", "dfa")
# At each rate, for BP too: deep networks take long.
TUNING_SEEDS = 5


class Studied(NamedTuple):
    """A table as from ``layers_table`` with outcomes, scores of the rates, a run of one hidden layer."""

    table: pd.DataFrame
    scores: pd.DataFrame
    like: Run


def studied(settings: Settings) -> Studied:
    """Tune each method at each depth and train the repeats, or read them from this edition's results.

    Results that have more seeds than asked for are shown with all of them.
    """
    scale = settings.on_digits
    like = scale.run(method="bp", optimizer="rmsprop", k=3)
    runs = [
        scale.run(method=method, optimizer="rmsprop", k=3, hidden=like.hidden_widths * depth)
        for depth in DEPTHS[settings.profile]
        for method in METHODS
        if depth > 1 or method != "fa"  # with one hidden layer, FA is DFA
    ]
    chosen, scores = tune(
        runs,
        seeds=scale.tuning_seeds or TUNING_SEEDS,
        results=settings.csv("depth_tuning"),
        reuse=scale.kept("depth_tuning"),
        jobs=settings.jobs,
    )
    cases = [
        Case(run, tuple(HELD_LAYERS))
        if len(run.hidden_widths) == 2 and run.method != "fa"
        else Case(run)
        for run in chosen
    ]
    seeds = settings.stored_seeds("depth", COLUMNS, settings.seeds)
    table = layers_table(cases, seeds, results=settings.csv("depth"), jobs=settings.jobs)
    return Studied(with_outcome(table), scores, like)


def _last(shown: Studied, **fields: object) -> pd.DataFrame:
    """Return the last epoch of the runs with these fields, a row a run, with its outcome."""
    rows = select(shown.table, layer=1, **fields)
    last: pd.DataFrame = rows[rows["epoch"] == rows["epoch"].max()]
    return last


def _ends(shown: Studied, method: str, layers: int, held: str = "none") -> Sample:
    return sample(_last(shown, method=method, layers=layers, held=held), "test_accuracy")


def _compared(shown: Studied) -> pd.DataFrame:
    """Return the last epoch of the runs in which all layers learn; FA's with one layer are DFA's."""
    last = _last(shown, held="none")
    same = select(last, method="dfa", layers=1).assign(method="fa")
    return pd.concat([last, same]).sort_values(["method", "layers", "seed"], kind="stable")


def _setting(shown: Studied) -> str:
    run, seeds = shown.like, shown.table["seed"].nunique()
    return (
        f"the parity of three bundled digits, {run.samples:,} fresh training stacks an epoch, "
        f"{run.hidden} units in each hidden layer, RMSProp, {plural(run.epochs, 'epoch')}, "
        f"{plural(seeds, 'seed')}"
    )


def finding(shown: Studied) -> str:
    """Say in short what a second hidden layer brings each rule."""
    reached = {METHOD_NAMES[method]: _ends(shown, method, 2) for method in METHODS}
    return (
        f"**What came out.** {_gains(shown)} With two hidden layers, the test accuracies are "
        f"{means(reached)}."
    )


def _gains(shown: Studied) -> str:
    one = {"bp": _ends(shown, "bp", 1), "fa": _ends(shown, "dfa", 1), "dfa": _ends(shown, "dfa", 1)}
    gains = [f"{gap(_ends(shown, m, 2) - one[m])} for {METHOD_NAMES[m]}" for m in METHODS]
    return f"A second hidden layer changes the accuracy by {enumerated(gains)}, in points."


def accuracies(shown: Studied) -> dict[str, Any]:
    """Return the figure of accuracy against depth."""
    last = _compared(shown)
    ends = [1, int(last["layers"].max())]

    def reached(method: str) -> str:
        each = [sample(select(last, method=method, layers=n), "test_accuracy") for n in ends]
        return " and ".join(percent(one.mean) for one in each)

    said = listed({f"{METHOD_NAMES[method]}:": reached(method) for method in METHODS})
    return {
        "figure": depth_curves(last),
        "results": ("depth", "depth_tuning"),
        "caption": (
            f"{_gains(shown)} With one hidden layer and with {ends[1]}: {said}. Test accuracy at the "
            f"last epoch against the number of hidden layers, for {_setting(shown)}. Lines are means "
            f"over seeds, bands their {INTERVALS}, dots seeds; the dotted line is chance. Each method "
            "has the rate that was best at its depth on validation digits. With one hidden layer, FA is "
            "DFA."
        ),
        "alt": f"Test accuracy of BP, FA and DFA against 1 to {ends[1]} hidden layers. {said}.",
    }


def accuracy_table(shown: Studied) -> str:
    """Return the table of accuracies and rates by depth."""
    chosen = shown.table.drop_duplicates(["method", "layers"]).set_index(["method", "layers"])
    rows = []
    for layers in sorted(set(shown.table["layers"].tolist())):
        for method in METHODS:
            if (method, layers) in chosen.index:
                reached = _ends(shown, method, layers)
                rate = chosen.loc[(method, layers), "learning_rate"]
                accuracy = mean(reached, interval=True)
                rows.append([METHOD_NAMES[method], str(layers), accuracy, f"{rate:g}"])
    return table(["method", "hidden layers", "accuracy", "rate"], rows)


def layers(shown: Studied) -> dict[str, Any]:
    """Return the figure of each layer's agreement with BP along training."""
    deepest = int(shown.table["layers"].max())
    rows = select(shown.table, layers=deepest, held="none")
    rows = rows[rows["method"] != "bp"]
    last = rows[rows["epoch"] == rows["epoch"].max()]

    def reached(of: pd.DataFrame) -> str:
        ends = of.groupby("layer")["gradient_alignment"].mean().items()
        return ", ".join(number(value, ".2f") for _, value in ends)

    said = listed({f"{METHOD_NAMES[m]}:": reached(select(last, method=m)) for m in METHODS[1:]})
    by_layer = select(last, method="dfa").groupby("layer")["gradient_alignment"].mean()
    lowest, highest = by_layer.loc[1], by_layer.loc[deepest]
    return {
        "figure": layer_curves(rows),
        "results": ("depth",),
        "caption": (
            "DFA's update has a mean cosine with BP's of "
            f"{number(lowest, '.2f')} in layer 1, next to the input, and of {number(highest, '.2f')} in "
            f"layer {deepest}. All layers, from layer 1 on: {said}. The cosine of each rule's "
            "update of a hidden layer's weights with BP's update of "
            f"the same weights, against epoch, in networks of {deepest} hidden layers; "
            f"{_setting(shown)}. Lines are means over seeds, bands their {INTERVALS}."
        ),
        "alt": f"A panel for each rule, a line for each hidden layer. At the last epoch: {said}.",
    }


def held(shown: Studied) -> dict[str, Any]:
    """Return the figure of accuracies when a layer does not learn, or not from the start."""
    runs = select(shown.table, layers=2, layer=1)
    runs = runs[runs["method"] != "fa"].assign(epochs=shown.like.epochs)
    reached = {
        name: " and ".join(percent(_ends(shown, m, 2, held).mean) for m in ("bp", "dfa"))
        for held, name in HELD_NAMES.items()
    }
    said = "; ".join(f"{name}: {each}" for name, each in reached.items())
    return {
        "figure": final_accuracies(runs, by="held"),
        "results": ("depth",),
        "caption": (
            f"DFA gets {percent(_ends(shown, 'dfa', 2, 'first').mean)} right when only the second of "
            f"two hidden layers learns, {percent(_ends(shown, 'dfa', 2).mean)} when both do. Means of "
            f"BP and DFA: {said}. The first hidden layer is next to the input. A layer that does not "
            "learn stays as it was drawn; one that waits "
            "begins half-way; the output layer always learns. Test accuracy at the last epoch, for "
            f"{_setting(shown)}, at the rates that are best if both learn. Dots are seeds, upright "
            f"strokes means, bars {INTERVALS}."
        ),
        "alt": f"A row for each choice of the layers that learn, BP and DFA. {said}.",
    }
