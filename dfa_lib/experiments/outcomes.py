"""The outcome of a run: learned, at chance, unstable or non-finite.

With a sigmoid output the error signal is bounded, so a run whose learning rate is too high rarely
overflows: its loss grows to tens or hundreds of nats while its accuracy falls to chance. A mean over
seeds must not hide such runs, so every table counts them.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..training import History

LEARNED = "learned"
AT_CHANCE = "at chance"
UNSTABLE = "unstable"
NON_FINITE = "non-finite"
OUTCOMES = (LEARNED, AT_CHANCE, UNSTABLE, NON_FINITE)
"""The values of ``outcome``, from best to worst."""

# The loss of predicting ½, in nats. The bound lies in a gap: of 753 tuning runs on the digits and MNIST,
# those that learn or stay at chance end at most at 1.013 times this loss, the others at least at 1.12.
COIN_LOSS = math.log(2)
UNSTABLE_END = 1.1 * COIN_LOSS
# Runs that end well reach up to 3.1 times this loss for an epoch (Adagrad's first).
UNSTABLE_ON_THE_WAY = 2 * COIN_LOSS
# Standard errors above ½: chance alone reaches that once in 740 runs.
ABOVE_CHANCE = 3.0


def outcome(train_loss: Sequence[float], test_accuracy: Sequence[float], test_samples: int) -> str:
    """Return the outcome of a run.

    - *non-finite*: a loss is infinite or nan.
    - *unstable*: the training loss ends above 1.1 ln 2, so the network is worse than predicting ½; or
      it ends at chance after a loss above 2 ln 2, for example because hidden units have died.
    - *at chance*: the last test accuracy is at most 3 standard errors above ½.
    - *learned*: all others, including those whose loss rose and fell again.

    There is a loss (in nats) and an accuracy (in [0, 1], on ``test_samples`` examples) per epoch.
    """
    if not all(map(math.isfinite, train_loss)) or not math.isfinite(test_accuracy[-1]):
        return NON_FINITE
    if train_loss[-1] > UNSTABLE_END:
        return UNSTABLE
    if above_chance(test_accuracy[-1], test_samples):
        return LEARNED
    return UNSTABLE if max(train_loss) > UNSTABLE_ON_THE_WAY else AT_CHANCE


def above_chance(accuracy: float, test_samples: int) -> bool:
    """Return whether an accuracy on so many examples is more than 3 standard errors above ½."""
    return accuracy > 0.5 + ABOVE_CHANCE * 0.5 / math.sqrt(test_samples)


def outcome_of(history: History) -> str:
    """Return the ``outcome`` of a run."""
    assert history.run.test_samples is not None
    return outcome(history.train_loss, history.test_accuracy, history.run.test_samples)


def outcomes(table: pd.DataFrame) -> pd.Series:
    """Return for each row of a results table, with all epochs of its runs, the outcome of the run."""
    fields = list(table.columns[: table.columns.get_loc("epoch")])
    run = table.groupby(fields, sort=False, dropna=False).ngroup().to_numpy()
    order = np.lexsort((table["epoch"].to_numpy(), run))
    loss, right, size = (
        table[name].to_numpy() for name in ("train_loss", "test_accuracy", "test_samples")
    )
    found = np.empty(len(table), dtype=object)
    for rows in np.split(order, np.flatnonzero(np.diff(run[order])) + 1):
        if len(rows):
            found[rows] = outcome(loss[rows].tolist(), right[rows].tolist(), int(size[rows[0]]))
    return pd.Series(found, index=table.index, name="outcome")


def is_unstable(rows: pd.DataFrame) -> pd.Series:
    """Return for each row whether its run is unstable or non-finite; all false without outcomes."""
    if "outcome" not in rows:
        return pd.Series(False, index=rows.index)
    return rows["outcome"].isin([UNSTABLE, NON_FINITE])
