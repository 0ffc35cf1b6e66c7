"""What a table of sequences must hold, checked with all rows in hand; each check names sequence, column and row."""

from __future__ import annotations

import numpy as np

from recurra.data.order import Ordered
from recurra.data.roles import flag
from recurra.data.sequence_set import SequenceSchema, SequenceSet
from recurra.data.table import Table
from recurra.errors import DataError, UsageError


def check_rows(table: Table) -> None:
    """A table of one row holds no two sequences."""
    if table.frame.height < 2:
        raise DataError(
            "the table has one row",
            where=table.name,
            need="at least four sequences: two of each of two classes",
            cure="check how the table was made",
        )


def useless_categorical(name: str, label: str, time: str | None) -> UsageError:
    """The error for a category that is no feature."""
    part = "the label" if name == label else "the time" if name == time else "no feature"
    return UsageError(
        f"column {name!r} is named as a category, but it is {part}",
        where=flag("categorical", name),
        need="feature columns",
        cure=f"leave {name!r} out of the categories, or add it to --set data.features=",
    )


def check_kind(table: Table, schema: SequenceSchema, ordered: Ordered) -> None:
    """Later times must be of the kind that the model was trained on."""

    def calendar(kind: str) -> bool:
        return kind in ("date", "datetime")

    if calendar(ordered.kind) != calendar(schema.time_kind):
        kinds = [("dates" if calendar(kind) else "numbers") for kind in (ordered.kind, schema.time_kind)]
        raise DataError(
            f"the times are {kinds[0]}; the model was trained on {kinds[1]}",
            where=table.where(schema.time),
            need="times of the kind that the model was trained on",
            cure="convert the times, or train a model on these data",
        )


def no_missing(table: Table, schema: SequenceSchema, absent: dict[str, np.ndarray], ordered: Ordered) -> None:
    """The policy "error": the first missing value of any feature."""
    for name in schema.features:
        if absent[name].any():
            rows = ordered.order[absent[name]]
            raise DataError(
                f"the value is missing ({len(rows):,} such row{'s' * (len(rows) != 1)}), and data.missing=error asks "
                "for none",
                where=table.where(name, int(rows.min())),
                need=f"a value in every row of feature {name!r}",
                cure="fill the values in, or carry the last one forward: --set data.missing=carry",
            )


def no_empty_column(table: Table, schema: SequenceSchema, absent: dict[str, np.ndarray]) -> None:
    """A feature without a single value cannot be learned from."""
    for name in schema.features:
        if absent[name].all():
            others = [c for c in schema.features if c != name]
            raise DataError(
                f"all {len(absent[name]):,} values are missing",
                where=table.where(name),
                need=f"values in feature {name!r}",
                cure="leave the column out: --set data.features=" + (",".join(others[:8]) or "other columns"),
            )


def say_empty(data: SequenceSet, notes: list[str]) -> None:
    """A note on sequences in which every value is missing."""
    if not data.rows:
        return
    there = np.add.reduceat((~np.isnan(data.values)).any(axis=1).astype(np.int64), data.offsets[:-1])
    empty = np.flatnonzero(there == 0)
    if len(empty):
        notes.append(
            f"{len(empty):,} sequence{'s hold' if len(empty) > 1 else ' holds'} no value at all (the first is "
            f"{data.names[empty[0]]!r}); the model can only guess there."
        )
