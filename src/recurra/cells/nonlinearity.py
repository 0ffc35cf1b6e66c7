"""Nonlinearities by name, and the check of a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from recurra.errors import UsageError

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "linear": lambda total: total,
}
"""What the names stand for; "linear" is the identity."""


def check_nonlinearity(name: str, allowed: Iterable[str], where: str, argument: str = "nonlinearity") -> str:
    """One of the allowed names, or a UsageError that lists them."""
    allowed = tuple(allowed)
    if name not in allowed:
        listed = " or ".join(repr(each) for each in allowed)
        raise UsageError(f"{argument} is {name!r}", where=where, need=listed)
    return name
