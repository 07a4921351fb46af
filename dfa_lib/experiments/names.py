"""Labels and colours of methods, optimizers and random matrices in figures."""

from ..methods import METHODS

# After Okabe and Ito's palette, which is safe for colour-blind readers. Each colour has a contrast of
# 3:1 (WCAG 1.4.11) with light and dark backgrounds; BP and DFA have 4.5:1 with the dark one. Methods
# with fixed features share the reddish purples.
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
# Colours of registered methods, in this order.
SPARE_COLOURS = ("#333333", "#BD3728", "#D100A7", "#945900", "#0D7373")
METHOD_NAMES = {name: method.label for name, method in METHODS.items()}
"""The label of each method."""
OPTIMIZER_NAMES = {
    "sgd": "SGD",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "adagrad": "Adagrad",
    "adadelta": "Adadelta",
    "rmsprop": "RMSProp",
    "adam": "Adam",
}
"""The label of each optimizer."""
FEEDBACK_NAMES = {
    "uniform": "uniform on ±1/√h",
    "standard_uniform": "uniform on [0, 1]",
    "gaussian": "N(1/√h, 1/h)",
    "standard_gaussian": "N(0, 1)",
    "sign": "±1/√h",
}
"""The label of each kind of random matrix."""
