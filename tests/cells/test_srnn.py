"""The shuffling network: what a permutation keeps."""

from __future__ import annotations

import pytest
import torch
from torch.func import jacrev

from recurra.cells.srnn import SRNN
from recurra.cells.state import HiddenState
from recurra.errors import UsageError
from recurra.unroll import unroll


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    torch.manual_seed(0)


def silent(hidden: int) -> SRNN:
    cell = SRNN(2, hidden, network_size=3, dtype=torch.float64)
    torch.nn.init.zeros_(cell.weight_out)
    torch.nn.init.zeros_(cell.bias_out)
    return cell


@pytest.mark.parametrize("hidden", [1, 2, 7])
def test_without_input_positive_units_return_after_a_full_turn(hidden: int) -> None:
    h = torch.rand(3, hidden, dtype=torch.float64)
    y, state = unroll(silent(hidden), torch.zeros(hidden, 3, 2, dtype=torch.float64), HiddenState(h))
    assert torch.equal(state.h, h)
    assert torch.equal(y[0], h[:, [(unit - 1) % hidden for unit in range(hidden)]])


def test_the_gradient_through_many_steps_neither_grows_nor_shrinks() -> None:
    """The Jacobian of 200 steps holds zeros and ones alone, and ones for the units that stayed active."""
    cell, x = SRNN(2, 9, network_size=5, dtype=torch.float64), torch.randn(200, 1, 2, dtype=torch.float64)
    with torch.no_grad():
        cell.bias_out += 0.4
    jacobian = jacrev(lambda h: unroll(cell, x, HiddenState(h))[1].h)(torch.ones(1, 9, dtype=torch.float64))
    rows = jacobian.reshape(9, 9)
    assert bool(((rows == 0) | (rows == 1)).all())
    assert bool((rows.sum(0) <= 1).all()) and bool((rows.sum(1) <= 1).all()) and int(rows.sum()) > 0


def test_sizes_of_the_network_of_the_input_are_positive() -> None:
    with pytest.raises(UsageError, match="SRNN: network_size is 0"):
        SRNN(2, 3, network_size=0)
    with pytest.raises(UsageError, match="SRNN: network_layers is 1.5. Needed: a positive whole number"):
        SRNN(2, 3, network_layers=1.5)  # type: ignore[arg-type]
