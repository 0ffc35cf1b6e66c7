"""Any cell of the library as the network that balances poles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.state import map_state, state_tensors
from recurra.learn.search.weight_vector import WeightVector
from recurra.problems.pole_controllers import check_weights

Floats = NDArray[np.float64]


class CellController:
    """A cell with a linear read-out, its push squashed by tanh; all carts' networks take a step at once by vmap.

    Equations:
        y_t, s_t = cell(o_t, s_{t-1}),  output = tanh(v . y_t + b).

    Args:
        cell: any cell; input_size is the number of observed features.

    Shapes:
        weights (carts, dimension): the cell's and the read-out's weights as `vector` orders them.

    Attributes:
        vector: how vectors become weights; `vector.neurons(cell.hidden_size)` are the genes of each hidden unit.

    Raises:
        ShapeError: the weights or the observation do not fit.

    Example:
        >>> from recurra.cells import GRU
        >>> from recurra.problems.double_pole import DOUBLE_POLE
        >>> from recurra.problems.pole_trials import PoleTrials, balance
        >>> controller = CellController(GRU(3, 2))
        >>> ended = balance(PoleTrials(DOUBLE_POLE, controller, limit=10), np.zeros((5, controller.dimension)))
        >>> ended.steps
        array([10, 10, 10, 10, 10])
    """

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        weight = next(cell.parameters())
        read = nn.Linear(cell.output_size, 1, dtype=weight.dtype, device=weight.device)
        self.vector = WeightVector(_WithReadOut(cell, read))
        self.dimension = self.vector.dimension
        self._first = cell.initial_state(1)
        self._number = weight.dtype
        self.memory_size = sum(part.numel() for part in state_tensors(self._first))

    def begin(self, weights: Floats) -> tuple[Floats, Floats]:
        """The vectors and the first states, carts last."""
        check_weights(weights, self.dimension, "CellController")
        first = torch.cat([part.detach().double().flatten() for part in state_tensors(self._first)]).numpy()
        return np.ascontiguousarray(weights.T), np.repeat(first[:, None], weights.shape[0], axis=1)

    def act(self, observed: Any, memory: Any, weights: Any) -> tuple[Any, Any]:
        """One control step."""
        sizes = [part.numel() for part in state_tensors(self._first)]
        parts = iter(torch.from_numpy(memory.T).to(self._number).split(sizes, dim=1))
        state = map_state(lambda part: next(parts).view(-1, *part.shape), self._first)
        seen = torch.from_numpy(observed.T).to(self._number).unsqueeze(1)
        with torch.no_grad():
            push, state = torch.vmap(self.vector.call)(self.vector.stack(torch.from_numpy(weights.T)), seen, state)
        after = torch.cat([part.double().flatten(1) for part in state_tensors(state)], 1)
        return push.double().numpy(), after.T.numpy()


class _WithReadOut(nn.Module):
    def __init__(self, cell: Cell, read: nn.Linear) -> None:
        super().__init__()
        self.cell, self.read = cell, read

    def forward(self, seen: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = self.cell(seen, state)
        return torch.tanh(self.read(y)).reshape(()), state
