"""What appendix B shows: maps and probes of the hidden representations of single digits."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from dfa_lib.data.images import Digits
from dfa_lib.experiments.representations import PROBES, is_one_place, nearest_alike

from ..captions import INTERVALS, unstable_runs
from ..chapter import Answer, Settings
from ..claims import queries
from ..claims.queries import Sample
from ..plots import probe_accuracies, representation_diagram, representation_maps
from ..probes import TARGETS, weights_names
from ..studies import Study
from ..words import (
    DATASETS,
    capitalised,
    direction,
    enumerated,
    gap,
    listed,
    mean,
    means,
    percent,
    size,
    table,
)

ASKED = {"digit": "the digit", "parity": "the parity of the digit"}


def names(study: Study) -> dict[str, str]:
    """Return the names of the four representations in sentences, by their names in tables."""
    spoken = ["raw pixels", "the untrained network", "BP", "DFA"]
    return dict(zip(weights_names(study.runs), spoken, strict=True))


def accuracy(probes: pd.DataFrame, weights: str, probe: str, target: str) -> Sample:
    """Return the accuracy of a probe of a representation, by seed."""
    rows = queries.select(probes, weights=weights, probe=probe, target=target)
    return queries.sample(rows, "accuracy")


def diagram(
    digits: Digits, hidden: int, chosen: tuple[int, ...] = (8, 3, 5), place: int = 1
) -> dict[str, Any]:
    """Return the figure that cuts the representation of one digit out of the first layer."""
    images = digits.images[[digits.labels.tolist().index(digit) for digit in chosen]]
    return {
        "figure": representation_diagram(images, place, hidden),
        "caption": (
            "How the hidden representation of one digit is cut out of the first layer. $W_1$ has a "
            f"block of rows for each of the {len(chosen)} digits of a stack. The digit in place "
            f"{place + 1} meets its own block only; the bias $b_1$ is added and the ReLU applied, and "
            f"the others are left out. Drawn for the bundled digits, of {digits.images.shape[1]} "
            f"pixels, and {hidden} hidden units."
        ),
        "alt": (
            f"A stack of the digits {', '.join(map(str, chosen))}, one above the other, beside a matrix "
            f"of as many blocks. Only the {chosen[place]} and block {place + 1} are coloured; an arrow "
            f"leads from them over the bias and the ReLU to a column of {hidden} numbers."
        ),
    }


def _alike(points: pd.DataFrame) -> tuple[float, float]:
    """Return the shares of points whose nearest point has the same digit, and the same parity."""
    plane, digit = points[["x", "y"]].to_numpy(), points["digit"].to_numpy()
    return nearest_alike(plane, digit), nearest_alike(plane, digit % 2)


def _nearest(of: Mapping[str, pd.DataFrame]) -> str:
    shares = listed({name: percent(_alike(rows)[0]) for name, rows in of.items()})
    return f"Points whose nearest point is the same digit: {shares}."


def maps(study: Study, points: pd.DataFrame) -> dict[str, Any]:
    """Return the figure of t-SNE maps."""
    of = {words: points[points["weights"] == name] for name, words in names(study).items()}
    shares = listed({n: " and ".join(map(percent, _alike(rows))) for n, rows in of.items()})
    count = len(points) // len(of)
    return {
        "figure": representation_maps(points),
        "results": ("embedding", "tuning"),
        "caption": (
            f"{_nearest(of)} t-SNE maps of {count:,} single pictures, test digits of "
            f"{DATASETS[study.runs[0].dataset]}: as raw pixels, and as represented by the first layer "
            "before training and after training on the parity of three digits by BP and by DFA (seed "
            "0). In the first row, colours and names say which digit it is, with the name at the median "
            "of its points; in the second, the same points by parity."
        ),
        "alt": (
            f"Four maps of {count:,} points, each drawn twice, coloured by digit and by parity. Share "
            f"of points whose nearest point is the same digit, and of the same parity: {shares}."
        ),
    }


def maps_table(study: Study, points: pd.DataFrame) -> str:
    """Return these shares for each map as a table."""
    of = {words: points[points["weights"] == name] for name, words in names(study).items()}
    rows = [[name, *map(percent, _alike(each))] for name, each in of.items()]
    dead = [
        f"The layer of {name} is dead: it gives every digit the same features, so all points of its map "
        "lie in one place."
        for name, each in of.items()
        if is_one_place(each[["x", "y"]].to_numpy())
    ]
    return (
        "How often a point's nearest point on the map shows the same digit, and one of the same parity:"
        f"\n\n{table(['map', 'same digit', 'same parity'], rows)}\n\n{' '.join(dead)}"
    )


def probing(study: Study, probes: pd.DataFrame, settings: Settings) -> dict[str, Any]:
    """Return the figure of probes' accuracies."""
    each = [
        (probe, target, {n: accuracy(probes, name, probe, target) for name, n in names(study).items()})
        for target in TARGETS
        for probe in PROBES
    ]
    in_words = [f"{probe.capitalize()} for the {target}: {means(of)}." for probe, target, of in each]
    marks = "Each mark is the one seed that was run"
    if settings.seeds > 1:
        marks = (
            f"Large marks are means over {settings.seeds} seeds, lines their {INTERVALS}, cut off where "
            "they reach beyond 1, small marks single seeds; raw pixels are the same for every seed"
        )
    size_of = probes.iloc[0]
    return {
        "figure": probe_accuracies(probes),
        "results": ("probes", "tuning"),
        "caption": (
            f"{separated(study, probes)} How well probes read from the representation of a single digit "
            f"(a) which digit it is and (b) whether it is odd; {DATASETS[study.runs[0].dataset]}, "
            f"fitted on {size_of.fitted_on:,} training digits and judged on {size_of.judged_on:,} test "
            f"digits. {marks}. The axis does not start at 0: guessing is right for about a tenth of the "
            f"digits (a) and half of them (b). {unstable_runs(study.table)}"
        ),
        "alt": f"Two panels of probe accuracies. {' '.join(in_words)}",
    }


def _change(probes: pd.DataFrame, weights: str, probe: str, target: str) -> Sample:
    return accuracy(probes, weights, probe, target) - accuracy(probes, "untrained", probe, target)


def changes_table(study: Study, probes: pd.DataFrame) -> str:
    """Return the change of each probe's accuracy by training as a table."""
    trained = list(names(study).items())[2:]
    rows = [
        [
            *(target, probe),
            *(gap(_change(probes, n, probe, target)) for n, _ in trained),
            mean(accuracy(probes, "untrained", probe, target)),
        ]
        for target in TARGETS
        for probe in PROBES
    ]
    heads = ["asked for", "probe", *(f"{words} minus untrained, points" for _, words in trained)]
    heads.append("untrained")
    return f"Accuracy of the probes, and differences with 95 % intervals:\n\n{table(heads, rows)}"


def verdict(study: Study, probes: pd.DataFrame, target: str) -> str:
    """Say whether training makes a target easier or harder to probe."""
    what, trained = ASKED[target], list(names(study))[2:]
    changes = [_change(probes, n, probe, target).interval() for n in trained for probe in PROBES]
    if any(math.isnan(change.mean) for change in changes):
        return f"A run is not finite, so this edition concludes nothing about {what}."
    if changes[0].n == 1:
        return f"One seed has no interval, so this edition concludes nothing about {what}."
    signs = {direction(change) for change in changes}
    if {1, -1} <= signs:
        return f"Training helps one probe to read {what} and hinders another."
    if 1 in signs:
        return f"Training makes it easier to read {what}."
    if -1 in signs:
        return f"Training makes it harder to read {what} for at least one probe, and easier for none."
    return (
        f"Whether training changes how well a probe reads {what} is not decided: all intervals "
        "contain 0."
    )


def _clear_changes(study: Study, probes: pd.DataFrame, target: str) -> str:
    """Say which probes' accuracies change by training."""
    verbs, sentences = {1: "raises", -1: "lowers"}, []
    for n, words in list(names(study).items())[2:]:
        for probe in PROBES:
            change = _change(probes, n, probe, target).interval()
            if verb := verbs.get(direction(change)):
                sentences.append(f"{words} {verb} the accuracy of the {probe} probe by {size(change)}")
    return f"{capitalised(enumerated(sentences))}. " if sentences else ""


def separated(study: Study, probes: pd.DataFrame) -> str:
    """Compare the better probe's accuracy for digits before and after training."""
    best = {
        words: max((accuracy(probes, n, probe, "digit") for probe in PROBES), key=lambda a: a.mean)
        for n, words in names(study).items()
    }
    before, after = best["the untrained network"], {n: best[n] for n in ("BP", "DFA")}
    if any(sample.values.isna().any() for sample in after.values()):
        return "A run is not finite, so this edition does not say whether single digits are separated."
    reached = enumerated([f"{mean(sample)} of the digits after {n}" for n, sample in after.items()])
    text = (
        f"The better of the two probes names {reached}; chance is about 10 %, and the untrained network "
        f"has {mean(before)}."
    )
    means = [sample.mean for sample in after.values()]
    if min(means) <= 0.5:
        return f"{text} For at least one of the two rules, most digits stay unreadable."
    if before.mean >= max(means):
        return f"{text} So a probe reads nothing that was not there before training."
    return text


def probing_answer(study: Study, probes: pd.DataFrame) -> Answer:
    """Say whether digits are separated, and how training changes that."""
    of_separated = separated(study, probes)
    verdicts = {target: verdict(study, probes, target) for target in TARGETS}
    texts = {t: f"{_clear_changes(study, probes, t)}{verdicts[t]}" for t in TARGETS}
    rows = [
        [words, *(percent(1 - accuracy(probes, n, "nearest neighbours", t).mean) for t in TARGETS)]
        for n, words in list(names(study).items())[1:]
    ]
    heads = ["nearest neighbours, of", "wrong digit", "wrong parity"]
    return Answer(
        f"**Are single digits separated?** {of_separated}\n\n**Does training separate them?** "
        f"{texts['digit']}\n\n**And odd from even?** {texts['parity']} Where the first share of "
        "mistakes is much larger than the second, most mistaken digits have the right parity:\n\n"
        + table(heads, rows),
        {f"representations_{target}": text for target, text in verdicts.items()}
        | {"representations_separated": of_separated},
    )


def memorising(study: Study) -> Answer:
    """Compare accuracies on stacks of training digits and of test digits."""
    rows, memory, beyond = [], [], []
    for method, name in (("bp", "BP"), ("dfa", "DFA")):
        seen, new = (
            queries.final(study.table, m, method=method) for m in ("train_accuracy", "test_accuracy")
        )
        rows.append([name, gap(seen - new), mean(seen, interval=True), mean(new, interval=True)])
        memory.append((seen - new).interval().low > 0)
        beyond.append((new - 0.5).interval().low)
    if any(map(math.isnan, beyond)):
        conclusion = (
            "One seed, or a run that is not finite, does not decide whether the networks memorise."
        )
    elif min(beyond) <= 0:
        conclusion = (
            "At least one network may be at chance on new stacks of test digits, so this edition does "
            "not show that it has learned anything but memory."
        )
    else:
        conclusion = (
            "Both networks are above chance on new stacks of test digits, so both have learned "
            "something that is not memory."
        )
        if all(memory):
            conclusion += " Part of their accuracy on training digits is memory."
    heads = ["rule", "difference, points", "last epoch's training stacks", "new stacks of test digits"]
    return Answer(f"**Do they memorise?** {conclusion}\n\n{table(heads, rows)}")
