"""Held-out windows, the model's forecasts of them and the baselines', measured side by side."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recurra.data.forecast_table import ForecastSchema
from recurra.tasks.forecast import baselines
from recurra.tasks.forecast.metrics import NAMES, mase_scale, measure
from recurra.tasks.forecast.panel import Panel
from recurra.tasks.forecast.problem import actuals
from recurra.tasks.forecast.windows import Origins


@dataclass
class Held:
    """Held-out windows of all targets, stacked target by target: `(windows * targets, horizon)`.

    Attributes:
        actual: what came, NaN where unseen; quantiles: the model's, `(.., horizon, levels)`.
        scale: each row's in-sample seasonal error, for mase; rows: the panel's rows, `(windows, horizon)`.
        baseline: name to quantiles of the same shape as the model's.
    """

    origins: Origins
    actual: np.ndarray
    quantiles: np.ndarray
    levels: np.ndarray
    scale: np.ndarray
    rows: np.ndarray
    targets: int
    baseline: dict[str, np.ndarray]

    def window(self, row: int) -> tuple[int, int]:
        """The window and the target of a stacked row."""
        return row % len(self.origins), row // len(self.origins)

    def metrics(self) -> dict[str, float]:
        return self._mean_of_targets(self.quantiles)

    def baseline_metrics(self) -> dict[str, dict[str, float]]:
        return {name: self._mean_of_targets(made) for name, made in self.baseline.items()}

    def _mean_of_targets(self, quantiles: np.ndarray) -> dict[str, float]:
        """Measures of each target apart, then averaged: targets may have different units."""
        count = len(self.origins)
        each = [
            measure(self.actual[part], quantiles[part], self.levels, self.scale[part])
            for part in (slice(j * count, (j + 1) * count) for j in range(self.targets))
        ]
        return {name: float(np.mean([m[name] for m in each])) for name in NAMES}

    def point(self, quantiles: np.ndarray) -> np.ndarray:
        return quantiles[..., int(np.argmin(np.abs(self.levels - 0.5)))]


def series_scales(panel: Panel, ends: np.ndarray, season: int) -> np.ndarray:
    """In-sample mean absolute seasonal difference up to `ends` rows, `(series, targets)`."""
    scales = np.zeros((panel.series, panel.targets))
    value, seen, start = panel.value.numpy(), panel.seen.numpy(), panel.start.numpy()
    for i in range(panel.series):
        part = slice(start[i], start[i] + max(int(ends[i]), 0))
        for j in range(panel.targets):
            scales[i, j] = mase_scale(np.where(seen[part, j], value[part, j], np.nan), season)
    return scales


def stack(array: np.ndarray) -> np.ndarray:
    """`(windows, horizon, targets, ...)` to `(targets * windows, horizon, ...)`."""
    return np.concatenate([array[:, :, j] for j in range(array.shape[2])])


def baseline_points(panel: Panel, origins: Origins, horizon: int, season: int) -> dict[str, np.ndarray]:
    """The baselines' point forecasts, stacked as `stack` does."""
    value, start = panel.value.numpy(), panel.start.numpy()
    made: dict[str, list[np.ndarray]] = {}
    for j in range(panel.targets):
        for s, o in zip(origins.series, origins.origin, strict=True):
            history = value[start[s] : start[s] + o, j]
            for name, points in baselines.forecasts(history, horizon, season).items():
                made.setdefault(name, []).append(points)
    return {name: np.stack(points) for name, points in made.items()}


def hold(
    panel: Panel,
    origins: Origins,
    quantiles: np.ndarray,
    levels: np.ndarray,
    season: int,
    offsets: dict[str, np.ndarray] | None,
    season_of_scale: int,
    limit: np.ndarray | None = None,
) -> Held:
    """Put the model's forecasts of some origins beside the baselines' and the truth."""
    horizon = quantiles.shape[1]
    actual, rows = actuals(panel, origins, horizon, limit)
    ends = np.full(panel.series, np.iinfo(np.int64).max)
    np.minimum.at(ends, origins.series, origins.origin)
    ends = np.minimum(ends, panel.known_rows.numpy())
    scales = series_scales(panel, ends, season_of_scale)
    scale = np.concatenate([scales[origins.series, j] for j in range(panel.targets)])
    baseline = {}
    for name, points in baseline_points(panel, origins, horizon, season).items():
        reach = offsets[name] if offsets else np.zeros((horizon, len(levels)))
        baseline[name] = points[..., None] + reach * np.where(scale > 0, scale, 1.0)[:, None, None]
    return Held(origins, stack(actual), stack(quantiles), levels, scale, rows, panel.targets, baseline)


def learn_offsets(held: Held) -> dict[str, np.ndarray]:
    """How far a baseline's own errors reach, learned from the validation windows."""
    return {
        name: baselines.interval_offsets(held.actual, held.point(made), held.scale, held.levels)
        for name, made in held.baseline.items()
    }


def predictions_frame(held: Held, panel: Panel, schema: ForecastSchema) -> pl.DataFrame:
    """The held-out forecasts as a table: ids, time, step, actual, forecast, quantiles, baselines."""
    windows, horizon = held.rows.shape
    columns = key_columns(panel, np.tile(np.repeat(held.origins.series, horizon), held.targets))
    columns[time_name(schema)] = time_column(panel, schema, np.tile(held.rows.ravel(), held.targets))
    if held.targets > 1:
        columns["target"] = np.repeat(list(schema.target), windows * horizon)
    columns["step"] = np.tile(np.arange(1, horizon + 1), windows * held.targets)
    columns["actual"] = held.actual.ravel()
    columns |= forecast_columns(held.quantiles.reshape(-1, len(held.levels)), held.levels)
    columns |= {name: held.point(made).ravel() for name, made in held.baseline.items()}
    return pl.DataFrame(columns).with_columns(pl.col("actual").fill_nan(None))


def forecast_columns(quantiles: np.ndarray, levels: np.ndarray) -> dict[str, np.ndarray]:
    """The point forecast (median) and one column a quantile."""
    columns = {"forecast": quantiles[..., int(np.argmin(np.abs(levels - 0.5)))]}
    return columns | {f"q{level:g}": quantiles[..., i] for i, level in enumerate(levels)}


def key_columns(panel: Panel, series: np.ndarray) -> dict[str, Any]:
    """The id columns' values for rows that belong to these series; none where the table is one series.

    An id column that is called as one of ours gets `series_` before its name.
    """
    values = panel.keys[series.tolist()].to_dict() if panel.keys.width else {}
    return {_free(name, "series_" + name): column for name, column in values.items()}


def time_name(schema: ForecastSchema) -> str:
    return _free(schema.time, "time") if schema.time else "time"


def _free(name: str, otherwise: str) -> str:
    """The user's name for a column, unless a column of ours is called so."""
    ours = {"target", "step", "actual", "forecast", "naive", "seasonal_naive", "drift"}
    return otherwise if name in ours or re.fullmatch(r"q[01]\.?\d*", name) else name


def time_column(panel: Panel, schema: ForecastSchema, rows: np.ndarray) -> pl.Series:
    times = pl.Series(time_name(schema), panel.times[rows])
    return times.cast(pl.Date) if schema.time_kind == "date" else times
