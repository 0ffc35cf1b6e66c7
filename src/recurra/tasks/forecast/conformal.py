"""Conformal calibration: how far each quantile must stand from the median, learned from windows held back for it.

    k_q(b) = the q-quantile, over windows and steps of bin b, of (y - median) / (quantile_q - median); q < .5 mirrored
    calibrated_q = median + k_q(b) (quantile_q - median)

Bins are runs of neighbouring horizon steps, as few as the number of residuals asks for. The factors are positive, and
the quantiles are kept in order, so that calibration never crosses them. Where residuals are too few to learn from, the
factor is NaN, and counts as one.

Reference: Romano, Patterson and Candes 2019 (conformalized quantile regression), in its scaled form.
Differs from the paper: windows of one series are not exchangeable, so coverage holds only as far as the future
resembles the calibration part; it is therefore measured on later data and reported.
"""

from __future__ import annotations

import numpy as np

_LEAST = 60
"""Residuals a bin needs: fewer give quantiles that are mostly noise."""


def fit_factors(actual: np.ndarray, quantiles: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Factors `(horizon, levels)` from calibration windows: actual `(windows, horizon)`, quantiles `(.., levels)`."""
    horizon, middle = actual.shape[1], int(np.argmin(np.abs(levels - 0.5)))
    factors = np.full((horizon, len(levels)), np.nan)
    seen = np.isfinite(actual)
    if seen.sum() < _LEAST // 2:
        return factors
    bins = int(np.clip(seen.sum() // (_LEAST * 4), 1, min(8, horizon)))
    for steps in np.array_split(np.arange(horizon), bins):
        mask = seen[:, steps]
        for i, level in enumerate(levels):
            if i == middle:
                continue
            reach = (quantiles[:, steps, i] - quantiles[:, steps, middle])[mask]
            ratio = (actual[:, steps] - quantiles[:, steps, middle])[mask] / np.where(np.abs(reach) > 0, reach, np.nan)
            ratio = ratio[np.isfinite(ratio)]
            if len(ratio) < _LEAST // 2:
                continue
            # Mirrored for the lower side, where reach is negative: there the ratio must be exceeded by a share q.
            share = level if level > levels[middle] else 1 - level
            share = min(1.0, share * (1 + 1 / len(ratio)))
            factors[steps, i] = np.clip(np.quantile(ratio, share), 0.05, 20.0)
    return factors


def plain(factors: np.ndarray) -> list[list[list[float]]]:
    """Factors `(targets, horizon, levels)` as lists, those that were not learned as one."""
    return np.nan_to_num(factors, nan=1.0).tolist()


def apply_factors(quantiles: np.ndarray, levels: np.ndarray, factors: np.ndarray | list[list[float]]) -> np.ndarray:
    """Calibrated quantiles, in order, with the median as it was."""
    middle = int(np.argmin(np.abs(levels - 0.5)))
    median = quantiles[..., middle : middle + 1]
    moved = median + (quantiles - median) * np.nan_to_num(np.asarray(factors), nan=1.0)[: quantiles.shape[1]]
    moved[..., middle:] = np.maximum.accumulate(moved[..., middle:], -1)
    moved[..., : middle + 1] = np.minimum.accumulate(moved[..., middle::-1], -1)[..., ::-1]
    return moved
