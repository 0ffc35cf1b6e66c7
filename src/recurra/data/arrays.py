"""Tables from arrays: a list of (time, features) arrays, or one 3-D array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from recurra.data.table import Table
from recurra.errors import DataError, ShapeError


def from_arrays(arrays: Any) -> Table:
    """A forecasting table from arrays.

    Args:
        arrays: a list of (time, targets) or (time,) arrays, one a series, or one (series, time, targets) array. NaN is
            a missing value.

    Returns:
        a table with the columns series, time (the step, counted from 0) and target_1, target_2 ..., whose parts are
        set, so that no option need name them.

    Raises:
        ShapeError: the arrays are no such list, or differ in their number of targets.
        DataError: an array is empty or holds no numbers.

    Example:
        >>> from_arrays([[1.0, 2.0], [3.0, 4.0, 5.0]]).frame["series"].to_list()
        [0, 0, 1, 1, 1]
    """
    flat, lengths = _flatten(arrays, "target", "series")
    names = [f"target_{i + 1}" for i in range(flat.shape[1])]
    frame = _frame(flat, lengths, "series", "time", names)
    return Table(frame, "arrays", roles={"series": ("series",), "time": "time", "target": tuple(names)})


def from_sequence_arrays(X: Any, y: Sequence[Any] | np.ndarray | None = None) -> Table:
    """A table of sequences from arrays.

    Args:
        X: a list of (time, features) or (time,) arrays, one a sequence, or one (sequences, time, features) array. NaN
            is a missing value.
        y: one label a sequence: whole numbers, texts or truth values; None when there are none.

    Returns:
        a table with the columns sequence, step, feature_1, feature_2 ... and label, whose parts are set.

    Raises:
        ShapeError: the arrays are no such list, differ in their features, or `y` has another length.
        DataError: an array is empty or holds no numbers.

    Example:
        >>> from_sequence_arrays([[[1.0, 2.0]], [[3.0, 4.0]]], ["a", "b"]).frame.columns
        ['sequence', 'step', 'feature_1', 'feature_2', 'label']
    """
    flat, lengths = _flatten(X, "X", "sequence")
    names = [f"feature_{i + 1}" for i in range(flat.shape[1])]
    frame = _frame(flat, lengths, "sequence", "step", names)
    roles: dict[str, Any] = {"sequence": ("sequence",), "time": "step", "features": tuple(names)}
    if y is not None:
        labels = np.asarray(y)
        if labels.shape != (len(lengths),):
            raise ShapeError(
                f"y has the shape {labels.shape} for {len(lengths)} sequences",
                where="y",
                need=f"one label a sequence: ({len(lengths)},)",
                cure="give y as a flat list with one label for each array of X",
            )
        column = pl.Series("label", labels.tolist(), strict=False)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        frame = frame.with_columns(column.gather(rows))
        roles["label"] = "label"
    return Table(frame, "arrays", roles=roles)


def _frame(flat: np.ndarray, lengths: np.ndarray, part: str, step: str, names: list[str]) -> pl.DataFrame:
    starts = np.cumsum(lengths) - lengths
    columns: dict[str, Any] = {
        part: np.repeat(np.arange(len(lengths)), lengths),
        step: np.arange(len(flat)) - np.repeat(starts, lengths),
    }
    columns.update({name: np.ascontiguousarray(flat[:, i]) for i, name in enumerate(names)})
    return pl.DataFrame(columns)


def _flatten(arrays: Any, argument: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(arrays, np.ndarray | list | tuple) and hasattr(arrays, "__array__"):
        arrays = np.asarray(arrays)  # a torch tensor, say
    need = f"a list of (time, features) arrays, one a {part}, or one 3-D array ({part}, time, features)"
    if isinstance(arrays, np.ndarray) and arrays.dtype != object:
        if arrays.ndim != 3:
            raise ShapeError(
                f"an array of shape {arrays.shape} was given",
                where=argument,
                need=need,
                cure="put a single one in a list: [array]",
            )
        _not_empty(arrays.shape[0], argument, part)
    elif not isinstance(arrays, list | tuple | np.ndarray):
        raise ShapeError(
            f"a {type(arrays).__name__} was given", where=argument, need=need, cure="make a list of arrays of it"
        )
    _not_empty(len(arrays), argument, part)
    parts = [_numbers(array, i, argument, part) for i, array in enumerate(arrays)]
    widths = np.asarray([p.shape[1] for p in parts])
    if (widths != widths[0]).any():
        i = int(np.flatnonzero(widths != widths[0])[0])
        raise ShapeError(
            f"{part} {i} has {widths[i]} column{'s' * bool(widths[i] != 1)}, {part} 0 has {widths[0]}",
            where=f"{argument}[{i}]",
            need=f"the same number of columns in every {part}",
            cure="fill the columns that are not known with NaN",
        )
    return np.concatenate(parts), np.asarray([len(p) for p in parts], dtype=np.int64)


def _not_empty(n: int, argument: str, part: str) -> None:
    if n == 0:
        raise DataError(
            "the list of arrays is empty",
            where=argument,
            need=f"at least one array, one a {part}",
            cure="check how the list was made",
        )


def _numbers(array: Any, i: int, argument: str, part: str) -> np.ndarray:
    try:
        values = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{part} {i} cannot be read as numbers ({error})",
            where=f"{argument}[{i}]",
            need="numbers, with NaN for missing ones, and the same number of features at each step",
            cure="convert texts to numbers first, or give a table",
        ) from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.shape[1]:
        raise ShapeError(
            f"{part} {i} has the shape {np.shape(array)}",
            where=f"{argument}[{i}]",
            need="an array (time, features)",
            cure="reshape it; a single feature may be (time,)",
        )
    if not len(values):
        raise DataError(
            f"{part} {i} has no step",
            where=f"{argument}[{i}]",
            need=f"at least one step in every {part}",
            cure=f"leave the empty {part} out",
        )
    return values
