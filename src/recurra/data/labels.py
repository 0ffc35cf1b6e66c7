"""The classes of sequences: one label a sequence, whole numbers, texts or truth values."""

from __future__ import annotations

import numpy as np
import polars as pl

from recurra.data.columns import as_texts, is_text, sort_levels
from recurra.data.order import Ordered
from recurra.data.table import Table
from recurra.errors import DataError

_NO_LABEL = ("", "na", "n/a", "#n/a", "nan", "null", "none")
"""Texts that stand for a missing label; "-" is not among them, for it may be a class beside "+"."""


def _texts(table: Table, label: str) -> pl.Series:
    """The labels as texts, missing ones as null."""
    column = table.frame[label]
    if column.dtype.is_float():
        whole = column.fill_nan(None).drop_nulls()
        if not (whole == whole.round()).all():
            row = int(((column != column.round()) & column.is_not_nan()).fill_null(False).arg_max() or 0)
            raise DataError(
                f"{column[row]!s} is not a class: the labels are numbers with a fraction",
                where=table.where(label, row),
                need="whole numbers, texts or true/false as classes",
                cure="group the numbers into classes first; to forecast numbers name a --target instead",
            )
    elif column.dtype.is_temporal() or column.dtype.is_nested():
        raise DataError(
            f"the labels are of type {column.dtype}",
            where=table.where(label),
            need="whole numbers, texts or true/false as classes",
            cure="name another column with --label",
        )
    texts = as_texts(column)
    if is_text(column):
        texts = texts.str.strip_chars()
        texts = texts.set(texts.str.to_lowercase().is_in(_NO_LABEL).fill_null(False), None)
    return texts


def _one_each(table: Table, label: str, ordered: Ordered) -> list[str | None]:
    """The label of each sequence; rows without one are passed over."""
    texts = _texts(table, label)
    levels = texts.drop_nulls().unique().sort()
    codes = pl.DataFrame({"x": texts}).join(
        pl.DataFrame({"x": levels}).with_row_index("code"), on="x", how="left", maintain_order="left"
    )["code"]
    sorted_codes = codes.fill_null(-1).cast(pl.Int64).to_numpy()[ordered.order] if len(levels) else None
    if sorted_codes is None:
        return [None] * len(ordered.names)
    lengths = np.diff(ordered.offsets)
    index = np.arange(len(sorted_codes))
    first = np.minimum.reduceat(np.where(sorted_codes < 0, len(index), index), ordered.offsets[:-1])
    there = first < len(index)
    chosen = np.full(len(lengths), -1)
    chosen[there] = sorted_codes[first[there]]
    changed = np.flatnonzero((sorted_codes >= 0) & (sorted_codes != np.repeat(chosen, lengths)))
    if len(changed):
        row = int(changed[0])
        sequence = int(np.searchsorted(ordered.offsets, row, side="right")) - 1
        many = len(np.unique(np.searchsorted(ordered.offsets, changed, side="right")))
        one, two = (int(ordered.order[i]) for i in (first[sequence], row))
        raise DataError(
            f"the label changes within sequence {ordered.names[sequence]!r}: {texts[one]!r} and {texts[two]!r} in "
            f"{table.rows(one, two)}" + (f"; {many:,} such sequences" if many > 1 else ""),
            where=table.where(label, two),
            need="one label for all rows of a sequence",
            cure="correct the label, or name the column that tells the sequences apart with --sequence",
        )
    names = levels.to_list()
    return [names[code] if code >= 0 else None for code in chosen]


def learn_classes(table: Table, label: str, ordered: Ordered, notes: list[str]) -> list[str]:
    """The classes, sorted; each must have two sequences, one to learn from and one to judge by.

    Raises:
        DataError: there is no label, one class only, a class with one sequence, or a label changes in a sequence.
    """
    labels = _one_each(table, label, ordered)
    counts: dict[str, int] = {}
    for name in labels:
        if name is not None:
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        raise DataError(
            "no sequence has a label",
            where=table.where(label),
            need="a label in at least one row of each sequence",
            cure="fill the labels in, or name their column: --label class",
        )
    if len(counts) == 1:
        raise DataError(
            f"all {len(labels):,} sequences have the same label, {next(iter(counts))!r}",
            where=table.where(label),
            need="at least two classes",
            cure="add sequences of another class, or name another column with --label",
        )
    once = sort_levels([name for name, count in counts.items() if count == 1])
    if once:
        listed = ", ".join(repr(name) for name in once[:5]) + (" ..." if len(once) > 5 else "")
        many = f" ({len(once):,} such labels: {listed})" if len(once) > 1 else ""
        sequence = ordered.names[labels.index(once[0])]
        cure = (
            "the labels look like numbers to predict, not classes; group them first"
            if len(once) > len(counts) / 2 and len(counts) > 10
            else f"drop sequence {sequence!r}, merge {once[0]!r} with another class, or add sequences of it"
        )
        raise DataError(
            f"the label {once[0]!r} is seen in one sequence only, {sequence!r}{many}",
            where=table.where(label),
            need="at least two sequences of each class: one to learn from, one to judge by",
            cure=cure,
        )
    few = [name for name, count in counts.items() if count < 5]
    if few:
        notes.append(
            f"{len(few):,} class{'es have' if len(few) > 1 else ' has'} fewer than five sequences "
            f"({', '.join(sort_levels(few)[:5])}{' ...' if len(few) > 5 else ''}); their scores say little."
        )
    return sort_levels(list(counts))


def read_labels(
    table: Table, label: str, ordered: Ordered, classes: list[str], notes: list[str], fitting: bool
) -> np.ndarray:
    """The class number of each sequence, -1 where the label is missing or unknown; int64 (n,)."""
    place = {name: i for i, name in enumerate(classes)}
    labels = _one_each(table, label, ordered)
    result = np.asarray([place.get(name, -1) if name is not None else -1 for name in labels], dtype=np.int64)
    missing = sum(name is None for name in labels)
    if missing and (fitting or missing < len(labels)):
        it, are = ("it", "is") if missing == 1 else ("they", "are")
        done = f"{it} {are} left out" if fitting else f"{it} {are} not judged"
        notes.append(f"{missing:,} sequence{'s have' if missing > 1 else ' has'} no label; {done}.")
    unseen = sort_levels(list({name for name in labels if name is not None and name not in place}))
    if unseen:
        notes.append(f"Labels that the model never saw: {', '.join(unseen[:5])}{' ...' if len(unseen) > 5 else ''}.")
    return result
