"""Atomic replacement of files."""

import os
from pathlib import Path


def half_written(path: Path) -> Path:
    """Return the temporary file of ``replace_text``.

    Its name is always the same, so the next call removes what a killed process left.
    """
    return path.with_name(f".{path.name}.tmp")


def replace_text(path: Path, text: str) -> None:
    """Replace a file atomically: a reader or a kill never sees half of it.

    The file keeps its permissions, and a link stays a link. A link at the temporary name is removed, not
    followed.
    """
    path = Path(os.path.realpath(path))
    temporary = half_written(path)
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x", newline="", encoding="utf-8") as file:
            if path.exists():
                temporary.chmod(path.stat().st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def reason(problem: OSError) -> str:
    """Return the operating system's message."""
    return problem.strerror or str(problem)
