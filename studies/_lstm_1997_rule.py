"""How far the compiled update of the memory cell blocks is from the library's rule on the same network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from _many_networks import ManyNetworks, first_weights, stream_of
from _memory_blocks import MemoryBlocks, Shape
from torch import Tensor, nn

from recurra.learn.rules import TruncatedRTRL


@dataclass(frozen=True)
class Sequence:
    """One sequence for the rule: x (time, 1, features) and the target at its end."""

    x: Tensor
    target: Tensor

    @property
    def steps(self) -> int:
        return len(self.x)

    @property
    def size(self) -> int:
        return 1

    def to(self, device: Any) -> Sequence:
        return self


class AtTheEnd(nn.Module):
    """A network of one seed with half the squared error at the last step, as rules take a learner."""

    def __init__(self, shape: Shape, seed: int):
        super().__init__()
        self.cell = MemoryBlocks(shape.inputs, shape.blocks, shape.size)
        cells, input_gates, output_gates, outputs = first_weights(shape, seed)
        hidden = torch.cat([cells, input_gates, output_gates])
        with torch.no_grad():
            self.cell.weight_ih.copy_(hidden[:, : shape.inputs])
            self.cell.weight_hh.copy_(hidden[:, shape.inputs : -1])
            self.cell.bias_ih.copy_(hidden[:, -1])
        self.outputs = nn.Parameter(outputs)

    def forward(self, batch: Sequence, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        state = self.cell.initial_state(1) if state is None else state
        loss = batch.x.new_zeros(())
        for t in range(start, stop):
            y, state = self.cell(batch.x[t], state)
            if t == batch.steps - 1:
                out = torch.sigmoid(nn.functional.linear(y, self.outputs[:, :-1], self.outputs[:, -1]))
                loss = 0.5 * (out - batch.target).square().sum()
        return loss, state


def difference_from_rule(shape: Shape) -> float:
    """The largest difference of one update from that by TruncatedRTRL, over the largest number in it.

    Args:
        shape: of the network, with all biases.
    """
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 1, shape.inputs, dtype=torch.float64, generator=generator)
    target = torch.rand(1, shape.outputs, dtype=torch.float64, generator=generator)
    networks = ManyNetworks.of_seeds(shape, [0], False, numbers=torch.float64)
    before = networks.weights
    networks.run(stream_of(x, target, torch.tensor([20]), 1.0, False).unsqueeze(2))
    moved = [(a - b)[0] for a, b in zip(before, networks.weights, strict=True)]

    rule, learner = TruncatedRTRL(), AtTheEnd(shape, 0)
    rule.step(learner, Sequence(x, target), rule.init(learner))  # type: ignore[arg-type]
    cell = learner.cell
    hidden = [cell.weight_ih.grad, cell.weight_hh.grad, cell.bias_ih.grad]
    assert all(part is not None for part in [*hidden, learner.outputs.grad])
    joined = torch.cat([part.view(shape.units, -1) for part in hidden if part is not None], 1)
    wanted = [*joined.split([shape.cells, shape.blocks, shape.blocks]), learner.outputs.grad]
    pairs = [(a, b) for a, b in zip(moved, wanted, strict=True) if b is not None]
    return max(float((a - b).abs().max()) for a, b in pairs) / max(float(b.abs().max()) for _, b in pairs)
