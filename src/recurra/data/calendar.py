"""The calendar: grids of fixed steps, months, quarters, years and business days, as whole-number positions and back."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from recurra.data.times import DAY
from recurra.errors import UsageError
from recurra.options import closest

_TICKS = {"w": 7 * DAY, "d": DAY, "h": DAY // 24, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1}
_MONTHS = {"y": 12, "q": 3, "mo": 1}
_WORDS = {
    "y": "year",
    "q": "quarter",
    "mo": "month",
    "w": "week",
    "bd": "business day",
    "d": "day",
    "h": "hour",
    "m": "minute",
    "s": "second",
    "ms": "millisecond",
    "us": "microsecond",
}
_ALIASES = {
    **{unit: unit for unit in _WORDS},
    **{word: unit for unit, word in _WORDS.items()},
    **{word + "s": unit for unit, word in _WORDS.items()},
    "min": "m",
    "t": "m",
    "sec": "s",
    "hr": "h",
    "b": "bd",
    "hourly": "h",
    "daily": "d",
    "weekly": "w",
    "monthly": "mo",
    "quarterly": "q",
    "yearly": "y",
}
EXAMPLES = "1h, 15m (minutes), 1d, 1bd (business days), 1w, 1mo, 1q, 1y; for whole-number times a number"


@dataclass(frozen=True)
class Grid:
    """The times that a series may have, counted from its own first time.

    Args:
        frequency: how many of which unit ("1h", "1mo", "1bd"; the step itself for whole-number times), or None.
        regular: whether series are laid on the grid; else rows stay where they are.
        step: the step in seconds (or in whole numbers); the median step where times are irregular.
        anchor: which day of the month a grid of months has: "same day", "day 30", "last day", "first weekday",
            "last weekday"; None for other grids.
    """

    frequency: str | None
    regular: bool
    step: float
    anchor: str | None = None


def split_frequency(text: str) -> tuple[int, str]:
    """A frequency as (count, unit); the unit is "" for whole-number times.

    Raises:
        UsageError: the text is no frequency.

    Example:
        >>> split_frequency("15min"), split_frequency("monthly"), split_frequency("2")
        ((15, 'm'), (1, 'mo'), (2, ''))
    """
    found = re.fullmatch(r"\s*(\d*)\s*([A-Za-z ]*?)\s*", text)
    if found and (found[1] or found[2]):
        count = int(found[1] or 1)
        unit = found[2]
        # M and MS are months in some tools, minutes and milliseconds in others: say so rather than guess.
        known = unit == "" or (unit not in ("M", "MS", "ME", "Ms") and unit.lower() in _ALIASES)
        if count > 0 and known:
            return count, _ALIASES[unit.lower()] if unit else ""
    raise UsageError(
        f"{text!r} is not a frequency",
        where="--set data.frequency",
        need=f"a step such as {EXAMPLES}",
        cure="write 1mo for months, 1m for minutes"
        if found and found[2].upper() in ("M", "MS", "ME")
        else closest(text.strip("0123456789 "), _ALIASES) or "write a count and a unit, such as 1h",
    )


def frequency_words(frequency: str) -> str:
    """A frequency in plain words.

    Example:
        >>> frequency_words("1h"), frequency_words("15m")
        ('one row an hour (1h)', 'one row every 15 minutes (15m)')
    """
    count, unit = split_frequency(frequency)
    if not unit:
        return f"times rise by {count}"
    word = _WORDS[unit]
    if count == 1:
        return f"one row {'an' if word == 'hour' else 'a'} {word} ({frequency})"
    return f"one row every {count} {word}s ({frequency})"


def step_words(step: float, calendar_time: bool) -> str:
    """A median step in plain words: "3 hours", "12"."""
    if not calendar_time:
        return f"{step:g}"
    for unit, ticks in _TICKS.items():
        if step * 1e6 >= ticks:
            count = step * 1e6 / ticks
            return f"{count:.3g} {_WORDS[unit]}{'s' * (count != 1)}"
    return f"{step:g} seconds"


def tick_frequency(step: int) -> str:
    """The text of a fixed step in microseconds, in the largest unit that divides it."""
    for unit, ticks in _TICKS.items():
        if step % ticks == 0:
            return f"{step // ticks}{unit}"
    return f"{step}us"


def month_frequency(months: int) -> str:
    """The text of a step in months: 1mo, 1q, 1y, or their multiples."""
    for unit, size in _MONTHS.items():
        if months % size == 0:
            return f"{months // size}{unit}"
    return f"{months}mo"


def step_of(frequency: str) -> float:
    """The (mean) step in seconds, or in whole numbers."""
    count, unit = split_frequency(frequency)
    if not unit:
        return float(count)
    if unit in _MONTHS:
        return count * _MONTHS[unit] * 365.2425 / 12 * 86400
    return count * (DAY * 7 / 5 if unit == "bd" else _TICKS[unit]) / 1e6


def _days(times: np.ndarray) -> np.ndarray:
    return times // DAY


def months_of(times: np.ndarray) -> np.ndarray:
    """Months since January 1970."""
    return _days(times).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def day_of_month(times: np.ndarray) -> np.ndarray:
    """Day of the month, from 1."""
    days = _days(times)
    return days - _first_day(months_of(times)) + 1


def _first_day(months: np.ndarray) -> np.ndarray:
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def days_in_month(months: np.ndarray) -> np.ndarray:
    """Number of days of each month."""
    return _first_day(months + 1) - _first_day(months)


def anchored_day(months: np.ndarray, anchor: str, day: np.ndarray) -> np.ndarray:
    """Day of the month (from 1) that an anchor means in each month; `day` serves the anchor "same day"."""
    length = days_in_month(months)
    if anchor == "last day":
        return length
    if anchor in ("first weekday", "last weekday"):
        first = anchor.startswith("first")
        edge = _first_day(months) + (0 if first else length - 1)
        moved = np.busday_offset(edge.astype("datetime64[D]"), 0, roll="forward" if first else "backward")
        return moved.astype(np.int64) - _first_day(months) + 1
    wanted = np.full(len(months), int(anchor[4:])) if anchor.startswith("day ") else day
    return np.minimum(wanted, length)


def is_weekday(times: np.ndarray) -> np.ndarray:
    """Whether each time is on Monday to Friday."""
    return (_days(times) + 3) % 7 < 5


def business_days(times: np.ndarray) -> np.ndarray:
    """Business days since 1970, for times on weekdays."""
    return np.busday_count(np.datetime64("1970-01-01"), _days(times).astype("datetime64[D]")).astype(np.int64)


def positions(times: np.ndarray, starts: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Steps from each time's start on a grid, and which times are off it.

    Args:
        times: int64, microseconds or whole numbers.
        starts: the first time of each row's series, same shape.
        grid: a grid with a frequency.

    Returns:
        int64 positions and a boolean array: True where the time is not on the grid.
    """
    assert grid.frequency is not None
    count, unit = split_frequency(grid.frequency)
    if unit in _MONTHS:
        count *= _MONTHS[unit]
        months = months_of(times)
        steps = months - months_of(starts)
        day = anchored_day(months, grid.anchor or "same day", day_of_month(starts))
        off = (day != day_of_month(times)) | (times % DAY != starts % DAY)
    elif unit == "bd":
        steps = business_days(times) - business_days(starts)
        off = ~is_weekday(times) | (times % DAY != starts % DAY)
    else:
        count *= _TICKS.get(unit, 1)
        steps = times - starts
        off = np.zeros(len(times), dtype=bool)
    return steps // count, off | (steps % count != 0)


def times_at(starts: np.ndarray, steps: np.ndarray, grid: Grid) -> np.ndarray:
    """The inverse of `positions`: the time `steps` grid steps after each start."""
    if grid.frequency is None:
        return starts + np.rint(steps * grid.step).astype(np.int64)
    count, unit = split_frequency(grid.frequency)
    if unit in _MONTHS:
        months = months_of(starts) + steps * count * _MONTHS[unit]
        day = anchored_day(months, grid.anchor or "same day", day_of_month(starts))
        return (_first_day(months) + day - 1) * DAY + starts % DAY
    if unit == "bd":
        moved = np.busday_offset(_days(starts).astype("datetime64[D]"), steps * count, roll="backward")
        return moved.astype(np.int64) * DAY + starts % DAY
    return starts + steps * count * _TICKS.get(unit, 1)
