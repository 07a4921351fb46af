"""Print peak memory in bytes: after importing torch, and after training the run given as JSON."""

import json
import resource
import sys
from pathlib import Path

import torch  # noqa: F401


def peak() -> int:
    """Return the peak memory of this process, in bytes."""
    # On Linux ru_maxrss is inherited from the process that started this one; VmHWM is our own.
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        (line,) = (line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Train the run, and print both numbers."""
    before = peak()
    from dfa_lib import Run, train  # after the first measurement

    train(Run(**json.loads(sys.argv[1])))
    print(before, peak())


if __name__ == "__main__":
    main()
