"""Bringing observations and rewards to a scale of about one, from what was seen so far."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ObservationScale(nn.Module):
    """Observations less their mean, over their standard deviation, cut off at +-10; as they are until it is updated.

    Equations:
        z = clip((x - mean) / sqrt(variance + 1e-8), -10, 10), with the mean and variance of all rows given to `update`;
        those of two sets of rows are joined exactly.

    Args:
        size: features.

    Shapes:
        x (..., size), z the same; the figures are buffers, and so are saved with the policy.

    Reference:
        T. F. Chan, G. H. Golub, R. J. LeVeque. Algorithms for computing the sample variance. The American Statistician
        37 (1983) 242-247, for the joining.

    Example:
        >>> scale = ObservationScale(1)
        >>> scale.update(torch.tensor([[1.0], [3.0]]))
        >>> scale(torch.tensor([[2.0], [5.0]]))
        tensor([[0.],
                [3.]])
    """

    mean: Tensor
    variance: Tensor
    deviation: Tensor
    limit: Tensor
    count: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(size, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(size, dtype=torch.float64))
        # A buffer, so that what was never updated passes everything on as it is without a branch.
        self.register_buffer("limit", torch.full((), math.inf, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Observations on the scale of what was seen."""
        mean, deviation, limit = (each.to(x.dtype) for each in (self.mean, self.deviation, self.limit))
        return torch.maximum(torch.minimum((x - mean) / deviation, limit), -limit)

    def update(self, x: Tensor) -> None:
        """Take in the rows of x, (..., size)."""
        rows = x.detach().reshape(-1, x.shape[-1]).to(self.mean)
        count, mean, variance = len(rows), rows.mean(0), rows.var(0, unbiased=False)
        total = self.count + count
        shift = mean - self.mean
        squares = self.variance * self.count + variance * count + shift.square() * self.count * count / total
        self.mean.copy_(self.mean + shift * count / total)
        self.variance.copy_(squares / total)
        self.deviation.copy_((self.variance + 1e-8).sqrt())
        self.count.copy_(total)
        self.limit.fill_(10.0)


class RewardScale:
    """Rewards over the standard deviation of the discounted return so far; their mean is left as it is.

    Equations:
        R_t = discount R_{t-1} + r_t, from 0 at the start of each episode; the factor is 1 / sqrt(var(R) + 1e-8) over
        all steps of all copies given so far.

    Args:
        copies: of the environment.
        discount: of the return.

    Shapes:
        rewards and ends (time, copies), time in order.

    Example:
        >>> scale = RewardScale(1, 0.5)
        >>> scale.update(torch.tensor([[1.0], [1.0]]), torch.tensor([[True], [False]]))
        >>> scale.update(torch.tensor([[0.0]]), torch.tensor([[False]]))
        >>> round(scale.factor, 3)  # of the returns 1, 1, 0.5
        4.243
    """

    def __init__(self, copies: int, discount: float) -> None:
        self.discount = discount
        self._running = torch.zeros(copies, dtype=torch.float64)
        self._moments = ObservationScale(1)

    def update(self, rewards: Tensor, ends: Tensor) -> None:
        """Take in further steps."""
        seen = []
        for reward, end in zip(rewards.double(), ends, strict=True):
            self._running = self.discount * self._running + reward
            seen.append(self._running)
            self._running = torch.where(end, 0.0, self._running)
        self._moments.update(torch.stack(seen).unsqueeze(-1))

    @property
    def factor(self) -> float:
        """What rewards are multiplied with."""
        return 1.0 / float(self._moments.deviation)
