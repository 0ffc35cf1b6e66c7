"""A layer that reads a stream of inputs, one time step a call, at the smallest cost of a call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.cells.base import Cell, check_input, check_number_format
from recurra.cells.state import match_state
from recurra.engine import stream_of, why_not_called
from recurra.errors import UsageError
from recurra.nn.stack import Stack
from recurra.types import State


class Stream:
    """A layer made ready to read one time step a call; it holds the state.

    It gives what `layer.step` gives, without gradients and dropout. Its memory is set up once, and a step is one call
    of the compiled loop where the cell has one, else a step of plain operations. A weight that is changed in place
    counts from the next step on; weights that are computed from others (parametrisations) stay as they were.

    Args:
        layer: any layer with one direction.
        batch_size: sequences at a time.
        state: before the first step, as `layer.step` takes it; the layer's first state when absent.

    Shapes:
        x (batch, input_size), or (input_size,) with a batch_size of 1; y (batch, output_size) or (output_size,).

    Raises:
        UsageError: the layer is bidirectional.
        ShapeError: x or the state does not fit.

    Example:
        >>> from recurra.nn import Recurrent
        >>> stream = Recurrent("gru", 3, 4).stream()
        >>> stream(torch.zeros(3)).shape
        torch.Size([4])
        >>> stream.reset()
    """

    def __init__(self, layer: Any, batch_size: int = 1, state: Any = None):
        if layer.bidirectional:
            raise UsageError(
                "the layer is bidirectional",
                where="Stream",
                need="one direction, since the reverse direction begins at the end of a sequence",
                cure="build with bidirectional=False, or give whole sequences",
            )
        self.layer, self.batch_size = layer, batch_size
        weight = next(layer.parameters())
        self._like = torch.zeros(batch_size, layer.input_size, dtype=weight.dtype, device=weight.device)
        self._cells: list[Any] = []
        self._states: list[State] = []
        self._begin(state)

    def _begin(self, state: Any) -> None:
        with torch.no_grad():
            stack: Stack = self.layer.stack()
            given: Any = [None] * len(stack.cells)
            if state is not None:
                given = self.layer.state_form.enter(state, stack.cells, self.batch_size, True, "Stream")
            firsts = [stack.start(index, self._like) for index in range(len(stack.cells))]
            self._states = [
                first if each is None else match_state(each, first, where="Stream")
                for each, first in zip(given, firsts, strict=True)
            ]
        if self._cells:
            for cell, each in zip(self._cells, self._states, strict=True):
                if not isinstance(cell, Cell):
                    cell.set_state(each)
            return
        self._plain = not stack.norms and not stack.joints
        for cell, each in zip(stack.cells, self._states, strict=True):
            made: Any = cell
            if self.layer.backend != "reference" and why_not_called(self._like.unsqueeze(0), each, cell) is None:
                found = stream_of(cell, each, self._like.dtype)
                made = cell if isinstance(found, str) else found
            self._cells.append(made)
        alone = len(self._cells) == 1 and self._plain and not isinstance(self._cells[0], Cell)
        self._single = self._cells[0] if alone else None

    def reset(self, state: Any = None) -> None:
        """Begin anew, from the first state or a given one."""
        self._begin(state)

    def __call__(self, x: Tensor) -> Tensor:
        """One time step."""
        if self._single is not None and x.shape == self._like.shape and x.dtype is self._like.dtype:
            # Without the detours below, which take longer than a small step.
            return self._single.step(x.detach() if x.requires_grad else x)
        flat = x.dim() == 1 and self.batch_size == 1
        row = x.unsqueeze(0) if flat else x
        if row.shape != self._like.shape or row.dtype != self._like.dtype:
            check_input(row, ("batch",), self.layer.input_size, where="Stream")
            check_number_format(row, self.layer, where="Stream")
            raise UsageError(
                f"x has {row.shape[0]} sequences", where="Stream", need=f"{self.batch_size}, as the stream was made for"
            )
        with torch.no_grad():
            y = self._step(row)
        return y[0] if flat else y

    def _step(self, x: Tensor) -> Tensor:
        stack = None if self._plain else self.layer.stack()
        for index, cell in enumerate(self._cells):
            if isinstance(cell, Cell):
                y, self._states[index] = cell(x, self._states[index])
            else:
                y = cell.step(x)
            x = y if stack is None else stack.join(index, x, y)
        return x

    @property
    def state(self) -> Any:
        """The state after the last step, as `layer.step` gives it."""
        found = [
            each if isinstance(cell, Cell) else cell.state()
            for cell, each in zip(self._cells, self._states, strict=True)
        ]
        return self.layer.state_form.leave(found, True)
