"""Missing values in flat arrays of many series: where they are, and the last value carried forward over them."""

from __future__ import annotations

import numpy as np


def missing_mask(values: np.ndarray) -> np.ndarray:
    """True where a value is there, False where it is missing (NaN); the shape of `values`."""
    return ~np.isnan(values)


def carry_forward(values: np.ndarray, offsets: np.ndarray, *, fill: float | np.ndarray = 0.0) -> np.ndarray:
    """Fill missing values with the last one before them in the same series.

    Args:
        values: float64 (rows,) or (rows, columns), NaN is missing.
        offsets: int64 (n+1,): series i stands in rows offsets[i] to offsets[i+1]-1.
        fill: what stands before the first value of a series: a number, or one for each column.

    Returns:
        a new array without NaN. Nothing is carried from one series to the next, and nothing from later to earlier.

    Example:
        >>> carry_forward(np.array([np.nan, 1.0, np.nan, np.nan, 5.0]), np.array([0, 3, 5])).tolist()
        [0.0, 1.0, 1.0, 0.0, 5.0]
    """
    flat = values[:, None] if values.ndim == 1 else values
    fills = np.broadcast_to(np.asarray(fill, dtype=flat.dtype), (flat.shape[1],))
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    rows = np.arange(len(flat))
    result = np.empty_like(flat)
    for column in range(flat.shape[1]):  # a column at a time, so that the index array stays one column wide
        last = np.maximum.accumulate(np.where(np.isnan(flat[:, column]), -1, rows)) if len(rows) else rows
        result[:, column] = np.where(last >= starts, flat[np.maximum(last, 0), column], fills[column])
    return result[:, 0] if values.ndim == 1 else result


def steps_since_seen(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Steps since each column was last seen in its series: 0 where it is there, counted from the start before that.

    Args:
        values: float64 (rows,) or (rows, columns), NaN is missing.
        offsets: int64 (n+1,).

    Returns:
        float64, the shape of `values`.

    Example:
        >>> steps_since_seen(np.array([1.0, np.nan, np.nan, 2.0, np.nan]), np.array([0, 4, 5])).tolist()
        [0.0, 1.0, 2.0, 0.0, 1.0]
    """
    flat = values[:, None] if values.ndim == 1 else values
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    rows = np.arange(len(flat))
    result = np.empty(flat.shape)
    for column in range(flat.shape[1]):
        last = np.maximum.accumulate(np.where(np.isnan(flat[:, column]), -1, rows)) if len(rows) else rows
        result[:, column] = rows - np.maximum(last, starts - 1)
    return result[:, 0] if values.ndim == 1 else result
