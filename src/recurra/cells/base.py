"""What a cell is: one step of a recurrent network, in plain tensor operations."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from recurra.cells.state import match_state
from recurra.errors import ShapeError, UsageError
from recurra.types import State


class Cell(nn.Module):
    """One step of a recurrent network; everything else in the library drives cells.

    Equations:
        (y_t, s_t) = cell(x_t, s_{t-1}), with s_0 = cell.initial_state(batch_size).

    A cell defines `initial_state` and one of these two:

    - `forward(x, state)`, the whole step; or, better where a part of the step does not depend on the state,
    - `project(x)`, which is that part and takes any number of leading dimensions, and `advance(projected, state)`, the
      rest. Then forward(x, state) = advance(project(x), state), and a driver may run `project` once for all time
      steps, as one large matrix product.

    Write plain out-of-place tensor operations, so that `vmap`, `jvp`, double backward and export work.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        output_size: features of y_t; `hidden_size` when absent.

    Shapes:
        x (batch, input_size), y (batch, output_size); every tensor of the state is (batch, anything).

    Attributes:
        elementwise: whether a hidden unit's next value depends on no other hidden unit's last value.

    Raises:
        UsageError: a size is not a positive whole number.
        ShapeError: x or the state does not fit; the message names the argument, its shape and the shape needed.

    Example:
        >>> import torch
        >>> from recurra.cells import HiddenState
        >>> class Sum(Cell):
        ...     def initial_state(self, batch_size, *, dtype=None, device=None):
        ...         return HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device))
        ...     def advance(self, projected, state):
        ...         h = state.h + projected
        ...         return h, HiddenState(h)
        >>> cell = Sum(2, 2)
        >>> cell(torch.ones(1, 2), cell.initial_state(1))[0]
        tensor([[1., 1.]])
    """

    elementwise: ClassVar[bool] = False

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None):
        super().__init__()
        self.input_size = check_size(input_size, "input_size", type(self).__name__)
        self.hidden_size = check_size(hidden_size, "hidden_size", type(self).__name__)
        self.output_size = self.hidden_size if output_size is None else output_size

    def initial_state(
        self, batch_size: int, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> State:
        """The state before the first step; dtype and device are those of the weights when absent."""
        raise NotImplementedError(f"{type(self).__name__} needs initial_state(batch_size)")

    def project(self, x: Tensor) -> Tensor:
        """The part of a step that needs no state; x is (..., input_size), and so may be a whole sequence."""
        return x

    def advance(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        """The rest of the step, from what `project` gave for one step; no shape is checked here."""
        return self.forward(projected, state)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step: `(y, state)` from x (batch, input_size) and the last state."""
        if type(self).advance is Cell.advance:
            raise NotImplementedError(f"{type(self).__name__} needs forward(x, state) or advance(projected, state)")
        where = type(self).__name__
        check_input(x, ("batch",), self.input_size, where=where)
        check_number_format(x, self, where=where)
        state = match_state(state, self.initial_state(x.shape[0], dtype=x.dtype, device=x.device), where=where)
        return self.advance(self.project(x), state)

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in +-1/sqrt(hidden_size), in the order and manner of torch.nn."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self._parameters.values():
            if weight is not None:
                nn.init.uniform_(weight, -bound, bound)

    def _zeros(self, batch_size: int, features: int, dtype: Any, device: Any) -> Tensor:
        weight = next(self.parameters(), None)
        if weight is not None:
            dtype, device = dtype or weight.dtype, device or weight.device
        return torch.zeros(batch_size, features, dtype=dtype, device=device)

    def _weights(self, bias: bool, device: Any, dtype: Any, **shapes: tuple[int, ...]) -> None:
        """Register weights in the given order and draw them; names beginning with `bias` may be left out."""
        for name, shape in shapes.items():
            wanted = bias or not name.startswith("bias")
            empty = nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, empty)
        self.reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def check_size(size: Any, name: str, where: str) -> int:
    """A positive whole number, or a UsageError that names the argument."""
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise UsageError(f"{name} is {size!r}", where=where, need="a positive whole number")
    return size


def check_input(x: Any, leading: tuple[str, ...], features: int, *, where: str, name: str = "x") -> None:
    """Check that x is (*leading, features), or raise a ShapeError that says so."""
    need = "(" + ", ".join((*leading, str(features))) + ")"
    if not isinstance(x, Tensor):
        raise ShapeError(f"{name} is {type(x).__name__}", where=where, need=f"a tensor {need}", cure="torch.as_tensor")
    if x.dim() != len(leading) + 1:
        raise ShapeError(f"{name} has shape {tuple(x.shape)}, {x.dim()} dimensions", where=where, need=need)
    if x.shape[-1] != features:
        raise ShapeError(
            f"{name} has shape {tuple(x.shape)}",
            where=where,
            need=f"{need}, since input_size is {features}",
            cure=f"give {features} features, or build with input_size={x.shape[-1]}",
        )


def check_number_format(x: Tensor, module: nn.Module, *, where: str, name: str = "x") -> None:
    """Check that x has the weights' number format, unless autocast takes care of that."""
    weight = next(module.parameters(), None)
    if weight is None or weight.dtype == x.dtype or torch.is_autocast_enabled(x.device.type):
        return
    cure = f"x.to({weight.dtype})"
    if x.dtype.is_floating_point:
        cure += f", or the module's .to({x.dtype})"
    raise ShapeError(f"{name} is {x.dtype}", where=where, need=f"{weight.dtype} as the weights are", cure=cure)
