"""Write docs/cell_list.md and the names of `recurra.cells` from the table of cells: `python docs/write_cells.py`.

Tests compare both with what this script would write.
"""

from __future__ import annotations

from pathlib import Path

from recurra.cells.entry import CellEntry
from recurra.cells.facts import cell_facts
from recurra.cells.registry import DRIVERS, FAMILIES

PAGE = Path(__file__).parent / "cell_list.md"
FACE = Path(__file__).parent.parent / "src" / "recurra" / "cells" / "__init__.py"

INPUTS, HIDDEN = 8, 64

HEAD = f"""# All cells

What each cell is, its paper, how many numbers it learns with {INPUTS} inputs and {HIDDEN} hidden units, and what it can
do:
*elementwise* (a hidden unit's next value depends on no other unit's last value), *linear* (the step is linear in the
state, so that a parallel scan runs all time steps at once), *continuous time* (the time between steps, `dt`, counts).
`recurra info cells --input-size 3 --hidden-size 32` prints the same at other sizes.

This page is written by `python docs/write_cells.py`.
"""

OTHERS = {
    "base": ["Cell", "Gate"],
    "facts": ["CellFacts", "cell_facts"],
    "lstm": ["LSTMState"],
    "registry": ["CELLS", "cell_class"],
    "state": ["HiddenState", "map_state"],
    "zoneout": ["Zoneout"],
}
"""Names besides the cells' classes, by module."""


def page() -> str:
    """The text of docs/cell_list.md."""
    lines = [HEAD]
    for family, rows in FAMILIES.items():
        lines += [f"## {family[0].upper()}{family[1:]}", ""]
        layers = sorted({DRIVERS[row.driver] for row in rows})
        lines += [f"Layer: `{layer}(name, input_size, hidden_size)`." for layer in layers]
        lines += ["", "| name | what it is | reference | parameters | abilities |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(row) for row in rows]
        lines.append("")
    return "\n".join(lines)


def _row(row: CellEntry) -> str:
    facts = cell_facts(row.name, INPUTS, HIDDEN)
    count = "" if facts.parameters is None else f"{facts.parameters:,}"
    return f"| `{row.name}` | {row.summary} | {row.reference} | {count} | {facts.marks} |"


def face() -> str:
    """The text of src/recurra/cells/__init__.py."""
    places: dict[str, str] = {name: module for module, names in OTHERS.items() for name in names}
    for rows in FAMILIES.values():
        for row in rows:
            module, _, name = row.path.removeprefix("recurra.cells.").partition(":")
            places[name] = module
    modules: dict[str, list[str]] = {}
    for name, module in places.items():
        modules.setdefault(module, []).append(name)
    names = sorted(places, key=lambda name: (name.lower(), name))
    lines = [
        '"""Cells: the definitions of the networks. Names load on first use, so that the table of cells stays light.',
        "",
        "Written by `python docs/write_cells.py`.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "import importlib",
        "from typing import TYPE_CHECKING, Any",
        "",
        "if TYPE_CHECKING:",
    ]
    for module in sorted(modules):
        lines.append(f"    from recurra.cells.{module} import {', '.join(sorted(modules[module], key=_as_ruff))}")
    lines += ["", "_PLACES = {", *(f'    "{name}": "{places[name]}",' for name in names), "}", ""]
    lines += ["__all__ = [", *(f'    "{name}",' for name in names), "]", "", ""]
    lines += [
        "def __getattr__(name: str) -> Any:",
        "    if name not in _PLACES:",
        '        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")',
        '    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)',
        "",
        "",
        "def __dir__() -> list[str]:",
        "    return sorted(__all__)",
        "",
    ]
    return "\n".join(lines)


def _as_ruff(name: str) -> tuple[int, str]:
    """The order in which ruff sorts imported names: constants, classes, functions."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, name


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    FACE.write_text(face(), encoding="utf-8")
