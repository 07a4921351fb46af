import math

import pytest

from dfa_lib import InputError, experiments, tune
from dfa_lib.training import METRICS, History
from dfa_lib.tuning import HIGHEST, LOWEST, last_epochs_score, rate

RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]


@pytest.fixture
def scripted(monkeypatch):
    """Let a function of the run decide its accuracy (nan: it diverges), and record what is trained."""

    def script(accuracy):
        runs = []

        def made_up(run):
            runs.append(run)
            history = History(run)
            for _ in range(run.epochs):
                value = accuracy(run)
                history.append({} if math.isnan(value) else dict.fromkeys(METRICS, value))
            return history

        monkeypatch.setattr(experiments, "train", made_up)
        return runs

    return script


def peak_at(best):
    """Accuracy falls with the distance from the best rate, on the logarithmic scale."""
    return lambda run: 0.9 - 0.01 * abs(math.log(run.learning_rate / best))


def test_rates_are_1_2_5_10():
    assert [rate(step) for step in range(-12, 7)] == RATES


@pytest.mark.parametrize("start", [1e-4, 0.01, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("best", [0.005, 0.02, 5.0])
def test_the_grid_widens_until_the_best_rate_lies_inside(start, best, scripted, small_run):
    runs = scripted(peak_at(best))
    (chosen,), scores = tune([small_run(learning_rate=start)])
    assert chosen.learning_rate == best
    tried = scores["learning_rate"].tolist()
    assert tried == sorted(tried)
    assert min(tried) < best < max(tried)
    # No gaps: the grid is a stretch of the series.
    series = [rate(step) for step in range(-21, 13)]
    assert tried == [r for r in series if min(tried) <= r <= max(tried)]
    assert sorted(run.learning_rate for run in runs) == tried
    assert scores.loc[scores["chosen"], "learning_rate"].tolist() == [best]


def test_the_grid_starts_around_the_runs_own_rate(scripted, small_run):
    scripted(peak_at(0.1))
    _, scores = tune([small_run(learning_rate=0.12)])
    assert scores["learning_rate"].tolist() == [0.05, 0.1, 0.2]


@pytest.mark.parametrize(
    ("start", "tried"), [(0.2, [0.1, 0.2, 0.5, 1]), (1.0, [0.5, 1, 2]), (10.0, [1, 2, 5, 10, 20])]
)
def test_adadelta_as_published_with_rate_1_is_always_tried(start, tried, scripted, small_run):
    scripted(peak_at(start))
    (chosen,), scores = tune([small_run(learning_rate=start, optimizer="adadelta")])
    assert chosen.learning_rate == start
    assert scores["learning_rate"].tolist() == tried


def test_rates_are_judged_on_validation_digits_with_seeds_of_their_own(scripted, small_run):
    runs = scripted(peak_at(0.1))
    tune([small_run(seed=0)], seeds=3)
    assert {run.evaluate_on for run in runs} == {"validation"}
    assert {run.seed for run in runs} == {1_000, 1_001, 1_002}


def test_the_chosen_run_is_the_one_given_but_for_its_rate(scripted, small_run):
    scripted(peak_at(0.2))
    run = small_run(method="dfa", seed=5)
    (chosen,), _ = tune([run])
    assert chosen == small_run(method="dfa", seed=5, learning_rate=0.2)


def test_a_rate_is_scored_over_all_its_seeds(scripted, small_run):
    # 0.2 is better for one seed, 0.1 on average.
    def accuracy(run):
        return {0.1: 0.8, 0.2: 0.95 if run.seed == 1_000 else 0.5}.get(run.learning_rate, 0.4)

    scripted(accuracy)
    assert tune([small_run()], seeds=1)[0][0].learning_rate == 0.2
    (chosen,), scores = tune([small_run()], seeds=2)
    assert chosen.learning_rate == 0.1
    assert scores.set_index("learning_rate")["score"][0.2] == pytest.approx(0.725)


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
    # The better the larger, up to where it diverges.
    scripted(lambda run: math.nan if run.learning_rate > 0.3 else run.learning_rate)
    (chosen,), scores = tune([small_run(learning_rate=0.1)])
    assert chosen.learning_rate == 0.2
    assert scores["score"].isna().tolist() == (scores["learning_rate"] > 0.3).tolist()


def test_a_rate_that_diverges_for_one_seed_is_not_chosen(scripted, small_run):
    def accuracy(run):
        if run.learning_rate == 0.2 and run.seed == 1_001:
            return math.nan
        return 0.9 - abs(run.learning_rate - 0.2)

    scripted(accuracy)
    assert tune([small_run()], seeds=1)[0][0].learning_rate == 0.2
    assert tune([small_run()], seeds=2)[0][0].learning_rate == 0.1


def test_of_equally_good_rates_the_smaller_is_chosen(scripted, small_run):
    scripted(lambda run: 0.8 if run.learning_rate in (0.05, 0.1, 0.2) else 0.5)
    assert tune([small_run()])[0][0].learning_rate == 0.05


@pytest.mark.parametrize(("direction", "end"), [(1, HIGHEST), (-1, LOWEST)])
def test_widening_ends_where_no_rate_makes_sense(direction, end, scripted, small_run):
    scripted(lambda run: direction * math.log10(run.learning_rate))
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
    tune([small_run(method="dfa")], results=file)
    assert len(runs) == 2 * count
    again = tune([small_run(method="bp")], results=file)
    assert len(runs) == 2 * count
    assert again[0] == first[0]
    assert again[1].equals(first[1])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("seeds", [0, -1, 1.5, "2", True])
def test_bad_seeds_are_named(seeds, small_run):
    with pytest.raises(InputError, match=f"seeds must be a whole number of at least 1, not {seeds!r}"):
        tune([small_run()], seeds=seeds)


def test_tuning_finds_a_rate_that_learns(small_run):
    run = small_run(k=1, samples=1_000, hidden=32, epochs=2, learning_rate=1e-3)
    (chosen,), scores = tune([run])
    best = scores.loc[scores["chosen"]].iloc[0]
    assert best["learning_rate"] == chosen.learning_rate > 1e-2
    assert best["score"] == scores["score"].max() > 0.8
