"""The engine: a cell's loop over time, forward and backward, compiled for this processor from the cell's definition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.cells.base import Cell, in_transform

if TYPE_CHECKING:
    from recurra.types import State

__all__ = ["compiled_loop", "run_fused", "why_not_called", "why_not_compiled"]


def why_not_called(x: Tensor, state: Any, cell: Cell) -> str | None:
    """None where a call may be compiled, else the reason, as far as it follows from the call and not from the cell."""
    if in_transform():
        return "inside a torch.func transform or forward-mode differentiation, which the compiled loop does not know"
    if torch.compiler.is_compiling():
        return "a graph is taken (export, compile)"
    if x.device.type != "cpu":
        return f"x is on {x.device.type}, and code is compiled for the processor"
    if torch.is_autocast_enabled("cpu"):
        return "autocast changes number formats within a step"
    if any(isinstance(part, Cell) and part.dropped is not None for part in cell.modules()):
        return "recurrent dropout acts between the steps"
    if x.shape[0] == 0 or x.shape[1] == 0:
        return "there are no time steps or no sequences"
    return None


def why_not_compiled(cell: Cell, with_times: bool = False, batch: int = 1 << 30) -> str | None:
    """None where a cell's step can be compiled, else what stands against it, by name."""
    from recurra.engine.cache import kernel_for

    weight = next(cell.parameters(), None)
    found = kernel_for(cell, torch.float32 if weight is None else weight.dtype, with_times, batch)
    return found if isinstance(found, str) else None


def compiled_loop(cell: Cell, x: Tensor, with_times: bool) -> Any:
    """A cell's compiled loop for inputs like x, with its weights, or the reason why there is none."""
    from recurra.engine.cache import loop_for

    return loop_for(cell, x.dtype, with_times, x.shape[1])


def run_fused(
    cell: Cell,
    x: Tensor,
    state: State,
    read: Tensor | None,
    dt: Tensor | None,
    reverse: bool,
    reset: Tensor | None = None,
    start: State | None = None,
    loop: Any = None,
) -> tuple[Tensor, State] | str:
    """Run a cell over x by its compiled loop; or the reason why it has none.

    Args:
        cell: the cell.
        x: (time, batch, features).
        state: before the first step.
        read: False where a step is left out, (time, batch), or None.
        dt: the time since the step that was read before, (time, batch), or None.
        reverse: whether the last step comes first.
        reset: True where the state is set to `start` before a step, (time, batch), or None.
        start: the state that `reset` goes back to.
        loop: what `compiled_loop` gave for this cell, if it was asked.
    """
    from recurra.engine.run import run_compiled

    loop = compiled_loop(cell, x, dt is not None) if loop is None else loop
    if isinstance(loop, str):
        return loop
    return run_compiled(loop.kernel, cell, x, state, read, dt, reverse, reset, start, loop.weights)


def stream_of(cell: Cell, state: State, dtype: torch.dtype) -> Any:
    """A cell made ready to be run step by step from a state, or the reason why it cannot be compiled."""
    from recurra.engine.cache import kernel_for
    from recurra.engine.stream import CellStream

    kernel = kernel_for(cell, dtype, False, 1 << 30)
    return kernel if isinstance(kernel, str) else CellStream(kernel, cell, state)
