"""Recompute the verdicts of the site's claims.json from results tables, with pandas and SciPy alone.

    python results/recompute_verdicts.py claims.json results/mnist mnist

A formula in claims.json names one of the FUNCTIONS and its arguments. The exit status counts verdicts
that differ. Claims about networks that are in no table are left out, and so are corrections.
"""

import json
import math
import sys
from functools import cache
from pathlib import Path

import pandas as pd
from scipy import special, stats

OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam")
MATRICES = ("uniform", "standard_uniform", "gaussian", "standard_gaussian")
RATE, WHAT = "learning_rate", ["method", "optimizer", "feedback", "k", "samples", "hidden", "epochs"]
SCALES = {"fisher": (math.atanh, math.tanh), "ratio": (math.log, math.exp), "t": (float, float)}

# fmt: off
# One formula to a line. A number is a Series by seed; curves are epochs by seeds.


@cache
def table(name):
    texts = {"hidden": str, "scale": str}
    rows = pd.read_csv(Path(sys.argv[2], f"{name}.csv"), dtype=texts, low_memory=False)
    return rows[rows["dataset"].isin([sys.argv[3], "clusters"])] if "dataset" in rows else rows


def runs(name, **fields): return table(name)[(table(name)[[*fields]] == pd.Series(fields)).all(axis=1)]
def adaptive(m, o): return runs("adaptive_methods", method=m, optimizer=o)
def matrix(name): return runs("random_matrices", feedback=name).iloc[0]
def tried(run): return runs("tuning", evaluate_on="validation", **run[WHAT].dropna())
def curves(rows, metric="test_accuracy"): return rows.groupby(["epoch", "seed"])[metric].mean().unstack()
def last(rows, metric="test_accuracy"): return curves(rows, metric).iloc[-1]
def gap(o): return last(adaptive("bp", o)) - last(adaptive("dfa", o))
def mean(numbers): return sum(numbers) / len(numbers)
def half_way(c, start): return (c >= (start + c.max()) / 2).idxmax()


def tuned(measure, run):  # of the runs by which a run's rate was chosen
    at, here = dict(list(tried(run).groupby(RATE))), run[RATE]
    near = [rate for rate in at if {*at[rate]["seed"]} & {*at[here]["seed"]}]
    up, down = min([r for r in near if r > here] or [here]), max([r for r in near if r < here] or [here])
    score = {rate: curves(rows).tail(10).mean() for rate, rows in at.items()}
    loss = {rate: curves(rows, "train_loss") for rate, rows in at.items()}
    overfit = {rate: last(rows, "train_accuracy") - last(rows) for rate, rows in at.items()}
    jumps = {rate: c.diff()[1:].tail(10).abs().mean() for rate, c in loss.items()}
    slow = loss[min(at)]
    return {
        "lost_above": score[here] - score[up],
        "lost_beside": score[here] - (score[down] + score[up]) / 2,
        "lost_at_rate_1": score[here] - score.get(1.0, math.nan),
        "lost_at_the_lowest": score[here] - score[min(at)],
        "overfitting": overfit[up] - overfit[here],
        "fluctuation": jumps[up] / jumps[here],
        "still_falling": slow.iloc[3 * len(slow) // 4 - 1] - slow.iloc[-1],
    }[measure]


def rates_apart():  # an interval: a rate is known to half of the way to the next one tried
    ends = sorted(map(matrix, MATRICES), key=lambda run: run[RATE])[::3]
    away = [(tried(run)[RATE].map(math.log) - math.log(run[RATE])).abs() for run in ends]
    slack = math.exp(sum(distance[distance > 0].min() for distance in away) / 2)
    return ends[1][RATE] / ends[0][RATE] / slack, ends[1][RATE] / ends[0][RATE] * slack


def spread_ratio():  # an interval, by the F distribution
    bp, dfa = (mean([last(adaptive(m, o)).var() for o in OPTIMIZERS[3:]]) for m in ("bp", "dfa"))
    freedom = 4 * (len(last(adaptive("bp", "adam"))) - 1)
    return [(dfa / bp * wide) ** 0.5 for wide in stats.f.ppf([0.025, 0.975], freedom, freedom)]


def share_of_epochs(method, optimizer):
    c, goal = curves(adaptive(method, optimizer)), last(adaptive(method, "sgd")).mean()
    return (c >= goal).idxmax().where((c >= goal).any(), len(c) + 1) / len(c)


def alignment_before_accuracy():
    rows = runs("alignment", method="dfa", optimizer="sgd")
    before = half_way(curves(rows, "weight_alignment"), 0) - half_way(curves(rows), 0.5)
    return before[curves(rows).max() >= 0.55]


def at(experiment, metric, place, fields):
    c = curves(runs(experiment, **fields), metric)
    return c.loc[max(1, int(place * len(c)))]


def lowest(experiment, metric, fields):
    c = curves(runs(experiment, **fields), metric)
    return c.loc[c.mean(axis=1).idxmin()]


def rank_correlation(first, second):
    rows = runs("alignment", method="dfa", optimizer="sgd")
    a, b = (curves(rows, metric) for metric in (first, second))
    return pd.Series({seed: stats.spearmanr(a[seed], b[seed])[0] for seed in a})


def best_lazy(k):
    rows = runs("reproduction", k=k)
    return max([last(each) for name, each in rows.groupby("method") if name != "bp"], key=pd.Series.mean)


def error_at(experiment, method, varied, end):
    rows = runs(experiment, method=method)
    return 1 - last(rows[rows[varied] == getattr(rows[varied], end)()])


def solved_error(method, like):
    places = table(like)[["samples", "dimensions"]].drop_duplicates()
    rows = runs("clusters_converged", method=method).merge(places)
    return 1 - rows.groupby("seed")["test_accuracy"].mean()


def ended(remedy, **fields):  # runs at the edge of stability
    rows = table("edge" if remedy == "none" else f"edge_{remedy}").fillna({"feedback": ""})
    key, burst, end = ["method", "feedback", "learning_rate", "seed"], 2 * math.log(2), 1.1 * math.log(2)
    over = rows[(rows["gain"] > 2) & (rows["step"] > 0)].groupby(key)["step"].min()
    e = rows.sort_values("step").groupby(key).tail(1).set_index(key)
    e = e.assign(most=rows.groupby(key)["loss"].max(), passed=over)
    lost = e["accuracy"] <= 0.5 + 1.5 / e["test_samples"] ** 0.5
    e["unstable"] = ~(e["loss"] <= end) | (lost & (e["most"] > burst))
    e = e.reset_index()
    return e[(e[[*fields]] == pd.Series(fields)).all(axis=1)]


def passed_the_edge(method, unstable):
    return 1.0 * ended("none", method=method, unstable=unstable)["passed"].notna()


def unstable_past_the_edge(method):
    runs = ended("none", method=method)
    return 1.0 * runs["unstable"][runs["passed"].notna()]


def unstable_with(remedy):
    key = ["feedback", "learning_rate", "seed"]
    return 1.0 * ended(remedy).merge(ended("none", method="dfa", unstable=True)[key])["unstable"]


def accuracy_with(remedy, feedback):
    runs = ended(remedy, method="dfa", feedback=feedback)
    by_rate = {rate: rows.set_index("seed") for rate, rows in runs.groupby("learning_rate")}
    sound = [rows["accuracy"] for rows in by_rate.values() if not rows["unstable"].any()]
    return max(sound or [rows["accuracy"] for rows in by_rate.values()], key=pd.Series.mean)


def in_layer(method, layers, layer, held, metric):
    rows = runs("depth", method=method, layers=layers, held=held, layer=layer)
    return curves(rows, metric)


def half_agreed(method, layers, layer):
    return half_way(in_layer(method, layers, layer, "none", "gradient_alignment"), 0)


def students(measure, **fields):  # of a teacher: a row for each time
    return runs("align", **fields).pivot(index="time", columns=["dimensions", "seed"], values=measure)


def finite_size_slope(method):
    y = (students("distance", start="same", method=method) ** 2).mean().map(math.log).unstack("seed") / 2
    return pd.Series({seed: stats.linregress(list(map(math.log, y.index)), y[seed]).slope for seed in y})


def aligned_before_learned(start):
    a = students("alignment", start=start, method="dfa")
    falling = -students("loss", start=start, method="dfa")
    return half_way(a, a.iloc[0]) - half_way(falling, falling.iloc[0])


def alignment_before_loss():
    rows = runs("alignment", method="dfa", optimizer="sgd")
    falling = -curves(rows, "train_loss")
    return half_way(curves(rows, "weight_alignment"), 0) - half_way(falling, -math.log(2))


def steps(rows):
    hit = rows[rows["test_accuracy"] >= 0.75].groupby("seed")["step"].min()
    return hit.reindex(rows["seed"].unique()).fillna(rows.groupby("seed")["step"].max())


def bits(small, **fields):
    return runs("hard", **fields)[lambda rows: (rows["learning_rate"] == 0.25) == small]


def steps_on_digits(k, method, optimizer):
    rows = runs("hard_digits", k=k, method=method, optimizer=optimizer)
    return steps(rows.assign(step=rows["epoch"] * rows["samples"] // rows["batch_size"]))


def size_slope(k, method):
    rows = bits(True, k=k, method=method)
    y = pd.DataFrame({n: steps(own).map(math.log) for n, own in rows.groupby("dimensions")}).T
    return pd.Series({seed: stats.linregress(list(map(math.log, y.index)), y[seed]).slope for seed in y})


def hidden_progress(k, method):
    rows = bits(True, k=k, method=method, dimensions=20)
    began = rows[rows["test_accuracy"] >= 0.55].groupby("seed")["step"].min()
    return rows[rows["step"] < rows["seed"].map(began)].groupby("seed")["relevant"].last()


FUNCTIONS = {
    "-": lambda self, other: number(self) - number(other),
    "/": lambda self, other: number(self) / number(other),
    "final": lambda experiment, metric, fields: last(runs(experiment, **fields), metric),
    "at": at, "lowest": lowest, "rank_correlation": rank_correlation, "best_lazy": best_lazy,
    "error": lambda experiment, method, optimizer, judged:
        1 - last(runs(experiment, method=method, optimizer=optimizer), f"{judged}_accuracy"),
    "error_at": error_at, "solved_error": solved_error,
    "errors": lambda accuracy, examples: (1 - number(accuracy)).clip(lower=0.5 / examples),
    "probe": lambda weights, kind, target:
        runs("probes", weights=weights, probe=kind, target=target).set_index("seed")["accuracy"],
    "share_of_epochs": share_of_epochs, "alignment_before_accuracy": alignment_before_accuracy,
    "mean_gap": lambda: mean([gap(o) for o in OPTIMIZERS]),
    "by_tuning": lambda measure, method, optimizer: tuned(measure, adaptive(method, optimizer).iloc[0]),
    "mean_lost_beside": lambda method:
        mean([tuned("lost_beside", adaptive(method, o).iloc[0]) for o in OPTIMIZERS]),
    "at_the_lowest_rate": lambda measure:
        pd.Series([tuned(measure, matrix(m)).mean() for m in MATRICES]),
    "spread_ratio": spread_ratio, "rates_apart": rates_apart,
    "passed_the_edge": passed_the_edge, "unstable_past_the_edge": unstable_past_the_edge,
    "unstable_with": unstable_with, "accuracy_with": accuracy_with,
    "accuracy_at_depth": lambda method, layers, held:
        in_layer(method, layers, 1, held, "test_accuracy").iloc[-1],
    "agreement_of_layer": lambda method, layers, layer:
        in_layer(method, layers, layer, "none", "gradient_alignment").iloc[-1],
    "half_agreed": half_agreed,
    "at_scale": lambda method, scale, metric:
        last(runs("rich", method=method, scale=scale, optimizer="sgd"), metric),
    "steps_on_bits": lambda k, method, optimizer:
        steps(bits(False, k=k, dimensions=20, method=method, optimizer=optimizer)),
    "steps_on_digits": steps_on_digits, "size_slope": size_slope, "hidden_progress": hidden_progress,
    "finite_size_slope": finite_size_slope, "aligned_before_learned": aligned_before_learned,
    "alignment_before_loss": alignment_before_loss,
    "all_signs": lambda method, of:
        1.0 * (students(f"signs_of_{of}", start="small", method=method).iloc[-1] == 1),
}


def number(formula):
    function, given = (formula, {}) if isinstance(formula, str) else (formula["function"], formula)
    return FUNCTIONS[function](**{name: value for name, value in given.items() if name != "function"})


def interval(values, kind):  # Student's t on the kind's scale
    values = values.dropna()
    t = stats.t.ppf(0.95 if "equivalence" in kind else 0.975, len(values) - 1)
    if kind == "logit":  # around the arithmetic mean, by the delta method
        p = values.clip(5e-5, 1 - 5e-5).mean()
        half = t * values.clip(5e-5, 1 - 5e-5).sem() / (p * (1 - p))
        return special.expit(special.logit(p) - half), special.expit(special.logit(p) + half)
    if kind == "binomial":  # by Clopper and Pearson
        hits, n = int(values.sum()), len(values)
        return stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0, \
            stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    to, back = SCALES[kind.removesuffix("equivalence").strip() or "t"]
    scaled = values.map(to)
    return back(scaled.mean() - t * scaled.sem()), back(scaled.mean() + t * scaled.sem())


def verdict_on(part):
    values = number(part["formula"])
    low, high = interval(values, part["kind"]) if isinstance(values, pd.Series) else values
    above = -math.inf if part["above"] is None else part["above"]
    below = math.inf if part["below"] is None else part["below"]
    return "holds" if above < low and high < below else \
        "does not hold" if high <= above or low >= below else "undecided"


def verdict(rule, there):
    found = {verdict_on(part) for part, is_there in zip(rule["numbers"], there, strict=True) if is_there}
    some = rule["needs"] == "some number"
    if "holds" in found:
        return "holds" if some or found == {"holds"} else "holds in part"
    return "does not hold" if "does not hold" in found and not (some and len(found) > 1) else "undecided"


differ = 0
for claim in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["claims"]:
    stated = claim["verdicts"][sys.argv[3]]
    if stated["results"] and stated["verdict"] != "not tested":
        found = verdict(claim["rule"], [number["n"] for number in stated["numbers"]])
        same = found == stated["verdict"]
        differ += not same
        print(f"{claim['id']}: {found}{'' if same else ', but claims.json says ' + stated['verdict']}")
sys.exit(differ)
