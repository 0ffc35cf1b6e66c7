"""The plots of learning: losses over steps, and a rule's gradients beside the true ones."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recurra.learn.fit_result import Fitted


def new_axes(rows: int = 1) -> Any:
    """Axes on a figure of their own, one or a list; matplotlib is loaded when something is first drawn.

    Made without pyplot, so that nothing global is touched: `axes.figure.savefig("loss.png")` writes it.
    """
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(6.0, 1.2 + 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, sharex=True)
    return axes if rows == 1 else list(axes)


def plot_losses(found: Fitted, axes: Any = None) -> Any:
    """The losses of a training over its steps or generations; logarithmic where they span a factor of 8 or more."""
    axes = new_axes() if axes is None else axes
    searching = found.guessing is not None
    steps = range(1, len(found.losses) + 1)
    axes.plot(steps, found.losses, label="best network" if searching else "training", linewidth=1.2)
    if found.guesses:
        axes.plot(range(1, len(found.guesses) + 1), found.guesses, linestyle=":", label="random guessing")
    if found.validation:
        at, losses = zip(*found.validation, strict=True)
        axes.plot(at, losses, linestyle="--", marker=".", label="validation")
    axes.plot([found.best_step], [found.best_loss], "o", color="black", label=f"best: {found.best_loss:.4g}")
    known = [value for value in [*found.losses, *found.guesses] if math.isfinite(value)]
    if known and min(known) > 0 and max(known) > 8 * min(known):
        axes.set_yscale("log")
    axes.set_xlabel("generation" if searching else "step")
    axes.set_ylabel("loss")
    axes.set_title(found.rule, fontsize="medium", wrap=True)
    axes.legend()
    return axes
