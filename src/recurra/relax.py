"""Cells run to rest: step after step under one input, until nothing changes or a cycle repeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_input, check_number_format, check_size
from recurra.cells.state import map_state, match_state, state_tensors
from recurra.cells.time_step import check_not_negative
from recurra.errors import ShapeError, UsageError
from recurra.types import State


class Relaxed(NamedTuple):
    """Where a cell came to rest.

    Attributes:
        y: the output of the last step taken, (batch, output_size).
        state: the state after it.
        steps: how many steps each row took, (batch,).
        converged: whether the row came to a fixed point, (batch,).
        cycle: the length of what the row ended in: 1 for a fixed point, 2 or more for a cycle, 0 for neither within the
            steps allowed, (batch,).
        energy: of the state before the first step and after each, (steps + 1, batch); None where none was asked for. A
            row that has come to rest keeps its last value.
    """

    y: Tensor
    state: State
    steps: Tensor
    converged: Tensor
    cycle: Tensor
    energy: Tensor | None


def relax(
    cell: Cell,
    state: State | None = None,
    x: Tensor | None = None,
    *,
    steps: int = 1000,
    tolerance: float = 0.0,
    longest_cycle: int = 8,
    energy: Callable[[State], Tensor] | None = None,
) -> Relaxed:
    """Run a cell under an input that is held, until its state repeats.

    Equations:
        s_k = cell(x, s_{k-1}) until max |s_k - s_{k-c}| <= tolerance for some c of 1 ... longest_cycle; the smallest
        such c is the length of the cycle, and 1 is a fixed point.

    Each row of the batch stops by itself and is left where it stopped, so that no row depends on its neighbours.

    Args:
        cell: any cell.
        state: the state to begin with; the cell's initial state when absent.
        x: the input that is held; zeros when absent.
        steps: the most steps.
        tolerance: how far apart two states may be that count as the same. 0 asks for equal numbers, as suits units
            that are +-1; a smooth cell needs a number such as 1e-6.
        longest_cycle: the longest cycle to look for; that many states are kept.
        energy: gives a number for each row of a state, (batch,), to be recorded at every step.

    Shapes:
        x (batch, input_size).

    Raises:
        UsageError: neither a state nor x is given, a number is out of range, or an energy is not (batch,).
        ShapeError: x or the state does not fit.

    Example:
        >>> from recurra.cells import Elman
        >>> cell = Elman(1, 1, dtype=torch.float64)
        >>> with torch.no_grad():
        ...     _ = [weight.fill_(0.5) for weight in cell.parameters()]
        ...     found = relax(cell, x=torch.zeros(1, 1, dtype=torch.float64), tolerance=1e-12)
        >>> h = found.state.h
        >>> bool(found.converged), bool((h - torch.tanh(1.0 + 0.5 * h)).abs() < 1e-11)
        (True, True)
    """
    check_size(steps, "steps", "relax")
    check_size(longest_cycle, "longest_cycle", "relax")
    tolerance = check_not_negative(tolerance, "tolerance", "relax")
    x, state = _start(cell, state, x)
    batch = x.shape[0]
    past = [state]
    cycle = torch.zeros(batch, dtype=torch.long, device=x.device)
    taken = torch.zeros_like(cycle)
    trace = [_energy_of(energy, state, batch)] if energy is not None else []
    y: Tensor | None = None
    for _ in range(steps):
        active = cycle == 0
        output, after = cell(x, state)
        # A row at rest is kept as it is; in a cycle, one more step would move it.
        y = output if y is None else _rows(active, output, y)
        state = map_state(lambda new, old, active=active: _rows(active, new, old), after, state)
        taken = taken + active
        for length, earlier in enumerate(reversed(past), 1):
            cycle = torch.where((cycle == 0) & _same(state, earlier, tolerance), length, cycle)
        past = [*past, state][-longest_cycle:]
        if energy is not None:
            trace.append(_energy_of(energy, state, batch))
        if bool((cycle > 0).all()):
            break
    assert y is not None
    return Relaxed(y, state, taken, cycle == 1, cycle, torch.stack(trace) if trace else None)


def _start(cell: Cell, state: State | None, x: Tensor | None) -> tuple[Tensor, State]:
    """The input and the state to begin with, whichever is absent made from the other."""
    if x is None:
        if state is None:
            raise UsageError(
                "neither state nor x is given", where="relax", need="one of them, which says the batch size"
            )
        first = state_tensors(state)[0]
        weight = next(cell.parameters(), first)
        x = torch.zeros(first.shape[0], cell.input_size, dtype=weight.dtype, device=weight.device)
    check_input(x, ("batch",), cell.input_size, where="relax")
    check_number_format(x, cell, where="relax")
    initial = cell.initial_state(x.shape[0], dtype=x.dtype, device=x.device)
    return x, initial if state is None else match_state(state, initial, where="relax")


def _energy_of(energy: Callable[[State], Tensor], state: State, batch: int) -> Tensor:
    value: Any = energy(state)
    if not isinstance(value, Tensor) or value.shape != (batch,):
        got = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ShapeError(f"energy gave {got}", where="relax", need=f"a tensor ({batch},), one number a row")
    return value


def _rows(chosen: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (new.dim() - 1)), new, old)


def _same(state: State, earlier: State, tolerance: float) -> Tensor:
    """Whether each row is where it was; a NaN is nowhere."""
    rows = [
        ((new - old).abs() <= tolerance).flatten(1).all(1) if new.dim() > 1 else (new - old).abs() <= tolerance
        for new, old in zip(state_tensors(state), state_tensors(earlier), strict=True)
    ]
    return torch.stack(rows).all(0)
