"""States: nested tuples of tensors, batch first, and the two things the library does with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from recurra.errors import ShapeError
from recurra.types import State


class HiddenState(NamedTuple):
    """The state of a cell that carries its hidden units and nothing else.

    Attributes:
        h: hidden units, (batch, hidden_size).
    """

    h: Tensor


def map_state(function: Callable[..., Any], *states: State) -> State:
    """Apply a function to the tensors of states of one structure, and keep the structure.

    Args:
        function: takes one tensor of each state.
        states: tensors, tuples or NamedTuples of such, nested as one likes; all of the same structure.

    Example:
        >>> import torch
        >>> from recurra.cells import LSTM
        >>> state = LSTM(2, 3).initial_state(1)
        >>> map_state(lambda part: part + 1, state).c
        tensor([[1., 1., 1.]])
    """
    first = states[0]
    if isinstance(first, Tensor):
        return function(*states)
    parts = [map_state(function, *each) for each in zip(*states, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def state_tensors(state: State) -> list[Tensor]:
    """The tensors of a state in a fixed order."""
    if isinstance(state, Tensor):
        return [state]
    return [tensor for part in state for tensor in state_tensors(part)]


def match_state(given: Any, like: State, *, where: str, name: str = "state") -> State:
    """A given state in the structure of `like`, or an error that names the part that does not fit.

    Plain tuples and lists are taken for NamedTuples of the same length.

    Raises:
        ShapeError: a part is missing, is no tensor, or has another shape.
    """
    if isinstance(like, Tensor):
        if not isinstance(given, Tensor):
            raise ShapeError(f"{name} is {type(given).__name__}", where=where, need=f"a tensor {tuple(like.shape)}")
        if given.shape != like.shape:
            raise ShapeError(
                f"{name} has shape {tuple(given.shape)}",
                where=where,
                need=f"{tuple(like.shape)}, that is (batch, features)",
                cure="begin with None, or pass on the state that an earlier call gave for the same batch",
            )
        return given
    fields = getattr(like, "_fields", None)
    if not isinstance(given, tuple | list) or len(given) != len(like):
        got = f"{len(given)} parts" if isinstance(given, tuple | list) else type(given).__name__
        parts = "(" + ", ".join(fields) + ")" if fields else f"{len(like)} entries"
        raise ShapeError(f"{name} is {got}", where=where, need=f"a tuple of {parts}", cure="begin with None")
    labels = [f"{name}.{field}" for field in fields] if fields else [f"{name}[{i}]" for i in range(len(like))]
    matched = [
        match_state(part, model, where=where, name=label)
        for part, model, label in zip(given, like, labels, strict=True)
    ]
    return type(like)(*matched) if fields else tuple(matched)
