"""What a forecasting table must hold, checked with all rows in hand; each check names series, column and row."""

from __future__ import annotations

import numpy as np

from recurra.data.forecast_arrays import Arrays
from recurra.data.frequency import time_text
from recurra.data.order import Ordered
from recurra.data.place import called
from recurra.data.roles import flag
from recurra.data.series_set import ForecastSchema, SeriesSet, future_times
from recurra.data.table import Table
from recurra.errors import DataError, UsageError
from recurra.settings import ForecastData


def text_of(time: np.generic, schema: ForecastSchema) -> str:
    """A time of a SeriesSet as text."""
    if schema.calendar:
        return time_text(time.astype("datetime64[us]").astype(np.int64), True)
    return str(int(time))


def check_rows(table: Table, target: tuple[str, ...]) -> None:
    """A table of one row teaches nothing."""
    if table.frame.height == 0 or (target and table.frame.height < 2):
        rows = "one row" if table.frame.height else "no row"
        raise DataError(
            f"the table has {rows}",
            where=table.name,
            need="at least two rows, and better hundreds",
            cure="check how the table was made; a forecast needs rows of the past",
        )


def useless_categorical(name: str, roles: dict[str, tuple[str, ...]]) -> UsageError:
    """The error for a category that no option brings in."""
    part = next((role for role in ("target", "time", "series") if name in roles[role]), None)
    return UsageError(
        f"column {name!r} is named as a category, but " + (f"it is the {part}" if part else "no option uses it"),
        where=flag("categorical", name),
        need="columns of --known, --set data.covariates= or --set data.static=",
        cure=f"leave {name!r} out of the categories" if part else f"add --set data.covariates={name}",
    )


def check_kind(table: Table, schema: ForecastSchema, ordered: Ordered) -> None:
    """Later times must be of the kind that the model was trained on."""
    if (ordered.kind in ("date", "datetime")) == schema.calendar:
        return
    kinds = {"date": "dates", "datetime": "dates and clock times", "integer": "whole numbers"}
    raise DataError(
        f"the times are {kinds.get(ordered.kind, ordered.kind)}; the model was trained on "
        f"{kinds.get(schema.time_kind, schema.time_kind)}",
        where=table.where(schema.time),
        need="times of the kind that the model was trained on",
        cure="convert the times, or train a model on these data",
    )


def no_missing(table: Table, arrays: Arrays, schema: ForecastSchema, future: np.ndarray) -> None:
    """The policy "error": the first missing value of any used column, the future part aside."""
    for role in ("target", "known", "covariates", "static"):
        for name in getattr(schema, role):
            gone = arrays.absent[name] & ~future
            if gone.any():
                rows = arrays.order[gone]
                many = f"{len(rows):,} such row{'s' * (len(rows) != 1)}"
                raise DataError(
                    f"the value is missing ({many}), and data.missing=error asks for none",
                    where=table.where(name, int(rows.min())),
                    need=f"a value in every row of {flag(role, name)}",
                    cure="fill the values in, or carry the last one forward: --set data.missing=carry",
                )


def gap_error(
    table: Table, schema: ForecastSchema, names: list[str], offsets: np.ndarray, times: np.ndarray, place: np.ndarray
) -> DataError:
    """The policy "error": the first time of the grid that has no row."""
    filled = np.ones(len(times), dtype=bool)
    filled[place] = False
    row = int(np.flatnonzero(filled)[0])
    series = names[int(np.searchsorted(offsets, row, side="right")) - 1]
    return DataError(
        f"{called('series', series)} has no row for {time_text(times[row], schema.calendar)} "
        f"({int(filled.sum()):,} such gaps), and data.missing=error asks for none",
        where=table.where(schema.time),
        need=f"a row at every step of {schema.frequency}",
        cure="add the rows, or let gaps be filled as missing: --set data.missing=carry",
    )


def no_empty_column(table: Table, arrays: Arrays) -> None:
    """A column without a single value cannot be learned from."""
    for role in ("target", "known", "covariates", "static"):
        for name in getattr(arrays.schema, role):
            if arrays.absent[name].all():
                cure = (
                    "check how the table was made, or name another column with --target"
                    if role == "target"
                    else f"leave {name!r} out of {flag(role, name)}"
                )
                raise DataError(
                    f"all {len(arrays.order):,} values are missing",
                    where=table.where(name),
                    need=f"values in {flag(role, name)}",
                    cure=cure,
                )


def no_target(table: Table, schema: ForecastSchema, fitting: bool) -> DataError:
    """The error for a table in which no series holds a target value."""
    return DataError(
        "no row holds a value of the target",
        where=table.where(schema.target[0]),
        need="past values of the target" + ("" if fitting else ": a forecast continues them"),
        cure="give the rows of the past, not only those of the future",
    )


def static_values(table: Table, schema: ForecastSchema, arrays: Arrays) -> np.ndarray:
    """The static columns, one row a series; a value that changes within a series is an error."""
    starts, lengths = arrays.offsets[:-1], np.diff(arrays.offsets)
    result = np.full((len(starts), len(schema.static)), np.nan)
    index = np.arange(len(arrays.order))
    for column, name in enumerate(schema.static):
        values, absent = arrays.values[name], arrays.absent[name]
        first = np.minimum.reduceat(np.where(absent, len(index), index), starts)
        there = first < len(index)
        result[there, column] = values[first[there]]
        expected = np.repeat(result[:, column], lengths)
        changed = np.flatnonzero(~absent & (values != expected))
        if len(changed):
            row = int(changed[0])
            series = int(np.searchsorted(arrays.offsets, row, side="right")) - 1
            one, two = (int(arrays.order[i]) for i in (first[series], row))
            raise DataError(
                f"the value changes within {called('series', arrays.names[series])}: {table.frame[name][one]!r} and "
                f"{table.frame[name][two]!r} in {table.rows(one, two)}",
                where=table.where(name, two),
                need=f"one value in all rows of a series, as {flag('static', name)} says",
                cure=f"correct it, or name the column as one that changes: --set data.covariates={name}",
            )
        if name in schema.levels:
            result[~there, column] = 0.0
    return result


def say_targets(
    table: Table, data: SeriesSet, schema: ForecastSchema, settings: ForecastData, notes: list[str], fitting: bool
) -> None:
    """Notes on constant and short series, and the error when no series is long enough for the horizon."""
    starts = data.offsets[:-1]
    low, high = (
        how.reduceat(np.where(np.isnan(data.target), fill, data.target), starts, axis=0)
        for how, fill in ((np.minimum, np.inf), (np.maximum, -np.inf))
    )
    constant = low == high
    for column, name in enumerate(schema.target):
        many = int(constant[:, column].sum())
        if fitting and many == data.n:
            notes.append(
                f"Warning: the target {name!r} is constant in every series; there is nothing to learn, and the naive "
                "forecast will be perfect."
            )
        elif fitting and many:
            first = data.names[int(np.argmax(constant[:, column]))]
            notes.append(f"The target {name!r} is constant in {many:,} of {data.n:,} series (the first is {first!r}).")
    history = data.history
    missing_end = np.isnan(data.target[starts + history - 1]).all(axis=1)
    if missing_end.any():
        first = data.names[int(np.argmax(missing_end))]
        notes.append(
            f"{int(missing_end.sum()):,} series end with rows without a target value (the first is {first!r}); a "
            "forecast starts after the last row."
        )
    if fitting and settings.horizon:
        _long_enough(table, data, settings.horizon, notes)


def _long_enough(table: Table, data: SeriesSet, horizon: int, notes: list[str]) -> None:
    need = horizon + 1
    history = data.history
    short = history < need
    shortest, longest = int(np.argmin(history)), int(np.argmax(history))
    if short.all():
        both = (
            f"{called('series', data.names[shortest])} has {history[shortest]:,} rows"
            if data.n == 1
            else f"the shortest series, {data.names[shortest]!r}, has {history[shortest]:,} rows and the longest, "
            f"{data.names[longest]!r}, {history[longest]:,}"
        )
        raise DataError(
            f"no series is long enough for a horizon of {horizon:,}: {both}",
            where=table.name,
            need=f"at least {need:,} rows in a series: {horizon:,} to forecast and one before them",
            cure=f"give a longer past, or a shorter horizon: --horizon {max(int(history[longest]) // 3, 1)}",
        )
    if short.any():
        notes.append(
            f"{int(short.sum()):,} of {data.n:,} series are shorter than the {need:,} rows that a horizon of "
            f"{horizon:,} needs (the shortest is {data.names[shortest]!r} with {history[shortest]:,}); they get "
            "forecasts but cannot be judged."
        )


def require_future(data: SeriesSet, schema: ForecastSchema, horizon: int, name: str = "table") -> None:
    """Check that the known columns are there for all steps to forecast.

    Args:
        data: the series that are to be continued.
        schema: names the known columns.
        horizon: steps to forecast.
        name: the table's name, for the message.

    Raises:
        DataError: future rows, or known values in them, are missing; the series and the times needed are named.
    """
    if not schema.known:
        return
    known = ", ".join(schema.known)

    def needed(i: int) -> list[str]:
        return [text_of(t, schema) for t in future_times(schema, data.last_time(i), horizon)]

    few = np.flatnonzero(data.future < horizon)
    if len(few):
        i, have = int(few[0]), int(data.future[few[0]])
        lacking = needed(i)[have:]
        span = lacking[0] if len(lacking) == 1 else f"{lacking[0]} to {lacking[-1]}"
        others = f" ({len(few) - 1:,} more series lack some)" if len(few) > 1 else ""
        raise DataError(
            f"{called('series', data.names[i])} has {have:,} future row{'s' * (have != 1)} of {known}; "
            f"the forecast needs {horizon:,}{others}",
            where=name,
            need=f"rows for {span} with {known} filled in and {', '.join(schema.target)} empty",
            cure="add these rows to the table: the columns of --known must be known over the horizon",
        )
    ahead = (data.offsets[1:] - data.future)[:, None] + np.arange(horizon)
    gone = np.argwhere(np.isnan(data.known[ahead]))
    if len(gone):
        i, step, column = (int(k) for k in gone[0])
        raise DataError(
            f"{called('series', data.names[i])} has no value of {schema.known[column]!r} for {needed(i)[step]}",
            where=f"{name}, column {schema.known[column]!r}",
            need=f"{known} in all {horizon:,} rows to forecast",
            cure="fill the value in, or add the row",
        )
