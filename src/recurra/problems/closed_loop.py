"""A plant and the networks that steer it as one cell, so that whole trials run as one compiled loop."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.cells.base import Cell
from recurra.engine import compiled_loop
from recurra.nn.drive import drive
from recurra.problems.lanes import where
from recurra.problems.pole_controllers import Controller

Floats = NDArray[np.float64]

LANES = 64
"""Trials in a row of a closed loop's state."""


class Plant(Protocol):
    """What is steered: a state (numbers, trials) that a force moves on; each method takes arrays and tensors alike.

    `movement` is a number of each trial that is recorded at every step.
    """

    def initial(self, carts: int) -> Floats: ...

    def force(self, output: Any) -> Any: ...

    def advance(self, state: Any, force: Any) -> Any: ...

    def upright(self, state: Any) -> Any: ...

    def observe(self, state: Any, velocities: bool) -> Any: ...

    def movement(self, state: Any) -> Any: ...


class LoopState(NamedTuple):
    """Trials side by side.

    Attributes:
        plant: the plant's state.
        memory: what the networks keep from step to step.
        weights: the networks' weights, the same at all steps.
        left: steps that a trial may go on for.
        going: 1 where a trial goes on, 0 where it has ended.
    """

    plant: Any
    memory: Any
    weights: Any
    left: Any
    going: Any


class ClosedLoop(Cell):
    """A plant and the networks that steer it as one cell: a step of the cell is a control step of every trial.

    Equations:
        o = observe(p_{t-1}),  (u, m_t) = act(o, m_{t-1}, w),  p' = advance(p_{t-1}, force(u));
        where the trial goes on and p' is upright: p_t = p', left_t = left_{t-1} - 1, and it goes on where that is not
        0; else p_t = p_{t-1}, left_t = left_{t-1}, and the trial has ended. The output is the movement of p_t.

    Args:
        plant: the physics.
        controller: the networks.
        velocities: whether the networks see velocities.
        lanes: trials in a row.

    Shapes:
        x (rows, 1), which is not looked at; the state's parts (rows, numbers, lanes), with the plant's, the memory's
        and the weights' numbers, and one number for `left` and `going`; y (rows, lanes). All float64.

    Differs from the paper: no gradient passes; trials end, and are judged by searches.

    Example:
        >>> from recurra.problems.double_pole import DOUBLE_POLE
        >>> from recurra.problems.pole_controllers import RecurrentController
        >>> loop = ClosedLoop(DOUBLE_POLE, RecurrentController(3), lanes=2)
        >>> y, state = loop(torch.zeros(1, 1, dtype=torch.float64), loop.initial_state(1))
        >>> y.shape, state.plant.shape, state.weights.shape
        (torch.Size([1, 2]), torch.Size([1, 6, 2]), torch.Size([1, 4, 2]))
    """

    def __init__(self, plant: Plant, controller: Controller, velocities: bool = False, lanes: int = LANES) -> None:
        super().__init__(1, lanes)
        self._plant, self._controller, self.velocities = plant, controller, velocities
        # What compiled code is known by. Parts that do not tell of their settings are known by themselves alone.
        self.parts = _told(plant), _told(controller)
        self._numbers = (plant.initial(1).shape[0], controller.memory_size, controller.dimension, 1, 1)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> LoopState:
        """Trials that have ended, for the places where there are none."""
        sizes = [(batch_size, numbers, self.hidden_size) for numbers in self._numbers]
        return LoopState(*(torch.zeros(size, dtype=torch.float64, device=device) for size in sizes))

    def advance(self, projected: Tensor, state: LoopState) -> tuple[Tensor, LoopState]:
        """One control step."""
        # Without a gradient, whose graph would double the time that it takes to compile the step.
        state = LoopState(*(part.detach() for part in state))
        plant = self._plant
        output, memory = self._controller.act(plant.observe(state.plant, self.velocities), state.memory, state.weights)
        moved = plant.advance(state.plant, plant.force(output))
        stands = plant.upright(moved).unsqueeze(-2) & (state.going > 0.5)
        after = where(stands, moved, state.plant)
        left = where(stands, state.left - 1.0, state.left)
        going = where(stands & (left > 0.5), torch.ones_like(left), torch.zeros_like(left))
        return plant.movement(after), LoopState(after, memory, state.weights, left, going)

    def why_not_compiled(self) -> str | None:
        """None where trials run as compiled code, else what stands against it."""
        found = compiled_loop(self, torch.zeros(1, 1, 1, dtype=torch.float64), False)
        return found if isinstance(found, str) else None

    def run(self, state: LoopState, steps: int) -> tuple[Floats, LoopState]:
        """Many control steps of trials that lie in arrays (numbers, trials), as many as there are.

        Returns:
            the movement after each step, (steps, trials), and the state in arrays; a trial that has ended stays as it
            was when it ended.
        """
        trials, lanes = state.plant.shape[-1], self.hidden_size
        rows = -(-trials // lanes)
        first = self.initial_state(rows)
        for part, given in zip(first, state, strict=True):
            padded = np.zeros((given.shape[0], rows * lanes))
            padded[:, :trials] = given
            part.copy_(torch.from_numpy(padded).view(-1, rows, lanes).transpose(0, 1))
        with torch.no_grad():
            x = torch.zeros(steps, rows, 1, dtype=torch.float64)
            record, last, _ = drive(
                self,
                x,
                first,
                None,
                lengths=None,
                mask=None,
                reset=None,
                dt=None,
                reverse=False,
                backend="fused",
                all_states=False,
                checkpoint=False,
                where="ClosedLoop.run",
            )
        parts = [part.transpose(0, 1).reshape(part.shape[1], -1)[:, :trials].numpy() for part in last]
        return record.view(steps, -1)[:, :trials].numpy(), LoopState(*parts)


_NUMBERS: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_COUNT = itertools.count()


def _told(part: Any) -> str:
    """What tells a part's behaviour from that of others: its settings, where it tells of them, else a number."""
    kind = type(part)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if kind.__repr__ is not object.__repr__:
        return f"{name} {part!r}"
    if part not in _NUMBERS:
        _NUMBERS[part] = next(_COUNT)
    return f"{name} number {_NUMBERS[part]}"
