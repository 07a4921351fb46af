"""The clusters of Chizat and Bach (2020), *Implicit Bias of Gradient Descent for Wide Two-layer Neural
Networks Trained with the Logistic Loss* (arXiv 2002.04486); the thesis's 'random data'.

Two inputs place a point in one of c² clusters on a c × c grid, and each cluster has a label. The other
inputs are noise. A method that finds the two informative inputs needs far fewer points than one that
cannot.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .examples import Examples

CLUSTERS_PER_SIDE = 3
DENSITIES = ("centred", "uniform")


def label_clusters(generator: torch.Generator, c: int = CLUSTERS_PER_SIDE) -> Bool[Tensor, "c2"]:
    """Choose which of the c² clusters have label 1: ⌊c²/2⌋ of them, at random."""
    labels = torch.zeros(c * c, dtype=torch.bool)
    labels[torch.randperm(c * c, generator=generator)[: c * c // 2]] = True
    return labels


def cluster_centres(c: int = CLUSTERS_PER_SIDE) -> Float[Tensor, "c2 2"]:
    """Return the centres: a grid of step 3r around the origin, where r = 1/(3c - 1) is the radius.

    The outermost clusters touch the square [-½, ½]², and neighbours are r apart.
    """
    side = (3 * torch.arange(c, dtype=torch.float64) + 1) / (3 * c - 1) - 0.5
    return torch.cartesian_prod(side, side)


def draw_clusters(
    labels: Bool[Tensor, "c2"],
    samples: int,
    dimensions: int,
    density: str,
    generator: torch.Generator,
) -> Examples:
    """Draw points from the clusters with these labels, see ``label_clusters``.

    The inputs of a point, at least 3, are a constant 1, the two that place it, and ``dimensions - 3``
    uniform on [-½, ½]. With the density ``"centred"`` the distance from the centre is uniform on [0, r],
    as in the authors' released code, which crowds points around the centres; with ``"uniform"`` points
    are uniform on the disk of radius r.
    """
    c = math.isqrt(len(labels))
    cluster = torch.randint(c * c, (samples,), generator=generator)
    angle = 2 * math.pi * torch.rand(samples, generator=generator, dtype=torch.float64)
    distance = torch.rand(samples, generator=generator, dtype=torch.float64)
    if density == "uniform":
        distance = distance.sqrt()
    offset = torch.stack([angle.cos(), angle.sin()], dim=1) * (distance / (3 * c - 1)).unsqueeze(1)
    noise = torch.rand(samples, dimensions - 3, generator=generator, dtype=torch.float64) - 0.5
    ones = torch.ones(samples, 1, dtype=torch.float64)
    points = torch.cat([ones, cluster_centres(c)[cluster] + offset, noise], dim=1)
    index = torch.arange(samples).unsqueeze(1)
    return Examples(points.float(), index, labels[cluster].float().unsqueeze(1))
