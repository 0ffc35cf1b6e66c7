"""What the report draws of held-out forecasts: example windows, error by step, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.data.series_set import ForecastSchema
from recurra.tasks.forecast.judge import Held
from recurra.tasks.forecast.metrics import mase
from recurra.tasks.forecast.panel import Panel


def examples(held: Held, panel: Panel, schema: ForecastSchema) -> list[dict[str, Any]]:
    """The best, the median and the worst window by mase, with the history before it, for the fan charts."""
    point = held.point(held.quantiles)
    score = mase(held.actual, point, held.scale)
    order = np.argsort(np.where(np.isfinite(score), score, np.inf))
    finite = int(np.isfinite(score).sum())
    if not finite:
        return []
    picked = {"best": order[0], "median": order[finite // 2], "worst": order[finite - 1]}
    horizon = held.rows.shape[1]
    items = []
    for kind, row in dict(list(picked.items())[: max(1, min(3, finite))]).items():
        window, target = held.window(int(row))
        first = int(held.rows[window, 0])
        start = int(panel.start[held.origins.series[window]])
        back = slice(max(start, first - max(2 * horizon, 48), first - 400), first)
        history = np.where(panel.seen[back, target].numpy(), panel.value[back, target].numpy(), np.nan)
        items.append(
            {
                "kind": kind,
                "series": panel.names[int(held.origins.series[window])],
                "target": schema.target[target],
                "metric": "mase",
                "score": float(score[row]),
                "history": {
                    "time": _texts(panel, schema, np.arange(back.start, back.stop)),
                    "value": _numbers(history),
                },
                "forecast": {
                    "time": _texts(panel, schema, held.rows[window]),
                    "actual": _numbers(held.actual[row]),
                    **{f"{q:g}": _numbers(held.quantiles[row, :, i]) for i, q in enumerate(held.levels)},
                },
            }
        )
    return items


def horizon_error(held: Held) -> dict[str, Any]:
    """Mean scaled error at each step of the horizon, the model's and the baselines'."""
    scale = np.where(held.scale > 0, held.scale, np.nan)[:, None]

    def by_step(quantiles: np.ndarray) -> list[float | None]:
        error = np.abs(held.actual - held.point(quantiles)) / scale
        seen = np.isfinite(error)
        total = np.where(seen, error, 0).sum(0)
        return [float(t / n) if n else None for t, n in zip(total, seen.sum(0), strict=True)]

    return {
        "metric": "mase",
        "horizon": list(range(1, held.rows.shape[1] + 1)),
        "model": by_step(held.quantiles),
        "baselines": {name: by_step(made) for name, made in held.baseline.items()},
    }


def coverage(held: Held, before: np.ndarray) -> dict[str, Any]:
    """Share of actual values below each quantile, after and before calibration, and inside the outermost by step."""

    def below(quantiles: np.ndarray) -> list[float]:
        seen = np.isfinite(held.actual)
        return [float((held.actual <= quantiles[..., i])[seen].mean()) for i in range(len(held.levels))]

    seen = np.isfinite(held.actual)
    inside = (held.actual >= held.quantiles[..., 0]) & (held.actual <= held.quantiles[..., -1])
    count = seen.sum(0)
    return {
        "nominal": [float(q) for q in held.levels],
        "observed": below(held.quantiles),
        "before": below(before),
        "by_horizon": {
            "horizon": list(range(1, held.rows.shape[1] + 1)),
            "observed": [
                float((inside & seen)[:, k].sum() / count[k]) if count[k] else None for k in range(held.rows.shape[1])
            ],
        },
    }


def _texts(panel: Panel, schema: ForecastSchema, rows: np.ndarray) -> list[str]:
    times = panel.times[rows]
    if times.dtype.kind != "M":
        return [str(int(t)) for t in times]
    unit = "D" if schema.time_kind == "date" else "s"
    return [str(t) for t in times.astype(f"datetime64[{unit}]")]


def _numbers(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]
