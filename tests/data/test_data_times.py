"""Times as people write them, and the calendars that they follow."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.data.calendar import Grid, frequency_words, positions, split_frequency, step_of, times_at
from recurra.data.forecast_table import ForecastSchema, future_times, read_forecast
from recurra.data.source import Table
from recurra.data.times import parse_times
from recurra.errors import UsageError
from recurra.settings import ForecastData

PLACE = Table(pl.DataFrame(), "t.csv", 2, counted="line")


@pytest.mark.parametrize(
    "texts, expected, kind",
    [
        (["2024-01-31", "2024-02-01"], ["2024-01-31", "2024-02-01"], "date"),
        (["2024/01/31", "2024/02/01"], ["2024-01-31", "2024-02-01"], "date"),
        (["31.01.2024", "1.2.2024"], ["2024-01-31", "2024-02-01"], "date"),
        (["31/01/2024", "01/02/2024"], ["2024-01-31", "2024-02-01"], "date"),
        (["01/31/2024", "02/01/2024"], ["2024-01-31", "2024-02-01"], "date"),
        (["31.01.24", "01.02.24"], ["2024-01-31", "2024-02-01"], "date"),
        (["20240131", "20240201"], ["2024-01-31", "2024-02-01"], "date"),
        (["Jan 2024", "Feb 2024"], ["2024-01-01", "2024-02-01"], "date"),
        (["2024-01", "2024-02"], ["2024-01-01", "2024-02-01"], "date"),
        (["2024Q1", "2024-Q2"], ["2024-01-01", "2024-04-01"], "date"),
        (["2024-W01", "2024-W02"], ["2024-01-01", "2024-01-08"], "date"),
        (["Jan 31, 2024", "Feb 01, 2024"], ["2024-01-31", "2024-02-01"], "date"),
        (["2024-01-31 13:45", "2024-02-01 00:00"], ["2024-01-31T13:45", "2024-02-01"], "datetime"),
        (["2024-01-31T13:45:01.5", "2024-02-01T00:00:00"], ["2024-01-31T13:45:01.5", "2024-02-01"], "datetime"),
        (["1/31/2024 1:45 PM", "2/1/2024 1:45 AM"], ["2024-01-31T13:45", "2024-02-01T01:45"], "datetime"),
        (["2024-01-31T13:45:00Z", "2024-02-01T00:00:00Z"], ["2024-01-31T13:45", "2024-02-01"], "datetime"),
        (["2024-01-31 13:45:00+02:00", "2024-02-01 01:00:00+0200"], ["2024-01-31T11:45", "2024-01-31T23"], "datetime"),
    ],
)
def test_common_ways_to_write_times_are_read(texts, expected, kind):
    times = parse_times(PLACE, pl.Series("day", texts))
    assert times.kind == kind
    np.testing.assert_array_equal(times.values.astype("datetime64[us]"), np.array(expected, dtype="datetime64[us]"))


def test_day_or_month_first_is_said_when_both_fit_and_kept_afterwards():
    times = parse_times(PLACE, pl.Series("day", ["01/02/2024", "01/03/2024", "02/01/2024"]))
    assert times.format == "%m/%d/%Y"
    assert times.notes == [
        "The times of 'day' can be read with the day or the month first; month first was taken "
        "(01/02/2024 is 02 January 2024). Write them as 2024-01-31 to leave no doubt."
    ]
    assert parse_times(PLACE, pl.Series("day", ["01/02/2024", "13/02/2024"])).notes == []
    later = parse_times(PLACE, pl.Series("day", ["03/04/2024"]), format=times.format)
    assert later.values.astype("datetime64[us]").tolist() == np.array(["2024-03-04"], "datetime64[us]").tolist()
    assert later.notes == []


def test_zones_become_utc_and_local_midnights_become_dates():
    utc = pl.Series("day", ["2024-03-30 23:00", "2024-03-31 22:00"]).str.to_datetime().dt.replace_time_zone("UTC")
    times = parse_times(PLACE, utc)
    assert times.notes == ["The times of 'day' are in UTC; they are read as UTC."]
    local = parse_times(PLACE, utc.dt.convert_time_zone("Europe/Berlin"))
    assert local.kind == "date"
    assert local.values.astype("datetime64[us]").astype(str).tolist() == [
        "2024-03-31T00:00:00.000000",
        "2024-04-01T00:00:00.000000",
    ]
    texts = pl.Series("day", ["2024-03-31T00:00:00+01:00", "2024-04-01T00:00:00+02:00"])
    written = parse_times(PLACE, texts)
    np.testing.assert_array_equal(written.values, local.values)


def test_whole_numbers_are_dates_only_when_they_all_look_like_dates():
    assert parse_times(PLACE, pl.Series("day", [20240131, 20240201])).kind == "date"
    assert parse_times(PLACE, pl.Series("day", [20240131, 20240132])).kind == "integer"
    months = parse_times(PLACE, pl.Series("day", [202312, 202401]))
    assert months.values.astype("datetime64[us]").astype("datetime64[M]").astype(str).tolist() == ["2023-12", "2024-01"]
    assert parse_times(PLACE, pl.Series("day", [1.0, 2.0])).values.dtype == np.int64
    assert parse_times(PLACE, pl.Series("day", [0.5, 2.0]), fractions=True).kind == "number"


GRIDS = st.sampled_from(
    [
        Grid("1h", True, 3600.0),
        Grid("15m", True, 900.0),
        Grid("2d", True, 2 * 86400.0),
        Grid("1w", True, 7 * 86400.0),
        Grid("1bd", True, step_of("1bd")),
        Grid("1mo", True, step_of("1mo"), "last day"),
        Grid("1q", True, step_of("1q"), "last weekday"),
        Grid("1mo", True, step_of("1mo"), "first weekday"),
        Grid("1y", True, step_of("1y"), "day 29"),
        Grid("2mo", True, step_of("2mo"), "same day"),
    ]
)


def start_on(grid: Grid, day: int) -> int:
    """A first time on the grid, near a day counted from 1970."""
    start = np.datetime64(day, "D")
    if grid.frequency == "1bd":
        start = np.busday_offset(start, 0, roll="forward")
    month = start.astype("datetime64[M]")
    last = (month + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
    if grid.anchor == "last day":
        start = last
    elif grid.anchor == "last weekday":
        start = np.busday_offset(last, 0, roll="backward")
    elif grid.anchor == "first weekday":
        start = np.busday_offset(month.astype("datetime64[D]"), 0, roll="forward")
    elif grid.anchor == "day 29":
        start = min(month.astype("datetime64[D]") + np.timedelta64(28, "D"), last)
    elif grid.anchor == "same day":
        start = min(start, month.astype("datetime64[D]") + np.timedelta64(27, "D"))
    return int(start.astype("datetime64[us]").astype(np.int64))


@settings(max_examples=60, deadline=None)
@given(GRIDS, st.integers(0, 20_000), st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_positions_and_times_are_inverses_on_every_grid(grid, day, steps):
    start = np.full(len(steps), start_on(grid, day))
    times = times_at(start, np.array(steps), grid)
    where, off = positions(times, start, grid)
    assert not off.any()
    np.testing.assert_array_equal(where, steps)
    order = np.argsort(steps, kind="stable")
    assert (np.diff(times[order]) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(GRIDS, st.integers(0, 20_000), st.integers(1, 30))
def test_future_times_continue_the_series_that_the_grid_was_learned_from(grid, day, horizon):
    starts = np.full(40 + horizon, start_on(grid, day))
    times = times_at(starts, np.arange(40 + horizon), grid).astype("datetime64[us]")
    table = {"time": times[:40], "units": np.arange(40.0)}
    data, schema, card = read_forecast(table, ForecastData(target=("units",), time="time"))
    assert schema.regular and card.gaps == 0
    # A grid of 2 months on the same day is the same grid whatever its anchor is called.
    np.testing.assert_array_equal(future_times(schema, data.last_time(0), horizon), times[40:])
    assert ForecastSchema.from_dict(schema.to_dict()) == schema


def test_future_times_of_many_series_and_of_irregular_times():
    schema = ForecastSchema(("y",), "t", time_kind="integer", frequency="3", step=3.0)
    assert future_times(schema, np.array([3, 9]), 2).tolist() == [[6, 9], [12, 15]]
    loose = ForecastSchema(("y",), "t", time_kind="datetime", regular=False, step=90.0)
    times = future_times(loose, np.datetime64("2024-01-01T00:00:30"), 2)
    assert times.astype("datetime64[s]").astype(str).tolist() == ["2024-01-01T00:02:00", "2024-01-01T00:03:30"]
    days = ForecastSchema(("y",), "t", time_kind="date", regular=False, step=2.4 * 86400)
    assert future_times(days, np.datetime64("2024-01-01"), 1).astype("datetime64[h]").astype(str).tolist() == [
        "2024-01-03T00"
    ]


@pytest.mark.parametrize(
    "text, expected",
    [("1h", (1, "h")), ("15min", (15, "m")), ("D", (1, "d")), ("2 weeks", (2, "w")), ("B", (1, "bd")), ("MS", None)],
)
def test_frequencies_are_understood_in_several_spellings(text, expected):
    if expected is None:
        with pytest.raises(UsageError):
            split_frequency(text)
        return
    assert split_frequency(text) == expected


def test_frequencies_in_words():
    assert frequency_words("1mo") == "one row a month (1mo)"
    assert frequency_words("30m") == "one row every 30 minutes (30m)"
    assert frequency_words("5") == "times rise by 5"
