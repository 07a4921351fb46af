"""What the page on registering own rules, optimizers and random matrices shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dfa_lib.experiments.names import FEEDBACK_NAMES, METHOD_NAMES, OPTIMIZER_NAMES
from dfa_lib.experiments.statistics import interval_of, with_outcomes

from ..answers import compared
from ..captions import DOTS, LINES, unstable_runs
from ..chapter import Answer
from ..claims import queries
from ..claims.queries import Sample
from ..plots import accuracy_curves, final_accuracies
from ..words import COSINE, capitalised, gap, means, number, plural, span, table


def ends(runs: pd.DataFrame, **fields: object) -> Sample:
    """Return the accuracy of the last epoch of the runs with these fields, by seed."""
    return queries.final(with_outcomes(runs), "test_accuracy", **fields)


def _about(runs: pd.DataFrame) -> str:
    run = runs.iloc[0]
    return (
        f"the parity of two bundled digits, {run['samples']:,} fresh training stacks an epoch, "
        f"{run['hidden']} hidden units, {plural(int(run['epochs']), 'epoch')}, "
        f"{plural(runs['seed'].nunique(), 'seed')}"
    )


def own_rule(runs: pd.DataFrame) -> dict[str, Any]:
    """Return the figure of an own rule beside BP and DFA."""
    methods = runs["method"].unique()
    each, own = {METHOD_NAMES[m]: ends(runs, method=m) for m in methods}, methods[-1]
    return {
        "figure": accuracy_curves(runs),
        "results": ("own_rule", "own_rule_tuning"),
        "caption": (
            f"{own_rule_answer(runs, own, METHOD_NAMES[own]).text} A rule that the library does not "
            f"have, beside two that it has: test accuracy on {_about(runs)}, with SGD. {LINES} Each "
            f"rule has the learning rate that was best on validation digits. {unstable_runs(runs)}"
        ),
        "alt": f"Test accuracy against epoch for three rules. At the last epoch: {means(each)}.",
    }


def own_rule_answer(runs: pd.DataFrame, method: str, name: str) -> Answer:
    """Compare a rule with DFA and BP."""
    others = [
        compared(name, METHOD_NAMES[m], ends(runs, method=method), ends(runs, method=m))
        for m in ("dfa", "bp")
    ]
    return Answer(" ".join(map(capitalised, others)))


def _gains(runs: pd.DataFrame, optimizer: str) -> str:
    """Compare an optimizer with SGD for both rules."""
    sentences = []
    for m in ("bp", "dfa"):
        own, other = (f"{METHOD_NAMES[m]} with {OPTIMIZER_NAMES[o]}" for o in (optimizer, "sgd"))
        with_own, with_sgd = (ends(runs, optimizer=o, method=m) for o in (optimizer, "sgd"))
        sentences.append(compared(own, other, with_own, with_sgd))
    return " ".join(sentences)


def own_optimizer(runs: pd.DataFrame, optimizer: str) -> dict[str, Any]:
    """Return the figure of an own optimizer beside SGD, with three rules."""
    methods = runs["method"].unique()
    accuracies = [
        means({METHOD_NAMES[m]: ends(runs, optimizer=o, method=m) for m in methods})
        for o in ("sgd", optimizer)
    ]
    return {
        "figure": final_accuracies(runs, by="optimizer"),
        "results": ("own_optimizer", "own_optimizer_tuning"),
        "caption": (
            f"{_gains(runs, optimizer)} Three learning rules, each with SGD and with an optimizer of "
            f"our own: test accuracy of the last epoch on {_about(runs)}. {DOTS} {unstable_runs(runs)}"
        ),
        "alt": (
            f"Test accuracy of three learning rules in two rows. With SGD: {accuracies[0]}; with "
            f"{OPTIMIZER_NAMES[optimizer]}: {accuracies[1]}."
        ),
    }


def own_optimizer_answer(runs: pd.DataFrame, optimizer: str) -> Answer:
    """Compare an optimizer with SGD for both rules, and BP with DFA for both optimizers."""
    each = {(o, m): ends(runs, optimizer=o, method=m) for o in ("sgd", optimizer) for m in ("bp", "dfa")}
    rows = [[OPTIMIZER_NAMES[o], gap(each[o, "bp"] - each[o, "dfa"])] for o in ("sgd", optimizer)]
    return Answer(f"{_gains(runs, optimizer)}\n\n{table(['optimizer', 'BP minus DFA, points'], rows)}")


def own_matrix(runs: pd.DataFrame) -> dict[str, Any]:
    """Return the figure of DFA with an own random matrix beside ``uniform``."""
    kinds = runs["feedback"].unique()
    each, own = {FEEDBACK_NAMES[kind]: ends(runs, feedback=kind) for kind in kinds}, kinds[-1]
    return {
        "figure": final_accuracies(runs, by="feedback"),
        "results": ("own_matrix", "own_matrix_tuning"),
        "caption": (
            f"{own_matrix_answer(runs, own).text} DFA with a random matrix of the library and with one "
            f"of our own: test accuracy of the last epoch on {_about(runs)}, with SGD. {DOTS} "
            f"{unstable_runs(runs, by='feedback')}"
        ),
        "alt": f"Test accuracy of DFA in two rows, one for each random matrix: {means(each)}.",
    }


def own_matrix_answer(runs: pd.DataFrame, feedback: str) -> Answer:
    """Compare a random matrix with ``uniform``."""
    own, uniform = (ends(runs, feedback=kind) for kind in (feedback, "uniform"))
    return Answer(compared(f"DFA with {feedback} B", "DFA with uniform B", own, uniform))


def cosines(rows_of: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """Return the mean cosines of rules' updates with BP's, before and after training."""
    rows, count = [], 0
    for method, seeds in rows_of.items():
        count = len(seeds)
        means = [interval_of(column, "fisher") for column in zip(*seeds, strict=True)]
        cells = [f"{number(m.mean, COSINE.form)} ({span(m.low, m.high)})" for m in means]
        rows.append([METHOD_NAMES[method], *cells])
    heads = ["update of W₁", "cosine with BP's, at the start", "after training"]
    return f"Means over {count} seeds, with 95 % intervals by Fisher's z:\n\n{table(heads, rows)}"
