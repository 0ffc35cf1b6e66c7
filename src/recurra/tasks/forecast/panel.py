"""A user's series as flat tensors with the horizon appended, ready to be cut into windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.data.forecast_table import ForecastSchema, SeriesSet, future_times
from recurra.data.missing import carry_forward
from recurra.tasks.forecast.clock import clock_features, clock_names


@dataclass
class Scaler:
    """Mean and deviation of numeric columns, from the training rows."""

    mean: list[float]
    deviation: list[float]

    @staticmethod
    def learn(values: np.ndarray) -> Scaler:
        mean, deviation = [], []
        for column in values.T:
            seen = column[np.isfinite(column)]
            mean.append(float(seen.mean()) if seen.size else 0.0)
            spread = float(seen.std()) if seen.size else 1.0
            deviation.append(spread if spread > 1e-12 else 1.0)
        return Scaler(mean, deviation)

    def apply(self, values: np.ndarray) -> np.ndarray:
        scaled = (values - np.asarray(self.mean)) / np.asarray(self.deviation)
        return np.clip(np.nan_to_num(scaled, nan=0.0), -10.0, 10.0).astype(np.float32)


@dataclass
class Panel:
    """Series laid end to end, each followed by `horizon` rows of future.

    Attributes:
        start: first row of each series, `(series,)`.
        known_rows: rows with history, the horizon not counted, `(series,)`.
        value: targets, carried forward over gaps and into the horizon, float64 `(rows, targets)`.
        seen: where a target was observed, `(rows, targets)`.
        past, known: covariates scaled to unit deviation, `(rows, columns)`; missing ones carried, then zero.
        clock: calendar features, `(rows, features)`; gap: time since the previous row in usual steps, or no column.
        past_codes, known_codes, static_codes: categories as whole numbers; static: numbers `(series, columns)`.
    """

    start: Tensor
    known_rows: Tensor
    value: Tensor
    seen: Tensor
    past: Tensor
    known: Tensor
    clock: Tensor
    gap: Tensor
    past_codes: Tensor
    known_codes: Tensor
    static: Tensor
    static_codes: Tensor
    times: np.ndarray
    names: list[str]
    keys: Any

    @property
    def series(self) -> int:
        return len(self.start)

    @property
    def targets(self) -> int:
        return self.value.shape[1]

    def rows(self, series: int) -> slice:
        """The history rows of one series."""
        first = int(self.start[series])
        return slice(first, first + int(self.known_rows[series]))


def split_columns(names: tuple[str, ...], levels: dict[str, list[str]]) -> tuple[list[int], list[int]]:
    """Positions of the numeric and of the categorical columns."""
    numeric = [i for i, name in enumerate(names) if name not in levels]
    return numeric, [i for i, name in enumerate(names) if name in levels]


def make_panel(series: SeriesSet, schema: ForecastSchema, horizon: int, scalers: dict[str, Scaler] | None) -> Panel:
    """Lay a SeriesSet out for windows. With `scalers` None the covariates are left as they are (to learn scalers)."""
    lengths = np.diff(series.offsets)
    history = lengths - series.future
    starts = np.concatenate([[0], np.cumsum(history + horizon)])[:-1]
    rows = int((history + horizon).sum())
    owner = np.repeat(np.arange(len(lengths)), history + horizon)
    within = np.arange(rows) - starts[owner]
    given = within < lengths[owner]
    source = np.where(given, series.offsets[:-1][owner] + within, 0)

    def take(array: np.ndarray) -> np.ndarray:
        out = array[source].astype(np.float64)
        out[~given] = np.nan
        return out

    target = take(series.target)
    target[within >= history[owner]] = np.nan
    offsets = np.concatenate([starts, [rows]])
    seen = np.isfinite(target)
    # Before the first observation there is nothing to carry: the first value stands in, unseen.
    value = _fill_start(carry_forward(target, offsets, fill=np.nan), offsets)
    times = _times(series, schema, history, horizon, owner, within, given, source)
    parts: dict[str, Tensor] = {}
    for role, array in (("past", series.past), ("known", series.known)):
        names = schema.covariates if role == "past" else schema.known
        numeric, coded = split_columns(names, schema.levels)
        carried = carry_forward(take(array), offsets, fill=np.nan) if array.shape[1] else take(array)
        numbers = carried[:, numeric]
        parts[role] = torch.from_numpy(scalers[role].apply(numbers) if scalers else numbers.astype(np.float32))
        parts[role + "_codes"] = torch.from_numpy(np.nan_to_num(carried[:, coded]).astype(np.int64))
    numeric, coded = split_columns(schema.static, schema.levels)
    static = series.static[:, numeric]
    parts["static"] = torch.from_numpy(scalers["static"].apply(static) if scalers else static.astype(np.float32))
    parts["static_codes"] = torch.from_numpy(np.nan_to_num(series.static[:, coded]).astype(np.int64))
    gap = _gaps(times, offsets, schema) if not schema.regular else np.zeros((rows, 0), np.float32)
    return Panel(
        start=torch.from_numpy(starts),
        known_rows=torch.from_numpy(history.astype(np.int64)),
        value=torch.from_numpy(value),
        seen=torch.from_numpy(seen),
        clock=torch.from_numpy(clock_features(times, clock_names(schema.time_kind, schema.step))),
        gap=torch.from_numpy(gap),
        times=times,
        names=series.names,
        keys=series.keys,
        **parts,
    )


def _fill_start(value: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Give the rows before a series' first observation that observation's value (zero where there is none at all)."""
    backward = carry_forward(value[::-1], (offsets[-1] - offsets)[::-1], fill=np.nan)[::-1]
    return np.nan_to_num(np.where(np.isfinite(value), value, backward))


def _times(
    series: SeriesSet,
    schema: ForecastSchema,
    history: np.ndarray,
    horizon: int,
    owner: np.ndarray,
    within: np.ndarray,
    given: np.ndarray,
    source: np.ndarray,
) -> np.ndarray:
    times = series.time[source]
    ends = series.time[series.offsets[:-1] + history - 1]
    ahead = future_times(schema, ends, horizon).astype(times.dtype)
    beyond = within >= history[owner]
    times[beyond] = np.where(given[beyond], times[beyond], ahead[owner[beyond], (within - history[owner])[beyond]])
    return times


def _gaps(times: np.ndarray, offsets: np.ndarray, schema: ForecastSchema) -> np.ndarray:
    """Time since the previous row in usual steps, as log(1 + steps), so that long breaks do not drown the rest."""
    numbers = times.astype("datetime64[us]").astype(np.int64) / 1e6 if times.dtype.kind == "M" else times.astype(float)
    gaps = np.diff(numbers, prepend=numbers[:1]) / schema.step
    gaps[offsets[:-1]] = 1.0
    return np.log1p(np.clip(gaps, 0, 1e6)).astype(np.float32)[:, None]
