"""What a result was computed with: versions, machine and data, read when it is asked for."""

import importlib.metadata
import platform
from pathlib import Path

import torch

from ..training import DIGIT_SETS
from .chapter import PROFILES, Settings, available_cores

PACKAGES = (
    "dfa_lib",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "joblib",
    "matplotlib",
    "papermill",
    "jupyter-book",
    "Sphinx",
)


def versions() -> dict[str, str]:
    """Return the version of Python and of the packages that results and pages depend on."""
    return {"Python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in PACKAGES
    }


def machine() -> dict[str, str]:
    """Return the operating system, processor, cores, and GPU if there is one."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores in use": str(available_cores()),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "GPU": gpu,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def data_checksums(settings: Settings) -> dict[str, str]:
    """Return the checksum of the digits that these settings train on."""
    name = PROFILES[settings.profile].dataset
    return {name: DIGIT_SETS[name]().checksum()}
