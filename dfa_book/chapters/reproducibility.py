"""What appendix C shows: the protocol, outcomes, tuning, and the provenance of results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from dfa_lib.experiments import final_epoch
from dfa_lib.experiments.names import METHOD_NAMES
from dfa_lib.experiments.outcomes import OUTCOMES
from dfa_lib.experiments.progress import cost
from dfa_lib.experiments.provenance import Record, digests_of, fingerprint
from dfa_lib.experiments.results import read_histories, read_results, run_digest
from dfa_lib.experiments.statistics import with_outcomes
from dfa_lib.experiments.tuning import FIRST_SEED, SCORED_EPOCHS, SEEDS, SEEDS_WITH_FEEDBACK

from ..chapter import EXPERIMENTS, Settings
from ..claims import queries
from ..deviation_plots import outcome_curves
from ..plots import NAMES_BY, label, rate_curves, score_curves
from ..site.markdown import as_code, as_text
from ..site.verify import results_files
from ..studies import FINE_ON_MNIST
from ..words import SPACE, listed, plural, table


def columns(rows: Mapping[str, Any], left: str, right: str) -> str:
    """Return a table of two columns."""
    return table([left, right], [[name, as_text(value)] for name, value in rows.items()], right=False)


def protocol(settings: Settings) -> str:
    """Return the settings of this edition's parity runs as a table."""
    run = settings.run(method="dfa")
    seeds = [settings.tuning_seeds or default for default in (SEEDS_WITH_FEEDBACK, SEEDS)]
    fine = f"{seeds[0]} with a random matrix, {seeds[1]} without"
    if settings.profile == "mnist":
        fine = f"{' or '.join(map(str, sorted({0, *FINE_ON_MNIST.values()})))}, by method"
    rows = {
        "profile": settings.profile,
        "dataset": run.dataset,
        "seeds of a repeated run": f"0 to {settings.seeds - 1}",
        "seeds of tuning runs": f"from {FIRST_SEED:,} on",
        "training stacks an epoch, drawn anew": f"{run.samples:,}",
        "test stacks an epoch, drawn anew": f"{run.test_samples:,}",
        "epochs": run.epochs,
        "batch": run.batch_size,
        "hidden units": f"{run.hidden}, {run.activation}",
        "weight decay": f"{run.weight_decay:g}",
        "score of a rate": f"mean validation accuracy of the last {SCORED_EPOCHS} epochs over its seeds",
        "tuning seeds of a rate, fine pass": fine,
        "precision": run.precision,
        "device": run.device,
        "processes": settings.jobs,
    }
    return columns(rows, "what", "value")


def outcomes_figure(tuning: pd.DataFrame) -> dict[str, Any]:
    """Return a figure of one tuning run for each outcome that occurs, preferably of DFA."""
    judged = with_outcomes(tuning)
    examples, what = {}, {}
    for outcome in OUTCOMES[:3]:
        runs = judged[judged["outcome"] == outcome]
        runs = runs.sort_values("method", key=lambda methods: methods != "dfa", kind="stable")
        if len(runs):
            first = runs.iloc[0]
            fields = ("method", "optimizer", "feedback", "learning_rate", "seed")
            known = {name: first[name] for name in fields if not pd.isna(first[name])}
            examples[outcome] = queries.select(runs, **known)
            line = label(first["method"], first["optimizer"])
            what[outcome] = f"{line} at the rate {first['learning_rate']:g}"
    ends = {
        name: f"a loss of {rows['train_loss'].iloc[-1]:,.2f} nats" for name, rows in examples.items()
    }
    return {
        "figure": outcome_curves(examples),
        "results": ("tuning",),
        "caption": (
            "Three outcomes of a run: (a) training loss, on a logarithmic axis, and (b) accuracy on "
            "validation digits against epoch, one tuning run each, parity of three digits. "
            f"{listed({f'*{name}*:': run for name, run in what.items()})}. Dotted lines are chance: a "
            "loss of ln 2 nats, and one half. Above the dashed line, 1.1 ln 2, a run ends unstable."
        ),
        "alt": f"Two panels, a line for each outcome. The runs end at: {listed(ends)}.",
    }


def outcomes_table(settings: Settings) -> str:
    """Count this edition's runs by outcome; empty if results are not kept."""
    rows = []
    for name in EXPERIMENTS:
        path = settings.csv(name)
        if path is not None and path.exists():
            outcomes = final_epoch(with_outcomes(read_results(path)))["outcome"]
            counts = [str(int((outcomes == outcome).sum())) for outcome in OUTCOMES]
            rows.append([name, str(len(outcomes)), *counts])
    if not rows:
        return ""
    return "What became of this edition's runs:\n\n" + table(["experiment", "runs", *OUTCOMES], rows)


def _chosen(scores: pd.DataFrame, by: str) -> str:
    rows = scores[scores["chosen"]]
    return listed({NAMES_BY[by][row[by]]: f"{row['learning_rate']:g}" for _, row in rows.iterrows()})


def _unsound(scores: pd.DataFrame) -> str:
    return f"{int((scores['unsound'] > 0).sum())} of {plural(len(scores), 'rate')} had an unsound run"


def rates(trials: pd.DataFrame, scores: pd.DataFrame, by: str, what: str) -> dict[str, Any]:
    """Return a figure of tuning runs, a panel for each optimizer or random matrix."""
    return {
        "figure": rate_curves(trials, scores, by),
        "results": ("tuning",),
        "caption": (
            f"Tuning {what}: {_unsound(scores)}. Accuracy on validation digits against epoch for every "
            "rate that was tried, mean over the rate's seeds (the legend counts the unsound ones); "
            "stronger for larger rates, the chosen one in colour, with its single seeds; parity of "
            "three digits. Rates with an unsound run are dashed with a cross."
        ),
        "alt": (
            f"{plural(scores[by].nunique(), 'panel')} of accuracy against epoch. {_unsound(scores)}. "
            f"Chosen rates: {_chosen(scores, by)}."
        ),
    }


def scores(scores: pd.DataFrame, by: str, what: str) -> dict[str, Any]:
    """Return a figure of the scores of a tuning against the rate."""
    per_method = "; ".join(
        f"{METHOD_NAMES[str(m)]}: {_chosen(rows, by)}" for m, rows in scores.groupby("method")
    )
    return {
        "figure": score_curves(scores, by),
        "results": ("tuning",),
        "caption": (
            f"{_unsound(scores)}. Score on validation digits (the mean accuracy of the last ten epochs, "
            f"over a rate's seeds) against learning rate, {what}; parity of three digits. Rates of the "
            "coarse pass have one seed, those of the fine pass several. A ring marks the chosen rate, a "
            "cross a rate with an unsound run; a rate with a run that is not finite has no score."
        ),
        "alt": (
            f"Score against learning rate on a logarithmic axis; {_unsound(scores)}. Chosen rates, "
            f"{per_method}."
        ),
    }


Entries = list[tuple[str, dict[str, Any]]]


def records(folder: Path) -> Entries:
    """Return the entries of all records in a folder of results, with the names of their files."""
    return [
        (path.stem, entry)
        for path in sorted(folder.glob("*.csv"))
        for entry in Record.read(path).sessions
    ]


def _clock(seconds: float) -> str:
    for unit, length in (("hours", 3_600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f}{SPACE}{unit}"
    return f"{seconds:.0f}{SPACE}seconds"


def records_table(entries: Entries) -> str:
    """Return runs and times by file and state of the code as a table."""
    sessions: dict[tuple[str, str, str], tuple[int, float, str]] = {}
    for name, entry in entries:
        code = entry["library"].removeprefix("dfa_lib ").partition(" with ")[0]
        runs, seconds, _ = sessions.get((name, entry["commit"], code), (0, 0.0, ""))
        sessions[name, entry["commit"], code] = (
            runs + entry["runs"],
            seconds + entry["seconds"],
            entry["finished"][:16].replace("T", SPACE).replace("-", "-\u2060"),  # no breaks
        )
    rows = [
        [as_text(name), str(runs), _clock(seconds), finished, as_code(commit), as_code(code)]
        for (name, commit, code), (runs, seconds, finished) in sessions.items()
    ]
    return table(["file", "runs", "trained in", "finished, UTC", "commit", "code"], rows)


def computed_with(entries: Entries) -> str:
    """Say which code, data and hardware an edition's results come from."""
    libraries = sorted({entry["library"] for _, entry in entries})
    here = "the same" if libraries == [fingerprint()] else fingerprint()
    checksums: dict[str, set[str]] = {}
    for _, entry in entries:
        for name, checksum in entry["data"].items():
            checksums.setdefault(name, set()).add(checksum)
    data = listed({as_text(n): ", ".join(map(as_code, sorted(each))) for n, each in checksums.items()})
    machines = sorted({(e["machine"]["processor"], e["machine"]["cores in use"]) for _, e in entries})
    processors = " and ".join(f"{processor}, {cores} cores in use" for processor, cores in machines)
    return (
        "**Code.** The numbers of a run depend on some of the library's modules and on torch; a digest "
        f"of the two names their state. These results have {as_text(' and '.join(libraries))}; this "
        f"page has {here}.\n\n**Data.** SHA-256 of the digits in use, after the split and the "
        f"normalisation, first 16 hexadecimal digits: {data}. The points of the clusters are drawn from "
        f"seeds alone.\n\n**Hardware.** Trained on {as_text(processors)}. This page was executed on:"
    )


def _at_the_best_pace(folder: Path, entries: Entries) -> str:
    """Say how long all runs would take at the speed of the fastest entry."""
    costs, by_digest = {}, {}
    for path in results_files(folder):
        for run, history in read_histories(path).items():
            costs[run] = by_digest[run_digest(history)] = cost(run)
    paces = [
        sum(by_digest.get(run, 0) for run in digests_of(entry)) / entry["seconds"]
        for _, entry in entries
        if entry["seconds"]
    ]
    if not any(paces):
        return ""
    return (
        f" At the pace of its quickest part, all of it takes {_clock(sum(costs.values()) / max(paces))}."
    )


def time_taken(folder: Path, what: str) -> str:
    """Say how long the results of a folder took; empty without results."""
    entries = records(folder)
    if not entries:
        return ""
    runs, seconds = (sum(entry[column] for _, entry in entries) for column in ("runs", "seconds"))
    cores = " or ".join(sorted({entry["machine"]["cores in use"] for _, entry in entries}))
    missing = [name for name in ("tuning", *EXPERIMENTS) if not (folder / f"{name}.csv").exists()]
    part = f" Not trained there yet: {', '.join(missing)}; their time comes on top." if missing else ""
    return (
        f"**{what}:** {plural(runs, 'run')} in {_clock(seconds)} by the clock, on {as_text(cores)} "
        f"cores, tuning included.{_at_the_best_pace(folder, entries)}{part}"
    )
