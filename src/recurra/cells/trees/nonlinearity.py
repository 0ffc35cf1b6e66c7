"""The nonlinearities that a user may choose by name."""

from __future__ import annotations

import torch

from recurra.errors import UsageError

NONLINEARITIES = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}


def check_nonlinearity(name: str, where: str) -> str:
    """The name, or a UsageError that lists the known ones."""
    if name not in NONLINEARITIES:
        raise UsageError(f"nonlinearity is {name!r}", where=where, need="'tanh', 'sigmoid' or 'relu'")
    return name
