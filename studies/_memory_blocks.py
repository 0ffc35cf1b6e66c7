"""Networks of memory cell blocks as they were in 1997, many of one shape, one a seed, run as one network."""

from __future__ import annotations

from collections.abc import Sequence
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


class ManyNetworks(nn.Module):
    """Networks of one shape, one a seed, that see nothing of each other.

    Weights between the cells of different seeds are 0 and stay so; the sum of the seeds' losses then trains each as it
    would be trained alone. Each seed's first weights come from its own generator.
    """

    def __init__(self, shape: Shape, seeds: Sequence[int]):
        super().__init__()
        count = len(seeds)
        self.shape, self.count = shape, count
        self.cell = MemoryBlocks(count * shape.inputs, count * shape.blocks, shape.size)
        self.read = nn.Parameter(torch.zeros(count, shape.outputs, shape.cells, dtype=NUMBERS))
        self.bias = nn.Parameter(torch.zeros(count, shape.outputs, dtype=NUMBERS), requires_grad=shape.biases == "all")
        # Every unit's seed, every input's seed, and which weights and biases there are at all.
        of_unit = torch.arange(count).repeat_interleave(shape.blocks).repeat(shape.size + 2)
        of_input = torch.arange(count).repeat_interleave(shape.inputs)
        self.own_units = (of_unit[:, None] == of_unit).to(NUMBERS)
        self.own_inputs = (of_unit[:, None] == of_input).to(NUMBERS)
        gate = torch.arange(len(of_unit)) >= count * shape.cells
        self.biased = {"none": gate & False, "gates": gate, "hidden": gate | True, "all": gate | True}[shape.biases].to(
            NUMBERS
        )
        with torch.no_grad():
            for parameter in self.cell.parameters():
                parameter.zero_()
            for place, seed in enumerate(seeds):
                self._draw(place, torch.Generator().manual_seed(seed))

    def _draw(self, place: int, generator: torch.Generator) -> None:
        shape = self.shape

        def drawn(*size: int) -> Tensor:
            return shape.scale * (2 * torch.rand(size, dtype=NUMBERS, generator=generator) - 1)

        units = self.units_of(place)
        first = place * shape.inputs
        self.cell.weight_ih[units, first : first + shape.inputs] = drawn(shape.units, shape.inputs)
        self.cell.weight_hh[units[:, None], units] = drawn(shape.units, shape.units)
        bias = drawn(shape.units)
        if shape.input_gates:
            bias[shape.cells : shape.cells + shape.blocks] = torch.tensor(shape.input_gates, dtype=NUMBERS)
        if shape.output_gates:
            bias[shape.cells + shape.blocks :] = torch.tensor(shape.output_gates, dtype=NUMBERS)
        self.cell.bias_ih[units] = bias * self.biased[units]
        self.read[place] = drawn(shape.outputs, shape.cells)
        if shape.biases == "all":
            self.bias[place] = drawn(shape.outputs)

    def units_of(self, place: int) -> Tensor:
        """Where one network's hidden units stand among all."""
        blocks = self.shape.blocks
        return torch.cat(
            [torch.arange(blocks) + (part * self.count + place) * blocks for part in range(self.shape.size + 2)]
        )

    def alone(self, place: int) -> ManyNetworks:
        """A copy of one of the networks."""
        made = ManyNetworks(self.shape, [0])
        units, first = self.units_of(place), place * self.shape.inputs
        with torch.no_grad():
            made.cell.weight_ih.copy_(self.cell.weight_ih[units, first : first + self.shape.inputs])
            made.cell.weight_hh.copy_(self.cell.weight_hh[units[:, None], units])
            made.cell.bias_ih.copy_(self.cell.bias_ih[units])
            made.read[0] = self.read[place]
            made.bias[0] = self.bias[place]
        return made

    def outputs(self, y: Tensor) -> Tensor:
        """Output units (..., seed, output) from the cells' outputs (..., cells of all)."""
        of_seed = y.unflatten(-1, (self.shape.size, self.count, self.shape.blocks)).movedim(-2, -3).flatten(-2)
        return torch.sigmoid(torch.einsum("...sc,soc->...so", of_seed, self.read) + self.bias)

    def descend(self, rate: float) -> None:
        """One step of plain gradient descent by the gradients of all weights there are."""
        cell = self.cell
        with torch.no_grad():
            for weight, there in (
                (cell.weight_ih, self.own_inputs),
                (cell.weight_hh, self.own_units),
                (cell.bias_ih, self.biased),
            ):
                assert weight.grad is not None
                weight.addcmul_(weight.grad, there, value=-rate)
                weight.grad = None
            for weight in (self.read, self.bias):
                if weight.grad is not None:
                    weight.add_(weight.grad, alpha=-rate)
                    weight.grad = None
