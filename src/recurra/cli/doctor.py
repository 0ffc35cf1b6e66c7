"""`recurra doctor`: what is installed, which devices there are, and whether a tiny training of each task works."""

from __future__ import annotations

import importlib.metadata
import math
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import recurra
from recurra.cli.flags import Json
from recurra.cli.terminal import Terminal, duration
from recurra.tasks.registry import TASKS

PACKAGES = (
    "torch",
    "numpy",
    "polars",
    "safetensors",
    "scikit-learn",
    "matplotlib",
    "typer",
    "rich",
    "pydantic",
    "llvmlite",
)
SMALL = {"epochs": 2, "hidden_size": 8, "device": "cpu"}


def doctor(json: Json = False) -> int:
    """Check this installation: versions, devices, and a tiny training of each task on made data."""
    terminal = Terminal(aside=json)
    found: dict[str, Any] = {"recurra": recurra.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    terminal.say("  ".join(f"{name} {version or 'MISSING'}" for name, version in found.items()))
    passed = {f"package {name}": version is not None for name, version in found.items()}
    devices = _devices()
    terminal.say("devices: " + ", ".join(devices))
    with tempfile.TemporaryDirectory(prefix="recurra-doctor-") as folder:
        for task in TASKS:
            passed[f"train and use: {task}"] = _try(terminal, task, Path(folder))
    good = all(passed.values())
    terminal.headline("All is well." if good else "Something is wrong with this installation.", good)
    if json:
        terminal.json({"passed": good, "versions": found, "devices": devices, "checks": passed})
    return 0 if good else 1


def _devices() -> list[str]:
    import torch

    threads = torch.get_num_threads()
    devices = [f"cpu ({threads} thread{'' if threads == 1 else 's'})"]
    devices += [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return devices + (["mps"] if torch.backends.mps.is_available() else [])


def _try(terminal: Terminal, task: str, folder: Path) -> bool:
    started = time.monotonic()
    try:
        result = CHECKS[task](folder)
    except Exception as error:
        # Whatever is broken, the other checks still say their part.
        terminal.say(f"FAILED  train and use: {task} ({type(error).__name__}: {error})", "bold red")
        return False
    terminal.say(f"passed  train and use: {task} ({result}; {duration(time.monotonic() - started)})", "green")
    return True


def _forecast(folder: Path) -> str:
    import polars as pl

    rows = [(f"series {s}", t, 10 + s + 3 * math.sin(t / 12 * 2 * math.pi)) for s in range(4) for t in range(120)]
    table = pl.DataFrame(rows, schema=["series", "t", "value"], orient="row")
    model = recurra.Forecaster(target=("value",), time="t", series=("series",), horizon=12, **SMALL)
    model.fit(table, out=folder / "forecast")
    again = recurra.load(folder / "forecast").predict(table)
    if not again.equals(model.predict(table)) or again.height != 4 * 12:
        raise AssertionError("a saved model forecasts something else than it did before")
    return f"{again.height} forecasts, the same after saving and loading"


def _classify(folder: Path) -> str:
    import polars as pl

    rows = [(s, t, math.sin(t * (1 + s % 2)) + s / 100, f"class {s % 2}") for s in range(40) for t in range(5 + s % 4)]
    table = pl.DataFrame(rows, schema=["sequence", "t", "value", "label"], orient="row")
    model = recurra.SequenceClassifier(sequence=("sequence",), time="t", label="label", **SMALL)
    model.fit(table, out=folder / "classify")
    again = recurra.load(folder / "classify").predict(table)
    if not again.equals(model.predict(table)) or again.height != 40:
        raise AssertionError("a saved model predicts something else than it did before")
    return f"{again.height} predictions, the same after saving and loading"


CHECKS: dict[str, Callable[[Path], str]] = {"forecast": _forecast, "classify": _classify}
