"""The page on cells lists every registered cell, and its Python runs; so do the examples in the core's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import recurra.analysis
import recurra.cells
import recurra.nn
from recurra.cells.registry import CELLS

PAGE = (Path(__file__).parents[2] / "docs" / "cells.md").read_text(encoding="utf-8")
MODULES = ["recurra.unroll", "recurra.analysis.gradient_flow", "recurra.analysis.hidden_states"] + [
    f"{package.__name__}.{found.name}"
    for package in (recurra.cells, recurra.nn)
    for found in pkgutil.iter_modules(package.__path__)
]
EXAMPLES = 13


def test_the_page_lists_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE, flags=re.MULTILINE)
    assert rows == [(row.name, row.summary, row.reference) for row in CELLS.values()]


@pytest.mark.parametrize("number", range(3))
def test_the_page_runs(number: int) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 3
    space: dict[str, Any] = {"__name__": "page"}
    exec(compile(blocks[number], f"docs/cells.md block {number}", "exec"), space)
    assert space["y"].shape[-1] in (8, 32)


def test_the_examples_in_the_docstrings_hold() -> None:
    results = [doctest.testmod(importlib.import_module(name)) for name in MODULES]
    assert [name for name, result in zip(MODULES, results, strict=True) if result.failed] == []
    assert sum(result.attempted > 0 for result in results) >= EXAMPLES
