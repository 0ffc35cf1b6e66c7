"""Reservoirs made of reservoirs: one above another, and side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.errors import UsageError
from recurra.types import State


class DeepReservoir(Cell):
    """Reservoirs on top of one another, as one cell that shows the units of all layers.

    Equations:
        h^l_t = reservoir_l(h^{l-1}_t, h^l_{t-1}),  h^0_t = x_t,  y_t = [h^1_t; ...; h^L_t];
        with `inputs_to_all` a layer above the first reads [x_t; h^{l-1}_t].

    Args:
        cells: from the lowest to the highest, any cells; each reads what the one below gives.
        inputs_to_all: whether the layers above the first read the input too.

    Shapes:
        x (batch, input_size) of the lowest cell, y (batch, sum of the cells' output sizes); the state is a tuple with
        one entry a cell.

    Raises:
        UsageError: there is no cell, or one does not fit on the one below.
        ShapeError: x or the state does not fit.

    Reference:
        C. Gallicchio, A. Micheli, L. Pedrelli. Deep reservoir computing: a critical experimental analysis.
        Neurocomputing 268 (2017) 87-99.

    Example:
        >>> import torch
        >>> from recurra.reservoir import EchoState
        >>> cell = DeepReservoir([EchoState(2, 30), EchoState(30, 20)])
        >>> y, state = cell(torch.zeros(4, 2), cell.initial_state(4))
        >>> y.shape, len(state)
        (torch.Size([4, 50]), 2)
    """

    def __init__(self, cells: Sequence[Cell], inputs_to_all: bool = False):
        cells = check_cells(cells, "DeepReservoir")
        more = cells[0].input_size if inputs_to_all else 0
        for number, (below, above) in enumerate(zip(cells, cells[1:], strict=False)):
            if above.input_size != below.output_size + more:
                raise UsageError(
                    f"cell {number + 1} has input_size {above.input_size}",
                    where="DeepReservoir",
                    need=f"{below.output_size + more}, the output_size of cell {number}"
                    + (" and the inputs" if more else ""),
                )
        units = sum(cell.output_size for cell in cells)
        super().__init__(cells[0].input_size, units, units)
        self.inputs_to_all = bool(inputs_to_all)
        self.cells = nn.ModuleList(cells)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> tuple[State, ...]:
        """One entry a cell."""
        return first_states(self.cells, batch_size, dtype, device)

    def advance(self, projected: Tensor, state: State) -> tuple[Tensor, tuple[State, ...]]:
        """The step of all cells, from the lowest."""
        outputs: list[Tensor] = []
        after: list[State] = []
        read = projected
        for cell, before in zip(self.cells, state, strict=True):
            y, inner = cell.advance(cell.project(read), before)  # type: ignore[operator]
            outputs.append(y)
            after.append(inner)
            read = torch.cat([projected, y], -1) if self.inputs_to_all else y
        return torch.cat(outputs, -1), tuple(after)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for cell in self.cells:
            cell.reset_parameters()  # type: ignore[operator]


class ParallelReservoir(Cell):
    """Reservoirs side by side, as one cell that shows the units of all.

    Equations:
        h^k_t = reservoir_k(x_t[reads_k], h^k_{t-1}),  y_t = [h^1_t; ...; h^K_t].

    With `reads` each reservoir sees a part of the inputs: its neighbourhood in space, say.

    Args:
        cells: any cells.
        input_size: features of x; that of the cells where `reads` is absent.
        reads: for each cell the numbers of the inputs that it reads; all when absent.

    Shapes:
        x (batch, input_size), y (batch, sum of the cells' output sizes); the state is a tuple with one entry a cell.

    Raises:
        UsageError: there is no cell, or `reads` does not fit the cells.
        ShapeError: x or the state does not fit.

    Differs from the paper: there each reservoir has a readout of its own for its own part of space; here one readout
    sees all reservoirs.

    Reference:
        J. Pathak, B. Hunt, M. Girvan, Z. Lu, E. Ott. Model-free prediction of large spatiotemporally chaotic systems
        from data: a reservoir computing approach. Physical Review Letters 120 (2018) 024102.

    Example:
        >>> import torch
        >>> from recurra.reservoir import EchoState
        >>> cell = ParallelReservoir([EchoState(2, 30), EchoState(2, 20)], input_size=3, reads=[[0, 1], [1, 2]])
        >>> cell(torch.zeros(4, 3), cell.initial_state(4))[0].shape
        torch.Size([4, 50])
    """

    def __init__(
        self, cells: Sequence[Cell], input_size: int | None = None, reads: Sequence[Sequence[int]] | None = None
    ):
        where = "ParallelReservoir"
        cells = check_cells(cells, where)
        inputs = cells[0].input_size if input_size is None else input_size
        if reads is not None and len(reads) != len(cells):
            raise UsageError(f"reads has {len(reads)} entries", where=where, need=f"{len(cells)}, one for each cell")
        for number, cell in enumerate(cells):
            own = list(range(inputs)) if reads is None else list(reads[number])
            if len(own) != cell.input_size or not all(0 <= place < inputs for place in own):
                raise UsageError(
                    f"cell {number} has input_size {cell.input_size} and is to read the inputs {own!r:.60}",
                    where=where,
                    need=f"as many inputs as its input_size, from 0 to {inputs - 1}",
                )
        units = sum(cell.output_size for cell in cells)
        super().__init__(inputs, units, units)
        self.cells = nn.ModuleList(cells)
        self.whole = reads is None
        for number, part in enumerate(reads or []):
            self.register_buffer(f"reads_{number}", torch.tensor(list(part)))

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> tuple[State, ...]:
        """One entry a cell."""
        return first_states(self.cells, batch_size, dtype, device)

    def advance(self, projected: Tensor, state: State) -> tuple[Tensor, tuple[State, ...]]:
        """The step of all cells."""
        outputs: list[Tensor] = []
        after: list[State] = []
        for number, (cell, before) in enumerate(zip(self.cells, state, strict=True)):
            read = projected if self.whole else projected.index_select(-1, getattr(self, f"reads_{number}"))
            y, inner = cell.advance(cell.project(read), before)  # type: ignore[operator]
            outputs.append(y)
            after.append(inner)
        return torch.cat(outputs, -1), tuple(after)

    def reset_parameters(self) -> None:
        """Draw all weights anew."""
        for cell in self.cells:
            cell.reset_parameters()  # type: ignore[operator]


def check_cells(cells: Sequence[Cell], where: str) -> list[Cell]:
    """At least one cell, and nothing else."""
    cells = list(cells)
    if not cells or not all(isinstance(cell, Cell) for cell in cells):
        raise UsageError(f"cells is {cells!r:.60}", where=where, need="at least one Cell, and nothing else")
    return cells


def first_states(cells: Any, batch_size: int, dtype: Any, device: Any) -> tuple[State, ...]:
    """The first states of several cells."""
    return tuple(cell.initial_state(batch_size, dtype=dtype, device=device) for cell in cells)
