"""What the book shows of the digits themselves, in files small enough to keep with the results.

With them, an edition whose runs are trained can be built where its images are not at hand.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dfa_lib.data.examples import Examples
from dfa_lib.data.images import Digits, DigitSets
from dfa_lib.data.parity import draw_stacks, parity
from dfa_lib.experiments.tables import damaged, read_table, write_table
from dfa_lib.randomness import generator
from dfa_lib.training import DIGIT_SETS
from dfa_lib.validation import InputError, choice

KS = (1, 3)
SHOWN = 3  # stacks for each k

COUNT_COLUMNS = {"dataset": str, "set": str, "digit": int, "count": int}
STACK_COLUMNS = {
    "dataset": str,
    "k": int,
    "stack": int,
    "position": int,
    "digit": int,
    "pixels": str,
}

COMPONENT_COLUMNS = {"dataset": str, "share": float, "components": int}

SHARES = (0.5, 0.9, 0.95, 0.99)

Results = str | os.PathLike[str] | None


def digit_counts(dataset: str, *, results: Results = None) -> pd.DataFrame:
    """Return how often each digit occurs in each set of a dataset.

    Parameters
    ----------
    dataset
        One of ``DIGIT_SETS``.
    results
        A CSV to read from. If there is none, it is made from the images.

    Returns
    -------
    pandas.DataFrame
        One row for each ``set`` (train, validation, test) and ``digit``, with the ``count``.

    Raises
    ------
    InputError
        If there is neither the CSV nor the images, or the CSV is damaged or another dataset's.
    """
    table, path = _kept(dataset, results, COUNT_COLUMNS, _count)
    rows = list(table[["set", "digit"]].itertuples(index=False, name=None))
    if rows != [(name, digit) for name in DigitSets._fields for digit in range(10)]:
        raise damaged(path)
    return table


def digit_components(dataset: str, *, results: Results = None) -> pd.DataFrame:
    """Return how many principal components hold a share of the variance of the training digits' pixels.

    Parameters, errors and the CSV are as for ``digit_counts``.

    Returns
    -------
    pandas.DataFrame
        One row for each ``share`` of ``SHARES``, with the smallest number of ``components``.
    """
    table, path = _kept(dataset, results, COMPONENT_COLUMNS, _components)
    if table["share"].tolist() != list(SHARES) or not table["components"].is_monotonic_increasing:
        raise damaged(path)
    return table


def sample_stacks(dataset: str, *, results: Results = None) -> tuple[dict[int, Examples], Digits]:
    """Return three stacks of one test digit and three of three, and the digits that stand in them.

    The digits' pixels are whole numbers from 0 (ground) to 255 (ink). Parameters and errors are those of
    ``digit_counts``.

    Returns
    -------
    stacks
        For each k of ``KS``.
    digits
        What the stacks consist of: their items, with labels.
    """
    table, path = _kept(dataset, results, STACK_COLUMNS, _draw)
    places = list(table[["k", "stack", "position"]].itertuples(index=False, name=None))
    if places != [(k, stack, position) for k in KS for stack in range(SHOWN) for position in range(k)]:
        raise damaged(path)
    try:
        greys = np.array([text.split(" ") for text in table["pixels"]]).astype(int)
    except ValueError as problem:  # not numbers, or not as many for each digit
        raise damaged(path) from problem
    digits = Digits(torch.from_numpy(greys).float(), torch.tensor(table["digit"].tolist()))
    stacks = {}
    for k in KS:
        index = torch.from_numpy(np.flatnonzero(table["k"] == k)).view(SHOWN, k)
        stacks[k] = Examples(digits.images, index, parity(digits.labels[index]))
    return stacks, digits


def _kept(
    dataset: str,
    results: Results,
    columns: dict[str, Any],
    make: Callable[[DigitSets], list[dict[str, Any]]],
) -> tuple[pd.DataFrame, Path | None]:
    path = Path(results) if results is not None else None
    choice("dataset", dataset, DIGIT_SETS)
    table = read_table(path, columns)
    if table.empty:
        rows = [{"dataset": dataset} | row for row in make(DIGIT_SETS[dataset]())]
        table = pd.DataFrame(rows, columns=[*columns])
        write_table(path, table)
    elif set(table["dataset"]) != {dataset}:
        raise InputError(f"{path} is not of the dataset {dataset!r}: name another file.")
    return table, path


def _count(sets: DigitSets) -> list[dict[str, Any]]:
    return [
        {"set": name, "digit": digit, "count": count}
        for name, digits in sets._asdict().items()
        for digit, count in enumerate(digits.labels.bincount(minlength=10).tolist())
    ]


def _components(sets: DigitSets) -> list[dict[str, Any]]:
    variances = torch.linalg.eigvalsh(torch.cov(sets.train.images.double().T)).flip(0)
    held = (variances.cumsum(0) / variances.sum()).numpy()
    return [{"share": share, "components": int(np.searchsorted(held, share)) + 1} for share in SHARES]


def _draw(sets: DigitSets) -> list[dict[str, Any]]:
    images, labels = sets.test
    ground, ink = images.min(), images.max()
    greys = (255 * (images - ground) / (ink - ground)).round().int()
    drawn = generator(0, "sample stacks")
    return [
        {"k": k, "stack": stack, "position": position, "digit": int(labels[row])}
        | {"pixels": " ".join(map(str, greys[row].tolist()))}
        for k in KS
        for stack, rows in enumerate(draw_stacks(sets.test, k, SHOWN, drawn).index.tolist())
        for position, row in enumerate(rows)
    ]
