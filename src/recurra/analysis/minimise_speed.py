"""Two ways to make |F(s) - s| small from many first states at once."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.analysis.systems import Field, jacobians

NUMBERS_AT_ONCE = 1 << 24
"""Entries of Jacobians held at a time: 128 MiB."""


def levenberg_marquardt(function: Field, s: Tensor, iterations: int, tolerance: float) -> Tensor:
    """Levenberg-Marquardt steps on the residual F(s) - s, with a damping for each first state.

    Args:
        function: F, from (batch, features) to the same.
        s: first states, (batch, features).
        iterations: the most steps.
        tolerance: |F(s) - s| at which a state is done; a few steps more are taken, as they are quadratic.

    Returns:
        where the states end, (batch, features).
    """
    rows = max(1, NUMBERS_AT_ONCE // (s.shape[-1] ** 2))
    with torch.no_grad():
        return torch.cat([_levenberg_marquardt(function, part, iterations, tolerance) for part in s.split(rows)])


def _levenberg_marquardt(function: Field, s: Tensor, iterations: int, tolerance: float) -> Tensor:
    ends, unit = s.clone(), torch.eye(s.shape[-1], dtype=s.dtype)
    left = torch.arange(len(s))
    damping = torch.full((len(s),), 1e-2, dtype=s.dtype)
    for _ in range(iterations):
        after, matrix = jacobians(function, s)
        rest, matrix = after - s, matrix - unit
        size = rest.square().sum(-1)
        slope = (matrix.mT @ rest.unsqueeze(-1)).squeeze(-1)
        normal = matrix.mT @ matrix + damping[:, None, None] * unit
        tried = s - torch.linalg.solve_ex(normal, slope)[0]
        new = (function(tried) - tried).square().sum(-1)
        better = new < size  # False where the step led to what is not finite
        s = torch.where(better.unsqueeze(-1), tried, s)
        damping = torch.where(better, (damping * 0.2).clamp(min=1e-15), damping * 5)
        # Done: as still as numbers allow, or held by a damping at which no step changes anything.
        going = ~((torch.minimum(size, new) < (1e-4 * tolerance) ** 2) | (damping > 1e8))
        ends[left] = s
        if not bool(going.any()):
            break
        s, damping, left = s[going], damping[going], left[going]
    return ends


def adam(function: Field, s: Tensor, iterations: int, learning_rate: float) -> Tensor:
    """Adam on 1/2 |F(s) - s|^2, each first state by itself, with a learning rate that falls to 0 along a cosine."""
    s = s.detach().clone()
    first, second = torch.zeros_like(s), torch.zeros_like(s)
    for t in range(1, iterations + 1):
        with torch.enable_grad():
            asked = s.requires_grad_(True)
            loss = 0.5 * (function(asked) - asked).square().sum()
            (gradient,) = torch.autograd.grad(loss, asked)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient.square()
        rate = learning_rate * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * t / iterations)))
        change = (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-12)
        s = (s - rate * change).detach()
    return s
