"""Functions of numpy arrays and of tensors alike, so that one text of a plant or a network serves both.

Simulations lay their copies side by side in the last dimension. On arrays a step runs as it is written; on tensors it
can be traced and compiled, with vectors that run over the copies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

QUARTER = (math.pi / 2, 6.123233995736766e-17)
"""A quarter turn, and what its float64 number leaves over."""


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return torch.tanh(x) if isinstance(x, Tensor) else np.tanh(x)


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    # By tanh in numpy, where exp warns of an overflow.
    return torch.sigmoid(x) if isinstance(x, Tensor) else 0.5 + 0.5 * np.tanh(0.5 * x)


def sign(x: Any) -> Any:
    """-1, 0 or 1."""
    return torch.sign(x) if isinstance(x, Tensor) else np.sign(x)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """One or the other, number by number."""
    return torch.where(condition, yes, no) if isinstance(condition, Tensor) else np.where(condition, yes, no)


def at_most(x: Any, bound: float) -> Any:
    """The smaller of each number and a bound."""
    return x.clamp(max=bound) if isinstance(x, Tensor) else np.minimum(x, bound)


def at_least(x: Any, bound: float) -> Any:
    """The larger of each number and a bound."""
    return x.clamp(min=bound) if isinstance(x, Tensor) else np.maximum(x, bound)


def joined(parts: list[Any]) -> Any:
    """Rows of numbers one below the other: along the last dimension but one."""
    return torch.cat(parts, -2) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis=-2)


def sine_and_cosine(angle: Any) -> Any:
    """Both, accurate to about 1e-15 for angles of up to some hundred turns.

    Of tensors they are worked out by polynomials on an eighth of a turn to both sides: in compiled code these go
    through a whole vector of float64 numbers at once, where the functions of the C library take one number at a time.
    """
    if not isinstance(angle, Tensor):
        return np.sin(angle), np.cos(angle)
    quarters = torch.round(angle * (1.0 / QUARTER[0]))
    rest = angle - quarters * QUARTER[0] - quarters * QUARTER[1]
    square = rest * rest
    sine, cosine = rest * _series(square, 1), _series(square, 0)
    halves = torch.floor(0.5 * quarters)
    odd = quarters - 2.0 * halves
    flip = 1.0 - 2.0 * (halves - 2.0 * torch.floor(0.5 * halves))
    turned = odd > 0.5
    return flip * torch.where(turned, cosine, sine), flip * torch.where(turned, -sine, cosine)


def _series(square: Tensor, first: int) -> Tensor:
    """The sum of (-square)^k / (first + 2 k)! for k up to 8, by Horner's scheme."""
    total: Any = 1.0 / math.factorial(first + 16)
    for k in range(7, -1, -1):
        total = square * total + (-1) ** k / math.factorial(first + 2 * k)
    return total
