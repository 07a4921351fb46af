"""What methods, optimizers and random matrices are called in figures, and how each is drawn."""

from typing import Any

# Okabe and Ito's palette, told apart by colour-blind readers too.
COLOURS = {
    "bp": "#0072B2",
    "fa": "#E69F00",
    "dfa": "#D55E00",
    "ntk": "#009E73",
    "gaussian_features": "#CC79A7",
    "relu_features": "#56B4E9",
    "linear_features": "#7F7F7F",
}
"""The colour of each method, in every figure."""
# For methods that a reader registers, in this order: black, and four dark ones of Paul Tol's "muted".
SPARE_COLOURS = ("#000000", "#882255", "#999933", "#332288", "#117733")
METHOD_NAMES = {
    "bp": "BP",
    "fa": "FA",
    "dfa": "DFA",
    "ntk": "NTK",
    "gaussian_features": "Gaussian features",
    "relu_features": "ReLU features",
    "linear_features": "linear features",
}
"""What figures call each method."""
OPTIMIZER_NAMES = {
    "sgd": "SGD",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSProp",
    "adam": "Adam",
}
"""What figures call each optimizer."""
LINE_STYLES: dict[str, Any] = {
    "sgd": "-",
    "adadelta": (0, (5, 1.6)),
    "momentum": (0, (5, 1.5, 1, 1.5)),
    "nesterov": (0, (3, 1, 1, 1, 1, 1)),
    "adagrad": (0, (1, 1)),
    "rmsprop": (0, (3, 1.2)),
    "adam": (0, (8, 2)),
}
"""The line of each optimizer, in every figure."""
# For optimizers that a reader registers.
SPARE_LINE_STYLES = ((0, (2, 2)), (0, (6, 1, 2, 1)), (0, (8, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (10, 4)))
FEEDBACK_NAMES = {
    "uniform": "uniform on ±1/√h",
    "standard_uniform": "uniform on [0, 1]",
    "gaussian": "N(1/√h, 1/h)",
    "standard_gaussian": "N(0, 1)",
}
"""What figures call each kind of random matrix."""
