"""The layer for trees: any cell that joins children, stacked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell, check_input, check_number_format, check_size
from recurra.cells.join import JoinCell
from recurra.cells.trees.forest import Forest
from recurra.errors import ShapeError, UsageError
from recurra.fold import fold
from recurra.nn.choose import choose_cell
from recurra.nn.noise import check_share
from recurra.types import State


class Tree(nn.Module):
    """Any cell for trees as a layer: stacked, with dropout between the layers.

    Equations:
        layer l folds the same trees as layer l - 1, and reads at each node what that one gives there.

    Args:
        cell: a registered name (`recurra info cells` lists them) or a class derived from `JoinCell`; a cell of a chain
            may be named too, for trees whose nodes have at most one child.
        input_size: features of x.
        hidden_size: hidden units of a node, in each layer.
        num_layers: stacked layers.
        bias: whether the cells have biases.
        dropout: share of the values dropped between layers while training.
        inputs: "nodes" where x has a row a node, "leaves" where it has a row a leaf (words).
        absent: what inner nodes read with inputs="leaves": "zeros", or "learned" for a vector of the layer's own.
        cell_arguments: further arguments of the cell (max_children, nonlinearity, leaf, device, dtype ...).

    Shapes:
        x (nodes, input_size), or (leaves, input_size) in the order of `forest.leaves`; y (nodes, output_size). The
        state is a tuple with one entry a layer, each the states of the roots, whose tensors are (trees, ...).

    Raises:
        UsageError: an argument is out of range or unknown to the cell, or a node has more children than the cell takes.
        ShapeError: x does not fit the forest.

    Example:
        >>> import torch
        >>> from recurra.fold import read_brackets
        >>> forest, labels, words = read_brackets("(3 (2 good) (1 work))", "(2 (2 so) (2 (2 it) (2 is)))")
        >>> layer = Tree("nary_tree_lstm", 4, 8, inputs="leaves")
        >>> y, state = layer(forest, torch.randn(len(words), 4))
        >>> y.shape, forest.at_roots(y).shape, state[0].c.shape
        (torch.Size([8, 8]), torch.Size([2, 8]), torch.Size([2, 8]))
    """

    absent: nn.Parameter | None

    def __init__(
        self,
        cell: str | type[JoinCell] | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        dropout: float = 0.0,
        inputs: str = "nodes",
        absent: str = "zeros",
        **cell_arguments: Any,
    ):
        super().__init__()
        self.input_size = check_size(input_size, "input_size", "Tree")
        self.hidden_size = check_size(hidden_size, "hidden_size", "Tree")
        self.num_layers = check_size(num_layers, "num_layers", "Tree")
        self.dropout = check_share(dropout, "dropout", "Tree")
        if inputs not in ("nodes", "leaves"):
            raise UsageError(f"inputs is {inputs!r}", where="Tree", need="'nodes' or 'leaves'")
        if absent not in ("zeros", "learned"):
            raise UsageError(f"absent is {absent!r}", where="Tree", need="'zeros' or 'learned'")
        if absent == "learned" and inputs == "nodes":
            raise UsageError(
                "absent is 'learned' with inputs='nodes'",
                where="Tree",
                need="inputs='leaves', since no node lacks an input otherwise",
            )
        self.inputs = inputs
        kind, arguments = choose_cell(cell, bias, cell_arguments, "Tree", (JoinCell, Cell))
        self.cell = cell if isinstance(cell, str) else kind.__name__
        cells: list[Any] = []
        for _ in range(num_layers):
            cells.append(kind(cells[-1].output_size if cells else input_size, hidden_size, **arguments))
        self.cells = nn.ModuleList(cells)
        if absent == "learned":
            empty = torch.zeros(input_size, device=arguments.get("device"), dtype=arguments.get("dtype"))
            self.absent = nn.Parameter(empty)
        else:
            self.register_parameter("absent", None)

    def forward(self, forest: Forest, x: Tensor) -> tuple[Tensor, tuple[State, ...]]:
        """Run up the trees: every node's output of the last layer, and each layer's states at the roots."""
        if not isinstance(forest, Forest):
            raise UsageError(f"forest is {type(forest).__name__}", where="Tree", need="a recurra.fold.Forest")
        rows = len(forest.leaves) if self.inputs == "leaves" else len(forest)
        check_input(x, (self.inputs,), self.input_size, where="Tree")
        check_number_format(x, self, where="Tree")
        if x.shape[0] != rows:
            other = "nodes" if self.inputs == "leaves" else "leaves"
            fits = x.shape[0] == (len(forest) if self.inputs == "leaves" else len(forest.leaves))
            raise ShapeError(
                f"x has shape {tuple(x.shape)}",
                where="Tree",
                need=f"({rows}, {self.input_size}), that is ({self.inputs}, features)",
                cure=f"build with inputs={other!r}" if fits else None,
            )
        if self.inputs == "leaves":
            x = forest.from_leaves(x, self.absent)
        state = []
        for number, cell in enumerate(self.cells):
            if number and self.dropout and self.training:
                x = F.dropout(x, self.dropout)
            folded = fold(cell, forest, x)  # type: ignore[arg-type]
            x = folded.y
            state.append(folded.root_state)
        return x, tuple(state)

    @property
    def output_size(self) -> int:
        """Features of the output."""
        return self.cells[-1].output_size  # type: ignore[return-value]

    def reset_parameters(self) -> None:
        """Draw all weights anew, as at the start; what inner nodes read begins at zero."""
        for cell in self.cells:
            cell.reset_parameters()  # type: ignore[operator]
        if self.absent is not None:
            nn.init.zeros_(self.absent)

    def extra_repr(self) -> str:
        absent = "zeros" if self.absent is None else "learned"
        return (
            f"{self.cell!r}, {self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, "
            f"dropout={self.dropout}, inputs={self.inputs!r}, absent={absent!r}"
        )
