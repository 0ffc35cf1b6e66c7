"""Per-series scaling that can be undone; a constant or empty series is left at a scale of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

METHODS = ("mean_abs", "standard", "robust")


@dataclass(frozen=True)
class Scaling:
    """Centre and scale of each series and column: scaled = (value - center) / scale.

    Args:
        center, scale: float64 (n, columns); every scale is positive and finite.

    Example:
        >>> values, offsets = np.array([[2.0], [4.0], [7.0], [7.0]]), np.array([0, 2, 4])
        >>> scaling = fit_scaling(values, offsets, "standard")
        >>> scaling.apply(values, offsets).ravel().tolist(), scaling.scale.ravel().tolist()
        ([-1.0, 1.0, 0.0, 0.0], [1.0, 7.0])
    """

    center: np.ndarray
    scale: np.ndarray

    def apply(self, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Scale flat values (rows, columns); NaN stays NaN."""
        lengths = np.diff(offsets)
        return (values - np.repeat(self.center, lengths, axis=0)) / np.repeat(self.scale, lengths, axis=0)

    def undo(self, values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """The inverse of `apply`."""
        lengths = np.diff(offsets)
        return values * np.repeat(self.scale, lengths, axis=0) + np.repeat(self.center, lengths, axis=0)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts, enough for `from_dict`."""
        return {"center": self.center.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Scaling:
        """The scaling that `to_dict` described."""
        return cls(np.asarray(facts["center"], dtype=np.float64), np.asarray(facts["scale"], dtype=np.float64))


def fit_scaling(
    values: np.ndarray, offsets: np.ndarray, method: str = "mean_abs", *, stop: np.ndarray | None = None
) -> Scaling:
    """Find each series' centre and scale, NaN left aside.

        mean_abs   center 0, scale mean |y|
        standard   center mean y, scale standard deviation
        robust     center median y, scale (third quartile - first quartile) / 1.349

    Args:
        values: float64 (rows, columns), NaN is missing.
        offsets: int64 (n+1,): ranges of the series.
        method: one of the above. Where the scale comes out as 0 (a constant series, say) mean |y| stands in, or 1.
        stop: int64 (n,): only the first stop[i] rows of series i are looked at (the training part, say).

    Returns:
        the scaling, with one centre and scale a series and column.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    lengths = np.diff(offsets)
    seen = ~np.isnan(values)
    if stop is not None:
        step = np.arange(len(values)) - np.repeat(offsets[:-1], lengths)
        seen &= (step < np.repeat(stop, lengths))[:, None]
    count = np.maximum(_sums(seen.astype(np.float64), offsets), 1.0)
    size = _sums(np.where(seen, np.abs(values), 0.0), offsets) / count
    if method == "mean_abs":
        center, scale = np.zeros_like(size), size
    elif method == "standard":
        center = _sums(np.where(seen, values, 0.0), offsets) / count
        spread = np.where(seen, values - np.repeat(center, lengths, axis=0), 0.0)
        scale = np.sqrt(_sums(spread**2, offsets) / count)
    else:
        center, scale = _quartiles(values, seen, offsets)
    tiny = 1e-12 * np.maximum(size, np.abs(center))  # rounding in a constant series is no spread
    scale = np.where(scale > tiny, scale, size)
    usable = np.isfinite(scale) & (scale > np.finfo(np.float64).tiny)
    return Scaling(np.where(np.isfinite(center), center, 0.0), np.where(usable, scale, 1.0))


def _sums(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sums over each series (n, columns); an empty series sums to 0."""
    result = np.zeros((len(offsets) - 1, values.shape[1]))
    full = np.flatnonzero(np.diff(offsets))
    if len(full):
        result[full] = np.add.reduceat(values, offsets[:-1][full], axis=0)
    return result


def _quartiles(values: np.ndarray, seen: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, columns = len(offsets) - 1, values.shape[1]
    center, scale = np.zeros((n, columns)), np.zeros((n, columns))
    series = np.repeat(np.arange(n), np.diff(offsets))
    for column in range(columns):
        there = seen[:, column]
        flat, part = values[there, column], series[there]
        flat = flat[np.lexsort((flat, part))]
        count = np.bincount(part, minlength=n)
        first = np.cumsum(count) - count
        low, mid, high = (_ranked(flat, first, count, share) for share in (0.25, 0.5, 0.75))
        center[:, column], scale[:, column] = mid, (high - low) / 1.349
    return center, scale


def _ranked(flat: np.ndarray, first: np.ndarray, count: np.ndarray, share: float) -> np.ndarray:
    """A quantile of each sorted part, by linear interpolation; 0 for an empty part."""
    if not len(flat):
        return np.zeros(len(count))
    place = share * np.maximum(count - 1, 0)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    at = [np.minimum(first + k, len(flat) - 1) for k in (low, high)]
    result = flat[at[0]] + (flat[at[1]] - flat[at[0]]) * (place - low)
    return np.where(count > 0, result, 0.0)
