import math

import pytest

from dfa_book.site.freshness import staleness
from dfa_lib import InputError, run_all, tune
from dfa_lib.experiments import kept_table
from dfa_lib.experiments import runner as experiments
from dfa_lib.experiments.kept_table import KeptTable
from dfa_lib.experiments.provenance import Record
from dfa_lib.experiments.tuning import (
    FIRST_SEED,
    HIGHEST,
    LOWEST,
    last_epochs_score,
    rate,
)
from dfa_lib.training import METRICS, History

RATES = [0.01, 0.014, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.5, 0.7, 1, 1.4, 2, 3, 5, 7, 10]


@pytest.fixture
def scripted(monkeypatch):
    """Fake the training: a function of the run returns its accuracies and loss; record the runs.

    It returns an accuracy, or a list of one an epoch, and may add a loss; nan is a run that diverges.
    """

    def script(decide):
        runs = []

        def made_up(run):
            runs.append(run)
            decided = decide(run)
            accuracies, loss = decided if isinstance(decided, tuple) else (decided, 0.6)
            history = History(run)
            for epoch in range(run.epochs):
                value = accuracies[epoch] if isinstance(accuracies, list) else accuracies
                history.append(
                    {}
                    if math.isnan(value)
                    else dict.fromkeys(METRICS, value) | {"train_loss": loss, "test_loss": loss}
                )
            return history

        monkeypatch.setattr(experiments, "train", made_up)
        return runs

    return script


def peak_at(best):
    """Accuracy falls with the distance from the best rate, on the logarithmic scale."""
    return lambda run: 0.9 - 0.01 * abs(math.log(run.learning_rate / best))


def tried(scores):
    return scores["learning_rate"].tolist()


def test_rates_are_half_steps_of_1_2_5_10():
    assert [rate(step) for step in range(-12, 7)] == RATES


@pytest.mark.parametrize("start", [1e-4, 0.01, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("best", [0.005, 0.014, 0.3, 5.0])
def test_a_search_finds_the_peak_from_below_and_from_above(start, best, scripted, small_run):
    scripted(peak_at(best))
    (chosen,), scores = tune([small_run(learning_rate=start)])
    assert chosen.learning_rate == best
    assert tried(scores) == sorted(tried(scores))
    assert min(tried(scores)) < best < max(tried(scores))
    assert scores.loc[scores["chosen"], "learning_rate"].tolist() == [best]


def test_a_coarse_pass_has_one_seed_and_the_fine_one_several(scripted, small_run):
    scripted(peak_at(0.1))
    _, scores = tune([small_run(learning_rate=0.12)])
    assert tried(scores) == [0.05, 0.07, 0.1, 0.14, 0.2]
    assert scores["seeds"].tolist() == [1, 3, 3, 3, 1]


def test_without_seeds_the_coarse_pass_decides(scripted, small_run):
    scripted(peak_at(0.14))
    (chosen,), scores = tune([small_run(learning_rate=0.05)], seeds=0)
    assert chosen.learning_rate in (0.1, 0.2)
    assert scores["seeds"].tolist() == [1] * len(scores)


def test_methods_with_random_matrices_have_ten_seeds(scripted, small_run):
    runs = scripted(peak_at(0.1))
    for method, seeds in (("dfa", 10), ("fa", 10), ("bp", 3), ("ntk", 3)):
        runs.clear()
        tune([small_run(method=method)])
        assert {run.seed for run in runs} == set(range(1_000, 1_000 + seeds))


@pytest.mark.parametrize(("start", "end"), [(0.05, 0.2), (1.0, 0.2), (5.0, 0.2)])
def test_both_searches_find_adadeltas_peak_below_the_rates_that_explode(start, end, scripted, small_run):
    """On MNIST, DFA with Adadelta has 0.714 at 0.1, 0.740 at 0.2, then explodes: 0.570, 0.582, …"""
    scores = {0.05: 0.69, 0.07: 0.70, 0.1: 0.714, 0.14: 0.73, 0.2: 0.740, 0.3: 0.70}

    def decide(run):
        known = scores.get(run.learning_rate)
        if known is not None:
            return known
        return (0.6 + 0.02 * run.learning_rate, 25.0) if run.learning_rate > 0.2 else 0.6

    scripted(decide)
    (chosen,), _ = tune([small_run(method="dfa", optimizer="adadelta", learning_rate=start)])
    assert chosen.learning_rate == end


def test_adadelta_as_published_with_rate_1_is_always_tried(scripted, small_run):
    scripted(peak_at(0.02))
    (chosen,), scores = tune([small_run(learning_rate=0.02, optimizer="adadelta")])
    assert chosen.learning_rate == 0.02
    # With all seeds, because the ledger compares it with the chosen rate seed by seed.
    assert scores.set_index("learning_rate")["seeds"][1.0] == 3


def test_rates_are_judged_on_validation_digits(scripted, small_run):
    runs = scripted(peak_at(0.1))
    tune([small_run(seed=0)], seeds=3)
    assert {run.evaluate_on for run in runs} == {"validation"}


def test_the_chosen_run_is_the_one_given_but_for_its_rate(scripted, small_run):
    scripted(peak_at(0.2))
    run = small_run(method="dfa", seed=5)
    (chosen,), _ = tune([run])
    assert chosen == small_run(method="dfa", seed=5, learning_rate=0.2)


def test_a_rate_is_scored_over_all_its_seeds(scripted, small_run):
    # 0.2 is better for one seed, 0.14 on average.
    def accuracy(run):
        known = {0.1: 0.78, 0.14: 0.8, 0.2: 0.95 if run.seed == 1_000 else 0.6}
        return known.get(run.learning_rate, 0.55)

    scripted(accuracy)
    assert tune([small_run()], seeds=1)[0][0].learning_rate == 0.2
    (chosen,), scores = tune([small_run()], seeds=3)
    assert chosen.learning_rate == 0.14
    assert scores.set_index("learning_rate")["score"][0.2] == pytest.approx((0.95 + 0.6 + 0.6) / 3)


def test_a_score_is_the_mean_of_the_last_ten_epochs(small_run):
    history = History(small_run(epochs=12))
    for accuracy in [0.0, 0.0, *[0.5] * 5, *[0.7] * 5]:
        history.append({"test_accuracy": accuracy})
    assert last_epochs_score(history) == pytest.approx(0.6)
    short = History(small_run(epochs=2))
    for accuracy in (0.4, 0.8):
        short.append({"test_accuracy": accuracy})
    assert last_epochs_score(short) == pytest.approx(0.6)


def test_a_rate_that_diverges_is_never_chosen(scripted, small_run):
    # Larger rates are better until the run diverges.
    scripted(lambda run: math.nan if run.learning_rate > 0.3 else 0.5 + run.learning_rate)
    (chosen,), scores = tune([small_run(learning_rate=0.1)])
    assert chosen.learning_rate == 0.3
    assert scores["score"].isna().tolist() == (scores["learning_rate"] > 0.3).tolist()


def test_a_rate_that_explodes_for_one_seed_is_not_chosen_though_its_score_is_best(scripted, small_run):
    """A bounded error signal never overflows: the loss grows to hundreds of nats."""

    def decide(run):
        score = 0.9 - 0.1 * abs(math.log(run.learning_rate / 0.2))
        return (score, 300.0 if run.learning_rate == 0.2 and run.seed == 1_001 else 0.6)

    runs = scripted(decide)
    assert tune([small_run()], seeds=1)[0][0].learning_rate == 0.2
    runs.clear()
    (chosen,), scores = tune([small_run()], seeds=5)
    assert chosen.learning_rate == 0.14
    assert scores.set_index("learning_rate")["unsound"][0.2] == 1


def test_a_rate_at_which_a_run_falls_back_from_its_best_epoch_is_not_chosen(scripted, small_run):
    """The standard Gaussian's rate of the first edition had fallen to 0.507 in its last epoch."""

    def decide(run):
        if run.learning_rate >= 0.2:
            return [0.5, 0.95, 0.89]
        return 0.9 - abs(math.log(run.learning_rate / 0.2)) / 10

    scripted(decide)
    assert tune([small_run(epochs=3)])[0][0].learning_rate == 0.14


def test_an_unsound_rate_gets_no_further_seeds_unless_it_is_a_neighbour_of_the_chosen(
    scripted, small_run
):
    def decide(run):
        return (
            0.9 - 0.1 * abs(math.log(run.learning_rate / 0.2)),
            5.0 if run.learning_rate > 0.1 else 0.6,
        )

    runs = scripted(decide)
    (chosen,), scores = tune([small_run()], seeds=5)
    assert chosen.learning_rate == 0.1
    seeds = scores.set_index("learning_rate")["seeds"]
    assert seeds[0.2] == 1
    assert seeds[0.14] == 5  # how sensitive the method is to its rate
    assert len(runs) == len(set(runs)) == seeds.sum()


def test_where_no_rate_is_sound_the_best_score_decides(scripted, small_run):
    scripted(lambda run: (0.9 - 0.1 * abs(math.log(run.learning_rate / 0.2)), 5.0))
    (chosen,), scores = tune([small_run(learning_rate=0.2)])
    assert not math.isnan(chosen.learning_rate)
    assert scores["unsound"].sum() == scores["seeds"].sum()


def test_of_rates_within_one_standard_error_of_the_best_the_smallest_is_chosen(scripted, small_run):
    spread = {1_000: 0.02, 1_001: -0.02, 1_002: 0.0}

    def decide(run):
        mean = {0.05: 0.70, 0.07: 0.792, 0.1: 0.80, 0.14: 0.801, 0.2: 0.79}.get(run.learning_rate, 0.6)
        return mean + spread[run.seed]

    scripted(decide)
    (chosen,), scores = tune([small_run(learning_rate=0.1)])
    # The standard error of the best is 0.02/√3 = 0.0115, so 0.07 counts and 0.05 does not.
    assert chosen.learning_rate == 0.07
    assert scores["chosen"].sum() == 1


def test_where_all_rates_are_at_chance_the_lowest_validation_loss_decides(scripted, small_run):
    """Scores of lazy methods on three digits are noise; their losses are not."""

    def decide(run):
        noise = 0.5 + 0.002 * (hash((run.learning_rate, run.seed)) % 7 - 3)
        return noise, 0.69 + 0.01 * abs(math.log(run.learning_rate / 0.03))

    scripted(decide)
    for start in (1e-3, 1.0):
        assert tune([small_run(learning_rate=start)])[0][0].learning_rate == 0.03


def test_of_equally_good_rates_the_smaller_is_chosen(scripted, small_run):
    scripted(lambda run: 0.8 if 0.05 <= run.learning_rate <= 0.2 else 0.55)
    assert tune([small_run()])[0][0].learning_rate == 0.05


@pytest.mark.parametrize(("direction", "end"), [(1, HIGHEST), (-1, LOWEST)])
def test_widening_ends_where_no_rate_makes_sense(direction, end, scripted, small_run):
    scripted(lambda run: 0.75 + 0.01 * direction * math.log10(run.learning_rate))
    (chosen,), _ = tune([small_run(learning_rate=1.0)])
    assert chosen.learning_rate == end


def test_a_run_that_diverges_at_every_rate_is_named(scripted, small_run):
    scripted(lambda run: math.nan if run.method == "dfa" else peak_at(0.1)(run))
    with pytest.raises(
        InputError, match=r"dfa with sgd on digits diverged at every .* from 1e-07 to 0\.2"
    ):
        tune([small_run(method="bp"), small_run(method="dfa")])


def test_each_run_is_tuned_for_itself(scripted, small_run):
    scripted(lambda run: peak_at({"bp": 0.5, "dfa": 0.01}[run.method])(run))
    chosen, scores = tune([small_run(method="bp"), small_run(method="dfa")])
    assert [run.learning_rate for run in chosen] == [0.5, 0.01]
    assert scores.groupby("method")["chosen"].sum().to_dict() == {"bp": 1, "dfa": 1}
    assert set(scores.columns) >= {"dataset", "k", "method", "feedback", "optimizer", "score"}


def test_tuning_again_trains_nothing_and_experiments_share_the_file(scripted, tmp_path, small_run):
    runs = scripted(peak_at(0.1))
    file = tmp_path / "tuning.csv"
    first = tune([small_run(method="bp")], results=file)
    count = len(runs)
    tune([small_run(method="ntk")], results=file)
    assert len(runs) == 2 * count
    again = tune([small_run(method="bp")], results=file)
    assert len(runs) == 2 * count
    assert again[0] == first[0]
    assert again[1].equals(first[1])
    elsewhere = tune([small_run(method="bp")], results=tmp_path / "other.csv", reuse=[file])
    assert len(runs) == 2 * count
    assert elsewhere[0] == first[0]


def test_a_search_that_saves_nothing_reads_the_tables_it_reuses_once(
    scripted, tmp_path, small_run, monkeypatch
):
    runs = scripted(peak_at(0.1))
    tables = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for table, method in zip(tables, ("bp", "ntk"), strict=True):
        tune([small_run(method=method)], results=table)
    runs.clear()
    read = []
    original = KeptTable.read
    monkeypatch.setattr(
        KeptTable, "read", lambda table, **how: read.append(table.path) or original(table, **how)
    )
    chosen, _ = tune([small_run(method="bp"), small_run(method="ntk")], reuse=tables)
    assert [run.learning_rate for run in chosen] == [0.1, 0.1]
    assert read == tables
    assert not runs


def test_a_search_opens_its_table_once_and_takes_runs_at_any_step(
    scripted, tmp_path, small_run, monkeypatch
):
    runs, folder = scripted(peak_at(0.1)), tmp_path / "whole"
    tune([small_run(learning_rate=3)], results=folder / "table.csv")
    late = [run for run in runs if run.seed > FIRST_SEED]  # not those of the coarse pass
    run_all(late, tmp_path / "late.csv")
    runs.clear()
    read, opened = [], []
    read_table, lock = KeptTable.read, kept_table.sole_writer
    monkeypatch.setattr(
        KeptTable, "read", lambda table, **how: read.append(table.path.name) or read_table(table, **how)
    )
    monkeypatch.setattr(kept_table, "sole_writer", lambda path: opened.append(path) or lock(path))
    file = tmp_path / "table.csv"
    tune([small_run(learning_rate=3)], results=file, reuse=[tmp_path / "late.csv"])
    assert opened == [file]
    assert read.count("late.csv") == 1
    assert read.count("table.csv") < len(runs)
    assert runs
    assert not set(runs) & set(late)
    assert file.read_bytes() == (folder / "table.csv").read_bytes()
    record = Record.read(file)
    assert sum(entry["runs"] for entry in record.sessions) == len(runs)
    assert sum(entry["runs"] for entry in record.taken) == len(late)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("late.csv", "late.json", "table.csv", "table.json", "whole")
    ]


@pytest.mark.parametrize("removed", [["table.csv"], [".table.csv.log"], ["table.csv", ".table.csv.log"]])
def test_what_others_remove_during_a_search_is_put_back(
    removed, scripted, tmp_path, small_run, monkeypatch
):
    """As ``git stash`` does, or ``git clean``."""
    file, whole = tmp_path / "table.csv", tmp_path / "whole" / "table.csv"
    runs = scripted(peak_at(0.1))
    chosen, scores = tune([small_run(learning_rate=3)], results=whole)
    middle, made_up = len(runs) // 2, experiments.train

    def train_and_remove(run):
        if len(runs) == middle:
            for name in removed:
                (tmp_path / name).unlink()
        return made_up(run)

    runs.clear()
    monkeypatch.setattr(experiments, "train", train_and_remove)
    again = tune([small_run(learning_rate=3)], results=file)
    assert again[0] == chosen
    assert again[1].equals(scores)
    assert file.read_bytes() == whole.read_bytes()
    assert staleness(file) is None


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("seeds", [-1, 1.5, "2", True])
def test_bad_seeds_are_named(seeds, small_run):
    with pytest.raises(InputError, match=f"seeds must be a whole number of at least 0, not {seeds!r}"):
        tune([small_run()], seeds=seeds)


def test_tuning_finds_a_rate_that_learns(small_run):
    run = small_run(k=1, samples=1_000, hidden=32, epochs=2, learning_rate=1e-3)
    (chosen,), scores = tune([run])
    best = scores.loc[scores["chosen"]].iloc[0]
    assert best["learning_rate"] == chosen.learning_rate > 1e-2
    assert best["score"] == scores["score"].max() > 0.8
