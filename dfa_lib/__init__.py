"""Learning rules, lazy methods and optimizers from scratch.

The names below are loaded when they are first used: ``import dfa_lib.learning_rules`` brings in torch,
and neither pandas nor joblib.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.parity import draw_stacks
    from .experiments import read_results, run_all
    from .experiments.extension import register_feedback, register_method, register_optimizer
    from .experiments.tuning import tune
    from .lazy import glu_gradients, ntk_gradients, output_layer_gradients
    from .learning_rules import backpropagation, direct_feedback_alignment, feedback_alignment
    from .methods import METHODS
    from .optimizers import OPTIMIZERS
    from .run import Run
    from .training import History, train
    from .validation import InputError

_MODULES = {
    "backpropagation": "learning_rules",
    "feedback_alignment": "learning_rules",
    "direct_feedback_alignment": "learning_rules",
    "ntk_gradients": "lazy",
    "glu_gradients": "lazy",
    "output_layer_gradients": "lazy",
    "METHODS": "methods",
    "OPTIMIZERS": "optimizers",
    "draw_stacks": "data.parity",
    "Run": "run",
    "History": "training",
    "train": "training",
    "run_all": "experiments",
    "read_results": "experiments",
    "tune": "experiments.tuning",
    "register_method": "experiments.extension",
    "register_optimizer": "experiments.extension",
    "register_feedback": "experiments.extension",
    "InputError": "validation",
}

__all__ = [
    "METHODS",
    "OPTIMIZERS",
    "History",
    "InputError",
    "Run",
    "backpropagation",
    "direct_feedback_alignment",
    "draw_stacks",
    "feedback_alignment",
    "glu_gradients",
    "ntk_gradients",
    "output_layer_gradients",
    "read_results",
    "register_feedback",
    "register_method",
    "register_optimizer",
    "run_all",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
