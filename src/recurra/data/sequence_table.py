"""A long table read as many sequences with one label each: roles, order, classes, levels of categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.data import sequence_checks
from recurra.data.arrays import from_sequence_arrays
from recurra.data.calendar import step_words
from recurra.data.card import DataCard, column_facts
from recurra.data.columns import (
    as_codes,
    as_numbers,
    is_category,
    learn_levels,
    missing_rows,
)
from recurra.data.frequency import time_text
from recurra.data.labels import learn_classes, read_labels
from recurra.data.leakage import check_sequence_leakage
from recurra.data.order import Ordered, order_rows
from recurra.data.roles import check_columns, find_time, ignored_note, looks_temporal
from recurra.data.sequence_set import SequenceSchema, SequenceSet
from recurra.data.source import Table, read_source
from recurra.errors import UsageError
from recurra.settings import ClassifyData

__all__ = [
    "SequenceSchema",
    "SequenceSet",
    "from_sequence_arrays",
    "learn_schema_sequences",
    "read_classify",
    "read_sequences",
]


def read_classify(source: Any, settings: ClassifyData | None = None) -> tuple[SequenceSet, SequenceSchema, DataCard]:
    """Read, learn and lay out in one call: what fitting a classifier does first.

    Example:
        >>> table = {"id": [1, 1, 2, 2, 3, 3, 4, 4], "x": [1.0, 2, 8, 9, 1, 3, 7, 8], "y": list("aabbaabb")}
        >>> data, schema, card = read_classify(table, ClassifyData(sequence=("id",), label="y"))
        >>> schema.features, schema.classes, card.classes
        (('x',), ['a', 'b'], {'a': 2, 'b': 2})
    """
    settings = settings or ClassifyData()
    table = read_source(source)
    schema = learn_schema_sequences(table, settings)
    data, card = read_sequences(table, schema, settings, fitting=True)
    return data, schema, card


def learn_schema_sequences(table: Table, settings: ClassifyData) -> SequenceSchema:
    """Learn what the columns mean: parts, classes, levels of categories, whether the steps are regular.

    Args:
        table: the table that a model is fitted on.
        settings: the user's options; all columns that are left are features when none are named.

    Returns:
        the schema. What was assumed is added to `table.notes`.

    Raises:
        UsageError: an option names an unknown column or one column twice, or a needed one is not given.
        DataError: a column does not suit its part; labels change within a sequence; there are not two classes with two
            sequences each.
    """
    roles = _given_roles(table, settings)
    for role, example in (("sequence", "id"), ("label", "class")):
        if not roles[role]:
            raise UsageError(
                f"no --{role} was given",
                where=table.name,
                need="the column that names the sequence of each row"
                if role == "sequence"
                else "the column of the class",
                cure=f"name it: --{role} {_likely(table, role, example)} (columns: {_listed(table)})",
            )
    check_columns(table, roles)
    label = roles["label"][0]
    named = [name for role, names in roles.items() if role != "categorical" for name in names]
    time, notes = find_time(table, roles["time"][0] if roles["time"] else None, named)
    features, more = _find_features(table, roles, time)
    notes += more
    sequence_checks.check_rows(table)
    ordered = order_rows(table, time, roles["sequence"], "sequence", fractions=True)
    notes += ordered.notes
    levels = {}
    for name in roles["categorical"]:
        if name not in features:
            raise sequence_checks.useless_categorical(name, label, time)
    for name in features:
        if is_category(table, table.frame[name], name in roles["categorical"], f"feature {name!r}"):
            levels[name] = learn_levels(table, table.frame[name], f"feature {name!r}")
    classes = learn_classes(table, label, ordered, notes)
    regular, step = _step(ordered)
    table.notes += [note for note in notes if note not in table.notes]
    return SequenceSchema(
        roles["sequence"], features, time, label, levels, classes, ordered.kind, ordered.format, regular, step
    )


def _given_roles(table: Table, settings: ClassifyData) -> dict[str, tuple[str, ...]]:
    def part(name: str) -> tuple[str, ...]:
        value = getattr(settings, name) or table.roles.get(name) or ()
        return (value,) if isinstance(value, str) else tuple(value)

    return {name: part(name) for name in ("sequence", "time", "label", "features", "categorical")}


def _listed(table: Table) -> str:
    columns = table.frame.columns
    return ", ".join(columns[:30]) + (" ..." if len(columns) > 30 else "")


def _likely(table: Table, role: str, example: str) -> str:
    known = {"sequence": ("id", "sequence", "sequence_id", "series"), "label": ("label", "class", "target", "y")}
    lowered = {c.lower(): c for c in reversed(table.frame.columns)}
    return next((lowered[name] for name in known[role] if name in lowered), example)


def _find_features(
    table: Table, roles: dict[str, tuple[str, ...]], time: str | None
) -> tuple[tuple[str, ...], list[str]]:
    if roles["features"]:
        return roles["features"], []
    taken = [*roles["sequence"], *([time] if time else []), *roles["label"]]
    left = [c for c in table.frame.columns if c not in taken]
    features = tuple(c for c in left if not c.startswith("unnamed_") and not looks_temporal(table.frame[c]))
    notes = []
    if len(features) < len(left):
        skipped = ", ".join(c for c in left if c not in features)
        notes.append(f"Not used as features (without a name, or dates): {skipped}.")
    if not features:
        raise UsageError(
            "no column is left to be a feature",
            where=table.name,
            need=f"at least one column besides {', '.join(taken)}",
            cure="add columns of measurements to the table",
        )
    return features, notes


def _step(ordered: Ordered) -> tuple[bool, float]:
    """Whether all steps are alike, and the median step (seconds for calendar times)."""
    if ordered.kind == "row":
        return True, 1.0
    inside = np.ones(max(len(ordered.times) - 1, 0), dtype=bool)
    inside[ordered.offsets[1:-1] - 1] = False
    steps = np.diff(ordered.times)[inside]
    if not len(steps):
        return True, 1.0
    median = float(np.median(steps))
    alike = float(steps.max() - steps.min()) <= 1e-6 * median
    return alike, median / 1e6 if ordered.kind in ("date", "datetime") else median


def read_sequences(
    table: Table, schema: SequenceSchema, settings: ClassifyData, *, fitting: bool
) -> tuple[SequenceSet, DataCard]:
    """Read a table by a schema.

    Args:
        table: the table.
        schema: what the columns mean.
        settings: the policy for missing values.
        fitting: whether a model is about to be fitted on these rows; then sequences without a label are left out.

    Returns:
        the sequences, and the card that says what was read and done.

    Raises:
        DataError: something in the rows does not suit; file, column and row are named.
    """
    columns = {"sequence": schema.sequence, "features": schema.features, "time": (schema.time,) if schema.time else ()}
    labelled = schema.label is not None and (fitting or schema.label in table.frame.columns)
    if labelled and fitting:
        columns["label"] = (str(schema.label),)
    check_columns(table, columns, fitting=fitting)
    notes = list(table.notes)
    ordered = order_rows(table, schema.time, schema.sequence, "sequence", format=schema.time_format, fractions=True)
    notes += [note for note in ordered.notes if note not in notes]
    sequence_checks.check_kind(table, schema, ordered)
    values, absent = _values(table, schema, ordered, notes)
    if settings.missing == "error":
        sequence_checks.no_missing(table, schema, absent, ordered)
    if fitting:
        sequence_checks.no_empty_column(table, schema, absent)
    label = read_labels(table, str(schema.label), ordered, schema.classes, notes, fitting) if labelled else None
    data = SequenceSet(ordered.names, ordered.keys, ordered.offsets, values, _gaps(ordered, schema), label)
    if fitting and label is not None and (label < 0).any():
        data = data.take(np.flatnonzero(label >= 0))
    sequence_checks.say_empty(data, notes)
    used = [*schema.sequence, *schema.features, *columns["time"], *([schema.label] if schema.label else [])]
    notes += ignored_note(table, [str(c) for c in used], "--set data.features= names the features")
    card = DataCard(
        rows=data.rows,
        sequences=data.n,
        lengths=data.lengths,
        columns=_facts(schema, absent, labelled),
        irregular=not schema.regular,
        notes=notes,
        classes=_counts(data, schema),
        time_range=_range(ordered),
        kind="sequences",
        name=table.name,
    )
    if schema.time is not None and not schema.regular:
        words = step_words(schema.step, schema.time_kind in ("date", "datetime"))
        notes.append(f"The steps are irregular (median {words}); the model is told the time since the step before.")
    if fitting:
        card.leakage = check_sequence_leakage(data, schema)
    return data, card


def _values(
    table: Table, schema: SequenceSchema, ordered: Ordered, notes: list[str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    values = np.empty((table.frame.height, len(schema.features)))
    absent = {}
    for i, name in enumerate(schema.features):
        column = table.frame[name]
        if name in schema.levels:
            read, unseen = as_codes(column, schema.levels[name])
            gone = missing_rows(column)
            if unseen:
                notes.append(
                    f"Column {name!r} has {len(unseen):,} value{'s' * (len(unseen) != 1)} that the model never saw "
                    f"({', '.join(unseen[:5])}{' ...' if len(unseen) > 5 else ''}); read as unknown."
                )
        else:
            read = as_numbers(table, column, f"feature {name!r}")
            gone = np.isnan(read)
        values[:, i], absent[name] = read[ordered.order], gone[ordered.order]
    return values, absent


def _gaps(ordered: Ordered, schema: SequenceSchema) -> np.ndarray:
    gap = np.ones(len(ordered.order))
    if schema.regular or schema.time is None or len(gap) < 2:
        return gap
    scale = schema.step * (1e6 if ordered.kind in ("date", "datetime") else 1.0)
    gap[1:] = np.diff(ordered.times) / scale
    gap[ordered.offsets[:-1]] = 1.0
    return gap


def _facts(schema: SequenceSchema, absent: dict[str, np.ndarray], labelled: bool) -> list[dict[str, Any]]:
    rows = len(next(iter(absent.values())))
    facts = [column_facts(name, "sequence", "text", 0, rows) for name in schema.sequence]
    if schema.time:
        facts.append(column_facts(schema.time, "time", schema.time_kind, 0, rows))
    if labelled:
        facts.append(column_facts(str(schema.label), "label", "category", 0, rows))
    for name in schema.features:
        kind = "category" if name in schema.levels else "number"
        facts.append(column_facts(name, "features", kind, int(absent[name].sum()), rows))
    return facts


def _counts(data: SequenceSet, schema: SequenceSchema) -> dict[str, int] | None:
    if data.label is None or not (data.label >= 0).any():
        return None
    counts = np.bincount(data.label[data.label >= 0], minlength=len(schema.classes))
    return {name: int(count) for name, count in zip(schema.classes, counts, strict=True)}


def _range(ordered: Ordered) -> tuple[str, str] | None:
    if ordered.kind == "row":
        return None
    first, last = ordered.times.min(), ordered.times.max()
    if ordered.kind == "number":
        return f"{first:g}", f"{last:g}"
    calendar = ordered.kind in ("date", "datetime")
    return time_text(first, calendar), time_text(last, calendar)
