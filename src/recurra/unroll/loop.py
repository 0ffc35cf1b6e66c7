"""The one time loop of the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_continuous, check_dt, check_input, check_number_format
from recurra.cells.state import map_state, match_state, state_tensors
from recurra.types import State
from recurra.unroll.checks import check_flags, check_lengths, within_lengths
from recurra.unroll.elapsed import elapsed_times
from recurra.unroll.segments import run_segments, segment_length


def unroll(
    cell: Cell,
    x: Tensor,
    state: State | None = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    dt: Tensor | float | None = None,
    reverse: bool = False,
    start: State | None = None,
    all_states: bool = False,
    checkpoint: bool | int = False,
) -> Any:
    """Run a cell along time.

    Equations:
        (y_t, s_t) = cell(x_t, s_{t-1}) for t = 0, 1, ..., time - 1, or from time - 1 down to 0 with `reverse`;
        at a step that is left out s_t = s_{t-1} and y_t = 0.

    What stands in x at a step that is left out, NaN included, reaches no value and no gradient.

    Args:
        cell: any cell.
        x: the sequences.
        state: the state to begin with; `start` when absent.
        lengths: the number of steps of each sequence; steps at or past it are left out. 0 is allowed.
        mask: False leaves a step out.
        reset: True sets the state to `start` before this step is read, also where `mask` leaves the step itself out; at
            or past a sequence's length it does nothing.
        dt: the time from step t - 1 to step t, for cells in continuous time: one number, or one a step and sequence.
            The time of steps left out counts for the next step read; with `reverse` the step at t is reached by
            dt[t + 1], and the step that is read first by dt[0].
        reverse: each sequence is read from its end to its start; outputs stand at their own time.
        start: the state of a sequence before its first step; the cell's initial state when absent.
        all_states: whether to return the state after every step too.
        checkpoint: True, or a number of steps: keep for the gradient the state at the ends of segments only, and
            compute what lies between again. Memory then grows as the square root of the time (True), for about a third
            more arithmetic; numbers and gradients stay the same.

    Shapes:
        x (time, batch, input_size); lengths (batch,), whole numbers; mask and reset (time, batch), booleans; dt (time,
        batch); y (time, batch, output_size); the state's tensors (batch, ...), and (time, batch, ...) where all are
        returned. time 0 is allowed.

    Returns:
        `(y, state)`: the outputs, and for each sequence the state after the last step that was read; with `all_states`
        `(y, state, states)`: a step that is left out shows the state that it left as it was.

    Raises:
        ShapeError: an argument's shape or number format does not fit.
        UsageError: a length is negative or longer than x, or dt is given for a cell that does not know time.

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
    first = cell.initial_state(batch, dtype=x.dtype, device=x.device)
    start = first if start is None else match_state(start, first, where="unroll", name="start")
    state = start if state is None else match_state(state, start, where="unroll")
    resets = None if reset is None else check_flags(reset, x, "reset", where="unroll")
    read = None if mask is None else check_flags(mask, x, "mask", where="unroll")
    times = None
    if dt is not None:
        check_continuous(cell, "unroll")
        times = check_dt(dt, x, x.shape[:2], where="unroll")
    if lengths is not None:
        lengths = check_lengths(lengths, x, where="unroll")
        within = within_lengths(lengths, steps)
        read = within if read is None else read & within
        resets = None if resets is None else resets & within
    if times is not None:
        times = elapsed_times(times, read, resets, lengths, reverse)
    if steps == 0:
        y = x.new_zeros(0, batch, cell.output_size)
        return (y, state, map_state(lambda part: part.new_zeros(0, *part.shape), state)) if all_states else (y, state)
    if read is not None:
        # A zero instead of the padding: where() alone would hide a NaN from the values but not from the gradient.
        x = torch.where(read.unsqueeze(-1), x, torch.zeros_like(x))

    def run(
        x: Tensor, state: State, read: Tensor | None, resets: Tensor | None, times: Tensor | None
    ) -> tuple[Tensor, State, State]:
        return _run(cell, x, state, start, read, resets, times, reverse, all_states)

    length = segment_length(checkpoint, steps, where="unroll")
    if length is None:
        y, state, states = run(x, state, read, resets, times)
    else:
        y, state, states = run_segments(
            run, cell, x, state, (read, resets, times), length, reverse, state_tensors(start)
        )
    return (y, state, states) if all_states else (y, state)


def _run(
    cell: Cell,
    x: Tensor,
    state: State,
    start: State,
    read: Tensor | None,
    resets: Tensor | None,
    times: Tensor | None,
    reverse: bool,
    all_states: bool,
) -> tuple[Tensor, State, State]:
    """The loop; everything is checked and filled in."""
    steps = x.shape[0]
    # unbind, not x[t]: its backward is one stack, where that of T selections fills T tensors of the full size.
    projected = cell.project(x)
    pieces: Any = (
        projected.unbind(0)
        if isinstance(projected, Tensor)
        else list(zip(*(p.unbind(0) for p in projected), strict=True))
    )
    outputs: list[Tensor] = [x] * steps
    advance: Any = cell.advance
    states: list[State] = [state] * steps if all_states else []
    for t in reversed(range(steps)) if reverse else range(steps):
        if resets is not None:
            state = choose(resets[t], start, state)
        if times is None:
            y, after = advance(pieces[t], state)
        else:
            y, after = advance(pieces[t], state, times[t].unsqueeze(-1))
        if read is not None:
            y, after = choose(read[t], y, torch.zeros_like(y)), choose(read[t], after, state)
        outputs[t], state = y, after
        if all_states:
            states[t] = after
    return torch.stack(outputs), state, map_state(lambda *parts: torch.stack(parts), *states) if all_states else None


def choose(condition: Tensor, yes: State, no: State) -> State:
    """Row by row of the batch, one state or the other."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(condition.reshape(-1, *[1] * (a.dim() - 1)), a, b)

    return map_state(choose, yes, no)
