"""The rows of the table in `cells.py` as cases of tests, and what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from row import CellRow
from torch import Tensor

from cells import TABLE
from recurra.cells import CELLS, Cell, cell_class, map_state
from recurra.cells.state import state_tensors

FULL = [row for row in TABLE if "bias" not in row.arguments]
ALONG_TIME = {name for name, entry in CELLS.items() if entry.driver == "unroll"}
# The fast tests take these through everything and the others through their numbers; the slow ones take all.
CORE = ["elman", "lstm", "indrnn", "clockwork", "hm_rnn", "ctrnn", "gru_d", "mlstm"]


def over(rows: list[CellRow]) -> Any:
    """Run a test over these rows."""
    marks = {row.id: () if row.name in CORE else (pytest.mark.slow,) for row in rows}
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.id, marks=marks[row.id]) for row in rows])


every_row = over(TABLE)
full_rows = over(FULL)
smooth_rows = over([row for row in TABLE if row.differentiable])
smooth_full_rows = over([row for row in FULL if row.differentiable])


def make(row: CellRow, seed: int = 0, dtype: torch.dtype = torch.float64) -> Cell:
    torch.manual_seed(seed)
    kind, arguments = cell_class(row.name)
    return kind(row.features, row.hidden, **{**arguments, **row.arguments}, dtype=dtype)


def inputs(row: CellRow, *shape: int, seed: int = 1) -> Tensor:
    x = torch.randn(*shape, row.features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x if row.inputs is None else row.inputs(x)


def random_state(row: CellRow, cell: Cell, batch: int, seed: int = 2) -> Any:
    generator = torch.Generator().manual_seed(seed)
    if row.state is not None:
        return row.state(cell, batch, generator)
    start = cell.initial_state(batch)
    return map_state(lambda part: torch.randn(part.shape, dtype=part.dtype, generator=generator), start)


def times(cell: Cell, *shape: int) -> Any:
    """Irregular times for a cell that knows time, else none."""
    if not cell.continuous_time:
        return None
    return 0.1 + torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


def filled(like: Any, tensors: Any) -> Any:
    """A state of the structure of `like` that holds the tensors given in order."""
    rest = iter(tensors)
    return map_state(lambda _: next(rest), like)


def first_part(state: Any) -> Tensor:
    return state_tensors(state)[0]


def weights_of(cell: Cell) -> dict[str, np.ndarray]:
    named = [*cell.named_parameters(), *cell.named_buffers()]
    return {name: weight.detach().numpy().copy() for name, weight in named}


def reference(
    row: CellRow, weights: dict[str, np.ndarray], x: np.ndarray, state: tuple[np.ndarray, ...], dt: Any = None
) -> Any:
    outputs = []
    for t, x_t in enumerate(x):
        y, state = row.step(weights, x_t, state) if dt is None else row.step(weights, x_t, state, dt[t][:, None])
        outputs.append(y)
    return np.stack(outputs), state


def close(a: Any, b: Any, tolerance: float = 1e-12) -> None:
    for left, right in zip(state_tensors(a), state_tensors(b), strict=True):
        torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


def widths_of(state: Any) -> tuple[Any, ...]:
    return tuple(part.shape[1] if part.dim() == 2 else tuple(part.shape[1:]) for part in state_tensors(state))
