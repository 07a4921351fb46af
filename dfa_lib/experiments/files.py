"""Files that are whole at every moment: what was there before, or what is there now."""

import os
from pathlib import Path


def half_written(path: Path) -> Path:
    """Return where ``replace_text`` writes first.

    The name is always the same: what a kill leaves there is overwritten by the next call, and gone.
    """
    return path.with_name(f".{path.name}.tmp")


def replace_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that no reader and no kill ever sees half of it."""
    temporary = half_written(path)
    try:
        write_text(temporary, text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file, and return when it is on the disk."""
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
