"""The main result: what random feedback costs on both datasets.

Home page, two-minute page, conclusion and ledger quote these numbers, which are the quantities by which
the ledger judges its claims.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dfa_lib.data.examples import Examples
from dfa_lib.data.images import Digits
from dfa_lib.experiments.names import COLOURS, METHOD_NAMES, OPTIMIZER_NAMES
from dfa_lib.experiments.statistics import UNKNOWN, Interval, summarise
from dfa_lib.optimizers import OPTIMIZERS
from dfa_lib.validation import InputError

from .claims.judge import Evidence, NotComputed
from .claims.ledger import DATASETS
from .claims.measures import ADAPTIVE, CHANCE, gap, named_best_lazy, runs, with_optimizer
from .claims.queries import Sample, mean_of
from .claims.thesis_claims import BP, DFA
from .plots import (
    MUTED,
    REFERENCE_LINE,
    STYLE,
    Curve,
    belongs_to,
    curves_in,
    draw_curve,
    draw_unstable,
    grid_of_panels,
    legend_below,
    row_of_panels,
    side_by_side,
)
from .site.book import find_book
from .site.launch import PAGE, launch_addresses, repository
from .words import SPACE, enumerated, percent, plural, points, span

THREE = {"bp": "BP", "dfa": "DFA", "lazy": "best fixed features"}
"""The three methods, and their names in figures."""
# Light ink on a dark tile: legible on light and dark pages.
TILE = LinearSegmentedColormap.from_list("tile", ["#22303f", "#f4f1e8"])


class Outcome(NamedTuple):
    """Results for three digits on one dataset: test accuracies by seed."""

    dataset: str  # a key of DATASETS
    sgd: Mapping[str, Sample]  # BP and DFA with SGD
    adaptive: Mapping[str, Sample]  # averaged over the adaptive optimizers
    gap: Sample  # BP's minus DFA's, with SGD
    adaptive_gap: Sample
    lazy: Sample  # the best method with fixed features
    lazy_method: str
    ends: Mapping[tuple[str, str], Sample]  # by method and optimizer
    gaps: Mapping[str, Sample]  # BP's minus DFA's, by optimizer
    curves: Mapping[str, pd.DataFrame]  # with SGD, for each of THREE a table as from summarise

    @property
    def name(self) -> str:
        """The dataset, as a sentence names it."""
        return DATASETS[self.dataset]


def outcome(evidence: Evidence) -> Outcome | None:
    """Return the results on a dataset; None if they are missing or stale."""
    try:
        ends = {(m, o): with_optimizer(m, o)(evidence) for m in ("bp", "dfa") for o in OPTIMIZERS}
        sgd = {"bp": BP(evidence), "dfa": DFA(evidence)}
        gaps = {o: gap(o)(evidence) for o in OPTIMIZERS}
        best, fixed = named_best_lazy(evidence, 3)
        tables = {m: runs(evidence, "sgd", k=3, method=m) for m in sgd}
        tables["lazy"] = runs(evidence, "reproduction", k=3, method=best)
        return Outcome(
            dataset=evidence.dataset,
            sgd=sgd,
            adaptive={m: mean_of([ends[m, o] for o in ADAPTIVE]) for m in sgd},
            gap=sgd["bp"] - sgd["dfa"],
            adaptive_gap=mean_of([gaps[o] for o in ADAPTIVE]),
            lazy=fixed,
            lazy_method=best,
            ends=ends,
            gaps=gaps,
            curves={m: summarise(table, ["epoch"], "test_accuracy") for m, table in tables.items()},
        )
    except NotComputed:
        return None


def outcomes(evidence: Mapping[str, Evidence]) -> dict[str, Outcome]:
    """Return the results on each dataset that has some."""
    results = {dataset: outcome(of) for dataset, of in evidence.items()}
    return {dataset: each for dataset, each in results.items() if each is not None}


def _ends(interval: Interval) -> str:
    if np.isnan(interval.low):
        return "one seed" if interval.n == 1 else "no interval"
    return span(100 * interval.low, 100 * interval.high, ".1f")


def _size(sample: Sample) -> str:
    """Return the size of a difference, in points: ``7.9 points (7.1 to 8.6)``."""
    interval = sample.interval()
    if interval.mean < 0:
        interval = Interval(-interval.mean, -interval.high, -interval.low, interval.n)
    unstable = f"; {len(sample.unstable)} of {len(sample)} seeds unstable" if sample.unstable else ""
    return f"{points(interval.mean)}{SPACE}points ({_ends(interval)}{unstable})"


def finding(each: Outcome) -> str:
    """Say what random feedback costs on a dataset, with SGD and with adaptive optimizers."""
    bp, dfa, lazy = (percent(of.mean) for of in (each.sgd["bp"], each.sgd["dfa"], each.lazy))
    learned = each.sgd["dfa"] - each.lazy
    costs, then = ("gains" if of.mean < 0 else "costs" for of in (each.gap, each.adaptive_gap))
    return (
        f"On {each.name}, BP with SGD gets {bp} right, DFA {dfa}, and the best fixed features {lazy}: "
        f"{_size(learned)} {'above' if learned.mean < 0 else 'below'} DFA. "
        f"Random feedback {costs} {_size(each.gap)}; with a step size for each weight it {then} "
        f"{_size(each.adaptive_gap)}."
    )


def how_sure(results: Mapping[str, Outcome]) -> str:
    """Say what the brackets of ``finding`` are, and over how many seeds."""
    counts = list(dict.fromkeys(plural(len(each.gap), "seed") for each in results.values()))
    over = " or ".join(counts)
    return f"Brackets give 95{SPACE}% intervals over {over}, or repeats." if results else ""


def largest_leads(results: Mapping[str, Outcome]) -> str:
    """Say with which optimizer BP leads most on each dataset."""
    most = [
        f"with {OPTIMIZER_NAMES[max(each.gaps, key=lambda o: each.gaps[o].mean)]} on {each.name}"
        for each in results.values()
    ]
    return f"BP leads DFA most {enumerated(most)}." if most else ""


def fixed_features(each: Outcome) -> str:
    """Name the best method with fixed features."""
    return f"On {each.name}, the best fixed features are those of {METHOD_NAMES[each.lazy_method]}."


def left_out(results: Mapping[str, Outcome]) -> str:
    """Say which seeds the lines of ``story_curves`` leave out; empty if none."""
    return " ".join(
        f"On {each.name}, the line of {THREE[method]} leaves out "
        f"{plural(len(sample.unstable), 'unstable seed')} of {len(sample)}; the numbers count all."
        for each in results.values()
        for method, sample in (*each.sgd.items(), ("lazy", each.lazy))
        if sample.unstable
    )


def absent(results: Mapping[str, Outcome]) -> str:
    """Name the datasets without results; empty if there are none."""
    missing = [name for dataset, name in DATASETS.items() if dataset not in results]
    return f"This edition has no results on {enumerated(missing)}." if missing else ""


def sentences(results: Mapping[str, Outcome]) -> dict[str, str]:
    """Return the sentences that pages quote, by the key under which they are glued."""
    texts = {"left_out": left_out(results), "how_sure": how_sure(results)}
    for dataset, name in DATASETS.items():
        missing = f"This edition has no results on {name}."
        texts[f"finding_{dataset}"] = finding(results[dataset]) if dataset in results else missing
        texts[f"fixed_{dataset}"] = fixed_features(results[dataset]) if dataset in results else ""
    return texts


def numbers(each: Outcome) -> dict[str, float]:
    """Return the numbers that chapter 3 glues under the same keys, too."""
    ends = zip(("", "_low", "_high"), each.gap.interval()[:3], strict=True)
    means = {f"{method}_k3": sample.mean for method, sample in each.sgd.items()}
    return means | {f"gap_k3{end}": float(value) for end, value in ends}


def links() -> str:
    """Return links to the repository and to launch services; empty if the book is not published."""
    try:
        book = find_book()
    except InputError:  # a notebook by itself, without its book
        return ""
    published = repository(book.root)
    if published is None:
        return ""
    places = {"The repository": published.url}
    for name, address in launch_addresses(book).items():
        places[f"run it on {name}"] = address.replace(PAGE, "introduction")
    return " · ".join(f"[{name}]({address})" for name, address in places.items())


def results_table(results: Mapping[str, Outcome]) -> str:
    """Return the results as an HTML table with a column for each dataset."""
    rows: list[tuple[str, str, Callable[[Outcome], str]]] = [
        ("with SGD", "BP", lambda o: percent(o.sgd["bp"].mean)),
        ("with SGD", "DFA", lambda o: percent(o.sgd["dfa"].mean)),
        ("with SGD", "DFA loses", lambda o: _loses(o.gap)),
        ("with a step size for each weight", "BP", lambda o: percent(o.adaptive["bp"].mean)),
        ("with a step size for each weight", "DFA", lambda o: percent(o.adaptive["dfa"].mean)),
        ("with a step size for each weight", "DFA loses", lambda o: _loses(o.adaptive_gap)),
        ("without learning features", "best fixed features", lambda o: percent(o.lazy.mean)),
        ("without learning features", "guessing", lambda o: percent(CHANCE)),
    ]
    heads = "".join(f'<th scope="col">{name}</th>' for name in DATASETS.values())
    bodies = []
    for group, of_group in groupby(rows, key=lambda row: row[0]):
        head = f'<tr><th scope="rowgroup" colspan="{1 + len(DATASETS)}">{group}</th></tr>'
        lines = []
        for _, name, cell in of_group:
            cells = [cell(results[d]) if d in results else "–" for d in DATASETS]
            lines.append(f'<tr><th scope="row">{name}</th><td>{"</td><td>".join(cells)}</td></tr>')
        bodies.append(f"<tbody>{head}{''.join(lines)}</tbody>")
    return (
        f'<table class="dfa-results"><thead><tr><td></td>{heads}</tr></thead>{"".join(bodies)}</table>'
    )


def _loses(sample: Sample) -> str:
    interval = sample.interval()
    return f"<b>{points(interval.mean)}</b> <small>({_ends(interval)})</small>"


@mpl.rc_context(STYLE)
def story_curves(results: Mapping[str, Outcome]) -> Figure:
    """Draw test accuracy against epoch with SGD, a panel for each dataset: BP, DFA, fixed features.

    Lines are means over stable seeds, bands their 95 % intervals.
    """
    figure, panels = _panels(results, 3.6)
    for panel, each in zip(panels, results.values(), strict=False):
        for method, name in THREE.items():
            summary = each.curves[method]
            ends = (summary[f"{end}_sound"] for end in ("mean", "low", "high"))
            colour = COLOURS["ntk" if method == "lazy" else method]
            look: dict[str, Any] = {"color": colour, "label": name, "linewidth": 2.2}
            draw_curve(panel, Curve(name, summary["epoch"], *ends, **look))
        panel.axhline(CHANCE, **REFERENCE_LINE)
        beside = panel.get_yaxis_transform()
        panel.text(
            0.98, CHANCE - 0.007, "guessing", transform=beside, ha="right", va="top", fontsize=9.5
        )
        panel.set_ylim(0.45, 0.9)
        panel.yaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 5, 10]))
        panel.set(title=f"on {each.name}", xlabel="epoch", ylabel="right answers")
    if results:
        legend_below(figure, curves_in(panels[0]))
    return figure


def _panels(results: Mapping[str, Outcome], height: float) -> tuple[Figure, list[Axes]]:
    figure, panels = row_of_panels(max(1, len(results)), height)
    if not results:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "There are no results here yet.", ha="center")
    return figure, panels


def curves_in_words(results: Mapping[str, Outcome]) -> str:
    """Return the alt text of ``story_curves``."""
    panels = (
        f"{each.name}: BP ends at {percent(each.sgd['bp'].mean)}, DFA at "
        f"{percent(each.sgd['dfa'].mean)}, the best fixed features at {percent(each.lazy.mean)}"
        for each in results.values()
    )
    return f"Right answers against epoch with SGD. On {'; on '.join(panels)}; guessing gets half."


@mpl.rc_context(STYLE)
def gap_rows(results: Mapping[str, Outcome]) -> Figure:
    """Draw BP and DFA at the last epoch, a row for each optimizer, a panel for each dataset.

    A small dot is a stable seed, a cross an unstable one, a large dot the mean of all seeds; the number
    is BP's lead in points. The last row is the best method with fixed features.
    """
    rows = [*OPTIMIZERS, "fixed features"]
    figure, panels = _panels(results, 4.4)
    for panel, each in zip(panels, results.values(), strict=False):
        beside = panel.get_yaxis_transform()
        panel.text(1.02, -0.75, "BP's lead", transform=beside, va="center", fontsize=9.5)
        for y, row in enumerate(rows):
            if row == "fixed features":
                _dots(panel, each.lazy, y, each.lazy_method)
                continue
            samples = {m: each.ends[m, row] for m in ("bp", "dfa")}
            means = [sample.mean for sample in samples.values()]
            panel.plot(means, [y, y], color=MUTED, linewidth=3, alpha=0.5, zorder=1)
            for method, sample in samples.items():
                _dots(panel, sample, y, method)
                if y == 0:  # each name on the side away from the other dot
                    panel.annotate(
                        METHOD_NAMES[method], (sample.mean, y), (0, 9), textcoords="offset points",
                        ha="left" if sample.mean == max(means) else "right", fontsize=10,
                    )  # fmt: skip
            panel.text(1.02, y, points(each.gaps[row].mean), transform=beside, va="center")
        for method in ("bp", "dfa"):
            _means(panel, METHOD_NAMES[method], [each.ends[method, o] for o in OPTIMIZERS], method)
        lazy, last = each.lazy_method, len(OPTIMIZERS)
        _means(panel, METHOD_NAMES[lazy], [each.lazy], lazy, start=last)
        panel.axvline(CHANCE, **REFERENCE_LINE)
        panel.set_yticks(range(len(rows)), [OPTIMIZER_NAMES.get(row, row) for row in rows])
        panel.set_ylim(len(rows) - 0.5, -0.9)
        panel.set_xlim(min(0.45, panel.get_xlim()[0]), max(0.85, panel.get_xlim()[1]))
        panel.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))
        panel.set(title=f"on {each.name}", xlabel="right answers on three digits, last epoch")
    return figure


def _dots(panel: Axes, sample: Sample, y: float, method: str) -> None:
    gid = belongs_to(METHOD_NAMES[method])
    look: dict[str, Any] = {"color": COLOURS[method], "linestyle": "", "gid": gid}
    stable = sample.sound.values if sample.unstable else sample.values
    panel.plot(stable, [y] * len(stable), marker="o", markersize=3.5, alpha=0.4, **look)
    for value in sample.values[sample.values.index.isin(list(sample.unstable))]:
        draw_unstable(panel, [value], [y], color=look["color"], gid=look["gid"], alpha=0.8)


def _means(panel: Axes, name: str, samples: Sequence[Sample], method: str, start: int = 0) -> None:
    """Draw means as large dots, in rows from ``start`` on; unstable seeds leave no interval."""
    intervals = [
        sample.interval() if not sample.unstable else UNKNOWN._replace(mean=sample.mean)
        for sample in samples
    ]
    means, low, high = np.array([interval[:3] for interval in intervals], float).T
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 8, "color": COLOURS[method]}
    rows = np.arange(start, start + len(samples))
    panel.add_line(Curve(name, rows, means, low, high, rows=True, form=".1%", zorder=3, **look))


def gaps_in_words(results: Mapping[str, Outcome]) -> str:
    """Return the alt text of ``gap_rows``."""
    panels = (
        f"on {each.name} "
        + enumerated([f"{OPTIMIZER_NAMES[o]} {points(each.gaps[o].mean)}" for o in each.gaps])
        for each in results.values()
    )
    return (
        "Two dots for each optimizer, BP's and DFA's right answers on three digits. BP's lead in "
        f"points: {'; '.join(panels)}."
    )


def stacks_in_words(stacks: Examples, digits: Digits) -> str:
    """Return the alt text of ``stack_row``."""
    sums = (
        f"{' + '.join(map(str, digits.labels[index].tolist()))} is {'odd' if label else 'even'}"
        for index, label in zip(stacks.index, stacks.labels, strict=True)
    )
    return f"Pictures of handwritten digits, side by side in stacks: {'; '.join(sums)}."


@mpl.rc_context(STYLE)
def stack_row(stacks: Examples, digits: Digits) -> Figure:
    """Draw stacks of digits side by side, each above its sum and parity."""
    count = len(stacks.index)
    figure, panels = grid_of_panels(count, count, 2.3, 1.5)
    for row, panel in enumerate(panels):
        panel.imshow(side_by_side(stacks, digits, row), cmap=TILE, interpolation="nearest")
        numbers = digits.labels[stacks.index[row]].tolist()
        total = f"{' + '.join(map(str, numbers))} = {sum(numbers)}"
        panel.set_title(f"{total}: {'odd' if stacks.labels[row] else 'even'}", y=-0.34, fontsize=11)
        panel.set_axis_off()
    return figure
