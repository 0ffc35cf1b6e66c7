"""The two forms in which callers hold a layer's state: one entry a cell, or torch.nn's stacked tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from recurra.cells.base import Cell
from recurra.cells.state import map_state
from recurra.errors import ShapeError
from recurra.types import State


class StateForm(Protocol):
    """Translates between a caller's form and one state a cell, batch first."""

    def enter(self, state: Any, cells: Sequence[Cell], batch: int, batched: bool, where: str) -> Sequence[State]:
        """One state a cell; `batched` is False where the caller's tensors have no batch dimension."""
        ...

    def leave(self, states: Sequence[State], batched: bool) -> Any:
        """The caller's form."""
        ...


class PerCell:
    """A tuple with one entry a layer and direction, each the cell's own state."""

    def enter(self, state: Any, cells: Sequence[Cell], batch: int, batched: bool, where: str) -> Sequence[State]:
        """The given tuple; what its entries hold is checked where they are used."""
        if not isinstance(state, tuple | list) or len(state) != len(cells):
            got = f"{len(state)} entries" if isinstance(state, tuple | list) else type(state).__name__
            raise ShapeError(
                f"state is {got}",
                where=where,
                need=f"a tuple of {len(cells)}, one a layer and direction",
                cure="begin with None, or pass on the state that an earlier call gave",
            )
        return state if batched else [map_state(lambda part: part.unsqueeze(0), entry) for entry in state]

    def leave(self, states: Sequence[State], batched: bool) -> tuple[State, ...]:
        """The tuple."""
        return tuple(states if batched else (map_state(lambda part: part.squeeze(0), entry) for entry in states))


class Stacked:
    """torch.nn's form: h, or h and c, each one tensor (num_layers * directions, batch, features)."""

    def enter(self, state: Any, cells: Sequence[Cell], batch: int, batched: bool, where: str) -> Sequence[State]:
        """One state a cell from `h_0`, or from `(h_0, c_0)` where the cell's state has two parts."""
        like = cells[0].initial_state(batch)
        names = [f"{name}_0" for name in like._fields]
        parts = (state,) if len(names) == 1 else state
        if not isinstance(parts, tuple | list) or len(parts) != len(names):
            got = f"{len(parts)} parts" if isinstance(parts, tuple | list) else type(parts).__name__
            raise ShapeError(f"hx is {got}", where=where, need=f"a tuple ({', '.join(names)})", cure="begin with None")
        checked = []
        for part, name, model in zip(parts, names, like, strict=True):
            sizes = (len(cells), batch, model.shape[1]) if batched else (len(cells), model.shape[1])
            checked.append(_check(part, sizes, name, where).reshape(len(cells), batch, -1))
        return [type(like)(*(part[index] for part in checked)) for index in range(len(cells))]

    def leave(self, states: Sequence[State], batched: bool) -> Tensor | tuple[Tensor, ...]:
        """`h_n`, or `(h_n, c_n)`."""
        parts = [torch.stack(each) for each in zip(*states, strict=True)]
        if not batched:
            parts = [part.squeeze(1) for part in parts]
        return parts[0] if len(parts) == 1 else tuple(parts)


def _check(part: Any, sizes: tuple[int, ...], name: str, where: str) -> Tensor:
    if not isinstance(part, Tensor) or tuple(part.shape) != sizes:
        got = f"has shape {tuple(part.shape)}" if isinstance(part, Tensor) else f"is {type(part).__name__}"
        meaning = "(num_layers * directions, " + ("batch, " if len(sizes) == 3 else "") + "features)"
        raise ShapeError(f"{name} {got}", where=where, need=f"{sizes}, that is {meaning}", cure="begin with None")
    return part
