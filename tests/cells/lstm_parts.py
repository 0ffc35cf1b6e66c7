"""What the tests of LSTMs share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.lstm import LSTM
from recurra.cells.state import state_tensors


def made(kind: type[Cell], *sizes: int, **arguments: Any) -> Any:
    return kind(*sizes, dtype=torch.float64, **arguments)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def blocks(weight: Tensor | None, count: int) -> tuple[Tensor, ...]:
    assert weight is not None
    return weight.detach().chunk(count)


def close(a: Any, b: Any) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-13)


def plain_lstm(cell: Any, order: tuple[int, int, int, int]) -> Any:
    """An LSTM whose gates i, f, g, o are these blocks of the cell's; without a bias of its own for h."""
    other, count = made(LSTM, cell.input_size, cell.hidden_size), len(cell.bias_ih) // cell.hidden_size
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            parts = blocks(getattr(cell, name), count)
            getattr(other, name).copy_(torch.cat([parts[index] for index in order]))
        other.bias_hh.zero_()
    return other
