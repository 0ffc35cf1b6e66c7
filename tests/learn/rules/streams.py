"""Streams of windows and a learner over recurrent layers, for the tests of online rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.nn import Recurrent


@dataclass(frozen=True)
class Window:
    x: Tensor  # (time, batch, features)
    y: Tensor  # (time, batch, outputs)
    weight: float

    @property
    def steps(self) -> int:
        return self.x.shape[0]

    @property
    def size(self) -> int:
        return self.x.shape[1]

    def to(self, device: Any) -> Window:
        return self


class Network(nn.Module):
    """Recurrent layers and a read-out with the squared error."""

    def __init__(
        self, cell: Any, features: int = 2, hidden: int = 4, layers: int = 1, outputs: int = 2, **options: Any
    ):
        super().__init__()
        self.layer = Recurrent(cell, features, hidden, layers, **options)
        self.out = nn.Linear(self.layer.output_size, outputs)

    def forward(self, batch: Window, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        y, state = self.layer(batch.x[start:stop], state)
        return ((self.out(y) - batch.y[start:stop]) ** 2).sum() / batch.weight, state


def stream(*lengths: int, size: int = 2, features: int = 2, outputs: int = 2, copies: bool = False) -> list[Window]:
    """Consecutive windows; with `copies` all sequences are the same."""
    drawn = 1 if copies else size
    x, y = torch.randn(sum(lengths), drawn, features), torch.randn(sum(lengths), drawn, outputs)
    x, y = x.expand(-1, size, -1), y.expand(-1, size, -1)
    parts = zip(x.split(list(lengths)), y.split(list(lengths)), strict=True)
    return [Window(a, b, float(size * sum(lengths))) for a, b in parts]


def joined(windows: Sequence[Window]) -> Window:
    """The same stream as one window."""
    return Window(torch.cat([w.x for w in windows]), torch.cat([w.y for w in windows]), windows[0].weight)


def gradients(learner: nn.Module) -> dict[str, Tensor]:
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in learner.named_parameters()}


def by_rule(rule: Any, learner: nn.Module, windows: Sequence[Window]) -> dict[str, Tensor]:
    """The gradient of a whole stream, taken window by window."""
    assert rule.supports(learner) is None
    learner.zero_grad()
    memory = rule.init(learner)
    for window in windows:
        memory = rule.step(learner, window, memory)[1]
    rule.flush(learner, memory)
    return gradients(learner)


def by_autograd(learner: nn.Module, windows: Sequence[Window]) -> dict[str, Tensor]:
    """Back-propagation over the stream as one sequence."""
    learner.zero_grad()
    whole = joined(windows)
    learner(whole, 0, whole.steps, None)[0].backward()
    return gradients(learner)


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest difference, over the largest number of `b`."""
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).abs().max()) for n in b) / max(float(part.abs().max()) for part in b.values())


Maker = Callable[[], Any]
