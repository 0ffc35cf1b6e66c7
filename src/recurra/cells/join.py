"""What a cell is that joins several earlier states: the children of a tree's node, the neighbours of a grid's point."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from recurra.cells.base import Cell, check_input, check_number_format, check_size
from recurra.cells.state import map_state, state_tensors
from recurra.errors import ShapeError, UsageError
from recurra.types import State


class JoinCell(nn.Module):
    """One step that reads an input and several earlier states; `recurra.fold` and `recurra.sweep` drive it.

    Equations:
        (y, s) = cell(x, states, present), where states holds an earlier state in each of its slots.

    A tree's node has one slot a child, a grid's point one slot a dimension. A cell defines `initial_state(batch_size)`,
    which is what stands in a slot that is empty, and `advance(projected, states, present)`. What depends on x alone
    goes into `project(x)`, which a driver runs once for all nodes or points, as one large matrix product.

    Write plain out-of-place tensor operations, so that `vmap`, `jvp`, double backward and export work.

    Args:
        input_size: features of x.
        hidden_size: hidden units.
        slots: how many earlier states the cell joins; None where any number will do.
        output_size: features of y; `hidden_size` when absent.

    Shapes:
        x (batch, input_size); every tensor of states (batch, slots, ...); present (batch, slots), booleans, all True
        when absent; y (batch, output_size); every tensor of the new state (batch, ...). The batch is of nodes or
        points.

    Attributes:
        elementwise, linear, continuous_time, external_memory: as in `recurra.Cell`; none of them holds for such a cell.

    Raises:
        UsageError: a size is not a positive whole number.
        ShapeError: x, states or present does not fit; the message names the argument, its shape and the shape needed.

    Example:
        >>> import torch
        >>> from recurra.cells import HiddenState
        >>> class Count(JoinCell):
        ...     def initial_state(self, batch_size, *, dtype=None, device=None):
        ...         return HiddenState(torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device))
        ...     def advance(self, projected, states, present):
        ...         h = projected + states.h.sum(1)
        ...         return h, HiddenState(h)
        >>> cell = Count(1, 1, slots=2)
        >>> cell(torch.ones(1, 1), HiddenState(torch.tensor([[[3.0], [4.0]]])), torch.tensor([[True, False]]))[0]
        tensor([[4.]])
    """

    elementwise: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    continuous_time: ClassVar[bool] = False
    external_memory: ClassVar[bool] = False

    def __init__(self, input_size: int, hidden_size: int, slots: int | None, output_size: int | None = None):
        super().__init__()
        where = type(self).__name__
        self.input_size = check_size(input_size, "input_size", where)
        self.hidden_size = check_size(hidden_size, "hidden_size", where)
        self.slots = None if slots is None else check_size(slots, "slots", where)
        self.output_size = self.hidden_size if output_size is None else output_size

    def initial_state(
        self, batch_size: int, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> State:
        """What stands in an empty slot; dtype and device are those of the weights when absent."""
        raise NotImplementedError(f"{type(self).__name__} needs initial_state(batch_size)")

    def project(self, x: Tensor) -> Tensor:
        """The part of a step that needs no state; x is (..., input_size), and so may be that of all nodes."""
        return x

    def advance(self, projected: Tensor, states: State, present: Tensor) -> tuple[Tensor, State]:
        """The rest of the step; empty slots hold the initial state, and no shape is checked here."""
        raise NotImplementedError(f"{type(self).__name__} needs advance(projected, states, present)")

    def forward(self, x: Tensor, states: State, present: Tensor | None = None) -> tuple[Tensor, State]:
        """One step: `(y, state)`; what stands in an empty slot, NaN included, reaches no value and no gradient."""
        where = type(self).__name__
        check_input(x, ("batch",), self.input_size, where=where)
        check_number_format(x, self, where=where)
        empty = self.initial_state(x.shape[0], dtype=x.dtype, device=x.device)
        states, slots = _match_states(states, empty, x.shape[0], self.slots, where)
        if present is None:
            present = torch.ones(x.shape[0], slots, dtype=torch.bool, device=x.device)
        else:
            present = _check_present(present, x.shape[0], slots, where).to(x.device)

        def choose(part: Tensor, nothing: Tensor) -> Tensor:
            return torch.where(present.reshape(*present.shape, *[1] * (part.dim() - 2)), part, nothing.unsqueeze(1))

        return self.advance(self.project(x), map_state(choose, states, empty), present)

    def reset_parameters(self) -> None:
        """Draw all weights anew, uniform in +-1/sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self._parameters.values():
            if weight is not None:
                nn.init.uniform_(weight, -bound, bound)

    def _zeros(self, batch_size: int, dtype: Any, device: Any) -> Tensor:
        weight = next(self.parameters(), None)
        if weight is not None:
            dtype, device = dtype or weight.dtype, device or weight.device
        return torch.zeros(batch_size, self.hidden_size, dtype=dtype, device=device)

    def _weights(self, bias: bool, device: Any, dtype: Any, **shapes: tuple[int, ...]) -> None:
        """Register weights in the given order and draw them; names beginning with `bias` may be left out."""
        for name, shape in shapes.items():
            wanted = bias or not name.startswith("bias")
            empty = nn.Parameter(torch.empty(shape, device=device, dtype=dtype)) if wanted else None
            self.register_parameter(name, empty)
        self.reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def slots_of(cell: Any, where: str) -> int | None:
    """How many earlier states a cell joins: 1 for a cell of a chain, None for any number.

    Raises:
        UsageError: it is no cell.
    """
    if isinstance(cell, JoinCell):
        return cell.slots
    if isinstance(cell, Cell):
        return 1
    raise UsageError(f"cell is {type(cell).__name__}", where=where, need="a cell derived from JoinCell or from Cell")


def advance_joined(cell: JoinCell | Cell, projected: Tensor, states: State, present: Tensor) -> tuple[Tensor, State]:
    """The step of either kind of cell; a cell of a chain reads the one slot, where its initial state may stand."""
    if isinstance(cell, JoinCell):
        return cell.advance(projected, states, present)
    return cell.advance(projected, map_state(lambda part: part.squeeze(1), states))


def cut_rows(state: State, sizes: list[int]) -> list[State]:
    """States cut along their rows. split, not slices: its backward is one concatenation."""
    pieces = [iter(part.split(sizes)) for part in state_tensors(state)]
    cut = []
    for _ in sizes:
        turn = iter(pieces)
        cut.append(map_state(lambda _, turn=turn: next(next(turn)), state))
    return cut


def _match_states(given: Any, empty: State, batch: int, slots: int | None, where: str) -> tuple[State, int]:
    """The given states in the structure of `empty`, and the number of their slots."""
    fields = getattr(empty, "_fields", None)
    names = [f"states.{field}" for field in fields] if fields else [f"states[{i}]" for i in range(len(empty))]
    if not isinstance(given, tuple | list) or len(given) != len(empty):
        got = f"{len(given)} parts" if isinstance(given, tuple | list) else type(given).__name__
        parts = "(" + ", ".join(fields) + ")" if fields else f"{len(empty)} entries"
        raise ShapeError(f"states is {got}", where=where, need=f"a tuple of {parts}")
    first = given[0]
    if slots is None:
        slots = first.shape[1] if isinstance(first, Tensor) and first.dim() > 1 else 1
    for name, part, like in zip(names, given, empty, strict=True):
        sizes = (batch, slots, *like.shape[1:])
        if not isinstance(part, Tensor) or part.shape != sizes:
            got = f"has shape {tuple(part.shape)}" if isinstance(part, Tensor) else f"is {type(part).__name__}"
            raise ShapeError(f"{name} {got}", where=where, need=f"{sizes}, that is (batch, slots, features)")
    return (type(empty)(*given) if fields else tuple(given)), slots


def _check_present(present: Any, batch: int, slots: int, where: str) -> Tensor:
    need = f"({batch}, {slots}) of booleans, that is (batch, slots)"
    if not isinstance(present, Tensor) or present.shape != (batch, slots):
        got = f"has shape {tuple(present.shape)}" if isinstance(present, Tensor) else f"is {type(present).__name__}"
        raise ShapeError(f"present {got}", where=where, need=need)
    if present.dtype != torch.bool:
        raise ShapeError(f"present is {present.dtype}", where=where, need=need, cure="present.bool()")
    return present
