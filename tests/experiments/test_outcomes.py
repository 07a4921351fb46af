"""The outcome of a run follows from its losses and accuracies."""

import math

import pytest

from dfa_lib.experiments.outcomes import (
    AT_CHANCE,
    LEARNED,
    NON_FINITE,
    UNSTABLE,
    outcome,
    outcome_of,
    outcomes,
)
from dfa_lib.experiments.results import to_table
from dfa_lib.training import Run, train

N = 10_000


@pytest.mark.parametrize(
    ("losses", "accuracy", "expected"),
    [
        ([0.69, 0.60, 0.55], 0.69, LEARNED),
        ([1.90, 0.70, 0.36], 0.93, LEARNED),  # rises and comes down again
        ([0.69, 0.69, 0.688], 0.5160, LEARNED),  # 3.2 standard errors above chance
        ([0.69, 0.69, 0.693], 0.5140, AT_CHANCE),  # 2.8
        ([0.69, 0.70, 0.6974], 0.497, AT_CHANCE),  # lazy methods rest near ln 2
        ([0.69, 0.60, 0.7767], 0.70, UNSTABLE),
        ([0.69, 0.55, 324.0], 0.51, UNSTABLE),
        ([0.60, 300.0, math.log(2)], 0.5, UNSTABLE),  # exploded, then all units died
        ([0.69, 0.55, math.inf], 0.6, NON_FINITE),
        ([0.69, math.nan, math.nan], math.nan, NON_FINITE),
    ],
)
def test_an_outcome_follows_from_the_losses_and_the_last_accuracy(
    losses: list[float], accuracy: float, expected: str
) -> None:
    assert outcome(losses, [0.5, 0.5, accuracy], N) == expected


def test_a_rate_far_too_high_is_unstable_though_every_loss_is_finite() -> None:
    run = Run(method="dfa", samples=2_560, test_samples=512, hidden=64, epochs=6, learning_rate=5.0)
    history = train(run)
    assert all(map(math.isfinite, history.test_loss))
    assert not history.diverged
    assert outcome_of(history) == UNSTABLE
    learned = train(Run(k=1, samples=2_560, test_samples=512, hidden=64, epochs=6, learning_rate=0.5))
    assert outcome_of(learned) == LEARNED
    table = to_table([history, learned])
    assert outcomes(table).tolist() == [UNSTABLE] * 6 + [LEARNED] * 6


def test_rows_of_a_table_keep_their_index_in_any_order() -> None:
    table = to_table([train(Run(samples=256, test_samples=64, hidden=4, epochs=3, learning_rate=0.1))])
    mixed = table.iloc[[2, 0, 1]]
    assert outcomes(mixed).index.tolist() == [2, 0, 1]
    assert outcomes(mixed).nunique() == 1
