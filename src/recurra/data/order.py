"""Rows sorted by series and time, whatever order the table has them in; double times found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recurra.data.columns import is_text
from recurra.data.frequency import time_text
from recurra.data.roles import flag, key_codes
from recurra.data.table import Table
from recurra.data.times import parse_times
from recurra.errors import DataError


@dataclass
class Ordered:
    """A table's rows by series and time.

    Args:
        keys: the id columns' values, one row a series.
        names: the series' names.
        order: int64 (rows,): which row of the table stands at each place.
        offsets: int64 (n+1,).
        times: the sorted times (the row number within the series when there is no time column).
        kind: "date", "datetime", "integer", "number" or "row".
        format: how texts were read as times.
        notes: what should be said aloud.
    """

    keys: pl.DataFrame
    names: list[str]
    order: np.ndarray
    offsets: np.ndarray
    times: np.ndarray
    kind: str
    format: str | None = None
    notes: list[str] = field(default_factory=list)


def order_rows(
    table: Table,
    time: str | None,
    ids: tuple[str, ...],
    role: str,
    *,
    format: str | None = None,
    fractions: bool = False,
) -> Ordered:
    """Sort rows by id, then time.

    Args:
        table: the rows.
        time: the time column, or None for the order of the rows.
        ids: the id columns; none means one series.
        role: "series" or "sequence".
        format: how texts of the time column were read at fit time.
        fractions: whether times may be numbers with a fraction.

    Raises:
        DataError: an id or a time is missing, or a time is there twice in one series.
    """
    # The same table is read to learn from it and to lay it out: sort it once.
    key = (time, ids, fractions)
    if table.sorted is not None and table.sorted[0] == key and format in (None, table.sorted[1].format):
        return table.sorted[1]
    height = table.frame.height
    if ids:
        keys, names, codes = key_codes(table, ids, role)
    else:
        keys, names, codes = pl.DataFrame(), [role], np.zeros(height, dtype=np.int64)
    counts = np.bincount(codes, minlength=len(names))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    order = np.arange(height) if (np.diff(codes) >= 0).all() else np.argsort(codes, kind="stable")
    if time is None:
        times = np.arange(height) - np.repeat(offsets[:-1], counts)
        found = Ordered(keys, names, order, offsets, times, "row")
    else:
        parsed = parse_times(table, table.frame[time], format=format, fractions=fractions, flag="--time")
        times, codes = parsed.values[order], codes[order]
        notes = list(parsed.notes)
        same = np.diff(codes) == 0
        backwards = same & (np.diff(times) < 0)
        if backwards.any():
            many = len(np.unique(codes[1:][backwards]))
            what = "The rows" if len(names) == 1 else f"The rows of {many:,} {role}{'s' * (role == 'sequence')}"
            notes.append(f"{what} were not in the order of {time!r}; they were sorted.")
            by_time = np.lexsort((times, codes))
            order, times, codes = order[by_time], times[by_time], codes[by_time]
        double = np.flatnonzero((np.diff(codes) == 0) & (np.diff(times) == 0))
        found = Ordered(keys, names, order, offsets, times, parsed.kind, parsed.format, notes)
        if len(double):
            raise _double_time(table, time, ids, role, found, double, codes)
    table.sorted = (key, found)
    return found


def _double_time(
    table: Table, time: str, ids: tuple[str, ...], role: str, found: Ordered, double: np.ndarray, codes: np.ndarray
) -> DataError:
    i = int(double[0])
    calendar = found.kind in ("date", "datetime")
    text = time_text(found.times[i], calendar) if found.kind != "number" else str(found.times[i])
    rows = sorted((int(found.order[i]), int(found.order[i + 1])))
    where = table.where(time, rows[0])
    if not ids:
        texts = [c for c in table.frame.columns if c != time and is_text(table.frame[c])]
        option = flag(role, texts[0] if texts else "store")
        given, cure = (
            f"the time {text} stands twice, in {table.rows(*rows)}",
            f"if the table holds several {role if role == 'series' else 'sequences'}, name their column: {option}; "
            "else keep one row for each time",
        )
    else:
        name = found.names[int(codes[i])]
        given, cure = (
            f"{role} {name!r} has the time {text} twice, in {table.rows(*rows)}",
            f"keep one row for each time (sum or average them), or name a further column of the id, such as "
            f"{flag(role, ','.join(ids))},department",
        )
    if len(double) > 1:
        given += f"; {len(double):,} such pairs in all"
    return DataError(given, where=where, need=f"each time once in a {role}", cure=cure)
