"""Rows with strengths, taken from and read in order: what continuous stacks and queues are made of."""

from __future__ import annotations

import torch
from torch import Tensor


def before_first(strengths: Tensor) -> Tensor:
    """The sum of the strengths before each row, counted from the first one.

    Example:
        >>> before_first(torch.tensor([1.0, 2.0, 3.0]))
        tensor([0., 1., 3.])
    """
    sums = strengths.cumsum(-1)
    return torch.cat([torch.zeros_like(sums[..., :1]), sums[..., :-1]], -1)


def before_last(strengths: Tensor) -> Tensor:
    """The sum of the strengths after each row: what stands before it when counted from the last one."""
    return before_first(strengths.flip(-1)).flip(-1)


def taken(strengths: Tensor, amount: Tensor, before: Tensor) -> Tensor:
    """What is left of the strengths when an amount is taken, row after row.

    Equations:
        s'(i) = max(0, s(i) - max(0, amount - before(i))).

    Shapes:
        strengths and before (batch, rows), amount (batch, 1).

    Example:
        >>> s = torch.tensor([[0.5, 0.7, 1.0]])
        >>> taken(s, torch.tensor([[0.8]]), before_first(s))
        tensor([[0.0000, 0.4000, 1.0000]])
    """
    return torch.relu(strengths - torch.relu(amount - before))


def read_off(values: Tensor, strengths: Tensor, before: Tensor) -> Tensor:
    """The rows' values, weighted by the part of each that lies within the first unit of strength.

    Equations:
        r = sum over i of min(s(i), max(0, 1 - before(i))) V(i).

    Shapes:
        values (batch, rows, width), strengths and before (batch, rows); r (batch, width).

    Example:
        >>> s = torch.tensor([[0.5, 0.7, 1.0]])
        >>> read_off(torch.eye(3).unsqueeze(0), s, before_first(s))
        tensor([[0.5000, 0.5000, 0.0000]])
    """
    weights = torch.minimum(strengths, torch.relu(1.0 - before))
    return (weights.unsqueeze(-2) @ values).squeeze(-2)


def pushed(rows: Tensor, new: Tensor) -> Tensor:
    """The rows behind a new first one; the last of them falls off. rows (batch, rows, ...), new (batch, ...)."""
    return torch.cat([new.unsqueeze(1), rows[:, :-1]], 1)
