"""The layer for grids: any cell for a grid, stacked, in any of the 2^d directions."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_input, check_number_format, check_size
from recurra.cells.join import JoinCell, slots_of
from recurra.cells.state import map_state
from recurra.errors import UsageError
from recurra.nn.choose import choose_cell
from recurra.nn.noise import check_share
from recurra.sweep import sweep
from recurra.types import State


class Grid(nn.Module):
    """Any cell for grids as a layer: stacked, in any of the 2^d directions, with dropout between the layers.

    Equations:
        layer l reads what layer l - 1 gives; each direction has a cell of its own, which begins at its own corner, and
        the outputs of all directions are joined in their order.

    Args:
        cell: a registered name (`recurra info cells` lists them) or a class derived from `JoinCell`; in one dimension a
            cell of a chain may be named too.
        input_size: features of x.
        hidden_size: hidden units of a point, in each layer and direction.
        num_layers: stacked layers.
        dimensions: of the grid.
        directions: "all" for the 2^d corners, "forward" for the one corner, or a sequence of directions, each with one
            boolean a dimension that says whether it is read in reverse. With "all" the last dimension turns fastest.
        bias: whether the cells have biases.
        batch_first: whether x and the output are (batch, size_1, ..., size_d, features).
        dropout: share of the values dropped between layers while training.
        cell_arguments: further arguments of the cell (nonlinearity, device, dtype ...).

    Shapes:
        x (size_1, ..., size_d, batch, input_size), or (size_1, ..., size_d, input_size) without a batch; lengths
        (batch, d), or (d,) without a batch; output (size_1, ..., size_d, batch, output_size), where output_size is the
        cell's times the directions. The state is a tuple with one entry a layer and direction, each that cell's state
        at the last point it read.

    Raises:
        UsageError: an argument is out of range or unknown to the cell, or the cell is for other dimensions.
        ShapeError: x or lengths does not fit.

    Differs from the paper: the paper's hidden layers of all directions feed each unit above them, as here; between its
    layers it puts blocks of points together, which is left to other modules.

    Reference:
        A. Graves, J. Schmidhuber. Offline handwriting recognition with multidimensional recurrent neural networks.
        Advances in Neural Information Processing Systems 21 (2009) 545-552.

    Example:
        >>> layer = Grid("mdlstm", 3, 4, dimensions=2)
        >>> y, state = layer(torch.zeros(5, 6, 2, 3), lengths=[[5, 6], [2, 3]])
        >>> y.shape, len(state), state[0].c.shape
        (torch.Size([5, 6, 2, 16]), 4, torch.Size([2, 4]))
    """

    def __init__(
        self,
        cell: str | type[JoinCell] | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dimensions: int = 2,
        directions: str | Sequence[Sequence[bool]] = "all",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        **cell_arguments: Any,
    ):
        super().__init__()
        self.input_size = check_size(input_size, "input_size", "Grid")
        self.hidden_size = check_size(hidden_size, "hidden_size", "Grid")
        self.num_layers = check_size(num_layers, "num_layers", "Grid")
        self.dimensions = check_size(dimensions, "dimensions", "Grid")
        self.directions = _check_directions(directions, dimensions)
        self.batch_first, self.dropout = bool(batch_first), check_share(dropout, "dropout", "Grid")
        kind, arguments = choose_cell(cell, bias, cell_arguments, "Grid", (JoinCell, Cell), own=("dimensions",))
        if "dimensions" in inspect.signature(kind).parameters:
            arguments["dimensions"] = dimensions
        self.cell = cell if isinstance(cell, str) else kind.__name__
        cells: list[Any] = []
        for layer in range(num_layers):
            features = cells[-1].output_size * len(self.directions) if layer else input_size
            cells.extend(kind(features, hidden_size, **arguments) for _ in self.directions)
        slots = slots_of(cells[0], "Grid")
        if slots not in (None, dimensions):
            raise UsageError(
                f"dimensions is {dimensions}", where="Grid", need=f"{slots}, as {kind.__name__} joins {slots}"
            )
        self.cells = nn.ModuleList(cells)

    def forward(self, x: Tensor, *, lengths: Any = None) -> tuple[Tensor, tuple[State, ...]]:
        """Run over whole grids; `lengths` as in `recurra.sweep`."""
        sizes = tuple(f"size_{k + 1}" for k in range(self.dimensions))
        batched = not (isinstance(x, Tensor) and x.dim() == self.dimensions + 1)
        names = sizes if not batched else ("batch", *sizes) if self.batch_first else (*sizes, "batch")
        check_input(x, names, self.input_size, where="Grid")
        check_number_format(x, self, where="Grid")
        if not batched:
            x = x.unsqueeze(-2)
            lengths = None if lengths is None else torch.as_tensor(lengths).unsqueeze(0)
        elif self.batch_first:
            x = x.movedim(0, -2)
        state: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = F.dropout(x, self.dropout)
            outputs = []
            for number, direction in enumerate(self.directions):
                cell: Any = self.cells[layer * len(self.directions) + number]
                swept = sweep(cell, x, lengths=lengths, reverse=direction)
                outputs.append(swept.y)
                state.append(swept.last_state)
            x = torch.cat(outputs, -1)
        if not batched:
            return x.squeeze(-2), tuple(map_state(lambda part: part.squeeze(0), one) for one in state)
        return x.movedim(-2, 0) if self.batch_first else x, tuple(state)

    @property
    def output_size(self) -> int:
        """Features of the output: those of all directions together."""
        return len(self.directions) * self.cells[-1].output_size  # type: ignore[operator, return-value]

    def reset_parameters(self) -> None:
        """Draw all weights anew, as at the start."""
        for cell in self.cells:
            cell.reset_parameters()  # type: ignore[operator]

    def extra_repr(self) -> str:
        return (
            f"{self.cell!r}, {self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, "
            f"dimensions={self.dimensions}, directions={len(self.directions)}, batch_first={self.batch_first}, "
            f"dropout={self.dropout}"
        )


def _check_directions(given: Any, dimensions: int) -> tuple[tuple[bool, ...], ...]:
    """The directions, each with one boolean a dimension."""
    if given == "all":
        return tuple(itertools.product((False, True), repeat=dimensions))
    if given == "forward":
        return ((False,) * dimensions,)
    need = f"'all', 'forward', or directions of {dimensions} booleans each, none of them twice"
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise UsageError(f"directions is {given!r}", where="Grid", need=need)
    chosen = [tuple(one) if isinstance(one, tuple | list) else one for one in given]
    for one in chosen:
        fits = isinstance(one, tuple) and len(one) == dimensions and all(isinstance(part, bool) for part in one)
        if not fits or chosen.count(one) > 1:
            raise UsageError(f"directions holds {one!r}", where="Grid", need=need)
    return tuple(chosen)
