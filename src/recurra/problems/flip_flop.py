"""The flip-flop problem: several bits of memory, each set by the last pulse on its own line."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.errors import UsageError


def flip_flop(
    steps: int, batch: int, bits: int = 3, rate: float = 0.2, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Pulses of +1 and -1 on several lines, and for each line the sign of its last pulse.

    Equations:
        x_k(t) is +1 or -1, with probability rate / 2 each, else 0; the target is y_k(t) = x_k(t) where there is a
        pulse, y_k(t - 1) where there is none, and y_k = 0 before the first one.

    Args:
        steps: time steps.
        batch: sequences.
        bits: lines.
        rate: probability of a pulse at each step of each line.
        seed: of the pulses.
        dtype: the number format.

    Shapes:
        x and the targets (steps, batch, bits).

    Returns:
        `(x, targets)`.

    Raises:
        UsageError: a number is out of range.

    Differs from the paper: time runs in steps, and a pulse lasts one step.

    Reference:
        D. Sussillo, O. Barak. Opening the black box: low-dimensional dynamics in high-dimensional recurrent neural
        networks. Neural Computation 25 (2013) 626-649.

    Example:
        >>> x, targets = flip_flop(100, 8)
        >>> pulses = x != 0
        >>> x.shape, bool((targets[pulses] == x[pulses]).all()), 0.1 < pulses.float().mean() < 0.3
        (torch.Size([100, 8, 3]), True, tensor(True))
    """
    if steps < 0 or batch < 1 or bits < 1 or not 0 <= rate <= 1:
        given = f"steps is {steps}, batch is {batch}, bits is {bits}, rate is {rate}"
        raise UsageError(given, where="flip_flop", need="0 or more steps, 1 or more of the others, a rate from 0 to 1")
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(steps, batch, bits, generator=generator)
    x = (drawn < rate / 2).to(dtype) - (drawn >= 1 - rate / 2).to(dtype)
    kept, last = [], torch.zeros(batch, bits, dtype=dtype)
    for pulses in x:
        last = torch.where(pulses != 0, pulses, last)
        kept.append(last)
    return x, torch.stack(kept) if kept else x.clone()
