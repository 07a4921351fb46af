"""Tables of solved models: their data, the choice of the penalty, and the saved file."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dfa_book.claims.queries import solved_error
from dfa_book.converged import (
    COLUMNS,
    FEATURES,
    SOLVED,
    converged_table,
    solve,
)
from dfa_lib import InputError
from dfa_lib.experiments.kept_table import unit_digests
from dfa_lib.experiments.provenance import Record
from dfa_lib.training import initial_parameters, load_problem


@pytest.fixture
def points(small_run):
    return small_run(dataset="clusters", samples=48, dimensions=5, test_samples=100)


def test_random_features_are_those_of_the_lazy_run_with_the_same_seed(small_run):
    run = small_run(k=1, method="relu_features", samples=200, seed=3)
    found = solve(run, "relu_features")
    problem = load_problem(run)
    (X, y), (test_X, test_y) = (
        examples.batch(0, len(examples)) for examples in (problem.training(), problem.held_out())
    )
    parameters = initial_parameters(run, problem.inputs)
    h, test_h = (torch.relu(x @ parameters["W1"] + parameters["b1"]).double() for x in (X, test_X))
    scale = h.var(0, correction=0).mean().sqrt()
    theirs = LogisticRegression(C=1 / (200 * found["penalty"]), solver="newton-cholesky", tol=1e-10)
    theirs.fit(h / scale, y[:, 0])
    assert found["train_accuracy"] == pytest.approx(theirs.score(h / scale, y[:, 0]))
    assert found["test_accuracy"] == pytest.approx(theirs.score(test_h / scale, test_y[:, 0]), abs=0.01)


@pytest.mark.parametrize("method", SOLVED)
def test_every_model_is_solved_and_learns_the_clusters(points, method):
    found = solve(points, method)
    assert found["gradient_norm"] < 1e-8
    assert found["train_accuracy"] > 0.7


@pytest.mark.parametrize("method", ["relu_features", "ntk"])
def test_the_penalty_is_the_best_on_validation_examples_never_on_test(monkeypatch, points, method):
    penalties = "LOGISTIC_PENALTIES" if method in FEATURES else "RIDGE_PENALTIES"
    chosen, alone = solve(points, method), []
    for penalty in (1.0, 1e-2, 1e-4):
        monkeypatch.setattr(f"dfa_book.converged.{penalties}", (penalty,))
        alone.append(solve(points, method))
    monkeypatch.undo()
    monkeypatch.setattr(f"dfa_book.converged.{penalties}", (1.0, 1e-2, 1e-4))
    best = max(row["validation_accuracy"] for row in alone)
    first = next(row["penalty"] for row in alone if row["validation_accuracy"] == best)
    assert solve(points, method)["penalty"] == first
    assert chosen["validation_accuracy"] >= best


def test_what_the_run_trains_with_does_not_matter(points, small_run):
    other = small_run(
        dataset="clusters", samples=48, dimensions=5, test_samples=100,
        method="dfa", optimizer="adam", learning_rate=7.0, batch_size=3, epochs=9,
    )  # fmt: skip
    assert solve(points, "relu_features") == solve(other, "relu_features")


def test_more_stacks_teach_a_kernel_more(small_run):
    accuracies = [
        solve(small_run(k=2, samples=n, test_samples=1_000), "gates_kernel")["test_accuracy"]
        for n in (100, 1_000)
    ]
    assert accuracies[1] > accuracies[0] + 0.05


# ---- the table ----


@pytest.fixture
def cases(points):
    return [(points, "relu_features"), (points, "ntk")]


def test_a_table_has_a_row_for_each_case_and_seed(cases):
    table = converged_table(cases, 2)
    assert list(table.columns) == [*COLUMNS]
    assert table[["method", "seed"]].to_numpy().tolist() == [
        ["relu_features", 0], ["relu_features", 1], ["ntk", 0], ["ntk", 1],
    ]  # fmt: skip
    assert set(table["dimensions"]) == {"5"}
    assert set(table["k"]) == {""}


def test_models_of_infinite_width_say_so(small_run):
    run = small_run(k=1, samples=64, test_samples=32)
    table = converged_table([(run, "ntk"), (run, "relu_kernel")], 1)
    assert table["hidden"].tolist() == ["16", "inf"]


def test_a_kept_table_is_read_back_exactly_and_not_solved_again(cases, tmp_path, monkeypatch):
    path = tmp_path / "converged.csv"
    made = converged_table(cases, 2, results=path)
    monkeypatch.setattr("dfa_book.converged.solve", None)
    assert converged_table(cases, 2, results=path).equals(made)
    assert converged_table(cases, 1, results=path).equals(made[made["seed"] == 0].reset_index(drop=True))


def test_only_missing_seeds_are_solved(cases, tmp_path):
    path = tmp_path / "converged.csv"
    converged_table(cases, 1, results=path)
    assert converged_table(cases, 2, results=path).equals(converged_table(cases, 2))


def test_numbers_do_not_depend_on_the_number_of_processes(cases):
    one, two = (converged_table(cases, 2, jobs=jobs) for jobs in (1, 2))
    assert one["test_accuracy"].tolist() == two["test_accuracy"].tolist()


def test_the_record_knows_every_row(cases, tmp_path):
    path = tmp_path / "converged.csv"
    converged_table(cases, 2, results=path)
    session = Record.read(path).sessions[0]
    assert session["runs"] == 4
    assert set(session["digests"].split()) == unit_digests(path.read_text()).keys()


@pytest.mark.parametrize("change", [{"samples": 32}, {"dimensions": 6}, {"test_samples": 50}])
def test_another_experiments_table_is_refused(cases, tmp_path, change, small_run):
    path = tmp_path / "converged.csv"
    converged_table(cases, 1, results=path)
    fields = {"dataset": "clusters", "samples": 48, "dimensions": 5, "test_samples": 100} | change
    with pytest.raises(InputError, match="belongs to another experiment"):
        converged_table([(small_run(**fields), method) for _, method in cases], 1, results=path)


def test_a_damaged_table_is_refused(cases, tmp_path):
    path = tmp_path / "converged.csv"
    converged_table(cases, 1, results=path)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(InputError, match="is damaged"):
        converged_table(cases, 1, results=path)


def test_a_model_that_there_is_not_is_refused(points):
    with pytest.raises(InputError, match=r"method cannot be 'bp'; accepted are relu_features, "):
        solve(points, "bp")


def test_errors_are_selected_by_seed(points, small_run):
    other = small_run(dataset="clusters", samples=48, dimensions=15, test_samples=100)
    table = converged_table([(points, "relu_features"), (other, "relu_features")], 2)
    wrong = 1 - table["test_accuracy"].to_numpy()
    assert solved_error(table, "relu_features", [(48, 5)]).values.to_dict() == {0: wrong[0], 1: wrong[1]}
    averaged = solved_error(table, "relu_features", [(48, 5), (48, 15)])
    assert averaged.values.to_numpy() == pytest.approx((wrong[:2] + wrong[2:]) / 2)
