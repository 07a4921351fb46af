"""The results stored in results/mnist follow the protocol (appendix C)."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from dfa_book.chapter import EXPERIMENTS, check_parameters
from dfa_book.studies import STUDIES, tuned
from dfa_lib import read_results
from dfa_lib.experiments import final_epoch, repeats
from dfa_lib.experiments import runner as experiments
from dfa_lib.experiments.provenance import Record
from dfa_lib.experiments.results import read_histories

FOLDER = Path(__file__).parents[2] / "results" / "mnist"
FILES = [path for path in sorted(FOLDER.glob("*.csv")) if path.stem in EXPERIMENTS]
# All fields of a run but its rate, its seed and ``evaluate_on``.
WHAT = [
    *("dataset", "k", "samples", "dimensions", "method", "feedback", "hidden", "activation"),
    *("optimizer", "weight_decay", "batch_size", "epochs", "passes", "precision"),
]


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


@pytest.fixture(scope="module")
def read_once():
    """Read the table of tuning, which has thousands of runs, once for all experiments."""
    histories = cache(read_histories)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiments, "histories_in", lambda table: dict(histories(table.path)))
        yield


@pytest.mark.usefixtures("read_once")
@pytest.mark.parametrize("experiment", STUDIES)
def test_the_stored_runs_are_at_the_rates_that_tuning_chooses_and_nothing_is_missing(
    experiment, monkeypatch
):
    def refuse(run):
        raise AssertionError(f"not stored: {run.describe()}")

    monkeypatch.setattr(experiments, "train", refuse)
    settings = check_parameters({"profile": "mnist", "results": str(FOLDER), "jobs": 1})
    runs, _ = tuned(experiment, settings)
    stored = read_histories(FOLDER / f"{experiment}.csv")
    assert {replace(run, seed=0) for run in stored} == set(runs)
    assert stored.keys() >= set(repeats(runs, settings.seeds))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_what_it_was_made_with(path):
    record = Record.read(path)
    made = record.sessions + record.taken  # trained here, or in another file
    assert made
    assert all(entry["commit"] != "unknown" and "dirty" not in entry["commit"] for entry in made)
