"""Memory cell blocks of 1997 that learn while they run: many networks side by side, one a lane of a vector."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from _memory_blocks import Shape
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.state import map_state

LANES = 16
"""Networks in a row of a state: as many as a vector of float32 numbers holds at most."""


class Weights(NamedTuple):
    """Weights from all that a unit sees, the bias last where there is one, each (rows, units, seen, lanes).

    Attributes:
        cells: into the memory cells.
        input_gates, output_gates: into the gates of each block.
        outputs: into the output units, from the cells.
    """

    cells: Any
    input_gates: Any
    output_gates: Any
    outputs: Any


class LearningState(NamedTuple):
    """Networks side by side, in the midst of a sequence.

    Attributes:
        sent: what cells, input gates and output gates sent at the last step, (rows, units, lanes).
        c: the memory cells, (rows, cells, lanes).
        by_cell: the derivative of each memory cell by its own weights, (rows, cells, seen, lanes).
        by_gate: the derivative of each memory cell by its input gate's weights, likewise.
        weights: of the networks.
        pending: the change that the sequence has called for so far, without the rate; () where only its last step does.
    """

    sent: Any
    c: Any
    by_cell: Any
    by_gate: Any
    weights: Any
    pending: Any


class LearningBlocks(Cell):
    """Networks of memory cell blocks with the truncated rule, as one cell: a step is a step of every network.

    Equations, for each lane by itself, with z_t = [x_t; u_{t-1}; 1] and u_{t-1} all cells', input and output gates'
    outputs of the step before:
        i = sigmoid(W_i z), o = sigmoid(W_o z), k = sigmoid(W_c z), g = 4 k - 2
        c_t = c_{t-1} + i g,  h = 2 sigmoid(c_t) - 1,  y = o h,  out = sigmoid(V [y; 1])
        C_t = C_{t-1} + 4 i k (1 - k) z',  G_t = G_{t-1} + g i (1 - i) z'   (dc/dW_c and dc/dW_i)
        e = (target - out) out (1 - out) at steps that have a target, 0 at others;  b = V' e
        the change called for: e [y; 1]' for V, b o h'(c) C for W_c, its sum with G over the block's cells for W_i,
        and o (1 - o) (sum of b h over the block's cells) z' for W_o.
    At a sequence's last step the weights change by the rate times the sum over the sequence; c, u, C and G become 0.

    Args:
        shape: of each network. Units are ordered as in `MemoryBlocks`.
        every_step: whether steps before a sequence's last one have targets.
        slope: whether e has the factor out (1 - out), as for the squared error, or not, as for the cross-entropy.

    Shapes:
        x (rows, (inputs + outputs + 3) lanes), lane by lane in the last place: x_t, the target, 1 where there is one,
        0 at a sequence's last step and 1 at others, and the rate at its last step and 0 at others.
        y (rows, outputs lanes): the output units, with the weights before the change.
    """

    def __init__(self, shape: Shape, every_step: bool, slope: bool = True) -> None:
        super().__init__((shape.inputs + shape.outputs + 3) * LANES, LANES, shape.outputs * LANES)
        self.sizes = (shape.inputs, shape.blocks, shape.size, shape.outputs)
        self.seen = (shape.seen(bias=shape.biases in ("hidden", "all")), shape.seen(bias=shape.biases != "none"))
        self.read = shape.cells + (shape.biases == "all")
        self.every_step, self.slope = every_step, slope

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LearningState:
        """Zeros, the weights too."""
        _, blocks, size, outputs = self.sizes
        cells, (by_cell, by_gate) = blocks * size, self.seen
        gates = (blocks, by_gate)
        table: Any = (((size + 2) * blocks,), (cells,), (cells, by_cell), (cells, by_gate))

        def zeros(shape: tuple[int, ...]) -> Tensor:
            return torch.zeros(batch_size, *shape, LANES, dtype=dtype or torch.float32, device=device)

        weights = Weights(*map(zeros, ((cells, by_cell), gates, gates, (outputs, self.read))))
        pending = map_state(torch.zeros_like, weights) if self.every_step else ()
        sent, c, by_its_own, by_its_gate = map(zeros, table)
        return LearningState(sent, c, by_its_own, by_its_gate, weights, pending)

    def advance(self, projected: Tensor, state: LearningState) -> tuple[Tensor, LearningState]:
        """One step of every network."""
        # Without a gradient through the step, whose graph would double the time that it takes to compile it.
        state = map_state(Tensor.detach, state)
        inputs, blocks, size, outputs = self.sizes
        rows = projected.detach().unflatten(-1, (-1, LANES))
        x, target, wanted, keep, rate = rows.split([inputs, outputs, 1, 1, 1], -2)
        one, weights = torch.ones_like(wanted), state.weights
        seen = torch.cat([x, state.sent, one], -2)

        k, i, o = (torch.sigmoid(weighted(each, seen)) for each in weights[:3])
        into, opening = of_cells(i, size), of_cells(o, size)
        g = 4.0 * k - 2.0
        c = state.c + into * g
        squashed = torch.sigmoid(c)
        h = 2.0 * squashed - 1.0
        y = opening * h
        read = torch.cat([y, one], -2)
        out = torch.sigmoid(weighted(weights.outputs, read))

        by_cell = state.by_cell + outer(4.0 * into * k * (1.0 - k), seen, self.seen[0])
        by_gate = state.by_gate + outer(g * into * (1.0 - into), seen, self.seen[1])
        e = (target - out) * wanted
        e = e * out * (1.0 - out) if self.slope else e
        back = weights.outputs[..., 0, : blocks * size, :] * e[..., :1, :]
        for n in range(1, outputs):
            back = back + weights.outputs[..., n, : blocks * size, :] * e[..., n : n + 1, :]
        to_cell = (2.0 * opening * squashed * (1.0 - squashed) * back).unsqueeze(-2)
        change = Weights(
            to_cell * by_cell,
            of_blocks(to_cell * by_gate, blocks, -3),
            outer(of_blocks(back * h, blocks, -2) * o * (1.0 - o), seen, self.seen[1]),
            outer(e, read, self.read),
        )

        keep_all, rate = keep.unsqueeze(-2), rate.unsqueeze(-2)
        pending = map_state(torch.add, state.pending, change) if self.every_step else change
        weights = map_state(lambda weight, called: weight + rate * called, weights, pending)
        pending = map_state(lambda called: called * keep_all, pending) if self.every_step else ()
        sent = torch.cat([y, i, o], -2) * keep
        after = LearningState(sent, c * keep, by_cell * keep_all, by_gate * keep_all, weights, pending)
        return out.flatten(-2), after


def weighted(weight: Tensor, seen: Tensor) -> Tensor:
    """The sum of what units see, each lane with its own weights (rows, units, seen, lanes); term by term, as the
    engine compiles work on single numbers."""
    total = weight[..., 0, :] * seen[..., :1, :]
    for n in range(1, weight.shape[-2]):
        total = total + weight[..., n, :] * seen[..., n : n + 1, :]
    return total


def outer(unit: Tensor, seen: Tensor, most: int) -> Tensor:
    """Numbers of units times the first numbers that are seen, (rows, units, seen, lanes)."""
    return unit.unsqueeze(-2) * seen[..., :most, :].unsqueeze(-3)


def of_cells(gate: Tensor, size: int) -> Tensor:
    """Each cell's gate from each block's."""
    return torch.cat([gate] * size, -2) if size > 1 else gate


def of_blocks(cells: Tensor, blocks: int, dim: int) -> Tensor:
    """The sum over each block's cells."""
    first, *others = cells.split(blocks, dim)
    for each in others:
        first = first + each
    return first
