"""Superimposed sine waves: a sum of waves of incommensurable frequencies, to be continued."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.errors import UsageError

FREQUENCIES = (0.2, 0.311, 0.42, 0.51, 0.74)
"""Those of the published task with one to five waves, in radians a step."""


def superimposed_sines(
    steps: int, waves: int | Sequence[float] = 2, start: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """A sum of sine waves.

    Equations:
        x_t = sum over k of sin(w_k t),  t = start, ..., start + steps - 1.

    With the published frequencies the sum does not repeat itself within any sequence of practical length, so that a
    network must generate it from as many oscillators as there are waves.

    Args:
        steps: how many.
        waves: how many of the published frequencies (0.2, 0.311, 0.42, 0.51 and 0.74 radians a step, in this order), or
            frequencies of one's own.
        start: the first t.
        dtype: the number format.

    Shapes:
        x (steps, 1, 1): time, batch, features.

    Raises:
        UsageError: steps is negative, or there is no frequency, or more are asked for than were published.

    Reference:
        J. Schmidhuber, D. Wierstra, M. Gagliolo, F. Gomez. Training recurrent networks by Evolino. Neural Computation
        19 (2007) 757-779.

    Example:
        >>> superimposed_sines(3, 2).flatten().round(decimals=4).tolist()  # 0, sin 0.2 + sin 0.311 ...
        [0.0, 0.5047, 0.9721]
    """
    if isinstance(waves, int):
        if isinstance(waves, bool) or not 1 <= waves <= len(FREQUENCIES):
            raise UsageError(
                f"waves is {waves!r}",
                where="superimposed_sines",
                need=f"a whole number from 1 to {len(FREQUENCIES)}, or frequencies in radians a step",
            )
        waves = FREQUENCIES[:waves]
    if steps < 0 or not len(waves):
        raise UsageError(
            f"steps is {steps} and waves is {list(waves)!r:.60}",
            where="superimposed_sines",
            need="0 or more steps, and at least one frequency",
        )
    time = torch.arange(start, start + steps, dtype=torch.float64).unsqueeze(-1)
    frequencies = torch.tensor([float(wave) for wave in waves], dtype=torch.float64)
    return torch.sin(time * frequencies).sum(-1).reshape(-1, 1, 1).to(dtype)
