"""A cell with a linear readout that it reads itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.nonlinearity import NONLINEARITIES
from recurra.cells.time_step import check_choice
from recurra.errors import ShapeError, UsageError
from recurra.types import State


class ClosedLoopState(NamedTuple):
    """The state of a cell that reads its own readout.

    Attributes:
        cell: the cell's state.
        output: the last output z, (batch, outputs).
    """

    cell: State
    output: Tensor


class ClosedLoop(Cell):
    """A cell that reads its own last output, as a cell: a generator of sequences.

    Equations:
        (y_t, s_t) = cell([u_t, scale z_{t-1}], s_{t-1});  z_t = W r(y_t) + b.

    The cell's last inputs are those for the feedback, so that its input weights for them are the feedback weights; what
    comes before them are external inputs u.

    Args:
        cell: any cell that has one input for each output, and more for external inputs.
        weight: W.
        bias: b; none when absent.
        rates: r, "linear" (the cell's outputs as they are), "tanh" or "sigmoid".
        scale: what the outputs are multiplied with on their way back.

    Shapes:
        W (outputs, cell.output_size), b (outputs,); x (batch, external inputs), or, where there are none, (batch, 1): a
        column that is not read; z (batch, outputs).

    Raises:
        UsageError: the cell has fewer inputs than there are outputs, or `rates` is none of those.
        ShapeError: W or b does not fit the cell.

    Example:
        >>> from recurra.cells import Elman
        >>> from recurra.unroll import unroll
        >>> loop = ClosedLoop(Elman(1, 4), torch.ones(1, 4))
        >>> z, state = unroll(loop, torch.zeros(10, 2, loop.input_size))
        >>> z.shape, state.output.shape
        (torch.Size([10, 2, 1]), torch.Size([2, 1]))
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self, cell: Cell, weight: Tensor, bias: Tensor | None = None, rates: str = "linear", scale: float = 1.0
    ):
        check_choice(rates, "rates", ("linear", "tanh", "sigmoid"), "ClosedLoop")
        if weight.dim() != 2 or weight.shape[1] != cell.output_size:
            need = f"(outputs, {cell.output_size}), as the cell's output_size is {cell.output_size}"
            raise ShapeError(f"weight has shape {tuple(weight.shape)}", where="ClosedLoop", need=need)
        outputs = weight.shape[0]
        if bias is not None and bias.shape != (outputs,):
            raise ShapeError(f"bias has shape {tuple(bias.shape)}", where="ClosedLoop", need=f"({outputs},)")
        self_external = check_feedback(cell, outputs, "ClosedLoop")
        super().__init__(max(self_external, 1), cell.hidden_size, outputs)
        self.cell, self.external = cell, self_external
        self.rates, self.scale = rates, float(scale)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def initial_state(
        self, batch_size: int, *, dtype: torch.dtype | None = None, device: Any = None
    ) -> ClosedLoopState:
        """The cell's own, and outputs of zero."""
        inner = self.cell.initial_state(batch_size, dtype=dtype, device=device)
        return ClosedLoopState(inner, self._zeros(batch_size, self.output_size, dtype, device))

    def advance(self, projected: Tensor, state: Any, dt: Tensor | None = None) -> tuple[Tensor, ClosedLoopState]:
        """The whole step."""
        back = self.scale * state.output
        x = torch.cat([projected, back], -1) if self.external else back
        y, inner = self.cell.advance(self.cell.project(x), state.cell)
        z = F.linear(NONLINEARITIES[self.rates](y), self.weight, self.bias)
        return z, ClosedLoopState(inner, z)


def check_feedback(cell: Cell, outputs: int, where: str) -> int:
    """The number of external inputs beside those for the feedback, or a UsageError."""
    if cell.input_size < outputs:
        raise UsageError(
            f"the cell has {cell.input_size} inputs for {outputs} outputs",
            where=where,
            need="an input for each output that is fed back, after the external inputs",
            cure=f"build the cell with input_size={outputs} or more",
        )
    return cell.input_size - outputs
