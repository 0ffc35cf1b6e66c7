"""A batch of sequences and a learner over any recurrent layer, for the tests of gradient rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Sequences:
    x: Tensor  # (time, batch, features)
    y: Tensor  # (time, batch, outputs)
    weight: float
    lengths: Tensor | None = None
    dt: Tensor | None = None

    @property
    def steps(self) -> int:
        return self.x.shape[0]

    @property
    def size(self) -> int:
        return self.x.shape[1]

    def to(self, device: Any) -> Sequences:
        return self

    def part(self, start: int, stop: int) -> Sequences:
        """A window of the stream, whose losses add up with the other windows' to that of the whole."""
        return Sequences(
            self.x[start:stop], self.y[start:stop], self.weight, None, None if self.dt is None else self.dt[start:stop]
        )


class SequenceLearner(nn.Module):
    """What stands below, the recurrent layer, a read-out and the squared error."""

    def __init__(self, layer: nn.Module, outputs: int = 2, below: nn.Module | None = None, reads_last: bool = False):
        super().__init__()
        self.below = below or nn.Identity()
        self.layer, self.reads_last = layer, reads_last
        self.out = nn.Sequential(nn.Linear(layer.output_size, 3), nn.Tanh(), nn.Linear(3, outputs))

    def forward(self, batch: Sequences, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        more: dict[str, Any] = {}
        if batch.lengths is not None:
            more["lengths"] = (batch.lengths - start).clamp(0, stop - start)
        if batch.dt is not None:
            more["dt"] = batch.dt[start:stop]
        h, state = self.layer(self.below(batch.x[start:stop]), state, **more)
        error = (self.out(h) - batch.y[start:stop]) ** 2
        if batch.lengths is not None:
            read = torch.arange(start, stop).unsqueeze(1) < batch.lengths
            error = torch.where(read.unsqueeze(-1), error, torch.zeros_like(error))
        return error.sum() / batch.weight, state

    def why_not_streamed(self) -> str | None:
        two = getattr(self.layer, "bidirectional", False)
        return "this network reads sequences in both directions" if two else None


def sequences(steps: int, size: int = 3, features: int = 2, outputs: int = 2, **more: Any) -> Sequences:
    x, y = torch.randn(steps, size, features), torch.randn(steps, size, outputs)
    return Sequences(x, y, float(max(steps, 1) * size), **more)


def gradients(learner: nn.Module) -> dict[str, Tensor]:
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in learner.named_parameters()}


def gradient_by(rule: Any, learner: nn.Module, *batches: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss and the gradient that a rule gives for one stream of batches."""
    learner.zero_grad()
    memory = rule.init(learner)
    losses = []
    for batch in batches:
        loss, memory = rule.step(learner, batch, memory)
        losses.append(loss)
    rule.flush(learner, memory)
    return torch.stack(losses).sum(), gradients(learner)


def assert_close(a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=tolerance, atol=1e-13, msg=lambda t, n=name: f"{n}: {t}")


def far_apart(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max()) for name in a)
