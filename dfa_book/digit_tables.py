"""Tables about the digits themselves, small enough to be stored with the results.

With them an edition can be built from stored results on a machine without the images.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from dfa_lib.data.examples import Examples
from dfa_lib.data.images import Digits, DigitSets
from dfa_lib.data.parity import draw_stacks, parity
from dfa_lib.experiments.kept_table import REAL, TEXT, WHOLE, Columns, Row, TablePath, kept_table
from dfa_lib.randomness import generator
from dfa_lib.training import DIGIT_SETS
from dfa_lib.validation import choice

KS = (1, 3)
SHOWN = 3  # stacks per k

COUNT_COLUMNS = {"dataset": TEXT, "set": TEXT, "digit": WHOLE, "count": WHOLE}
STACK_COLUMNS = {
    **{"dataset": TEXT, "k": WHOLE, "stack": WHOLE, "position": WHOLE, "digit": WHOLE, "pixels": TEXT}
}
COMPONENT_COLUMNS = {"dataset": TEXT, "share": REAL, "components": WHOLE}

SHARES = (0.5, 0.9, 0.95, 0.99)


def digit_counts(dataset: str, *, results: TablePath = None) -> pd.DataFrame:
    """Return the ``count`` of each ``digit`` in each ``set`` (train, validation, test).

    The table of one of ``DIGIT_SETS`` is read from the CSV ``results``, which is made from the images if
    it does not exist. Raises ``InputError`` if there is neither, or if it is damaged or of another one.
    """
    return _kept(dataset, results, COUNT_COLUMNS, _count)


def digit_components(dataset: str, *, results: TablePath = None) -> pd.DataFrame:
    """Return how many principal ``components`` explain each ``share`` of the training pixels' variance.

    Parameters and errors are as for ``digit_counts``.
    """
    return _kept(dataset, results, COMPONENT_COLUMNS, _components)


def sample_stacks(dataset: str, *, results: TablePath = None) -> tuple[dict[int, Examples], Digits]:
    """Return three stacks of test digits for each k of ``KS``, and the digits of these stacks.

    Pixels are whole numbers from 0 (background) to 255 (ink). Parameters and errors are as for
    ``digit_counts``.
    """
    table = _kept(dataset, results, STACK_COLUMNS, _draw)
    greys = np.array([text.split(" ") for text in table["pixels"]]).astype(int)
    digits = Digits(torch.from_numpy(greys).float(), torch.tensor(table["digit"].tolist()))
    stacks = {}
    for k in KS:
        index = torch.from_numpy(np.flatnonzero(table["k"] == k)).view(SHOWN, k)
        stacks[k] = Examples(digits.images, index, parity(digits.labels[index]))
    return stacks, digits


def _kept(
    dataset: str, results: TablePath, columns: Columns, make: Callable[[DigitSets], list[Row]]
) -> pd.DataFrame:
    sets = DIGIT_SETS[choice("dataset", dataset, DIGIT_SETS)]
    return kept_table(
        results, columns, {"dataset": dataset}, lambda _: [(make(sets()), 0)], datasets=[dataset]
    )


def _count(sets: DigitSets) -> list[Row]:
    return [
        (name, digit, count)
        for name, digits in sets._asdict().items()
        for digit, count in enumerate(digits.labels.bincount(minlength=10).tolist())
    ]


def _components(sets: DigitSets) -> list[Row]:
    variances = torch.linalg.eigvalsh(torch.cov(sets.train.images.double().T)).flip(0)
    held = (variances.cumsum(0) / variances.sum()).numpy()
    return [(share, int(np.searchsorted(held, share)) + 1) for share in SHARES]


def _draw(sets: DigitSets) -> list[Row]:
    images, labels = sets.test
    ground, ink = images.min(), images.max()
    greys = (255 * (images - ground) / (ink - ground)).round().int()
    drawn = generator(0, "sample stacks")
    return [
        (k, stack, position, int(labels[row]), " ".join(map(str, greys[row].tolist())))
        for k in KS
        for stack, rows in enumerate(draw_stacks(sets.test, k, SHOWN, drawn).index.tolist())
        for position, row in enumerate(rows)
    ]
