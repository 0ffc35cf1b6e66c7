"""Walking over a state: any nesting of NamedTuples, tuples, lists, dicts and dataclasses of tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError


def map_tensors(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """The same state with `function` applied to each tensor; what is no tensor is passed on as it is."""
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, tuple):
        parts = [map_tensors(function, part) for part in state]
        # A NamedTuple takes its fields one by one, a plain tuple takes them as one sequence.
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    if isinstance(state, list):
        return [map_tensors(function, part) for part in state]
    if isinstance(state, dict):
        return {key: map_tensors(function, part) for key, part in state.items()}
    if dataclasses.is_dataclass(state) and not isinstance(state, type):
        fields = (f.name for f in dataclasses.fields(state) if f.init)
        return dataclasses.replace(state, **{name: map_tensors(function, getattr(state, name)) for name in fields})
    return state


def tensors_of(state: Any) -> list[Tensor]:
    """The state's tensors, always in the same order."""
    found: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        found.append(tensor)
        return tensor

    map_tensors(keep, state)
    return found


def cut_from_graph(state: Any) -> Any:
    """The state's values as new leaves: no gradient flows through them, but one can be read off at them."""

    def cut(tensor: Tensor) -> Tensor:
        leaf = tensor.detach()
        return leaf.requires_grad_() if torch.is_floating_point(leaf) or torch.is_complex(leaf) else leaf

    return map_tensors(cut, state)


def flat_state(state: Any, size: int) -> Tensor:
    """The state's floating-point numbers, (batch, n); a complex number counts as two.

    Raises:
        ShapeError: a tensor of the state does not have the batch as its first dimension.
    """
    rows = []
    for tensor in tensors_of(state):
        if torch.is_complex(tensor):
            tensor = torch.view_as_real(tensor)
        if not torch.is_floating_point(tensor):
            continue
        if tensor.dim() == 0 or tensor.shape[0] != size:
            raise ShapeError(
                f"a tensor of the state has shape {tuple(tensor.shape)}",
                where="online gradient rule",
                need=f"the batch of {size} as the first dimension of every tensor of the state",
                cure="let the learner carry such a state, and call reset(memory) before another batch size",
            )
        rows.append(tensor.reshape(size, -1))
    return torch.cat(rows, 1) if rows else torch.zeros(size, 0)


def with_flat_state(state: Any, flat: Tensor) -> Any:
    """The same state with the numbers of `flat`, laid out as `flat_state` does."""
    at = 0

    def take(tensor: Tensor) -> Tensor:
        nonlocal at
        if torch.is_complex(tensor):
            count = 2 * tensor[0].numel()
            part = flat[:, at : at + count].reshape(*tensor.shape, 2)
            at += count
            return torch.view_as_complex(part.contiguous())
        if not torch.is_floating_point(tensor):
            return tensor
        count = tensor[0].numel()
        part = flat[:, at : at + count].reshape(tensor.shape)
        at += count
        return part.to(tensor.dtype)

    return map_tensors(take, state)
