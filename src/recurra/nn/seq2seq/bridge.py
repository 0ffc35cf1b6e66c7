"""From an encoder's last states to a decoder's first one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.nn.layer import Layer
from recurra.nn.recurrent import Recurrent
from recurra.nn.seq2seq.cell_stack import CellStack
from recurra.types import State


class Bridge(nn.Module):
    """A learned map from an encoder's summary to a decoder's first state.

    Equations:
        s_0 = tanh(W z + b) for each part of the state, z the summary.

    Args:
        summary_size: features of z.
        like: the decoder's initial state for a batch of any size; parts that hold no real numbers (counters, say) stay
            as they are.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        z (batch, summary_size); linear.weight (features of all parts together, summary_size), linear.bias.

    Differs from the paper: Bahdanau et al. read the reverse direction's last hidden units only; here z holds all parts
    of the last layer's last states, of both directions.

    Reference:
        K. Cho et al. Learning phrase representations using RNN encoder-decoder for statistical machine translation.
        EMNLP (2014) 1724-1734.
        D. Bahdanau, K. Cho, Y. Bengio. Neural machine translation by jointly learning to align and translate. ICLR
        (2015).

    Example:
        >>> import torch
        >>> from recurra.cells import LSTM
        >>> cell = LSTM(2, 3)
        >>> Bridge(8, cell)(torch.zeros(4, 8), cell.initial_state(4)).c.shape
        torch.Size([4, 3])
    """

    def __init__(self, summary_size: int, cell: Cell, device: Any = None, dtype: Any = None):
        super().__init__()
        like = cell.initial_state(1)
        self.carries = carrying(cell, like)
        self.sizes = [
            part[0].numel() * (2 if part.is_complex() else 1)
            for part, carries in zip(state_tensors(like), self.carries, strict=True)
            if carries
        ]
        self.linear = nn.Linear(summary_size, sum(self.sizes), device=device, dtype=dtype)

    def forward(self, summary: Tensor, start: State) -> State:
        """The decoder's first state; `start` is its initial one, which gives the structure."""
        numbers = iter(torch.tanh(self.linear(summary)).split(self.sizes, -1))
        carries = iter(self.carries)

        def fill(part: Tensor) -> Tensor:
            if not next(carries):
                return part
            if part.is_complex():
                return torch.view_as_complex(next(numbers).reshape(*part.shape, 2))
            return next(numbers).reshape(part.shape)

        return map_state(fill, start)


def carrying(cell: Cell, state: State) -> list[bool]:
    """Of each tensor of a cell's state, whether it carries what was read, and does not count time or whole numbers."""
    if isinstance(cell, CellStack):
        pairs = zip(cell.cells, state, strict=True)
        return [carries for each, part in pairs for carries in carrying(each, part)]  # type: ignore[arg-type]
    clocks = {id(part) for name in cell.clocks for part in state_tensors(getattr(state, name, ()))}
    parts = state_tensors(state)
    return [id(part) not in clocks and (part.is_floating_point() or part.is_complex()) for part in parts]


def states_a_cell(encoder: Layer, states: Any) -> list[State]:
    """One state a cell, from the form in which a layer gives its states."""
    if isinstance(encoder, Recurrent):
        return list(states)
    # The named layers give torch.nn's form: h, or h and c, each (layers * directions, batch, features).
    parts = (states,) if isinstance(states, Tensor) else states
    cells = encoder.stack_cells()
    kinds = [type(cell.initial_state(1)) for cell in cells]
    return [kind(*(part[index] for part in parts)) for index, kind in enumerate(kinds)]


def summarise(cells: Sequence[Cell], states: Sequence[State]) -> Tensor:
    """What some cells' states carry side by side: (batch, features)."""
    parts = []
    for cell, state in zip(cells, states, strict=True):
        tensors = zip(state_tensors(state), carrying(cell, state), strict=True)
        parts += [torch.view_as_real(part) if part.is_complex() else part for part, carries in tensors if carries]
    return torch.cat([part.flatten(1) for part in parts], -1)


def same_structure(a: State, b: State) -> bool:
    """Whether two states have the same types, parts and features, whatever their batch."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        both = isinstance(a, Tensor) and isinstance(b, Tensor)
        return both and a.shape[1:] == b.shape[1:] and a.dtype == b.dtype
    same = type(a) is type(b) and len(a) == len(b)
    return same and all(same_structure(left, right) for left, right in zip(a, b, strict=True))
