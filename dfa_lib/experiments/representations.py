"""Probes and t-SNE maps of the first layer's features of a single digit.

The thesis's appendix B asks whether a network that learns the parity of k digits tells the single digits
apart. ``digit_representation`` computes one digit's features, probes measure how well its class can be
predicted from them, and ``embed`` maps them to two dimensions.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ..networks import ACTIVATIONS, Parameters
from ..validation import InputError, choice, whole_number

NEIGHBOURS = 10
PERPLEXITY = 30  # scikit-learn's default

Features = Float[Tensor, "n features"]
Labels = Int[Tensor, "n"]
TestFeatures = Float[Tensor, "test_n features"]
TestLabels = Int[Tensor, "test_n"]


def digit_representation(
    parameters: Parameters,
    images: Float[Tensor, "n pixels"],
    position: int,
    k: int,
    activation: str = "relu",
) -> Float[Tensor, "n hidden"]:
    """Return the first hidden layer's features of single digits (thesis, appendix B).

    The rows of ``W1`` are k blocks, one for each digit of a stack. The features of a digit x at a
    position are ``f(x W1[block] + b1)``: those of a stack whose other images are blank. A blank image
    has the normalised pixel value 0, the mean brightness of the training digits.

    ``W1`` is ``(k · pixels, hidden)``; ``b1`` may be missing. ``images`` are normalised single digits,
    one per row; the ``position`` in the stack is from 0 to k - 1.
    """
    W1, pixels = parameters["W1"], images.shape[1]
    k = whole_number("k", k)
    if whole_number("position", position, minimum=0) >= k:
        raise InputError(f"position must be below k = {k}, not {position}.")
    if len(W1) != k * pixels:
        raise InputError(
            f"W1 must have a row for each of {k} · {pixels} pixels, {k * pixels} in all, not {len(W1)}."
        )
    a = images.to(W1) @ W1[position * pixels : (position + 1) * pixels]
    if "b1" in parameters:
        a = a + parameters["b1"]
    return ACTIVATIONS[choice("activation", activation, ACTIVATIONS)].function(a)


# ---- probes and maps ----


def probe_accuracy(
    model: Any, features: Features, labels: Labels, test_features: TestFeatures, test_labels: TestLabels
) -> float:
    """Fit a classifier of scikit-learn to the features of training digits; return its test accuracy.

    The accuracy is in [0, 1], or nan if features are not finite, as of a diverged run.
    """
    if not (features.isfinite().all() and test_features.isfinite().all()):
        return float("nan")
    probe = clone(model).fit(features.double().numpy(), labels.numpy())
    return float(probe.score(test_features.double().numpy(), test_labels.numpy()))


PROBES: dict[str, Callable[[Features, Labels, TestFeatures, TestLabels], float]] = {
    "nearest neighbours": partial(probe_accuracy, KNeighborsClassifier(NEIGHBOURS)),
    "linear": partial(
        probe_accuracy, make_pipeline(StandardScaler(), LogisticRegression(max_iter=5_000))
    ),
}
"""The 10 nearest neighbours, by Euclidean distance, measure whether the layer places digits of one class
near each other; logistic regression on standardised features, whether a class is linearly decodable."""


def embed(features: Features) -> Float[np.ndarray, "n 2"]:
    """Return a t-SNE map of the features (thesis, figure B.2); it is deterministic.

    t-SNE starts from the first two principal components. Neighbours on the map are neighbours in feature
    space; distances between groups, and their sizes, mean nothing. Points with equal features coincide:
    all of them, if the layer is dead. ``PERPLEXITY`` distinct points or fewer are too few for t-SNE, so
    their map is the two principal components. If features are not finite, the map is nan.
    """
    if not features.isfinite().all():
        return np.full((len(features), 2), np.nan)
    distinct, place = _distinct(features.double().numpy())
    centred = distinct - (distinct / len(distinct)).sum(0)
    size = np.abs(centred).max()
    # scikit-learn squares distances in float32, and crashes if they underflow or overflow.
    x = distinct if 1e-6 < size < 1e6 else centred / (size or 1.0)
    x = np.pad(x, ((0, 0), (0, max(0, 2 - x.shape[1]))))  # it needs two features
    if len(x) > PERPLEXITY:
        points = TSNE(perplexity=PERPLEXITY, init="pca", random_state=0).fit_transform(x)
    else:
        u, s, _ = np.linalg.svd(np.pad(x - x.mean(0), ((0, 1), (0, 0))), full_matrices=False)
        points = (u * s)[:-1, :2]
    return np.asarray(points[place], dtype=float)


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows by first occurrence, and the index of each row among them."""
    _, first, place = np.unique(x, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return x[first[order]], np.argsort(order)[place.reshape(-1)]


def is_one_place(points: Float[np.ndarray, "n 2"]) -> bool:
    """Return whether all points of a map coincide, as those of a dead layer do."""
    return bool(np.isfinite(points).all() and (points == points[0]).all())


def nearest_alike(points: Float[np.ndarray, "n 2"], labels: Int[np.ndarray, "n"]) -> float:
    """Return the share of a map's points whose nearest neighbour has the same label, in [0, 1].

    It is nan if the map is not finite or all points coincide.
    """
    if not np.isfinite(points).all() or is_one_place(points):
        return float("nan")
    nearest = NearestNeighbors(n_neighbors=1).fit(points).kneighbors(return_distance=False)[:, 0]
    return float(np.mean(labels[nearest] == labels))
