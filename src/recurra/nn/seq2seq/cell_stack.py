"""A stack of cells as one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.types import State


class CellStack(Cell):
    """Cells on top of one another as one cell: a decoder of several layers, say.

    Equations:
        (y^l_t, s^l_t) = cell_l(y^{l-1}_t, s^l_{t-1}),  y^0 = x,  y = y^L.

    Args:
        cells: from the lowest to the highest; each reads as many features as the one below gives.
        dropout: share of the values dropped between cells while training, drawn anew at each step.

    Shapes:
        x (batch, input_size) of the lowest cell, y (batch, output_size) of the highest; the state is a tuple with one
        entry a cell.

    Raises:
        UsageError: there is no cell, one does not fit on the one below, or dropout is out of range.
        ShapeError: x or the state does not fit.

    Example:
        >>> import torch
        >>> from recurra.cells import GRU, LSTM
        >>> cell = CellStack([LSTM(3, 4), GRU(4, 5)])
        >>> y, state = cell(torch.zeros(2, 3), cell.initial_state(2))
        >>> y.shape, len(state)
        (torch.Size([2, 5]), 2)
    """

    def __init__(self, cells: Sequence[Cell], dropout: float = 0.0):
        cells = list(cells)
        if not cells or not all(isinstance(cell, Cell) for cell in cells):
            raise UsageError(f"cells is {cells!r:.60}", where="CellStack", need="at least one Cell, and nothing else")
        for number, (below, above) in enumerate(zip(cells, cells[1:], strict=False)):
            if above.input_size != below.output_size:
                raise UsageError(
                    f"cell {number + 1} has input_size {above.input_size}",
                    where="CellStack",
                    need=f"{below.output_size}, the output_size of cell {number}",
                )
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            need = "a number from 0 to 1, the share dropped"
            raise UsageError(f"dropout is {dropout!r}", where="CellStack", need=need)
        super().__init__(cells[0].input_size, cells[-1].hidden_size, cells[-1].output_size)
        self.cells, self.dropout = nn.ModuleList(cells), float(dropout)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> tuple[State, ...]:
        """Those of the cells."""
        return tuple(cell.initial_state(batch_size, dtype=dtype, device=device) for cell in self._stack())

    def project(self, x: Tensor) -> Any:
        """As in the lowest cell."""
        return self._stack()[0].project(x)

    def advance(self, projected: Any, state: State, dt: Tensor | None = None) -> tuple[Tensor, tuple[State, ...]]:
        """The step of the lowest cell from what `project` gave, and those of the others."""
        cells = self._stack()
        y, after = cells[0].advance(projected, state[0])
        finals = [after]
        for cell, inner in zip(cells[1:], state[1:], strict=True):
            if self.dropout and self.training:
                y = F.dropout(y, self.dropout)
            y, after = cell.advance(cell.project(y), inner)
            finals.append(after)
        return y, tuple(finals)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for cell in self._stack():
            cell.reset_parameters()

    def _stack(self) -> list[Cell]:
        return list(self.cells)  # type: ignore[arg-type]
