"""Many labelled sequences in flat arrays, and what was learned about the table that they came from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl


@dataclass
class SequenceSet:
    """Many sequences, one after the other in flat arrays, each in the order of its steps.

    Args:
        names: one a sequence; the values of several id columns are joined by " / ".
        keys: the id columns' values, one row a sequence.
        offsets: int64 (n+1,): sequence i stands in rows offsets[i] to offsets[i+1]-1.
        values: float64 (rows, features); NaN is missing; categories are codes, 0 for unknown.
        gap: float64 (rows,): time since the previous step, in median steps; 1.0 where times are regular or absent, and
            at the first step.
        label: int64 (n,), the place in `SequenceSchema.classes`, -1 for unknown; None when the table has no labels.

    Example:
        >>> from recurra.data.sequence_table import from_sequence_arrays, read_classify
        >>> data, schema, card = read_classify(from_sequence_arrays([[[1.0]], [[2.0], [3.0]]] * 2, [0, 1] * 2))
        >>> data.lengths.tolist(), data.label.tolist(), schema.classes
        ([1, 2, 1, 2], [0, 1, 0, 1], ['0', '1'])
    """

    names: list[str]
    keys: pl.DataFrame
    offsets: np.ndarray
    values: np.ndarray
    gap: np.ndarray
    label: np.ndarray | None

    @property
    def n(self) -> int:
        """Number of sequences."""
        return len(self.names)

    @property
    def rows(self) -> int:
        """Steps of all sequences."""
        return len(self.values)

    @property
    def lengths(self) -> np.ndarray:
        """Steps of each sequence."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.names)

    def slice(self, i: int) -> slice:
        """The rows of sequence i in the flat arrays."""
        return slice(int(self.offsets[i]), int(self.offsets[i + 1]))

    def window(self, i: int, stop: int, length: int) -> np.ndarray:
        """Steps stop-length .. stop-1 of sequence i; steps before its start are NaN."""
        base = int(self.offsets[i])
        start = max(stop - length, 0)
        part = self.values[base + start : base + stop]
        return np.pad(part, ((length - (stop - start), 0), (0, 0)), constant_values=np.nan)

    def take(self, which: np.ndarray) -> SequenceSet:
        """The sequences with these indices, in this order."""
        which = np.asarray(which, dtype=np.int64)
        lengths = self.lengths[which]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        rows = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(self.offsets[which], lengths)
        return SequenceSet(
            [self.names[i] for i in which],
            self.keys[which.tolist()] if self.keys.width else self.keys,
            offsets,
            self.values[rows],
            self.gap[rows],
            None if self.label is None else self.label[which],
        )


@dataclass
class SequenceSchema:
    """What the columns of a table of sequences mean; learned when fitting, applied again when predicting.

    Args:
        sequence, features: names of columns by their part.
        time: the column that orders the steps, or None: the order of the rows.
        label: the column of the class.
        levels: categorical feature to its levels; codes count from 1, 0 is unknown.
        classes: the classes as texts, sorted (as numbers when all are whole numbers).
        time_kind: "datetime", "date", "integer", "number" or "row".
        time_format: how texts of the time column are read, or None.
        regular: whether all steps are the same length of time.
        step: the median step in seconds, or in the time column's own numbers.
    """

    sequence: tuple[str, ...]
    features: tuple[str, ...]
    time: str | None = None
    label: str | None = None
    levels: dict[str, list[str]] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    time_kind: str = "row"
    time_format: str | None = None
    regular: bool = True
    step: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able facts, enough for `from_dict`."""
        facts = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in facts.items()}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> SequenceSchema:
        """The schema that `to_dict` described."""
        tuples = ("sequence", "features")
        plain: dict[str, Any] = {key: tuple(value) if key in tuples else value for key, value in facts.items()}
        return cls(**plain)
