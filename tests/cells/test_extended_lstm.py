"""The extended LSTM: what its paper says of the factors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from recurra.cells.extended_lstm import ExtendedLSTM
from recurra.cells.lstm import LSTM
from recurra.errors import UsageError
from recurra.unroll import unroll


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def made(longest: int) -> ExtendedLSTM:
    torch.manual_seed(0)
    return ExtendedLSTM(3, 5, longest=longest, dtype=torch.float64)


def test_with_factors_of_one_it_is_the_lstm() -> None:
    cell, other = made(4), LSTM(3, 5, dtype=torch.float64)
    weights = {name: weight for name, weight in cell.state_dict().items() if name != "scale"}
    other.load_state_dict({**weights, "bias_hh": torch.zeros(20, dtype=torch.float64)})
    x = normal(9, 2, 3)
    torch.testing.assert_close(unroll(cell, x)[0], unroll(other, x)[0], rtol=1e-12, atol=1e-12)


def test_a_memory_is_the_sum_of_scaled_writes_that_the_forget_gates_let_stand() -> None:
    cell = made(6)
    torch.nn.init.uniform_(cell.scale, 0.0, 3.0)
    with torch.no_grad():
        cell.weight_hh.zero_()  # so that the gates follow from the inputs alone
    x = normal(6, 1, 3)
    i, f, g, _ = cell.project(x)[:, 0].chunk(4, -1)
    kept, written = torch.sigmoid(f), torch.sigmoid(i) * torch.tanh(g)
    wanted = sum(cell.scale[j] * kept[j + 1 :].prod(0) * written[j] for j in range(6))
    torch.testing.assert_close(unroll(cell, x)[1].c[0], wanted, rtol=1e-12, atol=1e-12)


def test_a_step_past_the_longest_sequence_takes_the_factors_of_the_first_one() -> None:
    short, long = made(3), made(9)
    torch.nn.init.normal_(short.scale)
    with torch.no_grad():
        long.scale.copy_(short.scale.repeat(3, 1))
    x = normal(9, 2, 3)
    torch.testing.assert_close(unroll(short, x)[0], unroll(long, x)[0], rtol=1e-12, atol=1e-12)


def test_each_sequence_counts_its_own_steps() -> None:
    """A step that a mask leaves out is not counted."""
    cell = made(5)
    torch.nn.init.normal_(cell.scale)
    x = normal(4, 2, 3)
    mask = torch.tensor([[True, True], [False, True], [True, True], [True, True]])
    y, state = unroll(cell, x, mask=mask)
    alone = unroll(cell, x[[0, 2, 3], :1])[0]
    torch.testing.assert_close(y[[0, 2, 3], :1], alone, rtol=1e-12, atol=1e-12)
    assert state.step.flatten().tolist() == [3.0, 4.0]


def test_a_wrong_longest_is_refused() -> None:
    with pytest.raises(UsageError, match="longest is 0"):
        ExtendedLSTM(3, 5, longest=0)
