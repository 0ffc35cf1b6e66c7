"""From a user's series to what training needs: parts in time, scalers, seasons, and the panel they are cut from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recurra.data.season import find_seasons
from recurra.data.series_set import ForecastSchema, SeriesSet
from recurra.errors import DataError
from recurra.settings import ForecastData
from recurra.tasks.forecast.defaults import usable_seasons
from recurra.tasks.forecast.panel import Panel, Scaler, make_panel, split_columns
from recurra.tasks.forecast.windows import Origins, Split, split_by_time


@dataclass(frozen=True)
class Prepared:
    """A training table, ready: nothing in the scalers, seasons and notes was learned outside the training part.

    Attributes:
        season: the season whose differences measure an error (the shortest, or 1).
        windows: test windows a series.
    """

    panel: Panel
    split: Split
    scalers: dict[str, Scaler]
    seasons: tuple[int, ...]
    season: int
    windows: int
    notes: list[str]


def prepare(series: SeriesSet, schema: ForecastSchema, data: ForecastData, where: str) -> Prepared:
    """Split by time, learn from the training part, and lay the series out.

    Raises:
        DataError: no series is long enough to hold a horizon back for the test.
    """
    assert data.horizon is not None
    rows = series.history.astype(np.int64)
    windows = data.windows or _windows(rows, data.horizon)
    split = _split(rows, data.horizon, windows, where)
    scalers = _learn_scalers(series, schema, split)
    panel = make_panel(series, schema, data.horizon, scalers)
    found = list(data.season) if data.season is not None else _find_seasons(panel, split, schema)
    seasons = usable_seasons(found, split.train_end)
    note = "no season found"
    if seasons:
        note = f"season of {_and(seasons)} steps, " + ("given" if data.season is not None else "found in the data")
    notes = [note, *_missing_note(panel)]
    return Prepared(panel, split, scalers, seasons, seasons[0] if seasons else 1, windows, notes)


def _missing_note(panel: Panel) -> list[str]:
    """What is done with missing target values, where there are any."""
    missing = int(panel.known_rows.sum()) * panel.targets - int(panel.seen.sum())
    if not missing:
        return []
    what = "1 target value is" if missing == 1 else f"{missing:,} target values are"
    return [f"{what} missing; the last one is carried forward, the network is told, and errors there do not count"]


def split_facts(split: Split, horizon: int) -> dict[str, Any]:
    """What each part holds, for the log and the report."""
    parts: dict[str, Any] = {
        "train": {"sequences": int((split.train_end > 0).sum()), "rows": int(split.train_end.sum())}
    }
    for name, part in (("valid", split.valid), ("test", split.test)):
        parts[name] = {"sequences": len(np.unique(part.series)), "rows": len(part) * horizon}
    for name, facts in parts.items():
        facts["text"] = f"{facts['rows']:,} rows of {facts['sequences']:,} series" + (
            "" if name == "train" else f", {horizon} steps after each origin, later than all before it"
        )
    return parts


def _windows(rows: np.ndarray, horizon: int) -> int:
    """Test windows a series: about twenty in all where few series are given, within a fifth of the usual length."""
    room = int(0.2 * np.median(rows) / horizon)
    return int(np.clip(np.ceil(20 / len(rows)), 1, max(1, min(room, 10))))


def _split(rows: np.ndarray, horizon: int, windows: int, where: str) -> Split:
    least = max(3, min(horizon, int(np.median(rows)) // 2))
    split = split_by_time(rows, horizon, test_windows=windows, valid_windows=windows, least=least)
    if not len(split.test):
        raise DataError(
            f"the longest series has {int(rows.max())} steps, too few to hold {horizon} back for the test",
            where=where,
            need=f"at least {horizon + 3} steps in some series",
            cure=f"give more history, or a --horizon below {max(1, int(rows.max()) - 3)}",
        )
    if len(split.valid):
        return split
    # Too short to spare a whole horizon before the test: validate on as many steps as can be spared.
    usable = np.flatnonzero(split.train_end >= 4)
    if not len(usable):
        usable = np.flatnonzero(split.train_end >= 2)
    origin = np.maximum(split.train_end[usable] - horizon, (split.train_end[usable] + 1) // 2)
    train_end = split.train_end.copy()
    train_end[usable] = np.maximum(origin, 3).clip(max=split.train_end[usable])
    return replace(split, train_end=train_end, valid=Origins(usable, origin))


def _learn_scalers(series: SeriesSet, schema: ForecastSchema, split: Split) -> dict[str, Scaler]:
    """Means and deviations of the covariates, from rows of the training part alone."""
    within = np.arange(series.rows) - np.repeat(series.offsets[:-1], series.lengths)
    train = within < np.repeat(split.train_end, series.lengths)
    return {
        role: Scaler.learn(array[:, split_columns(names, schema.levels)[0]])
        for role, array, names in (
            ("past", series.past[train], schema.covariates),
            ("known", series.known[train], schema.known),
            ("static", series.static, schema.static),
        )
    }


def _find_seasons(panel: Panel, split: Split, schema: ForecastSchema) -> list[int]:
    """Season lengths of the first target, from the training part alone."""
    value = np.where(panel.seen[:, 0].numpy(), panel.value[:, 0].numpy(), np.nan)
    parts = [value[s : s + n] for s, n in zip(panel.start.tolist(), split.train_end.tolist(), strict=True)]
    offsets = np.concatenate([[0], np.cumsum(split.train_end)])
    return find_seasons(np.concatenate(parts), offsets, schema.frequency if schema.calendar else None)


def _and(numbers: tuple[int, ...]) -> str:
    words = [str(n) for n in numbers]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
