"""What methods, optimizers and random matrices are called in figures, and how each is drawn."""

from typing import Any

from ..methods import METHODS

# After Okabe and Ito's palette, which colour-blind readers tell apart. A colour has to stand out, at 3
# to 1 (WCAG 1.4.11), from a white page and from a dark one alike; BP and DFA, at 4.5 to 1 from the dark
# one. Methods with fixed features share the reddish purples.
COLOURS = {
    "bp": "#1B86D0",
    "fa": "#8F5BE0",
    "dfa": "#D55E00",
    "ntk": "#009E73",
    "glu": "#9A7D0A",
    "gaussian_features": "#CC79A7",
    "relu_features": "#BC4FA5",
    "linear_features": "#9A6B8C",
}
"""The colour of each method, in every figure."""
# What is dark on a light page is light on a dark one: book/_static/figures.css has the other shades.
INK = "#333333"
TINT = "#f2f2f2"
RULE = "#dddddd"
PAPER = "#ffffff"
TURNING = {"ink": INK, "tint": TINT, "rule": RULE, "paper": PAPER}
"""The shades that turn with the page."""
# Legible on light and dark backgrounds.
MUTED = "#7A7A7A"
# Colours of methods that a reader registers, in this order.
SPARE_COLOURS = (INK, "#BD3728", "#D100A7", "#945900", "#0D7373")
METHOD_NAMES = {name: method.label for name, method in METHODS.items()}
"""What figures call each method."""
KERNEL_NAMES = {
    "relu_kernel": "infinitely wide ReLU features",
    "gates_kernel": "infinitely wide NTK (W₁, fixed gates)",
}
"""What figures call the lazy methods of infinite width, of ``converged``."""
FINITE_WIDTH = {"relu_kernel": "relu_features", "gates_kernel": "ntk"}
"""The same methods at finite width, whose colours they have."""
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
# Line styles of optimizers that a reader registers.
SPARE_LINE_STYLES = ((0, (2, 2)), (0, (6, 1, 2, 1)), (0, (8, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (10, 4)))
FEEDBACK_NAMES = {
    "uniform": "uniform on ±1/√h",
    "standard_uniform": "uniform on [0, 1]",
    "gaussian": "N(1/√h, 1/h)",
    "standard_gaussian": "N(0, 1)",
    "sign": "±1/√h",
}
"""What figures call each kind of random matrix."""
