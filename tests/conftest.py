"""What several rooms' tests use: the command line in this process and in one of its own, and two small tables."""

from __future__ import annotations

import datetime
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

# What a terminal or a build server may have set must not change what the tests see of the command line.
for _name in (
    "FORCE_COLOR",
    "PY_COLORS",
    "GITHUB_ACTIONS",
    "NO_COLOR",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
    "RECURRA_DEBUG",
):
    os.environ.pop(_name, None)
os.environ["COLUMNS"] = "100"


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def recurra(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run the command line in this process."""
    from recurra.cli.main import main

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def recurra_process() -> Callable[..., Result]:
    """Run the command line in a process of its own, with its output in pipes."""

    def run(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Result:
        done = subprocess.run(
            [sys.executable, "-m", "recurra", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=300,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table to forecast: date, store, units."""
    chance = random.Random(0)
    lines = ["date,store,units"]
    for store in range(3):
        for day in range(120):
            date = datetime.date(2024, 1, 1) + datetime.timedelta(days=day)
            units = 20 + 5 * store + 6 * math.sin(day / 7 * 2 * math.pi) + chance.gauss(0, 1)
            lines.append(f"{date},store {store},{units:.2f}")
    path = tmp_path_factory.mktemp("sales") / "sales.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def gestures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table to classify: id, t, x, y and a label that is the direction of a turn."""
    chance = random.Random(0)
    lines = ["id,t,x,y,turn"]
    for number in range(60):
        direction = 1 if number % 2 else -1
        for t in range(6 + number % 7):
            x, y = math.cos(t / 2) + chance.gauss(0, 0.1), direction * math.sin(t / 2) + chance.gauss(0, 0.1)
            lines.append(f"{number},{t},{x:.3f},{y:.3f},{'left' if direction > 0 else 'right'}")
    path = tmp_path_factory.mktemp("gestures") / "gestures.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
