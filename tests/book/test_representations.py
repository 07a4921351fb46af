import math

import numpy as np
import pytest
import torch

from dfa_book.probes import (
    PROBES,
    digit_representation,
    embed,
    is_one_place,
    nearest_alike,
)
from dfa_lib import InputError
from dfa_lib.networks import forward

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
