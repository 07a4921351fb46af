import pytest
import torch

from dfa_lib.data.clusters import cluster_centres, draw_clusters, label_clusters
from dfa_lib.training import load_problem, train

C = 3
RADIUS = 1 / (3 * C - 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(samples=2_000, dimensions=15, density="centred", seed=0):
    return draw_clusters(label_clusters(generator(), C), samples, dimensions, density, generator(seed))


def nearest_centre(points):
    """Return the cluster of each point, and its distance from the centre in radii."""
    distance = torch.cdist(points[:, 1:3].double(), cluster_centres(C))
    nearest = distance.min(dim=1)
    return nearest.indices, nearest.values / RADIUS


def test_centres_are_a_grid_of_step_three_radii_around_the_origin():
    # c = 3: r = 1/8, step 3/8.
    grid = [(x, y) for x in (-0.375, 0, 0.375) for y in (-0.375, 0, 0.375)]
    assert torch.allclose(cluster_centres(3), torch.tensor(grid).double(), atol=1e-15)


@pytest.mark.parametrize("c", [2, 3, 4, 5])
def test_outermost_clusters_touch_the_unit_square_and_neighbours_are_a_radius_apart(c):
    centres, radius = cluster_centres(c), 1 / (3 * c - 1)
    assert centres.shape == (c * c, 2)
    assert centres.max().item() + radius == pytest.approx(0.5)
    assert centres.min().item() - radius == pytest.approx(-0.5)
    gaps = torch.pdist(centres) - 2 * radius
    assert gaps.min().item() == pytest.approx(radius)


@pytest.mark.parametrize("c", [2, 3, 4])
def test_half_of_the_clusters_rounded_down_have_label_1(c):
    labelings = [label_clusters(generator(seed), c) for seed in range(20)]
    assert {int(labels.sum()) for labels in labelings} == {c * c // 2}
    assert len({tuple(labels.tolist()) for labels in labelings}) > 1


def test_four_of_nine_clusters_have_label_1():
    assert label_clusters(generator()).sum() == 4


@pytest.mark.parametrize("density", ["centred", "uniform"])
def test_points_lie_within_a_radius_of_a_centre_and_fill_the_disk(density):
    _, distance = nearest_centre(draw(density=density).items)
    assert distance.max() <= 1 + 1e-6
    assert distance.max() > 0.99


@pytest.mark.parametrize(
    ("density", "mean", "mean_square", "variance"),
    [
        ("centred", 1 / 2, 1 / 3, 4 / 45),  # of u on [0, 1]: E u = 1/2, E u² = 1/3, Var u² = 4/45
        ("uniform", 2 / 3, 1 / 2, 1 / 12),  # of √u: E √u = 2/3, E u = 1/2, Var u = 1/12
    ],
)
def test_distance_from_the_centre_has_the_moments_of_its_density(density, mean, mean_square, variance):
    _, distance = nearest_centre(draw(20_000, density=density).items)
    assert distance.mean().item() == pytest.approx(mean, abs=0.01)
    error = (variance / 20_000) ** 0.5
    assert (distance**2).mean().item() == pytest.approx(mean_square, abs=5 * error)


def test_uniform_density_fills_half_of_the_disks_area_with_half_of_the_points():
    for density, share in (("uniform", 0.5), ("centred", 0.5**0.5)):
        _, distance = nearest_centre(draw(20_000, density=density).items)
        assert (distance < 0.5**0.5).double().mean().item() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("density", ["centred", "uniform"])
def test_points_lie_in_every_direction_from_their_centre(density):
    points = draw(20_000, density=density).items[:, 1:3].double()
    cluster, _ = nearest_centre(draw(20_000, density=density).items)
    offset = (points - cluster_centres(C)[cluster]) / RADIUS
    assert offset.mean(dim=0).abs().max() < 0.02
    assert torch.cov(offset.T)[0, 1].abs() < 0.01


def test_label_of_a_point_is_that_of_its_cluster():
    labels = label_clusters(generator(), C)
    points = draw()
    cluster, _ = nearest_centre(points.items)
    assert torch.equal(points.labels.flatten(), labels[cluster].float())


def test_clusters_are_equally_likely():
    cluster, _ = nearest_centre(draw(18_000).items)
    counts = torch.bincount(cluster, minlength=9)
    assert (counts - 2_000).abs().max() < 5 * (18_000 * 1 / 9 * 8 / 9) ** 0.5


@pytest.mark.parametrize("dimensions", [3, 4, 15, 25])
def test_first_input_is_1_and_the_further_ones_are_noise_within_one_half(dimensions):
    points = draw(dimensions=dimensions)
    X, y = points.batch(0, len(points))
    assert X.shape == (2_000, dimensions)
    assert y.shape == (2_000, 1)
    assert (X[:, 0] == 1).all()
    noise = X[:, 3:]
    assert noise.shape[1] == dimensions - 3
    if dimensions > 3:
        assert noise.abs().max() <= 0.5
        assert noise.mean(dim=0).abs().max() < 0.05
        assert noise.std(dim=0).mean().item() == pytest.approx(12**-0.5, abs=0.01)


def labels_by_cluster(problem):
    X, y = problem.held_out().batch(0, 10_000)
    cluster, _ = nearest_centre(X)
    return dict(zip(cluster.tolist(), y.flatten().tolist(), strict=True))


def test_the_clusters_are_labelled_by_the_seed_of_the_labelling_or_else_of_the_run(small_run):
    def labels(**fields):
        return labels_by_cluster(load_problem(small_run(dataset="clusters", test_samples=500, **fields)))

    assert labels(seed=0, labelling=0) == labels(seed=1, labelling=0)
    assert labels(seed=0, labelling=0) != labels(seed=0, labelling=1)
    assert labels(seed=1) == labels(seed=0, labelling=1)


def test_passes_are_epochs_that_are_not_judged(small_run):
    def losses(**fields):
        run = small_run(dataset="clusters", samples=64, batch_size=64, learning_rate=0.5, **fields)
        return train(run).test_loss

    assert losses(epochs=2, passes=3) == pytest.approx(losses(epochs=6)[2::3], rel=1e-4)


def test_each_seed_has_points_of_its_own_and_held_out_points_are_others(small_run):
    problems = [load_problem(small_run(dataset="clusters", seed=seed)) for seed in (0, 1)]
    sets = [p.training().items for p in problems] + [p.held_out().items for p in problems]
    rows = {tuple(row.tolist()) for items in sets for row in items}
    assert len(rows) == sum(len(items) for items in sets)


def test_the_points_of_a_run_stay_and_their_order_changes_each_epoch(small_run):
    problem = load_problem(small_run(dataset="clusters"))
    first, second = problem.training(), problem.training()
    assert torch.equal(first.items, second.items)
    assert not torch.equal(first.index, second.index)
    assert torch.equal(first.index.sort(dim=0).values, second.index.sort(dim=0).values)
    assert torch.equal(problem.held_out().index, problem.held_out().index)


def test_density_and_dimensions_reach_the_points(small_run):
    for density, mean in (("centred", 1 / 2), ("uniform", 2 / 3)):
        run = small_run(dataset="clusters", density=density, dimensions=7, samples=4_000)
        X, _ = load_problem(run).training().batch(0, 4_000)
        assert X.shape == (4_000, 7)
        assert nearest_centre(X)[1].mean().item() == pytest.approx(mean, abs=0.02)
