"""A user's rows, and how messages name a place among them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from recurra.errors import DataError

ACCEPTED = "a path to a CSV, Parquet or NDJSON file, or a polars, pandas or pyarrow frame"


@dataclass
class Table:
    """A user's rows, and how to name a place among them.

    Args:
        frame: the rows; the columns of text files are already numbers where every value is one.
        name: what messages call the table: the file's name, or "table".
        first_row: number of the first row as messages count: the line in a text file, else the row.
        lines: the line of each row, where the lines do not simply follow one another.
        counted: "line" or "row", with how rows are counted where that is not plain.
        roles: roles that come with the table itself (arrays name their own columns), used where settings name none.
        notes: what was done while reading, to be said aloud.
        sorted: the rows' order once it was found, so that it is found once.

    Example:
        >>> table = Table(pl.DataFrame({"time": [1, 2], "units": [3.0, 4.0]}))
        >>> table.where("units", 1)
        "table, column 'units', row 1 (counting from 0)"
    """

    frame: pl.DataFrame
    name: str = "table"
    first_row: int = 0
    lines: np.ndarray | None = None
    counted: str = "row"
    roles: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    sorted: Any = field(default=None, repr=False)

    def row(self, index: int) -> str:
        """The words for one row: "line 18" or "row 17"."""
        number = int(self.lines[index]) if self.lines is not None else int(index) + self.first_row
        start = " (counting from 0)" if self.first_row == 0 else ""
        return f"{self.counted} {number}{start}"

    def rows(self, first: int, second: int) -> str:
        """The words for two rows: "lines 3 and 7"."""
        one, two = self.row(first).split(" ", 1)[1], self.row(second).split(" ", 1)[1]
        return f"{self.counted}s {one.removesuffix(' (counting from 0)')} and {two}"

    def where(self, column: str | None = None, row: int | None = None) -> str:
        """The place a message names: table, column, row."""
        parts = [self.name]
        if column is not None:
            parts.append(f"column {column!r}")
        if row is not None:
            parts.append(self.row(row))
        return ", ".join(parts)


def check_names(names: list[str], where: str) -> None:
    """Raise a DataError when two columns have one name."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise DataError(
                f"column {name!r} is named twice (columns {names.index(name) + 1} and {i + 1})",
                where=where,
                need="a different name for every column",
                cure="rename or remove one of the two",
            )


def check_any_row(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The frame; a DataError when it has no row."""
    if frame.height == 0:
        raise DataError(
            "there is a header but no row" if frame.width else "the table is empty",
            where=name,
            need="a header and at least two rows",
            cure="check how the table was made",
        )
    return frame


def first_line(error: BaseException) -> str:
    """The first line of a foreign library's message."""
    return str(error).strip().split("\n")[0][:160] or type(error).__name__
