"""Measures of forecasts. Arrays are `(windows, horizon)`; a missing actual value (NaN) counts nowhere.

    smape    200 mean |y - f| / (|y| + |f|)                        percent, 0 to 200 (0/0 counts as 0)
    mase     mean |y - f| / in-sample mean |y_t - y_{t-m}|         per window, then averaged over windows
    mae      mean |y - f|                                          in the target's units
    rmse     sqrt(mean (y - f)^2)                                  in the target's units
    pinball  mean over quantiles of 2 max(q e, (q-1) e), over mean |y|
    coverage share of y inside the outermost quantiles

References: Makridakis et al. 2020 (the M4 competition) for smape and mase as used there.
"""

from __future__ import annotations

import numpy as np

NAMES = ("mase", "smape", "mae", "rmse", "pinball", "coverage")


def smape(actual: np.ndarray, forecast: np.ndarray) -> np.ndarray:
    """Symmetric mean absolute percentage error of each window, in percent."""
    size = np.abs(actual) + np.abs(forecast)
    ratio = np.where(
        size > 0, np.abs(actual - forecast) / np.where(size > 0, size, 1.0), np.where(size == 0, 0.0, np.nan)
    )
    return 200.0 * _row_mean(ratio)


def mase(actual: np.ndarray, forecast: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Mean absolute scaled error of each window; NaN where the series' scale is zero (a constant history)."""
    error = _row_mean(np.abs(actual - forecast))
    return np.where(scale > 0, error / np.where(scale > 0, scale, 1.0), np.nan)


def pinball(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> float:
    """Weighted quantile loss: twice the mean pinball loss over the mean absolute actual value."""
    error = actual[..., None] - quantiles
    loss = np.maximum(levels * error, (levels - 1) * error)
    size = np.nanmean(np.abs(actual))
    return float(2 * np.nanmean(loss) / size) if size > 0 else float(2 * np.nanmean(loss))


def coverage(actual: np.ndarray, quantiles: np.ndarray) -> float:
    """Share of actual values between the lowest and the highest quantile."""
    seen = np.isfinite(actual)
    inside = (actual >= quantiles[..., 0]) & (actual <= quantiles[..., -1])
    return float(inside[seen].mean()) if seen.any() else float("nan")


def measure(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray, scale: np.ndarray) -> dict[str, float]:
    """All measures of quantile forecasts `(windows, horizon, levels)`; the level nearest .5 is the point forecast."""
    point = quantiles[..., int(np.argmin(np.abs(levels - 0.5)))]
    error = actual - point
    scaled = mase(actual, point, scale)
    return {
        "mase": _mean(scaled),
        "smape": _mean(smape(actual, point)),
        "mae": _mean(np.abs(error)),
        "rmse": float(np.sqrt(_mean(error**2))),
        "pinball": pinball(actual, quantiles, levels),
        "coverage": coverage(actual, quantiles),
    }


def mase_scale(history: np.ndarray, season: int) -> float:
    """Mean absolute seasonal difference of a history (NaN for missing); 0 where there is none to take."""
    for lag in (season, 1):
        if len(history) > lag:
            steps = np.abs(history[lag:] - history[:-lag])
            if np.isfinite(steps).any():
                return float(np.nanmean(steps))
    return 0.0


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def _row_mean(values: np.ndarray) -> np.ndarray:
    seen = np.isfinite(values)
    count = seen.sum(-1)
    total = np.where(seen, values, 0.0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
