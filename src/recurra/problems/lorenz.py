"""Lorenz's flow, the model of convection whose solutions are chaotic."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.analysis.systems import Flow
from recurra.errors import UsageError


def lorenz_field(s: Tensor, sigma: float = 10.0, rho: float = 28.0, beta: float = 8.0 / 3.0) -> Tensor:
    """The right-hand side of Lorenz's equations.

    Equations:
        dx/dt = sigma (y - x),  dy/dt = x (rho - z) - y,  dz/dt = x y - beta z. Volumes shrink at the rate
        sigma + 1 + beta everywhere, so that the Lyapunov exponents add up to -(sigma + 1 + beta) exactly.

    Args:
        s: the points.
        sigma, rho, beta: the constants.

    Shapes:
        s (..., 3), the triple (x, y, z); so is what is returned.

    Reference:
        E. N. Lorenz. Deterministic nonperiodic flow. Journal of the Atmospheric Sciences 20 (1963) 130-141.

    Example:
        >>> import torch
        >>> lorenz_field(torch.tensor([1.0, 2.0, 3.0]))
        tensor([10., 23., -6.])
    """
    x, y, z = s[..., 0], s[..., 1], s[..., 2]
    return torch.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z], -1)


def lorenz_series(
    steps: int, dt: float = 0.02, batch: int = 1, skip: int = 1000, substeps: int = 4, seed: int = 0
) -> Tensor:
    """Solutions of Lorenz's equations on the attractor, by the Runge-Kutta method of order 4.

    Args:
        steps: number of samples.
        dt: time between two samples.
        batch: solutions, each from a first state of its own, drawn about (0, 0, 25).
        skip: samples left out at the beginning, while the solutions settle.
        substeps: steps of integration for each sample.
        seed: of the first states.

    Shapes:
        x (steps, batch, 3), float64.

    Raises:
        UsageError: steps or skip is negative, or another number is not positive.

    Example:
        >>> lorenz_series(5, batch=2).shape
        torch.Size([5, 2, 3])
    """
    if steps < 0 or skip < 0 or batch < 1:
        given = f"steps is {steps}, skip is {skip}, batch is {batch}"
        raise UsageError(given, where="lorenz_series", need="0 or more steps and skip, and a batch of 1 or more")
    flow = Flow(lorenz_field, dt, substeps=substeps)
    generator = torch.Generator().manual_seed(seed)
    s = torch.randn(batch, 3, generator=generator, dtype=torch.float64) + torch.tensor([0.0, 0.0, 25.0])
    kept = []
    for step in range(skip + steps):
        s = flow.advance(s)
        if step >= skip:
            kept.append(s)
    return torch.stack(kept) if kept else s.new_zeros(0, batch, 3)
