"""Reservoirs along sequences, a block of time steps after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_input, check_number_format
from recurra.cells.state import match_state
from recurra.errors import UsageError
from recurra.reservoir.in_place import runs_in_place, states_in_place
from recurra.types import State
from recurra.unroll import check_flags, check_lengths, unroll

NUMBERS = 2**20
"""How many numbers of output a block holds at most: few enough for memory to be used again and not asked for anew."""


class Block(NamedTuple):
    """The outputs of some steps.

    Attributes:
        start: the first step.
        y: the cell's outputs, (steps, batch, output_size).
        used: True where a step is past the washout, before its sequence's end, and not masked, (steps, batch).
        state: after the last of these steps.
    """

    start: int
    y: Tensor
    used: Tensor
    state: State


def check_washout(washout: Any, where: str) -> int:
    """A number of steps, or a UsageError."""
    if isinstance(washout, bool) or not isinstance(washout, int) or washout < 0:
        raise UsageError(f"washout is {washout!r}", where=where, need="a number of steps, 0 or more")
    return washout


@torch.no_grad()
def run_blocks(
    cell: Cell,
    x: Tensor,
    state: State | None = None,
    *,
    lengths: Any = None,
    mask: Tensor | None = None,
    washout: int = 0,
    numbers: int = NUMBERS,
) -> Iterator[Block]:
    """Run a cell over sequences and give its outputs block after block, so that they need not all be held.

    The numbers are those of `recurra.unroll` over the whole, and no gradient is kept. The washout is the steps read at
    the beginning of every sequence, while the first state is being forgotten; steps that the mask leaves out count.

    Args:
        cell: any cell.
        x, state, lengths, mask: as in `recurra.unroll`.
        washout: steps at the beginning that `used` leaves out.
        numbers: how many numbers of output a block holds at most; a block has a step at least.

    Shapes:
        x (time, batch, input_size), lengths (batch,), mask (time, batch).

    Raises:
        UsageError: the washout is negative, or a length is out of range.
        ShapeError: an argument's shape or number format does not fit.

    Example:
        >>> from recurra.reservoir import EchoState
        >>> blocks = run_blocks(EchoState(1, 20), torch.zeros(10, 3, 1), lengths=[10, 8, 2], washout=4)
        >>> [int(block.used.sum()) for block in blocks]
        [10]
    """
    check_input(x, ("time", "batch"), cell.input_size, where="run_blocks")
    check_washout(washout, "run_blocks")
    yield from _blocks(cell, x, state, lengths, mask, washout, numbers, None)


@torch.no_grad()
def _blocks(
    cell: Cell,
    x: Tensor,
    state: State | None,
    lengths: Any,
    mask: Tensor | None,
    washout: int,
    numbers: int,
    into: Tensor | None,
) -> Iterator[Block]:
    """The blocks; `into`, where it is given, is where all outputs are to stand."""
    steps, batch = x.shape[:2]
    lengths = None if lengths is None else check_lengths(lengths, x, where="run_blocks")
    mask = None if mask is None else check_flags(mask, x, "mask", where="run_blocks")
    size = max(1, numbers // max(1, batch * cell.output_size))
    quick = mask is None and batch > 0 and runs_in_place(cell, x)
    if quick:
        check_number_format(x, cell, where="run_blocks")
        first = cell.initial_state(batch, dtype=x.dtype, device=x.device)
        state = first if state is None else match_state(state, first, where="run_blocks")
    for start in range(0, steps, size):
        part = x[start : start + size]
        left = None if lengths is None else (lengths - start).clamp(0, len(part))
        read = None if mask is None else mask[start : start + size]
        places = torch.arange(start, start + len(part), device=x.device).unsqueeze(1)
        used = (places >= washout).expand(-1, batch)
        if lengths is not None:
            used = used & (places < lengths)
        kept = None if into is None else into[start : start + size]
        if quick:
            if lengths is not None:
                part = torch.where((places < lengths).unsqueeze(-1), part, torch.zeros_like(part))
            y, state = states_in_place(cell, part, state, left, kept)
        else:
            y, state = unroll(cell, part, state, lengths=left, mask=read)
        if kept is not None and y is not kept:
            y = kept.copy_(y)
        yield Block(start, y, used if read is None else used & read, state)


def run(
    cell: Cell,
    x: Tensor,
    state: State | None = None,
    *,
    lengths: Any = None,
    mask: Tensor | None = None,
    transform: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, State]:
    """A cell's outputs over sequences and the last state, as `recurra.unroll` gives them, without gradients.

    Args:
        cell, x, state, lengths, mask: as in `recurra.unroll`.
        transform: what is made of each block of outputs, a readout say; the outputs themselves when absent.

    Shapes:
        x (time, batch, input_size); the outputs (time, batch, features).

    Example:
        >>> from recurra.reservoir import EchoState
        >>> y, state = run(EchoState(1, 20), torch.zeros(10, 3, 1))
        >>> y.shape, state.h.shape
        (torch.Size([10, 3, 20]), torch.Size([3, 20]))
    """
    if x.dim() == 3 and not len(x):
        y, state = unroll(cell, x, state)
        return (y if transform is None else transform(y)), state
    check_input(x, ("time", "batch"), cell.input_size, where="run")
    if transform is None:
        outputs = x.new_empty(*x.shape[:2], cell.output_size)
        for block in _blocks(cell, x, state, lengths, mask, 0, NUMBERS, outputs):
            state = block.state
        return outputs, state
    made: list[Tensor] = []
    for block in run_blocks(cell, x, state, lengths=lengths, mask=mask):
        made.append(transform(block.y))
        state = block.state
    return torch.cat(made), state
