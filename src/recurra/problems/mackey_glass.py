"""The Mackey-Glass series: the state of a scalar delay equation, chaotic for long delays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.errors import UsageError


def mackey_glass(
    steps: int,
    delay: float = 17.0,
    sample: float = 1.0,
    substeps: int = 10,
    initial: float | Sequence[float] = 1.2,
    skip: int = 1000,
    production: float = 0.2,
    decay: float = 0.1,
    exponent: float = 10.0,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """The Mackey-Glass series, integrated by the Runge-Kutta method of order 4.

    Equations:
        dx/dt = production x(t - delay) / (1 + x(t - delay)^exponent) - decay x(t),  x(t) = initial for t <= 0;
        the step of integration is sample / substeps. Within a step the delayed state is the cubic through the stored
        states and their derivatives, so that the order is 4 in full.

    With the given constants the series is mildly chaotic for a delay of 17, more so for 30, and periodic for short
    delays.

    Args:
        steps: number of samples.
        delay: the delay; a multiple of the step of integration.
        sample: time between two samples.
        substeps: steps of integration for each sample.
        initial: the state before the beginning, one number, or one for each series of a batch.
        skip: samples left out at the beginning, while the series settles.
        production, decay, exponent: the constants of the equation.
        dtype: the number format of what is returned; the integration is in float64.

    Shapes:
        x (steps, batch, 1): time, batch, features, where the batch is as many as there are numbers in `initial`. delay
        and sample are in one unit of time, decay and production in its inverse.

    Raises:
        UsageError: a number is out of range, or the delay is no multiple of the step of integration.

    Reference:
        M. C. Mackey, L. Glass. Oscillation and chaos in physiological control systems. Science 197 (1977) 287-289.

    Example:
        >>> x = mackey_glass(500)
        >>> x.shape, 0.2 < x.min().item() < 0.5, 1.2 < x.max().item() < 1.4
        (torch.Size([500, 1, 1]), True, True)
    """
    where = "mackey_glass"
    if steps < 0 or skip < 0 or substeps < 1 or not sample > 0 or not delay > 0:
        raise UsageError(
            f"steps is {steps}, skip is {skip}, substeps is {substeps}, sample is {sample}, delay is {delay}",
            where=where,
            need="0 or more steps and skip, 1 substep or more, and a sample and a delay above 0",
        )
    h = sample / substeps
    lag = round(delay / h)
    if lag < 1 or abs(lag * h - delay) > 1e-9 * delay:
        raise UsageError(
            f"the delay {delay:g} is no multiple of the step of integration {h:g}",
            where=where,
            need="a delay of a whole number of steps of sample / substeps",
            cure="choose other substeps",
        )
    first = np.atleast_1d(np.asarray(initial, dtype=np.float64))
    if first.ndim != 1 or not np.isfinite(first).all() or (first < 0).any() or (first > 10).any():
        raise UsageError(f"initial is {initial!r:.60}", where=where, need="a number from 0 to 10, or a list of such")

    def fed(past: Any) -> Any:
        return production * past / (1.0 + past**exponent)

    total = (skip + steps) * substeps
    # The delayed production at the ends and the middles of the steps; the history is constant.
    # A single series runs as plain numbers, which are several times as fast as arrays of one.
    x: Any = first if len(first) > 1 else float(first[0])
    at_ends, at_middles, kept = [fed(x)] * (lag + 1), [fed(x)] * lag, []
    for n in range(total):
        if n % substeps == 0:
            kept.append(x)
        early, middle, late = at_ends[n], at_middles[n], at_ends[n + 1]
        k1 = early - decay * x
        k2 = middle - decay * (x + 0.5 * h * k1)
        k3 = middle - decay * (x + 0.5 * h * k2)
        k4 = late - decay * (x + h * k3)
        after = x + (h / 6.0) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        slope = late - decay * after
        at_middles.append(fed(0.5 * (x + after) + (h / 8.0) * (k1 - slope)))
        at_ends.append(fed(after))
        x = after
    series = np.array(kept[skip:], dtype=np.float64).reshape(steps, len(first), 1)
    return torch.from_numpy(series).to(dtype)
