"""Fixed and slow points: against networks whose points are known, for states of any form, and the old traps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.optimize import brentq

from recurra.analysis.fixed_points import fixed_points, time_counters
from recurra.analysis.visited import main_plane, visited_states
from recurra.cells import GRU, LSTM, Elman
from recurra.cells.clockwork import ClockworkRNN
from recurra.errors import ShapeError, UsageError
from recurra.unroll import unroll


def doubled(units: int = 2) -> Elman:
    """Units that each follow h' = tanh(2 h + x): three fixed points each, -a, 0 and a, without input."""
    cell = Elman(1, units, bias=False)
    with torch.no_grad():
        cell.weight_hh.copy_(2 * torch.eye(units))
        cell.weight_ih.fill_(1.0)
    return cell


def test_all_nine_points_of_two_units_with_their_spectra() -> None:
    found = fixed_points(doubled(), count=200)
    a = brentq(lambda h: np.tanh(2 * h) - h, 0.5, 1)
    wanted = {(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert {tuple(round(v / a) for v in point) for point in found.points.tolist()} == wanted and len(found.points) == 9
    np.testing.assert_allclose(found.points.abs().max(), a, atol=1e-12)
    assert found.unstable.bincount().tolist() == [4, 4, 1]
    slopes = 2 * (1 - np.tanh(2 * found.points.numpy()) ** 2)
    np.testing.assert_allclose(found.eigenvalues.real, -np.sort(-slopes, axis=1), atol=1e-9)
    assert (
        found.text
        == "9 fixed points: 4 stable, 4 with 1 unstable direction, 1 with 2 unstable directions; 0 slow points."
    )
    assert found.hits.sum() >= 200


def test_the_input_moves_the_points() -> None:
    found = fixed_points(doubled(1), torch.tensor([0.3]), count=50)
    wanted = [brentq(lambda h: np.tanh(2 * h + 0.3) - h, low, high) for low, high in ((-1, -0.6), (-0.5, 0), (0.5, 1))]
    np.testing.assert_allclose(sorted(found.points[:, 0].tolist()), wanted, atol=1e-10)


def test_a_slow_point_where_two_fixed_points_have_just_vanished() -> None:
    # h' = tanh(2 h + x): for x above 0.533 lower pair of points is gone, and a slow point remains.
    found = fixed_points(doubled(1), torch.tensor([0.55]), count=50, slow=0.1)
    assert found.fixed.tolist() == [True, False]
    there = float(found.points[1, 0])
    grid = np.linspace(-1, 0, 100001)
    assert there == pytest.approx(grid[np.argmin(np.abs(np.tanh(2 * grid + 0.55) - grid))], abs=1e-4)
    assert found.speed[1] == pytest.approx(np.abs(np.tanh(2 * there + 0.55) - there), rel=1e-5)
    assert found.text.endswith("; 1 slow point.")


@pytest.mark.parametrize("cell", [LSTM(2, 4), GRU(2, 5), ClockworkRNN(2, 4)])
def test_points_of_any_state_stand_still(cell: torch.nn.Module) -> None:
    torch.manual_seed(1)
    x = torch.tensor([0.5, -0.2])
    found = fixed_points(cell, x, count=20, adam_iterations=50)  # type: ignore[arg-type]
    assert found.fixed.any()
    state = found.state(0)
    double = cell.double()
    _, after = double(x.double().unsqueeze(0), state)
    moved = [(getattr(after, f) - getattr(state, f)).abs().max().item() for f in state._fields if f != "step"]
    assert max(moved) < 1e-8


def test_a_step_counter_is_held_and_normalisers_are_not() -> None:
    assert time_counters(ClockworkRNN(2, 4)) == ["step"]
    assert time_counters(LSTM(2, 4)) == []


def test_parameters_left_frozen() -> None:
    """A known trap: a search for fixed points that leaves the user's parameters without requires_grad."""
    cell = GRU(2, 3)
    cell.bias_ih.requires_grad_(False)
    asked = {name: weight.requires_grad for name, weight in cell.named_parameters()}
    before = {name: weight.clone() for name, weight in cell.named_parameters()}
    fixed_points(cell, count=8, adam_iterations=20)
    assert {name: weight.requires_grad for name, weight in cell.named_parameters()} == asked
    assert all(weight.grad is None for weight in cell.parameters()) and cell.training
    assert all(torch.equal(before[name], weight) for name, weight in cell.named_parameters())
    y, _ = unroll(cell, torch.randn(3, 1, 2))
    y.sum().backward()
    assert cell.weight_hh.grad is not None and cell.bias_ih.grad is None


def test_the_speed_given_is_that_of_the_point_given() -> None:
    """A known trap: speeds and next states that are one step of the search older than the points."""
    cell = GRU(2, 3).double()
    found = fixed_points(cell, count=16, adam_iterations=30, iterations=2, tolerance=1e-3, slow=10.0)
    after, _ = cell(torch.zeros(len(found.points), 2, dtype=torch.float64), (found.points,))
    np.testing.assert_allclose(found.speed, (after - found.points).norm(dim=-1).detach(), rtol=1e-9, atol=1e-15)


def test_one_first_state_is_enough() -> None:
    """A known trap: a batch of one whose dimensions are squeezed away."""
    found = fixed_points(doubled(2), starts=torch.full((1, 2), 0.9), spread=0.01, adam_iterations=20)
    assert len(found.points) == 1 and found.unstable.tolist() == [0]


def test_starts_in_the_cells_own_form_and_drawing() -> None:
    cell = LSTM(2, 4)
    x = torch.randn(6, 3, 2)
    vectors = visited_states(cell, x, most=10)
    assert vectors.shape == (10, 8)
    y, state = unroll(cell, x)
    found = fixed_points(cell, starts=state, adam_iterations=0)
    assert found.searched == 3
    full = visited_states(cell, x)
    np.testing.assert_allclose(full.reshape(6, 3, 8)[..., :4], y.detach(), atol=1e-6)
    centre, rows = main_plane(full)
    np.testing.assert_allclose(rows @ rows.T, np.eye(2), atol=1e-12)
    axes = Figure().add_subplot()
    found.draw(axes, full)
    assert axes.get_xlabel() == "first direction"


def test_messages() -> None:
    cell = GRU(2, 3)
    with pytest.raises(ShapeError, match=r"starts has shape \(4, 2\). Needed: \(count, 3\)"):
        fixed_points(cell, starts=torch.zeros(4, 2))
    with pytest.raises(UsageError, match="tolerance is 0. Needed: a positive number"):
        fixed_points(cell, tolerance=0)
    with pytest.raises(ShapeError, match=r"x has shape \(3,\). Needed: \(2\), since input_size is 2"):
        fixed_points(cell, torch.zeros(3))
    with pytest.raises(UsageError, match="starts holds a number that is not finite"):
        fixed_points(cell, starts=torch.full((1, 3), float("nan")))
    with pytest.raises(UsageError, match="x holds no step"):
        visited_states(cell, torch.zeros(0, 2, 2))
