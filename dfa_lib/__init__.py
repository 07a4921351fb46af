"""Learning rules, lazy methods and optimizers from scratch: the library under the book."""

from .experiments import read_results, run_all
from .extension import register_feedback, register_method, register_optimizer
from .training import History, Run, train
from .tuning import tune
from .validation import InputError

__all__ = [
    "History",
    "InputError",
    "Run",
    "read_results",
    "register_feedback",
    "register_method",
    "register_optimizer",
    "run_all",
    "train",
    "tune",
]
