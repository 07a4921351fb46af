import pandas as pd
import pytest

from dfa_book.solved import (
    accuracies,
    accuracy_rows,
    changed,
    compared,
    parity_answers,
    percent,
    points,
)
from dfa_lib.experiments.statistics import Interval, mean_interval


def rows(k, method, n, values):
    return pd.DataFrame(
        {
            "k": str(k),
            "method": method,
            "samples": n,
            "seed": range(len(values)),
            "test_accuracy": values,
        }
    )


TABLE = pd.concat(
    [
        rows(1, "relu_features", 100, [0.90, 0.92]),
        rows(1, "relu_features", 1_000, [0.95, 0.97]),
        rows(1, "relu_kernel", 100, [0.94, 0.95]),
        rows(3, "relu_features", 100, [0.49, 0.50]),
        rows(3, "relu_features", 1_000, [0.49, 0.52]),
        rows(3, "relu_kernel", 100, [0.531, 0.529]),
    ]
)


def test_shares_and_differences_are_said_with_their_intervals():
    assert percent(Interval(0.531, 0.52, 0.5421, 5)) == "53.1 % (52.0–54.2)"
    assert percent(mean_interval([0.531])) == "53.1 %"
    assert points(Interval(0.021, 0.01, 0.032, 5)) == "2.1 points (1.0–3.2)"
    assert points(Interval(-0.021, -0.032, -0.01, 5)) == "2.1 points (1.0–3.2)"
    assert points(Interval(-0.01, -0.03, 0.01, 5)) == "1.0 points (-1.0 to 3.0)"


def test_accuracies_are_those_of_most_stacks_unless_told():
    assert accuracies(TABLE, 1, "relu_features").tolist() == [0.95, 0.97]
    assert accuracies(TABLE, 1, "relu_features", 100).tolist() == [0.90, 0.92]
    assert accuracies(TABLE, 1, "relu_kernel").tolist() == [0.94, 0.95]


def test_answers_name_the_best_model_what_stacks_bring_and_who_is_at_chance():
    one, three = parity_answers(TABLE)
    assert one.startswith(
        "**With one digit**, the best model is ReLU features: from 1,000 stacks it gets 96.0 %"
    )
    assert "5.0 points (5.0–5.0) more than from 100." in one
    assert one.endswith("All of the intervals lie above chance.")
    assert three.startswith(
        "**With three digits**, the best model is infinitely wide ReLU features: from 100 stacks it "
        "gets 53.0 % (51.7–54.3) right. Intervals"
    )
    assert three.endswith(
        "above chance for infinitely wide ReLU features; ReLU features cannot be told from chance."
    )


def test_one_seed_proves_nothing():
    for answer in parity_answers(TABLE[TABLE["seed"] == 0]):
        assert answer.endswith("One seed has no interval, so none is told from chance.")


def test_the_table_leaves_a_cell_empty_where_a_model_was_not_solved():
    lines = accuracy_rows(TABLE).splitlines()
    assert lines[0] == "| k | n | ReLU features | infinitely wide ReLU features |"
    assert lines[2:] == [
        "| 1 | 100 | 0.910 | 0.945 |",
        "| 1 | 1,000 | 0.960 |  |",
        "| 3 | 100 | 0.495 | 0.530 |",
        "| 3 | 1,000 | 0.505 |  |",
    ]


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([0.10, 0.11], "A errs 10.5 points (4.1–16.9) less than B"),
        ([0.30, 0.31], "A errs 9.5 points (3.1–15.9) more than B"),
        ([0.10, 0.31], "A and B cannot be told apart: they differ by 0.5 points (-120.2 to 121.2)"),
        ([float("nan"), 0.31], "A is not compared with B: a run diverged"),
    ],
)
def test_two_methods_are_compared_seed_by_seed(errors, said):
    assert compared("A", errors, "B", [0.20, 0.22]) == said


def test_one_seed_is_said_to_be_one():
    assert (
        compared("A", [0.1], "B", [0.2]) == "A and B differ by 10.0 points in the one seed that was run"
    )


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ([0.10, 0.11], "falls by 10.5 points (4.1–16.9)"),
        ([0.30, 0.31], "rises by 9.5 points (3.1–15.9)"),
        ([0.10, 0.31], "changes by no more than chance may explain, 0.5 points (-120.2 to 121.2)"),
        ([float("nan"), 0.31], "is not known: a run diverged"),
    ],
)
def test_a_change_is_said_with_its_interval(errors, said):
    found = changed("A", "n = 1", [0.20, 0.22], "n = 2", errors)
    assert found == f"From n = 1 to n = 2 the error of A {said}"
