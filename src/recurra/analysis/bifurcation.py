"""Bifurcation diagrams: the states in which a system settles, against a parameter."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.phase_portrait import autonomous
from recurra.cells.base import Cell, check_size
from recurra.errors import ShapeError, UsageError


@dataclass(frozen=True)
class Bifurcation:
    """What is seen of a system, once it has settled, for each value of a parameter.

    Attributes:
        values: of the parameter.
        seen: (values, steps, paths): what is observed at each step and path.
    """

    values: list[float]
    seen: Tensor

    def periods(self, tolerance: float = 1e-6, longest: int = 64) -> list[int | None]:
        """For each value the length of the cycle in which all paths end; None where there is none so short."""
        found: list[int | None] = []
        for seen in self.seen:
            scale = tolerance * max(1.0, float(seen.abs().max()))
            candidates = range(1, min(longest, len(seen) // 2) + 1)
            repeats = (p for p in candidates if float((seen[p:] - seen[:-p]).abs().max()) <= scale)
            found.append(next(repeats, None))
        return found

    def draw(self, axes: Any) -> None:
        """Draw the diagram on matplotlib's axes."""
        # Points that can be seen where values are few, and pixels where they are many.
        size = 3.0 if len(self.values) <= 100 else 1.0
        for value, seen in zip(self.values, self.seen, strict=True):
            points = seen.flatten().tolist()
            axes.plot([value] * len(points), points, ".", color="black", alpha=0.6, markersize=size, markeredgewidth=0)
        axes.set_xlabel("parameter")
        axes.set_ylabel("settled states")


def bifurcation(
    make: Callable[[float], Any],
    values: Sequence[float],
    starts: Tensor,
    x: Tensor | None = None,
    *,
    steps: int = 100,
    warmup: int = 500,
    observe: Callable[[Tensor], Tensor] = lambda s: s[..., 0],
) -> Bifurcation:
    """Let a system settle for each value of a parameter, and keep what is then seen of it.

    Args:
        make: from a value to the system: a cell (`scaled` makes one with scaled recurrent weights), a `Map`, a `Flow`
            or a function from (batch, features) to the same.
        values: of the parameter.
        starts: first states, the same for each value, so that attractors beside each other are seen.
        x: a cell's constant input; zeros when absent.
        steps: kept, after `warmup` steps.
        warmup: steps in which the system settles.
        observe: from states (batch, features) to what is seen, (batch,): the first entry of the state.

    Shapes:
        starts (paths, features); x (input_size,).

    Raises:
        UsageError: a number is out of range, or there is no value.
        ShapeError: starts or x does not fit.

    Example:
        >>> import torch
        >>> logistic = lambda r: lambda s: r * s * (1 - s)
        >>> bifurcation(logistic, [2.8, 3.2, 3.5], torch.tensor([[0.3]])).periods()
        [1, 2, 4]
    """
    where = "bifurcation"
    check_size(steps, "steps", where)
    if not len(values) or isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        given = f"there are {len(values)} values, and warmup is {warmup!r}"
        raise UsageError(given, where=where, need="one value or more, and a warmup of 0 steps or more")
    if not isinstance(starts, Tensor) or starts.dim() != 2 or not len(starts):
        got = f"has shape {tuple(starts.shape)}" if isinstance(starts, Tensor) else f"is {type(starts).__name__}"
        raise ShapeError(f"starts {got}", where=where, need="first states, (paths, features)")
    seen = []
    with torch.no_grad():
        for value in values:
            s = starts.detach().cpu().double()
            function = autonomous(make(value), x, s.shape[1], where)
            for _ in range(warmup):
                s = function(s)
            course = []
            for _ in range(steps):
                s = function(s)
                course.append(observe(s))
            seen.append(torch.stack(course))
    return Bifurcation([float(value) for value in values], torch.stack(seen))


def scaled(cell: Cell, gain: float) -> Cell:
    """A copy of a cell with its recurrent weights multiplied by a gain.

    Raises:
        UsageError: the cell names no recurrent weights.

    Example:
        >>> from recurra.cells import Elman
        >>> cell = Elman(1, 2)
        >>> bool((scaled(cell, 2.0).weight_hh == 2 * cell.weight_hh).all())
        True
    """
    made, found = copy.deepcopy(cell), False
    with torch.no_grad():
        for name in cell.recurrent_weights:
            weight = getattr(made, name, None)
            if isinstance(weight, Tensor):
                weight.mul_(gain)
                found = True
    if not found:
        raise UsageError(f"{type(cell).__name__} has no recurrent weights to scale", where="scaled", need="a cell with")
    return made
