"""What a hypothesis' score takes into account besides its probability: length and coverage."""

from __future__ import annotations

import torch
from torch import Tensor


def length_penalty(length: int | Tensor, alpha: float) -> float | Tensor:
    """What a log-probability is divided by, so that long hypotheses may win.

    Equations:
        lp(Y) = (5 + |Y|)^alpha / (5 + 1)^alpha.

    Args:
        length: |Y|, the tokens of the hypothesis, the end token among them.
        alpha: 0 for none; Wu et al. use 0.2.

    Reference:
        Y. Wu et al. Google's neural machine translation system: bridging the gap between human and machine translation.
        arXiv:1609.08144 (2016).

    Example:
        >>> length_penalty(1, 0.6), round(length_penalty(7, 1.0), 6)
        (1.0, 2.0)
    """
    return ((5.0 + length) / 6.0) ** alpha


def coverage_penalty(attended: Tensor, within: Tensor, beta: float) -> Tensor:
    """What is added to a score so that hypotheses win that have attended to the whole source.

    Equations:
        cp(X, Y) = beta sum_i log(min(sum_j p_ij, 1)), p_ij the weight of source step i at target step j.

    Args:
        attended: sum_j p_ij, (..., memory_time).
        within: False in the source's padding, which does not count, (..., memory_time).
        beta: 0 for none; Wu et al. use 0.2.

    Differs from the paper: a step that got no weight at all counts as the smallest normal number, so that the score
    stays finite.

    Reference:
        Y. Wu et al. Google's neural machine translation system: bridging the gap between human and machine translation.
        arXiv:1609.08144 (2016).

    Example:
        >>> import torch
        >>> attended, within = torch.tensor([1.5, 0.5, 0.0]), torch.tensor([True, True, False])
        >>> coverage_penalty(attended, within, 1.0)
        tensor(-0.6931)
    """
    logs = torch.log(attended.clamp(min=torch.finfo(attended.dtype).tiny, max=1.0))
    return beta * torch.where(within, logs, torch.zeros_like(logs)).sum(-1)
