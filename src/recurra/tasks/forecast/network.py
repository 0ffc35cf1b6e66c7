"""The forecasting network: a recurrent encoder, and a head that corrects simple forecasts for each step of the horizon.

Everything is scaled by the window's own centre and spread, so that one network serves series of any size:

    z = (y - centre) / spread                      over the rows read before the first forecast
    h_t = cell(z_t, z_{t-m}, covariates_t, h_{t-1})  m: the season lengths
    w, d = head(h_t, anchors_k, covariates_{t+k}, k)
    median_{t+k} = centre + spread * (sum_i softmax(w)_i anchor_{i,k} + d)

An anchor is a simple forecast of that step: the last value, the value one and two seasons ago, the mean of that phase
over the last seasons. The head's correction starts at zero, so that training starts from a mixture of simple forecasts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recurra.nn import Recurrent
from recurra.tasks.forecast.windows import WindowBatch


@dataclass(frozen=True)
class NetworkShape:
    """All sizes of the network; enough to build it again."""

    cell: str
    layers: int
    hidden_size: int
    dropout: float
    targets: int
    horizon: int
    context: int
    seasons: tuple[int, ...]
    levels: tuple[float, ...]
    past: int
    known: int
    clock: int
    gap: int
    static: int
    past_levels: tuple[int, ...]
    known_levels: tuple[int, ...]
    static_levels: tuple[int, ...]

    @property
    def lags(self) -> int:
        """Rows that must be at hand before the rows that are read, for the anchors' look-back."""
        return 2 * max(self.seasons, default=0)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(facts: dict[str, Any]) -> NetworkShape:
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in facts.items()}
        return NetworkShape(**plain)


def _embedding_size(levels: int) -> int:
    return min(16, 2 + round(levels**0.5))


class Categories(nn.Module):
    """Embeddings of several columns of categories, side by side."""

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        self.levels = levels
        self.tables = nn.ModuleList(nn.Embedding(n + 1, _embedding_size(n)) for n in levels)
        self.output_size = sum(_embedding_size(n) for n in levels)

    def forward(self, codes: Tensor) -> Tensor:
        if not self.tables:
            return codes.new_zeros((*codes.shape[:-1], 0), dtype=torch.float32)
        # A code that training never saw counts as code 0, unknown.
        parts = [
            table(torch.where(codes[..., i] <= self.levels[i], codes[..., i], 0)) for i, table in enumerate(self.tables)
        ]
        return torch.cat(parts, -1)


@dataclass
class Scale:
    """Centre and spread of each window and target, `(batch, 1, targets)`, float64."""

    centre: Tensor
    spread: Tensor


def window_scale(value: Tensor, seen: Tensor, before: Tensor, seen_before: Tensor) -> Scale:
    """Centre and spread of what was observed: the mean, and the usual size of a seasonal step.

    The spread is the mean absolute difference between `value` and `before` (the same rows a season earlier), plus a
    twentieth of the standard deviation: it is the error that a seasonal naive forecast makes, so that the loss of a
    series that is easy to forecast counts as much as that of a wild one. A constant window gets one from
    its level.
    """
    weight = seen.to(value.dtype)
    count = weight.sum(1, keepdim=True).clamp_min(1.0)
    nothing = weight.sum(1, keepdim=True) == 0
    centre = torch.where(nothing, value[:, -1:], (value * weight).sum(1, keepdim=True) / count)
    deviation = (((value - centre) ** 2 * weight).sum(1, keepdim=True) / count).sqrt()
    both = (seen & seen_before).to(value.dtype)
    step = ((value - before).abs() * both).sum(1, keepdim=True) / both.sum(1, keepdim=True).clamp_min(1.0)
    # With hardly a season of history there is no seasonal step to measure.
    spread = torch.where(both.sum(1, keepdim=True) >= 8, step + 0.05 * deviation, deviation)
    level = centre.abs()
    floor = torch.where(level > 0, 1e-3 * level, torch.ones_like(level))
    return Scale(centre, torch.maximum(spread, floor))


class ForecastNetwork(nn.Module):
    """See the module's docstring. `forward` is the loss over a span of time, as the training rules need it."""

    levels: Tensor

    def __init__(self, shape: NetworkShape):
        super().__init__()
        self.shape = shape
        d, seasons = shape.targets, len(shape.seasons)
        self.past_categories = Categories(shape.past_levels)
        self.known_categories = Categories(shape.known_levels)
        self.static_categories = Categories(shape.static_levels)
        ahead = shape.known + shape.clock + self.known_categories.output_size
        inputs = d * (2 + seasons) + shape.past + self.past_categories.output_size + ahead + shape.gap
        self.encoder = Recurrent(
            shape.cell, inputs, shape.hidden_size, shape.layers, dropout=shape.dropout if shape.layers > 1 else 0.0
        )
        self.anchors = 1 + 3 * seasons if seasons else 3
        constant = shape.static + self.static_categories.output_size + d * (1 + self.anchors)
        self.context = nn.Linear(self.encoder.output_size + constant, shape.hidden_size)
        self.step = nn.Embedding(shape.horizon, 8)
        self.head = nn.Sequential(
            nn.Linear(shape.hidden_size + 8 + 1 + d * self.anchors + ahead, 2 * shape.hidden_size),
            nn.ReLU(),
            nn.Linear(2 * shape.hidden_size, shape.hidden_size),
            nn.ReLU(),
            nn.Dropout(shape.dropout),
        )
        self.out = nn.Linear(shape.hidden_size, d * (self.anchors + len(shape.levels)))
        self.dropout = nn.Dropout(shape.dropout)
        self.register_buffer("levels", torch.tensor(shape.levels, dtype=torch.float32), persistent=False)
        self.middle = min(range(len(shape.levels)), key=lambda i: abs(shape.levels[i] - 0.5))
        with torch.no_grad():
            self.out.bias.zero_()
            self.out.weight.view(d, self.anchors + len(shape.levels), -1)[:, self.anchors :].zero_()

    def why_not_streamed(self) -> str | None:
        return None

    def inputs(self, batch: WindowBatch) -> tuple[Tensor, Scale, Tensor]:
        """Encoder inputs `(steps, batch, features)`, the windows' scales, and the scaled targets of all rows."""
        lags, steps = batch.lags, batch.steps
        past = slice(lags, lags + int(batch.forks[0]))
        season = min(self.shape.seasons, default=0)
        earlier = slice(past.start - season, past.stop - season)
        seen = batch.seen if season else torch.zeros_like(batch.seen)
        scale = window_scale(batch.value[:, past], batch.seen[:, past], batch.value[:, earlier], seen[:, earlier])
        scaled = ((batch.value - scale.centre) / scale.spread).float()
        bounded = scaled.clamp(-20.0, 20.0)
        read = slice(lags, lags + steps)
        inside = batch.inside[:, read, None]
        parts = [bounded[:, read] * inside, batch.seen[:, read].float()]
        parts += [bounded[:, lags - m : lags - m + steps] * inside for m in self.shape.seasons]
        parts += [batch.past[:, read], self.past_categories(batch.past_codes[:, read])]
        parts += [self.ahead(batch)[:, read], batch.gap[:, read]]
        return torch.cat(parts, -1).transpose(0, 1), scale, scaled

    def ahead(self, batch: WindowBatch) -> Tensor:
        """What is known of every row beforehand: known covariates and the calendar."""
        return torch.cat([batch.known, self.known_categories(batch.known_codes), batch.clock], -1)

    def anchor_values(self, scaled: Tensor, at: Tensor) -> Tensor:
        """Simple forecasts for origins at rows `at` (forks): `(batch, forks, horizon, targets, anchors)`."""
        horizon = torch.arange(self.shape.horizon, device=scaled.device)
        target = at[:, None] + horizon

        def look(rows: Tensor) -> Tensor:
            return scaled[:, rows.clamp_min(0)]

        last = look((at - 1)[:, None].expand_as(target))
        values = [last]
        if not self.shape.seasons:
            for width in (4, 12):
                recent = torch.stack([look((at - 1 - i)[:, None].expand_as(target)) for i in range(width)])
                values.append(recent.mean(0))
        for m in self.shape.seasons:
            back = (horizon // m + 1) * m
            values += [look(target - back), look(target - back - m)]
            # How many whole seasons can be averaged without leaving the window's look-back.
            turns = max(1, min(7, (self.shape.lags + self.shape.context - self.shape.horizon) // m))
            values.append(torch.stack([look(target - back - i * m) for i in range(turns)]).mean(0))
        return torch.stack(values, -1)

    def quantiles(self, hidden: Tensor, batch: WindowBatch, scaled: Tensor, forks: np.ndarray) -> Tensor:
        """Scaled quantiles `(batch, forks, horizon, targets, levels)` from the states `(forks, batch, hidden)`."""
        shape = self.shape
        at = torch.from_numpy(batch.lags + forks).to(scaled.device)
        anchors = self.anchor_values(scaled, at)
        size, count, horizon, d, _ = anchors.shape
        rows = at[:, None] + torch.arange(horizon, device=at.device)
        ahead = self.ahead(batch)[:, rows]
        bounded = anchors.clamp(-20.0, 20.0)
        # How far the simple forecasts disagree, and how large the level is: what a forecaster would look at first.
        disagreement = (bounded - bounded[..., :1]).abs().mean(2).flatten(2)
        static = torch.cat([batch.static, self.static_categories(batch.static_codes)], -1)[:, None].expand(
            -1, count, -1
        )
        typical = scaled[:, batch.lags : batch.lags + int(batch.forks[0])].diff(dim=1).abs().mean(1)
        typical = typical.clamp(0, 20.0)[:, None].expand(-1, count, -1)
        state = torch.cat([self.dropout(hidden.transpose(0, 1)), static, typical, disagreement], -1)
        context = self.context(state)[:, :, None].expand(-1, -1, horizon, -1)
        step = self.step.weight.expand(size, count, -1, -1)
        progress = torch.linspace(0, 1, horizon, device=at.device)[:, None].expand(size, count, -1, 1)
        raw = self.out(self.head(torch.cat([context, step, progress, bounded.flatten(3), ahead], -1)))
        raw = raw.reshape(size, count, horizon, d, self.anchors + len(shape.levels))
        weights, shifts = raw.split([self.anchors, len(shape.levels)], -1)
        median = (weights.softmax(-1) * anchors).sum(-1, keepdim=True) + shifts[..., self.middle : self.middle + 1]
        # Quantiles never cross: each one is the next inner one plus a positive step.
        up = F.softplus(shifts[..., self.middle + 1 :] - 1).cumsum(-1)
        down = F.softplus(shifts[..., : self.middle].flip(-1) - 1).cumsum(-1).flip(-1)
        return torch.cat([median - down, median, median + up], -1)

    def forward(self, batch: WindowBatch, start: int, stop: int, state: Any) -> tuple[Tensor, Any]:
        """Pinball loss of the forecasts made from steps start..stop-1, over the weight of the whole batch."""
        inputs, scale, scaled = self.inputs(batch)
        hidden, state = self.encoder(inputs[start:stop], state)
        chosen = batch.forks[(batch.forks > start) & (batch.forks <= stop)]
        weight = batch.seen[:, self._ahead_of(batch, batch.forks)].sum().clamp_min(1) * len(self.shape.levels)
        if not len(chosen):
            return hidden.sum() * 0.0, state
        predicted = self.quantiles(hidden[chosen - 1 - start], batch, scaled, chosen)
        rows = self._ahead_of(batch, chosen)
        error = scaled[:, rows][..., None] - predicted
        pinball = torch.maximum(self.levels * error, (self.levels - 1) * error)
        # A spread of a few per mille of the level can make a single error huge; it must not own the batch.
        return (pinball * batch.seen[:, rows][..., None]).clamp_max(50.0).sum() / weight, state

    def _ahead_of(self, batch: WindowBatch, forks: np.ndarray) -> Tensor:
        """The rows of the horizon after each fork."""
        rows = batch.lags + forks[:, None] + np.arange(self.shape.horizon)
        return torch.from_numpy(rows).to(batch.value.device)
