"""The one time loop of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_input, check_number_format
from recurra.cells.state import map_state, match_state
from recurra.errors import ShapeError, UsageError
from recurra.types import State


def unroll(
    cell: Cell,
    x: Tensor,
    state: State | None = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Run a cell along time.

    Equations:
        (y_t, s_t) = cell(x_t, s_{t-1}) for t = 0, 1, ..., time - 1, or from time - 1 down to 0 with `reverse`;
        at a step that is left out s_t = s_{t-1} and y_t = 0.

    What stands in x at a step that is left out, NaN included, reaches no value and no gradient.

    Args:
        cell: any cell.
        x: the sequences.
        state: the state to begin with; the cell's initial state when absent.
        lengths: the number of steps of each sequence; steps at or past it are left out. 0 is allowed.
        mask: False leaves a step out.
        reset: True sets the state to the cell's initial state before this step is read, also where `mask` leaves the
            step itself out; at or past a sequence's length it does nothing.
        reverse: each sequence is read from its end to its start; outputs stand at their own time.

    Shapes:
        x (time, batch, input_size); lengths (batch,), whole numbers; mask and reset (time, batch), booleans; y (time,
        batch, output_size); the state's tensors (batch, ...). time 0 is allowed.

    Returns:
        `(y, state)`: the outputs, and for each sequence the state after the last step that was read.

    Raises:
        ShapeError: an argument's shape or number format does not fit.
        UsageError: a length is negative or longer than x.

    Example:
        >>> import torch
        >>> from recurra.cells import GRU
        >>> y, state = unroll(GRU(3, 4), torch.ones(5, 2, 3), lengths=[5, 2])
        >>> y.shape, bool((y[2:, 1] == 0).all()), bool((state.h[1] == y[1, 1]).all())
        (torch.Size([5, 2, 4]), True, True)
    """
    check_input(x, ("time", "batch"), cell.input_size, where="unroll")
    check_number_format(x, cell, where="unroll")
    steps, batch = x.shape[:2]
    start = cell.initial_state(batch, dtype=x.dtype, device=x.device)
    state = start if state is None else match_state(state, start, where="unroll")
    resets = None if reset is None else check_flags(reset, x, "reset", where="unroll")
    read = None if mask is None else check_flags(mask, x, "mask", where="unroll")
    if lengths is not None:
        within = within_lengths(check_lengths(lengths, x, where="unroll"), steps)
        read = within if read is None else read & within
        resets = None if resets is None else resets & within
    if steps == 0:
        return x.new_zeros(0, batch, cell.output_size), state

    if read is not None:
        # A zero instead of the padding: where() alone would hide a NaN from the values but not from the gradient.
        x = torch.where(read.unsqueeze(-1), x, torch.zeros_like(x))
    # unbind, not x[t]: its backward is one stack, where that of T selections fills T tensors of the full size.
    projected = cell.project(x).unbind(0)
    outputs: list[Tensor] = [x] * steps
    for t in reversed(range(steps)) if reverse else range(steps):
        if resets is not None:
            state = _choose(resets[t], start, state)
        y, after = cell.advance(projected[t], state)
        if read is not None:
            y, after = _choose(read[t], y, torch.zeros_like(y)), _choose(read[t], after, state)
        outputs[t], state = y, after
    return torch.stack(outputs), state


def _choose(condition: Tensor, yes: State, no: State) -> State:
    """Row by row of the batch, one state or the other."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(condition.reshape(-1, *[1] * (a.dim() - 1)), a, b)

    return map_state(choose, yes, no)


def within_lengths(lengths: Tensor, steps: int) -> Tensor:
    """True at the steps before each sequence's length: (time, batch)."""
    return torch.arange(steps, device=lengths.device).unsqueeze(1) < lengths


def check_flags(flags: Any, x: Tensor, name: str, *, where: str) -> Tensor:
    """Check booleans (time, batch) for x (time, batch, features)."""
    need = f"{tuple(x.shape[:2])} of booleans, that is (time, batch)"
    if not isinstance(flags, Tensor) or flags.shape != x.shape[:2]:
        got = f"has shape {tuple(flags.shape)}" if isinstance(flags, Tensor) else f"is {type(flags).__name__}"
        raise ShapeError(f"{name} {got}", where=where, need=need)
    if flags.dtype != torch.bool:
        raise ShapeError(f"{name} is {flags.dtype}", where=where, need=need, cure=f"{name}.bool()")
    return flags.to(x.device)


def check_lengths(lengths: Any, x: Tensor, *, where: str) -> Tensor:
    """Check whole numbers (batch,) from 0 to the time of x (time, batch, features), and bring them beside x."""
    steps, batch = x.shape[:2]
    try:
        lengths = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"lengths is {lengths!r:.60}", where=where, need=f"({batch},) whole numbers") from error
    lengths = lengths if lengths.numel() else lengths.long()
    if lengths.dtype.is_floating_point or lengths.dtype.is_complex or lengths.dtype == torch.bool:
        raise ShapeError(f"lengths is {lengths.dtype}", where=where, need="whole numbers", cure="lengths.long()")
    if lengths.shape != (batch,):
        raise ShapeError(f"lengths has shape {tuple(lengths.shape)}", where=where, need=f"({batch},), that is (batch,)")
    # Inside torch.func the numbers cannot be looked at; a length that is too long counts as `steps` there.
    if batch and not in_transform() and not torch.compiler.is_compiling():
        low, high = (int(bound) for bound in torch.aminmax(lengths))
        if low < 0 or high > steps:
            raise UsageError(
                f"lengths holds {low if low < 0 else high}",
                where=where,
                need=f"whole numbers from 0 to {steps}, the time steps of x",
            )
    return lengths.to(x.device, torch.long)


def in_transform() -> bool:
    """Whether the caller runs inside torch.func (vmap, grad, jvp ...) or forward-mode differentiation."""
    return torch._C._functorch.maybe_current_level() is not None or torch.autograd.forward_ad._current_level >= 0
