"""What all cells with an external memory share: a controller of any kind, and linear maps from what it gives."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.base import Cell
from recurra.cells.registry import CELLS, cell_class
from recurra.errors import UsageError


class Emitter(nn.Module):
    """Numbers that a controller gives to a memory: one linear map, split into the named parts.

    Args:
        features: of what is read.
        sizes: of the parts, by name.
        bias: whether the map has a bias.
        device, dtype: where and in which number format the weights are made.

    Shapes:
        h (batch, features); each part (batch, its size); weight (sum of the sizes, features), bias (sum of the sizes,),
        both drawn uniform in +-1/sqrt(features), the parts in the order of `sizes`.
    """

    def __init__(self, features: int, sizes: dict[str, int], bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__()
        self.sizes = dict(sizes)
        self.map = nn.Linear(features, sum(sizes.values()), bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew."""
        bound = 1.0 / math.sqrt(self.map.in_features)
        for weight in self.map.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, h: Tensor) -> dict[str, Tensor]:
        """The parts by name."""
        parts = F.linear(h, self.map.weight, self.map.bias).split(list(self.sizes.values()), -1)
        return dict(zip(self.sizes, parts, strict=True))

    def block(self, name: str) -> slice:
        """Where a part's rows stand in the weights."""
        names = list(self.sizes)
        first = sum(self.sizes[each] for each in names[: names.index(name)])
        return slice(first, first + self.sizes[name])


def make_controller(
    kind: str | type[Cell], input_size: int, hidden_size: int, bias: bool, where: str, device: Any, dtype: Any
) -> Cell:
    """The controller from a registered name or a class.

    Raises:
        UsageError: it is neither, or it does not run along time.
    """
    arguments: dict[str, Any] = {}
    if isinstance(kind, str):
        made, arguments = cell_class(kind)
        wrong = f"controller is {kind!r}, which does not run along time" if CELLS[kind].driver != "unroll" else ""
    else:
        made = kind
        is_cell = isinstance(kind, type) and issubclass(kind, Cell)
        wrong = "" if is_cell else f"controller is {getattr(kind, '__name__', type(kind).__name__)}"
    if wrong:
        raise UsageError(wrong, where=where, need="the name of a cell for sequences, or a class derived from Cell")
    # A class of one's own that knows no biases may stand here too, as long as nobody wants it without them.
    options = {"device": device, "dtype": dtype, **({} if bias else {"bias": False})}
    return made(input_size, hidden_size, **{**arguments, **options})


def recurrent_names(controller: Cell) -> tuple[str, ...]:
    """The controller's recurrent weights as the whole cell names them."""
    return tuple(f"controller.{name}" for name in controller.recurrent_weights)


def controller_name(kind: str | type[Cell]) -> str:
    """How the cell's text names its controller."""
    return kind if isinstance(kind, str) else kind.__name__


def filled(cell: Cell, shape: tuple[int, ...], value: float, dtype: Any, device: Any) -> Tensor:
    """A part of a first state that is the same number everywhere."""
    weight = next(cell.parameters())
    return weight.new_full(shape, value, dtype=dtype or weight.dtype, device=device or weight.device)
