"""Running a stack of cells over sequences: layers, directions, dropout between layers, and the choice of the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.state import match_state
from recurra.nn.kernels import run_kernel, why_reference
from recurra.types import State
from recurra.unroll import unroll


def run_stack(
    cells: Sequence[Cell],
    x: Tensor,
    states: Sequence[Any] | None = None,
    *,
    directions: int = 1,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    dropout: float = 0.0,
    backend: str = "auto",
    where: str = "stack",
) -> tuple[Tensor, tuple[State, ...]]:
    """Run cells, layer by layer and forward before reverse, over x (time, batch, features).

    Args:
        cells: one a layer and direction.
        x: the sequences.
        states: one a cell, or None for the initial states; single entries may be None.
        directions: 1, or 2 for both; the outputs of both directions are joined, forward first.
        lengths, mask, reset: as in `unroll`. A reset parts a sequence in two for both directions: the forward direction
            begins anew at that step, the reverse direction at the step before it.
        dropout: share of the values dropped between layers.
        backend: "auto", or "reference" for the reference loop throughout.

    Returns:
        `(y, states)`: y (time, batch, directions * output_size) of the last layer, and one state a cell.
    """
    finals = []
    for first in range(0, len(cells), directions):
        outputs = []
        for direction in range(directions):
            index = first + direction
            y, final = _run_cell(
                cells[index],
                x,
                None if states is None else states[index],
                lengths,
                mask,
                _resets_backwards(reset) if direction else reset,
                reverse=direction == 1,
                backend=backend,
                where=f"{where}, cell {index}",
            )
            outputs.append(y)
            finals.append(final)
        x = outputs[0] if directions == 1 else torch.cat(outputs, dim=-1)
        if dropout and first + directions < len(cells):
            x = F.dropout(x, dropout)
    return x, tuple(finals)


def _run_cell(
    cell: Cell,
    x: Tensor,
    state: Any,
    lengths: Tensor | None,
    mask: Tensor | None,
    reset: Tensor | None,
    *,
    reverse: bool,
    backend: str,
    where: str,
) -> tuple[Tensor, State]:
    start = cell.initial_state(x.shape[1], dtype=x.dtype, device=x.device)
    state = start if state is None else match_state(state, start, where=where)
    if why_reference(cell, x, mask is not None, reset is not None, backend) is None:
        return run_kernel(cell, x, state, lengths, reverse)
    return unroll(cell, x, state, lengths=lengths, mask=mask, reset=reset, reverse=reverse)


def _resets_backwards(reset: Tensor | None) -> Tensor | None:
    """Where the reverse direction begins anew, so that the same parts of a sequence know nothing of each other."""
    if reset is None:
        return None
    return torch.cat([reset[1:], torch.zeros_like(reset[:1])])
