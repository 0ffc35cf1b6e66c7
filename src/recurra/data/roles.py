"""Which column plays which part: names checked, forgotten ones found where only one fits."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from recurra.data.columns import MISSING_MARKERS, is_numeric, is_text, share_of_numbers
from recurra.data.table import Table
from recurra.data.times import parse_times
from recurra.errors import DataError, UsageError
from recurra.options import closest

TIME_NAMES = ("time", "timestamp", "date", "datetime", "ds")
"""A column of whole numbers with one of these names is taken as the time when none is named."""

FLAGS = {
    "target": "--target",
    "time": "--time",
    "series": "--series",
    "known": "--known",
    "label": "--label",
    "sequence": "--sequence",
    "covariates": "--set data.covariates=",
    "static": "--set data.static=",
    "categorical": "--set data.categorical=",
    "features": "--set data.features=",
}


def flag(role: str, name: str) -> str:
    """An option as the user writes it: "--target units", "--set data.static=region"."""
    option = FLAGS[role]
    return f"{option}{name}" if option.endswith("=") else f"{option} {name}"


def check_columns(table: Table, roles: dict[str, tuple[str, ...]], *, fitting: bool = True) -> None:
    """Every named column is there, and none plays two parts ("categorical" aside, which only says how to read one).

    Raises:
        UsageError: an option names an unknown column, or one column twice.
        DataError: at prediction time a column that the model needs is not there.
    """
    columns = table.frame.columns
    for role, names in roles.items():
        for name in names:
            if name not in columns:
                listed = ", ".join(columns[:30]) + (" ..." if len(columns) > 30 else "")
                near = closest(name, columns)
                if fitting:
                    raise UsageError(
                        f"there is no column {name!r}",
                        where=f"{table.name}, {flag(role, name)}",
                        need=f"one of the columns {listed}",
                        cure=near or "name one of these columns",
                    )
                raise DataError(
                    f"there is no column {name!r}, which the model was trained on ({role})",
                    where=table.name,
                    need=f"a column {name!r}; the table has {listed}",
                    cure=f"{near[:-1]} Rename it, then" if near else "add the column, or train a model without it",
                )
    parts: dict[str, str] = {}
    for role, names in roles.items():
        if role == "categorical":
            continue
        for name in names:
            if name in parts:
                raise UsageError(
                    f"column {name!r} is named twice",
                    where=f"{flag(parts[name], name)} and {flag(role, name)}",
                    need="one part for each column",
                    cure=f"leave {name!r} out of one of the two",
                )
            parts[name] = role


def looks_temporal(column: pl.Series) -> bool:
    """Whether a column holds dates or datetimes, or texts that are read as such."""
    if column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        return True
    if not is_text(column):
        return False
    texts = column.cast(pl.String).str.strip_chars().drop_nulls()
    sample = texts.filter(~texts.str.to_lowercase().is_in(MISSING_MARKERS)).head(50)
    if not len(sample) or not sample.str.contains("[0-9]").all() or share_of_numbers(sample) == 1.0:
        return False
    try:
        return parse_times(Table(pl.DataFrame()), sample).kind in ("date", "datetime")
    except DataError:
        return False


def find_time(table: Table, named: str | None, taken: Iterable[str]) -> tuple[str | None, list[str]]:
    """The time column: the one named, else the only one that holds dates, else None (the order of the rows)."""
    if named is not None:
        return named, []
    taken = set(taken)
    found = [c for c in table.frame.columns if c not in taken and looks_temporal(table.frame[c])]
    if len(found) == 1:
        return found[0], [f"No --time was given; column {found[0]!r} holds the only dates and was taken."]
    if found:
        raise UsageError(
            "no --time was given, and several columns hold dates: " + ", ".join(found),
            where=table.name,
            need="the column that orders the rows",
            cure=f"name it: --time {found[0]}",
        )
    called = [c for c in table.frame.columns if c.lower() in TIME_NAMES and c not in taken]
    # A column called "date" that cannot be read is not passed over: reading it names the row that is in the way.
    if len(called) == 1 and (table.frame[called[0]].dtype.is_integer() or is_text(table.frame[called[0]])):
        return called[0], [f"No --time was given; column {called[0]!r} was taken, by its name."]
    return None, ["No --time was given and no column holds dates: the rows are taken in the order they stand in."]


def find_target(table: Table, named: tuple[str, ...], taken: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """The target columns: those named, else the only column of numbers that is left."""
    if named:
        return named, []
    taken = set(taken)
    frame = table.frame
    found = [
        c
        for c in frame.columns
        if c not in taken and not c.startswith("unnamed_") and (is_numeric(frame[c]) or frame[c].dtype.is_decimal())
    ]
    if len(found) == 1:
        return (found[0],), [f"No --target was given; {found[0]!r} is the only column of numbers left and was taken."]
    listed = ", ".join(found[:20]) + (" ..." if len(found) > 20 else "")
    raise UsageError(
        f"no --target was given, and {'several columns hold' if found else 'no column holds'} numbers"
        + (f": {listed}" if found else f" (the columns: {', '.join(frame.columns[:20])})"),
        where=table.name,
        need="the column to forecast",
        cure=f"name it: --target {found[0] if found else 'units'}",
    )


def key_codes(table: Table, columns: tuple[str, ...], role: str) -> tuple[pl.DataFrame, list[str], np.ndarray]:
    """The distinct ids, sorted, their names, and the index of each row's id.

    Raises:
        DataError: an id is missing in a row.
    """
    frame = table.frame.select(columns)
    for name in columns:
        column = frame[name]
        missing = column.is_null()
        if is_text(column):
            missing = missing | (column.cast(pl.String).str.strip_chars() == "").fill_null(True)
        elif column.dtype.is_float():
            missing = missing | column.is_nan().fill_null(True)
        if missing.any():
            rows = np.flatnonzero(missing.to_numpy())
            raise DataError(
                f"the id is missing ({len(rows):,} such row{'s' * (len(rows) != 1)})",
                where=table.where(name, int(rows[0])),
                need=f"a value in every row of {flag(role, name)}",
                cure="fill the ids in, or remove these rows",
            )
    frame = frame.with_columns(_plain_id(frame[name]) for name in columns)
    keys = frame.unique().sort(*columns)
    joined = frame.join(keys.with_row_index("__code"), on=list(columns), how="left", maintain_order="left")
    names = keys.select(pl.concat_str([pl.col(c).cast(pl.String) for c in columns], separator=" / ")).to_series()
    return keys, names.to_list(), joined["__code"].to_numpy().astype(np.int64)


def _plain_id(column: pl.Series) -> pl.Series:
    """Categories as texts and whole floats as whole numbers, so that an id looks the same from every source."""
    if column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if column.dtype.is_float() and (column == column.round()).all():
        return column.cast(pl.Int64)
    return column.cast(pl.Int64) if column.dtype.is_integer() else column


def ignored_note(table: Table, used: Iterable[str], hint: str) -> list[str]:
    """A note that names the columns nobody asked for."""
    used = set(used)
    left = [c for c in table.frame.columns if c not in used]
    if not left:
        return []
    listed = ", ".join(left[:10]) + (f" and {len(left) - 10} more" if len(left) > 10 else "")
    return [f"Not used, because no option names {'them' if len(left) > 1 else 'it'}: {listed} ({hint})."]
