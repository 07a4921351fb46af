"""Learning rules, lazy methods and optimizers from scratch.

The names below are imported when they are first used: ``import dfa_lib.learning_rules`` imports torch,
but neither pandas nor joblib.
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
    "learning_rules": "backpropagation direct_feedback_alignment feedback_alignment",
    "lazy": "glu_gradients ntk_gradients output_layer_gradients",
    "methods": "METHODS",
    "optimizers": "OPTIMIZERS",
    "data.parity": "draw_stacks",
    "run": "Run",
    "training": "History train",
    "validation": "InputError",
    "experiments": "read_results run_all",
    "experiments.tuning": "tune",
    "experiments.extension": "register_feedback register_method register_optimizer",
}

__all__ = [
    "METHODS", "OPTIMIZERS", "History", "InputError", "Run", "backpropagation",
    "direct_feedback_alignment", "draw_stacks", "feedback_alignment", "glu_gradients", "ntk_gradients",
    "output_layer_gradients", "read_results", "register_feedback", "register_method",
    "register_optimizer", "run_all", "train", "tune",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names.split():
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
