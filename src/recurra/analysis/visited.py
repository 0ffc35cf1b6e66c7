"""The states that a cell passes along its inputs, as flat vectors, and the plane in which they lie best."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.analysis.systems import CellMap
from recurra.cells.base import Cell
from recurra.cells.state import map_state
from recurra.errors import UsageError
from recurra.unroll import check_lengths, unroll, within_lengths


def visited_states(cell: Cell, x: Tensor, lengths: Any = None, most: int | None = None, seed: int = 0) -> Tensor:
    """The states after the steps of sequences, all parts of a state one after another in one vector.

    Args:
        cell: any cell; it is copied, and left as it is.
        x: sequences.
        lengths: the steps of each; all when absent.
        most: how many states; so many are drawn at random where there are more.
        seed: of that.

    Shapes:
        x (time, batch, input_size); the states (at most `most`, features), float64.

    Raises:
        UsageError: x holds no step.

    Example:
        >>> import torch
        >>> from recurra.cells import LSTM
        >>> visited_states(LSTM(2, 3), torch.randn(5, 4, 2), lengths=[5, 5, 2, 0]).shape
        torch.Size([12, 6])
    """
    step = CellMap(cell)
    x = step.check_x(x, ("time", "batch"), "visited_states")
    every = torch.full((x.shape[1],), len(x)) if lengths is None else check_lengths(lengths, x, where="visited_states")
    if not len(x) or not bool((every > 0).any()):
        raise UsageError("x holds no step", where="visited_states", need="at least one sequence with at least one step")
    with torch.no_grad():
        _, _, states = unroll(step.cell, x, lengths=every, all_states=True)
    vectors, _ = step.flatten(map_state(lambda part: part.flatten(0, 1), states))
    vectors = vectors[within_lengths(every, len(x)).flatten()]
    if most is not None and len(vectors) > most:
        chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))[:most]
        vectors = vectors[chosen.sort().values]
    return vectors


def main_plane(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of vectors, and their first two principal directions, (features,) and (2, features).

    Each direction's largest entry is positive, so that the same vectors give the same picture; of vectors with one
    feature the second direction is zero.
    """
    centre = vectors.mean(0)
    _, _, rows = torch.linalg.svd(vectors - centre, full_matrices=False)
    rows = torch.cat([rows[:2], rows.new_zeros(max(0, 2 - len(rows)), rows.shape[-1])])
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return centre, torch.where(largest < 0, -rows, rows)
