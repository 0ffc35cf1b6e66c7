"""Many networks of memory cell blocks, one a seed, that learn side by side by the compiled truncated rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from _learning_blocks import LANES, LearningBlocks, LearningState, Weights
from _memory_blocks import Shape
from torch import Tensor

from recurra.cells.state import map_state
from recurra.engine import run_fused


def rows_of(count: int) -> int:
    """Rows of lanes that so many networks take."""
    return -(-count // LANES)


def in_lanes(part: Tensor) -> Tensor:
    """(networks, numbers ...) as (rows, numbers ..., lanes); lanes without a network hold zeros."""
    rows = rows_of(len(part))
    filled = torch.cat([part, part.new_zeros(rows * LANES - len(part), *part.shape[1:])])
    return filled.view(rows, LANES, *part.shape[1:]).movedim(1, -1).contiguous()


def out_of_lanes(part: Tensor, count: int) -> Tensor:
    """The way back."""
    return part.movedim(-1, 1).flatten(0, 1)[:count]


def first_weights(shape: Shape, seed: int) -> Weights:
    """A network's weights before it learns, (units, seen), drawn in float64."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*size: int) -> Tensor:
        return shape.scale * (2 * torch.rand(size, dtype=torch.float64, generator=generator) - 1)

    into = torch.cat([drawn(shape.units, shape.inputs), drawn(shape.units, shape.units)], 1)
    bias = drawn(shape.units)
    parts = [shape.cells, shape.blocks, shape.blocks]
    of_cells, of_input_gates, of_output_gates = bias.split(parts)
    if shape.input_gates:
        of_input_gates.copy_(torch.tensor(shape.input_gates))
    if shape.output_gates:
        of_output_gates.copy_(torch.tensor(shape.output_gates))
    outputs = drawn(shape.outputs, shape.cells)
    cells, input_gates, output_gates = torch.cat([into, bias.unsqueeze(1)], 1).split(parts)
    if shape.biases not in ("hidden", "all"):
        cells = cells[:, :-1]
    if shape.biases == "none":
        input_gates, output_gates = input_gates[:, :-1], output_gates[:, :-1]
    if shape.biases == "all":
        outputs = torch.cat([outputs, drawn(shape.outputs).unsqueeze(1)], 1)
    return Weights(cells, input_gates, output_gates, outputs)


class ManyNetworks:
    """Networks of one shape that see nothing of each other, in the midst of their sequences.

    Args:
        shape: of each.
        weights: of each, (networks, units, seen).
        every_step, slope: as in `LearningBlocks`.
        numbers: the number format.
    """

    def __init__(
        self,
        shape: Shape,
        weights: Weights,
        every_step: bool,
        slope: bool = True,
        numbers: torch.dtype = torch.float32,
    ) -> None:
        self.shape, self.numbers, self.count = shape, numbers, len(weights.cells)
        self.cell = LearningBlocks(shape, every_step, slope)
        given = map_state(lambda part: in_lanes(part.to(numbers)), weights)
        self.state: LearningState = self.cell.initial_state(len(given.cells), dtype=numbers)._replace(weights=given)

    @classmethod
    def of_seeds(cls, shape: Shape, seeds: Sequence[int], *settings: Any, **named: Any) -> ManyNetworks:
        """New networks, one a seed."""
        weights = map_state(lambda *each: torch.stack(each), *(first_weights(shape, seed) for seed in seeds))
        return cls(shape, weights, *settings, **named)

    @property
    def weights(self) -> Weights:
        """As they are now, (networks, units, seen)."""
        return map_state(lambda part: out_of_lanes(part, self.count), self.state.weights)

    def run(self, stream: Tensor) -> Tensor:
        """Read on and learn.

        Args:
            stream: (steps, inputs + outputs + 3, networks), for each network what `LearningBlocks` reads.

        Returns:
            the output units, (steps, outputs, networks).
        """
        steps, _, count = stream.shape
        rows = rows_of(count)
        x = stream.to(self.numbers)
        if count < rows * LANES:
            x = torch.nn.functional.pad(x, (0, rows * LANES - count))
        x = x.unflatten(-1, (rows, LANES)).transpose(1, 2).flatten(2)
        with torch.no_grad():
            found = run_fused(self.cell, x, self.state, None, None, False)
        assert not isinstance(found, str), found
        y, self.state = found
        return y.view(steps, rows, -1, LANES).transpose(1, 2).flatten(2)[..., :count]

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the networks alone."""
        chosen = torch.tensor(list(places))
        self.state = map_state(lambda part: in_lanes(out_of_lanes(part, self.count)[chosen]), self.state)
        self.count = len(chosen)

    def copies(self, places: Sequence[int]) -> ManyNetworks:
        """Copies of networks, as often as they are named, at the start of a sequence."""
        chosen = torch.tensor(list(places))
        weights = map_state(lambda part: part[chosen], self.weights)
        return ManyNetworks(self.shape, weights, self.cell.every_step, self.cell.slope, self.numbers)


def stream_of(x: Tensor, target: Tensor, lengths: Tensor, rate: float, every_step: bool) -> Tensor:
    """Sequences one after the other, as a network reads them.

    Args:
        x: (time, batch, inputs).
        target: (time, batch, outputs) with a target at every step, else (batch, outputs) for the last.
        lengths: (batch,).
        rate: by which the weights change after each; 0 to hold them.
        every_step: which of both the target is.

    Returns:
        (sum of lengths, inputs + outputs + 3).
    """
    time, batch, inputs = x.shape
    last = lengths.cumsum(0) - 1
    # Where each step of each sequence stands in the batch.
    first = torch.arange(batch) - (last + 1 - lengths) * batch
    rows = torch.arange(int(lengths.sum())) * batch + first.repeat_interleave(lengths)
    stream = x.new_zeros(len(rows), inputs + target.shape[-1] + 3)
    stream[:, :inputs] = x.reshape(time * batch, inputs).index_select(0, rows)
    if every_step:
        stream[:, inputs:-3] = target.reshape(time * batch, -1).index_select(0, rows)
        stream[:, -3] = 1.0
    else:
        stream[last, inputs:-3] = target.to(x.dtype)
        stream[last, -3] = 1.0
    stream[:, -2] = 1.0
    stream[last, -2] = 0.0
    stream[last, -1] = rate
    return stream


class Streams:
    """Endless streams, one a network, read a stretch of equal length at a time.

    Args:
        draws: for each network a function that gives more sequences, as `stream_of` lays them out.
    """

    def __init__(self, draws: Sequence[Any]) -> None:
        self.draws = list(draws)
        self.left = [draw() for draw in self.draws]

    def read(self, steps: int) -> Tensor:
        """The next steps of all, (steps, features, networks)."""
        for place, draw in enumerate(self.draws):
            while len(self.left[place]) < steps:
                self.left[place] = torch.cat([self.left[place], draw()])
        # numpy turns the numbers of a network from rows into columns in a third of torch's time.
        rows = np.stack([left[:steps].numpy() for left in self.left])
        self.left = [left[steps:] for left in self.left]
        return torch.from_numpy(rows.reshape(len(rows), -1).T.copy()).unflatten(0, (steps, -1))

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the networks alone."""
        self.draws = [self.draws[place] for place in places]
        self.left = [self.left[place] for place in places]


def ends(stream: Tensor) -> Tensor:
    """Where sequences end, (steps, networks)."""
    return stream[:, -2] == 0


def together(streams: Sequence[Tensor]) -> Tensor:
    """Streams of different lengths side by side, (steps, features, networks), with steps of nothing at the ends."""
    longest = max(len(stream) for stream in streams)
    nothing = streams[0].new_zeros(streams[0].shape[1])
    nothing[-2] = 1.0
    return torch.stack([torch.cat([each, nothing.expand(longest - len(each), -1)]) for each in streams], 2)
