"""The compiled loop of every cell that can be compiled, against the plain loop: numbers and all gradients."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "contracts"))

from cell_cases import inputs, random_state, times  # noqa: E402
from row import CellRow  # noqa: E402

from cells import TABLE  # noqa: E402
from recurra.cells import Cell, cell_class, map_state  # noqa: E402
from recurra.cells.state import state_tensors  # noqa: E402
from recurra.engine import run_fused, why_not_compiled  # noqa: E402
from recurra.engine.kernel import Kernel  # noqa: E402
from recurra.unroll import unroll  # noqa: E402
from recurra.unroll.elapsed import elapsed_times  # noqa: E402

NOT_YET = {
    "mc_lstm": "amax",
    "unitary": "cannot be traced",
    "memristive_reservoir": "cannot be traced",
    "liquid": "cannot be traced",
    "ntm": "moves numbers of weights among those of sequences",
    "dnc": "bmm",
    "stack_rnn": "amax",
    "neural_stack": "cumsum",
    "neural_queue": "cumsum",
    "neural_deque": "cumsum",
    "pushdown_automaton": "cumsum",
}
"""Cells whose steps hold what is not compiled yet, and a word of the reason that is given."""

FAST = ("lstm", "coupled_peephole_lstm", "gru_reset_before", "ctrnn")
COMPILED = [row for row in TABLE if row.name not in NOT_YET]


def some(rows: list[CellRow]) -> Any:
    """A few in the fast tests, all in the slow ones: each is traced and compiled."""
    marks = {row.id: () if row.name in FAST else (pytest.mark.slow,) for row in rows}
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.id, marks=marks[row.id]) for row in rows])


@pytest.fixture(autouse=True)
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """All memory that a kernel is given holds NaN, so that what is read before it was written shows."""
    for name in ("new", "own"):
        make = getattr(Kernel, name)
        monkeypatch.setattr(Kernel, name, lambda self, *shape, make=make: make(self, *shape).fill_(float("nan")))


def make(row: CellRow, hidden: int, dtype: torch.dtype) -> Cell:
    kind, arguments = cell_class(row.name)
    torch.manual_seed(0)
    return kind(row.features, hidden, **{**arguments, **row.arguments}, dtype=dtype)


def check(cell: Cell, x: Any, state: Any, read: Any, dt: Any, reverse: bool, tolerance: float) -> None:
    seen = None if dt is None else elapsed_times(dt, read, None, None, reverse)
    results = []
    leaves = [x, *state_tensors(state), *(weight for weight in cell.parameters())]
    for fused in (True, False):
        if fused:
            found = run_fused(cell, x, state, read, seen, reverse)
            assert not isinstance(found, str), found
            y, final = found
        else:
            y, final = unroll(cell, x, state, mask=read, dt=dt, reverse=reverse)
        generator = torch.Generator().manual_seed(8)
        ends = (y, *state_tensors(final))
        loss = sum((end * torch.randn(end.shape, generator=generator, dtype=torch.float64)).sum() for end in ends)
        results.append([*ends, *torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)])
    for found, wanted in zip(*results, strict=True):
        size = float(wanted.detach().abs().max()) if wanted.numel() else 0.0
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * max(1.0, size))


@some(COMPILED)
@pytest.mark.parametrize("reverse", [False, True], ids=["", "reverse"])
def test_numbers_and_gradients_are_the_plain_loops(row: CellRow, reverse: bool) -> None:
    cell = make(row, row.hidden, torch.float64)
    x = inputs(row, 5, 3).requires_grad_()
    state = map_state(lambda part: part.detach().requires_grad_(), random_state(row, cell, 3))
    read = torch.rand(5, 3, generator=torch.Generator().manual_seed(1)) < 0.7
    dt = times(cell, 5, 3)
    check(cell, x, state, None, dt, reverse, 1e-10)
    check(cell, x, state, read, dt, reverse, 1e-10)


@some([row for row in COMPILED if not row.arguments])
def test_odd_sizes_in_single_precision(row: CellRow) -> None:
    if row.inputs is not None or row.hidden != 4:
        return
    for hidden, batch in ((19, 7), (33, 1)):
        cell = make(row, hidden, torch.float32)
        x = inputs(row, 4, batch).float().requires_grad_()
        state = map_state(lambda part: part.requires_grad_(), cell.initial_state(batch))
        check(cell, x, state, None, None, False, 2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_YET)
def test_what_is_not_compiled_says_why(name: str) -> None:
    row = next(row for row in TABLE if row.name == name)
    reason = why_not_compiled(make(row, row.hidden, torch.float64))
    assert reason is not None and NOT_YET[name] in reason
