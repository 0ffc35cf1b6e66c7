"""Columns of times: dates, datetimes with or without zone, whole numbers, and the common ways to write them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recurra.data.columns import MISSING_MARKERS, is_text
from recurra.data.place import Place
from recurra.errors import DataError

DAY = 86_400_000_000
"""Microseconds of a day."""

_DATES = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%Y%m%d",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
)
_MONTHS = ("%Y-%m", "%Y/%m", "%b %Y", "%B %Y", "%b-%Y", "%m/%Y")
_CLOCKS = ("T%H:%M:%S%.f", " %H:%M:%S%.f", "T%H:%M", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "T%H", " %H")
_SWAPPED = {"%d/%m": "%m/%d", "%d-%m": "%m-%d"}
_NEED = "times such as 2024-01-31, 2024-01-31 13:45, 31.01.2024, or whole numbers"


@dataclass
class Times:
    """Parsed times.

    Args:
        values: int64, microseconds since 1970 for dates and datetimes, else the whole numbers (or float64 numbers).
        kind: "date" (all at midnight), "datetime", "integer" or "number".
        format: how texts were read, so that later data are read in the same way.
        notes: what should be said aloud.
    """

    values: np.ndarray
    kind: str
    format: str | None = None
    notes: list[str] = field(default_factory=list)


def parse_times(
    place: Place, column: pl.Series, *, format: str | None = None, fractions: bool = False, flag: str = "--time"
) -> Times:
    """Read a column of times.

    Args:
        place: names the table and its rows in messages.
        column: dates, datetimes (zones are turned into UTC), whole numbers or texts.
        format: the format found at fit time, tried first.
        fractions: whether numbers with a fraction are allowed (times of sequences in seconds, say).
        flag: the option that named the column.

    Returns:
        the times, one a row.

    Raises:
        DataError: a time is missing or cannot be read; the first such row is named.

    Example:
        >>> from recurra.data.table import Table
        >>> parse_times(Table(pl.DataFrame()), pl.Series("t", ["31.01.2024", "01.02.2024"])).kind
        'date'
    """
    if is_text(column):
        texts = column.cast(pl.String).str.strip_chars()
        missing = texts.is_null() | texts.str.to_lowercase().is_in(MISSING_MARKERS).fill_null(True)
        _no_missing(place, column, missing, flag)
        return _from_texts(place, texts.alias(column.name), format)
    missing = column.is_nan() | column.is_null() if column.dtype.is_float() else column.is_null()
    _no_missing(place, column, missing.fill_null(True), flag)
    name = column.name
    if column.dtype == pl.Date:
        return Times(column.cast(pl.Datetime("us")).to_physical().to_numpy().astype(np.int64), "date")
    if isinstance(column.dtype, pl.Datetime):
        return _from_datetimes(column)
    if column.dtype.is_integer():
        return _from_integers(column)
    if column.dtype.is_numeric():
        numbers = column.cast(pl.Float64).to_numpy()
        whole = np.isfinite(numbers) & (numbers == np.round(numbers)) & (np.abs(numbers) < 2**53)
        if whole.all():
            return _from_integers(pl.Series(name, numbers.astype(np.int64)))
        if fractions and np.isfinite(numbers).all():
            return Times(numbers.astype(np.float64), "number")
        row = int(np.flatnonzero(~whole)[0])
        raise DataError(
            f"{numbers[row]!s} is not a whole number",
            where=place.where(name, row),
            need="dates, datetimes or whole numbers as times",
            cure="multiply the times until they are whole (seconds to milliseconds, say), or give dates",
        )
    raise DataError(
        f"a column of type {column.dtype} holds no times",
        where=place.where(name),
        need=_NEED,
        cure=f"name another column with {flag}",
    )


def _no_missing(place: Place, column: pl.Series, missing: pl.Series, flag: str) -> None:
    if missing.any():
        rows = np.flatnonzero(missing.to_numpy())
        raise DataError(
            f"the time is missing ({len(rows):,} such row{'s' * (len(rows) != 1)})",
            where=place.where(column.name, int(rows[0])),
            need=f"a time in every row of {flag} {column.name}",
            cure="fill the times in, or remove these rows",
        )


def _kind(values: np.ndarray) -> str:
    return "date" if not (values % DAY).any() else "datetime"


def _from_datetimes(column: pl.Series) -> Times:
    zone = getattr(column.dtype, "time_zone", None)
    if zone is None:
        values = column.cast(pl.Datetime("us")).to_physical().to_numpy().astype(np.int64)
        return Times(values, _kind(values))
    wall = column.dt.replace_time_zone(None).cast(pl.Datetime("us")).to_physical().to_numpy().astype(np.int64)
    if zone not in ("UTC", "Etc/UTC") and _kind(wall) == "date":
        # Midnights of a place are dates; in UTC they would shift with summer time and look irregular.
        return Times(wall, "date", notes=[f"The times of {column.name!r} are midnights in {zone}; read as dates."])
    utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    values = utc.to_physical().to_numpy().astype(np.int64)
    return Times(values, _kind(values), notes=[f"The times of {column.name!r} are in {zone}; they are read as UTC."])


def _from_integers(column: pl.Series) -> Times:
    values = column.cast(pl.Int64).to_numpy().astype(np.int64)
    if len(values) and values.min() >= 19_000_101 and values.max() <= 21_001_231:
        dates = column.cast(pl.Int64).cast(pl.String).str.to_date("%Y%m%d", strict=False)
        if not dates.null_count():
            note = f"The numbers of {column.name!r} are read as dates ({values[0]} is {dates[0]})."
            return Times(dates.cast(pl.Datetime("us")).to_physical().to_numpy().astype(np.int64), "date", notes=[note])
    if len(values) and values.min() >= 190_001 and values.max() <= 210_012 and values.max() - values.min() >= 89:
        month = values % 100
        if (month >= 1).all() and (month <= 12).all():
            dates64 = ((values // 100 - 1970) * 12 + month - 1).astype("datetime64[M]")
            note = f"The numbers of {column.name!r} are read as months ({values[0]} is {dates64[0]})."
            return Times(dates64.astype("datetime64[us]").astype(np.int64), "date", notes=[note])
    return Times(values, "integer")


def _from_texts(place: Place, texts: pl.Series, learned: str | None) -> Times:
    distinct = texts.unique(maintain_order=True)
    sample = distinct.head(50)
    if learned is not None and (found := _parse(distinct, learned)) is not None and not found.null_count():
        return _finish(texts, _parse(texts, learned), learned)
    format = next((f for f in _formats() if _fits(sample, f) and _fits(distinct, f)), None)
    if format is None:
        if (special := _quarters_or_weeks(texts)) is not None:
            return special
        numbers = texts.cast(pl.Float64, strict=False)
        if not numbers.null_count():
            return parse_times(place, numbers)
        raise _unreadable(place, texts, sample)
    twins = [f for f in _swap(format) if _fits(distinct, f)]
    notes = []
    if twins:
        format, note = _day_or_month_first(texts, format, twins[0])
        notes.append(note)
    times = _finish(texts, _parse(texts, format), format)
    times.notes.extend(notes)
    return times


def _formats() -> list[str]:
    plain = [*_DATES, *_MONTHS]
    clocked = [date + clock for date in _DATES for clock in _CLOCKS]
    zoned = [f"{date}{mark}{clock}%#z" for date in _DATES[:3] for mark in "T " for clock in ("%H:%M:%S%.f", "%H:%M")]
    return plain + clocked + zoned


def _fits(texts: pl.Series, format: str) -> bool:
    found = _parse(texts, format)
    return found is not None and not found.null_count()


def _parse(texts: pl.Series, format: str) -> pl.Series | None:
    """Datetimes with null where the format does not fit; years before 1000 are a two-digit year misread."""
    if "%#z" in format:
        texts = texts.str.replace(r"\s*(Z|z|UTC|GMT)$", "+00:00").str.replace(r"\s+([+-]\d\d)", "$1")
    clock = any(part in format for part in ("%H", "%I"))
    try:
        if clock:
            found = texts.str.to_datetime(format, strict=False, time_unit="us", exact=True)
        else:
            found = texts.str.to_date(format, strict=False, exact=True).cast(pl.Datetime("us"))
    except pl.exceptions.PolarsError:
        return None
    return found.set((found.dt.year() < 1000).fill_null(False), None)


def _swap(format: str) -> list[str]:
    return [format.replace(a, b) for a, b in _SWAPPED.items() if a in format]


def _finish(texts: pl.Series, found: pl.Series | None, format: str) -> Times:
    assert found is not None
    if "%#z" not in format:
        values = found.to_physical().to_numpy().astype(np.int64)
        return Times(values, _kind(values), format)
    name = texts.name
    wall = _parse(texts.str.replace(r"\s*(Z|z|UTC|GMT|[+-]\d\d:?(\d\d)?)$", ""), format.removesuffix("%#z"))
    shifted = ~texts.str.contains(r"(Z|z|UTC|GMT|\+00:?(00)?)$").all()
    if shifted and wall is not None and not wall.null_count():
        walls = wall.to_physical().to_numpy().astype(np.int64)
        if _kind(walls) == "date":
            return Times(walls, "date", format, [f"The times of {name!r} are local midnights; read as dates."])
    values = found.dt.replace_time_zone(None).to_physical().to_numpy().astype(np.int64)
    return Times(values, _kind(values), format, [f"The times of {name!r} carry a zone; they are read as UTC."])


def _day_or_month_first(texts: pl.Series, day_first: str, month_first: str) -> tuple[str, str]:
    """Both readings fit: take the one in whose order the rows stand, day first when that does not tell."""

    def disorder(format: str) -> int:
        return int((np.diff(_parse(texts, format).to_physical().to_numpy()) < 0).sum())  # type: ignore[union-attr]

    chosen = day_first if disorder(day_first) <= disorder(month_first) else month_first
    words = "day first" if chosen == day_first else "month first"
    readings = pl.DataFrame({"a": _parse(texts, day_first), "b": _parse(texts, month_first)})
    differ = readings.select((pl.col("a") != pl.col("b")).arg_max()).item()
    parsed = _parse(texts, chosen)
    assert parsed is not None
    return chosen, (
        f"The times of {texts.name!r} can be read with the day or the month first; {words} was taken "
        f"({texts[differ]} is {parsed[differ]:%d %B %Y}). Write them as 2024-01-31 to leave no doubt."
    )


def _quarters_or_weeks(texts: pl.Series) -> Times | None:
    parts = texts.str.extract_groups(r"^(\d{4})[- ]?[Qq]([1-4])$").struct
    year, quarter = parts.field("1"), parts.field("2")
    if not year.null_count():
        months = (year.cast(pl.Int64) - 1970) * 12 + (quarter.cast(pl.Int64) - 1) * 3
        values = months.to_numpy().astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
        return Times(values, "date", notes=[f"The quarters of {texts.name!r} are read as their first days."])
    if texts.str.contains(r"^\d{4}-?W\d{2}$").all():
        mondays = (texts.str.replace("-W", "W") + "-1").str.to_date("%GW%V-%u", strict=False)
        if not mondays.null_count():
            values = mondays.cast(pl.Datetime("us")).to_physical().to_numpy().astype(np.int64)
            return Times(values, "date", notes=[f"The weeks of {texts.name!r} are read as their Mondays."])
    return None


def _unreadable(place: Place, texts: pl.Series, sample: pl.Series) -> DataError:
    """The error for the first row that does not fit the format that most of the first rows fit."""
    ranked = [(found.null_count(), f) for f in _formats() if (found := _parse(sample, f)) is not None]
    failures, best = min(ranked)
    found = _parse(texts, best) if failures < len(sample) else None
    failed = np.flatnonzero(found.is_null().to_numpy()) if found is not None else np.arange(len(texts))
    row = int(failed[0])
    seen = f", as {texts[int(np.flatnonzero(found.is_not_null().to_numpy())[0])]!r} is" if found is not None else ""
    return DataError(
        f"{texts[row]!r} is not understood as a time{seen} ({len(failed):,} such row{'s' * (len(failed) != 1)})",
        where=place.where(texts.name, row),
        need=_NEED + ", written in one way throughout",
        cure="correct the value, or write the column as 2024-01-31 or 2024-01-31 13:45:00",
    )
