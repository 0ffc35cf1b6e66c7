"""A learned state before the first step."""

from __future__ import annotations

from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.types import State


class FirstState(nn.Module):
    """The state before the first step as parameters, which begin at the cell's own initial state.

    Args:
        cell: whose state it is; it is looked at once and not kept.

    Shapes:
        one parameter for each tensor of the state, without the batch: part_0, part_1 ... Parts that count time stay
        as they are.
    """

    def __init__(self, cell: Cell):
        super().__init__()
        start = cell.initial_state(1)
        counting = {id(part) for name in cell.clocks for part in state_tensors(getattr(start, name))}
        self.count = len(state_tensors(start))
        for index, part in enumerate(state_tensors(start)):
            if id(part) not in counting:
                self.register_parameter(f"part_{index}", nn.Parameter(part[0].detach().clone()))

    def state(self, like: State) -> State:
        """The learned state in the shape of `like`, the cell's initial state for the batch at hand."""
        places = iter(range(self.count))

        def fill(part: Tensor) -> Tensor:
            learned = getattr(self, f"part_{next(places)}", None)
            return part if learned is None else learned.to(part.dtype).expand(part.shape)

        return map_state(fill, like)
