"""The examples of docs/learning.md hold."""

from __future__ import annotations

import doctest
from pathlib import Path

import torch

PAGE = Path(__file__).parents[2] / "docs" / "learning.md"


def test_the_examples_of_the_page_hold() -> None:
    with torch.random.fork_rng():
        failed, tried = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert failed == 0 and tried > 25
