"""One cell over whole sequences: the choice among torch.nn's kernels, the parallel scan and the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_dt
from recurra.cells.state import match_state, state_tensors
from recurra.engine import compiled_loop, run_fused, why_not_called
from recurra.nn.kernels import run_kernel, why_reference
from recurra.types import State
from recurra.unroll import scan, unroll, within_lengths
from recurra.unroll.elapsed import elapsed_times
from recurra.unroll.segments import run_segments, segment_length


def why_no_scan(cell: Cell, with_resets: bool, with_times: bool, backend: str) -> str | None:
    """None where the parallel scan serves this call, else the reason why not."""
    if backend == "reference":
        return "backend='reference' was asked for"
    if not cell.linear:
        return f"{type(cell).__name__} is not linear in its state"
    if _overridden(type(cell)):
        return f"{type(cell).__name__} has a step of its own, which the scan it has inherited may not compute"
    if with_resets:
        return "reset was given, and the scan cannot restart single steps"
    if with_times:
        return "dt was given, and the scan does not know it"
    if cell.dropped is not None:
        return "recurrent dropout acts in the loop"
    return None


def _fused(
    cell: Cell,
    x: Tensor,
    state: State,
    lengths: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
    dt: Any,
    reverse: bool,
    checkpoint: bool | int,
    start: State,
    where: str,
) -> tuple[Tensor, State, State | None] | str:
    """The compiled loop, or the reason why there is none."""
    loop = compiled_loop(cell, x, dt is not None)
    if isinstance(loop, str):
        return loop
    read = mask
    if lengths is not None:
        within = within_lengths(lengths, x.shape[0])
        read = within if read is None else read & within
        reset = None if reset is None else reset & within
    times = None
    if dt is not None:
        times = elapsed_times(check_dt(dt, x, x.shape[:2], where=where), read, reset, lengths, reverse)

    def run(
        x: Tensor, state: State, read: Tensor | None, reset: Tensor | None, times: Tensor | None
    ) -> tuple[Tensor, State, None]:
        found = run_fused(cell, x, state, read, times, reverse, reset, start, loop)
        assert not isinstance(found, str), found
        return (*found, None)

    length = segment_length(checkpoint, x.shape[0], where=where)
    if length is None:
        return run(x, state, read, reset, times)
    also = () if reset is None else state_tensors(start)
    return run_segments(run, cell, x, state, (read, reset, times), length, reverse, also)


ENOUGH = 1 << 16
"""With "auto", a call is compiled from so many numbers of outputs on (time x batch x hidden units): to compile a cell
for the first time takes about a second, which small calls are not worth."""


def worth_compiling(cell: Cell, x: Tensor) -> bool:
    """Whether a call is large enough to compile its cell; follows from sizes alone, so that the same call always is."""
    return x.shape[0] * x.shape[1] * cell.hidden_size >= ENOUGH and x.shape[0] > 1


def _overridden(kind: type) -> bool:
    """Whether a class changes the step that an inherited `scan` runs."""
    for each in kind.__mro__:
        if "scan" in vars(each):
            return False
        if {"project", "advance", "forward"} & set(vars(each)):
            return True
    return False


def drive(
    cell: Cell,
    x: Tensor,
    state: Any,
    start: State | None,
    *,
    lengths: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
    dt: Tensor | float | None,
    reverse: bool,
    backend: str,
    all_states: bool,
    checkpoint: bool | int,
    where: str,
) -> tuple[Tensor, State, State | None]:
    """Run one cell over x (time, batch, features) on the quickest path for this call; arguments as in `unroll`.

    Returns:
        the outputs, the last state, and all states where they were asked for.
    """
    first = cell.initial_state(x.shape[1], dtype=x.dtype, device=x.device)
    start = first if start is None else start
    state = start if state is None else match_state(state, first, where=where)
    learned_time = isinstance(dt, Tensor) and dt.requires_grad  # a gradient that the compiled loop does not give
    if (
        (backend == "fused" or (backend == "auto" and worth_compiling(cell, x)))
        and not all_states
        and not learned_time
        and why_not_called(x, state, cell) is None
    ):
        found = _fused(cell, x, state, lengths, mask, reset, dt, reverse, checkpoint, start, where)
        if not isinstance(found, str):
            return found
    kernel = not all_states and why_reference(cell, x, mask is not None, reset is not None, backend) is None
    quick = kernel or why_no_scan(cell, reset is not None, dt is not None, backend) is None
    if not quick:
        options: dict[str, Any] = {"lengths": lengths, "mask": mask, "reset": reset, "dt": dt, "reverse": reverse}
        result = unroll(cell, x, state, **options, start=start, all_states=all_states, checkpoint=checkpoint)
        return result if all_states else (*result, None)

    def run(x: Tensor, state: State, mask: Tensor | None, places: Tensor | None) -> tuple[Tensor, State, State]:
        inside = lengths
        if lengths is not None and places is not None:
            inside = (lengths - places[0]).clamp(0, len(places))
        if kernel:
            return (*run_kernel(cell, x, state, inside, reverse), None)
        result = scan(cell, x, state, lengths=inside, mask=mask, reverse=reverse, all_states=all_states)
        return result if all_states else (*result, None)

    length = segment_length(checkpoint, x.shape[0], where=where)
    if length is None:
        return run(x, state, mask, None)
    places = torch.arange(x.shape[0], device=x.device)
    along: Sequence[Tensor | None] = (mask, places)
    return run_segments(run, cell, x, state, along, length, reverse)
