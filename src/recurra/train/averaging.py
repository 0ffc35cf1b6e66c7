"""The running average of the weights, which is what is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """An exponential moving average of a network's trainable weights.

        a <- d a + (1 - d) w,    d = min(decay, (1 + s) / (10 + s)) after step s

    The smaller decay of the first steps keeps the random initial weights from lingering. With decay 0 there is no
    average: `applied` shows the weights themselves.

    Reference: B. T. Polyak and A. B. Juditsky, Acceleration of stochastic approximation by averaging, 1992.
    """

    def __init__(self, learner: nn.Module, decay: float):
        self.decay = decay
        self.weights = {n: p for n, p in learner.named_parameters() if p.requires_grad} if decay > 0 else {}
        self.averages: dict[str, Tensor] = {name: p.detach().clone() for name, p in self.weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step number `step` (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.averages.items():
            average.lerp_(self.weights[name], 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The network shows the averaged weights inside, and its own again afterwards, to the bit."""
        own = {name: p.detach().clone() for name, p in self.weights.items()}
        with torch.no_grad():
            for name, average in self.averages.items():
                self.weights[name].copy_(average)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in own.items():
                    self.weights[name].copy_(value)
