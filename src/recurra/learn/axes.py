"""Axes for the plots of learning, on figures of their own."""

from __future__ import annotations

import importlib
from typing import Any


def new_axes(rows: int = 1) -> Any:
    """Axes on a figure of their own, one or a list; matplotlib is loaded when something is first drawn.

    Made without pyplot, so that nothing global is touched: `axes.figure.savefig("loss.png")` writes it.
    """
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(6.0, 1.2 + 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, sharex=True)
    return axes if rows == 1 else list(axes)
