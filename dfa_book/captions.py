"""Common parts of captions: the setting, the meaning of marks, and the count of unstable runs."""

import pandas as pd

from dfa_lib.experiments import final_epoch
from dfa_lib.experiments.names import FEEDBACK_NAMES

from .plots import judged, label, unstable_note
from .studies import Study
from .words import DATASETS, SPACE, plural

INTERVALS = f"95{SPACE}% Student-t intervals"
LINES = (
    f"Lines are means over seeds, bands their {INTERVALS}, faint lines single seeds; the dotted line is "
    "chance."
)
DOTS = (
    f"Dots are seeds, upright strokes means, bars {INTERVALS}; the dotted line is chance. Learning "
    "rates are tuned, each on validation digits."
)


def setting(study: Study) -> str:
    """Describe the dataset, size and seeds of an experiment as a part of a sentence."""
    run = study.runs[0]
    return (
        f"{DATASETS[run.dataset]}, {run.samples:,} fresh training stacks an epoch, {run.hidden} hidden "
        f"units, {plural(run.epochs, 'epoch')}, {seeds(study)}"
    )


def seeds(study: Study) -> str:
    """Count the seeds of an experiment, for each number of digits if they differ."""
    by_digits = study.table.groupby("k")["seed"].nunique()
    counts = dict(zip(by_digits.index.tolist(), by_digits.tolist(), strict=True))
    if len(set(counts.values())) == 1:
        return plural(next(iter(counts.values())), "seed")
    return " and ".join(f"{plural(n, 'seed')} on {plural(k, 'digit')}" for k, n in counts.items())


def unstable_runs(table: pd.DataFrame, by: str = "method", means: bool = True) -> str:
    """Say in a caption which runs of a results table are unstable, and how the figure marks them.

    ``table`` has all epochs of each run, or a column ``outcome``. Lines are named by ``"method"`` (and
    optimizer) or by ``"feedback"``. ``means`` says whether the figure has intervals, and the mean of all
    seeds beside that of the stable ones.
    """
    last = final_epoch(judged(table))
    keys = ["feedback"] if by == "feedback" else ["method", "optimizer"]
    groups = {}
    for key, runs in last.groupby(keys, sort=False):
        names = [str(each) for each in key]
        name = FEEDBACK_NAMES[names[0]] if by == "feedback" else label(*names)
        groups[name] = unstable_note(runs)
    notes = [f"{name}: {note}" for name, note in groups.items() if note]
    if not notes:
        return "No run is unstable."
    text = f"{'; '.join(notes)}. Crosses mark the unstable runs"
    if not means:
        return f"{text}."
    return f"{text}; means with intervals are of the other runs, and diamonds are the means of all."
