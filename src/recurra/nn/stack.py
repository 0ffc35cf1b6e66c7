"""Running a stack of cells over sequences: layers, directions, what stands between layers, and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.nn.drive import drive
from recurra.nn.first_state import FirstState
from recurra.nn.noise import Noise, check_used, drop, noisy
from recurra.types import State
from recurra.unroll import within_lengths


@dataclass(frozen=True)
class Stack:
    """Cells in layers, and what goes with them.

    Attributes:
        cells: one a layer and direction, layer by layer, forward before reverse.
        directions: 1, or 2 for both; the outputs of both directions are joined, forward first.
        norms: one a layer, or none: what the output of a layer goes through.
        joints: one a layer, or none: joins what a layer reads and what it gives.
        firsts: one a cell, or none: learned states before the first step.
        noise: what is drawn at random.
        training: whether it is drawn.
        backend: "auto", "fused" or "reference"; see `Recurrent`.
        checkpoint: as in `unroll`.
        where: whose stack it is, for messages.
    """

    cells: Sequence[Cell]
    directions: int = 1
    norms: Sequence[nn.Module] = ()
    joints: Sequence[nn.Module] = ()
    firsts: Sequence[FirstState] = ()
    noise: Noise = field(default_factory=Noise)
    training: bool = False
    backend: str = "auto"
    checkpoint: bool | int = False
    where: str = "stack"

    @property
    def drawn(self) -> Noise:
        """The noise of this call."""
        return self.noise if self.training else self.noise.in_evaluation()

    def start(self, index: int, x: Tensor) -> State:
        """The state of cell `index` before the first step, for the batch of x (..., batch, features)."""
        like = self.cells[index].initial_state(x.shape[-2], dtype=x.dtype, device=x.device)
        return self.firsts[index].state(like) if self.firsts else like

    def join(self, layer: int, x: Tensor, y: Tensor) -> Tensor:
        """What the layer above reads, from what a layer read and gave."""
        if self.norms:
            y = self.norms[layer](y)
        return self.joints[layer](x, y) if self.joints else y


def run_stack(
    stack: Stack,
    x: Tensor,
    states: Sequence[Any] | None = None,
    *,
    lengths: Tensor | None = None,
    mask: Tensor | None = None,
    reset: Tensor | None = None,
    dt: Tensor | float | None = None,
    all_states: bool = False,
) -> tuple[Tensor, tuple[State, ...], tuple[State, ...]]:
    """Run a stack over x (time, batch, features).

    Args:
        stack: the cells and what goes with them.
        x: the sequences.
        states: one a cell, or None for the first states; single entries may be None.
        lengths, mask, dt: as in `unroll`.
        reset: as in `unroll`. It parts a sequence in two for both directions: the forward direction begins anew at that
            step, the reverse direction at the step before it.
        all_states: whether the third result holds the states after every step.

    Returns:
        `(y, states, all)`: y (time, batch, features) of the last layer, one state a cell, and all states or nothing.
    """
    noise, layers = stack.drawn, len(stack.cells) // stack.directions
    read = None
    if stack.norms or stack.joints:
        read = mask
        if lengths is not None:
            within = within_lengths(lengths, x.shape[0])
            read = within if read is None else read & within
    if read is not None:
        # What stands between layers works on all steps, and padding may hold anything, NaN too.
        x = torch.where(read.unsqueeze(-1), x, torch.zeros_like(x))
    x = drop(x, noise.inputs, noise.variational)
    finals, every = [], []
    for layer in range(layers):
        outputs = []
        for direction in range(stack.directions):
            index = layer * stack.directions + direction
            where = f"{stack.where}, cell {index}"
            cell, masks = noisy(stack.cells[index], noise, stack.training)
            y, final, passed = drive(
                cell,
                x,
                None if states is None else states[index],
                stack.start(index, x) if stack.firsts else None,
                lengths=lengths,
                mask=mask,
                reset=_resets_backwards(reset) if direction else reset,
                dt=dt if cell.continuous_time else None,
                reverse=direction == 1,
                backend=stack.backend,
                all_states=all_states,
                checkpoint=stack.checkpoint,
                where=where,
            )
            if len(x):
                check_used(stack.cells[index], masks, where)
            outputs.append(y)
            finals.append(final)
            every.append(passed)
        y = outputs[0] if stack.directions == 1 else torch.cat(outputs, dim=-1)
        x = stack.join(layer, x, y)
        if read is not None:
            x = torch.where(read.unsqueeze(-1), x, torch.zeros_like(x))
        if layer + 1 < layers:
            x = drop(x, noise.between, noise.variational)
    return x, tuple(finals), tuple(every) if all_states else ()


def step_stack(stack: Stack, x: Tensor, states: Sequence[Any], dt: Any = None) -> tuple[Tensor, list[State]]:
    """One time step of a stack with one direction: x (batch, features) and one state a cell, None for the first one."""
    noise, finals = stack.drawn, []
    x = drop(x, noise.inputs, False)
    for index, (plain, state) in enumerate(zip(stack.cells, states, strict=True)):
        cell, masks = noisy(plain, noise, stack.training)
        state = stack.start(index, x) if state is None else state
        y, final = cell(x, state) if dt is None or not cell.continuous_time else cell(x, state, dt)
        check_used(plain, masks, f"{stack.where}, cell {index}")
        x = stack.join(index, x, y)
        if index + 1 < len(stack.cells):
            x = drop(x, noise.between, False)
        finals.append(final)
    return x, finals


def _resets_backwards(reset: Tensor | None) -> Tensor | None:
    """Where the reverse direction begins anew, so that the same parts of a sequence know nothing of each other."""
    if reset is None:
        return None
    return torch.cat([reset[1:], torch.zeros_like(reset[:1])])
