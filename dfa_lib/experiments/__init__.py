"""Many runs: trained in parallel, tuned, kept with their provenance, and compared."""

from .results import read_results
from .runner import final_epoch, repeats, run_all, run_histories

__all__ = ["final_epoch", "read_results", "repeats", "run_all", "run_histories"]
