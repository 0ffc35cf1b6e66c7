"""The frequency of many series, from all rows of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recurra.data import calendar
from recurra.data.calendar import Grid
from recurra.data.place import Place, called
from recurra.data.times import DAY
from recurra.errors import DataError

CLEAR_SHARE = 0.9
"""A series, or a quarter of one, has a frequency of its own when at least this share of its steps are alike ..."""
CLEAR_STEPS = 6
"""... and it has at least so many steps."""
ODD_SERIES = 0.001
"""So large a share of the series (and at least one) must differ: among thousands of sparse ones, some do by chance."""
MOST_MISSING = 0.5
"""A grid found from the data may be missing at most this share of its rows; beyond it the times are irregular."""
LARGEST_GRID = 200_000_000
"""Rows that a grid asked for by the user may have."""


@dataclass(frozen=True)
class Rows:
    """Sorted times of many series: `times` flat, `offsets` their ranges, `rows` where each stood in the table."""

    times: np.ndarray
    offsets: np.ndarray
    rows: np.ndarray
    names: Sequence[str]
    calendar: bool

    @property
    def starts(self) -> np.ndarray:
        """The first time of each row's series."""
        return np.repeat(self.times[self.offsets[:-1]], np.diff(self.offsets))

    def series_of(self, index: int) -> str:
        """The name of the series that a row belongs to."""
        return self.names[int(np.searchsorted(self.offsets, index, side="right")) - 1]

    def text(self, index: int) -> str:
        """A row's time as the user would write it."""
        return time_text(self.times[index], self.calendar)


def time_text(time: int | np.integer, calendar_time: bool) -> str:
    """A time in words: 2024-01-31, 2024-01-31 13:45:00, or the number."""
    if not calendar_time:
        return str(int(time))
    stamp = np.datetime64(int(time), "us")
    if int(time) % DAY == 0:
        return str(stamp.astype("datetime64[D]"))
    return str(stamp.astype("datetime64[s]")).replace("T", " ")


def infer_grid(place: Place, column: str, data: Rows, given: str | None) -> Grid:
    """The grid of the times.

    Args:
        place: names the table in messages.
        column: the time column.
        data: sorted times without duplicates.
        given: the frequency the user asked for, or None to find it.

    Returns:
        the grid; `regular` is False when no grid fits (then `step` is the median step).

    Raises:
        DataError: series have different frequencies, or times do not fit the frequency asked for.
        UsageError: the frequency asked for is none.
    """
    if given is not None:
        return _asked_for(place, column, data, given)
    steps, series = _steps(data)
    if not len(steps):
        return Grid(None, False, 1.0)
    _one_frequency(place, column, data, steps, series)
    for grid in _candidates(data, steps):
        where, off = calendar.positions(data.times, data.starts, grid)
        if off.any():
            continue
        if 1.0 - len(where) / grid_lengths(where, data.offsets).sum() <= MOST_MISSING:
            return grid
    median = float(np.median(steps))
    return Grid(None, False, median / 1e6 if data.calendar else median)


def grid_lengths(where: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Rows of each series once its gaps are filled."""
    return where[offsets[1:] - 1] + 1


def _steps(data: Rows) -> tuple[np.ndarray, np.ndarray]:
    """All steps between rows of the same series, and the series of each."""
    lengths = np.diff(data.offsets)
    inside = np.ones(max(len(data.times) - 1, 0), dtype=bool)
    inside[data.offsets[1:-1] - 1] = False
    series = np.repeat(np.arange(len(lengths)), lengths)[1:]
    return np.diff(data.times)[inside], series[inside]


def _candidates(data: Rows, steps: np.ndarray) -> list[Grid]:
    values, counts = np.unique(steps, return_counts=True)
    common = int(values[np.argmax(counts)])
    divisor = int(np.gcd.reduce(values))
    if not data.calendar:
        return [Grid(str(step), True, float(step)) for step in dict.fromkeys((common, divisor))]
    found: list[Grid] = []
    if values[0] >= 28 * DAY:
        found += _month_grids(data)
    if common == DAY and calendar.is_weekday(data.times).all() and _skips_weekends(data):
        found.append(Grid("1bd", True, calendar.step_of("1bd")))
    for step in dict.fromkeys((common, divisor)):
        found.append(Grid(calendar.tick_frequency(step), True, step / 1e6))
    return found


def _skips_weekends(data: Rows) -> bool:
    """Whether a Monday ever follows on a Friday (all times are known to be on weekdays)."""
    days = data.times // DAY
    pairs = (np.diff(days) == 3) & (days[1:] % 7 == 4)  # day 4 of 1970 was a Monday
    pairs[data.offsets[1:-1] - 1] = False
    return bool(pairs.any())


def _month_grids(data: Rows) -> list[Grid]:
    months, day = calendar.months_of(data.times), calendar.day_of_month(data.times)
    largest = np.repeat(np.maximum.reduceat(day, data.offsets[:-1]), np.diff(data.offsets))
    top = int(day.max())
    anchor = None
    for name, wanted in (("same day", largest), (f"day {top}", largest), ("last day", largest)):
        if name == "same day" and top > 28:
            continue  # the 29th to 31st would move after a February: such grids keep their day in the anchor
        if name.startswith("day") and (day == calendar.days_in_month(months)).all():
            continue
        if (calendar.anchored_day(months, name, wanted) == day).all():
            anchor = name
            break
    else:
        for name in ("last weekday", "first weekday"):
            if (calendar.anchored_day(months, name, day) == day).all():
                anchor = name
                break
    if anchor is None:
        return []
    inside = np.ones(len(months) - 1, dtype=bool)
    inside[data.offsets[1:-1] - 1] = False
    values, counts = np.unique(np.diff(months)[inside], return_counts=True)
    found = []
    for step in dict.fromkeys((int(values[np.argmax(counts)]), int(np.gcd.reduce(values)))):
        if step > 0:
            frequency = calendar.month_frequency(step)
            found.append(Grid(frequency, True, calendar.step_of(frequency), anchor))
    return found


def _alike(steps: np.ndarray) -> np.ndarray:
    """Steps of a month, a quarter or a year as one value each, whatever their days."""
    days = steps / DAY
    alike = steps.copy()
    for low, high, value in ((28, 31, 30), (89, 92, 91), (365, 366, 365)):
        alike[(days >= low) & (days <= high)] = value * DAY
    return alike


def _one_frequency(place: Place, column: str, data: Rows, steps: np.ndarray, series: np.ndarray) -> None:
    """Refuse series of clearly different frequencies, and series that change their own on the way."""
    alike = _alike(steps) if data.calendar else steps
    enough = max(1, len(data.names) * ODD_SERIES)
    whole = _clear(series, alike)
    if len(whole):
        base = int(whole["step"].mode().min())  # type: ignore[arg-type]
        other = whole.filter(pl.col("step") != base)
        if len(other) >= enough:
            same = whole.filter(pl.col("step") == base)
            first, odd = int(same["part"].min()), int(other["part"].min())  # type: ignore[arg-type]
            step = int(other.filter(pl.col("part") == odd)["step"].item())
            raise _two(place, column, data, base, step, data.names[first], data.names[odd], len(other))
    counts = np.bincount(series, minlength=len(data.names))
    start = np.cumsum(counts) - counts
    quarter = (np.arange(len(series)) - start[series]) * 4 // np.maximum(counts[series], 1)
    quarters = _clear(series * 4 + quarter, alike).with_columns(series=pl.col("part") // 4)
    changed = quarters.group_by("series").agg(pl.col("step").n_unique().alias("kinds")).filter(pl.col("kinds") > 1)
    if len(changed) >= enough:
        odd = int(changed["series"].min())  # type: ignore[arg-type]
        found = quarters.filter(pl.col("series") == odd).sort("part")["step"].to_list()
        early, late = found[0], next(step for step in found if step != found[0])
        words = [_step_words(step, data.calendar) for step in (early, late)]
        raise DataError(
            f"{called('series', data.names[odd])} changes its frequency: {words[0]} at first, {words[1]} later",
            where=place.where(column),
            need="one frequency in all series",
            cure="keep one of the two parts, or bring both to one frequency; to fill the gaps of the coarser part as "
            f"missing: --set data.frequency={_text(min(early, late), data.calendar)}",
        )


def _clear(parts: np.ndarray, steps: np.ndarray) -> pl.DataFrame:
    """Each part's most common step, for the parts that clearly have one."""
    table = pl.DataFrame({"part": parts, "step": steps}).group_by("part", "step").len("count")
    table = table.with_columns(total=pl.col("count").sum().over("part"))
    table = table.filter((pl.col("count") >= CLEAR_SHARE * pl.col("total")) & (pl.col("total") >= CLEAR_STEPS))
    return table.select("part", "step")


def _text(step: int, calendar_time: bool) -> str:
    if not calendar_time:
        return str(step)
    months = {30 * DAY: "1mo", 91 * DAY: "1q", 365 * DAY: "1y"}
    return months.get(step) or calendar.tick_frequency(step)


def _step_words(step: int, calendar_time: bool) -> str:
    return calendar.frequency_words(_text(step, calendar_time))


def _two(place: Place, column: str, data: Rows, base: int, step: int, first: str, odd: str, many: int) -> DataError:
    one, two = _step_words(base, data.calendar), _step_words(step, data.calendar)
    least = _text(min(base, step), data.calendar)
    return DataError(
        f"the series have two frequencies: {first!r} has {one}, {odd!r} has {two} ({many:,} such series)",
        where=place.where(column),
        need="one frequency in all series",
        cure="put them in separate files, or bring them to one frequency; "
        f"to fill the gaps of the coarser ones as missing: --set data.frequency={least}",
    )


def _asked_for(place: Place, column: str, data: Rows, given: str) -> Grid:
    count, unit = calendar.split_frequency(given)
    if bool(unit) != data.calendar:
        kind = "dates" if data.calendar else "whole numbers"
        raise DataError(
            f"the frequency {given!r} does not suit times that are {kind}",
            where=place.where(column),
            need=f"a step such as {calendar.EXAMPLES}" if data.calendar else "a whole number, such as 1",
            cure="give another --set data.frequency, or leave it out: it is found from the rows",
        )
    frequency = f"{count}{unit}"
    step = calendar.step_of(frequency)
    grids = [Grid(frequency, True, step)]
    if unit in ("mo", "q", "y"):
        anchors = [grid.anchor for grid in _month_grids(data)] if len(data.times) > 1 else ["same day"]
        grids = [Grid(frequency, True, step, anchor) for anchor in anchors or ["same day"]]
    for grid in grids:
        where, off = calendar.positions(data.times, data.starts, grid)
        if not off.any():
            break
    cure = "correct the times, or leave --set data.frequency out: it is found from the rows"
    check_on_grid(place, column, data, grid, off, cure)
    check_size(place, column, data, where, frequency)
    return grid


def check_on_grid(place: Place, column: str, data: Rows, grid: Grid, off: np.ndarray, cure: str) -> None:
    """Raise a DataError naming the first row that is off the grid, if any."""
    if not off.any():
        return
    rows = np.flatnonzero(off)
    index = int(rows[0])
    start = int(np.searchsorted(data.offsets, index, side="right")) - 1
    raise DataError(
        f"{data.text(index)} does not fit {calendar.frequency_words(grid.frequency or '')} counted from "
        f"{data.text(int(data.offsets[start]))} in {called('series', data.names[start])} "
        f"({len(rows):,} such row{'s' * (len(rows) != 1)})",
        where=place.where(column, int(data.rows[index])),
        need=f"times in steps of {grid.frequency} from the first time of each series",
        cure=cure,
    )


def check_size(place: Place, column: str, data: Rows, where: np.ndarray, frequency: str) -> None:
    """Raise a DataError when filling the gaps would make a table too large to hold."""
    lengths = grid_lengths(where, data.offsets)
    if lengths.sum() <= LARGEST_GRID or lengths.sum() <= 4 * len(where):
        return
    gap = np.diff(where)
    gap[data.offsets[1:-1] - 1] = 0
    index = int(np.argmax(gap))
    raise DataError(
        f"filling the gaps would make {int(lengths.sum()):,} rows of {len(where):,}; the longest gap is in "
        f"{called('series', data.series_of(index))}, from {data.text(index)} to {data.text(index + 1)}",
        where=place.where(column, int(data.rows[index + 1])),
        need=f"times of which most are there at {frequency}",
        cure="correct the times around the gap, or leave --set data.frequency out: rows then stay where they are",
    )


def check_same_frequency(place: Place, column: str, data: Rows, grid: Grid) -> None:
    """Raise a DataError when later data clearly have another frequency than the model learned."""
    steps, series = _steps(data)
    if not len(steps) or grid.frequency is None:
        return
    clear = _clear(series, _alike(steps) if data.calendar else steps)
    expected = calendar.times_at(data.times[:1], np.array([1]), grid) - data.times[:1]
    expected = _alike(expected) if data.calendar else expected
    odd = clear.filter(pl.col("step") > int(expected[0]))
    if grid.frequency == "1bd" or not len(odd):
        return
    first = int(odd["part"].min())  # type: ignore[arg-type]
    step = int(odd.filter(pl.col("part") == first)["step"].item())
    raise DataError(
        f"{called('series', data.names[first])} has {_step_words(step, data.calendar)}; the model was trained on "
        f"{calendar.frequency_words(grid.frequency)}",
        where=place.where(column),
        need=f"rows in steps of {grid.frequency}",
        cure="bring the data to that frequency, or train a model on them",
    )
