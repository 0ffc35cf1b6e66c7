"""The plot of a training: losses over steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from recurra.learn.axes import new_axes


class Losses(Protocol):
    """What is drawn of `recurra.learn.Fitted`."""

    @property
    def rule(self) -> str: ...
    @property
    def losses(self) -> Sequence[float]: ...
    @property
    def guesses(self) -> Sequence[float]: ...
    @property
    def guessing(self) -> float | None: ...
    @property
    def validation(self) -> Sequence[tuple[int, float]]: ...
    @property
    def best_step(self) -> int: ...
    @property
    def best_loss(self) -> float: ...


def plot_losses(found: Losses, axes: Any = None) -> Any:
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
