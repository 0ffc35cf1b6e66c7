"""What the rules for associative memories share: the check of the patterns."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.errors import ShapeError


def check_patterns(patterns: Any, where: str) -> Tensor:
    """Patterns as floating-point numbers (patterns, units), or a ShapeError."""
    if not isinstance(patterns, Tensor) or patterns.dim() != 2 or patterns.shape[1] == 0:
        given = f"of shape {tuple(patterns.shape)}" if isinstance(patterns, Tensor) else type(patterns).__name__
        raise ShapeError(
            f"patterns is {given}", where=where, need="a tensor (patterns, units), one pattern a row, of 1 unit or more"
        )
    return patterns if patterns.dtype.is_floating_point else patterns.to(torch.get_default_dtype())


def check_weight(weight: Tensor | None, patterns: Tensor, where: str) -> Tensor:
    """The weights to add to, (units, units), zeros when absent, or a ShapeError."""
    units = patterns.shape[1]
    if weight is None:
        return patterns.new_zeros(units, units)
    if weight.shape != (units, units):
        raise ShapeError(f"weight has shape {tuple(weight.shape)}", where=where, need=f"({units}, {units})")
    return weight


def without_diagonal(weight: Tensor) -> Tensor:
    """The matrix with zeros on its diagonal."""
    return weight - torch.diag_embed(torch.diagonal(weight, dim1=-2, dim2=-1))
