"""Processes that end soon after the one that started them, however that ended.

As a program, it runs a function of another package in such a process, without importing this one:
``python -P orphans.py PARENT MODULE:FUNCTION ARGUMENT …``.
"""

import importlib
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

# Seconds between two looks at the parent.
INTERVAL = 1.0


@cache
def end_with(parent: int) -> None:
    """End this process within about a second of its parent's end. A second call has no effect.

    Parameters
    ----------
    parent
        The parent's process id. It is passed in, because the parent may be gone before this is called.
        With the id of this process itself, nothing happens.
    """
    if parent == os.getpid():
        return

    def watch() -> None:
        if sys.platform == "win32":  # there, getppid goes on to name a parent that has ended
            import ctypes

            kernel, synchronize, infinite = ctypes.windll.kernel32, 0x00100000, -1
            kernel.WaitForSingleObject(kernel.OpenProcess(synchronize, False, parent), infinite)
        else:
            while os.getppid() == parent:
                time.sleep(INTERVAL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def tied(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function for joblib's workers that does the same, and ends each worker with this process.

    A worker would otherwise wait five minutes for work that nobody sends any more.
    """
    return partial(_call, os.getpid(), function)


def _call(parent: int, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    end_with(parent)
    return function(*given, **named)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    module, _, function = sys.argv[2].partition(":")
    sys.argv = sys.argv[2:]
    sys.exit(getattr(importlib.import_module(module), function)())
