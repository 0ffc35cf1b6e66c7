"""Linear cells over all time steps at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_input, check_number_format
from recurra.cells.state import map_state, match_state
from recurra.errors import UsageError
from recurra.types import State
from recurra.unroll.checks import check_flags, check_lengths, within_lengths


def scan(
    cell: Cell,
    x: Tensor,
    state: State | None = None,
    *,
    lengths: Tensor | Sequence[int] | None = None,
    mask: Tensor | None = None,
    reverse: bool = False,
    all_states: bool = False,
) -> Any:
    """Run a linear cell along time by a parallel scan: the numbers of `unroll`, but for rounding, in far fewer calls.

    Equations:
        s_t = a_t * s_{t-1} + b_t for all t at once: two steps (a_1, b_1), (a_2, b_2) are one, (a_2 a_1, a_2 b_1 + b_2),
        and this joining is associative, so that blocks of steps run side by side and are joined.

    Args:
        cell: a linear cell (`cell.linear`; `recurra info cells` marks them).
        x, state, lengths, mask, reverse, all_states: as in `unroll`.

    Shapes:
        as in `unroll`.

    Raises:
        UsageError: the cell is not linear.
        ShapeError: an argument's shape or number format does not fit.

    Reference:
        G. E. Blelloch. Prefix sums and their applications. Technical report CMU-CS-90-190 (1990).
        E. Martin, C. Cundy. Parallelizing linear recurrent neural nets over sequence length. ICLR (2018).
    """
    check_input(x, ("time", "batch"), cell.input_size, where="scan")
    check_number_format(x, cell, where="scan")
    if not cell.linear:
        raise UsageError(
            f"{type(cell).__name__} is not linear in its state",
            where="scan",
            need="a linear cell: `recurra info cells` marks them",
            cure="unroll, which runs any cell step by step",
        )
    steps, batch = x.shape[:2]
    first = cell.initial_state(batch, dtype=x.dtype, device=x.device)
    state = first if state is None else match_state(state, first, where="scan")
    read = None if mask is None else check_flags(mask, x, "mask", where="scan")
    if lengths is not None:
        within = within_lengths(check_lengths(lengths, x, where="scan"), steps)
        read = within if read is None else read & within
    if steps == 0:
        y = x.new_zeros(0, batch, cell.output_size)
        return (y, state, map_state(lambda part: part.new_zeros(0, *part.shape), state)) if all_states else (y, state)
    if reverse:
        x, read = x.flip(0), None if read is None else read.flip(0)
    if read is None:
        y, states = cell.scan(x, state)
        final = map_state(lambda part: part[-1], states)
    else:
        y, states, final = _scan_read(cell, x, state, read, mask is None and not reverse, all_states)
    if reverse:
        y, states = y.flip(0), map_state(lambda part: part.flip(0), states) if all_states else states
    return (y, final, states) if all_states else (y, final)


def _scan_read(
    cell: Cell, x: Tensor, state: State, read: Tensor, in_front: bool, all_states: bool
) -> tuple[Tensor, State, State]:
    """Scan the steps that are read, drawn together to the front, and put the results back in their places.

    Args:
        cell, x, state: as in `scan`.
        read: False at steps left out.
        in_front: whether the steps read stand in front already.
        all_states: whether the states are asked for; else they are None.
    """
    x = torch.where(read.unsqueeze(-1), x, torch.zeros_like(x))
    count = torch.cumsum(read.long(), 0)
    if not in_front:
        x = _gather(x, torch.argsort((~read).to(torch.uint8), dim=0, stable=True))
    y, reached = cell.scan(x, state)
    if not in_front:
        y = _gather(y, (count - 1).clamp(min=0))
    y = torch.where(read.unsqueeze(-1), y, torch.zeros_like(y))

    def after(count: Tensor) -> State:
        """The state after so many steps were read, (any, batch)."""

        def choose(before: Tensor, reached: Tensor) -> Tensor:
            found = _gather(reached, (count - 1).clamp(min=0))
            return torch.where(_widen(count > 0, before.dim() - 1), found, before)

        return map_state(choose, state, reached)

    final = map_state(lambda part: part[0], after(count[-1:]))
    return y, after(count) if all_states else None, final


def _gather(x: Tensor, index: Tensor) -> Tensor:
    """x (time, batch, ...) at the steps `index` (any, batch)."""
    return x.gather(0, _widen(index, x.dim() - 2).expand(-1, -1, *x.shape[2:]))


def _widen(x: Tensor, more: int) -> Tensor:
    return x.reshape(*x.shape, *[1] * more)
