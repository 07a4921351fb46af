"""Child processes that exit soon after their parent, even if the parent is killed.

As a script, it runs a function of another package in such a process without importing this package:
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

# Seconds between two checks of the parent.
INTERVAL = 1.0


@cache
def end_with(parent: int) -> None:
    """Exit within about a second of the parent's end; of this process's own id nothing comes.

    The parent's process id is an argument because the parent may exit before this call.
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
    """Wrap a function for joblib's workers, so that each worker exits with this process.

    Otherwise, orphaned workers would wait five minutes for work.
    """
    return partial(_call, os.getpid(), function)


def _call(parent: int, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    end_with(parent)
    return function(*arguments, **named)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    module, _, function = sys.argv[2].partition(":")
    sys.argv = sys.argv[2:]
    sys.exit(getattr(importlib.import_module(module), function)())
