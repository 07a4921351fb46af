"""The tables of probes and maps: what they compare, and how they are kept and refused."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from dfa_book import probes as module
from dfa_book.plots import representation_maps
from dfa_book.probes import (
    PROBE_COLUMNS,
    PROBES,
    TARGETS,
    digit_representation,
    embedding_table,
    is_one_place,
    probe_table,
    weights_names,
)
from dfa_book.site.freshness import staleness
from dfa_lib import InputError, Run
from dfa_lib.data.digits import load_digits
from dfa_lib.experiments.kept_table import KeptTable
from dfa_lib.experiments.provenance import Record, checksums
from dfa_lib.training import initial_parameters, train

COUNT = 60  # digits that tables are made of


@pytest.fixture(scope="module")
def runs():
    small = {"samples": 128, "test_samples": 32, "hidden": 6, "epochs": 1}
    return [Run(method=m, k=3, learning_rate=r, **small) for m, r in (("bp", 0.5), ("dfa", 0.1))]


@pytest.fixture(scope="module", autouse=True)
def _few_digits():
    """Use few digits, so that tables are fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PROBE_DIGITS", COUNT)
        patch.setattr(module, "EMBEDDED_DIGITS", COUNT)
        yield


@pytest.fixture
def trained(monkeypatch):
    """Clear the cache of trained layers, and count the runs that are trained."""
    seen = []
    monkeypatch.setattr(module, "_first_layers", {})

    def counted(run, **keywords):
        seen.append(run)
        return train(run, **keywords)

    monkeypatch.setattr(module, "train", counted)
    return seen


def two_seeds(runs, **keywords):
    return probe_table(runs, 2, **keywords)


BUILDERS = {"probes": two_seeds, "maps": embedding_table}


@pytest.fixture(scope="module")
def saved(runs, tmp_path_factory):
    """Each table, and the text of its CSV and of its record."""
    folder = tmp_path_factory.mktemp("saved") / "new"
    tables = {name: build(runs, results=folder / f"{name}.csv") for name, build in BUILDERS.items()}
    return {
        name: (table, *((folder / f"{name}.{kind}").read_text() for kind in ("csv", "json")))
        for name, table in tables.items()
    }


@pytest.fixture(params=BUILDERS)
def file(request, saved, tmp_path):
    """A builder, its table, and a CSV of it to damage."""
    table, text, record = saved[request.param]
    path = tmp_path / "table.csv"
    path.write_text(text)
    path.with_suffix(".json").write_text(record)
    return BUILDERS[request.param], table, path


def test_the_probe_table_has_a_row_for_each_seed_weights_probe_and_target(saved):
    table, *_ = saved["probes"]
    keys = table[["seed", "weights", "probe", "target"]]
    assert len(keys.drop_duplicates()) == len(table) == 2 * 4 * 2 * 2
    assert list(table["weights"].unique()) == ["pixels", "untrained", "bp-sgd", "dfa-sgd"]
    assert set(table["fitted_on"]) == set(table["judged_on"]) == {COUNT}
    assert table["accuracy"].between(0, 1).all()


def test_raw_pixels_are_the_same_for_every_seed_and_untrained_weights_are_not(saved):
    table, *_ = saved["probes"]
    scores = {
        key: own["accuracy"].tolist() for key, own in table.groupby(["weights", "seed"], sort=False)
    }
    assert scores["pixels", 0] == scores["pixels", 1]
    assert scores["untrained", 0] != scores["untrained", 1]


def test_the_scores_are_those_of_the_runs_own_first_and_last_weights(runs, saved):
    run, sets = replace(runs[0], seed=1), load_digits()
    weights = {"untrained": initial_parameters(run, 3 * 64)}
    train(run, observe=lambda epoch, parameters: weights.update({"bp-sgd": parameters}))
    table = saved["probes"][0].set_index(["seed", "weights", "probe", "target"])["accuracy"]
    for name, parameters in weights.items():
        expected = PROBES["nearest neighbours"](
            digit_representation(parameters, sets.train.images[:COUNT], 0, 3),
            sets.train.labels[:COUNT] % 2,
            digit_representation(parameters, sets.test.images[:COUNT], 0, 3),
            sets.test.labels[:COUNT] % 2,
        )
        assert table[1, name, "nearest neighbours", "parity"] == expected


def test_the_maps_show_the_same_test_digits_for_each_of_the_weights(runs, saved):
    table, *_ = saved["maps"]
    shown = load_digits().test.labels[:COUNT].tolist()
    assert list(table["weights"].unique()) == weights_names(runs)
    for _, points in table.groupby("weights"):
        assert points["digit"].tolist() == shown
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()


def test_probes_and_maps_share_their_training(runs, trained):
    two_seeds(runs)
    embedding_table(runs)
    asked_for = [replace(run, seed=seed) for run in runs for seed in (0, 1)]
    assert sorted(trained, key=repr) == sorted(asked_for, key=repr)


def test_a_saved_table_is_read_back_exactly_without_training(runs, file, trained):
    build, table, path = file
    pd.testing.assert_frame_equal(build(runs, results=path), table, check_exact=True)
    assert trained == []
    assert sorted(each.name for each in path.parent.iterdir()) == ["table.csv", "table.json"]


def test_the_tables_do_not_depend_on_the_number_of_processes(runs, saved, trained):
    pd.testing.assert_frame_equal(two_seeds(runs, jobs=2), saved["probes"][0], check_exact=True)


def test_a_missing_seed_is_added_and_a_spare_one_stays(runs, saved, trained, tmp_path):
    path = tmp_path / "probes.csv"
    table, text, record = saved["probes"]
    path.with_suffix(".json").write_text(record)
    lines = text.splitlines(keepends=True)
    path.write_text("".join(lines[:17]))  # the header and the 16 rows of seed 0
    one = probe_table(runs, 1, results=path)
    assert set(one["seed"]) == {0}
    assert trained == []
    pd.testing.assert_frame_equal(two_seeds(runs, results=path), table, check_exact=True)
    assert {run.seed for run in trained} == {1}
    assert path.read_text() == text
    pd.testing.assert_frame_equal(probe_table(runs, 1, results=path), one)
    assert path.read_text() == text


def test_tables_have_records_that_know_their_rows(runs, trained, tmp_path):
    probes, maps = tmp_path / "probes.csv", tmp_path / "embedding.csv"
    probe_table(runs, 1, results=probes)
    probe_table(runs, 2, results=probes)
    embedding_table(runs, results=maps)
    assert [entry["runs"] for entry in Record.read(probes).sessions] == [len(trained)] == [4]
    assert [entry["runs"] for entry in Record.read(maps).sessions] == [0]  # those of the probes
    assert Record.read(maps).sessions[0]["data"] == checksums(["digits"])
    for path in (probes, maps):
        assert staleness(path) is None
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*lines[:-1], lines[-1].replace("0", "1")]))
        assert "holds one run that its record" in staleness(path)


def test_two_writers_of_a_table_lose_no_seed(runs, tmp_path, monkeypatch):
    """One call asks for two seeds; another asks for three, and ends before the first has the lock."""
    path, real = tmp_path / "probes.csv", KeptTable.writer

    @contextmanager
    def late(table):
        monkeypatch.setattr(KeptTable, "writer", real)
        probe_table(runs, 3, results=path)
        with table.writer() as writer:
            yield writer

    monkeypatch.setattr(KeptTable, "writer", late)
    assert set(probe_table(runs, 2, results=path)["seed"]) == {0, 1}
    with KeptTable(path, PROBE_COLUMNS).writer(), pytest.raises(InputError, match="by another process"):
        probe_table(runs, 4, results=path)
    assert set(KeptTable(path, PROBE_COLUMNS).frame()["seed"]) == {0, 1, 2}


def test_a_diverged_run_is_saved_and_read_as_nan(runs, tmp_path):
    wild = [runs[0], replace(runs[1], learning_rate=1e30)]
    for build, column in ((two_seeds, "accuracy"), (embedding_table, "x")):
        path = tmp_path / f"{column}.csv"
        for table in (build(wild, results=path), build(wild, results=path)):
            lost = table[table[column].isna()]
            assert set(lost["weights"]) == {"dfa-sgd"}
            assert len(lost) == (table["weights"] == "dfa-sgd").sum()


def test_a_finite_run_whose_layer_is_dead_is_probed_and_mapped():
    wild = [
        Run(method=method, k=3, samples=512, test_samples=256, hidden=2, epochs=2, learning_rate=5.0)
        for method in ("bp", "dfa")
    ]
    maps = embedding_table(wild)
    after = maps.loc[maps["weights"] == "dfa-sgd", ["x", "y"]].to_numpy()
    assert np.isfinite(maps[["x", "y"]].to_numpy()).all()
    assert is_one_place(after)
    assert representation_maps(maps).axes
    scores = probe_table(wild, 1)
    assert scores["accuracy"].between(0, 1).all()


DAMAGE = {
    "cut in a line": lambda text: text[:-5],
    "cut in a line that is ended": lambda text: text[: text.rindex(",")] + "\n",
    "a line lost": lambda text: "".join(text.splitlines(keepends=True)[:-1]),
    "a line twice": lambda text: text + text.splitlines(keepends=True)[-1],
    "no number": lambda text: text[: text.rindex(",")] + ",much\n",
    "an empty value": lambda text: text[: text.rindex(",")] + ",\n",
    "a column renamed": lambda text: text.replace("weights", "networks", 1),
    "empty": lambda text: "",
    "only a header": lambda text: text.splitlines(keepends=True)[0],
    "foreign weights": lambda text: text.replace("untrained", "ntk-sgd"),
    "no text": lambda text: "\udcff" + text,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_a_sentence_and_left_alone(runs, file, damage):
    build, _, path = file
    damaged = DAMAGE[damage](path.read_text()).encode(errors="surrogateescape")
    path.write_bytes(damaged)
    with pytest.raises(
        InputError, match=r"table\.csv is damaged: .*(delete it, and it will be computed|not text)"
    ):
        build(runs, results=path)
    assert path.read_bytes() == damaged


def test_an_accuracy_above_one_and_a_digit_above_nine_are_damage(runs, saved, tmp_path):
    for name, values in (("probes", {"accuracy": 1.5}), ("maps", {"digit": 10})):
        path = tmp_path / f"{name}.csv"
        saved[name][0].assign(**values).to_csv(path, index=False, lineterminator="\n")
        path.with_suffix(".json").write_text(saved[name][2])
        with pytest.raises(InputError, match="is damaged"):
            BUILDERS[name](runs, results=path)


def test_a_table_without_its_record_is_refused(runs, file):
    build, _, path = file
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"are not what its record table\.json knows"):
        build(runs, results=path)


@pytest.mark.parametrize("change", [{"learning_rate": 0.25}, {"epochs": 2}, {"hidden": 13}])
def test_a_file_of_other_runs_is_refused(runs, file, change):
    build, _, path = file
    with pytest.raises(InputError, match=r"table\.csv belongs to another experiment"):
        build([replace(run, **change) for run in runs], results=path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{}, {"hidden": 20}], "runs may differ in method, feedback, optimizer and rate only"),
        ([{}, {}], "runs must differ in method or optimizer, not be bp-sgd, bp-sgd"),
        ([{"method": "ntk"}], "method cannot be 'ntk'"),
        ([{"dataset": "clusters", "k": None}], "dataset cannot be 'clusters'"),
        ([], "runs must hold at least one run, not none"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(small_run, changes, message):
    asked = [small_run(**({"k": 3} | change)) for change in changes]
    for build in BUILDERS.values():
        with pytest.raises(InputError, match=message):
            build(asked)


def test_probes_and_targets_are_the_two_of_each_that_the_figure_shows():
    from dfa_book.plots import PROBE_MARKERS, TARGET_NAMES

    assert PROBE_MARKERS.keys() == PROBES.keys()
    assert TARGET_NAMES.keys() == TARGETS.keys()
