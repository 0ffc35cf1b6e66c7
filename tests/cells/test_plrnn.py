"""Piecewise-linear networks: linear within a region, with fixed points in closed form."""

from __future__ import annotations

import pytest
import torch

from recurra.cells.plrnn import PLRNN, DendriticPLRNN
from recurra.cells.state import HiddenState
from recurra.errors import UsageError
from recurra.unroll import unroll


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def test_a_fixed_point_is_the_solution_of_the_linear_equations_of_its_region() -> None:
    cell = PLRNN(2, 6, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_hh *= 0.3
        cell.weight_self.uniform_(0.2, 0.5)
        cell.bias_ih.normal_()
    x = torch.zeros(400, 1, 2, dtype=torch.float64)
    z = unroll(cell, x)[1].h[0].detach()
    active = torch.diag((z > 0).double())
    coupling = cell.weight_hh.detach() * (1 - torch.eye(6, dtype=torch.float64))
    system = torch.eye(6, dtype=torch.float64) - torch.diag(cell.weight_self.detach()) - coupling @ active
    torch.testing.assert_close(z, torch.linalg.solve(system, cell.bias_ih.detach()), rtol=1e-10, atol=1e-11)
    assert 0 < int((z > 0).sum()) < 6


def test_within_a_region_it_is_linear_and_across_its_border_it_is_not() -> None:
    cell, x = PLRNN(2, 5, dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64)
    signs = torch.tensor([[1.0, -1.0, 1.0, 1.0, -1.0]], dtype=torch.float64)
    one, other = (signs * torch.rand(1, 5, dtype=torch.float64) for _ in range(2))

    def step(z: torch.Tensor) -> torch.Tensor:
        return cell(x, HiddenState(z))[0]

    torch.testing.assert_close(step((one + other) / 2), (step(one) + step(other)) / 2, rtol=1e-12, atol=1e-13)
    assert float((step((one - other) / 2) - (step(one) + step(-other)) / 2).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("kind", [PLRNN, DendriticPLRNN])
def test_a_unit_reaches_itself_by_its_own_weight_alone(kind: type[PLRNN] | type[DendriticPLRNN]) -> None:
    cell = kind(2, 4, dtype=torch.float64)
    unroll(cell, torch.randn(6, 2, 2, dtype=torch.float64))[0].square().sum().backward()
    assert not cell.weight_hh.grad.diagonal().any() and bool(cell.weight_hh.grad.any())
    assert bool(cell.weight_self.grad.any())


def test_one_branch_of_slope_one_without_a_threshold_is_the_plain_network() -> None:
    plain, branched = PLRNN(3, 4, dtype=torch.float64), DendriticPLRNN(3, 4, branches=1, dtype=torch.float64)
    with torch.no_grad():
        branched.slopes.fill_(1.0)
        branched.thresholds.zero_()
        for name, weight in plain.named_parameters():
            dict(branched.named_parameters())[name].copy_(weight)
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(unroll(branched, x)[0], unroll(plain, x)[0], rtol=1e-13, atol=1e-14)


def test_opposite_slopes_at_two_thresholds_make_a_bounded_branch() -> None:
    """relu(z) - relu(z - 1) lies in [0, 1], so that the coupling cannot blow up."""
    cell = DendriticPLRNN(1, 3, branches=2, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih.zero_()
        cell.weight_hh.mul_(100.0)
        cell.slopes.copy_(torch.tensor([1.0, -1.0]))
        cell.thresholds.copy_(torch.tensor([[0.0] * 3, [1.0] * 3]))
    state = HiddenState(torch.randn(2, 3, dtype=torch.float64))
    z = unroll(cell, torch.zeros(500, 2, 1, dtype=torch.float64), state)[0].detach()
    bound = (cell.weight_hh.abs().sum(1) / (1.0 - cell.weight_self)).detach()
    assert bool((z[-1].abs() <= bound).all())


def test_branches_are_a_positive_number() -> None:
    with pytest.raises(UsageError, match="DendriticPLRNN: branches is 0. Needed: a positive whole number"):
        DendriticPLRNN(2, 3, branches=0)
