"""Delay lines: the last values of a signal, newest first, side by side in one vector."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import UsageError


def shift(line: Tensor, newest: Tensor) -> Tensor:
    """The delay line one step on: `newest` (..., features) in front, the oldest value out at the end.

    Example:
        >>> shift(torch.tensor([[3.0, 2.0]]), torch.tensor([[4.0]]))
        tensor([[4., 3.]])
    """
    return torch.cat([newest, line], -1)[..., : line.shape[-1]]


def check_order(value: Any, name: str, where: str, least: int = 1, of: str = "steps") -> int:
    """A whole number of delays (or of what `of` says), at least `least`, or a UsageError that names the argument."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{name} is {value!r}", where=where, need=f"a whole number of {of}, at least {least}")
    return value
