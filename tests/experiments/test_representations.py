import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from dfa_book.plots import representation_maps
from dfa_book.site.freshness import staleness
from dfa_lib import InputError, Run
from dfa_lib.data.digits import load_digits
from dfa_lib.experiments import representations as module
from dfa_lib.experiments.kept_table import KeptTable
from dfa_lib.experiments.provenance import checksums, read_record
from dfa_lib.experiments.representations import (
    PROBE_COLUMNS,
    PROBES,
    TARGETS,
    digit_representation,
    embed,
    embedding_table,
    is_one_place,
    nearest_alike,
    probe_table,
    weights_names,
)
from dfa_lib.networks import forward
from dfa_lib.training import initial_parameters, train

PIXELS, K = 5, 3  # of made-up networks
COUNT = 60  # digits that tables are made of


@pytest.fixture
def images():
    return torch.randn(7, PIXELS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


# ---- digit_representation ----


@pytest.mark.parametrize("position", range(K))
@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_it_is_the_networks_hidden_layer_when_the_other_digits_are_blank(
    random_network, images, position, biases, activation
):
    network = random_network((K * PIXELS, 4, 1), biases=biases)
    stacks = torch.zeros(len(images), K, PIXELS, dtype=torch.float64)
    stacks[:, position] = images
    expected = forward(network, stacks.flatten(1), activation).hidden[1]
    represented = digit_representation(network, images, position, K, activation)
    torch.testing.assert_close(represented, expected)


@pytest.mark.parametrize("position", range(K))
def test_each_position_reads_its_own_block_of_rows_only(random_network, images, position):
    network = random_network((K * PIXELS, 4, 1))
    before = digit_representation(network, images, position, K)
    for block in range(K):
        changed = network | {"W1": network["W1"].clone()}
        changed["W1"][block * PIXELS : (block + 1) * PIXELS] += 1.0
        same = torch.equal(digit_representation(changed, images, position, K), before)
        assert same == (block != position)


def test_without_the_activation_the_digits_terms_add_up_to_the_pre_activation(random_network):
    network = random_network((K * PIXELS, 4, 1))
    stacks = torch.randn(6, K, PIXELS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    terms = [digit_representation(network, stacks[:, i], i, K, "linear") for i in range(K)]
    whole = forward(network, stacks.flatten(1)).pre_activations[0]
    torch.testing.assert_close(sum(terms) - (K - 1) * network["b1"], whole)


def test_a_position_outside_the_stack_is_refused(random_network, images):
    network = random_network((K * PIXELS, 4, 1))
    with pytest.raises(InputError, match=r"position must be below k = 3, not 3\."):
        digit_representation(network, images, 3, K)
    with pytest.raises(InputError, match="position must be a whole number of at least 0, not -1"):
        digit_representation(network, images, -1, K)


def test_a_first_layer_of_another_k_is_refused(random_network, images):
    network = random_network((2 * PIXELS, 4, 1))
    with pytest.raises(
        InputError, match=r"W1 must have a row for each of 3 · 5 pixels, 15 in all, not 10"
    ):
        digit_representation(network, images, 0, K)


# ---- probes and maps ----


def planted(n, seed, *, spread=0.3):
    """Ten groups of points, one per digit, on the axes of ten dimensions."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 10
    features = torch.eye(10)[labels] * 3 + spread * torch.randn(n, 10, generator=source)
    return features, labels


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_probes_find_a_planted_structure(probe):
    assert probe(*planted(300, 0), *planted(100, 1)) == 1.0


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_probes_are_at_chance_on_noise(probe):
    features = torch.randn(1_300, 10, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(1_300) % 10
    accuracy = probe(features[:300], labels[:300], features[300:], labels[300:])
    # Of 1,000 guesses at ten classes, 0.1 ± 5 standard errors.
    assert abs(accuracy - 0.1) < 5 * math.sqrt(0.1 * 0.9 / 1_000)


def test_only_nearest_neighbours_find_a_structure_that_no_line_separates():
    points = 4 * torch.rand(1_500, 2, generator=torch.Generator().manual_seed(4))
    labels = (points.floor().long().sum(dim=1)) % 2  # a chessboard
    split = points[:1_000], labels[:1_000], points[1_000:], labels[1_000:]
    assert PROBES["nearest neighbours"](*split) > 0.85
    assert PROBES["linear"](*split) < 0.65


def test_the_linear_probe_does_not_depend_on_the_features_scale():
    features, labels = planted(300, 0, spread=1.5)
    test_features, test_labels = planted(100, 1, spread=1.5)
    scale = 10.0 ** torch.linspace(-3, 3, 10)
    plain = PROBES["linear"](features, labels, test_features, test_labels)
    scaled = PROBES["linear"](features * scale, labels, test_features * scale, test_labels)
    assert plain == pytest.approx(scaled, abs=0.02)
    assert plain < 1


def test_features_of_a_diverged_run_score_nan_and_have_no_map():
    features, labels = planted(50, 0)
    for probe in PROBES.values():
        assert math.isnan(probe(features * math.nan, labels, features * math.nan, labels))
    points = embed(features * math.nan)
    assert points.shape == (50, 2)
    assert np.isnan(points).all()
    assert math.isnan(nearest_alike(points, labels.numpy()))


def test_the_map_is_the_same_each_time_and_keeps_groups_together():
    features, labels = planted(100, 0)
    points = embed(features)
    assert points.shape == (100, 2)
    assert np.array_equal(points, embed(features))
    assert nearest_alike(points, labels.numpy()) == 1.0


def degenerate(kind):
    noise = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    some = torch.arange(64)
    return {
        "one feature": noise[:, :1],
        "one feature, twice": noise[:, [0, 0]],
        "one feature is dead": noise[:, :2] * torch.tensor([1.0, 0.0]),
        "thirty points": noise[:30],
        "two distinct points": noise[some % 2],
        "thirty-one distinct points": noise[some % 31],
        "half of the units' outputs are 0": noise * (some < 32)[:, None],
        "faint": noise * 1e-30,
        "faint beside a constant": torch.cat([torch.ones(64, 1), noise * 1e-30], 1),
        "huge": noise * 1e30,
        "far away": 1e6 + noise,
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        *("one feature", "one feature, twice", "one feature is dead", "thirty points"),
        *("two distinct points", "thirty-one distinct points", "half of the units' outputs are 0"),
        *("faint", "faint beside a constant", "huge", "far away"),
    ],
)
def test_degenerate_features_have_a_map_on_which_equal_points_lie_in_one_place(kind):
    features = degenerate(kind)
    points = embed(features)
    assert points.shape == (len(features), 2)
    assert np.isfinite(points).all()
    _, of_features = np.unique(features.numpy(), axis=0, return_inverse=True)
    _, of_points = np.unique(points, axis=0, return_inverse=True)
    pairs = set(zip(of_features.reshape(-1).tolist(), of_points.reshape(-1).tolist(), strict=True))
    assert len(pairs) == of_features.max() + 1 == of_points.max() + 1
    assert not is_one_place(points)


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e30])
def test_a_dead_layer_has_all_points_in_one_place_and_none_is_nearest(width, value):
    points = embed(torch.full((64, width), value))
    assert is_one_place(points)
    assert math.isnan(nearest_alike(points, np.arange(64)))


def test_nearest_alike_counts_points_beside_one_of_their_kind():
    points = np.array([[0.0, 0], [1, 0], [10, 0], [11, 0], [20, 0], [21, 0], [30, 0], [31, 0]])
    assert nearest_alike(points, np.array([1, 1, 2, 2, 3, 4, 5, 6])) == 0.5


# ---- tables ----


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
    assert [entry["runs"] for entry in read_record(probes)] == [len(trained)] == [4]
    assert [entry["runs"] for entry in read_record(maps)] == [0]  # those of the probes
    assert read_record(maps)[0]["data"] == checksums(["digits"])
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
