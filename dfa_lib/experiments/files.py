"""Files that are whole at every moment: what was there before, or what is there now."""

import os
from pathlib import Path


def half_written(path: Path) -> Path:
    """Return where ``replace_text`` writes first.

    The name is always the same: what a kill leaves there is overwritten by the next call, and gone.
    """
    return path.with_name(f".{path.name}.tmp")


def replace_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that no reader and no kill ever sees half of it.

    It keeps its permissions, and a link stays one. Something else at the temporary name, a link for
    example, is removed and not written through.
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
    """Return the operating system's words for what went wrong."""
    return problem.strerror or str(problem)
