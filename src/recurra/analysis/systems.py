"""What the instruments of dynamics measure: cells, plain maps and flows, each as a map of flat state vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from recurra.analysis.float64 import in_float64
from recurra.cells.base import Cell, check_input, check_size
from recurra.cells.integrate import METHODS, integrate
from recurra.cells.state import map_state, match_state, state_tensors
from recurra.cells.time_step import check_choice, check_positive
from recurra.errors import ShapeError, UsageError
from recurra.types import State

Field = Callable[[Tensor], Tensor]


class Map:
    """A plain map s' = F(s) of vectors.

    Args:
        function: F, from (batch, features) to the same shape, in plain tensor operations; each row by itself.

    Example:
        >>> import torch
        >>> Map(lambda s: 4 * s * (1 - s)).advance(torch.tensor([[0.5]]))
        tensor([[1.]])
    """

    time_step = 1.0

    def __init__(self, function: Field):
        self.function = function

    def advance(self, s: Tensor) -> Tensor:
        """F(s)."""
        return self.function(s)

    def respond(self, s: Tensor, response: Tensor, indices: Tensor) -> Tensor:
        """The next values of the features `indices` when they stand at `response` and the others are those of s."""
        return self.advance(s.index_copy(-1, indices, response)).index_select(-1, indices)


class Flow(Map):
    """A flow ds/dt = f(s), as its map over a short time.

    Args:
        field: f, from (batch, features) to the same shape, in plain tensor operations.
        dt: the time of one application of the map.
        method: "euler", "rk2" or "rk4", as in `recurra.cells.integrate`.
        substeps: equal steps of integration for each dt.

    Shapes:
        s (batch, features); dt in the unit of time of the field.

    Raises:
        UsageError: dt or substeps is not positive, or the method is none of the three.

    Example:
        >>> import torch
        >>> round(float(Flow(lambda s: -s, dt=0.1).advance(torch.ones(1, 1, dtype=torch.float64))), 6)
        0.904837
    """

    def __init__(self, field: Field, dt: float, method: str = "rk4", substeps: int = 1):
        self.field, self.time_step = field, check_positive(dt, "dt", "Flow")
        self.method = check_choice(method, "method", tuple(METHODS), "Flow")
        self.substeps = check_size(substeps, "substeps", "Flow")

    def advance(self, s: Tensor) -> Tensor:
        """The state a time dt later."""
        return integrate(self.field, s, self.time_step, self.method, self.substeps)

    def respond(self, s: Tensor, response: Tensor, indices: Tensor) -> Tensor:
        """As in a map; within the step the response reads the course of s, on which it has no effect."""
        features = s.shape[-1]

        def both(joined: Tensor) -> Tensor:
            driver, driven = joined[..., :features], joined[..., features:]
            merged = driver.index_copy(-1, indices, driven)
            return torch.cat([self.field(driver), self.field(merged).index_select(-1, indices)], -1)

        joined = torch.cat([s, response], -1)
        return integrate(both, joined, self.time_step, self.method, self.substeps)[..., features:]


class CellMap:
    """A cell's step as a map of flat state vectors, in float64 on the processor.

    The cell is copied, and so left as it is. The vector holds the floating-point parts of the state, one after another;
    whole numbers and booleans are carried along beside it.

    Args:
        cell: any cell.
        hold: names of parts that are not in the vector.

    Shapes:
        vectors (batch, features), x (batch, input_size).

    Example:
        >>> import torch
        >>> from recurra.cells import LSTM
        >>> step = CellMap(LSTM(2, 3))
        >>> s, beside = step.start(4)
        >>> s.shape, step.names
        (torch.Size([4, 6]), ['h[0]', 'h[1]', 'h[2]', 'c[0]', 'c[1]', 'c[2]'])
    """

    def __init__(self, cell: Cell, hold: Sequence[str] = ()):
        if not isinstance(cell, Cell):
            raise UsageError(f"cell is {type(cell).__name__}", where="CellMap", need="a cell")
        self.cell = in_float64(cell)
        like = self.cell.initial_state(1, dtype=torch.float64)
        parts, labels = state_tensors(like), part_names(like)
        self.inside = [
            part.is_floating_point() and label.rpartition(".")[2] not in hold
            for part, label in zip(parts, labels, strict=True)
        ]
        self.shapes = [part.shape[1:] for part in parts]
        self.names = [
            f"{label}[{unit}]"
            for part, label, inside in zip(parts, labels, self.inside, strict=True)
            if inside
            for unit in range(part.numel())
        ]
        if not self.names:
            raise UsageError(f"{type(cell).__name__} has no state of real numbers", where="CellMap", need="a cell with")
        self._like = like

    @property
    def features(self) -> int:
        """Length of the vector."""
        return len(self.names)

    def start(self, batch_size: int) -> tuple[Tensor, list[Tensor]]:
        """The cell's initial state: the vector, and what is beside it."""
        return self.flatten(self.cell.initial_state(batch_size, dtype=torch.float64))

    def flatten(self, state: State, where: str = "state") -> tuple[Tensor, list[Tensor]]:
        """The vector of a state, and what is beside it."""
        size = state_tensors(state)[0].shape[0] if not isinstance(state, Tensor) else state.shape[0]
        state = match_state(state, map_state(lambda part: part.expand(size, *part.shape[1:]), self._like), where=where)
        parts = state_tensors(state)
        vector = [part.flatten(1).double() for part, inside in zip(parts, self.inside, strict=True) if inside]
        return torch.cat(vector, -1), [part for part, inside in zip(parts, self.inside, strict=True) if not inside]

    def unflatten(self, vector: Tensor, beside: Sequence[Tensor]) -> State:
        """The state of a vector and what is beside it."""
        at, others, parts = 0, iter(beside), []
        for shape, inside in zip(self.shapes, self.inside, strict=True):
            if inside:
                size = shape.numel()
                parts.append(
                    vector[..., at : at + size].unflatten(-1, shape) if len(shape) != 1 else vector[..., at : at + size]
                )
                at += size
            else:
                parts.append(next(others))
        again = iter(parts)
        return map_state(lambda part: next(again), self._like)

    def advance(self, x: Tensor, vector: Tensor, beside: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The step: the output, the next vector, and what is beside it."""
        y, after = self.cell.advance(self.cell.project(x), self.unflatten(vector, beside))
        parts = state_tensors(after)
        inside = [part.flatten(1) for part, kept in zip(parts, self.inside, strict=True) if kept]
        return y, torch.cat(inside, -1), [part for part, kept in zip(parts, self.inside, strict=True) if not kept]

    def next_vector(self, x: Tensor, beside: Sequence[Tensor]) -> Field:
        """The map of vectors for one input."""
        return lambda vector: self.advance(x, vector, beside)[1]

    def check_x(self, x: Any, leading: tuple[str, ...], where: str) -> Tensor:
        """x in float64 on the processor, or a ShapeError that says what it needs."""
        check_input(x, leading, self.cell.input_size, where=where)
        return x.detach().cpu().double()


def part_names(state: State, name: str = "") -> list[str]:
    """The names of a state's tensors in the order of `state_tensors`.

    Example:
        >>> from recurra.cells import LSTM
        >>> part_names(LSTM(1, 1).initial_state(1))
        ['h', 'c']
    """
    if isinstance(state, Tensor):
        return [name or "state"]
    fields = getattr(state, "_fields", None) or range(len(state))
    inner = [f"{name}.{field}" if name else str(field) for field in fields]
    return [found for part, label in zip(state, inner, strict=True) for found in part_names(part, label)]


def tangents(function: Field, s: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """F(s) and its Jacobian's products with vectors, at many states at once.

    Equations:
        (F(s_b), dF(s_b)/ds v_bk) for each state b of the batch and each of its columns k, by forward differentiation.

    Shapes:
        s (batch, features); columns (batch, features, count), and the products (batch, outputs, count).

    Raises:
        ShapeError: F gives no tensor of as many rows as s has.
    """

    def product(column: Tensor) -> tuple[Tensor, Tensor]:
        return cast(tuple[Tensor, Tensor], torch.func.jvp(function, (s,), (column,)))

    after, products = torch.func.vmap(product, in_dims=-1, out_dims=cast(Any, (None, -1)))(columns)
    if after.dim() != 2 or len(after) != len(s):
        raise ShapeError(f"the map gives {tuple(after.shape)}", where="tangents", need=f"({len(s)}, features)")
    return after, products


def jacobians(function: Field, s: Tensor) -> tuple[Tensor, Tensor]:
    """F(s) and its whole Jacobian at each state of the batch: s (batch, features) to (batch, outputs, features).

    Example:
        >>> import torch
        >>> jacobians(lambda s: s * s, torch.tensor([[1.0, 2.0]]))[1]
        tensor([[[2., 0.],
                 [0., 4.]]])
    """
    unit = torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    return tangents(function, s, unit.expand(len(s), -1, -1))
