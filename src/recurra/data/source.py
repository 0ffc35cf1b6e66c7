"""From what a user has (a path, a frame, a dict of columns) to one table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recurra.data.files import read_path
from recurra.data.table import ACCEPTED, Table, check_any_row, check_names, first_line
from recurra.errors import DataError, RecurraError, UsageError

__all__ = ["Table", "read_source"]


def read_source(source: Any) -> Table:
    """Read a user's table, whatever it comes as.

    Args:
        source: a path (CSV, TSV or TXT with commas, semicolons, tabs or bars, also gzipped; Parquet; NDJSON), a polars
            (eager or lazy), pandas or pyarrow frame, a dict of columns, or a `Table`, which passes through.

    Returns:
        a `Table` whose column names are texts and all different.

    Raises:
        DataError: the file is missing, empty, damaged, in another encoding, or not what its name says.
        UsageError: the source is nothing that can be a table.

    Example:
        >>> read_source({"a": [1, 2]}).frame.shape
        (2, 1)
    """
    if isinstance(source, Table):
        return source
    if isinstance(source, str | os.PathLike):
        if not os.fspath(source):
            raise UsageError("the path is empty", where="data", need=ACCEPTED, cure="name a file")
        return read_path(Path(source))
    try:
        frame = _frame_of(source)
    except RecurraError:
        raise
    except Exception as error:  # a frame of a foreign library may fail in any way
        raise DataError(
            f"the {type(source).__name__} cannot be read as a table ({first_line(error)})",
            where="table",
            need="columns of numbers, texts, dates or truth values",
            cure="convert the columns to plain types first",
        ) from error
    return Table(check_any_row(frame, "table"), "table")


def _frame_of(source: Any) -> pl.DataFrame:
    library = type(source).__module__.partition(".")[0]
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if library == "pandas" and hasattr(source, "columns"):
        return _from_pandas(source)
    if library == "pyarrow" and hasattr(source, "column_names"):
        check_names([str(n) for n in source.column_names], "table")
        return pl.DataFrame(source)
    if isinstance(source, dict):
        return pl.DataFrame([_column(str(name), values) for name, values in source.items()])
    if hasattr(source, "__arrow_c_stream__"):
        return pl.DataFrame(source)
    given = f"{type(source).__module__}.{type(source).__name__}".removeprefix("builtins.")
    arrays = isinstance(source, np.ndarray | list | tuple)
    raise UsageError(
        f"a {given} is not a table",
        where="data",
        need=ACCEPTED,
        cure="give a list of (time, features) arrays, or one 3-D array, through the Python estimators"
        if arrays
        else "write the data to a CSV file, or make a frame of it",
    )


def _column(name: str, values: Any) -> pl.Series:
    """A column of a dict; mixed values become numbers where all are, else texts, so that the odd one can be named."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "M" and values.dtype != "datetime64[D]":
        values = values.astype("datetime64[us]")  # not every resolution of numpy's has its like in a frame
    try:
        return pl.Series(name, values)
    except TypeError:
        values = list(values)
        if all(value is None or isinstance(value, int | float) for value in values):
            return pl.Series(name, values, dtype=pl.Float64, strict=False)
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)


def _from_pandas(source: Any) -> pl.DataFrame:
    import pandas

    # Times often stand in the index; a plain row number is dropped, anything else becomes a column.
    index = source.index
    if isinstance(index, pandas.MultiIndex) or index.name is not None:
        source = source.reset_index()
    elif isinstance(index, pandas.DatetimeIndex | pandas.PeriodIndex):
        source = source.rename_axis("time" if "time" not in source.columns else "index").reset_index()
    check_names([str(c) for c in source.columns], "table")
    columns: dict[str, pl.Series] = {}
    for name in source.columns:
        column = source[name]
        if isinstance(column.dtype, pandas.PeriodDtype):
            column = column.dt.to_timestamp()
        try:
            columns[str(name)] = pl.Series(pl.from_pandas(column))
        except ImportError as error:
            raise UsageError(
                "this pandas frame needs pyarrow to be read",
                where="table",
                need="the package pyarrow",
                cure="pip install pyarrow, or write the frame to a CSV file",
            ) from error
        except Exception:  # mixed types in one column: keep them as texts, so that the odd ones can be named
            texts = [None if pandas.isna(v) else str(v) for v in column]
            columns[str(name)] = pl.Series(texts, dtype=pl.String)
    return pl.DataFrame(columns)
