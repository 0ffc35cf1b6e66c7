"""The used columns of a forecasting table as arrays, between reading them and laying them on the grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from recurra.data.card import column_facts
from recurra.data.columns import as_codes, as_numbers, missing_rows
from recurra.data.frequency import Rows
from recurra.data.order import Ordered
from recurra.data.roles import flag
from recurra.data.series_set import ForecastSchema
from recurra.data.table import Table


class Arrays:
    """The used columns as float64 arrays in the sorted order of the rows, with each row's place in the table."""

    def __init__(self, table: Table, schema: ForecastSchema, ordered: Ordered, notes: list[str]):
        self.schema, self.notes = schema, notes
        self.order, self.times = ordered.order, ordered.times
        self.offsets, self.names, self.keys = ordered.offsets, ordered.names, ordered.keys
        self.values: dict[str, np.ndarray] = {}
        self.absent: dict[str, np.ndarray] = {}
        for role in ("target", "covariates", "known", "static"):
            for name in getattr(schema, role):
                self._read(table, role, name)

    def _read(self, table: Table, role: str, name: str) -> None:
        column = table.frame[name]
        if name in self.schema.levels:
            values, unseen = as_codes(column, self.schema.levels[name])
            if unseen:
                self.notes.append(
                    f"Column {name!r} has {len(unseen):,} value{'s' * (len(unseen) != 1)} that the model never saw "
                    f"({', '.join(unseen[:5])}{' ...' if len(unseen) > 5 else ''}); read as unknown."
                )
            absent = missing_rows(column)
        else:
            values = as_numbers(table, column, flag(role, name))
            absent = np.isnan(values)
        self.values[name], self.absent[name] = values[self.order], absent[self.order]

    def stack(self, names: tuple[str, ...]) -> np.ndarray:
        """Columns side by side: float64 (rows, columns)."""
        if not names:
            return np.empty((len(self.order), 0))
        return np.stack([self.values[name] for name in names], axis=1)

    def present(self, names: tuple[str, ...]) -> np.ndarray:
        """Where at least one of the columns holds a value."""
        found = np.zeros(len(self.order), dtype=bool)
        for name in names:
            found |= ~self.absent[name]
        return found

    def future_rows(self) -> np.ndarray:
        """Rows at the end of each series that hold known columns and no target."""
        index, lengths = np.arange(len(self.order)), np.diff(self.offsets)
        if not self.schema.known:
            return np.zeros(len(self.order), dtype=bool)
        last = np.maximum.reduceat(np.where(self.present(self.schema.target), index, -1), self.offsets[:-1])
        after = (index > np.repeat(last, lengths)) & self.present(self.schema.known)
        first = np.minimum.reduceat(np.where(after, index, len(index)), self.offsets[:-1])
        return index >= np.repeat(first, lengths)

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows only; series without rows are dropped."""
        if rows.all():
            return
        counts = np.add.reduceat(rows.astype(np.int64), self.offsets[:-1])
        self.order, self.times = self.order[rows], self.times[rows]
        self.values = {name: values[rows] for name, values in self.values.items()}
        self.absent = {name: absent[rows] for name, absent in self.absent.items()}
        left = counts > 0
        self.names = [name for name, there in zip(self.names, left, strict=True) if there]
        self.keys = self.keys.filter(pl.Series(left)) if self.keys.width else self.keys
        self.offsets = np.concatenate([[0], np.cumsum(counts[left])]).astype(np.int64)

    def rows(self) -> Rows:
        """The sorted times, for the frequency."""
        return Rows(self.times, self.offsets, self.order, self.names, self.schema.calendar)

    def facts(self) -> list[dict[str, Any]]:
        """What the data card says of each used column."""
        schema, rows = self.schema, len(self.order)
        facts = [column_facts(name, "series", "text", 0, rows) for name in schema.series]
        if schema.time:
            facts.append(column_facts(schema.time, "time", schema.time_kind, 0, rows))
        shown = ~self.future_rows()
        for role in ("target", "known", "covariates", "static"):
            for name in getattr(schema, role):
                gone = self.absent[name] & shown if role in ("target", "covariates") else self.absent[name]
                kind = "category" if name in schema.levels else "number"
                facts.append(column_facts(name, role, kind, int(gone.sum()), int(shown.sum()) or rows))
        return facts
