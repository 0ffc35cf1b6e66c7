"""Series as people give them, and as cells read them: lists of (time, features) arrays, and one padded tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recurra.errors import ShapeError

AT_ONCE = 128
"""How many series are run side by side at most: more of them no longer fit near the processor."""


class Series(NamedTuple):
    """Series of different lengths.

    Attributes:
        parts: (time, features) tensors.
        form: how they were given: "one" (time, features), "flat" (series, time), "cube" (series, time, features) or
            "list".
    """

    parts: list[Tensor]
    form: str

    @property
    def features(self) -> int:
        """Of every series."""
        return self.parts[0].shape[1]


class Padded(NamedTuple):
    """Series side by side.

    Attributes:
        which: their numbers in the list, (batch,).
        x: (time, batch, features), zeros past the ends.
        lengths: (batch,).
    """

    which: list[int]
    x: Tensor
    lengths: Tensor


def read_series(X: Any, dtype: torch.dtype, where: str, rows: str = "time", name: str = "X") -> Series:
    """Series from an array (time, features), a cube (series, time, features) or a list of arrays (time, features).

    Args:
        X: the series; one-dimensional arrays in a list are taken for series with one feature.
        dtype: their number format.
        where: for messages.
        rows: what the rows of a matrix are: "time", so that it is one series, or "series", of one feature each.
        name: of the argument, for messages.

    Raises:
        ShapeError: the shape is another, a number is not finite, or series differ in their features.
    """
    if isinstance(X, list | tuple) and len(X) and any(np.ndim(part) > 0 for part in X) and not _is_matrix(X):
        parts = [_array(part, where, f"{name}[{number}]") for number, part in enumerate(X)]
        parts = [part.reshape(-1, 1) if part.ndim == 1 else part for part in parts]
        for number, part in enumerate(parts):
            if part.ndim != 2 or part.shape[1] != parts[0].shape[1]:
                raise ShapeError(
                    f"{name}[{number}] has shape {part.shape}",
                    where=where,
                    need=f"(time, {parts[0].shape[-1]}), as the first series",
                )
        form = "list"
    else:
        whole = _array(X, where, name)
        if whole.ndim not in (2, 3):
            raise ShapeError(
                f"{name} has shape {whole.shape}. Reshape your data: expected 2D array or 3D array",
                where=where,
                need="(time, features), (series, time, features) or a list of (time, features) arrays",
            )
        form = "cube" if whole.ndim == 3 else "one" if rows == "time" else "flat"
        parts = [whole] if form == "one" else [part if form == "cube" else part.reshape(-1, 1) for part in whole]
        if not whole.shape[0]:
            raise ShapeError(f"found 0 sample(s) (shape={whole.shape})", where=where, need="a minimum of 1")
        if not whole.shape[1]:
            raise ShapeError(f"0 feature(s) (shape={whole.shape}) while a minimum of 1 is required", where=where)
    return Series([torch.as_tensor(np.ascontiguousarray(part), dtype=dtype) for part in parts], form)


def _is_matrix(X: Sequence[Any]) -> bool:
    """Whether a list is a matrix written out: rows of numbers."""
    return all(isinstance(row, list | tuple) and all(np.ndim(entry) == 0 for entry in row) for row in X)


def _array(given: Any, where: str, name: str) -> np.ndarray:
    if hasattr(given, "toarray"):
        raise TypeError(f"{where}: {name} is a sparse matrix. Needed: a dense array. Cure: {name}.toarray().")
    if isinstance(given, Tensor):
        given = given.detach().cpu().numpy()
    array = np.asarray(given)
    if np.iscomplexobj(array):
        raise ShapeError(f"{name}: Complex data not supported", where=where, need="real numbers")
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, TypeError):
            raise TypeError(
                f"{where}: {name} holds what is no number: argument must be a string or a number."
            ) from error
        raise ShapeError(f"{name} holds what is no number ({error})", where=where, need="numbers") from error
    if not np.isfinite(array).all():
        what = "NaN" if np.isnan(array).any() else "infinity"
        raise ShapeError(f"{name} contains {what} (or infinity)", where=where, need="finite numbers")
    return array


def read_targets(y: Any, series: Series, dtype: torch.dtype, where: str) -> tuple[list[Tensor], bool]:
    """A target for every step, in the form of the series: (time, outputs) each, and whether there was no such axis."""
    if y is None:
        raise ShapeError("requires y to be passed, but the target y is None", where=where, need="targets as X")
    given = [y] if series.form == "one" else list(y)
    if len(given) != len(series.parts):
        raise ShapeError(f"y has {len(given)} series", where=where, need=f"{len(series.parts)}, as X")
    found, plain = [], True
    for number, (part, x) in enumerate(zip(given, series.parts, strict=True)):
        name = "y" if series.form == "one" else f"y[{number}]"
        array = _array(part, where, name)
        plain = plain and array.ndim == 1
        if array.ndim not in (1, 2) or len(array) != len(x):
            raise ShapeError(f"{name} has shape {array.shape}", where=where, need=f"({len(x)},) or ({len(x)}, outputs)")
        array = array.reshape(-1, 1) if array.ndim == 1 else array
        found.append(torch.as_tensor(np.ascontiguousarray(array), dtype=dtype))
    return found, plain


def padded(parts: Sequence[Tensor], at_once: int = AT_ONCE) -> Iterator[Padded]:
    """The series in batches, those of like length together."""
    order = sorted(range(len(parts)), key=lambda number: len(parts[number]))
    for first in range(0, len(order), at_once):
        which = order[first : first + at_once]
        x = torch.nn.utils.rnn.pad_sequence([parts[number] for number in which])
        yield Padded(which, x, torch.tensor([len(parts[number]) for number in which]))
