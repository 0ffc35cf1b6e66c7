"""What a readout sees of a reservoir: its units, and with them the inputs and squares."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.time_step import check_choice
from recurra.types import State

SQUARES = ("none", "appended", "every_second")


class ReservoirFeatures(Cell):
    """A reservoir that shows its readout the inputs and squares of its units too, as a cell.

    Equations:
        y_t = [x_t; h_t], [x_t; h_t; h_t^2] with squares "appended", or with "every_second" [x_t; r(h_t)], where r
        squares the second, fourth ... unit and leaves the others as they are; without `inputs` x_t is left out.

    A tanh reservoir without bias is an odd function of its input, and no linear readout of it gives an even one;
    squares mend that.

    Args:
        cell: any cell.
        inputs: whether the inputs are shown.
        squares: "none", "appended" or "every_second".

    Shapes:
        x (batch, cell.input_size); y (batch, features).

    Raises:
        UsageError: `squares` is none of the three.
        ShapeError: x or the state does not fit.

    Reference:
        H. Jaeger, H. Haas. Harnessing nonlinearity: predicting chaotic systems and saving energy in wireless
        communication. Science 304 (2004) 78-80 (squares appended).
        J. Pathak, Z. Lu, B. Hunt, M. Girvan, E. Ott. Using machine learning to replicate chaotic attractors and
        calculate Lyapunov exponents from data. Chaos 27 (2017) 121102 (every second unit).

    Example:
        >>> import torch
        >>> from recurra.reservoir import EchoState
        >>> ReservoirFeatures(EchoState(3, 50), squares="appended").output_size
        103
    """

    second: Tensor

    def __init__(self, cell: Cell, inputs: bool = True, squares: str = "none"):
        check_choice(squares, "squares", SQUARES, "ReservoirFeatures")
        features = cell.output_size * (2 if squares == "appended" else 1) + cell.input_size * bool(inputs)
        super().__init__(cell.input_size, cell.hidden_size, features)
        self.cell, self.inputs, self.squares = cell, bool(inputs), squares
        self.register_buffer("second", torch.arange(cell.output_size) % 2 == 1, persistent=False)

    def initial_state(self, batch_size: int, *, dtype: Any = None, device: Any = None) -> State:
        """The reservoir's own."""
        return self.cell.initial_state(batch_size, dtype=dtype, device=device)

    def project(self, x: Tensor) -> Any:
        """The input itself, and what the reservoir makes of it."""
        inner = self.cell.project(x)
        return (x, inner) if isinstance(inner, Tensor) else (x, *inner)

    def advance(self, projected: Any, state: State) -> tuple[Tensor, State]:
        """The reservoir's step, and the features of it."""
        x, *inner = projected
        h, after = self.cell.advance(inner[0] if len(inner) == 1 else tuple(inner), state)
        return self.shown(x, h), after

    def shown(self, x: Tensor, h: Tensor) -> Tensor:
        """The features of inputs and units, with any leading dimensions."""
        if self.squares == "every_second":
            h = torch.where(self.second, h * h, h)
        elif self.squares == "appended":
            h = torch.cat([h, h * h], -1)
        return torch.cat([x, h], -1) if self.inputs else h
