"""Zoneout: some units keep their last value for a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.errors import UsageError
from recurra.types import State


class Zoneout(Cell):
    """A cell whose units, each with some probability at each step, keep their last value.

    Equations:
        s_t = m_t * s_{t-1} + (1 - m_t) * s'_t,  m_t is 1 with probability `rate`, drawn anew for each step and unit;
        in evaluation s_t = rate * s_{t-1} + (1 - rate) * s'_t, the mean of that.
        Where the cell's output is a part of its state, the output is that part after zoneout.

    Args:
        cell: any cell.
        rate: the probability for all parts of the state, or one for each part by name ({"c": 0.5, "h": 0.05}); parts
            not named are left alone, and so are parts that count time.

    Shapes:
        those of the cell.

    Raises:
        UsageError: a rate is not from 0 to 1, or the state has no part of that name.

    Reference:
        D. Krueger, T. Maharaj, J. Kramar, M. Pezeshki, N. Ballas, N. R. Ke, A. Goyal, Y. Bengio, A. Courville, C. Pal.
        Zoneout: regularizing RNNs by randomly preserving hidden activations. ICLR (2017).

    Example:
        >>> from recurra.cells import LSTM
        >>> cell = Zoneout(LSTM(2, 3), {"c": 1.0}).eval()
        >>> state = cell.initial_state(1)
        >>> bool(cell(torch.ones(1, 2), state)[1].c.any())
        False
    """

    def __init__(self, cell: Cell, rate: float | Mapping[str, float]):
        super().__init__(cell.input_size, cell.hidden_size, cell.output_size)
        self.cell = cell
        self.rates = zoneout_rates(cell, rate)
        self.elementwise, self.continuous_time = cell.elementwise, cell.continuous_time  # type: ignore[misc]
        self.recurrent_weights = tuple(f"cell.{name}" for name in cell.recurrent_weights)  # type: ignore[misc]

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> State:
        """That of the cell."""
        return self.cell.initial_state(batch_size, dtype=dtype, device=device)

    def project(self, x: Tensor) -> Any:
        """That of the cell."""
        return self.cell.project(x)

    def advance(self, projected: Any, state: State, dt: Tensor | None = None) -> tuple[Tensor, State]:
        """The cell's step, then zoneout."""
        advance: Any = self.cell.advance
        y, after = advance(projected, state) if dt is None else advance(projected, state, dt)
        # As written by the cell: the output is often a part of the state, the very same tensor.
        same = [part is y for part in state_tensors(after)]
        mixed = [
            self._mix(rate, before, now)
            for rate, before, now in zip(self.rates, state_tensors(state), state_tensors(after), strict=True)
        ]
        if any(same):
            y = mixed[same.index(True)]
        rest = iter(mixed)
        return y, map_state(lambda _: next(rest), after)

    def _mix(self, rate: float, before: Tensor, now: Tensor) -> Tensor:
        if rate == 0.0:
            return now
        if not self.training:
            return rate * before + (1.0 - rate) * now
        return torch.where(torch.rand_like(now) < rate, before, now)


def zoneout_rates(cell: Cell, rate: float | Mapping[str, float]) -> list[float]:
    """The rate of each tensor of a cell's state.

    Raises:
        UsageError: a rate is not from 0 to 1, or the state has no part of that name.
    """
    names = _names(cell.initial_state(1))
    for name in rate if isinstance(rate, Mapping) else ():
        if not any(name in path for path in names):
            known = ", ".join(dict.fromkeys(part for path in names for part in path))
            raise UsageError(
                f"zoneout names {name!r}", where=type(cell).__name__, need=f"parts of the state, that is {known}"
            )
    for value in rate.values() if isinstance(rate, Mapping) else [rate]:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise UsageError(
                f"zoneout is {value!r}", where=type(cell).__name__, need="a number from 0 to 1, the share kept"
            )
    rates = []
    for path in names:
        share = rate if not isinstance(rate, Mapping) else max((rate[n] for n in path if n in rate), default=0.0)
        rates.append(0.0 if set(path) & set(cell.clocks) else float(share))
    return rates


def _names(state: State) -> list[tuple[str, ...]]:
    """For each tensor of a state the names that lead to it."""
    if isinstance(state, Tensor):
        return [()]
    labels = getattr(state, "_fields", None) or [str(index) for index in range(len(state))]
    return [(label, *path) for label, part in zip(labels, state, strict=True) for path in _names(part)]
