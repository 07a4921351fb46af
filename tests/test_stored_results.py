"""What is stored in results/mnist was made by the protocol (appendix C)."""

from pathlib import Path

import pytest

from dfa_lib import read_results
from dfa_lib.experiments import final_epoch
from dfa_lib.provenance import Record
from dfa_lib.publishing.chapter import EXPERIMENTS
from dfa_lib.tuning import SCORED_EPOCHS

FOLDER = Path(__file__).parents[1] / "results" / "mnist"
FILES = [path for path in sorted(FOLDER.glob("*.csv")) if path.stem in EXPERIMENTS]
# What a run is, but for its rate, its seed, and what it is judged on.
WHAT = [
    *("dataset", "k", "samples", "dimensions", "method", "feedback", "hidden", "activation"),
    *("optimizer", "weight_decay", "batch_size", "epochs", "passes", "precision"),
]
TUNED = [name for name in WHAT if name not in ("samples", "dimensions", "batch_size")]


@pytest.fixture(scope="module")
def scores():
    """Return what tuning judges by, the accuracy of the last ten epochs, by what was tuned and rate."""
    table = read_results(FOLDER / "tuning.csv").fillna({"feedback": "none"})
    last = table[table["epoch"] > table["epochs"] - SCORED_EPOCHS]
    return last.groupby([*TUNED, "learning_rate"])["test_accuracy"].mean()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_experiment_has_five_fresh_seeds_or_more_on_test_digits(path):
    last = final_epoch(read_results(path))
    assert set(last["evaluate_on"]) == {"test"}
    for what, runs in last.groupby([*WHAT, "learning_rate"], dropna=False):
        assert sorted(runs["seed"]) == list(range(len(runs))), what
        assert len(runs) >= 5, what


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_run_diverged(path):
    table = read_results(path)
    assert len(final_epoch(table)) == len(table.drop_duplicates([*WHAT, "learning_rate", "seed"]))
    assert table["test_accuracy"].notna().all()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_rate_is_the_best_of_its_grid_and_not_on_an_edge(path, scores):
    table = read_results(path).fillna({"feedback": "none"})
    for what, runs in table.groupby(TUNED):
        grid = scores.loc[what]
        best = float(grid.idxmax())
        assert set(runs["learning_rate"]) == {best}, what
        assert grid.index.min() < best < grid.index.max(), what


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_what_it_was_made_with(path):
    record = Record.read(path)
    made = record.sessions + record.taken  # trained here, or in another file
    assert made
    assert all(entry["commit"] != "unknown" and "dirty" not in entry["commit"] for entry in made)
