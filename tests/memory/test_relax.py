"""Running a cell to rest: fixed points, cycles, rows that stop by themselves, energies."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recurra.cells import LSTM, Cell, Elman, HiddenState
from recurra.errors import ShapeError, UsageError
from recurra.relax import relax


class Turn(Cell):
    """The state's numbers move one place: a cycle as long as the state, or as its pattern repeats."""

    def advance(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        h = state.h.roll(1, -1)
        return 10 * h, HiddenState(h)


def test_cycles_are_measured_and_rows_stop_by_themselves() -> None:
    rows = torch.tensor([[1.0, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0], [1, 0, 0, 1, 0, 0], [1, 2, 3, 4, 5, 6]])
    found = relax(Turn(6, 6), HiddenState(rows), steps=20, energy=lambda state: state.h[:, 0])
    assert found.cycle.tolist() == [1, 2, 3, 6]
    assert found.steps.tolist() == [1, 2, 3, 6]
    assert found.converged.tolist() == [True, False, False, False]
    # After its cycle each row is where it began, and stays there while others go on.
    assert torch.equal(found.state.h, rows) and torch.equal(found.y, 10 * rows)
    assert found.energy is not None
    assert found.energy[:, 1].tolist() == [1, 0, 1, 1, 1, 1, 1] and found.energy[:, 3].tolist() == [1, 6, 5, 4, 3, 2, 1]
    short = relax(Turn(6, 6), HiddenState(rows), steps=20, longest_cycle=5)
    assert short.cycle.tolist() == [1, 2, 3, 0] and int(short.steps[3]) == 20 and short.energy is None


@pytest.mark.parametrize("kind", [Elman, LSTM])
def test_a_fixed_point_is_one_and_depends_on_no_neighbour(kind: type[Cell]) -> None:
    torch.manual_seed(0)
    cell = kind(3, 5, dtype=torch.float64)  # type: ignore[call-arg]
    x = torch.randn(4, 3, dtype=torch.float64)
    with torch.no_grad():
        found = relax(cell, x=x, tolerance=1e-10, steps=3000)
        assert bool(found.converged.all()) and len(set(found.steps.tolist())) > 1
        again, state = cell(x, found.state)
        torch.testing.assert_close(again, found.y, rtol=0, atol=1e-9)
        alone = relax(cell, x=x[2:3], tolerance=1e-10, steps=3000)
    torch.testing.assert_close(alone.y, found.y[2:3], rtol=0, atol=1e-15)
    assert int(alone.steps) == int(found.steps[2])


def test_the_gradient_of_a_fixed_point_is_that_of_the_implicit_function() -> None:
    """h = tanh(w h + x): dh/dx = (1 - h^2) / (1 - w (1 - h^2))."""
    cell = Elman(1, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.fill_(1.0), cell.weight_hh.fill_(0.6)
    x = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    h = relax(cell, x=x, tolerance=1e-14).state.h
    h.sum().backward()
    slope = 1 - h.item() ** 2
    assert x.grad is not None
    assert abs(x.grad.item() - slope / (1 - 0.6 * slope)) < 1e-10


def test_what_is_not_a_number_never_comes_to_rest() -> None:
    found = relax(Turn(2, 2), HiddenState(torch.tensor([[float("nan"), 1.0], [1.0, 1.0]])), steps=5, tolerance=1.0)
    assert found.converged.tolist() == [False, True] and found.cycle.tolist() == [0, 1]


def test_messages() -> None:
    cell = Turn(2, 2)
    with pytest.raises(UsageError, match="relax: neither state nor x is given. Needed: one of them"):
        relax(cell)
    with pytest.raises(UsageError, match="relax: steps is 0"):
        relax(cell, x=torch.zeros(1, 2), steps=0)
    with pytest.raises(UsageError, match="relax: tolerance is -1. Needed: zero or a positive number"):
        relax(cell, x=torch.zeros(1, 2), tolerance=-1)
    with pytest.raises(ShapeError, match=r"relax: x has shape \(1, 3\)"):
        relax(cell, x=torch.zeros(1, 3))
    with pytest.raises(ShapeError, match=r"relax: energy gave of shape \(1, 2\). Needed: a tensor \(1,\)"):
        relax(cell, x=torch.zeros(1, 2), energy=lambda state: state.h)
