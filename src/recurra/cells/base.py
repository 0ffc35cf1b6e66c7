"""What a cell is: one step of a recurrent network, in plain tensor operations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.cells.state import HiddenState, match_state
from recurra.errors import ShapeError, UsageError
from recurra.types import State


@dataclass(frozen=True)
class Gate:
    """Where the bias of a gate stands, so that initialisers find it.

    Attributes:
        bias: the vector's name.
        index: which of its equal blocks is this gate's.
        count: how many blocks the vector has.
        sign: 1 where a large bias opens what the gate is named for (keeps, or writes), -1 where it shuts it.
    """

    bias: str
    index: int
    count: int
    sign: int = 1


class Cell(nn.Module):
    """One step of a recurrent network; everything else in the library drives cells.

    Equations:
        (y_t, s_t) = cell(x_t, s_{t-1}), with s_0 = cell.initial_state(batch_size).

    A cell defines `initial_state`, unless its state is `HiddenState` and begins at zero, and one of these two:

    - `forward(x, state)`, the whole step; or, better where a part of the step does not depend on the state,
    - `project(x)`, which is that part and takes any number of leading dimensions, and `advance(projected, state)`, the
      rest. Then forward(x, state) = advance(project(x), state), and a driver may run `project` once for all time
      steps, as one large matrix product.

    Write plain out-of-place tensor operations, so that `vmap`, `jvp`, double backward and export work. Write products
    of recurrent weights and the hidden units as `self.recur(h, weight, bias)`: the same as `linear(h, weight, bias)`,
    and the place where a layer's recurrent dropout acts.

    A cell in continuous time says so (`continuous_time = True`) and is written as `advance(projected, state, dt=None)`:
    dt is the time since the last step, (batch, 1), or None for the cell's own default.

    Args:
        input_size: features of x_t.
        hidden_size: hidden units.
        output_size: features of y_t; `hidden_size` when absent.

    Shapes:
        x (batch, input_size), y (batch, output_size); every tensor of the state is (batch, anything).

    Attributes:
        elementwise: whether a hidden unit's next value depends on no other hidden unit's last value.
        linear: whether the next state is linear in the last one, with factors that follow from the inputs alone; such a
            cell defines `scan`, which runs all time steps in parallel.
        continuous_time: whether the time since the last step, `dt`, is taken into account.
        external_memory: whether the state holds a memory that is read and written by addresses.
        recurrent_weights: names of the recurrent weights: what weight drop and recurrent initialisers act on.
        keep_gate: the gate that keeps the last state (the forget gate of an LSTM), if there is one with a bias.
        write_gate: the gate that lets new input in, if it is not the keep gate's complement.
        clocks: names of the state's parts that count time, and so take no part in zoneout.
        compiled_part: what of a step is compiled by itself, whatever drives the cell; None for most.

    Raises:
        UsageError: a size is not a positive whole number.
        ShapeError: x or the state does not fit; the message names the argument, its shape and the shape needed.

    Example:
        >>> import torch
        >>> from recurra.cells import HiddenState
        >>> class Sum(Cell):
        ...     def advance(self, projected, state):
        ...         h = state.h + projected
        ...         return h, HiddenState(h)
        >>> cell = Sum(2, 2)
        >>> cell(torch.ones(1, 2), cell.initial_state(1))[0]
        tensor([[1., 1.]])
    """

    elementwise: ClassVar[bool] = False
    linear: bool = False
    continuous_time: ClassVar[bool] = False
    external_memory: ClassVar[bool] = False
    recurrent_weights: ClassVar[tuple[str, ...]] = ("weight_hh",)
    keep_gate: ClassVar[Gate | None] = None
    write_gate: ClassVar[Gate | None] = None
    clocks: ClassVar[tuple[str, ...]] = ()
    compiled_part: str | None = None

    dropped: Callable[[Tensor], Tensor] | None = None
    """Recurrent dropout: what hidden units go through on their way into a recurrent product."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int | None = None):
        super().__init__()
        self.input_size = check_size(input_size, "input_size", type(self).__name__)
        self.hidden_size = check_size(hidden_size, "hidden_size", type(self).__name__)
        self.output_size = self.hidden_size if output_size is None else output_size

    def initial_state(
        self, batch_size: int, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> State:
        """The state before the first step: hidden units at zero, where a cell does not define another.

        dtype and device are those of the weights when absent.
        """
        return HiddenState(self._zeros(batch_size, self.hidden_size, dtype, device))

    def project(self, x: Tensor) -> Any:
        """The part of a step that needs no state, a tensor or a tuple of such; x (..., input_size): a step or all."""
        return x

    def advance(self, projected: Any, state: State) -> tuple[Tensor, State]:
        """The rest of the step, from what `project` gave for one step; no shape is checked here."""
        return self.forward(projected, state)

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """All time steps at once, for a linear cell: from x (time, batch, input_size) the outputs and all states."""
        raise NotImplementedError(f"{type(self).__name__} has no scan, as its step is not linear in the state")

    def forward(self, x: Tensor, state: State, dt: Tensor | float | None = None) -> tuple[Tensor, State]:
        """One step: `(y, state)` from x (batch, input_size), the last state and dt, a number or (batch,)."""
        if type(self).advance is Cell.advance:
            raise NotImplementedError(f"{type(self).__name__} needs forward(x, state) or advance(projected, state)")
        where = type(self).__name__
        check_input(x, ("batch",), self.input_size, where=where)
        check_number_format(x, self, where=where)
        state = match_state(state, self.initial_state(x.shape[0], dtype=x.dtype, device=x.device), where=where)
        if dt is None:
            return self.advance(self.project(x), state)
        check_continuous(self, where)
        advance: Any = self.advance
        return advance(self.project(x), state, check_dt(dt, x, x.shape[:1], where=where).unsqueeze(-1))

    def recur(self, h: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The recurrent product weight h + bias; a vector of weights is taken unit by unit."""
        if self.dropped is not None:
            h = self.dropped(h)
        if weight.dim() > 1:
            return F.linear(h, weight, bias)
        return weight * h if bias is None else weight * h + bias

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


def in_transform() -> bool:
    """Whether the caller runs inside torch.func (vmap, grad, jvp ...) or forward-mode differentiation."""
    return torch._C._functorch.maybe_current_level() is not None or torch.autograd.forward_ad._current_level >= 0


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


def check_continuous(cell: Cell, where: str) -> None:
    """Refuse `dt` where the cell does not know time."""
    if not cell.continuous_time:
        raise UsageError(
            f"dt was given, and {type(cell).__name__} does not know the time between steps",
            where=where,
            need="a cell in continuous time",
            cure="`recurra info cells` marks them; or give the time between steps as one more feature of x",
        )


def check_dt(dt: Any, x: Tensor, shape: tuple[int, ...] | torch.Size, *, where: str) -> Tensor:
    """Times between steps in the shape needed; a single number stands for all of them."""
    names = "(time, batch)" if len(shape) == 2 else "(batch,)"
    if isinstance(dt, int | float) and not isinstance(dt, bool):
        return torch.full(shape, float(dt), dtype=x.dtype, device=x.device)
    if not isinstance(dt, Tensor) or dt.shape != shape:
        got = f"has shape {tuple(dt.shape)}" if isinstance(dt, Tensor) else f"is {type(dt).__name__}"
        raise ShapeError(f"dt {got}", where=where, need=f"a number, or a tensor {tuple(shape)}, that is {names}")
    return dt.to(device=x.device, dtype=x.dtype)
