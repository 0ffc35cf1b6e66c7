"""What users hand over, as one table: a path, a frame, or arrays with or without labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from recurra.data.sequence_table import from_sequence_arrays
from recurra.data.source import Table, read_source


def read_table(source: Any) -> Table:
    """The table behind a path, a frame, `(X, y)`, a list of (time, features) arrays or one 3-D array.

    A tuple of two is sequences and their labels where its first part is itself a list or an array of sequences.
    """
    if isinstance(source, tuple):
        if len(source) == 2 and _is_sequences(source[0]):
            return from_sequence_arrays(source[0], source[1])
        return from_sequence_arrays(list(source))
    if isinstance(source, list | np.ndarray):
        return from_sequence_arrays(source)
    return read_source(source)


def _is_sequences(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim == 3 or given.dtype == object
    return isinstance(given, list | tuple) and all(np.ndim(one) >= 1 for one in given)
