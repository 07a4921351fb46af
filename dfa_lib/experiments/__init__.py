"""Many runs: trained side by side, tuned, kept with their provenance, and compared."""

from .runner import final_epoch, read_results, repeats, run_all, run_histories

__all__ = ["final_epoch", "read_results", "repeats", "run_all", "run_histories"]
