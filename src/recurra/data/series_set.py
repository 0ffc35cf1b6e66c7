"""Many series in flat arrays, and what was learned about the table that they came from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from recurra.data.calendar import Grid, times_at
from recurra.data.times import DAY


@dataclass
class SeriesSet:
    """Many series, one after the other in flat arrays, each sorted by time.

    Args:
        names: one a series; the values of several id columns are joined by " / ".
        keys: the id columns' values, one row a series (no columns when the table is one series).
        offsets: int64 (n+1,): series i stands in rows offsets[i] to offsets[i+1]-1.
        time: datetime64[us] or int64 (rows,); where the grid is regular, gaps are filled.
        target: float64 (rows, targets); NaN is missing, also in filled gaps and in the future part.
        past: float64 (rows, p): covariates known up to now; NaN is missing; categories are codes, 0 for unknown.
        known: float64 (rows, k): columns known ahead.
        static: float64 (n, s): columns constant within a series.
        future: int64 (n,): rows at the end of each series that hold known columns only.

    Example:
        >>> from recurra.data.forecast_table import read_forecast
        >>> data, schema, card = read_forecast({"time": [1, 2, 4], "units": [1.0, 2.0, 4.0]})
        >>> data.window(0, stop=4, length=2)[0].ravel().tolist()
        [nan, 4.0]
    """

    names: list[str]
    keys: pl.DataFrame
    offsets: np.ndarray
    time: np.ndarray
    target: np.ndarray
    past: np.ndarray
    known: np.ndarray
    static: np.ndarray
    future: np.ndarray

    @property
    def n(self) -> int:
        """Number of series."""
        return len(self.names)

    @property
    def rows(self) -> int:
        """Number of rows of all series, filled gaps and future parts included."""
        return len(self.time)

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each series, the future part included."""
        return np.diff(self.offsets)

    @property
    def history(self) -> np.ndarray:
        """Rows of each series without its future part."""
        return np.diff(self.offsets) - self.future

    def __len__(self) -> int:
        return len(self.names)

    def slice(self, i: int) -> slice:
        """The rows of series i in the flat arrays."""
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def last_time(self, i: int) -> Any:
        """The time of the last row of series i that is not in its future part."""
        return self.time[int(self.offsets[i + 1]) - 1 - int(self.future[i])]

    def window(self, i: int, stop: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows stop-length .. stop-1 of series i as (target, past, known); rows before the series' start are NaN."""
        base = int(self.offsets[i])
        start = max(stop - length, 0)
        short = length - (stop - start)
        parts = []
        for flat in (self.target, self.past, self.known):
            part = flat[base + start : base + stop]
            parts.append(np.pad(part, ((short, 0), (0, 0)), constant_values=np.nan) if short else part)
        return parts[0], parts[1], parts[2]

    def take(self, which: np.ndarray) -> SeriesSet:
        """The series with these indices, in this order."""
        which = np.asarray(which, dtype=np.int64)
        lengths = self.lengths[which]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(self.offsets[which], lengths)
        return SeriesSet(
            [self.names[i] for i in which],
            self.keys[which.tolist()] if self.keys.width else self.keys,
            offsets,
            self.time[rows],
            self.target[rows],
            self.past[rows],
            self.known[rows],
            self.static[which],
            self.future[which],
        )


@dataclass
class ForecastSchema:
    """What the columns of a forecasting table mean; learned when fitting, applied again when predicting.

    Args:
        target, series, known, covariates, static: names of columns by their part.
        time: name of the time column, or None: the order of the rows.
        levels: categorical column to its levels; the code of a level is its place counted from 1, 0 is unknown.
        time_kind: "datetime", "date", "integer" or "row".
        time_format: how texts of the time column are read, or None.
        frequency: "1h", "1d", "1mo" ...; the step as text for whole numbers; None where times are irregular.
        regular: whether series are laid on a grid of that frequency.
        step: the step in seconds, or in whole numbers; the median step where times are irregular.
        anchor: which day of the month a monthly grid has, or None.
    """

    target: tuple[str, ...]
    time: str | None = None
    series: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    levels: dict[str, list[str]] = field(default_factory=dict)
    time_kind: str = "row"
    time_format: str | None = None
    frequency: str | None = None
    regular: bool = True
    step: float = 1.0
    anchor: str | None = None

    @property
    def grid(self) -> Grid:
        """The grid of the times."""
        return Grid(self.frequency, self.regular, self.step, self.anchor)

    @property
    def calendar(self) -> bool:
        """Whether times are dates or datetimes."""
        return self.time_kind in ("date", "datetime")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts, enough for `from_dict`."""
        facts = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> ForecastSchema:
        """The schema that `to_dict` described."""
        tuples = ("target", "series", "known", "covariates", "static")
        plain: dict[str, Any] = {key: tuple(value) if key in tuples else value for key, value in facts.items()}
        return cls(**plain)


def future_times(schema: ForecastSchema, last_time: Any, steps: int) -> np.ndarray:
    """The `steps` times that follow `last_time`, on the calendar: month ends stay month ends, weekends are left out.

    Args:
        schema: says the frequency; where times are irregular the median step is taken.
        last_time: a datetime64 or a date for calendar times, else a whole number; or an array of them.
        steps: how many.

    Returns:
        datetime64[us] or int64 (steps,), or (n, steps) for an array of n last times.

    Example:
        >>> schema = ForecastSchema(("y",), "t", time_kind="date", frequency="1mo", anchor="last day")
        >>> future_times(schema, np.datetime64("2024-01-31"), 2).astype("datetime64[D]").tolist()
        [datetime.date(2024, 2, 29), datetime.date(2024, 3, 31)]
    """
    single = np.ndim(last_time) == 0
    last = np.atleast_1d(np.asarray(last_time))
    if schema.calendar:
        last = last.astype("datetime64[us]").astype(np.int64)
    starts = np.repeat(last.astype(np.int64), steps)
    ahead = np.tile(np.arange(1, steps + 1), len(last))
    grid = schema.grid
    if schema.calendar and grid.frequency is None:
        grid = Grid(None, False, _whole_step(schema) * 1e6)
    times = times_at(starts, ahead, grid).reshape(len(last), steps)
    if schema.calendar:
        times = times.astype("datetime64[us]")
    return times[0] if single else times


def _whole_step(schema: ForecastSchema) -> float:
    """The median step; whole days for dates, so that a forecast's times are dates too."""
    if schema.time_kind == "date":
        return max(round(schema.step / (DAY / 1e6)), 1) * (DAY / 1e6)
    return schema.step
