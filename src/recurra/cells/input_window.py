"""Cells that see the last inputs beside the present one: how these are kept, and laid side by side for all steps."""

from __future__ import annotations

import torch
from torch import Tensor


def lagged(x: Tensor, past: Tensor) -> list[Tensor]:
    """A sequence as it was some steps ago, from the longest lag to one step.

    Args:
        x: the sequence, (time, batch, features).
        past: the inputs before it, oldest first, (batch, lags, features).

    Returns:
        for each lag the sequence shifted by it, (time, batch, features).

    Example:
        >>> [shifted.flatten().tolist() for shifted in lagged(torch.arange(3.0).view(3, 1, 1), torch.zeros(1, 2, 1))]
        [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    lags = past.shape[1]
    whole = torch.cat([past.transpose(0, 1), x])
    return [whole[place : place + len(x)] for place in range(lags)]


def all_pasts(x: Tensor, past: Tensor) -> Tensor:
    """The last inputs as they stand after every step: (time, batch, lags, features)."""
    if past.shape[1] == 0:
        return past.unsqueeze(0).expand(len(x), *past.shape)
    return torch.stack([*lagged(x, past)[1:], x], 2)


def next_past(x: Tensor, past: Tensor) -> Tensor:
    """The last inputs after one more, x (batch, features)."""
    return torch.cat([past, x.unsqueeze(1)], 1)[:, 1:]
