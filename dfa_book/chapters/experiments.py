"""What chapter 3 shows: BP and DFA by learning rate, random matrix and optimizer, and explanations."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dfa_lib.experiments.names import FEEDBACK_NAMES, OPTIMIZER_NAMES
from dfa_lib.experiments.results import read_results
from dfa_lib.experiments.statistics import Interval
from dfa_lib.optimizers import OPTIMIZERS

from .. import explained, thesis
from ..answers import compared, lags, stability
from ..captions import DOTS, INTERVALS, LINES, seeds, setting, unstable_runs
from ..chapter import Answer, Settings
from ..claims import queries
from ..claims.measures import RULES
from ..claims.queries import Sample
from ..claims.thesis_claims import COSINES
from ..plots import (
    accuracy_curves,
    error_curves,
    explaining_points,
    final_accuracies,
    label,
    metric_curves,
)
from ..studies import CLUSTERS, INPUTS, POINTS, ClusterSizes, Study
from ..words import (
    COSINE,
    DATASETS,
    SHARE,
    SPACE,
    capitalised,
    direction,
    enumerated,
    gap,
    listed,
    mean,
    means,
    number,
    percent,
    plural,
    points,
    signed,
    table,
)

SCALES = dict.fromkeys(COSINES, COSINE)


def ends(study: Study, metric: str = "test_accuracy", **fields: object) -> Sample:
    """Return a metric of the last epoch of a study's runs with these fields, by seed."""
    return queries.final(study.table, metric, **fields)


def _is_mnist(study: Study) -> bool:
    return study.runs[0].dataset == "mnist"


def sgd(study: Study) -> dict[str, Any]:
    """Return figure 3.1."""
    each = {k: {name: ends(study, k=k, method=m) for m, name in RULES.items()} for k in (1, 3)}
    published = thesis.FIGURE_3_1 if _is_mnist(study) else None
    return {
        "figure": accuracy_curves(study.table, published=published),
        "results": (study.name, "tuning"),
        "caption": (
            f"With three digits and SGD, {compared('BP', 'DFA', each[3]['BP'], each[3]['DFA'])} Test "
            "accuracy against epoch of backpropagation (BP) and direct feedback alignment (DFA), on the "
            "parity of (a) one digit and (b) three; "
            f"{setting(study)}. {LINES} Each has the learning rate that was "
            f"best on validation digits. {unstable_runs(study.table)}"
            + (" Circles are the thesis's published means." if _is_mnist(study) else "")
        ),
        "alt": (
            "Two panels of test accuracy against epoch for BP and DFA. At the last epoch, k = 1: "
            f"{means(each[1])}; k = 3: {means(each[3])}."
        ),
    }


def sgd_answer(study: Study, settings: Settings) -> Answer:
    """Say how well DFA learns, and compare it with BP."""
    each = {(k, m): ends(study, k=k, method=m) for k in (1, 3) for m in RULES}
    dfa, run = each[3, "dfa"], study.runs[0]
    between = {k: compared("BP", "DFA", each[k, "bp"], each[k, "dfa"]) for k in (1, 3)}
    gap_k3 = (each[3, "bp"] - dfa).interval()
    return Answer(
        f"**Answer.** On three digits, DFA gets {mean(dfa, interval=True)} right at the last epoch; "
        f"chance is {percent(0.5, '.0f')}. {stability(dfa) + ' ' if dfa.unstable else ''}"
        f"{between[3]} On one digit, {between[1]}",
        {f"{method}_k3": each[3, method].mean for method in RULES}
        | {"gap_k3": gap_k3.mean, "gap_k3_low": gap_k3.low, "gap_k3_high": gap_k3.high}
        | {
            "profile_sentence": (
                f"This edition was trained on {DATASETS[run.dataset]}, "
                f"{plural(settings.epochs, 'epoch')} of {run.samples:,} stacks through {run.hidden} "
                f"hidden units, with {seeds(study)} a method."
            )
        },
    )


def beside_the_thesis(study: Study, settings: Settings) -> str:
    """Return the published values of figure 3.1 beside this edition's."""
    if not _is_mnist(study):
        return (
            "**Beside the published values.** The thesis measured on MNIST, and this edition trains on "
            "other digits. The MNIST edition compares the two here."
        )
    rows = thesis.beside(study.table, thesis.FIGURE_3_1, ["k", "method", "epoch"])
    each: list[Any] = list(rows.itertuples())
    path = settings.csv("tuning")
    tuning = read_results(path) if path is not None and path.exists() else pd.DataFrame()
    apart: dict[tuple[int, str], list[Any]] = {(row.k, row.method): [] for row in each if row.apart}
    nearer = {key: _nearer_the_published_rate(study, tuning, *key) for key in apart}
    cells = []
    for row in each:
        difference = Interval(row.difference, row.low, row.high, row.seeds)
        texts = [signed(difference, unit=False), percent(row.published), _own_mean(row), ""]
        if (row.k, row.method) in apart:
            apart[row.k, row.method].append(row)
            texts[-1] = percent(nearer[row.k, row.method][0][row.epoch])
        cells.append([str(row.k), RULES[row.method], str(row.epoch), *texts])
    heads = ["k", "rule", "epoch", "difference, points", "thesis", "this book", "at the thesis's rate"]
    text = (
        "**Beside the published values.** The finished text of the thesis gives means over three "
        "repeats, and not how far apart these were. The interval of the difference assumes that the "
        f"repeats varied as this book's seeds do.\n\n{table(heads, cells)}\n\n"
    )
    if all(math.isnan(row.low) for row in each):
        return f"{text}One seed has no interval, so this edition does not compare."
    inside = sum(not row.apart for row in each)
    text += f"The interval contains 0 for **{inside} of the {len(each)}** published values."
    if not apart:
        return text
    notes = []
    for (k, method), group in apart.items():
        curve, what = nearer[k, method]
        before = max(abs(row.stable_mean - row.published) for row in group)
        after = max(abs(curve[row.epoch] - row.published) for row in group)
        notes.append(
            f"- {RULES[method]}, k = {k}: {what}, the largest distance from the thesis is "
            f"{number(100 * after, '.1f')}{SPACE}points, against {number(100 * before, '.1f')}."
        )
    listing = "\n".join(notes)
    return (
        f"{text} The other published values may differ because of the learning rate: the thesis chose "
        "one for three digits and used it for one digit as well. The last column has accuracies nearer "
        f"to the thesis's rate.\n\n{listing}\n\nThree other differences remain: this book holds out "
        "5,000 of the 60,000 training digits to choose rates on; the thesis's draft has a weight decay "
        "and its finished text has none; and its repeats may have varied more than this book's seeds."
    )


def _own_mean(row: Any) -> str:
    """Return the mean in a row of ``thesis.beside``, with its unstable seeds."""
    text = percent(row.mean)
    if not row.unstable:
        return text
    others = f"; the others: {percent(row.stable_mean)}" if row.unstable < row.seeds else ""
    return f"{text} ({row.unstable} of {row.seeds} seeds unstable{others})"


def _nearer_the_published_rate(
    study: Study, tuning: pd.DataFrame, k: int, method: str
) -> tuple[dict[int, float], str]:
    """Return accuracies by epoch at a rate nearer to the thesis's, and how they were obtained."""
    own = next(run.learning_rate for run in study.runs if (run.k, run.method) == (k, method))
    target, scores = thesis.RATES[method], study.scores
    tried = scores[(scores["k"] == k) & (scores["method"] == method)]["learning_rate"]
    nearest = min(tried, key=lambda rate: abs(math.log(rate / target)))
    if nearest == own or tuning.empty:
        # SGD's steps are proportional to its rate: interpolate at the thesis's rate × epochs.
        curve = queries.curves(study.table, k=k, method=method).mean(axis=1)
        at = np.interp(curve.index * target / own, curve.index, curve)
        return dict(zip(curve.index, at, strict=True)), (
            f"at this book's rate {own:g}, read where rate × epochs is that of the thesis"
        )
    fields = {"k": k, "method": method, "optimizer": "sgd", "learning_rate": nearest}
    curve = queries.curves(tuning, evaluate_on="validation", **fields).mean(axis=1)
    return dict(curve), f"at the rate {nearest:g} of the tuning, on validation digits"


def alignment_table(study: Study) -> str:
    """Return both alignments of DFA at the last epoch, for one digit and for three."""
    rows = [
        [str(k), *(mean(ends(study, m, k=k, method="dfa"), COSINE, interval=True) for m in COSINES)]
        for k in (1, 3)
    ]
    return table(["k", *COSINES.values()], rows)


def curve(study: Study, k: int, method: str) -> pd.Series:
    """Return the mean test accuracy over seeds by epoch."""
    return queries.curves(study.table, k=k, method=method).mean(axis=1)


def rates(study: Study) -> str:
    """Return the scores of all learning rates on three digits as a table."""
    hard = study.scores[study.scores["k"] == 3]
    rows = []
    for rate in sorted(hard["learning_rate"].unique()):
        cells = [_score(hard[(hard["method"] == m) & (hard["learning_rate"] == rate)]) for m in RULES]
        rows.append([f"{rate:g}", *cells])
    return "Parity of three digits, SGD:\n\n" + table(["learning rate", *RULES.values()], rows)


def _score(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "not tried"
    tried = rows.iloc[0]
    text = "not finite" if math.isnan(tried["score"]) else percent(tried["score"])
    text = f"**{text}** (chosen)" if tried["chosen"] else text
    unsound = f", {tried['unsound']} unsound" if tried["unsound"] else ""
    return f"{text}, {plural(int(tried['seeds']), 'seed')}{unsound}"


def rates_answer(study: Study) -> Answer:
    """Say what each rule loses one grid step off its chosen rate."""
    sentences = []
    for method, name in RULES.items():
        of = (study.scores["k"] == 3) & (study.scores["method"] == method)
        row = study.scores[of].sort_values("learning_rate").reset_index()
        best = int(row["chosen"].to_numpy().argmax())
        scores = {
            side: row["score"][i]
            for side, i in (("below", best - 1), ("above", best + 1))
            if 0 <= i < len(row)
        }
        costs = {side: row["score"][best] - (0.5 if math.isnan(s) else s) for side, s in scores.items()}
        changes = [
            f"{'loses' if cost >= 0 else 'gains'} {points(abs(cost))}{SPACE}points one step {side}"
            for side, cost in costs.items()
        ]
        text = f"Off its best rate, {name} {enumerated(changes) or 'was not tried'}"
        if best + 1 < len(row):
            higher = row.loc[best + 1]
            text += f"; of the tuning runs one step above, {higher['unsound']} of {higher['seeds']} "
            text += "are unsound" if higher["unsound"] != 1 else "is unsound"
        sentences.append(f"{text}.")
    return Answer(
        f"**Answer.** {' '.join(sentences)}\n\n**The thesis** calls DFA highly sensitive to its "
        "learning rate. [Below](#sec-adaptive), where all optimizers are tuned, the ledger judges that. "
        "Appendix C shows every run of the tuning."
    )


def _has_control(study: Study) -> bool:
    return any(run.method == "bp" for run in study.runs)


def _at(study: Study, epoch: int, metric: str = "test_accuracy", **fields: object) -> Sample:
    return queries.at_epoch(study.table, epoch, metric, **fields)


def alignment(study: Study) -> dict[str, Any]:
    """Return figure 3.2."""
    long, with_sgd = study.runs[0].epochs, study.table[study.table["optimizer"] == "sgd"]
    start, end = (_at(study, e, "weight_alignment", method="dfa", optimizer="sgd") for e in (1, long))
    names = {m: name for m, name in RULES.items() if m == "dfa" or _has_control(study)}
    ended = means({n: ends(study, method=m, optimizer="sgd") for m, n in names.items()})
    published = thesis.FIGURE_3_2 if _is_mnist(study) else None
    metrics = ["test_accuracy", "weight_alignment"]
    return {
        "figure": metric_curves(with_sgd, metrics, published=published),
        "results": (study.name, "tuning"),
        "caption": (
            f"DFA's cosine of B and W₂ᵀ goes from {mean(start, COSINE)} after the first epoch to "
            f"{mean(end, COSINE)} after the last. Direct feedback alignment with SGD on the parity of "
            f"three digits{', and BP for as many epochs' if _has_control(study) else ''}: (a) test "
            "accuracy, and (b) of DFA the cosine of the random matrix B and the output weights W₂ᵀ, "
            "with the angle between them on the right-hand axis; "
            f"{setting(study)}. {LINES} {unstable_runs(with_sgd)}"
            + (" Circles are the thesis's published means." if _is_mnist(study) else "")
        ),
        "alt": (
            f"Two panels against epoch, to {long}. Accuracies at the last epoch: {ended}. DFA's cosine "
            f"goes from {mean(start, COSINE)} to {mean(end, COSINE)}."
        ),
    }


def alignment_answer(study: Study, short: Study, settings: Settings, verdict: str) -> Answer:
    """Say how far DFA aligns and whether its lag is a delay; ``verdict`` is on claim 4b."""
    long, of_dfa = study.runs[0].epochs, {"method": "dfa", "optimizer": "sgd"}
    start, end = (_at(study, epoch, "weight_alignment", **of_dfa) for epoch in (1, long))
    dfa, short_bp = ends(study, **of_dfa), ends(short, k=3, method="bp")
    against = compared(f"DFA after {long} epochs", f"BP after {settings.epochs} epochs", dfa, short_bp)
    lead = "This edition has not trained BP for as many epochs."
    if _has_control(study):
        gaps = [
            _at(study, epoch, method="bp", optimizer="sgd") - _at(study, epoch, **of_dfa)
            for epoch in (settings.epochs, long)
        ]
        lead = explained.lead_over_time(gaps[0], gaps[1], (settings.epochs, long)) + f" {verdict}"
    dip, stable = _dip(study, dfa), _tuned_for(study, short, settings, dfa)
    return Answer(
        f"**Answer.** The cosine goes from {mean(start, COSINE)} to {mean(end, COSINE)}. {against} "
        f"{dip} {stable}\n\n**Delay or limit?** {lead}",
        {
            "alignment-start": mean(start, COSINE),
            "alignment-end": mean(end, COSINE),
            "delay_or_limit": lead,
            "alignment_dip": dip,
            "alignment_stability": stable,
        },
    )


def _dip(study: Study, dfa: Sample) -> str:
    """Say at which epochs the cosines of DFA with SGD are lowest, over stable seeds."""
    rows = queries.select(study.table, method="dfa", optimizer="sgd")
    if len(dfa.sound):
        rows = rows[~rows["seed"].isin(list(dfa.unstable))]
    if rows["test_loss"].isna().any():
        return "A run is not finite, so the lowest cosines are not defined."
    parts = []
    for metric, name in COSINES.items():
        epoch = 1 + int(queries.curves(rows, metric).mean(axis=1).argmin())
        words = mean(queries.at_epoch(rows, epoch, metric), COSINE, interval=True)
        parts.append(f"the mean {name} is lowest after epoch {epoch}, at {words}")
    of = " of the stable seeds" if dfa.unstable and len(dfa.sound) else ""
    return f"Over the epochs{of}, {' and '.join(parts)}."


def _tuned_for(study: Study, short: Study, settings: Settings, dfa: Sample) -> str:
    long, rate = study.runs[0].epochs, study.runs[0].learning_rate
    short_rate = next(r.learning_rate for r in short.runs if (r.k, r.method) == (3, "dfa"))
    other = f"for {settings.epochs} epochs {short_rate:g}"
    if rate == short_rate:
        other = f"the same as for {settings.epochs}"
    unstable = f"{stability(dfa)} Mean accuracy: {mean(dfa)}." if dfa.unstable else stability(dfa)
    return f"For {long} epochs DFA's best rate is {rate:g}, {other}. {unstable}"


def long_run_beside_the_thesis(study: Study) -> str:
    """Return the published values of figure 3.2 beside this edition's; empty unless on MNIST."""
    if not _is_mnist(study):
        return ""
    outcomes = queries.select(study.table, optimizer="sgd")
    rows = []
    for metric, what in (("test_accuracy", "accuracy"), ("weight_alignment", "cosine")):
        scale = SCALES.get(metric, SHARE)
        beside = thesis.beside(outcomes, thesis.FIGURE_3_2, ["method", "epoch"], metric)
        each: list[Any] = list(beside.itertuples())
        for row in each:
            difference = Interval(row.difference, row.low, row.high, row.seeds - row.unstable)
            cells = (
                [signed(difference), percent(row.published), _own_mean(row)]
                if scale is SHARE
                else [signed(difference, scale), number(row.published), number(row.mean)]
            )
            rows.append([what, str(row.epoch), *cells])
    return (
        f"{table(['quantity', 'epoch', 'difference', 'thesis', 'this book'], rows)}\n\nDifferences and "
        "intervals are of the stable seeds, and assume that the published repeats varied as these do. "
        f"The thesis chose its rate for fifty epochs, {thesis.RATE_FIGURE_3_2:g}, on test digits; this "
        f"book chose {study.runs[0].learning_rate:g} on validation digits."
    )


def _by_matrix(study: Study) -> dict[str, Sample]:
    return {run.feedback or "": ends(study, feedback=run.feedback) for run in study.runs}


def _matrix_means(each: Mapping[str, Sample]) -> str:
    return means({FEEDBACK_NAMES[kind]: of for kind, of in each.items()})


def matrices(study: Study) -> dict[str, Any]:
    """Return figure 3.3."""
    each = _by_matrix(study)
    rates = "; ".join(f"{FEEDBACK_NAMES[r.feedback or '']} {r.learning_rate:g}" for r in study.runs)
    worst = min(each, key=lambda kind: each[kind].mean)
    return {
        "figure": final_accuracies(study.table, "feedback"),
        "results": (study.name, "tuning"),
        "caption": (
            f"The lowest mean is that of B {FEEDBACK_NAMES[worst]}, {mean(each[worst])}. Direct "
            "feedback alignment with SGD on the parity of three digits, by the distribution of "
            "its random matrix B: test accuracy of the last epoch; "
            f"{setting(study)}. {DOTS} The rates: {rates}. " + unstable_runs(study.table, by="feedback")
        ),
        "alt": (
            f"One row of dots for each of {len(each)} random matrices. Mean test accuracies: "
            f"{_matrix_means(each)}."
        ),
    }


def matrices_answer(study: Study) -> Answer:
    """Compare the random matrices, their sizes and their tuned rates."""
    each, chosen = _by_matrix(study), {run.feedback: run.learning_rate for run in study.runs}
    h = study.runs[0].hidden_widths[0]
    rms = {  # the root mean square of an entry
        "uniform": (3 * h) ** -0.5,
        "standard_uniform": 3**-0.5,
        "gaussian": (2 / h) ** 0.5,
        "standard_gaussian": 1.0,
        "sign": h**-0.5,
    }
    rows = [
        [
            FEEDBACK_NAMES[kind],
            mean(of, interval=True),
            "" if kind == "uniform" else gap(of - each["uniform"]),
            number(rms[kind], ".3f"),
            f"{chosen[kind]:g}",
            number(chosen[kind] * rms[kind] ** (2 / 3), ".4f"),
            mean(ends(study, "weight_alignment", feedback=kind), COSINE),
        ]
        for kind, of in each.items()
    ]
    heads = ["random matrix B", "accuracy", f"minus {FEEDBACK_NAMES['uniform']}, points"]
    heads += ["root mean square", "tuned rate", "rate × ⅔ power of size", "cos(B, W₂ᵀ) at the end"]

    def factor(power: float) -> float:
        scaled = [float(chosen[kind] * rms[kind] ** power) for kind in each]
        return max(scaled) / min(scaled)

    agrees = factor(2 / 3) <= min(factor(0), factor(1))
    trade = (
        f"The tuned rates lie within a factor {factor(0):.1f}; multiplied by the ⅔ power of B's size, "
        f"within {factor(2 / 3):.1f}, and by the size itself, within {factor(1):.1f}. One grid step is "
        "a factor of about 1.4. "
    )
    if agrees:
        trade += "The power ⅔ of {prf:ref}`prop-experiments-scale` brings the rates closest together."
    else:
        trade += "{prf:ref}`prop-experiments-scale` alone does not explain the rates."
    suffice = "This edition has not trained the matrix of signs."
    if "sign" in each:
        suffice = explained.signs_suffice(each["sign"], each["uniform"])
    best, worst = (pick(each, key=lambda kind: each[kind].mean) for pick in (max, min))
    names = {kind: f"B {FEEDBACK_NAMES[kind]}" for kind in (best, worst)}
    sentence = compared(names[best], names[worst], each[best], each[worst])
    return Answer(
        f"**Answer.** {sentence} Differences are paired, seed by seed:\n\n{table(heads, rows)}\n\n"
        f"{trade}\n\n**Signs or sizes?** {suffice}",
        {
            "signs_suffice": suffice,
            # Other pages cannot resolve this page's cross-references.
            "matrices_trade": trade.replace("{prf:ref}`prop-experiments-scale`", "that proposition"),
            "matrices_verdict": _matrix_means(each),
        },
    )


def _by_optimizer(study: Study) -> dict[tuple[str, str], Sample]:
    return {(o, m): ends(study, optimizer=o, method=m) for o in OPTIMIZERS for m in RULES}


def _gaps(each: Mapping[tuple[str, str], Sample]) -> dict[str, Sample]:
    return {OPTIMIZER_NAMES[o]: each[o, "bp"] - each[o, "dfa"] for o in OPTIMIZERS}


def optimizers(study: Study) -> dict[str, Any]:
    """Return figure 3.4."""
    each = _by_optimizer(study)
    accuracies = "; ".join(
        f"{OPTIMIZER_NAMES[o]}: {means({n: each[o, m] for m, n in RULES.items()})}" for o in OPTIMIZERS
    )
    return {
        "figure": final_accuracies(study.table, "optimizer"),
        "results": (study.name, "tuning"),
        "caption": (
            f"{lags('DFA', 'BP', _gaps(each))} Test accuracy of the last epoch of BP and DFA on the "
            f"parity of three digits with seven optimizers; {setting(study)}. "
            f"{DOTS} {unstable_runs(study.table)}"
        ),
        "alt": f"Two rows of dots for each of seven optimizers. Mean test accuracies. {accuracies}.",
    }


def optimizers_table(study: Study) -> str:
    """Return accuracies, rates and gaps for each optimizer."""
    each = _by_optimizer(study)
    chosen = {(run.optimizer, run.method): f"{run.learning_rate:g}" for run in study.runs}
    rows = [
        [name, gap(difference), *(mean(each[o, m]) for m in RULES), *(chosen[o, m] for m in RULES)]
        for o, (name, difference) in zip(OPTIMIZERS, _gaps(each).items(), strict=True)
    ]
    return table(["optimizer", "BP minus DFA, points", "BP", "DFA", "BP's rate", "DFA's rate"], rows)


def optimizers_answer(study: Study) -> Answer:
    """Say where DFA lags, which optimizer is best for each rule, and how RMSProp compares with SGD."""
    each = _by_optimizer(study)
    sentences = [lags("DFA", "BP", _gaps(each))]
    for m, name in RULES.items():
        best = max(OPTIMIZERS, key=lambda o: each[o, m].mean)
        sentences.append(
            f"{name}'s highest mean is with {OPTIMIZER_NAMES[best]}: {mean(each[best, m])}."
        )
        pair = each["rmsprop", m], each["sgd", m]
        sentences.append(compared(f"{name} with RMSProp", f"{name} with SGD", *pair))
    return Answer("**Answer.** " + " ".join(sentences))


def alignment_of_optimizers(study: Study) -> dict[str, Any]:
    """Return the figure of DFA's alignments with SGD and with RMSProp."""
    rows, long = study.table[study.table["method"] == "dfa"], study.runs[0].epochs
    metrics = [*COSINES, "test_accuracy"]

    def at_end(optimizer: str) -> str:
        of = {m: ends(study, m, method="dfa", optimizer=optimizer) for m in metrics}
        return listed(
            {COSINES.get(m, "accuracy"): mean(end, SCALES.get(m, SHARE)) for m, end in of.items()}
        )

    return {
        "figure": metric_curves(rows, metrics),
        "results": (study.name, "tuning"),
        "caption": (
            f"{_aligned_sooner(study)[0]} Direct feedback alignment with SGD and with RMSProp on the "
            "parity of three digits: (a) cosine of B and W₂ᵀ, (b) cosine of DFA's and BP's update of "
            f"W₁, and (c) test accuracy; {setting(study)}. {LINES} Right-hand "
            "axes give the angle. " + unstable_runs(rows)
        ),
        "alt": (
            f"Three panels against epoch, to {long}. At the last epoch, SGD: {at_end('sgd')}; RMSProp: "
            f"{at_end('rmsprop')}."
        ),
    }


def _aligned_sooner(study: Study) -> tuple[str, list[list[str]]]:
    """Say where RMSProp's cosines differ from SGD's; return the rows of a table, too."""
    long = study.runs[0].epochs
    rows, texts = [], []
    for metric, name in (COSINES | {"test_accuracy": "test accuracy"}).items():
        scale = SCALES.get(metric, SHARE)
        for epoch in (max(1, long // 25), long):
            rmsprop, sgd = (
                _at(study, epoch, metric, method="dfa", optimizer=o) for o in ("rmsprop", "sgd")
            )
            cells = [gap(rmsprop - sgd, scale), mean(sgd, scale), mean(rmsprop, scale)]
            rows.append([name, str(epoch), *cells])
            sign = direction((rmsprop - sgd).interval())
            if metric in COSINES and sign:
                which = "higher" if sign > 0 else "lower"
                texts.append(f"the {name} is {which} with RMSProp than with SGD after epoch {epoch}")
    aligned = "The interval of every difference of cosines contains 0."
    if texts:
        aligned = f"{capitalised(enumerated(texts))}."
    return aligned, rows


def alignment_of_optimizers_answer(study: Study) -> Answer:
    """Compare RMSProp's alignments with SGD's, early and at the end."""
    aligned, rows = _aligned_sooner(study)
    rmsprop, sgd = (ends(study, method="dfa", optimizer=o) for o in ("rmsprop", "sgd"))
    sentence = compared("DFA with RMSProp", "DFA with SGD", rmsprop, sgd)
    heads = ["DFA's", "epoch", "RMSProp minus SGD", "SGD", "RMSProp"]
    return Answer(f"**Answer.** {aligned} At the end, {sentence}\n\n{table(heads, rows)}")


def explains(study: Study) -> dict[str, Any]:
    """Return the figure of DFA's accuracy against measures of alignment."""
    last = explained.dfa_endings(study.table)
    titles = {}
    for measure in explained.measured(last):
        fit = explained.explain(explained.stable(last), measure)
        titles[measure] = f"ρ = {number(fit.rho)}, R² = {number(fit.r2)}"
    words = "; ".join(f"{explained.MEASURES[measure]}: {title}" for measure, title in titles.items())
    return {
        "figure": explaining_points(last, titles),
        "results": (study.name, "tuning"),
        "caption": (
            f"{explained.closest(last)} Test accuracy of direct feedback alignment with seven "
            "optimizers on the parity of three digits, against measures of signs, weights and updates "
            f"at the last epoch; {setting(study)}. Small marks are seeds, large "
            "marks means of stable seeds; dotted lines are where signs agree for one half, or vectors "
            "are at a right angle. Titles have the rank correlation ρ of the optimizers' means, and R² "
            f"over all stable runs. {unstable_runs(last, means=False)}"
        ),
        "alt": f"Accuracy against each measure, one panel each, a mark for each optimizer. {words}.",
    }


def explains_answer(study: Study) -> Answer:
    """Say what explains DFA's accuracy, and whether signs or sizes have changed."""
    last = explained.dfa_endings(study.table)
    what, signs = explained.which_explains(last), explained.signs_or_sizes(last)
    return Answer(
        f"{explained.table_of(last)}\n\n**Answer.** {what}\n\n**Which signs are right?** {signs}",
        {"what_explains": what},
    )


def _error(study: Study, method: str, optimizer: str, judged: str = "test", **fields: object) -> Sample:
    return queries.errors(study.table, judged, method=method, optimizer=optimizer, **fields)


def _errors_compared(
    study: Study, first: tuple[str, str], second: tuple[str, str], judged: str = "test"
) -> str:
    what = "of the points wrong" if judged == "test" else "of the training points wrong"
    errors = [_error(study, *line, judged) for line in (first, second)]
    return compared(label(*first), label(*second), errors[0], errors[1], what)


def clusters(study: Study, sizes: ClusterSizes, settings: Settings) -> dict[str, Any]:
    """Return the figure of DFA on the clusters."""
    run = study.runs[0]

    def at_ends(judged: str) -> str:
        ends = {
            label(*line): [_error(study, *line, judged, dimensions=d) for d in sizes.ds]
            for line in CLUSTERS[study.name]
        }
        return listed({name: f"{mean(of[0])} to {mean(of[-1])}" for name, of in ends.items()})

    return {
        "figure": error_curves([(study.table, "dimensions", judged) for judged in ("test", "train")]),
        "results": (study.name, "tuning"),
        "caption": (
            f"{_errors_compared(study, ('bp', 'sgd'), ('dfa', 'sgd'))} BP and DFA, each with SGD and "
            "with RMSProp, and ReLU features, which train the output layer only, on the clusters: (a) "
            "test error and (b) training error, and below test error minus that of BP with SGD, after "
            f"{run.epochs * run.passes} steps, each on all n = {POINTS} training points, against the "
            f"number of inputs d, of which two matter; {run.hidden} hidden units. Each has the rate "
            f"that was best on validation points at d = {INPUTS}. Lines are means over "
            f"{settings.labellings} seeds, each with one of the 126 labellings, bands their "
            f"{INTERVALS}, and dots, where errors are compared, single labellings (12 at "
            "most); the dotted line is the error of always answering 0. " + unstable_runs(study.table)
        ),
        "alt": (
            f"Two panels of error against the number of inputs, from {sizes.ds[0]} to {sizes.ds[-1]}. "
            f"Test error: {at_ends('test')}. Training error: {at_ends('train')}."
        ),
    }


def clusters_answer(study: Study, sizes: ClusterSizes, solution: Study) -> Answer:
    """Answer the questions of the section; ``solution`` has the converged output layer."""
    features = queries.solved_error(solution.table, "relu_features", [(POINTS, d) for d in sizes.ds])
    last = study.table[study.table["epoch"] == study.table["epochs"]]
    lines = CLUSTERS[study.name]
    fitted = listed(
        {
            label(m, o): f"{int((rows['train_accuracy'] == 1).sum())} of {len(rows)} runs"
            for m, o in lines
            if len(rows := queries.select(last, method=m, optimizer=o))
        }
    )

    bp, dfa = ("bp", "sgd"), ("dfa", "sgd")
    converged = "ReLU features solved to convergence"
    questions = {
        "Does DFA with SGD fit the training data?": (
            f"Runs that get every training point right: {fitted}. "
            f"{_errors_compared(study, dfa, bp, 'train')}"
        ),
        "Does DFA with SGD beat the lazy method?": (
            f"{_errors_compared(study, dfa, ('relu_features', 'sgd'))} "
            + compared(label(*dfa), converged, _error(study, *dfa), features, "of the points wrong")
        ),
        "Does DFA with SGD reach BP?": _errors_compared(study, dfa, bp),
        "Does RMSProp help DFA?": _errors_compared(study, ("dfa", "rmsprop"), dfa),
        "Does RMSProp hurt BP?": _errors_compared(study, ("bp", "rmsprop"), bp),
    }
    return Answer("\n".join(f"- **{question}** {answer}" for question, answer in questions.items()))


def clusters_table(study: Study, sizes: ClusterSizes) -> str:
    """Return learning rates and mean test errors as a table."""
    lines = CLUSTERS[study.name]
    rows = [["learning rate", *(f"{run.learning_rate:g}" for run in study.runs)]]
    rows += [
        [f"test error, d = {d}", *(mean(_error(study, *line, dimensions=d)) for line in lines)]
        for d in sizes.ds
    ]
    return table(["quantity", *(label(*line) for line in lines)], rows)
