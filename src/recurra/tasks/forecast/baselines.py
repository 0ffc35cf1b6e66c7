"""Simple forecasts that every model must beat (naive, seasonal naive, drift), with intervals from their errors."""

from __future__ import annotations

import numpy as np

from recurra.tasks.forecast.metrics import _row_mean


def naive(history: np.ndarray, horizon: int) -> np.ndarray:
    """The last value, repeated."""
    return np.full(horizon, history[-1])


def seasonal_naive(history: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The last season, repeated; the last value where the history is shorter than a season."""
    if len(history) < season:
        return naive(history, horizon)
    return history[len(history) - season + np.arange(horizon) % season]


def drift(history: np.ndarray, horizon: int) -> np.ndarray:
    """The line through the first and the last value, continued."""
    slope = (history[-1] - history[0]) / (len(history) - 1) if len(history) > 1 else 0.0
    return history[-1] + slope * np.arange(1, horizon + 1)


def forecasts(history: np.ndarray, horizon: int, season: int) -> dict[str, np.ndarray]:
    """All baselines for one history without gaps (carried forward)."""
    return {
        "naive": naive(history, horizon),
        "seasonal_naive": seasonal_naive(history, horizon, season),
        "drift": drift(history, horizon),
    }


def best_season(histories: list[np.ndarray], actual: np.ndarray, scale: np.ndarray, seasons: tuple[int, ...]) -> int:
    """The season with which the seasonal naive forecast does best on the windows given; 1 where there is no season."""
    if not seasons or not histories:
        return seasons[0] if seasons else 1
    horizon = actual.shape[1]
    errors: list[float] = []
    for m in seasons:
        made = np.stack([seasonal_naive(h, horizon, m) for h in histories])
        error = _row_mean(np.abs(actual - made)) / np.where(scale > 0, scale, 1.0)
        errors.append(float(np.nanmean(error)) if np.isfinite(error).any() else np.inf)
    return seasons[int(np.argmin(errors))]


def interval_offsets(actual: np.ndarray, point: np.ndarray, scale: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles of a baseline's scaled errors at each step, `(horizon, levels)`; the median is left at the point."""
    error = (actual - point) / np.where(scale > 0, scale, 1.0)[:, None]
    horizon = actual.shape[1]
    offsets = np.zeros((horizon, len(levels)))
    bins = int(np.clip(np.isfinite(error).sum() // 240, 1, min(8, horizon)))
    middle = int(np.argmin(np.abs(levels - 0.5)))
    for steps in np.array_split(np.arange(horizon), bins):
        seen = error[:, steps]
        seen = seen[np.isfinite(seen)]
        if seen.size:
            offsets[steps] = np.quantile(seen, levels)
    offsets[:, middle:] = np.maximum(offsets[:, middle:], 0)
    offsets[:, :middle] = np.minimum(offsets[:, :middle], 0)
    offsets[:, middle] = 0
    return offsets
