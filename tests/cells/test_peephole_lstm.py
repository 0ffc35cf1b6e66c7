"""The peephole LSTM: what its peepholes add to the LSTM, and what they make possible."""

from __future__ import annotations

import pytest
import torch

from recurra.cells import LSTM
from recurra.cells.peephole_lstm import PeepholeLSTM
from recurra.errors import UsageError
from recurra.unroll import unroll


def test_without_peepholes_it_is_the_lstm() -> None:
    torch.manual_seed(0)
    plain, cell = LSTM(3, 5, dtype=torch.float64), PeepholeLSTM(3, 5, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.copy_(plain.weight_ih)
        cell.weight_hh.copy_(plain.weight_hh)
        cell.bias_ih.copy_(plain.bias_ih + plain.bias_hh)
        cell.peephole.zero_()
    x = torch.randn(7, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(unroll(cell, x)[0], unroll(plain, x)[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("period", [49, 50])
def test_one_cell_without_input_spikes_every_so_many_steps(period: int) -> None:
    """The cell counts up by one; at the count `period` its peepholes open the output, a step later they clear it."""
    cell, sharp = PeepholeLSTM(1, 1, squash="identity", dtype=torch.float64), 100.0
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
        cell.bias_ih.copy_(torch.tensor([sharp, sharp * (period - 0.5), 1.0, -sharp * (period - 0.5)]))
        cell.peephole.copy_(torch.tensor([0.0, -sharp, sharp]))
    y, _ = unroll(cell, torch.zeros(4 * period, 1, 1, dtype=torch.float64))
    spikes = (y.flatten() > 0.5).nonzero().flatten() + 1
    assert spikes.tolist() == [period, 2 * period, 3 * period, 4 * period]
    torch.testing.assert_close(y.flatten()[spikes - 1], torch.full((4,), float(period), dtype=torch.float64))


def test_the_output_gate_sees_the_new_memory_cell_and_the_others_the_old_one() -> None:
    cell = PeepholeLSTM(1, 1, squash="identity", dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
        cell.bias_ih.copy_(torch.tensor([0.0, 0.0, 2.0, 0.0]))
        cell.peephole.copy_(torch.tensor([1.0, 1.0, 1.0]))
    y, state = cell(torch.zeros(1, 1, dtype=torch.float64), cell.initial_state(1))
    assert state.c.item() == 0.5 * 2.0  # the input gate saw a memory cell of 0
    assert y.item() == pytest.approx(1.0 / (1.0 + 2.718281828459045**-1.0))  # the output gate one of 1


def test_squash_is_one_of_two() -> None:
    with pytest.raises(UsageError, match="squash is 'relu'.*'tanh' or 'identity'"):
        PeepholeLSTM(2, 3, squash="relu")
