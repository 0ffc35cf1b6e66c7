"""Memory cell blocks as they were in 1997."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.lstm import LSTMState

NUMBERS = torch.float64


@dataclass(frozen=True)
class Shape:
    """One network: its sizes, which units have a bias, and the first weights.

    Attributes:
        inputs, blocks, size, outputs: features, memory cell blocks, memory cells in each, output units.
        biases: "none", "gates", "hidden" (gates and cells) or "all" (output units too).
        scale: weights are drawn uniform in +-scale, and so are biases that have no first value.
        input_gates, output_gates: first values of the biases of each block's gates; empty where they are drawn.
    """

    inputs: int
    blocks: int
    size: int
    outputs: int
    biases: str
    scale: float
    input_gates: tuple[float, ...] = ()
    output_gates: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        return self.blocks * self.size

    @property
    def units(self) -> int:
        """Hidden units: memory cells and gates, all of which every gate and cell sees."""
        return self.cells + 2 * self.blocks

    def seen(self, bias: bool) -> int:
        """Numbers that a gate or a cell sees, with the 1 of a bias or without."""
        return self.inputs + self.units + int(bias)

    @property
    def weights(self) -> int:
        """Number of weights, biases included."""
        hidden = self.units * (self.inputs + self.units) + self.outputs * self.cells
        biased = {"none": 0, "gates": 2 * self.blocks, "hidden": self.units, "all": self.units + self.outputs}
        return hidden + biased[self.biases]


class MemoryBlocks(Cell):
    """Memory cell blocks without forget gates, whose gates and cells see all gates and cells of the step before.

    Equations:
        u_{t-1} = the outputs of all cells, input gates and output gates
        i_t = sigmoid(W_i x_t + R_i u_{t-1} + b_i), o_t likewise: one of each for a block
        c_t = c_{t-1} + i_t (4 sigmoid(W_c x_t + R_c u_{t-1} + b_c) - 2)
        y_t = o_t (2 sigmoid(c_t) - 1)

    u_{t-1} is taken as a constant by the gradient, which makes back-propagation through time the truncated rule.
    Units are ordered (first cell of each block, second cell of each block, ..., input gates, output gates).
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor

    def __init__(self, inputs: int, blocks: int, size: int):
        super().__init__(inputs, (size + 2) * blocks, size * blocks)
        self.blocks, self.size = blocks, size
        units = self.hidden_size
        self._weights(True, None, NUMBERS, weight_ih=(units, inputs), weight_hh=(units, units), bias_ih=(units,))

    def initial_state(self, batch_size: int, *, dtype: torch.dtype | None = None, device: object = None) -> LSTMState:
        """Zeros."""
        return LSTMState(
            self._zeros(batch_size, self.hidden_size, dtype, device),
            self._zeros(batch_size, self.output_size, dtype, device),
        )

    def project(self, x: Tensor) -> Tensor:
        """W x + b."""
        return nn.functional.linear(x, self.weight_ih, self.bias_ih)

    def advance(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """The step from W x + b on."""
        net = projected + self.recur(state.h.detach(), self.weight_hh)
        into, i, o = net.split([self.output_size, self.blocks, self.blocks], -1)
        i, o = torch.sigmoid(i), torch.sigmoid(o)
        c = state.c + torch.cat([i] * self.size, -1) * (2.0 * torch.tanh(0.5 * into))
        y = torch.cat([o] * self.size, -1) * torch.tanh(0.5 * c)
        return y, LSTMState(torch.cat([y, i, o], -1), c)
