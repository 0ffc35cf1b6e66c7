"""What a run ran on: versions and hardware, and nothing about the person or their folders."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

PACKAGES = ("recurra", "torch", "numpy", "polars", "scikit-learn", "safetensors", "matplotlib", "pydantic", "llvmlite")


def environment(device: str | None = None) -> dict[str, Any]:
    """Versions, platform, processor, threads and device, as JSON-able facts.

    Args:
        device: the device in words, where it is known.
    """
    import torch

    return {
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := package_version(name))},
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "device": device or accelerator() or "cpu",
        "cuda": torch.version.cuda,
    }


def package_version(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def recurra_version() -> str:
    """The version of this library, also where it runs from a source tree that is not installed."""
    return package_version("recurra") or "0+source"


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def accelerator() -> str | None:
    """The name of the first CUDA device, `mps`, or None."""
    import torch

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name(0)}"
    return "mps" if torch.backends.mps.is_available() else None
