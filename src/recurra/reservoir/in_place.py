"""Echo states along sequences without a gradient, in memory that is used again: the numbers of `unroll`, sooner."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell, in_transform
from recurra.cells.sparse import SparseWeight
from recurra.cells.state import HiddenState
from recurra.reservoir.deep import DeepReservoir, ParallelReservoir
from recurra.reservoir.echo_state import EchoState
from recurra.reservoir.features import ReservoirFeatures
from recurra.types import State

SIDE_BY_SIDE = 32
"""How many series go through a sparse product at once: with more of them their states leave the nearest memory."""

CHANGED: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh_,
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid_,
    "linear": lambda x: x,
}


def runs_in_place(cell: Cell, x: Tensor) -> bool:
    """Whether `states_in_place` knows this cell and may be used here."""
    if torch.is_grad_enabled() or in_transform() or x.device.type != "cpu":
        return False
    if type(cell) is ReservoirFeatures:
        return runs_in_place(cell.cell, x)
    if type(cell) is DeepReservoir or type(cell) is ParallelReservoir:
        return all(isinstance(inner, Cell) and runs_in_place(inner, x) for inner in cell.cells)
    return type(cell) is EchoState and cell.dropped is None


def states_in_place(
    cell: Cell, x: Tensor, state: State, lengths: Tensor | None, into: Tensor | None = None
) -> tuple[Tensor, State]:
    """The outputs over all steps and the last state, as `unroll` gives them.

    A cell's outputs are computed over all steps before those of a cell that reads them; each cell has a few numbers a
    unit and series to work in, and writes its outputs where they stay.

    Args:
        cell: one that `runs_in_place` accepts.
        x, state, lengths: as in `unroll`, checked, with zeros past the ends.
        into: where the outputs of an echo state reservoir are written, in place of new memory.

    Shapes:
        x (time, batch, input_size); the outputs (time, batch, output_size), zeros past the ends.
    """
    if isinstance(cell, ReservoirFeatures):
        h, state = states_in_place(cell.cell, x, state, lengths)
        return cell.shown(x, h), state
    if isinstance(cell, DeepReservoir | ParallelReservoir):
        outputs: list[Tensor] = []
        after: list[State] = []
        for number, inner in enumerate(cell.cells):
            assert isinstance(inner, Cell)
            y, last = states_in_place(inner, _read(cell, number, x, outputs), state[number], lengths)
            outputs.append(y)
            after.append(last)
        return torch.cat(outputs, -1), tuple(after)
    assert isinstance(cell, EchoState)
    y = x.new_empty(*x.shape[:2], cell.hidden_size) if into is None else into
    if x.shape[1] == 1:
        _one(cell, x[:, 0], state.h[0], y[:, 0])
    else:
        for start in range(0, x.shape[1], SIDE_BY_SIDE):
            part = slice(start, start + SIDE_BY_SIDE)
            _several(cell, x[:, part], state.h[part], y[:, part])
    if lengths is None:
        return y, HiddenState(y[-1].clone())
    ends = y[(lengths - 1).clamp_min(0), torch.arange(len(lengths))]
    last = torch.where((lengths > 0).unsqueeze(1), ends, state.h)
    past = torch.arange(len(y)).unsqueeze(1) >= lengths
    return y.masked_fill_(past.unsqueeze(-1), 0.0), HiddenState(last)


def _read(cell: DeepReservoir | ParallelReservoir, number: int, x: Tensor, outputs: list[Tensor]) -> Tensor:
    """What the inner cell of this number reads, when those before it have given these outputs."""
    if isinstance(cell, ParallelReservoir):
        return x if cell.whole else x.index_select(-1, getattr(cell, f"reads_{number}"))
    if not outputs:
        return x
    return torch.cat([x, outputs[-1]], -1) if cell.inputs_to_all else outputs[-1]


def _matrix(cell: EchoState) -> Tensor:
    """W, in compressed rows where it is sparse."""
    weight = cell.weight_hh
    return weight.rows() if isinstance(weight, SparseWeight) else weight


def _one(cell: EchoState, x: Tensor, h: Tensor, y: Tensor) -> None:
    """The states of one series, x (time, input_size), into y (time, unit)."""
    matrix, changed, rate = _matrix(cell), CHANGED[cell.nonlinearity], cell.rate
    y.copy_(F.linear(x, cell.weight_ih, cell.bias_ih))
    for row in y.unbind(0):
        changed(row.addmv_(matrix, h))
        h = torch.lerp(h, row, rate, out=row) if cell.leaky else row


def _several(cell: EchoState, x: Tensor, h: Tensor, y: Tensor) -> None:
    """The states of series side by side, x (time, batch, input_size), into y (time, batch, unit)."""
    matrix, changed, rate = _matrix(cell), CHANGED[cell.nonlinearity], cell.rate.unsqueeze(1)
    weight, bias = cell.weight_ih, None if cell.bias_ih is None else cell.bias_ih.unsqueeze(1)
    # With the batch last, as sparse products want it.
    h = h.mT.clone(memory_format=torch.contiguous_format)
    driven = torch.empty_like(h)
    for read, shown in zip(x.mT.unbind(0), y.mT.unbind(0), strict=True):
        if bias is None:
            torch.mm(weight, read, out=driven)
        else:
            torch.addmm(bias, weight, read, out=driven)
        changed(driven.addmm_(matrix, h))
        if cell.leaky:
            h.lerp_(driven, rate)
        else:
            h, driven = driven, h
        shown.copy_(h)
