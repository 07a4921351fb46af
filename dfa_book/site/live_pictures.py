"""Still pictures of the live page, trained by the library, for print and browsers without JavaScript."""

import math
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from dfa_lib.alignment import weight_alignment
from dfa_lib.data.clusters import draw_clusters, label_clusters
from dfa_lib.experiments.names import COLOURS, METHOD_NAMES
from dfa_lib.feedback import feedback_matrices
from dfa_lib.lazy import output_layer_gradients
from dfa_lib.learning_rules import Products, direct_feedback_alignment, gradients
from dfa_lib.networks import Parameters, forward, initialise_network
from dfa_lib.optimizers import OPTIMIZERS, step
from dfa_lib.randomness import generator
from dfa_lib.training import Run, train

from ..panels import SVG
from ..plots import INK, LABEL_COLOURS, MUTED

WIDTH = 64
DISAGREE, AGREE = LABEL_COLOURS
STEPS = 300
EPOCHS = 12


def draw_stills(folder: Path) -> None:
    """Draw ``live-turn.svg``, ``live-race.svg`` and ``live-clusters.svg`` into a folder."""
    pictures = {"turn": turn_picture, "race": race_picture, "clusters": clusters_picture}
    with mpl.rc_context(SVG | {"svg.fonttype": "path"}):
        for name, draw in pictures.items():
            draw().savefig(folder / f"live-{name}.svg", metadata={"Date": None})


def turn_picture() -> Figure:
    """Draw the 64 units of chapter 1's network at the start and after training by DFA."""
    draw = generator(0, "live")
    X = torch.randn(256, 6, generator=draw, dtype=torch.float64)
    y = (X[:, :1] * X[:, 1:2] > 0).double()
    network = _drawn(6, draw)
    figure, panels = _panels(2)
    trained = _trained(network, X, y, direct_feedback_alignment, "sgd", 0.5)
    shown = {"at the start": network, f"after {STEPS} steps": trained}
    for panel, (when, parameters) in zip(panels, shown.items(), strict=True):
        angle = math.degrees(math.acos(float(weight_alignment(parameters)[0])))
        panel.set_title(f"{when}: {angle:.0f}° between B and W₂ᵀ", fontsize=11)
        _draw_units(panel, parameters)
    return figure


def _draw_units(panel: Axes, parameters: Parameters) -> None:
    W, B = parameters["W2"].flatten(), parameters["B1"].flatten()
    places = torch.arange(WIDTH)
    size = 330 * (W.abs() / W.abs().max()) ** 2
    for agreeing, face, edge in ((W * B > 0, AGREE, AGREE), (W * B <= 0, "none", DISAGREE)):
        shown, sizes = places[agreeing], size[agreeing].tolist()
        panel.scatter(shown % 8, shown // 8, s=sizes, facecolor=face, edgecolor=edge, linewidth=2)
    panel.set(xlim=(-0.7, 7.7), ylim=(7.7, -0.7), xticks=[], yticks=[], aspect="equal")


def race_picture() -> Figure:
    """Draw the accuracies of three rules on the parity of three digits."""
    figure, (panel,) = _panels(1)
    below = {"bp": 3, "dfa": -9, "relu_features": 3}  # offsets of names, in points
    for method in below:
        run = Run(
            method=method, optimizer="rmsprop", learning_rate=0.003, k=3, hidden=WIDTH,
            samples=6_400, test_samples=1_000, epochs=EPOCHS,
        )  # fmt: skip
        stacks = [6_400 * epoch for epoch in range(1, run.epochs + 1)]
        accuracy = train(run).test_accuracy
        panel.plot(stacks, accuracy, color=COLOURS[method], linewidth=2)
        end, offset = (stacks[-1], accuracy[-1]), (4, below[method])
        panel.annotate(METHOD_NAMES[method], end, offset, textcoords="offset points")
    panel.axhline(0.5, color=MUTED, linestyle=":")
    panel.set(xlabel="stacks seen", ylabel="accuracy on held-out digits")
    panel.set(xlim=(0, 95_000), ylim=(0.4, 1))
    return figure


def clusters_picture() -> Figure:
    """Draw the decision boundaries of DFA and fixed features between clusters."""
    draw = generator(1, "live")
    points = draw_clusters(label_clusters(draw), 256, 3, "centred", draw)
    X, y = (tensor.double() for tensor in points.batch(0, 256))
    network = _drawn(3, draw)
    side = torch.linspace(-0.6, 0.6, 120, dtype=torch.float64)
    grid = torch.cartesian_prod(torch.ones(1, dtype=torch.float64), side, side)
    figure, panels = _panels(2)
    rules = {"dfa": direct_feedback_alignment, "relu_features": output_layer_gradients}
    for panel, (name, rule) in zip(panels, rules.items(), strict=True):
        trained = _trained(network, X, y, rule, "adam", 0.01)
        answers = torch.sigmoid(forward(trained, grid).logits).reshape(120, 120).T
        panel.contourf(side, side, answers, [0, 0.5, 1], colors=LABEL_COLOURS, alpha=0.3)
        panel.contour(side, side, answers, [0.5], colors=INK)
        for label, face in enumerate(("white", LABEL_COLOURS[1])):
            of_label, edge = X[y[:, 0] == label], LABEL_COLOURS[label]
            panel.scatter(of_label[:, 1], of_label[:, 2], s=14, facecolor=face, edgecolor=edge)
        panel.set_title(METHOD_NAMES[name], fontsize=11)
        panel.set(xticks=[], yticks=[], aspect="equal")
    return figure


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _drawn(inputs: int, draw: torch.Generator) -> Parameters:
    widths = (inputs, WIDTH, 1)
    return initialise_network(widths, draw) | feedback_matrices(widths, "uniform", draw, direct=True)


def _trained(
    parameters: Parameters,
    X: Tensor,
    y: Tensor,
    rule: Callable[..., Products],
    optimizer: str,
    rate: float,
) -> Parameters:
    state: dict[str, tuple[Tensor, ...]] = {}
    for _ in range(STEPS):
        parameters, state = step(
            OPTIMIZERS[optimizer],
            parameters,
            state,
            lambda point: gradients(rule(point, X, y)),
            learning_rate=rate,
        )
    return parameters
