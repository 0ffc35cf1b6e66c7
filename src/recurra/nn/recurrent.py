"""The generic recurrent layer: any cell, stacked, in one or both directions."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from recurra.cells.base import Cell
from recurra.cells.registry import cell_class
from recurra.errors import UsageError
from recurra.nn.layer import Layer
from recurra.nn.state_forms import PerCell
from recurra.options import closest
from recurra.types import State


class Recurrent(Layer):
    """Any cell as a layer: stacked, in one or both directions, with dropout between the layers.

    Equations:
        layer l reads what layer l - 1 gives; with two directions a second cell reads each sequence from its end, and
        the outputs of both are joined, forward first.

    Args:
        cell: a registered name (`recurra info cells` lists them) or a class derived from `Cell`.
        input_size: features of x.
        hidden_size: hidden units of each cell.
        num_layers: stacked layers.
        bias: whether the cells have biases.
        batch_first: whether x, mask, reset and the output are (batch, time, ...) instead of (time, batch, ...).
        dropout: share of the values dropped between layers while training; with one layer there is no such place.
        bidirectional: whether a second cell a layer reads from the end.
        backend: "auto" runs torch.nn's kernels where they compute the same, "reference" the plain loop always;
            `recurra.explain(layer)` says which runs. On a GPU the kernels are cuDNN's, which have no second derivative.
        cell_arguments: further arguments of the cell (proj_size, nonlinearity, reset_after, device, dtype ...).

    Shapes:
        x (time, batch, input_size), or (time, input_size) without a batch, or a PackedSequence; output (time, batch,
        output_size), where output_size is the cell's times the directions. The state is a tuple with one entry a layer
        and direction (layer by layer, forward before reverse), each that cell's own state.

    Raises:
        UsageError: an argument is out of range or unknown to the cell.
        ShapeError: x, the state, lengths, mask or reset does not fit.

    Example:
        >>> import torch
        >>> layer = Recurrent("lstm", 3, 8, num_layers=2, bidirectional=True)
        >>> y, state = layer(torch.zeros(5, 2, 3), lengths=torch.tensor([5, 3]))
        >>> y.shape, len(state), state[0].c.shape
        (torch.Size([5, 2, 16]), 4, torch.Size([2, 8]))
    """

    def __init__(
        self,
        cell: str | type[Cell],
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        backend: str = "auto",
        **cell_arguments: Any,
    ):
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, PerCell())
        if backend not in ("auto", "reference"):
            raise UsageError(f"backend is {backend!r}", where="Recurrent", need="'auto' or 'reference'")
        self.backend = backend
        kind, arguments = _cell_arguments(cell, bias, cell_arguments)
        self.cell = cell if isinstance(cell, str) else kind.__name__
        cells: list[Cell] = []
        for layer in range(num_layers):
            features = input_size if layer == 0 else cells[-1].output_size * self.directions
            cells.extend(kind(features, hidden_size, **arguments) for _ in range(self.directions))
        self.cells = nn.ModuleList(cells)

    def forward(
        self,
        x: Any,
        state: Sequence[State] | None = None,
        *,
        lengths: Any = None,
        mask: Tensor | None = None,
        reset: Tensor | None = None,
    ) -> tuple[Any, tuple[State, ...]]:
        """Run over whole sequences; `lengths`, `mask` and `reset` as in `recurra.unroll`."""
        return self.run(x, state, lengths, mask, reset)

    def stack_cells(self) -> Sequence[Cell]:
        """The cells, layer by layer, the forward direction before the reverse one."""
        return tuple(self.cells)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        return f"{self.cell!r}, {super().extra_repr()}, backend={self.backend!r}"


def _cell_arguments(cell: str | type[Cell], bias: bool, given: dict[str, Any]) -> tuple[type[Cell], dict[str, Any]]:
    """The cell's class and its arguments, or an error that names the argument the cell does not know."""
    arguments: dict[str, Any] = {}
    if isinstance(cell, str):
        kind, arguments = cell_class(cell)
    elif isinstance(cell, type) and issubclass(cell, Cell):
        kind = cell
    else:
        raise UsageError(f"cell is {cell!r}", where="Recurrent", need="a registered name or a class derived from Cell")
    known = inspect.signature(kind).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    for name in given:
        if name not in known and not takes_any:
            choices = [other for other in known if other not in ("input_size", "hidden_size", "bias")]
            raise UsageError(
                f"{name!r} is not an argument of {kind.__name__}",
                where="Recurrent",
                need="one of " + ", ".join(choices),
                cure=closest(name, choices) or None,
            )
    if "bias" in known:
        arguments["bias"] = bias
    elif not bias:
        raise UsageError("bias is False", where="Recurrent", need=f"bias=True, as {kind.__name__} knows no other")
    return kind, {**arguments, **given}
