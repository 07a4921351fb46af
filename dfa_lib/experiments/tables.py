"""Small tidy tables that a page needs beside the runs' results: kept as CSV files, read back exactly."""

from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from ..validation import InputError
from .files import replace_text


def read_table(path: Path | None, columns: dict[str, Any]) -> pd.DataFrame:
    """Return the table of a CSV, or an empty one if there is no file.

    Parameters
    ----------
    columns
        The name of each column, and the type of its values.

    Raises
    ------
    InputError
        If the file does not have these columns, or a line was cut short.
    """
    if path is None or not path.exists():
        return pd.DataFrame(columns=[*columns]).astype(columns)
    try:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        # pandas would take a line that was cut short for one with empty values.
        whole = text.endswith("\n") and all(line.count(",") == len(columns) - 1 for line in lines)
        if not whole or lines[0].split(",") != [*columns] or len(lines) < 2:
            raise damaged(path)
        # As text first: Python reads numbers back exactly, pandas may differ in the last digit.
        return pd.read_csv(StringIO(text), dtype=str, keep_default_na=False).astype(columns)
    except InputError:
        raise
    except ValueError as problem:
        raise damaged(path) from problem


def damaged(path: Path | None) -> InputError:
    """Return what is to be said of a file that does not hold what was saved."""
    return InputError(
        f"{path} is damaged: it does not have the columns, values and rows that were saved; delete it, "
        f"and it will be computed again."
    )


def write_table(path: Path | None, table: pd.DataFrame) -> None:
    """Save a table; do nothing where there is no path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, as_csv(table))


def as_csv(table: pd.DataFrame) -> str:
    """Return what ``write_table`` writes."""
    return table.to_csv(index=False, na_rep="nan", lineterminator="\n")
