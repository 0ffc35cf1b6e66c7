"""Imports point one way; what is heavy is imported only where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recurra

ROOT = Path(recurra.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

LEVELS = [
    ("errors", "types", "options", "settings", "version"),
    ("native",),
    ("cells",),
    ("engine",),
    ("unroll", "fold", "sweep", "relax"),
    ("nn", "memory", "circuits"),
    ("learn", "analysis"),
    ("data", "tasks", "train", "problems", "reservoir"),
    ("estimators",),
    ("report", "serve", "export"),
    ("cli", "__main__"),
]
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}

# On one level rooms do not know one another, except for these.
NEIGHBOURS = {
    ("types", "errors"),
    ("options", "errors"),
    ("settings", "options"),
    ("tasks", "data"),
    ("__main__", "cli"),
    ("analysis", "learn"),
    ("memory", "nn"),
}

# Arrows against the order that are wanted, file to module, each with its reason.
ALLOWED: dict[tuple[str, str], str] = {
    ("memory/rules.py", "recurra.learn.closed"): "their learning rules are closed forms, and stand with them",
}

# The lowest level at which a package may be imported.
HEAVY = {
    "polars": LEVEL["data"],
    "pandas": LEVEL["data"],
    "pyarrow": LEVEL["data"],
    "sklearn": LEVEL["data"],
    "pydantic": LEVEL["data"],
    "matplotlib": LEVEL["report"],
    "typer": LEVEL["cli"],
    "rich": LEVEL["cli"],
}


def imports(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of every import of a file, those inside functions included."""
    found = []
    package = ["recurra", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def arrows_back(path: Path) -> list[str]:
    """The imports of a file that run against the order of the rooms."""
    own = room_of(path)
    if own == "__init__":
        return []  # the face: it names everything and imports lazily
    wrong = []
    for line, name in imports(path):
        parts = name.split(".")
        place = f"{path.relative_to(ROOT)}:{line} imports {name}"
        if parts[0] in HEAVY and LEVEL[own] < HEAVY[parts[0]]:
            wrong.append(place)
        if parts[0] != "recurra" or name == "recurra.__version__":
            continue
        if len(parts) == 1:
            if LEVEL[own] < LEVEL["cli"]:
                wrong.append(place + " (the whole face)")
            continue
        room = parts[1]
        later = LEVEL.get(room, 99) > LEVEL[own]
        neighbour = LEVEL.get(room) == LEVEL[own] and room != own and (own, room) not in NEIGHBOURS
        if (later or neighbour) and not any(
            str(path.relative_to(ROOT)) == file and name.startswith(module) for file, module in ALLOWED
        ):
            wrong.append(place)
    return wrong


def test_every_room_has_its_place() -> None:
    assert {room_of(path) for path in FILES} - {"__init__"} <= set(LEVEL)


@pytest.mark.parametrize("room", sorted({room_of(path) for path in FILES}))
def test_imports_point_one_way(room: str) -> None:
    assert [wrong for path in FILES if room_of(path) == room for wrong in arrows_back(path)] == []


def test_the_test_sees_an_arrow_that_runs_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for room, line in [
        ("cells", "from recurra.nn import LSTM"),
        ("data", "def f():\n    from recurra import tasks"),
        ("nn", "from ..train.loop import fit"),
        ("cells", "import polars"),
    ]:
        path = tmp_path / room / "file.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(line)
        assert len(arrows_back(path)) == 1, line


def test_importing_recurra_is_light() -> None:
    heavy = "torch polars matplotlib sklearn pydantic numpy typer rich"
    code = f"import sys, recurra; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_reports_drawing_is_not_imported_by_estimators() -> None:
    code = "import sys, recurra; recurra.Forecaster, recurra.load; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
