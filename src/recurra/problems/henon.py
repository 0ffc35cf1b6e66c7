"""Henon's map of the plane, whose attractor is strange."""

from __future__ import annotations

import torch
from torch import Tensor

A, B = 1.4, 0.3


def henon_map(s: Tensor, a: float = A, b: float = B) -> Tensor:
    """One step of Henon's map.

    Equations:
        x' = 1 - a x^2 + y,  y' = b x. The map shrinks areas by the factor b everywhere, so that its two Lyapunov
        exponents add up to log |b| exactly.

    Args:
        s: the points.
        a, b: the constants.

    Shapes:
        s (..., 2), the pair (x, y); so is what is returned.

    Reference:
        M. Henon. A two-dimensional mapping with a strange attractor. Communications in Mathematical Physics 50 (1976)
        69-77.

    Example:
        >>> import torch
        >>> henon_map(torch.tensor([1.0, 0.5]))
        tensor([0.1000, 0.3000])
    """
    x, y = s[..., 0], s[..., 1]
    return torch.stack([1 - a * x * x + y, b * x], -1)
