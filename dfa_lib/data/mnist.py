"""MNIST (LeCun, Cortes, Burges) through torchvision: thesis scale."""

import hashlib
import importlib
import os
import sys
import types
from functools import cache
from pathlib import Path

import filelock

from ..validation import InputError
from .images import Digits, DigitSets, normalised, shuffled, take

VALIDATION = 5_000

# MD5 of the uncompressed files.
CHECKSUMS = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def data_folder() -> Path:
    """Return the folder of MNIST: ``DFA_DATA_DIR``, or ``~/.cache/dfa_lib``."""
    return Path(os.environ.get("DFA_DATA_DIR") or Path.home() / ".cache" / "dfa_lib").expanduser()


def load_mnist() -> DigitSets:
    """Return 55,000 training, 5,000 validation and 10,000 test digits, of 784 pixels each.

    Training and validation digits are parts of MNIST's training set; the split is the same for all runs.
    The files are downloaded on first use, and their checksums are verified each time. ``InputError`` if
    they cannot be downloaded or are not MNIST's.
    """
    return _load(data_folder())


@cache
def _load(folder: Path) -> DigitSets:
    datasets = _torchvision_datasets()
    raw = folder / "MNIST" / "raw"
    if not all((raw / name).is_file() for name in CHECKSUMS):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(folder / ".mnist.lock"):  # only one process downloads
                datasets.MNIST(str(folder), download=True)
        except Exception as problem:
            raise InputError(
                f"MNIST is not in {folder} and could not be downloaded ({_first_line(problem)}); "
                f"set DFA_DATA_DIR to a folder that holds MNIST/raw with the files "
                f"{', '.join(CHECKSUMS)}, or use the dataset 'digits', which needs no download."
            ) from problem
    for name, expected in CHECKSUMS.items():
        found = hashlib.md5((raw / name).read_bytes(), usedforsecurity=False).hexdigest()
        if found != expected:
            raise InputError(
                f"{raw / name} is truncated or altered: its MD5 is {found}, that of MNIST's file is "
                f"{expected}; delete it to have it downloaded again, or put the right file there."
            )
    training = datasets.MNIST(str(folder), train=True)
    testing = datasets.MNIST(str(folder), train=False)
    rest = shuffled(Digits(training.data.flatten(1), training.targets.long()))
    return normalised(
        train=take(rest, VALIDATION, None),
        validation=take(rest, 0, VALIDATION),
        test=Digits(testing.data.flatten(1), testing.targets.long()),
    )


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(".:")


def _torchvision_datasets() -> types.ModuleType:
    """Import ``torchvision.datasets``, even if torch is CPU-only and torchvision was built for CUDA.

    PyPI has torchvision built for CUDA only. With a CPU-only torch its compiled operators cannot load,
    and the registration of their shapes makes the import fail ("operator torchvision::nms does not
    exist"). Reading MNIST needs no operator, so the registration is skipped.
    """
    import torch

    if not torch.version.cuda:
        name = "torchvision._meta_registrations"
        sys.modules.setdefault(name, types.ModuleType(name))
    return importlib.import_module("torchvision.datasets")
