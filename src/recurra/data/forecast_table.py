"""A long table read as many series: roles, times, grid, missing values, levels of categories.

`learn_schema` looks at the table that a model is fitted on; `read_series` reads that table, or a later one, by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.data import calendar, forecast_checks
from recurra.data.arrays import from_arrays
from recurra.data.card import DataCard
from recurra.data.columns import as_numbers, is_category, learn_levels
from recurra.data.forecast_arrays import Arrays
from recurra.data.forecast_checks import require_future
from recurra.data.frequency import Rows, check_on_grid, check_same_frequency, check_size, infer_grid
from recurra.data.leakage import check_forecast_leakage
from recurra.data.order import Ordered, order_rows
from recurra.data.roles import check_columns, find_target, find_time, flag, ignored_note
from recurra.data.series_set import ForecastSchema, SeriesSet, future_times
from recurra.data.source import Table, read_source
from recurra.settings import ForecastData

__all__ = [
    "ForecastSchema",
    "SeriesSet",
    "from_arrays",
    "future_times",
    "learn_schema",
    "read_forecast",
    "read_series",
    "require_future",
]


def read_forecast(source: Any, settings: ForecastData | None = None) -> tuple[SeriesSet, ForecastSchema, DataCard]:
    """Read, learn and lay out in one call: what fitting a forecaster does first.

    Example:
        >>> data, schema, card = read_forecast({"date": ["2024-01-01", "2024-01-02", "2024-01-04"], "y": [1, 2, 4]})
        >>> schema.frequency, data.target.ravel().tolist()
        ('1d', [1.0, 2.0, nan, 4.0])
    """
    settings = settings or ForecastData()
    table = read_source(source)
    schema = learn_schema(table, settings)
    data, card = read_series(table, schema, settings, fitting=True)
    return data, schema, card


def learn_schema(table: Table, settings: ForecastData) -> ForecastSchema:
    """Learn what the columns mean: parts, the kind and frequency of the times, the levels of categories.

    Args:
        table: the table that a model is fitted on.
        settings: the user's options; a part that is left open is found where only one column fits.

    Returns:
        the schema. What was assumed is added to `table.notes`.

    Raises:
        UsageError: an option names an unknown column or one column twice, or a part cannot be found.
        DataError: times cannot be read, are double, or have two frequencies; a column does not suit its part.

    Example:
        >>> learn_schema(read_source({"day": ["2024-01-01", "2024-01-08"], "y": [1, 2]}), ForecastData()).frequency
        '1w'
    """
    roles = _given_roles(table, settings)
    check_columns(table, roles)
    named = [name for role, names in roles.items() if role != "categorical" for name in names]
    time, notes = find_time(table, roles["time"][0] if roles["time"] else None, [*named])
    target, more = find_target(table, roles["target"], [*named, *([time] if time else [])])
    roles["target"] = target
    notes += more
    forecast_checks.check_rows(table, target)
    ordered = order_rows(table, time, roles["series"], "series")
    notes += ordered.notes
    levels = _learn_levels(table, roles)
    for name in target:
        as_numbers(table, table.frame[name], flag("target", name))
    grid = calendar.Grid("1", True, 1.0)
    if time is not None:
        grid = infer_grid(table, time, _rows(ordered), settings.frequency)
    table.notes += [note for note in notes if note not in table.notes]
    return ForecastSchema(
        target,
        time,
        roles["series"],
        roles["known"],
        roles["covariates"],
        roles["static"],
        levels,
        ordered.kind,
        ordered.format,
        grid.frequency,
        grid.regular,
        grid.step,
        grid.anchor,
    )


def _given_roles(table: Table, settings: ForecastData) -> dict[str, tuple[str, ...]]:
    def part(name: str) -> tuple[str, ...]:
        value = getattr(settings, name) or table.roles.get(name) or ()
        return (value,) if isinstance(value, str) else tuple(value)

    return {name: part(name) for name in ("target", "time", "series", "known", "covariates", "static", "categorical")}


def _learn_levels(table: Table, roles: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
    used = [(role, name) for role in ("known", "covariates", "static") for name in roles[role]]
    for name in roles["categorical"]:
        if name not in [used_name for _, used_name in used]:
            raise forecast_checks.useless_categorical(name, roles)
    levels = {}
    for role, name in used:
        column = table.frame[name]
        if is_category(table, column, name in roles["categorical"], flag(role, name)):
            levels[name] = learn_levels(table, column, flag(role, name))
    return levels


def _rows(ordered: Ordered) -> Rows:
    return Rows(ordered.times, ordered.offsets, ordered.order, ordered.names, ordered.kind in ("date", "datetime"))


def read_series(
    table: Table, schema: ForecastSchema, settings: ForecastData, *, fitting: bool
) -> tuple[SeriesSet, DataCard]:
    """Read a table by a schema.

    Args:
        table: the table.
        schema: what the columns mean.
        settings: the policy for missing values, and the horizon.
        fitting: whether a model is about to be fitted on these rows (more is asked of them then).

    Returns:
        the series, and the card that says what was read and done.

    Raises:
        DataError: something in the rows does not suit; file, column and row are named.
    """
    columns = {role: getattr(schema, role) for role in ("target", "series", "known", "covariates", "static")}
    columns["time"] = (schema.time,) if schema.time else ()
    check_columns(table, columns, fitting=fitting)
    notes = list(table.notes)
    forecast_checks.check_rows(table, schema.target if fitting else ())
    ordered = order_rows(table, schema.time, schema.series, "series", format=schema.time_format)
    notes += [note for note in ordered.notes if note not in notes]
    forecast_checks.check_kind(table, schema, ordered)
    arrays = Arrays(table, schema, ordered, notes)
    policy = settings.missing == "error"
    future = arrays.future_rows()
    if policy:
        forecast_checks.no_missing(table, arrays, schema, future)
    if fitting:
        forecast_checks.no_empty_column(table, arrays)
    arrays.keep(_usable(arrays, notes, table, fitting))
    data, gaps = _lay_out(table, schema, arrays, policy, fitting or settings.frequency is not None)
    facts = arrays.facts()
    card = DataCard(
        rows=int(len(arrays.order)),
        sequences=data.n,
        lengths=data.lengths,
        columns=facts,
        gaps=gaps,
        notes=notes,
        irregular=schema.time is not None and not schema.regular,
        kind="series",
        name=table.name,
    )
    used = [c for names in columns.values() for c in names]
    notes += ignored_note(table, used, "--known, --set data.covariates= and data.static= bring columns in")
    _say_times(card, data, schema)
    forecast_checks.say_targets(table, data, schema, settings, notes, fitting)
    if fitting:
        card.leakage = check_forecast_leakage(data, schema)
    return data, card


def _usable(arrays: Arrays, notes: list[str], table: Table, fitting: bool) -> np.ndarray:
    """Rows from the first target of each series on; series without any target are left out."""
    has = arrays.present(arrays.schema.target)
    index = np.arange(len(has))
    first = np.minimum.reduceat(np.where(has, index, len(has)), arrays.offsets[:-1])
    empty = first == len(has)
    if empty.all():
        raise forecast_checks.no_target(table, arrays.schema, fitting)
    if empty.any():
        names = [arrays.names[i] for i in np.flatnonzero(empty)[:3]]
        notes.append(
            f"{int(empty.sum()):,} series hold no target value and are left out: {', '.join(names)}"
            f"{' ...' if empty.sum() > 3 else ''}."
        )
    rows = index >= np.repeat(first, np.diff(arrays.offsets))
    trimmed = int((~rows).sum()) - int(np.diff(arrays.offsets)[empty].sum())
    if trimmed:
        rows_were = "row was" if trimmed == 1 else "rows were"
        notes.append(f"{trimmed:,} {rows_were} left out, before the first target value of a series.")
    return rows


def _lay_out(table: Table, schema: ForecastSchema, arrays: Arrays, strict: bool, sure: bool) -> tuple[SeriesSet, int]:
    """Put the rows on the grid (gaps become missing rows) and make the flat arrays."""
    where = np.arange(len(arrays.order)) - np.repeat(arrays.offsets[:-1], np.diff(arrays.offsets))
    offsets, times = arrays.offsets, arrays.times
    if schema.time is not None and schema.regular and schema.frequency is not None:
        rows = arrays.rows()
        where, off = calendar.positions(times, rows.starts, schema.grid)
        if not sure:
            check_same_frequency(table, schema.time, rows, schema.grid)
        check_on_grid(
            table, schema.time, rows, schema.grid, off, "correct the times, or train a model on data with these times"
        )
        check_size(table, schema.time, rows, where, schema.frequency)
        lengths = where[offsets[1:] - 1] + 1
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        times = calendar.times_at(
            np.repeat(times[arrays.offsets[:-1]], lengths),
            np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths),
            schema.grid,
        )
    gaps = int(offsets[-1]) - len(arrays.order)
    place = where + np.repeat(offsets[:-1], np.diff(arrays.offsets))
    if strict and gaps:
        raise forecast_checks.gap_error(table, schema, arrays.names, offsets, times, place)
    static = forecast_checks.static_values(table, schema, arrays)

    def spread(names: tuple[str, ...]) -> np.ndarray:
        values = arrays.stack(names)
        if not gaps:
            return values
        full = np.full((int(offsets[-1]), len(names)), np.nan)
        full[place] = values
        coded = [i for i, name in enumerate(names) if name in schema.levels]
        if coded:  # a category goes on through a gap: there is no number between two categories
            last = np.zeros(len(full), dtype=np.int64)
            last[place] = place
            full[:, coded] = full[np.maximum.accumulate(last)][:, coded]
        return full

    future_rows = arrays.future_rows()
    counts = np.add.reduceat(future_rows.astype(np.int64), arrays.offsets[:-1])
    last = place[arrays.offsets[1:] - 1 - counts]
    data = SeriesSet(
        list(arrays.names),
        arrays.keys,
        offsets,
        times.astype("datetime64[us]") if schema.calendar else times,
        spread(schema.target),
        spread(schema.covariates),
        spread(schema.known),
        static,
        offsets[1:] - 1 - last,
    )
    return data, gaps


def _say_times(card: DataCard, data: SeriesSet, schema: ForecastSchema) -> None:
    """The frequency, gaps and range of the times, as the card and a note say them."""
    if schema.time is None:
        card.frequency = None
        return
    first, last = forecast_checks.text_of(data.time.min(), schema), forecast_checks.text_of(data.time.max(), schema)
    card.time_range = (first, last)
    many = "the only series" if data.n == 1 else f"all {data.n:,} series"
    if schema.regular and schema.frequency is not None:
        card.frequency = calendar.frequency_words(schema.frequency)
        if schema.frequency == "1bd" or schema.frequency.endswith("bd"):
            card.frequency += ", weekends left out"
        gaps = f"{card.gaps:,} gap{'s' * (card.gaps != 1)} filled as missing" if card.gaps else "no gaps"
        card.notes.append(f"Frequency: {card.frequency} in {many}; {gaps}.")
    else:
        step = calendar.step_words(schema.step, schema.calendar)
        card.notes.append(f"The times are irregular: rows stay where they are; the median step is {step}.")
