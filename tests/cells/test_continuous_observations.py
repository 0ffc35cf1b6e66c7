"""Cells for observations at uneven times and with gaps: GRU-D, Phased LSTM and closed-form networks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from recurra.cells import GRU
from recurra.cells.cfc import CfC
from recurra.cells.gru_d import GRUD
from recurra.cells.peephole_lstm import PeepholeLSTM
from recurra.cells.phased_lstm import PhasedLSTM, PhasedLSTMState
from recurra.cells.state import HiddenState
from recurra.unroll import unroll

NAN = float("nan")


def made(kind: Any, *sizes: int, **arguments: Any) -> Any:
    torch.manual_seed(0)
    return kind(*sizes, **arguments, dtype=torch.float64)


def doubles(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gru_like(cell: GRUD, hidden_decay: bool = False) -> GRU:
    """Shut off what GRU-D adds, and copy the rest into a plain GRU."""
    n = cell.hidden_size
    plain = made(GRU, cell.input_size, n, reset_after=False)
    with torch.no_grad():
        cell.weight_mask.zero_()
        cell.bias_input_decay.zero_()
        if not hidden_decay:
            cell.weight_hidden_decay.zero_()
            cell.bias_hidden_decay.zero_()
        # Here z = 1 writes, there z = 1 keeps: sigmoid(-a) = 1 - sigmoid(a).
        sign = torch.cat([torch.ones(n), -torch.ones(n), torch.ones(n)]).double()
        plain.weight_ih.copy_(cell.weight_ih * sign.unsqueeze(1))
        plain.weight_hh.copy_(cell.weight_hh * sign.unsqueeze(1))
        plain.bias_ih.copy_(cell.bias_ih * sign)
        plain.bias_hh.zero_()
    return plain


def test_gru_d_that_misses_nothing_and_decays_nothing_is_the_gru() -> None:
    cell = made(GRUD, 3, 5, mean=[0.5, -1.0, 2.0])
    plain, x = gru_like(cell), torch.randn(6, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(unroll(cell, x, dt=0.7)[0], unroll(plain, x)[0], rtol=1e-12, atol=1e-14)


def test_gru_d_reads_a_missing_value_as_the_last_one_on_its_way_to_the_mean() -> None:
    cell = made(GRUD, 2, 4, mean=[0.5, -1.0])
    plain = gru_like(cell)
    with torch.no_grad():
        cell.weight_input_decay.copy_(doubles(0.3, 2.0))
    x = doubles([[NAN, 4.0]], [[3.0, NAN]], [[NAN, NAN]], [[NAN, 1.0]])
    dt = doubles([9.0], [0.5], [1.5], [0.25])
    first = 0.5 + (3.0 - 0.5) * torch.exp(doubles(-0.3 * 1.5, -0.3 * 1.75))
    second = -1.0 + (4.0 + 1.0) * torch.exp(doubles(-2.0 * 0.5, -2.0 * 2.0))
    filled = doubles([[0.5, 4.0]], [[3.0, second[0]]], [[first[0], second[1]]], [[first[1], 1.0]])
    y, state = unroll(cell, x, dt=dt)
    torch.testing.assert_close(y, unroll(plain, filled)[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(state.last, doubles([3.0, 1.0]))


def test_gru_d_counts_time_since_the_last_observation_as_the_papers_example_does() -> None:
    cell = made(GRUD, 2, 3)
    rows = [[47, 49, NAN, 40, NAN, 43, 55], [NAN, 15, 14, NAN, NAN, NAN, 15]]
    x = doubles(*rows).T.unsqueeze(1)
    stamps = doubles(0, 0.1, 0.6, 1.6, 2.2, 2.5, 3.1)
    # The time before the first observation is not known to the paper and must not count.
    dt = torch.diff(stamps, prepend=doubles(-5.0)).unsqueeze(1)
    _, _, states = unroll(cell, x, dt=dt, all_states=True)
    intervals = dt[1:] + states.since[:-1, 0]
    wanted = doubles([0.1, 0.5, 1.5, 0.6, 0.9, 0.6], [0.1, 0.5, 1.0, 1.6, 1.9, 2.5]).T
    torch.testing.assert_close(intervals, wanted)
    assert bool((states.since[0] == 0).all())


def test_hidden_units_of_gru_d_fade_while_nothing_is_observed() -> None:
    cell = made(GRUD, 2, 3)
    gru_like(cell, hidden_decay=True)
    with torch.no_grad():
        cell.bias_ih[3:6] = -200.0
        cell.weight_hidden_decay.fill_(0.2)
        cell.bias_hidden_decay.zero_()
    start = cell.initial_state(1)._replace(h=torch.ones(1, 3).double(), begun=torch.ones(1, 1).double())
    y, _ = unroll(cell, torch.full((3, 1, 2), NAN).double(), start, dt=doubles([1.0], [0.5], [2.0]))
    # The times since the last observation are 1, 1.5 and 3.5, of two features each.
    torch.testing.assert_close(y[:, 0, 0], torch.exp(-0.4 * doubles(1.0, 2.5, 6.0)), rtol=1e-12, atol=0)


def test_what_is_hidden_behind_nan_reaches_nothing() -> None:
    cell = made(GRUD, 3, 4, mean=[0.1, 0.2, 0.3])
    missing = torch.rand(7, 2, 3) < 0.5
    assert missing.any() and not missing.all()
    secret = torch.randn(7, 2, 3, dtype=torch.float64, requires_grad=True)
    x = torch.where(missing, torch.full_like(secret, NAN), secret)
    y, state = unroll(cell, x, dt=0.3, lengths=[7, 5])
    assert bool(y.isfinite().all()) and all(bool(part.isfinite().all()) for part in state)
    gradients = torch.autograd.grad(y.square().sum(), [secret, *cell.parameters()])
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert bool((gradients[0][missing] == 0).all()) and bool((gradients[0][:5][~missing[:5]] != 0).all())
    other = torch.where(missing, secret * 100 + 7, secret)
    assert torch.equal(unroll(cell, torch.where(missing, torch.full_like(x, NAN), other), dt=0.3, lengths=[7, 5])[0], y)


def test_gru_d_knows_what_is_missing_even_where_the_value_would_be_the_same() -> None:
    cell = made(GRUD, 1, 4)
    seen, unseen = (cell(doubles([value]), cell.initial_state(1))[0] for value in (0.0, NAN))
    assert not torch.allclose(seen, unseen, atol=1e-3)


def test_the_time_gate_opens_shuts_and_comes_round_again() -> None:
    cell = made(PhasedLSTM, 1, 1, open_ratio=0.2, leak=0.01)
    with torch.no_grad():
        cell.log_period.copy_(torch.log(doubles(5.0)))
        cell.shift.fill_(0.7)
    phases = doubles(0.0, 0.05, 0.1, 0.15, 0.2, 0.6, 0.99)
    wanted = doubles(0.0, 0.5, 1.0, 0.5, 0.002, 0.006, 0.0099)
    for turn in (-2, 0, 3):
        # Half way between two doubles the phase may fall on either side of an edge.
        times = (0.7 + 5.0 * (turn + phases) + 1e-12).unsqueeze(1)
        torch.testing.assert_close(cell.time_gate(times)[:, 0].detach(), wanted, rtol=0, atol=1e-9)


def test_an_open_cell_is_the_peephole_lstm_and_a_shut_one_keeps_its_state() -> None:
    cell, plain = made(PhasedLSTM, 3, 4, leak=0.0), made(PeepholeLSTM, 3, 4)
    plain.load_state_dict({name: cell.state_dict()[name] for name in plain.state_dict()})
    with torch.no_grad():
        cell.log_period.copy_(torch.full((4,), 8.0).double().log())
        cell.shift.copy_(doubles(0.0, 0.0, 4.0, 4.0))
    state = PhasedLSTMState(*torch.randn(2, 2, 4, dtype=torch.float64).unbind(0), torch.zeros(2, 1).double())
    x, dt = torch.randn(2, 3, dtype=torch.float64), doubles(0.2, 4.2)
    y, after = cell(x, state, dt)
    h, c = plain(x, (state.h, state.c))[1]
    is_open = torch.tensor([[True, True, False, False], [False, False, True, True]])
    torch.testing.assert_close(y, torch.where(is_open, h, state.h), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after.c, torch.where(is_open, c, state.c), rtol=1e-12, atol=1e-12)


def test_steps_between_the_openings_change_nothing() -> None:
    """Sampling a sequence more often adds steps; those at which all cells are shut leave no trace."""
    cell = made(PhasedLSTM, 2, 3, leak=0.0, open_ratio=0.3, peepholes=False)
    with torch.no_grad():
        cell.log_period.copy_(torch.full((3,), 2.0).double().log())
        cell.shift.zero_()
    x = torch.randn(6, 2, 2, dtype=torch.float64)
    # Times 0.25, 2.25, 4.25 are open; 1.0, 1.7 ... are shut.
    dense = unroll(cell, x, dt=doubles(0.25, 0.75, 0.7, 0.55, 1.2, 0.8).unsqueeze(1).expand(6, 2))[0]
    sparse = unroll(cell, x[[0, 3, 5]], dt=doubles(0.25, 2.0, 2.0).unsqueeze(1).expand(3, 2))[0]
    torch.testing.assert_close(dense[[0, 3, 5]], sparse, rtol=1e-12, atol=1e-14)
    assert torch.equal(dense[1], dense[0]) and not torch.equal(dense[3], dense[2])


def test_periods_and_shifts_begin_in_their_ranges() -> None:
    torch.manual_seed(0)
    cell = PhasedLSTM(1, 500, periods=(2.0, 50.0))
    period = torch.exp(cell.log_period)
    assert 2 <= period.min() < 2.2 and 45 < period.max() <= 50.001
    assert bool((cell.shift >= 0).all()) and bool((cell.shift <= period).all())
    assert abs(cell.log_period.mean().item() - math.log(math.sqrt(2.0 * 50.0))) < 0.15


def test_closed_form_networks_go_from_one_head_to_the_other_as_time_passes() -> None:
    cell = made(CfC, 2, 3, backbone_units=4)
    with torch.no_grad():
        cell.weight_heads[6:] = 0.0
        cell.bias_heads.copy_(torch.cat([torch.full((3,), 0.8), torch.full((3,), -0.5), torch.ones(3), torch.zeros(3)]))
    x, state = torch.randn(4, 2, dtype=torch.float64), HiddenState(torch.randn(4, 3, dtype=torch.float64))
    v = 1.7159 * torch.tanh(0.666 * (x @ cell.weight_ih.T + state.h @ cell.weight_hh.T))
    g, k = torch.tanh(v @ cell.weight_heads[:6].T + cell.bias_heads[:6]).chunk(2, -1)
    for time, left in ((-1e4, 1.0), (0.0, 0.5), (1e4, 0.0)):
        torch.testing.assert_close(cell(x, state, time)[0], left * g + (1 - left) * k, rtol=1e-12, atol=1e-14)


def test_without_the_second_gate_the_second_head_is_added_whole() -> None:
    both, one = made(CfC, 2, 3, backbone_units=4), made(CfC, 2, 3, backbone_units=4, mode="no_gate")
    one.load_state_dict(both.state_dict())
    x, state = torch.randn(4, 2, dtype=torch.float64), HiddenState(torch.randn(4, 3, dtype=torch.float64))
    for cell in (both, one):
        with torch.no_grad():
            cell.weight_heads[6:] = 0.0
            cell.bias_heads[6:9] = 0.7
    gone = torch.sigmoid(doubles(0.7 * 2.0))
    late = one(x, state, 1e4)[0]
    torch.testing.assert_close(one(x, state, 2.0)[0] - both(x, state, 2.0)[0], (1 - gone) * late, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layers", [0, 1])
def test_the_pure_solution_decays_to_its_asymptote(layers: int) -> None:
    cell = made(CfC, 2, 3, mode="pure", backbone_units=4, backbone_layers=layers)
    with torch.no_grad():
        cell.asymptote.copy_(doubles(0.5, -2.0, 1.0))
    x, state = torch.randn(4, 2, dtype=torch.float64), HiddenState(torch.randn(4, 3, dtype=torch.float64))
    distance = [(cell(x, state, time)[0] - cell.asymptote).abs() for time in (0.0, 1.0, 2.0, 100.0)]
    assert bool((distance[0] > distance[1]).all()) and bool((distance[1] > distance[2]).all())
    assert distance[3].max() < 1e-12
    # Equal times shrink the distance by equal factors.
    torch.testing.assert_close(distance[1] / distance[0], distance[2] / distance[1], rtol=1e-9, atol=0)
