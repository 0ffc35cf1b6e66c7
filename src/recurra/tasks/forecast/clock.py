"""What a calendar time tells a network: hour, weekday, day of the year, as numbers between -1 and 1."""

from __future__ import annotations

import numpy as np


def clock_names(time_kind: str, step_seconds: float) -> list[str]:
    """Which parts of the calendar matter for a step of this length; none for times that are whole numbers."""
    if time_kind not in ("datetime", "date"):
        return []
    names = []
    if step_seconds < 0.9 * 86_400:
        names.append("hour")
    if step_seconds < 6 * 86_400:
        names.append("weekday")
    if step_seconds < 300 * 86_400:
        names.append("year")
    return names


def clock_features(times: np.ndarray, names: list[str]) -> np.ndarray:
    """The features of each time, `(rows, features)`: a sine and a cosine a cycle, the weekday as seven indicators."""
    if not names:
        return np.zeros((len(times), 0), np.float32)
    stamps = times.astype("datetime64[s]")
    days = stamps.astype("datetime64[D]")
    columns: list[np.ndarray] = []
    for name in names:
        if name == "weekday":
            weekday = (days.astype(np.int64) + 3) % 7
            columns.extend((weekday == day).astype(np.float32) for day in range(7))
            continue
        if name == "hour":
            phase = (stamps - days).astype(np.int64) / 86_400
        else:
            years = stamps.astype("datetime64[Y]")
            phase = (days - years.astype("datetime64[D]")).astype(np.int64) / 365.25
        columns.extend((np.sin(2 * np.pi * phase).astype(np.float32), np.cos(2 * np.pi * phase).astype(np.float32)))
    return np.stack(columns, 1)
