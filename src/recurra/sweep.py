"""Cells over grids: all points of one hyper-diagonal in one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.cells.base import Cell, check_number_format, in_transform
from recurra.cells.join import JoinCell, advance_joined, cut_rows, slots_of
from recurra.cells.state import map_state
from recurra.errors import ShapeError, UsageError
from recurra.types import State


class Swept(NamedTuple):
    """What a cell gave at the points of a grid.

    Attributes:
        y: every point's output, (size_1, ..., size_d, batch, output_size).
        state: every point's state; its tensors are (size_1, ..., size_d, batch, ...).
        last_y: the output at the last point that was read, (batch, output_size): in each dimension the end of the
            sample, or its beginning where that dimension was read in reverse. Zeros where a length is 0.
        last_state: the state there; its tensors are (batch, ...).
    """

    y: Tensor
    state: State
    last_y: Tensor
    last_state: State


def sweep(
    cell: JoinCell | Cell,
    x: Tensor,
    *,
    lengths: Tensor | Sequence[Sequence[int]] | None = None,
    reverse: bool | Sequence[bool] = False,
) -> Swept:
    """Run a cell over a grid of one, two or more dimensions, from one corner to the opposite one.

    Equations:
        (y_p, s_p) = cell(x_p, (s_{p - e_1}, ..., s_{p - e_d})), where e_k is one step forward along dimension k, or one
        step back where that dimension is read in reverse; beyond the edge stands the cell's initial state.

    The points whose coordinates add up to the same number are one call of the cell: size_1 + ... + size_d - d + 1
    calls for the whole grid. What stands in x beyond a sample's lengths, NaN included, reaches no value and no
    gradient; outputs there are 0, states the initial state.

    Args:
        cell: a cell for a grid of that many dimensions, or for one dimension any cell of a chain.
        x: the grids.
        lengths: each sample's size in each dimension; points at or past it are left out. 0 is allowed.
        reverse: for each dimension, whether it is read from the end; one value stands for all.

    Shapes:
        x (size_1, ..., size_d, batch, input_size); lengths (batch, d), whole numbers. Sizes of 0 are allowed.

    Returns:
        the outputs and states of all points, each at its own place, and those of the last one.

    Raises:
        UsageError: the cell does not fit the dimensions, reverse has another number of them, or a length is out of
            range.
        ShapeError: x or lengths does not fit.

    Example:
        >>> from recurra.cells.grids import MDLSTM
        >>> swept = sweep(MDLSTM(3, 4, dimensions=2), torch.ones(5, 6, 2, 3), lengths=[[5, 6], [2, 3]])
        >>> swept.y.shape, bool((swept.y[2:, :, 1] == 0).all()), bool((swept.last_y[1] == swept.y[1, 2, 1]).all())
        (torch.Size([5, 6, 2, 4]), True, True)
    """
    dimensions = _check_grid(cell, x)
    check_number_format(x, cell, where="sweep")
    backward = _check_reverse(reverse, dimensions)
    sizes, batch = tuple(x.shape[:dimensions]), x.shape[dimensions]
    flipped = [k for k, one in enumerate(backward) if one]
    start = cell.initial_state(batch, dtype=x.dtype, device=x.device)
    inside: Tensor | None = None
    if lengths is not None:
        lengths = _check_lengths(lengths, x, dimensions)
        inside = _inside(lengths, sizes)
        # A zero instead of the padding: where() alone would hide a NaN from the values but not from the gradient.
        x = torch.where(inside.unsqueeze(-1), x, torch.zeros_like(x))
        inside = inside.flip(flipped).flatten(0, dimensions - 1)
    if not math.prod(sizes):
        state = map_state(lambda part: part.new_zeros(*sizes, *part.shape), start)
        y = x.new_zeros(*sizes, batch, cell.output_size)
        return Swept(y, state, x.new_zeros(batch, cell.output_size), start)

    found = _run(cell, x.flip(flipped).flatten(0, dimensions - 1), inside, sizes, start)
    y, state = map_state(lambda part: part.unflatten(0, sizes).flip(flipped), found)
    if lengths is None:
        last = tuple(0 if one else size - 1 for one, size in zip(backward, sizes, strict=True))
        return Swept(y, state, y[last], map_state(lambda part: part[last], state))
    place = _last_point(lengths, sizes, backward)
    some = (lengths > 0).all(1)
    last_y = torch.where(some.unsqueeze(1), _pick(y, place, dimensions), x.new_zeros(batch, cell.output_size))
    last_state = map_state(lambda part, none: _choose(some, _pick(part, place, dimensions), none), state, start)
    return Swept(y, state, last_y, last_state)


def _run(
    cell: JoinCell | Cell, x: Tensor, inside: Tensor | None, sizes: tuple[int, ...], start: State
) -> tuple[Tensor, State]:
    """Outputs and states (points, batch, ...) from x (points, batch, input_size), forward in every dimension."""
    batch = x.shape[1]
    plan, counts, places = _plan(sizes)
    order, back = (torch.tensor(each, device=x.device) for each in (plan, np.argsort(plan)))
    slots = torch.tensor(places, device=x.device).split(counts)
    projected = cut_rows(map_state(lambda part: part.index_select(0, order), cell.project(x)), counts)
    read = [None] * len(counts) if inside is None else inside.index_select(0, order).split(counts)
    edge = map_state(lambda part: part.unsqueeze(0), start)
    outside = torch.zeros(1, batch, dtype=torch.bool, device=x.device)
    before, was_read = map_state(lambda part: part[:0], edge), outside[:0]
    outputs: list[Tensor] = []
    reached: list[State] = []
    for level, now, slot, count in zip(projected, read, slots, counts, strict=True):

        def take(part: Tensor, beyond: Tensor, slot: Tensor = slot) -> Tensor:
            """(points before, batch, ...) to (points * batch, dimensions, ...)."""
            found = torch.cat([part, beyond]).index_select(0, slot.flatten()).unflatten(0, slot.shape)
            return found.transpose(1, 2).flatten(0, 1)

        states, present = map_state(take, before, edge), take(was_read, outside)
        step = advance_joined(cell, map_state(lambda part: part.flatten(0, 1), level), states, present)
        y, before = map_state(lambda part, count=count: part.unflatten(0, (count, batch)), step)
        if now is None:
            was_read = torch.ones_like(outside).expand(count, batch)
        else:
            was_read = now
            y = _choose(now, y, torch.zeros_like(y))
            before = map_state(lambda part, beyond, now=now: _choose(now, part, beyond), before, edge)
        outputs.append(y)
        reached.append(before)
    y = torch.cat(outputs).index_select(0, back)
    return y, map_state(lambda *parts: torch.cat(parts).index_select(0, back), *reached)


@lru_cache(maxsize=64)
def _plan(sizes: tuple[int, ...]) -> tuple[np.ndarray, list[int], np.ndarray]:
    """The points diagonal by diagonal, the number of points on each, and for each point its slots.

    A slot holds the place of the neighbour one step back on the diagonal before, or that diagonal's number of points
    where the neighbour would lie beyond the edge. It follows from the sizes alone, and so stays out of every graph.
    """
    points = np.indices(sizes).reshape(len(sizes), -1).T
    diagonal = points.sum(1)
    order = np.argsort(diagonal, kind="stable")
    counts = np.bincount(diagonal)
    place = np.argsort(order) - (np.cumsum(counts) - counts)[diagonal]
    strides = np.array([math.prod(sizes[k + 1 :]) for k in range(len(sizes))])
    neighbour = np.arange(len(order))[:, None] - strides
    beyond = np.concatenate([[0], counts[:-1]])[diagonal][:, None]
    slots = np.where(points > 0, place[np.maximum(neighbour, 0)], beyond)
    return order, counts.tolist(), slots[order]


def _choose(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(condition.reshape(*condition.shape, *[1] * (yes.dim() - condition.dim())), yes, no)


def _inside(lengths: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """True at the points within each sample's lengths: (size_1, ..., size_d, batch)."""
    inside = torch.ones((), dtype=torch.bool, device=lengths.device)
    for k, size in enumerate(sizes):
        one = torch.arange(size, device=lengths.device).unsqueeze(1) < lengths[:, k]
        inside = inside & one.reshape(*[1] * k, size, *[1] * (len(sizes) - k - 1), lengths.shape[0])
    return inside


def _last_point(lengths: Tensor, sizes: tuple[int, ...], backward: Sequence[bool]) -> Tensor:
    """The row in memory of each sample's last point, (batch,)."""
    place = torch.zeros_like(lengths[:, 0])
    for k, (size, one) in enumerate(zip(sizes, backward, strict=True)):
        end = torch.zeros_like(place) if one else (lengths[:, k] - 1).clamp(0, size - 1)
        place = place * size + end
    return place


def _pick(part: Tensor, place: Tensor, dimensions: int) -> Tensor:
    """One point a sample: (size_1, ..., size_d, batch, ...) to (batch, ...)."""
    rows = part.flatten(0, dimensions - 1)
    index = place.reshape(1, -1, *[1] * (rows.dim() - 2)).expand(1, *rows.shape[1:])
    return rows.gather(0, index).squeeze(0)


def _check_grid(cell: JoinCell | Cell, x: Any) -> int:
    """The number of dimensions, which that of x says, where the cell takes it."""
    slots = slots_of(cell, "sweep")
    name = type(cell).__name__
    leading = "size_1, ..., size_d" if slots is None else ", ".join(f"size_{k + 1}" for k in range(slots))
    need = f"({leading}, batch, {cell.input_size})"
    if not isinstance(x, Tensor):
        raise ShapeError(f"x is {type(x).__name__}", where="sweep", need=f"a tensor {need}", cure="torch.as_tensor")
    dimensions = x.dim() - 2
    if dimensions < 1 or slots not in (None, dimensions):
        why = "" if slots is None else f", as {name} is a cell for {slots} dimension" + ("s" if slots > 1 else "")
        raise ShapeError(f"x has shape {tuple(x.shape)}, {x.dim()} dimensions", where="sweep", need=need + why)
    if x.shape[-1] != cell.input_size:
        raise ShapeError(
            f"x has shape {tuple(x.shape)}",
            where="sweep",
            need=f"{need}, since input_size is {cell.input_size}",
            cure=f"give {cell.input_size} features, or build with input_size={x.shape[-1]}",
        )
    return dimensions


def _check_reverse(reverse: Any, dimensions: int) -> tuple[bool, ...]:
    if isinstance(reverse, bool):
        return (reverse,) * dimensions
    if (
        not isinstance(reverse, tuple | list)
        or len(reverse) != dimensions
        or not all(isinstance(one, bool) for one in reverse)
    ):
        raise UsageError(
            f"reverse is {reverse!r}", where="sweep", need=f"True or False, or {dimensions} of them, one a dimension"
        )
    return tuple(reverse)


def _check_lengths(lengths: Any, x: Tensor, dimensions: int) -> Tensor:
    """Check whole numbers (batch, dimensions) from 0 to the sizes of x, and bring them beside x."""
    batch, need = x.shape[dimensions], f"({x.shape[dimensions]}, {dimensions}) whole numbers, that is (batch, d)"
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"lengths is {lengths!r:.60}", where="sweep", need=need) from error
    lengths = lengths if lengths.numel() else lengths.long()
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise ShapeError(f"lengths is {lengths.dtype}", where="sweep", need="whole numbers", cure="lengths.long()")
    if lengths.shape != (batch, dimensions):
        raise ShapeError(f"lengths has shape {tuple(lengths.shape)}", where="sweep", need=need)
    # Inside torch.func the numbers cannot be looked at; a length that is too long counts as the size there.
    if batch and not in_transform() and not torch.compiler.is_compiling():
        for k in range(dimensions):
            low, high = (int(bound) for bound in torch.aminmax(lengths[:, k]))
            if low < 0 or high > x.shape[k]:
                raise UsageError(
                    f"lengths holds {low if low < 0 else high} for dimension {k}",
                    where="sweep",
                    need=f"whole numbers from 0 to {x.shape[k]}, the size of x there",
                )
    return lengths.to(x.device, torch.long)
