"""A compiled cell step by step: memory, weights and pointers are made ready once, and a step is one call."""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.engine.kernel import Kernel
from recurra.engine.survey import weight_table
from recurra.native.crew import single_job
from recurra.types import State


class CellStream:
    """One cell at one stream of inputs.

    Args:
        kernel: made for the cell's structure.
        cell: holds the weights.
        state: before the first step; gives the number of sequences.
    """

    def __init__(self, kernel: Kernel, cell: Cell, state: State):
        self.kernel, self.weights, self.like = kernel, list(weight_table(cell).values()), state
        batch = state_tensors(state)[0].shape[0]
        self.batch, self.place = batch, 0
        self.x = torch.zeros(1, batch, cell.input_size, dtype=kernel.dtype)
        self.states = [kernel.new(2, batch, part[0].numel()) for part in state_tensors(state)]
        self.outputs: list[Tensor] = []
        self.jobs: list[Any] = []
        self.set_state(state)
        self.refresh()

    def refresh(self) -> None:
        """Take the weights as they are now."""
        kernel, plan = self.kernel, self.kernel.plan
        buffers = {"x": self.x}
        for k, both in enumerate(self.states):
            buffers[f"s{k}"] = buffers[f"n{k}"] = both
        if plan.output_from is None:
            buffers["y"] = kernel.new(1, self.batch, kernel.output_size)
        self.seen = [weight._version for weight in self.weights]
        with torch.no_grad():
            call = kernel.call("stream", False, False, buffers, kernel.parameters.sources(self.weights), self.batch)
        self.held, self.jobs, self.outputs = call, [], []
        for place in (0, 1):
            table = (ctypes.c_void_p * len(call.starts))(*call.starts)
            for name, number in call.local.items():
                if name[0] in "sn" and place:
                    # The last state stands second, and the next one first.
                    size = self.states[int(name[1:])][0].numel() * self.x.element_size()
                    table[number] = call.starts[number] + (size if name[0] == "s" else -size)
            self.jobs.append((single_job(call.address, table, self.batch), table))
            known = plan.output_from
            self.outputs.append(buffers["y"][0] if known is None else self.states[known][1 - place])

    def step(self, x: Tensor) -> Tensor:
        """One step: the output, from x (batch, input_size)."""
        if [weight._version for weight in self.weights] != self.seen:
            self.refresh()
        self.x.copy_(x)
        place = self.place
        self.place = 1 - place
        self.jobs[place][0]()
        return self.outputs[place].clone()

    def state(self) -> State:
        """The state after the last step."""
        parts = iter([both[self.place].clone() for both in self.states])
        return map_state(lambda part: next(parts).view(part.shape), self.like)

    def set_state(self, state: State) -> None:
        """Go on from a state."""
        for both, part in zip(self.states, state_tensors(state), strict=True):
            both[self.place].copy_(part.flatten(1))
