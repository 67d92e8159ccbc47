"""Describe the machine of the measurements."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.environments import MLFLOW

PACKAGES = ("wandb", "keras", "tensorflow", "tensorflow-cpu", "numpy")


def read_facts() -> dict[str, Any]:
    """Return processor, cores, system, versions, and how busy the machine was before the first measurement."""
    return {
        "processor": _read_processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "versions": ", ".join([f"Python {platform.python_version()}", *_list_packages(), MLFLOW.replace("==", " ")]),
        "load before": ", ".join(f"{load:.1f}" for load in os.getloadavg()) + " (1, 5, 15 minutes)",
    }


def warm_up() -> None:
    """Read every library from the disk once, so that the first measurement does not pay for the others."""
    subprocess.run([sys.executable, "-c", "import tensorflow, keras, sklearn, wandb"], capture_output=True, check=False)


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _list_packages() -> list[str]:
    packages = []
    for name in PACKAGES:
        try:
            packages.append(f"{name} {version(name)}")
        except ModuleNotFoundError:  # only one of the two TensorFlows is installed
            continue
    return packages
