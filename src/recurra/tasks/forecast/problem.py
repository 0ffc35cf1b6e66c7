"""The training problem of a forecaster: windows from the training part, and validation on the origins after it."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from recurra.tasks.forecast import decode
from recurra.tasks.forecast.metrics import mase, smape
from recurra.tasks.forecast.network import ForecastNetwork
from recurra.tasks.forecast.panel import Panel
from recurra.tasks.forecast.windows import Origins, Plan, Split, WindowBatch, cut, train_plans

_MOST_VALIDATION = 1000
"""Windows a validation looks at: more would cost much time an epoch and change little."""


class ForecastProblem:
    """What the training loop asks of a forecaster (see `recurra.types.Problem`)."""

    def __init__(
        self,
        network: ForecastNetwork,
        panel: Panel,
        split: Split,
        scales: np.ndarray,
        *,
        seed: int,
        steps_an_epoch: int,
        batch_size: int,
        span: int,
        forks: int,
        where: str,
    ):
        self.learner: nn.Module = network
        self.panel, self.split, self.scales, self.where = panel, split, scales, where
        self.seed, self.steps_an_epoch, self.batch_size = seed, steps_an_epoch, batch_size
        self.span, self.forks = span, forks
        valid = split.valid
        if len(valid) > _MOST_VALIDATION:
            chosen = np.random.default_rng([seed, 11]).choice(len(valid), _MOST_VALIDATION, replace=False)
            valid = valid.part(np.sort(chosen))
        self.valid: Origins = valid

    def plans(self, epoch: int) -> list[Plan]:
        """The epoch's batches."""
        network: Any = self.learner
        return train_plans(
            self.split.train_end,
            seed=self.seed,
            epoch=epoch,
            count=self.steps_an_epoch,
            batch_size=self.batch_size,
            span=self.span,
            forks=self.forks,
            steps=network.shape.context + self.span,
        )

    def batch(self, plan: Plan) -> WindowBatch:
        """The tensors of one plan; targets after the training part are masked."""
        shape: Any = self.learner.shape
        steps = shape.context + self.span
        return cut(self.panel, plan, lags=shape.lags, steps=steps, horizon=shape.horizon, limit=self.split.train_end)

    def validate(self, learner: nn.Module) -> dict[str, float]:
        """Pinball loss in units of each window's own error of a seasonal step, with mase and smape beside it."""
        network: Any = learner
        horizon = network.shape.horizon
        quantiles = decode.forecast(network, self.panel, self.valid, horizon=horizon)
        actual, _ = actuals(self.panel, self.valid, horizon, self.split.valid_end)
        scale = self.scales[self.valid.series]
        levels = np.asarray(network.shape.levels)
        error = (actual[..., None] - quantiles) / np.where(scale > 0, scale, 1.0)[:, None, :, None]
        loss = np.maximum(levels * error, (levels - 1) * error)
        point = quantiles[..., network.middle]
        by_target = [
            (mase(actual[..., j], point[..., j], scale[:, j]), smape(actual[..., j], point[..., j]))
            for j in range(actual.shape[2])
        ]
        return {
            # Each target's error is bounded, so that one wild series cannot decide when training stops.
            "loss": _mean(np.minimum(loss, 100.0)),
            "mase": _mean(np.concatenate([m for m, _ in by_target])),
            "smape": _mean(np.concatenate([s for _, s in by_target])),
        }

    def locate(self, batch: WindowBatch) -> str:
        """The series and the rows of the batch's largest scaled value."""
        magnitude = batch.value.abs().amax((1, 2))
        worst = int(magnitude.argmax())
        series = int(batch.series[worst])
        last = int(batch.origin[worst])
        first = max(0, last - batch.steps)
        return (
            f"{self.where}, series {self.panel.names[series]!r}, steps {first + 1} to {last} "
            f"(largest absolute value {float(magnitude[worst]):g})"
        )


def actuals(
    panel: Panel, origins: Origins, horizon: int, limit: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What followed each origin, `(origins, horizon, targets)` with NaN for unseen, and the rows it stands in.

    With `limit` (rows a series), what stands at or past it counts as unseen.
    """
    within = origins.origin[:, None] + np.arange(horizon)
    rows = panel.start.numpy()[origins.series][:, None] + within
    seen = panel.seen.numpy()[rows]
    if limit is not None:
        seen = seen & (within < limit[origins.series][:, None])[..., None]
    return np.where(seen, panel.value.numpy()[rows], np.nan), rows


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")
