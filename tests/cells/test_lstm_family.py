"""The kin of the LSTM: the equalities, limits and invariants that their papers state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lstm_parts import blocks, close, made, normal, plain_lstm
from torch import nn
from torch.func import jacrev

from recurra.cells.base import Cell
from recurra.cells.coupled_lstm import CoupledLSTM
from recurra.cells.elstm import ELSTM, ElementwiseLSTMState
from recurra.cells.janet import JANET
from recurra.cells.layer_norm_gru import LayerNormGRU
from recurra.cells.layer_norm_lstm import LayerNormLSTM
from recurra.cells.lstm import LSTMState
from recurra.cells.mc_lstm import MCLSTM, MassState
from recurra.cells.multiplicative_lstm import MultiplicativeLSTM
from recurra.cells.nas import NASCell
from recurra.cells.peephole_lstm import PeepholeLSTM
from recurra.cells.recurrent_output_lstm import RecurrentOutputLSTM
from recurra.cells.res_lstm import ResLSTM
from recurra.cells.ugrnn import UGRNN
from recurra.cells.wmc_lstm import WMCLSTM
from recurra.errors import UsageError
from recurra.unroll import unroll


def test_coupled_gates_are_the_lstm_with_a_forget_gate_of_one_minus_the_input_gate() -> None:
    torch.manual_seed(0)
    cell = made(CoupledLSTM, 3, 5)
    other = plain_lstm(cell, (0, 0, 1, 2))
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            getattr(other, name)[5:10] *= -1.0  # sigmoid(-a) is 1 - sigmoid(a)
    x = normal(9, 2, 3)
    close(unroll(cell, x), unroll(other, x))


def test_coupled_memory_cells_stay_in_their_bounds() -> None:
    torch.manual_seed(0)
    cell = made(CoupledLSTM, 3, 5, peepholes=True)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(10.0)
    _, _, states = unroll(cell, 5.0 * normal(100, 4, 3), all_states=True)
    assert states.c.abs().max().item() <= 1.0


def test_the_output_gate_of_coupled_gates_sees_the_new_memory_cell() -> None:
    cell = made(CoupledLSTM, 1, 1, peepholes=True)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.bias_ih[1] = 40.0
        cell.peephole.fill_(1.0)
    y, state = cell(torch.zeros(1, 1, dtype=torch.float64), cell.initial_state(1))
    assert state.c.item() == 0.5  # the input gate saw a memory cell of 0
    wanted = torch.sigmoid(torch.tensor(0.5, dtype=torch.float64)) * torch.tanh(torch.tensor(0.5, dtype=torch.float64))
    close(y[0, 0], wanted)


@pytest.mark.parametrize("name", ["weight_ih", "weight_hh"])
def test_layer_normalisation_undoes_scaling_and_shifting_of_a_weight_matrix(name: str) -> None:
    torch.manual_seed(0)
    x = normal(4, 2, 3)
    lstm, gru = made(LayerNormLSTM, 3, 5, eps=1e-14), made(LayerNormGRU, 3, 5, eps=1e-14)
    h, c = normal(2, 5, seed=1), normal(2, 5, seed=2)
    before = unroll(lstm, x, LSTMState(h, c))[0], unroll(gru, x, (h,))[0]
    with torch.no_grad():
        shift = normal(1, getattr(lstm, name).shape[1], seed=3)
        getattr(lstm, name).mul_(7.0).add_(shift)
        getattr(gru, name)[:10].mul_(3.0).add_(shift)
        getattr(gru, name)[10:].mul_(0.2).sub_(shift)
    after = unroll(lstm, x, LSTMState(h, c))[0], unroll(gru, x, (h,))[0]
    for left, right in zip(before, after, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        getattr(gru, name)[:5].mul_(2.0)  # one gate alone, which changes what it weighs against the other
    assert not torch.allclose(unroll(gru, x, (h,))[0], after[1], rtol=1e-3)


def test_layer_normalisation_begins_with_gains_of_one_and_biases_of_zero() -> None:
    for cell in (LayerNormLSTM(3, 5), LayerNormGRU(3, 5)):
        for name, weight in cell.named_parameters():
            if not name.startswith("weight"):
                assert bool((weight == (1.0 if name.startswith("gain") else 0.0)).all())


def test_a_recurrent_output_layer_is_an_lstm_with_a_first_order_filter_on_top() -> None:
    torch.manual_seed(0)
    cell, x = made(RecurrentOutputLSTM, 3, 5, output_size=2), normal(8, 2, 3)
    h, _ = unroll(plain_lstm(cell, (0, 1, 2, 3)), x)
    y, last = unroll(cell, x)[0], torch.zeros(2, 2, dtype=torch.float64)
    for t in range(8):
        last = h[t] @ cell.weight_hy.T + last @ cell.weight_yy.T + cell.bias_y
        close(y[t], last)


def test_a_multiplicative_lstm_is_an_lstm_whose_recurrent_matrix_follows_the_input() -> None:
    torch.manual_seed(0)
    cell = made(MultiplicativeLSTM, 3, 5)
    other, state = plain_lstm(cell, (0, 1, 2, 3)), cell.initial_state(1)
    for x in normal(6, 1, 3):
        with torch.no_grad():
            other.weight_hh.copy_(cell.weight_hh @ torch.diag(cell.weight_mx @ x[0]) @ cell.weight_mh)
        wanted = other(x, state)
        y, state = cell(x, state)
        close((y, state), wanted)


def test_janet_with_beta_zero_is_the_update_gate_network() -> None:
    torch.manual_seed(0)
    cell, other = made(JANET, 3, 5, beta=0.0), made(UGRNN, 3, 5)
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            getattr(other, name).copy_(torch.cat(blocks(getattr(cell, name), 2)[::-1]))
    x = normal(9, 2, 3)
    close(unroll(cell, x), unroll(other, x))


def test_janet_takes_in_more_than_it_forgets() -> None:
    cell = made(JANET, 1, 1)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.zero_()
        cell.bias_ih[1] = 40.0
    y, _ = cell(torch.zeros(1, 1, dtype=torch.float64), (torch.ones(1, 1, dtype=torch.float64),))
    sigmoid_of_one = 1.0 / (1.0 + torch.exp(torch.tensor(-1.0, dtype=torch.float64)))
    close(y[0, 0], 0.5 + sigmoid_of_one)


@pytest.mark.parametrize("mass_size", [1, 2])
def test_mass_is_conserved_over_a_thousand_steps_whatever_the_weights(mass_size: int) -> None:
    torch.manual_seed(0)
    cell, x = made(MCLSTM, 4, 6, mass_size=mass_size), normal(1000, 3, 4)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.add_(3.0 * normal(*weight.shape, seed=weight.dim()))
    x = torch.cat([x[..., :mass_size].abs(), x[..., mass_size:]], -1)
    start = normal(3, 6, seed=4).abs()
    y, _, states = unroll(cell, x, MassState(start), all_states=True)
    came = start.sum(-1) + x[..., :mass_size].sum(-1).cumsum(0)
    torch.testing.assert_close(states.c.sum(-1) + y.sum(-1).cumsum(0), came, rtol=1e-12, atol=0.0)
    assert bool((states.c >= 0).all()) and bool((y >= 0).all())


def test_auxiliary_inputs_bring_no_mass_and_mass_does_not_steer() -> None:
    torch.manual_seed(0)
    cell, state = made(MCLSTM, 3, 4), made(MCLSTM, 3, 4).initial_state(1)
    y, after = cell(torch.tensor([[0.0, 3.0, -2.0]], dtype=torch.float64), state)
    assert not y.any() and not after.c.any()
    x = torch.tensor([[1.0, 3.0, -2.0]], dtype=torch.float64)
    close(cell(x * torch.tensor([7.0, 1.0, 1.0], dtype=torch.float64), state)[0], 7.0 * cell(x, state)[0])


def test_mass_begins_with_biases_as_in_the_paper() -> None:
    cell = made(MCLSTM, 3, 4, mass_size=2)
    assert cell.bias_ih is not None
    for_input, for_output, for_moves = cell.bias_ih.detach().split((8, 4, 16))
    assert not for_input.any() and bool((for_output == -3.0).all())
    assert torch.equal(for_moves.reshape(4, 4), torch.eye(4, dtype=torch.float64))
    both = torch.cat([cell.weight_ih, cell.weight_hh], -1).detach()[12:]
    close(both.T @ both, torch.eye(5, dtype=torch.float64))


def test_without_working_memory_connections_it_is_the_lstm() -> None:
    torch.manual_seed(0)
    cell, x = made(WMCLSTM, 3, 5), normal(9, 2, 3)
    assert not torch.allclose(unroll(cell, x)[0], unroll(plain_lstm(cell, (0, 1, 2, 3)), x)[0])
    with torch.no_grad():
        cell.weight_ch.zero_()
    close(unroll(cell, x), unroll(plain_lstm(cell, (0, 1, 2, 3)), x))


def test_a_working_memory_connection_moves_a_gate_by_no_more_than_one_however_large_the_cell() -> None:
    cell, size = made(WMCLSTM, 1, 1), 1e6
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh", "bias_ih"):
            getattr(cell, name).zero_()
    for sign in (1.0, -1.0):
        with torch.no_grad():
            cell.weight_ch.fill_(sign)
        h, c = torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), size, dtype=torch.float64)
        y, state = cell(torch.zeros(1, 1, dtype=torch.float64), LSTMState(h, c))
        wanted = torch.sigmoid(torch.tensor([[sign]], dtype=torch.float64))
        close(state.c / size, wanted)  # the forget gate
        close(y, wanted)  # the output gate, as tanh of such a cell is 1


def test_sensitivities_of_element_wise_recurrence_stay_diagonal() -> None:
    torch.manual_seed(0)
    cell, x = made(ELSTM, 3, 4), normal(20, 1, 3)
    jacobian = jacrev(lambda c: unroll(cell, x, ElementwiseLSTMState(c))[1].c)(normal(1, 4)).reshape(4, 4)
    assert torch.equal(jacobian, torch.diag(jacobian.diagonal())) and bool(jacobian.diagonal().all())
    outputs = jacrev(lambda c: unroll(cell, x, ElementwiseLSTMState(c))[0][-1])(normal(1, 4)).reshape(4, 4)
    assert bool(outputs.all())


def test_a_residual_lstm_lets_its_input_through() -> None:
    torch.manual_seed(0)
    stack = [made(ResLSTM, 4, 4) for _ in range(3)]
    x = normal(6, 2, 4)
    y = x
    for cell in stack:
        with torch.no_grad():
            cell.weight_hr.zero_()
            cell.bias_ih[12:] = 60.0
        y, _ = unroll(cell, y)
    close(y, x)


def test_a_residual_lstm_without_shortcut_and_with_an_identity_for_projection_is_the_peephole_lstm() -> None:
    torch.manual_seed(0)
    cell, other, x = made(ResLSTM, 3, 5), made(PeepholeLSTM, 3, 5), normal(9, 2, 3)
    with torch.no_grad():
        nn.init.eye_(cell.weight_hr)
        cell.weight_shortcut.zero_()
        for name in ("weight_ih", "weight_hh", "bias_ih", "peephole"):
            getattr(other, name).copy_(getattr(cell, name))
    close(unroll(cell, x), unroll(other, x))


def test_the_searched_cell_stays_in_its_bounds() -> None:
    torch.manual_seed(0)
    cell = made(NASCell, 3, 5)
    with torch.no_grad():
        for weight in cell.parameters():
            weight.mul_(10.0)
    y, _, states = unroll(cell, 5.0 * normal(100, 4, 3), all_states=True)
    bound = torch.tanh(torch.tensor(1.0, dtype=torch.float64)).item()
    assert states.c.abs().max().item() <= 1.0 and 0.9 * bound < y.abs().max().item() <= bound


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (RecurrentOutputLSTM, {"squash": "relu"}, "squash is 'relu'. Needed: 'identity' or 'tanh'"),
        (RecurrentOutputLSTM, {"output_size": 0}, "output_size is 0. Needed: a positive whole number"),
        (JANET, {"beta": "1"}, "beta is '1'. Needed: a number, 1.0 in the paper"),
        (MCLSTM, {"mass_size": 4}, "mass_size is 4. Needed: a whole number from 1 to 3, as input_size counts the mass"),
        (MCLSTM, {"mass_size": 0}, "mass_size is 0. Needed: a whole number from 1 to 3"),
    ],
)
def test_bad_arguments_are_named(kind: type[Cell], arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        kind(3, 5, **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{kind.__name__}: {message}")
