"""Phase portraits: where the states of a network go, drawn in a plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.systems import CellMap, Field, Map
from recurra.analysis.visited import main_plane
from recurra.cells.base import Cell, check_size
from recurra.errors import ShapeError, UsageError


@dataclass(frozen=True)
class PhasePortrait:
    """Arrows on a grid in a plane of the state space, and paths.

    Attributes:
        points: the grid in the plane's coordinates, (arrows, 2).
        arrows: the change of the state in one step from there, within the plane, (arrows, 2).
        paths: (steps + 1, paths, 2): paths from the first states, in the plane's coordinates.
        centre: of the plane, (features,).
        directions: that span it, (2, features).
        flat: the share of the arrows' lengths that lies within the plane: 1 where the plane holds the whole dynamics.
    """

    points: Tensor
    arrows: Tensor
    paths: Tensor
    centre: Tensor
    directions: Tensor
    flat: float

    def draw(self, axes: Any, points: Tensor | None = None) -> None:
        """Draw it on matplotlib's axes.

        Args:
            axes: to draw on.
            points: states to mark, (count, features): fixed points.
        """
        size = self.arrows.norm(dim=-1, keepdim=True)
        unit = self.arrows / size.clamp(min=1e-300)
        columns = [part.tolist() for part in (*self.points.T, *unit.T, size.log1p().squeeze(-1))]
        axes.quiver(*columns, angles="xy", cmap="Greys", width=0.003, alpha=0.7)
        for path in self.paths.unbind(1):
            axes.plot(path[:, 0].tolist(), path[:, 1].tolist(), linewidth=0.8)
        if points is not None and len(points):
            place = (points - self.centre) @ self.directions.T
            axes.plot(place[:, 0].tolist(), place[:, 1].tolist(), "o", color="black", markersize=4)
        axes.set_xlabel("first direction")
        axes.set_ylabel("second direction")


def phase_portrait(
    system: Cell | Map | Callable[[Tensor], Tensor],
    starts: Tensor,
    x: Tensor | None = None,
    *,
    steps: int = 50,
    paths: int = 12,
    grid: int = 20,
    margin: float = 0.15,
) -> PhasePortrait:
    """Follow states under a constant input, and draw the step's arrows in the plane in which they lie best.

    Equations:
        a path: s, F(s), F(F(s)), ...; the plane: through the mean of the first states and the paths, along their
        first two principal directions (of two features, the features themselves); the arrow at a point p of the plane:
        the part of F(p) - p that lies within the plane.

    Args:
        system: a cell, a `Map`, a `Flow`, or a function from (batch, features) to the same.
        starts: first states; `visited_states` gives those that a network passes.
        x: a cell's constant input; zeros when absent.
        steps: of each path.
        paths: how many of the first states are followed, evenly from first to last.
        grid: arrows along each side.
        margin: room around the states, as a share of their extent.

    Shapes:
        starts (count, features), for a cell the floating-point parts of the state one after another; x (input_size,).

    Raises:
        UsageError: a number is out of range, or x was given for a map.
        ShapeError: starts or x does not fit.

    Example:
        >>> import torch
        >>> turn = torch.tensor([[0.0, -0.9], [0.9, 0.0]], dtype=torch.float64)
        >>> found = phase_portrait(lambda s: s @ turn.T, torch.eye(2, dtype=torch.float64), steps=4, grid=3)
        >>> found.points.shape, found.paths.shape, found.flat
        (torch.Size([9, 2]), torch.Size([5, 2, 2]), 1.0)
    """
    where = "phase_portrait"
    for value, name in ((steps, "steps"), (paths, "paths"), (grid, "grid")):
        check_size(value, name, where)
    if not isinstance(starts, Tensor) or starts.dim() != 2 or not len(starts):
        got = f"has shape {tuple(starts.shape)}" if isinstance(starts, Tensor) else f"is {type(starts).__name__}"
        raise ShapeError(f"starts {got}", where=where, need="first states, (count, features)")
    s = starts.detach().cpu().double()
    function = autonomous(system, x, s.shape[1], where)
    with torch.no_grad():
        chosen = s[torch.linspace(0, len(s) - 1, min(paths, len(s))).round().long()]
        course = [chosen]
        for _ in range(steps):
            course.append(function(course[-1]))
        followed = torch.stack(course)
        everything = torch.cat([s, followed.flatten(0, 1)])
        everything = everything[everything.isfinite().all(-1)]
        centre, directions = main_plane(everything)
        if s.shape[1] == 2:
            directions = torch.eye(2, dtype=torch.float64)
        inside = (everything - centre) @ directions.T
        low, high = inside.amin(0), inside.amax(0)
        room = margin * (high - low).clamp(min=1e-6)
        ends = torch.stack([low - room, high + room], -1).tolist()
        sides = [torch.linspace(begin, end, grid, dtype=torch.float64) for begin, end in ends]
        points = torch.cartesian_prod(*sides)
        full = centre + points @ directions
        change = function(full) - full
        arrows = change @ directions.T
    total = float(change.norm(dim=-1).sum())
    flat = float(arrows.norm(dim=-1).sum()) / total if total > 0 else 1.0
    return PhasePortrait(points, arrows, (followed - centre) @ directions.T, centre, directions, flat)


def autonomous(system: Any, x: Tensor | None, features: int, where: str) -> Field:
    """The map of flat vectors of a system under a constant input."""
    if not isinstance(system, Cell):
        if x is not None:
            raise UsageError("x was given for a map", where=where, need="a cell", cure="write x into the map")
        return system.advance if isinstance(system, Map) else system
    step = CellMap(system)
    if features != step.features:
        raise ShapeError(
            f"the states have {features} features", where=where, need=f"{step.features}, those of the cell"
        )
    given = torch.zeros(system.input_size, dtype=torch.float64) if x is None else step.check_x(x, (), where)

    def function(vectors: Tensor) -> Tensor:
        beside = step.start(len(vectors))[1]
        return step.advance(given.expand(len(vectors), -1), vectors, beside)[1]

    return function
