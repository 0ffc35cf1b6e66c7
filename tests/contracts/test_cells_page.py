"""The pages on cells list every registered cell, and their Python runs; so do the examples in the core's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import recurra.analysis
import recurra.cells
import recurra.nn
from recurra.cells.registry import CELLS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "cells.md").read_text(encoding="utf-8")
MODULES = [
    "recurra.unroll.loop",
    "recurra.unroll.scan",
    "recurra.analysis.gradient_flow",
    "recurra.analysis.hidden_states",
] + [
    f"{package.__name__}.{found.name}"
    for package in (recurra.cells, recurra.nn)
    for found in pkgutil.iter_modules(package.__path__)
]
EXAMPLES = 13


def test_the_list_and_the_names_are_what_the_table_says() -> None:
    written = runpy.run_path(str(DOCS / "write_cells.py"))
    assert (DOCS / "cell_list.md").read_text(encoding="utf-8") == written["page"](), "run python docs/write_cells.py"
    face = Path(recurra.cells.__file__).read_text(encoding="utf-8")
    assert face == written["face"](), "run python docs/write_cells.py"


def test_every_name_of_the_cells_is_there() -> None:
    for name in recurra.cells.__all__:
        assert getattr(recurra.cells, name) is not None
    assert {row.path.rpartition(":")[2] for row in CELLS.values()} <= set(recurra.cells.__all__)


@pytest.mark.parametrize("number", range(5))
def test_the_page_runs(number: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 5
    space: dict[str, Any] = {"__name__": "page"}
    exec(compile(blocks[number], f"docs/cells.md block {number}", "exec"), space)
    assert space["y"].shape[-1] in (8, 16, 32)


def test_the_examples_in_the_docstrings_hold() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in MODULES]
    assert [name for name, result in zip(MODULES, results, strict=True) if result.failed] == []
    assert sum(result.attempted > 0 for result in results) >= EXAMPLES
