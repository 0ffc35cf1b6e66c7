"""Fixed and slow points: the states at which a network under a constant input stands still, or nearly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.analysis.minimise_speed import adam, levenberg_marquardt
from recurra.analysis.systems import CellMap, Field, jacobians
from recurra.analysis.visited import main_plane
from recurra.cells.base import Cell, check_size
from recurra.cells.state import map_state
from recurra.cells.time_step import check_positive
from recurra.errors import ShapeError, UsageError
from recurra.types import State


@dataclass(frozen=True)
class FixedPoints:
    """Fixed and slow points, the slowest first.

    Attributes:
        points: (count, features), float64: the floating-point parts of the state one after another.
        speed: (count,): the length of F(s) - s, computed at the points that are given.
        fixed: (count,): whether that is as good as zero; the others are slow points.
        eigenvalues: (count, features), complex: of the Jacobian dF/ds, the largest first.
        outputs: (count, output_size): the cell's output of the step from the point.
        hits: (count,): of how many first states the search ended here.
        searched: how many first states there were, each searched from twice.
        names: (features,) names of the state's entries.
    """

    points: Tensor
    speed: Tensor
    fixed: Tensor
    eigenvalues: Tensor
    outputs: Tensor
    hits: Tensor
    searched: int
    names: list[str]
    _map: CellMap
    _places: list[int]

    @property
    def unstable(self) -> Tensor:
        """How many directions grow at each point: eigenvalues outside the unit circle, (count,)."""
        return (self.eigenvalues.abs() > 1).sum(-1)

    @property
    def text(self) -> str:
        """One plain sentence."""
        words = []
        for kind, number in enumerate(self.unstable[self.fixed].bincount().tolist()):
            if number:
                grows = f"with {kind} unstable direction{'' if kind == 1 else 's'}"
                words.append(f"{number} {grows if kind else 'stable'}")
        count, slow = int(self.fixed.sum()), int((~self.fixed).sum())
        said = f"{count} fixed point{'' if count == 1 else 's'}" + (": " + ", ".join(words) if words else "")
        return f"{said}; {slow} slow point{'' if slow == 1 else 's'}."

    def state(self, index: int) -> State:
        """A point as the cell's own state, of a batch of one."""
        _, beside = self._map.start(1)
        return self._map.unflatten(self.points[index : index + 1], beside)

    def draw(self, axes: Any, vectors: Tensor | None = None) -> None:
        """Draw the points in a plane on matplotlib's axes.

        Args:
            axes: to draw on.
            vectors: states to show as faint dots (`visited_states`), which also give the plane; that of the points
                when absent.
        """
        if vectors is not None and vectors.shape[-1] != self.points.shape[-1]:
            vectors = vectors[:, self._places]
        if not len(self.points):
            axes.set_title("no fixed or slow point was found")
            return
        centre, rows = main_plane(self.points if vectors is None else vectors)
        if vectors is not None:
            dots = (vectors - centre) @ rows.T
            axes.plot(dots[:, 0].tolist(), dots[:, 1].tolist(), ".", markersize=1, color="grey", alpha=0.4)
        place, kinds = (self.points - centre) @ rows.T, self.unstable
        for kind in sorted(set(kinds.tolist())):
            here = place[(kinds == kind) & self.fixed]
            if len(here):
                label = "stable" if kind == 0 else f"{kind} unstable"
                axes.plot(here[:, 0].tolist(), here[:, 1].tolist(), "o" if kind == 0 else "x", label=label)
        slow = place[~self.fixed]
        if len(slow):
            axes.plot(slow[:, 0].tolist(), slow[:, 1].tolist(), "+", color="grey", label="slow")
        axes.set_xlabel("first direction")
        axes.set_ylabel("second direction")
        axes.legend(fontsize="small")


def fixed_points(
    cell: Cell,
    x: Tensor | None = None,
    *,
    starts: State | Tensor | None = None,
    count: int = 256,
    spread: float = 1.0,
    tolerance: float = 1e-8,
    slow: float = 0.01,
    merge: float = 1e-3,
    iterations: int = 200,
    adam_iterations: int = 500,
    learning_rate: float = 0.05,
    seed: int = 0,
) -> FixedPoints:
    """Find the states at which a cell stands still under a constant input, and those at which it is slowest.

    Equations:
        q(s) = 1/2 |F(s, x) - s|^2, made small from many first states at once, in two ways:
        Levenberg-Marquardt: s + d with (A^T A + m I) d = -A^T (F(s, x) - s), A = dF/ds - I, m smaller after a step
        that lowers q and larger after one that does not; and Adam on q, followed by the former. The two end in
        different places from the same first state, and what both find is joined.
        A point is fixed where |F(s, x) - s| <= tolerance; it is slow where that is at most `slow` and q cannot fall
        any further nearby.

    Parts of a state that count time by themselves (a step counter) are held at their first value.

    Args:
        cell: any cell. It is copied: its parameters and their requires_grad stay as they are.
        x: the constant input; zeros when absent.
        starts: first states, as vectors (with or without parts that are held) or in the cell's own form; best those
            that the network passes (`visited_states`). When absent, `count` normal ones.
        count: how many where `starts` is absent.
        spread: their standard deviation; also that of normal noise added to `starts`, times 0.1.
        tolerance: the largest |F(s) - s| of a fixed point.
        slow: the largest of a slow point.
        merge: points nearer to each other than this are one.
        iterations, adam_iterations: the most of each; with 0 for Adam, Levenberg-Marquardt works alone.
        learning_rate: of Adam.
        seed: of what is drawn.

    Shapes:
        x (input_size,); starts (count, features) as a vector, or a state of that batch.

    Raises:
        UsageError: a number is out of range.
        ShapeError: x or starts does not fit.

    Differs from the paper: there a quasi-Newton method with an exact Hessian minimises q; here Levenberg-Marquardt and
    Adam do, for all first states at once.

    Reference:
        D. Sussillo, O. Barak. Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural
        networks. Neural Computation 25 (2013) 626-649.

    Example:
        >>> import torch
        >>> from recurra.cells import Elman
        >>> cell = Elman(1, 1, bias=False)
        >>> _ = cell.weight_hh.data.fill_(2.0)
        >>> found = fixed_points(cell, count=32)  # h = tanh(2 h)
        >>> [round(value, 3) for value in found.points[:, 0].sort().values.tolist()], found.text
        ([-0.958, 0.0, 0.958], '3 fixed points: 2 stable, 1 with 1 unstable direction; 0 slow points.')
    """
    where = "fixed_points"
    check_size(count, "count", where)
    for value, name in ((tolerance, "tolerance"), (slow, "slow"), (merge, "merge"), (spread, "spread")):
        check_positive(value, name, where)
    counters = time_counters(cell)
    step = CellMap(cell, hold=counters)
    whole = CellMap(cell).names if counters else step.names
    places = [whole.index(name) for name in step.names]
    if isinstance(starts, Tensor) and starts.dim() == 2 and starts.shape[1] == len(whole):
        starts = starts[:, places]
    generator = torch.Generator().manual_seed(seed)
    s, beside = _first_states(step, starts, count, spread, generator)
    given = torch.zeros(cell.input_size, dtype=torch.float64) if x is None else step.check_x(x, (), where)

    def function(vectors: Tensor) -> Tensor:
        rows = len(vectors)
        around = [part[:1].expand(rows, *part.shape[1:]) for part in beside]
        return step.advance(given.expand(rows, -1), vectors, around)[1]

    ends = [levenberg_marquardt(function, s, iterations, tolerance)]
    if adam_iterations:
        ends.append(
            levenberg_marquardt(function, adam(function, s, adam_iterations, learning_rate), iterations, tolerance)
        )
    points, hits = _distinct(torch.cat(ends), len(s), function, tolerance, slow, merge)
    with torch.no_grad():
        after, matrices = (
            jacobians(function, points) if len(points) else (points, points.new_zeros(0, *[s.shape[1]] * 2))
        )
        rows = len(points)
        around = [part[:1].expand(rows, *part.shape[1:]) for part in beside]
        outputs = step.advance(given.expand(rows, -1), points, around)[0]
    eigenvalues = torch.linalg.eigvals(matrices)
    order = eigenvalues.abs().argsort(-1, descending=True)
    speed = (after - points).norm(dim=-1)
    return FixedPoints(
        points,
        speed,
        speed <= tolerance,
        eigenvalues.gather(-1, order),
        outputs,
        hits,
        len(s),
        step.names,
        step,
        places,
    )


def time_counters(cell: Cell) -> list[str]:
    """The parts of a state that only count: each next value is the last one and a number that no state changes."""
    names = sorted({name for part in cell.modules() if isinstance(part, Cell) for name in part.clocks})
    if not names:
        return []
    step = CellMap(cell)
    s, beside = step.start(1)
    s = s + 0.5
    advance = step.next_vector(torch.zeros(1, cell.input_size, dtype=torch.float64), beside)
    with torch.no_grad():
        after, matrix = jacobians(advance, s)
    unit = torch.eye(step.features, dtype=torch.float64)
    counting = []
    for name in names:
        own = [k for k, label in enumerate(step.names) if label.rpartition("[")[0].rpartition(".")[2] == name]
        if own and torch.equal(matrix[0, own], unit[own]) and bool((after[0, own] != s[0, own]).any()):
            counting.append(name)
    return counting


def _first_states(
    step: CellMap, starts: Any, count: int, spread: float, generator: torch.Generator
) -> tuple[Tensor, list[Tensor]]:
    where = "fixed_points"
    if starts is None:
        s, beside = step.start(count)
        return s + spread * torch.randn(s.shape, generator=generator, dtype=torch.float64), beside
    if isinstance(starts, Tensor):
        if starts.dim() != 2 or starts.shape[1] != step.features or not len(starts):
            need = f"(count, {step.features}), one first state a row"
            raise ShapeError(f"starts has shape {tuple(starts.shape)}", where=where, need=need)
        s, beside = starts.detach().cpu().double(), step.start(len(starts))[1]
    else:
        s, beside = step.flatten(map_state(lambda part: part.detach().cpu(), starts), where)
    if not bool(s.isfinite().all()):
        raise UsageError("starts holds a number that is not finite", where=where, need="finite states")
    return s + 0.1 * spread * torch.randn(s.shape, generator=generator, dtype=torch.float64), beside


def _distinct(
    ends: Tensor, starts: int, function: Field, tolerance: float, slow: float, merge: float
) -> tuple[Tensor, Tensor]:
    """The different points among the ends, the slowest first, and from how many first states each was reached."""
    with torch.no_grad():
        ends = torch.where(ends.isfinite(), ends, torch.zeros_like(ends))
        after, matrices = jacobians(function, ends)
        rest = after - ends
        slope = (rest.unsqueeze(1) @ matrices).squeeze(1) - rest
    speed = rest.norm(dim=-1)
    # At a slow point the slope of q is far below what the speed alone would give.
    good = (speed <= tolerance) | ((speed <= slow) & (slope.norm(dim=-1) <= 1e-3 * speed))
    which = torch.arange(len(ends)) % starts
    ends, speed, which = ends[good], speed[good], which[good]
    order = speed.argsort()
    ends, which = ends[order], which[order]
    points, hits = [], []
    while len(ends):
        near = (ends - ends[0]).norm(dim=-1) <= merge
        points.append(ends[0])
        hits.append(len(which[near].unique()))
        ends, which = ends[~near], which[~near]
    if not points:
        return ends.reshape(0, ends.shape[-1]), torch.zeros(0, dtype=torch.long)
    return torch.stack(points), torch.tensor(hits)
