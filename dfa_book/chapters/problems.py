"""What chapter 2 shows: parities and their bounds, lazy methods, and the clusters."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from dfa_lib.data.examples import Examples
from dfa_lib.data.images import Digits
from dfa_lib.experiments.names import METHOD_NAMES
from dfa_lib.methods import METHODS

from ..answers import compared
from ..captions import INTERVALS, LINES, setting, unstable_runs
from ..chapter import Answer, Settings
from ..claims import queries
from ..claims.measures import CHANCE
from ..claims.queries import Sample
from ..converged import KERNEL_NAMES
from ..plots import accuracy_curves, converged_curves, error_curves, label
from ..studies import INPUTS, POINTS, ClusterSizes, Study
from ..words import DATASETS, enumerated, gap, listed, mean, means, number, percent, size, table

SOLVED_NAMES = METHOD_NAMES | KERNEL_NAMES


def partial_credit(counts: pd.DataFrame) -> str:
    """Return the best accuracy of a predictor that does not see all of three digits, from counts."""
    in_set = counts.groupby("set", sort=False)["count"].sum()
    odd = counts[counts["digit"] % 2 == 1].groupby("set", sort=False)["count"].sum() / in_set
    mean_sign = 1 - 2 * odd
    rows = []
    for name, m in mean_sign.items():
        best = [percent((1 + abs(m) ** hidden) / 2, ".2f") for hidden in (1, 2, 3)]
        rows.append([str(name), *best, percent((1 - m) / 2, ".2f"), number(m, "+.4f")])
    heads = ["set", "best with one of three hidden", "two hidden", "all hidden", "odd digits"]
    two, one = (percent(abs(mean_sign["test"]) ** hidden / 2, ".2f") for hidden in (1, 2))
    return (
        f"{table([*heads, 'mean sign $m$'], rows)}\n\nOf the test digits, two of three known perfectly "
        f"are worth {two} above chance, and one of three {one}."
    )


def budgets(components: pd.DataFrame, settings: Settings, pixels: int) -> str:
    """Return upper bounds on the average share of a target that features explain, by N and k."""
    p = int(components.set_index("share")["components"][0.95])
    h, stacks = settings.run(method="ntk").hidden_widths[0], settings.stacks[-2]
    counts: dict[str, Callable[[int], int]] = {
        f"random features, {h} hidden units": lambda k: h + 1,
        f"NTK (W₁, fixed gates), {h} hidden units": lambda k: k * pixels * h + h + 1,
        f"a kernel, from {stacks:,} stacks": lambda k: stacks + 1,
    }
    rows = []
    for name, count in counts.items():
        bounds = [count(k) / p**k for k in (1, 2, 3)]
        cells = [number(bound, ".2g") if bound < 10 else f"{bound:,.0f}" for bound in bounds]
        rows.append([name, f"{count(3):,}", *cells])
    return (
        f"Of the training digits' pixels, {p} principal components hold {percent(0.95, '.0f')} of the "
        f"variance. With p = {p} the average share that features explain, for k = 1, 2 and 3 digits, is "
        f"at most:\n\n{table(['features', 'N at k = 3', 'N/p', 'N/p²', 'N/p³'], rows)}\n\nA bound above "
        f"1 forbids nothing. The number of products, p³ = {p**3:,} for three digits, is also about how "
        "many stacks a kernel needs before the bound lets it serve all of them alike."
    )


def _accuracies(study: Study) -> dict[tuple[int, str, str], Sample]:
    keys = [(run.k or 0, run.method, run.optimizer) for run in study.runs]
    return {(k, m, o): queries.final(study.table, k=k, method=m, optimizer=o) for k, m, o in keys}


def _best_lazy(ends: dict[tuple[int, str, str], Sample], k: int) -> tuple[str, Sample]:
    """Return the name and the accuracies of the lazy method with the highest mean."""
    lazy = {m: end for (of_k, m, _), end in ends.items() if of_k == k and METHODS[m].lazy}
    best = max(lazy, key=lambda m: lazy[m].mean)
    return label(best, "sgd"), lazy[best]


def _network_and_lazy(ends: dict[tuple[int, str, str], Sample]) -> str:
    rival, of_rival = _best_lazy(ends, 3)
    sentence = compared("BP with SGD", f"the best lazy method, {rival}", ends[3, "bp", "sgd"], of_rival)
    return f"With three digits, {sentence}"


def reproduction(
    study: Study, settings: Settings, stacks: dict[int, Examples], shown: Digits
) -> dict[str, Any]:
    """Return figure 2.1."""
    ends = _accuracies(study)
    at_end = {
        k: means({label(m, o): end for (of_k, m, o), end in ends.items() if of_k == k}) for k in (1, 3)
    }
    return {
        "figure": accuracy_curves(study.table, stacks, shown),
        "results": (study.name, "tuning"),
        "caption": (
            f"{_network_and_lazy(ends)} Test accuracy against epoch on the parity of (a) one digit and "
            "(b) three side by side, with three sample stacks and their labels above each; "
            f"{setting(study)}. {LINES} Each method has the learning rate that "
            f"was best on validation digits. {unstable_runs(study.table)}"
        ),
        "alt": (
            "Two panels of test accuracy against epoch, below sample stacks of digits. After "
            f"{settings.epochs} epochs at k = 1: {at_end[1]}. At k = 3: {at_end[3]}."
        ),
    }


def reproduction_answer(study: Study) -> Answer:
    """Compare BP with the best lazy method."""
    ends = _accuracies(study)
    rows = []
    for k in (1, 3):
        rival, of_rival = _best_lazy(ends, k)
        for optimizer in ("sgd", "adadelta"):
            network = ends[k, "bp", optimizer]
            cells = [gap(network - of_rival), mean(network), rival, mean(of_rival)]
            rows.append([str(k), label("bp", optimizer), *cells])
    heads = ["k", "network", "lead, points", "accuracy", "best lazy method", "its accuracy"]
    return Answer(
        f"**Answer.** {_network_and_lazy(ends)} Seed by seed, at the last epoch:\n\n"
        + table(heads, rows)
    )


def rates_table(study: Study) -> str:
    """Return tuned rates and accuracies of the last epoch."""
    ends = _accuracies(study)
    rows = [
        [str(k), label(m, o), mean(end, interval=True), f"{run.learning_rate:g}"]
        for run, ((k, m, o), end) in zip(study.runs, ends.items(), strict=True)
    ]
    return table(["k", "method", "test accuracy", "learning rate"], rows)


def solved(study: Study, k: int, method: str, samples: int | None = None) -> Sample:
    """Return test accuracies of a solved model, by default at its largest number of stacks."""
    rows = queries.select(study.table, k=str(k), method=method)
    chosen = queries.select(rows, samples=rows["samples"].max() if samples is None else samples)
    return queries.sample(chosen, "test_accuracy")


def solved_answers(study: Study) -> dict[int, str]:
    """Say for each k which solved model is best, the gain by more stacks, and which are at chance."""
    answers = {}
    for k in sorted(map(int, study.table["k"].unique())):
        rows = study.table[study.table["k"] == str(k)]
        ends = {m: solved(study, k, m) for m in rows["method"].unique()}
        best = max(ends, key=lambda m: ends[m].mean)
        least = int(rows[rows["method"] == best]["samples"].min())
        growth = (ends[best] - solved(study, k, best, least)).interval()
        more = "more" if growth.mean >= 0 else "fewer"
        digits = {1: "one digit", 2: "two digits", 3: "three digits"}[k]
        text = (
            f"With {digits}, {SOLVED_NAMES[best]} do best: "
            f"{mean(ends[best], interval=True)} right, {size(growth)} {more} than from {least:,} stacks."
        )
        intervals = {SOLVED_NAMES[m]: end.interval() for m, end in ends.items()}
        if next(iter(intervals.values())).n == 1:
            answers[k] = f"{text} One seed has no interval."
            continue
        chance = [name for name, interval in intervals.items() if interval.low <= CHANCE]
        answers[k] = f"{text} Every model lies above chance."
        if chance:
            answers[k] = f"{text} Chance may explain the accuracy of {enumerated(chance)}."
    return answers


def converged(study: Study, reproduced: Study) -> dict[str, Any]:
    """Return the figure of lazy methods solved to convergence."""
    run, trained = reproduced.runs[0], queries.select(reproduced.table, optimizer="sgd")
    return {
        "figure": converged_curves(study.table, trained),
        "results": (study.name, "reproduction", "tuning"),
        "caption": (
            f"{list(solved_answers(study).values())[-1]} Lazy methods solved to convergence: test "
            "accuracy against the number n of training stacks, for (a) one digit, (b) two and (c) "
            f"three, and (d) for three enlarged; {DATASETS[run.dataset]}. Solid lines are models with "
            f"{run.hidden} hidden units, lines with open marks models of infinite width; lines are "
            f"means over {study.table['seed'].nunique()} seeds, bands their {INTERVALS}, faint lines "
            "single seeds. Open circles are the runs with SGD of {numref}`fig-reproduction` after "
            "their last epoch, at the number of stacks that they have seen, with their intervals; there "
            "are none for two digits. The dotted line is chance. Penalties were chosen on validation "
            f"digits. {unstable_runs(trained)}"
        ),
        "alt": (
            "Four panels of test accuracy against the number of training stacks, on a logarithmic "
            f"scale. {' '.join(solved_answers(study).values())}"
        ),
    }


def converged_answer(study: Study, reproduced: Study) -> Answer:
    """Compare the solved models with BP."""
    answers, run = solved_answers(study), reproduced.runs[0]
    bp = mean(_accuracies(reproduced)[3, "bp", "sgd"], interval=True)
    items = "\n".join(f"- {answer}" for answer in answers.values())
    assert run.samples is not None
    return Answer(
        f"**Answer.**\n\n{items}\n\nWith three digits, BP with SGD, which learns its features, gets "
        f"{bp} right after {run.samples * run.epochs:,} stacks."
    )


def converged_rows(study: Study) -> str:
    """Return mean test accuracies as a table with a column for each model."""
    means = study.table.groupby(["k", "samples", "method"])["test_accuracy"].mean()
    places = sorted({(k, n) for k, n, _ in means.index}, key=lambda place: (int(place[0]), place[1]))
    methods = list(study.table["method"].unique())
    rows = [
        [k, f"{n:,}", *(percent(means[k, n, m]) if (k, n, m) in means.index else "" for m in methods)]
        for k, n in places
    ]
    return table(["k", "n", *(SOLVED_NAMES[method] for method in methods)], rows)


SERIES = ("BP", "ReLU features", "solved ReLU features", "solved NTK (W₁, fixed gates)")


class ClusterErrors:
    """The test errors of figure 2.3, by model, n and d, for each seed."""

    def __init__(self, studies: list[Study], solution: Study) -> None:
        tables = pd.concat([study.table for study in studies])
        self.trained = tables.drop_duplicates()  # the series share the runs of their crossing
        self.solution = solution.table
        self.runs = studies[0].runs

    def at(self, name: str, n: int, d: int) -> Sample:
        """Return the errors of a model of ``SERIES``."""
        if name.startswith("solved"):
            method = "ntk" if "NTK" in name else "relu_features"
            return queries.solved_error(self.solution, method, [(n, d)])
        method = "bp" if name == "BP" else "relu_features"
        return queries.errors(self.trained, method=method, samples=n, dimensions=d)

    def over(self, name: str, places: list[tuple[int, int]]) -> Sample:
        """Return the mean error over several n or d."""
        return queries.mean_of([self.at(name, *place) for place in places])


def clusters(
    errors: ClusterErrors, sizes: ClusterSizes, settings: Settings, points: dict[str, Examples]
) -> dict[str, Any]:
    """Return the figure of the clusters."""
    bp, features = errors.runs

    def ends(first: tuple[int, int], last: tuple[int, int]) -> str:
        pairs = {name: (errors.at(name, *first), errors.at(name, *last)) for name in SERIES}
        return listed({name: f"{mean(a)} to {mean(b)}" for name, (a, b) in pairs.items()})

    trained = errors.trained
    return {
        "figure": error_curves(
            [
                (trained[trained["dimensions"] == INPUTS], "samples", "test"),
                (trained[trained["samples"] == POINTS], "dimensions", "test"),
            ],
            points,
            solved=errors.solution,
        ),
        "results": ("clusters_samples", "clusters_dimensions", "clusters_converged", "tuning"),
        "caption": (
            f"{_bp_and_features(errors, sizes, SERIES[1:2])} First, the two inputs that matter, of "
            "2,000 points, coloured by label, (a) in the density used here and (b) uniform on the "
            f"disks; circles are the clusters. Then, test error after {bp.epochs * bp.passes} steps, "
            f"each on all training points, against (c) their number n, with d = {INPUTS}, and (d) the "
            f"number of inputs d, with n = {POINTS}; below, test error minus that of BP. "
            f"Backpropagation (BP) trains both layers of a network with {bp.hidden} hidden units, ReLU "
            "features its output layer only, both with SGD at the rate that was best on validation "
            f"points where the series cross ({bp.learning_rate:g} and {features.learning_rate:g}). "
            "*Solved* are the output layer alone, and the first layer behind fixed gates, trained to "
            "convergence with a penalty chosen on held-out points. Lines are means over "
            f"{settings.labellings} seeds, each with one of the 126 labellings, drawn at random; bands "
            f"are their {INTERVALS}, and dots, where errors are compared, single labellings "
            f"(12 at most); the dotted line is the error of always answering 0. {unstable_runs(trained)}"
        ),
        "alt": (
            "First, two squares of nine round clusters on a grid, four of one colour, five of another; "
            "in one the points crowd around the centres, in the other they fill the circles. Then, two "
            f"panels of test error. From n = {sizes.ns[0]} to {sizes.ns[-1]}: "
            f"{ends((sizes.ns[0], INPUTS), (sizes.ns[-1], INPUTS))}. From d = {sizes.ds[0]} to "
            f"{sizes.ds[-1]}: {ends((POINTS, sizes.ds[0]), (POINTS, sizes.ds[-1]))}."
        ),
    }


def _bp_and_features(errors: ClusterErrors, sizes: ClusterSizes, names: Sequence[str]) -> str:
    """Compare BP with fixed features by their mean errors over all n and d."""
    bp = errors.over("BP", sizes.places)
    return " ".join(
        compared("BP", name, bp, errors.over(name, sizes.places), "of the points wrong on average")
        for name in names
    )


def clusters_answer(errors: ClusterErrors, sizes: ClusterSizes) -> Answer:
    """Compare BP with fixed features, and the errors of every model at the ends of n and d."""
    of = {name: errors.over(name, sizes.places) for name in SERIES}
    n, d = ((each[0], each[-1]) for each in (sizes.ns, sizes.ds))
    series = [[(each, INPUTS) for each in n], [(POINTS, each) for each in d]]
    rows = []
    for name in SERIES:
        changes = [gap(errors.at(name, *last) - errors.at(name, *first)) for first, last in series]
        minus_bp = "" if name == "BP" else gap(of[name] - of["BP"])
        rows.append([name, mean(of[name], interval=True), minus_bp, *changes])
    heads = ["model", "test error", "minus that of BP, points"]
    heads += [f"change from {s} = {a} to {b}, points" for s, (a, b) in (("n", n), ("d", d))]
    sentence = _bp_and_features(errors, sizes, SERIES[1:3])
    return Answer(
        f"**Answer.** {sentence} Errors are averaged over all n and d; "
        f"changes are of each model against itself:\n\n{table(heads, rows)}"
    )


def clusters_rows(errors: ClusterErrors, sizes: ClusterSizes) -> str:
    """Return mean test errors as a table with a column for each model."""
    rows = [[str(n), str(d), *(mean(errors.at(m, n, d)) for m in SERIES)] for n, d in sizes.places]
    return table(["n", "d", *SERIES], rows)
